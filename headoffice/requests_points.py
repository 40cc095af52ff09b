"""What stations ask about points, budgets and coupons: leases, reservations, and whether a coupon is free (W-50, W-52).

A reservation is a small lease for one sale: its points leave what is free when it is granted, the sale's record takes
from it, and its close-out brings the rest back. So what is said here decides no money; only records do, and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headoffice.requests_asked import Answerer, Asked
from headoffice.store import coupon_marks, lives, members, pools, presence
from headoffice.store.balances import became
from headoffice.store.streams import StreamKey, lock_cursor
from sync import bodies
from sync.leasing import LeaseClaims
from sync.messages import format_time
from sync.notices import Res

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
RESERVATION_MS = 30 * MINUTE_MS
"""A customer has paid by then; its station closes the rest of a reservation out."""

LENT_MS = {pools.POINTS: DAY_MS, pools.BUDGET: 7 * DAY_MS}
"""For how long a station takes something new from a lease: as long as it may be offline and still give discounts."""

SIGNED_MS = 400 * DAY_MS
"""The text is good for longer than any station stays offline: one that comes late must still be received and ended."""

EARLY_MS = DAY_MS
"""The clock of a station may be behind."""


def reserve(asked: Asked) -> Res:
    """Keep points of a member for one sale: all of them, or none and how many there are."""
    body, wrong = asked.req.body, bodies.RESERVE.defect(asked.req.body)
    if wrong is not None:
        return asked.error("bad_body")
    wish = {"kind": pools.POINTS, "subject": body["member"], "amount": body["points"], "sale": body["sale"]}
    return _lend(asked, wish, least=body["points"], lasts_ms=RESERVATION_MS)


def lease(asked: Asked) -> Res:
    """Lend points or budget for sales to come: as much as is free of what is wanted."""
    body, wrong = asked.req.body, bodies.LEASE.defect(asked.req.body)
    if wrong is not None:
        return asked.error("bad_body")
    return _lend(asked, {**body, "sale": None}, least=1, lasts_ms=LENT_MS[body["kind"]])


def _lend(asked: Asked, wish: Mapping[str, Any], *, least: int, lasts_ms: int) -> Res:
    keys, body = asked.keys, asked.req.body
    if keys is None:
        return asked.refused("not_offered")
    no = _not_entitled(asked) or _unknown(asked, wish["kind"], wish["subject"])
    if no is not None:
        return asked.refused(no)
    incarnation = body["incarnation"]
    cursor = lock_cursor(asked.connection, StreamKey(asked.station, incarnation, "L"))
    wanted = pools.Wanted(
        kind=wish["kind"],
        subject=wish["subject"],
        station=asked.station,
        incarnation=incarnation,
        amount=wish["amount"],
        least=least,
        req_id=asked.req.req_id,
        sale=wish["sale"],
        after_seq=0 if cursor is None else cursor.cum,
        now_ms=asked.now_ms,
        expires_ms=asked.now_ms + lasts_ms,
    )
    try:
        row = pools.grant(asked.connection, wanted)
    except pools.TooLittle as little:
        return asked.refused("too_little", {"free": little.free})
    claims = _claims(row, asked.now_ms)
    return asked.ok({"reservation": row["id"], "points": row["amount"], "lease": keys.sign(claims.to_claims())})


def _claims(row: Mapping[str, Any], now_ms: int) -> LeaseClaims:
    return LeaseClaims(
        lease=row["id"],
        kind=row["kind"],
        subject=row["subject"],
        amount=row["amount"],
        station=row["station"],
        incarnation=row["incarnation"],
        sale=row["sale"],
        expires=format_time(row["expires_ms"]),
        not_before=format_time(row["granted_ms"] - EARLY_MS),
        not_after=format_time(now_ms + SIGNED_MS),
    )


def _not_entitled(asked: Asked) -> str | None:
    """Return why this PC may not redeem: another life of the station has begun, or it is fenced (W-33, W-52)."""
    body, connection, station = asked.req.body, asked.connection, asked.station
    if presence.fenced(connection, station, body["install_id"]):
        return "fenced"
    if not lives.is_known(connection, station, body["incarnation"]):
        return "not_known_yet"
    return None if lives.newest(connection, station) == body["incarnation"] else "incarnation_over"


def _unknown(asked: Asked, kind: str, subject: str) -> str | None:
    if kind == pools.BUDGET:
        return None
    return None if members.known(asked.connection, became(asked.connection, subject)) else "unknown_member"


def confirm(asked: Asked) -> Res:
    """A sale took its reservation: people see it before the record comes, which alone moves points."""
    if bodies.CONFIRM.defect(asked.req.body) is not None:
        return asked.error("bad_body")
    return _said(asked, asked.req.body["reservation"], pools.CONFIRMED)


def release(asked: Asked) -> Res:
    """A sale goes on without its reservation or coupon. Its points come back with its close-out."""
    body = asked.req.body
    if bodies.RELEASE.defect(body) is not None or (body["reservation"] is None and not {"coupon", "sale"} <= set(body)):
        return asked.error("bad_body")
    if body["reservation"] is not None:
        return _said(asked, body["reservation"], pools.RELEASED)
    coupon_marks.release(asked.connection, body["coupon"], asked.station, body["sale"])
    return asked.ok({"coupon": body["coupon"]})


def _said(asked: Asked, reservation: str, word: str) -> Res:
    row = pools.say(asked.connection, asked.station, reservation, word)
    if row is None:
        return asked.refused("unknown_reservation")
    figures = {name: row[name] for name in ("amount", "spent", "state")}
    return asked.ok({"reservation": reservation, **figures})


def coupon(asked: Asked) -> Res:
    """Keep a coupon for one sale; refused where another sale has it or used it."""
    body = asked.req.body
    if bodies.COUPON.defect(body) is not None:
        return asked.error("bad_body")
    no = _not_entitled(asked)
    if no is not None:
        return asked.refused(no)
    other = coupon_marks.hold(asked.connection, body["code"], asked.station, body["sale"], asked.now_ms)
    if other is not None:
        return asked.refused(f"coupon_{other['state']}", {"station": other["station"]})
    return asked.ok({"code": body["code"]})


POINTS: dict[str, Answerer] = {
    "reserve": reserve,
    "confirm": confirm,
    "release": release,
    "lease": lease,
    "coupon": coupon,
}
