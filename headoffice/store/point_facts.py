"""What records do to points, leases and coupons, beside their own rows: in the transaction of the batch, once per fact.

Knows the data of the record types that spend or earn. Knows no chain and no message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from headoffice.store import coupon_marks, lives, pools, schema
from headoffice.store.alerts import raise_own_alert
from headoffice.store.points_schema import point_lot, tell_due
from headoffice.store.sheet import Sheet

if TYPE_CHECKING:
    from headoffice.store.facts import Arrival

Data = Mapping[str, Any]

MAX_MEMBER_CHARS = 64
POSTING_TYPES = ("fc.sale.settled.v1", "fc.sale.corrected.v1", "fc.points.v1")


def take(sheet: Sheet, number: int, arrival: Arrival, member: str | None) -> None:
    """Book what a record with postings spent, gave back and made; ``member``: whose it is where a leg names nobody."""
    data, connection = arrival.record.data, sheet.connection
    for place, lot in enumerate(data.get("lots", ())):
        sheet.add(point_lot, {"record": number, "place": place, **lot})
    _alert(connection, arrival, pools.note_uses(connection, number, *_where(arrival), _uses(data, member)))
    _coupons(connection, arrival)
    for name in _members(data, member):
        sheet.add(tell_due, {"member": name})


def again(sheet: Sheet, arrival: Arrival) -> None:
    """A record arrived a second time, after a rebirth in a newer place: told balances are to say that (W-31, W-44)."""
    data, key = arrival.record.data, arrival.key
    if arrival.record.type not in POSTING_TYPES:
        return
    member = data["member"] if "member" in data else member_of_sale(sheet, key.station, data["sale"])
    place = {"station": key.station, "incarnation": key.incarnation, "seq": arrival.record.seq}
    for name in _members(data, member):
        sheet.add(tell_due, {"member": name, **place})


def lease(sheet: Sheet, number: int, arrival: Arrival) -> None:
    """A station says that it received a lease, or what of it was spent when it ended."""
    data, key, seq, connection = arrival.record.data, arrival.key, arrival.record.seq, sheet.connection
    if data["event"] == "closed_out":
        closing = pools.Closing(data["lease"], key.incarnation, seq, data["spent"] or 0)
        doubt = pools.close_out(connection, number, closing, arrival.received_ms)
        _alert(connection, arrival, [doubt] if doubt else [])
    elif data["event"] == "received" and {"kind", "subject"} <= set(data):
        lent = pools.Use(data["lease"], data["kind"], data["subject"], None, data["remaining"] or 0)
        if pools.adopt(connection, lent, *_where(arrival), seq):
            _alert(connection, arrival, [f"lease {data['lease']} was not known here: taken over as its station says"])


def incarnation(sheet: Sheet, _number: int, arrival: Arrival) -> None:
    """A station begins anew: what was lent to its other lives is void, unless this one is a clone's (W-33, W-52)."""
    connection = sheet.connection
    station, name = _where(arrival)
    lives.begin(connection, station, name)
    if not lives.is_fenced(connection, station, name):
        pools.void_others(connection, station, name, arrival.received_ms)


def member_of_sale(sheet: Sheet, station: str, sale: str) -> str | None:
    """Return whose settlement a sale was."""
    table = schema.settlement
    question = select(table.c.member).where(table.c.station == station, table.c.sale == sale)
    return sheet.read().execute(question).scalar_one_or_none()


def _where(arrival: Arrival) -> tuple[str, str]:
    return arrival.key.station, arrival.key.incarnation


def _uses(data: Data, member: str | None) -> list[pools.Use]:
    sale = data.get("sale")
    found = [
        pools.Use(use["lease"], pools.POINTS, member, sale, use["points"])
        for use in data.get("points_leases", ())
        if member is not None and use["lease"] is not None and use["points"] != 0
    ]
    found += [
        pools.Use(use["lease"], pools.BUDGET, use["campaign"], sale, use["amount_minor"])
        for use in data.get("budgets", ())
        if use["amount_minor"] != 0
    ]
    return found


def _coupons(connection: Connection, arrival: Arrival) -> None:
    """A settlement tells what coupons gave; a correction names the codes that came back."""
    data, station = arrival.record.data, arrival.key.station
    told = data.get("coupons", ())
    coupon_marks.came_back(connection, station, data.get("sale", ""), [code for code in told if isinstance(code, str)])
    for coupon in told:
        if isinstance(coupon, Mapping):
            _alert(connection, arrival, coupon_marks.used(connection, station, data["sale"], coupon))


def _members(data: Data, member: str | None) -> list[str]:
    named = [leg.get("member", member) for leg in data["postings"] if leg["account"].startswith("member:")]
    return sorted({name for name in named if isinstance(name, str) and len(name) <= MAX_MEMBER_CHARS})


def _alert(connection: Connection, arrival: Arrival, doubts: list[str]) -> None:
    for doubt in doubts:
        raise_own_alert(
            connection,
            station=arrival.key.station,
            alert="lease_doubtful",
            subject=str(arrival.record.data.get("lease") or arrival.record.data.get("sale")),
            detail=doubt,
            now_ms=arrival.received_ms,
        )
