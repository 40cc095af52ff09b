"""What stations may spend: the points of a member or the budget of a campaign, and what is lent of it (W-50 to W-52).

Works inside the caller's transaction. What a step does to a lease is decided by ``agent.domain.pools``; free points are
never stored: they follow from what was imported, the postings of accepted records, and the leases. Knows no message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, func, select

from agent.domain import pools
from agent.domain.leases import LeaseError, LeaseState, Taken
from agent.domain.pools import Granted, Pool
from headoffice.store import balances, overlaps_schema, schema
from headoffice.store.points_schema import lease, lease_move, pool

POINTS, BUDGET = "points", "budget"
CONFIRMED, RELEASED = "confirmed", "released"
"""What a station says of a reservation before its record comes; moves nothing."""

LEASE_ID_DIGITS = 24
_OTHERS = "*"


@dataclass(frozen=True, slots=True)
class Figures:
    """One pool now. ``free`` + ``lent`` = ``balance``, all >= 0; ``lent``: what leases still hold.

    ``short``: by how much postings took more than was free, which later ones pay first. ``overrun``: spent beyond
    leases, borne by the programme.
    """

    kind: str
    subject: str
    balance: int
    free: int
    lent: int
    short: int = 0
    overrun: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A lease that a station asks for. ``least``: less than that is of no use to it."""

    kind: str
    subject: str
    station: str
    incarnation: str
    amount: int
    least: int
    req_id: str
    sale: str | None
    after_seq: int
    now_ms: int
    expires_ms: int


class TooLittle(Exception):
    """Less is free than a station can use. ``free``: what there is."""

    def __init__(self, free: int) -> None:
        super().__init__(f"{free} free")
        self.free = free


def figures(connection: Connection, kind: str, subject: str) -> Figures:
    """Return how a pool stands; of a merged member, the one they became."""
    if kind == BUDGET:
        return _budget(connection, subject)
    member = balances.became(connection, subject)
    base = balances.base_points(connection, member)
    names = balances.names_of(connection, member)
    table, mine = schema.posting, (lease.c.kind == POINTS) & lease.c.subject.in_(names)
    posted = (
        select(func.coalesce(func.sum(table.c.points), 0))
        .where(table.c.member.in_(names), table.c.account.in_(balances.ACCOUNTS), overlaps_schema.counts(table))
        .scalar_subquery()
    )
    lent = select(_sum(lease.c.amount - lease.c.spent - lease.c.reclaimed)).where(mine).scalar_subquery()
    overrun = select(_sum(lease.c.overrun)).where(mine).scalar_subquery()
    # one statement sees one state: a sale that is stored between two would be counted by one of them only
    row = connection.execute(select(posted.label("posted"), lent.label("lent"), overrun.label("overrun"))).one()
    net = base + int(row.posted) + int(row.overrun) - int(row.lent)
    free, short = max(0, net), max(0, -net)
    return Figures(POINTS, member, free + int(row.lent), free, int(row.lent), short, int(row.overrun))


def _budget(connection: Connection, campaign: str) -> Figures:
    mine = (lease.c.kind == BUDGET) & (lease.c.subject == campaign)
    moves = (lease_move.c.kind == BUDGET) & (lease_move.c.subject == campaign) & lease_move.c.lease.is_(None)
    row = connection.execute(
        select(
            select(_sum(pool.c.amount)).where(pool.c.kind == BUDGET, pool.c.subject == campaign).scalar_subquery(),
            select(_sum(lease.c.amount - lease.c.reclaimed)).where(mine).scalar_subquery(),
            select(_sum(lease.c.amount - lease.c.spent - lease.c.reclaimed)).where(mine).scalar_subquery(),
            select(_sum(lease.c.overrun)).where(mine).scalar_subquery(),
            select(_sum(lease_move.c.amount)).where(moves).scalar_subquery(),
        )
    ).one()
    amount, gone, lent, overrun, came_back = (int(value) for value in row)
    net = amount - gone - came_back
    free, short = max(0, net), max(0, -net)
    return Figures(BUDGET, campaign, free + lent, free, lent, short, overrun)


def _sum(column: Any) -> Any:
    return func.coalesce(func.sum(column), 0)


# --- lending ----------------------------------------------------------------------------------------------------------


def grant(connection: Connection, wanted: Wanted) -> dict[str, Any]:
    """Lend as much of what is wanted as is free; the row of the lease. A repeat of the req_id gets the same lease.

    Raises TooLittle where less than the ``least`` useful amount is free.
    """
    here = (lease.c.station == wanted.station) & (lease.c.req_id == wanted.req_id)
    known = connection.execute(select(lease).where(here)).mappings().one_or_none()
    if known is not None:
        return dict(known)
    subject = balances.became(connection, wanted.subject) if wanted.kind == POINTS else wanted.subject
    lock(connection, wanted.kind, subject, wanted.now_ms)
    now = figures(connection, wanted.kind, subject)
    free = now.free
    if wanted.kind == POINTS:
        free = min(free, max(0, balances.usable_points(connection, subject, wanted.now_ms) - now.lent))
    amount = min(wanted.amount, free)
    if amount < max(1, wanted.least):
        raise TooLittle(free)
    digest = hashlib.sha256(f"{wanted.station}|{wanted.req_id}".encode()).hexdigest()[:LEASE_ID_DIGITS]
    fresh = Granted(digest, wanted.station, wanted.incarnation, amount, wanted.after_seq)
    pools.grant(Pool(subject, now.free), fresh)
    values = {
        "id": fresh.id,
        "kind": wanted.kind,
        "subject": subject,
        "station": fresh.station,
        "incarnation": fresh.incarnation,
        "amount": fresh.amount,
        "after_seq": fresh.after_seq,
        "state": fresh.state.value,
        "spent": 0,
        "reclaimed": 0,
        "overrun": 0,
        "req_id": wanted.req_id,
        "sale": wanted.sale,
        "said": None,
        "granted_ms": wanted.now_ms,
        "expires_ms": wanted.expires_ms,
        "ended_ms": None,
    }
    connection.execute(schema.insert_into(lease), values)
    return values


def lock(connection: Connection, kind: str, subject: str, now_ms: int) -> None:
    """Let no other session lend from this pool until the transaction ends."""
    here = (pool.c.kind == kind) & (pool.c.subject == subject)
    if connection.execute(select(pool.c.amount).where(here).with_for_update()).first() is None:
        values = {"kind": kind, "subject": subject, "amount": 0, "made_ms": now_ms}
        connection.execute(schema.insert_into(pool), values)


def set_budget(connection: Connection, campaign: str, amount_minor: int, now_ms: int) -> Figures:
    """Give a campaign its budget, whole: what is spent and lent counts. Raises LeaseError for too little."""
    lock(connection, BUDGET, campaign, now_ms)
    here = (pool.c.kind == BUDGET) & (pool.c.subject == campaign)
    connection.execute(pool.update().where(here).values(amount=amount_minor))
    after = _budget(connection, campaign)
    if after.short:
        raise LeaseError(f"{campaign}: {amount_minor} is {after.short} less than what is spent or lent already")
    return after


# --- what records do --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Use:
    """What one record says of a lease: taken, or below 0 given back. ``lease`` None: back to what is free."""

    lease: str | None
    kind: str
    subject: str
    sale: str | None
    amount: int


def note_uses(connection: Connection, record: int, station: str, incarnation: str, uses: Sequence[Use]) -> list[str]:
    """Move leases as a fact says, each once; returns what a person should look at."""
    doubts = []
    for place, use in enumerate(uses):
        if use.lease is not None:
            doubts += _move(connection, record, station, incarnation, use)
        values = {
            "record": record,
            "place": place,
            "lease": use.lease,
            "kind": use.kind,
            "subject": use.subject,
            "sale": use.sale,
            "amount": use.amount,
        }
        connection.execute(schema.insert_into(lease_move), values)
    return doubts


def _move(connection: Connection, record: int, station: str, incarnation: str, use: Use) -> list[str]:
    assert use.lease is not None, "the caller looked"
    row, doubts = _locked(connection, use.lease), []
    if row is None:
        _adopt(connection, use, station, incarnation, amount=0)
        row, doubts = _locked(connection, use.lease), [f"lease {use.lease} was not granted here"]
    assert row is not None, "it was adopted"
    before = _pool(connection, row, use.sale)
    sale = use.sale or _OTHERS
    if use.amount > 0:
        after = pools.spent(before, use.lease, str(record), Taken(sale, use.amount))
    else:
        after = pools.given_back(before, use.lease, str(record), sale, -use.amount)
    _store(connection, row, after)
    if after.overrun > before.overrun:
        doubts.append(f"lease {use.lease}: {after.overrun - before.overrun} of {use.amount} were not lent")
    return doubts


@dataclass(frozen=True, slots=True)
class Closing:
    """A close-out as its record says it, at its place in the journal."""

    lease: str
    incarnation: str
    seq: int
    spent: int


def close_out(connection: Connection, record: int, closing: Closing, now_ms: int) -> str:
    """Take back what a close-out leaves; returns why nothing was taken back, empty where it was."""
    row = _locked(connection, closing.lease)
    if row is None:
        return f"lease {closing.lease} was not granted here"
    before = _pool(connection, row, None)
    try:
        after = pools.closed_out(
            before,
            closing.lease,
            str(record),
            incarnation=closing.incarnation,
            seq=closing.seq,
            spent_by_station=closing.spent,
        )
    except LeaseError as doubt:
        return str(doubt)
    _store(connection, row, after, ended_ms=now_ms)
    return ""


def adopt(connection: Connection, use: Use, station: str, incarnation: str, seq: int) -> bool:
    """Take over a lease that a station received at ``seq`` and this database has lost; ``use``: what is left of what.

    Returns False where it is known.
    """
    assert use.lease is not None, "a station names what it received"
    if _locked(connection, use.lease) is not None:
        return False
    lent = replace(use, amount=0)
    _adopt(connection, lent, station, incarnation, amount=use.amount, state=LeaseState.OPEN, after_seq=seq - 1)
    return True


def _adopt(
    connection: Connection,
    use: Use,
    station: str,
    incarnation: str,
    *,
    amount: int,
    state: LeaseState = LeaseState.VOID,
    after_seq: int = 0,
) -> None:
    subject = balances.became(connection, use.subject) if use.kind == POINTS else use.subject
    values = {
        "id": use.lease,
        "kind": use.kind,
        "subject": subject,
        "station": station,
        "incarnation": incarnation,
        "amount": amount,
        "after_seq": after_seq,
        "state": state.value,
        "spent": 0,
        "reclaimed": 0,
        "overrun": 0,
        "req_id": f"adopted:{use.lease}",
        "sale": use.sale,
        "said": None,
        "granted_ms": 0,
        "expires_ms": 0,
        "ended_ms": None,
    }
    connection.execute(schema.insert_into(lease), values)


def void_others(connection: Connection, station: str, incarnation: str, now_ms: int) -> int:
    """A station has a new incarnation: leases of its others are spent no more; returns how many that ends (W-52)."""
    here = (
        (lease.c.station == station) & (lease.c.incarnation != incarnation) & (lease.c.state == LeaseState.OPEN.value)
    )
    done = connection.execute(lease.update().where(here).values(state=LeaseState.VOID.value, ended_ms=now_ms))
    return done.rowcount


def write_off(connection: Connection, lease_id: str, now_ms: int) -> dict[str, Any]:
    """A person decided that the rest of a void lease was not spent: it is free again. Raises LeaseError."""
    row = _locked(connection, lease_id)
    if row is None:
        raise LeaseError(f"there is no lease {lease_id}")
    _store(connection, row, pools.written_off(_pool(connection, row, None), lease_id), ended_ms=now_ms)
    found = _locked(connection, lease_id)
    assert found is not None, "it was just stored"
    return found


def say(connection: Connection, station: str, lease_id: str, word: str) -> dict[str, Any] | None:
    """Note what a station says of its reservation; returns the lease, None where the station has none of that id."""
    row = _locked(connection, lease_id)
    if row is None or row["station"] != station:
        return None
    connection.execute(lease.update().where(lease.c.id == lease_id).values(said=word))
    return row


def became(connection: Connection, member: str, to: str) -> None:
    """A member was merged into another one: what was lent of their points is of the other's."""
    here = (lease.c.kind == POINTS) & (lease.c.subject == member)
    connection.execute(lease.update().where(here).values(subject=to))


def listed(
    connection: Connection, *, station: str | None = None, every: bool = False, limit: int
) -> list[dict[str, Any]]:
    """Return leases, newest first: those that still hold something, or ``every`` one."""
    question = select(lease).order_by(lease.c.granted_ms.desc(), lease.c.id).limit(limit)
    if station is not None:
        question = question.where(lease.c.station == station)
    if not every:
        question = question.where(lease.c.state != LeaseState.CLOSED.value)
    return [dict(row) for row in connection.execute(question).mappings()]


def one(connection: Connection, lease_id: str) -> dict[str, Any] | None:
    """Return a lease, None where there is none of that id."""
    row = connection.execute(select(lease).where(lease.c.id == lease_id)).mappings().one_or_none()
    return None if row is None else dict(row)


def budgets(connection: Connection) -> list[tuple[str, int]]:
    """Return campaigns and the budgets they were given."""
    question = select(pool.c.subject, pool.c.amount).where(pool.c.kind == BUDGET).order_by(pool.c.subject)
    return [(row.subject, row.amount) for row in connection.execute(question)]


# --- rows and the pure engine -----------------------------------------------------------------------------------------


def _locked(connection: Connection, lease_id: str) -> dict[str, Any] | None:
    question = select(lease).where(lease.c.id == lease_id).with_for_update()
    row = connection.execute(question).mappings().one_or_none()
    return None if row is None else dict(row)


def _pool(connection: Connection, row: Mapping[str, Any], sale: str | None) -> Pool:
    """Return the pool with this lease only; of what was taken, ``sale`` by name and the others together."""
    own = 0
    if sale is not None:
        here = (lease_move.c.lease == row["id"]) & (lease_move.c.sale == sale)
        own = max(
            0, min(row["spent"], int(connection.execute(select(_sum(lease_move.c.amount)).where(here)).scalar_one()))
        )
    taken = (Taken(_OTHERS, row["spent"] - own), Taken(sale or _OTHERS, own))
    return Pool(row["subject"], 0, (granted(row, taken),), row["overrun"])


def granted(row: Mapping[str, Any], taken: tuple[Taken, ...] | None = None) -> Granted:
    """Return a row as the pure engine sees it."""
    uses = (Taken(_OTHERS, row["spent"]),) if taken is None else taken
    state = LeaseState(row["state"])
    return Granted(
        row["id"], row["station"], row["incarnation"], row["amount"], row["after_seq"], state, uses, row["reclaimed"]
    )


def _store(connection: Connection, row: Mapping[str, Any], after: Pool, *, ended_ms: int | None = None) -> None:
    lent = after.lease(row["id"])
    values = {"state": lent.state.value, "spent": lent.spent, "reclaimed": lent.reclaimed, "overrun": after.overrun}
    if ended_ms is not None:
        values["ended_ms"] = ended_ms
    connection.execute(lease.update().where(lease.c.id == row["id"]).values(**values))
