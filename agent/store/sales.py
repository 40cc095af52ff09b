"""Sales, links, settlements, tenders, corrections and the points ledger, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, select, update

from agent.domain.sale import Sale, SaleKind, SaleState, Totalizer
from agent.store.enrolment_tables import MEMBER_ALIAS
from agent.store.loyalty_tables import PRICED
from agent.store.prepared import Found, Prepared, raw
from agent.store.tables import (
    CORRECTION,
    LINK,
    LOT,
    MEMBER,
    POINTS_HOLDER,
    POSTING,
    SALE,
    SCAN_EVENT,
    SETTLEMENT,
    SUPERSEDED,
    TENDER,
)

Row: TypeAlias = RowMapping | Found
"""A row by column name, as every table of the store gives it."""

UNSETTLED = (SaleState.PAYABLE.value, SaleState.LOCKED.value)
"""Named one by one: "not Cleared" would read every sale there ever was, these are found by index."""

_INSERT_SALE = Prepared(insert(SALE))
_INSERT_LINK = Prepared(insert(LINK))
_INSERT_SETTLEMENT = Prepared(insert(SETTLEMENT))
_INSERT_PRICED = Prepared(insert(PRICED))
_INSERT_TENDER = Prepared(insert(TENDER))
_INSERT_POSTING = Prepared(insert(POSTING), without=("id",))
_INSERT_LOT = Prepared(insert(LOT).prefix_with("OR IGNORE"))
_INSERT_SCAN = Prepared(insert(SCAN_EVENT))
_ROW = Prepared(select(SALE).where(SALE.c.id == bindparam("of_sale")))
_SET_STATE = Prepared(update(SALE).where(SALE.c.id == bindparam("of_sale")).values(state=bindparam("new_state")))
_SET_DUE = Prepared(update(SALE).where(SALE.c.id == bindparam("of_sale")).values(settle_due_ms=bindparam("new_due_ms")))
_SET_HOLDER = Prepared(insert(POINTS_HOLDER).prefix_with("OR REPLACE"))
_ACTIVE_LINK = Prepared(
    select(
        LINK.c.id,
        LINK.c.member_ref,
        LINK.c.level,
        LINK.c.made_ms,
        LINK.c.by,
        LINK.c.delay_s,
        LINK.c.clock_suspect,
        LINK.c.scan,
        LINK.c.late,
        MEMBER.c.id.label("member"),
        MEMBER.c.mask,
    )
    .join(MEMBER, MEMBER.c.ref == LINK.c.member_ref)
    .where((LINK.c.sale == bindparam("of_sale")) & (LINK.c.active == 1))
)
_REFS = (
    select(bindparam("of_member").label("ref"))
    .union_all(select(MEMBER_ALIAS.c.ref).where(MEMBER_ALIAS.c.to_ref == bindparam("of_member")))
    .scalar_subquery()
)
"""A member's surrogate and those of the ids that were merged into it."""

_POSTED_TO = Prepared(
    select(
        POSTING.c.member_ref, POSTING.c.generation, POSTING.c.seq, POSTING.c.account, POSTING.c.points, POSTING.c.lot
    )
    .where(POSTING.c.member_ref.in_(_REFS))
    .order_by(POSTING.c.id)
)
_LOTS = Prepared(select(LOT).where(LOT.c.member_ref.in_(_REFS)).order_by(LOT.c.expires_on, LOT.c.earned_ms, LOT.c.id))
_LINKED_BEFORE = Prepared(
    select(func.count().label("sales"), func.coalesce(func.sum(SALE.c.volume_ml), 0).label("volume_ml"))
    .select_from(LINK.join(SALE, SALE.c.id == LINK.c.sale))
    .where(
        LINK.c.member_ref.in_(_REFS)
        & (LINK.c.level == bindparam("of_level"))
        & (LINK.c.active == 1)
        & (
            (LINK.c.made_ms < bindparam("until_ms"))
            | ((LINK.c.made_ms == bindparam("until_ms")) & (LINK.c.sale < bindparam("of_sale")))
        )
        & (SALE.c.ended_ms >= bindparam("begin_ms"))
        & (SALE.c.ended_ms < bindparam("end_ms"))
    )
)
_REDEEMED = Prepared(
    select(func.coalesce(func.sum(SETTLEMENT.c.points_redeemed), 0).label("points"))
    .select_from(SETTLEMENT.join(SALE, SALE.c.id == SETTLEMENT.c.sale))
    .where(
        SETTLEMENT.c.member_ref.in_(_REFS)
        & (SETTLEMENT.c.settled_ms >= bindparam("begin_ms"))
        & (SETTLEMENT.c.settled_ms < bindparam("end_ms"))
        & (SALE.c.voided == 0)
    )
)
_DEBT = Prepared(
    select(func.coalesce(func.sum(POSTING.c.points), 0).label("points")).where(
        POSTING.c.member_ref.in_(_REFS) & (POSTING.c.account == "member:debt")
    )
)


_OWNER_REF = func.coalesce(MEMBER_ALIAS.c.to_ref, POINTS_HOLDER.c.member_ref)
_HOLDER = (
    select(POINTS_HOLDER, MEMBER.c.id.label("member"), MEMBER.c.ref.label("owner_ref"))
    .outerjoin(MEMBER_ALIAS, MEMBER_ALIAS.c.ref == POINTS_HOLDER.c.member_ref)
    .join(MEMBER, MEMBER.c.ref == _OWNER_REF)
)


def sale_of(row: Row) -> Sale:
    """Return the fuel fact of a row of table ``sale``."""
    has_totals = row["start_raw"] is not None
    ends = row["end_raw"] is not None
    return Sale(
        id=row["id"],
        fuelling_point=row["fuelling_point"],
        nozzle=row["nozzle"],
        grade=row["grade"],
        tank=row["tank"],
        kind=SaleKind(row["kind"]),
        volume_ml=row["volume_ml"],
        unit_price_milli=row["unit_price_milli"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        exponent=row["exponent"],
        totalizer_start=Totalizer(row["start_epoch"], row["start_raw"]) if has_totals else None,
        totalizer_end=Totalizer(row["end_epoch"], row["end_raw"]) if ends else None,
        sub=row["sub"],
        counter=row["counter"],
        lifted_ms=row["lifted_ms"],
        ended_ms=row["ended_ms"],
        business_day=row["business_day"],
        attendant=row["attendant"],
        flags=tuple(row["flags"].split()) if row["flags"] else (),
        rollback_offer=row["rollback_offer"],
        list_price_milli=row["list_price_milli"],
    )


class SaleTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = raw(connection)

    def add(self, sale: Sale, *, settle_due_ms: int | None, journal_seq: int) -> None:
        """Insert a sale as Payable. The natural key is unique: a second insert raises IntegrityError, our bug."""
        start, end = sale.totalizer_start, sale.totalizer_end
        _INSERT_SALE.run(
            self._raw,
            {
                "id": sale.id,
                "fuelling_point": sale.fuelling_point,
                "nozzle": sale.nozzle,
                "grade": sale.grade,
                "tank": sale.tank,
                "kind": sale.kind.value,
                "volume_ml": sale.volume_ml,
                "unit_price_milli": sale.unit_price_milli,
                "amount_minor": sale.amount_minor,
                "currency": sale.currency,
                "exponent": sale.exponent,
                "start_epoch": start.epoch if start else None,
                "start_raw": start.raw if start else None,
                "end_epoch": end.epoch if end else None,
                "end_raw": end.raw if end else None,
                "sub": sale.sub,
                "counter": sale.counter,
                "lifted_ms": sale.lifted_ms,
                "ended_ms": sale.ended_ms,
                "business_day": sale.business_day,
                "attendant": sale.attendant,
                "flags": " ".join(sale.flags),
                "state": SaleState.PAYABLE.value,
                "voided": 0,
                "refunded_minor": 0,
                "settle_due_ms": settle_due_ms,
                "journal_seq": journal_seq,
                "rollback_offer": sale.rollback_offer,
                "list_price_milli": sale.list_price_milli,
            },
        )

    def row(self, sale: str) -> Row | None:
        """Return the whole row of one sale."""
        return _ROW.first(self._raw, {"of_sale": sale})

    def supersede(self, sale: str, rest: str | None, wall_ms: int) -> None:
        """Note that head office knew the litres of a sale, all but those of the sale ``rest``."""
        self._connection.execute(insert(SUPERSEDED), {"sale": sale, "rest": rest, "made_ms": wall_ms})

    def is_superseded(self, sale: str) -> bool:
        """Return whether head office's other sales already stand for this one."""
        statement = select(SUPERSEDED.c.sale).where(SUPERSEDED.c.sale == sale)
        return self._connection.execute(statement).first() is not None

    def ids_like(self, prefix: str) -> list[str]:
        """Return up to three sale ids that start with ``prefix`` (people type the first characters)."""
        first = prefix.upper()  # ids are digits and capitals: all that begin so lie between here and "first~"
        here = (SALE.c.id >= first) & (SALE.c.id < f"{first}~")
        rows = self._connection.execute(select(SALE.c.id).where(here).limit(3))
        return [row[0] for row in rows]

    def set_state(self, sale: str, state: SaleState) -> None:
        """Move a sale along Payable, Locked, Cleared."""
        _SET_STATE.run(self._raw, {"of_sale": sale, "new_state": state.value})

    def set_due(self, sale: str, settle_due_ms: int | None) -> None:
        """Set when an automatic settlement is due."""
        _SET_DUE.run(self._raw, {"of_sale": sale, "new_due_ms": settle_due_ms})

    def set_reversed(self, sale: str, *, voided: bool, refunded_minor: int) -> None:
        """Note how much of a settled sale has been given back."""
        values = {"voided": int(voided), "refunded_minor": refunded_minor}
        self._connection.execute(update(SALE).where(SALE.c.id == sale).values(**values))

    def scheduled(self) -> list[tuple[str, int]]:
        """Return payable sales with the wall time of their automatic settlement, soonest first."""
        rows = self._connection.execute(
            select(SALE.c.id, SALE.c.settle_due_ms)
            .where((SALE.c.state == SaleState.PAYABLE.value) & (SALE.c.settle_due_ms.is_not(None)))
            .order_by(SALE.c.settle_due_ms)
        )
        return [(sale, int(due)) for sale, due in rows if due is not None]

    def unpaid_per_point(self) -> dict[int, int]:
        """Return how many sales are not Cleared per fuelling point."""
        rows = self._connection.execute(
            select(SALE.c.fuelling_point, func.count())
            .where(SALE.c.state.in_(UNSETTLED))
            .group_by(SALE.c.fuelling_point)
        )
        return dict(rows.tuples().all())

    def rollbacks_under_way(self) -> frozenset[tuple[str, str | None]]:
        """Return (offer, member) of every unsettled sale at a lowered price; member ``None`` where it has no link."""
        holder = SALE.outerjoin(LINK, (LINK.c.sale == SALE.c.id) & (LINK.c.active == 1)).outerjoin(
            MEMBER, MEMBER.c.ref == LINK.c.member_ref
        )
        of_offers = SALE.c.state.in_(UNSETTLED) & SALE.c.rollback_offer.is_not(None)
        rows = self._connection.execute(select(SALE.c.rollback_offer, MEMBER.c.id).select_from(holder).where(of_offers))
        return frozenset((str(offer), member) for offer, member in rows)

    def add_link(self, values: Mapping[str, Any]) -> None:
        """Insert a link; the partial unique index refuses a second active one (IntegrityError)."""
        _INSERT_LINK.run(self._raw, {"clock_suspect": 0, "scan": None, "late": 0, **values})

    def end_link(self, link: str) -> None:
        """A correction takes the place of this link."""
        self._connection.execute(update(LINK).where(LINK.c.id == link).values(active=0))

    def active_link(self, sale: str) -> Row | None:
        """Return the active link of a sale with the member's id and mask."""
        return _ACTIVE_LINK.first(self._raw, {"of_sale": sale})

    def is_parted(self, sale: str) -> bool:
        """Return whether a sale is so old that it names a pseudonym and its member no more."""
        here = (LINK.c.sale == sale) & (LINK.c.member_ref < 0)
        return self._connection.execute(select(LINK.c.id).where(here).limit(1)).first() is not None

    def count_links(self, sale: str) -> int:
        """Return how many links a sale has had."""
        return int(self._connection.execute(select(func.count()).where(LINK.c.sale == sale)).scalar_one())

    def linked_before(
        self, member_ref: int, level: str, *, sale: str, made_ms: int, begin_ms: int, end_ms: int
    ) -> tuple[int, int]:
        """Return how many sales that ended within a span a member was linked to on a level before this one at
        ``made_ms``, and their millilitres.
        """
        values = {"of_member": member_ref, "of_level": level, "of_sale": sale}
        found = _LINKED_BEFORE.first(self._raw, {**values, "until_ms": made_ms, "begin_ms": begin_ms, "end_ms": end_ms})
        return (0, 0) if found is None else (int(found["sales"]), int(found["volume_ml"]))

    def redeemed_between(self, member_ref: int, begin_ms: int, end_ms: int) -> int:
        """Return the points that paid a member's sales settled within a span, sales given back in full left out."""
        values = {"of_member": member_ref, "begin_ms": begin_ms, "end_ms": end_ms}
        found = _REDEEMED.first(self._raw, values)
        return 0 if found is None else int(found["points"])

    def add_scan(self, values: Mapping[str, Any]) -> None:
        """Keep what a scan came to; never its text."""
        _INSERT_SCAN.run(self._raw, values)

    def add_settlement(self, values: Mapping[str, Any], tenders: Sequence[tuple[str, int, str | None]]) -> None:
        """Insert the settlement of a sale and how it was paid; a second one raises IntegrityError."""
        _INSERT_SETTLEMENT.run(self._raw, values)
        for n, (kind, amount_minor, ref) in enumerate(tenders, 1):
            _INSERT_TENDER.run(
                self._raw,
                {"sale": values["sale"], "n": n, "kind": kind, "amount_minor": amount_minor, "ref": ref},
            )

    def add_priced(self, values: Mapping[str, Any]) -> None:
        """Keep what the rules were told when a sale was priced."""
        _INSERT_PRICED.run(self._raw, values)

    def settlement(self, sale: str) -> Row | None:
        """Return the settlement of a sale."""
        statement = select(SETTLEMENT).where(SETTLEMENT.c.sale == sale)
        return self._connection.execute(statement).mappings().first()

    def set_holder(self, values: Mapping[str, Any]) -> None:
        """Name who holds the points of a settled sale from now on."""
        _SET_HOLDER.run(self._raw, values)

    def end_holder(self, sale: str) -> None:
        """Nobody holds the points of this sale any more."""
        self._connection.execute(delete(POINTS_HOLDER).where(POINTS_HOLDER.c.sale == sale))

    def holder(self, sale: str) -> Row | None:
        """Return who holds the points of a settled sale: ``member`` and ``member_ref`` as head office merged them
        since, ``posted_ref`` as the points were posted.
        """
        statement = _HOLDER.where(POINTS_HOLDER.c.sale == sale)
        found = self._connection.execute(statement).mappings().first()
        if found is None:
            return None
        return {**found, "posted_ref": found["member_ref"], "member_ref": found["owner_ref"]}

    def tenders(self, sale: str) -> list[RowMapping]:
        """Return how a sale was paid."""
        statement = select(TENDER).where(TENDER.c.sale == sale).order_by(TENDER.c.n)
        return list(self._connection.execute(statement).mappings())

    def add_correction(self, values: Mapping[str, Any]) -> None:
        """Insert a correction beside the facts it corrects."""
        self._connection.execute(insert(CORRECTION), dict(values))

    def corrections(self, sale: str) -> list[RowMapping]:
        """Return the corrections of a sale, oldest first."""
        statement = select(CORRECTION).where(CORRECTION.c.sale == sale).order_by(CORRECTION.c.id)
        return list(self._connection.execute(statement).mappings())

    def add_posting(self, values: Mapping[str, Any]) -> None:
        """Insert one leg of the ledger; (source, leg) is unique."""
        _INSERT_POSTING.run(self._raw, values)

    def postings_of(self, sale: str) -> list[RowMapping]:
        """Return every posting that a sale caused, in order."""
        statement = select(POSTING).where(POSTING.c.sale == sale).order_by(POSTING.c.id)
        return list(self._connection.execute(statement).mappings())

    def add_lot(self, values: Mapping[str, Any]) -> None:
        """Insert a points lot; an existing one stays as it is."""
        _INSERT_LOT.run(self._raw, values)

    def set_usable_from(self, lot: str, member_ref: int, usable_from_ms: int | None) -> None:
        """From when on the points of a lot may be spent; ``None`` holds them for a review."""
        here = (LOT.c.id == lot) & (LOT.c.member_ref == member_ref)
        self._connection.execute(update(LOT).where(here).values(usable_from_ms=usable_from_ms))

    def lots_of(self, member_ref: int) -> list[Found]:
        """Return the terms of every lot of a member that this station knows."""
        return _LOTS.all(self._raw, {"of_member": member_ref})

    def posted_to(self, member_ref: int) -> list[Found]:
        """Return a member's postings in order, each with the place of its record."""
        return _POSTED_TO.all(self._raw, {"of_member": member_ref})

    def place_again(self, source: str, generation: int, seq: int) -> None:
        """A new incarnation sends the record of these postings again: head office gets it there."""
        here = POSTING.c.source == source
        self._connection.execute(update(POSTING).where(here).values(generation=generation, seq=seq))

    def debt_of(self, member_ref: int) -> int:
        """Return how many points a member owes (0 or more)."""
        owed = _DEBT.first(self._raw, {"of_member": member_ref})
        return 0 if owed is None else -int(owed["points"])

    def replace_tenders(self, sale: str, tenders: Sequence[tuple[str, int, str | None]]) -> None:
        """A tender correction: the journal keeps the old ones, this table shows what counts."""
        self._connection.execute(delete(TENDER).where(TENDER.c.sale == sale))
        for n, (kind, amount_minor, ref) in enumerate(tenders, 1):
            _INSERT_TENDER.run(
                self._raw, {"sale": sale, "n": n, "kind": kind, "amount_minor": amount_minor, "ref": ref}
            )
