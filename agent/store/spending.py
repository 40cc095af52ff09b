"""Leases, coupons and quotes inside the caller's transaction: what may be spent, what is held, what is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, literal_column, select, text, update

from agent.store.loyalty_tables import COUPON, COUPON_USE, HELD, LEASE, LEASE_MOVE, QUOTE
from agent.store.prepared import Found, Prepared, raw

POINTS, BUDGET = "points", "budget"
"""Kinds of lease."""

LEASE_HOLD, COUPON_HOLD, POINTS_HOLD = "lease", "coupon", "points"
"""What a quote can hold: an amount of a lease, a coupon, points of a member (``key``: the surrogate)."""

_RUNNING = text("lease.state in ('open', 'closing')")
_LEASES = Prepared(
    select(LEASE).where(_RUNNING, LEASE.c.kind == bindparam("of_kind")).order_by(LEASE.c.received_ms, LEASE.c.id)
)
_LEASES_OF = Prepared(
    select(LEASE)
    .where(_RUNNING, LEASE.c.kind == bindparam("of_kind"), LEASE.c.subject == bindparam("of_subject"))
    .order_by(LEASE.c.received_ms, LEASE.c.id)
)
_LEASES_FOR = Prepared(
    select(LEASE).where(_RUNNING, LEASE.c.sale == bindparam("for_sale")).order_by(LEASE.c.received_ms, LEASE.c.id)
)
_RESERVED = Prepared(
    select(HELD.c.sale, HELD.c.amount, QUOTE.c.until_ms)
    .join(QUOTE, QUOTE.c.sale == HELD.c.sale)
    .where((HELD.c.kind == LEASE_HOLD) & (HELD.c.key == bindparam("of_lease")))
    .order_by(HELD.c.sale)
)
_QUOTE = Prepared(select(QUOTE).where(QUOTE.c.sale == bindparam("of_sale")))
_TAKEN_BY = Prepared(
    select(LEASE_MOVE.c.lease, func.sum(LEASE_MOVE.c.amount).label("amount"))
    .where(LEASE_MOVE.c.sale == bindparam("of_sale"))
    .group_by(LEASE_MOVE.c.lease)
    .having(func.sum(LEASE_MOVE.c.amount) > literal_column("0"))
    .order_by(func.min(LEASE_MOVE.c.at_ms), LEASE_MOVE.c.lease)
)


class LeaseTable:
    """Leases and their moves."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = raw(connection)

    def add(self, values: Mapping[str, Any]) -> None:
        """Insert a lease as it was granted; nothing of it is spent."""
        self._connection.execute(insert(LEASE), {**values, "spent": 0, "ended_ms": None})

    def one(self, lease: str) -> RowMapping | None:
        """Return a lease whatever its state."""
        return self._connection.execute(select(LEASE).where(LEASE.c.id == lease)).mappings().first()

    def running(self, kind: str, subject: str | None = None) -> list[Found]:
        """Return the leases of a kind that are not over, oldest first; of one member or campaign, or of all."""
        if subject is None:
            return _LEASES.all(self._raw, {"of_kind": kind})
        return _LEASES_OF.all(self._raw, {"of_kind": kind, "of_subject": subject})

    def of_sale(self, sale: str) -> list[Found]:
        """Return the leases that are not over and were asked for one sale."""
        return _LEASES_FOR.all(self._raw, {"for_sale": sale})

    def reserved(self, lease: str) -> list[Found]:
        """Return sale, amount and end of what quotes hold of a lease."""
        return _RESERVED.all(self._raw, {"of_lease": lease})

    def move(self, lease: str, amount: int, *, source: str, sale: str | None, at_ms: int) -> None:
        """Spend ``amount`` of a lease, or give it back below 0; more than was granted raises IntegrityError."""
        move = {"source": source, "lease": lease, "sale": sale, "amount": amount, "at_ms": at_ms}
        self._connection.execute(insert(LEASE_MOVE), move)
        spent = update(LEASE).where(LEASE.c.id == lease).values(spent=LEASE.c.spent + amount)
        self._connection.execute(spent)

    def taken_by(self, sale: str) -> list[Found]:
        """Return lease and amount of what a sale has taken and not given back, in the order of taking."""
        return _TAKEN_BY.all(self._raw, {"of_sale": sale})

    def set_state(self, lease: str, state: str, ended_ms: int | None) -> None:
        """A lease goes back, has gone back, or is void; ``ended_ms``: when, ``None`` while it is not over."""
        self._connection.execute(update(LEASE).where(LEASE.c.id == lease).values(state=state, ended_ms=ended_ms))


class CouponTable:
    """Coupons that were shown here, and what they gave."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def learn(self, values: Mapping[str, Any]) -> None:
        """Keep a coupon whose signature was good; one that is known stays as it is."""
        self._connection.execute(insert(COUPON).prefix_with("OR IGNORE"), dict(values))

    def one(self, code: str) -> RowMapping | None:
        """Return a coupon that was shown here before."""
        return self._connection.execute(select(COUPON).where(COUPON.c.code == code)).mappings().first()

    def uses(self, code: str) -> list[RowMapping]:
        """Return every use of a coupon here, oldest first, those that came back included."""
        statement = select(COUPON_USE).where(COUPON_USE.c.code == code)
        return list(self._connection.execute(statement.order_by(COUPON_USE.c.at_ms, COUPON_USE.c.source)).mappings())

    def use(self, values: Mapping[str, Any]) -> None:
        """Note what a coupon gave on a sale; a second use of one that is spent raises IntegrityError, our bug."""
        self._connection.execute(insert(COUPON_USE), {**values, "returned_ms": None})

    def used_on(self, sale: str) -> list[RowMapping]:
        """Return the coupons a sale was settled with and that have not come back."""
        here = (COUPON_USE.c.sale == sale) & COUPON_USE.c.returned_ms.is_(None)
        return list(self._connection.execute(select(COUPON_USE).where(here).order_by(COUPON_USE.c.code)).mappings())

    def give_back(self, sale: str, code: str, at_ms: int) -> None:
        """The whole sale was given back: this use of a coupon counts no more."""
        here = (COUPON_USE.c.sale == sale) & (COUPON_USE.c.code == code)
        self._connection.execute(update(COUPON_USE).where(here).values(returned_ms=at_ms))

    def leave(self, sale: str, code: str, left_minor: int | None, *, used: bool) -> None:
        """Change what a use left on its coupon: an earlier use of it has come back."""
        here = (COUPON_USE.c.sale == sale) & (COUPON_USE.c.code == code)
        self._connection.execute(update(COUPON_USE).where(here).values(left_minor=left_minor, used=int(used)))


class QuoteTable:
    """Quotes that hold a price, and what they hold for it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = raw(connection)

    def add(self, values: Mapping[str, Any], held: Sequence[tuple[str, str, int]]) -> None:
        """Insert a quote with what it holds as (kind, key, amount); a coupon held twice raises IntegrityError."""
        self._connection.execute(insert(QUOTE), dict(values))
        for kind, key, amount in held:
            self._connection.execute(insert(HELD), {"sale": values["sale"], "kind": kind, "key": key, "amount": amount})

    def one(self, sale: str) -> Found | None:
        """Return the quote that locks a sale."""
        return _QUOTE.first(self._raw, {"of_sale": sale})

    def until(self) -> list[tuple[str, int]]:
        """Return every locked sale with the wall time at which its quote ends."""
        return list(self._connection.execute(select(QUOTE.c.sale, QUOTE.c.until_ms)).tuples())

    def of_sale(self, sale: str, kind: str) -> list[tuple[str, int]]:
        """Return key and amount of what the quote of a sale holds of one kind."""
        here = (HELD.c.sale == sale) & (HELD.c.kind == kind)
        statement = select(HELD.c.key, HELD.c.amount).where(here).order_by(HELD.c.key)
        return list(self._connection.execute(statement).tuples())

    def held(self, kind: str, key: str) -> int:
        """Return how much of something all quotes together hold."""
        here = (HELD.c.kind == kind) & (HELD.c.key == key)
        return int(self._connection.execute(select(func.coalesce(func.sum(HELD.c.amount), 0)).where(here)).scalar_one())

    def holder(self, kind: str, key: str) -> str | None:
        """Return the sale whose quote holds something."""
        here = (HELD.c.kind == kind) & (HELD.c.key == key)
        return self._connection.execute(select(HELD.c.sale).where(here).limit(1)).scalar()

    def remove(self, sale: str) -> None:
        """A quote is over: settled or released; what it held goes with it."""
        self._connection.execute(delete(QUOTE).where(QUOTE.c.sale == sale))

    def end_all(self, wall_ms: int) -> None:
        """Let every quote end now: the next look releases it."""
        self._connection.execute(update(QUOTE).values(until_ms=wall_ms))
