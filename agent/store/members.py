"""The member cache: recognised by keyed blind index, named by a local surrogate, never by phone or card number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from agent.store import merging
from agent.store.cards import CardTable
from agent.store.enrolment_tables import ENROLMENT, MEMBER_ALIAS
from agent.store.failures import disk_named
from agent.store.handheld_tables import HANDHELD_ANSWER
from agent.store.loyalty_tables import PRICED
from agent.store.named import NAMED, NO_BUCKET, in_buckets
from agent.store.prepared import Found, Prepared, raw
from agent.store.tables import MEMBER, MEMBER_INDEX, USE_COUNT
from agent.store.waiting import INSERT_INDEX, WaitingIndexes, waiting_owner
from sync.buckets import bucket_of, recognised_by

_ROWS = select(MEMBER)
_BY_INDEX = Prepared(
    _ROWS.join(MEMBER_INDEX, MEMBER_INDEX.c.member_ref == MEMBER.c.ref).where(
        MEMBER_INDEX.c.digest == bindparam("of_digest")
    )
)
_OWNER = MEMBER.alias("owner")
_NAMED = MEMBER.c.bucket.in_((bindparam("of_bucket"), NO_BUCKET)) & (MEMBER.c.id == bindparam("of_member"))
_BY_ID = Prepared(
    select(_OWNER)
    .select_from(
        MEMBER.outerjoin(MEMBER_ALIAS, MEMBER_ALIAS.c.ref == MEMBER.c.ref).join(
            _OWNER, _OWNER.c.ref == func.coalesce(MEMBER_ALIAS.c.to_ref, MEMBER.c.ref)
        )
    )
    .where(_NAMED)
)
_OWN_ROW = Prepared(_ROWS.where(_NAMED))
_MERGED_INTO = Prepared(
    _ROWS.join(MEMBER_ALIAS, MEMBER_ALIAS.c.ref == MEMBER.c.ref)
    .where(MEMBER_ALIAS.c.to_ref == bindparam("of_ref"))
    .order_by(MEMBER.c.ref)
)
_BY_REF = Prepared(_ROWS.where(MEMBER.c.ref == bindparam("of_ref")))
_USES = Prepared(select(USE_COUNT).where(USE_COUNT.c.subject == bindparam("of_subject")))
_COUNT_USE = Prepared(
    update(MEMBER)
    .where(MEMBER.c.ref == bindparam("of_ref"))
    .values(visits=MEMBER.c.visits + bindparam("more_visits"), growth=MEMBER.c.growth + bindparam("more_growth"))
)


def _adding() -> Prepared:
    """Return an upsert of use counts that adds to those which are there."""
    statement = upsert(USE_COUNT)
    added = {name: USE_COUNT.c[name] + statement.excluded[name] for name in ("uses", "amount")}
    return Prepared(statement.on_conflict_do_update(["subject", "offer", "window", "period"], set_=added))


_ADD_USES = _adding()

_REPLACED = (
    "id",
    "tier",
    "growth",
    "tags",
    "mask",
    "birthday_md",
    "flags",
    "base_points",
    "base_lots",
    "as_of",
    "known",
    "op",
    "tank_ml",
    "bucket",
)
_INSERT = Prepared(insert(MEMBER), without=("ref",))
_VALUES = ["coalesce(?, 0)" if name == "growth" else "?" for name in _REPLACED]
_INSERT_ROW = (
    f"INSERT INTO member (ref, {', '.join(_REPLACED)}, visits, first_fill_used)"  # noqa: S608
    f" VALUES (?, {', '.join(_VALUES)}, ?, ?)"
)
_SET = [f"{name} = coalesce(?, growth)" if name == "growth" else f"{name} = ?" for name in _REPLACED]
_UPDATE = f"UPDATE member SET {', '.join(_SET)} WHERE ref = ?"  # noqa: S608
_REFS_OF = f"SELECT m.id, m.ref FROM {NAMED}"  # noqa: S608
_DROP_INDEXES = "DELETE FROM member_index WHERE member_ref = ?"

_BLANK = {
    "tier": "",
    "growth": 0,
    "tags": "[]",
    "mask": "****",
    "birthday_md": None,
    "flags": "[]",
    "base_points": 0,
    "base_lots": "[]",
    "as_of": None,
    "known": 0,
    "tank_ml": None,
}
"""What is left of a person whom head office deleted."""


class Put(NamedTuple):
    """What head office tells of one member: opaque id (16 hex digits), no person's own numbers.

    ``growth``: ``None`` where it is not told: what was counted here stands. ``indexes``: keyed blind indexes; ``op``:
    the number of the change that told it. ``base_lots``: JSON of its lots, ``base_points`` their sum; ``as_of``: JSON
    of the place in our journal up to which they hold what happened here. ``tank_ml``: the size of its registered tank;
    ``bucket``: its number where it is known already.
    """

    id: str
    tier: str
    growth: int | None
    tags: tuple[str, ...]
    mask: str
    birthday_md: str | None
    flags: tuple[str, ...]
    base_points: int
    indexes: tuple[bytes, ...]
    op: int
    base_lots: str = "[]"
    as_of: str | None = None
    tank_ml: int | None = None
    bucket: int | None = None


@lru_cache(maxsize=1_024)  # a group has a handful of combinations
def _sorted_text(words: tuple[str, ...]) -> str:
    return json.dumps(sorted(words))


def _replaced(member: Put) -> tuple[Any, ...]:
    """Return the values of ``_REPLACED``."""
    tags, flags = _sorted_text(member.tags), _sorted_text(member.flags)
    return (
        member.id,
        member.tier,
        member.growth,
        tags,
        member.mask,
        member.birthday_md,
        flags,
        member.base_points,
        member.base_lots,
        member.as_of,
        1,
        member.op,
        member.tank_ml,
        bucket_of(member.id) if member.bucket is None else member.bucket,
    )


def _named(member: str) -> dict[str, Any]:
    """Return the parameters of ``_NAMED``."""
    return {"of_member": member, "of_bucket": bucket_of(member)}


def _bucket_and_id(row: tuple[tuple[Any, ...], int]) -> tuple[int, str]:
    values, _ = row
    return values[-1], values[0]


def _first_fill_used(member: Put) -> int:
    return int("first_fill_used" in member.flags)


class MemberTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection, now_ms: int) -> None:
        self._connection = connection
        self._raw = raw(connection)
        self._cards = CardTable(connection)
        self.waiting = WaitingIndexes(connection)
        self._now_ms = now_ms

    def by_index(self, digest: bytes) -> Found | None:
        """Return the member with this blind index."""
        told = recognised_by(digest)
        with disk_named():
            ref = waiting_owner(self._raw, told)
        return _BY_INDEX.first(self._raw, {"of_digest": told}) if ref is None else self.by_ref(ref)

    def by_id(self, member: str) -> Found | None:
        """Return the member with this opaque id (16 hex digits), or the one that head office merged it into."""
        return _BY_ID.first(self._raw, _named(member))

    def by_ref(self, ref: int) -> Found | None:
        """Return the member behind a surrogate."""
        return _BY_REF.first(self._raw, {"of_ref": ref})

    def ids_of(self, ref: int) -> list[Found]:
        """Return the row of a member and those of the ids that were merged into it."""
        own = self.by_ref(ref)
        assert own is not None, "a surrogate names a member"
        return [own, *_MERGED_INTO.all(self._raw, {"of_ref": ref})]

    def put(self, member: Put) -> int:
        """Insert or replace a member and its indexes; returns the surrogate. An id that was merged into another one
        stays what it is: the other's.
        """
        row = dict(zip(_REPLACED, _replaced(member), strict=True))
        existing = _OWN_ROW.first(self._raw, _named(member.id))
        if existing is None:
            fresh = {**row, "growth": member.growth or 0, "visits": 0, "first_fill_used": _first_fill_used(member)}
            _INSERT.run(self._raw, fresh)
            existing = _OWN_ROW.first(self._raw, _named(member.id))
            assert existing is not None
            self.waiting.settle((), map(recognised_by, member.indexes))
        elif merging.is_alias(self._connection, existing["ref"]):
            return int(existing["ref"])
        else:
            self.waiting.settle([existing["ref"]], map(recognised_by, member.indexes))
            told = {name: value for name, value in row.items() if name != "growth" or value is not None}
            self._connection.execute(update(MEMBER).where(MEMBER.c.ref == existing["ref"]).values(**told))
            merging.included(self._connection, [existing["ref"]])
        ref = int(existing["ref"])
        self._connection.execute(delete(MEMBER_INDEX).where(MEMBER_INDEX.c.member_ref == ref))
        for digest in member.indexes:
            self._connection.exec_driver_sql(INSERT_INDEX, (recognised_by(digest), ref))
        return ref

    def in_bucket(self, number: int) -> dict[str, int]:
        """Return every id in a bucket with its surrogate, whoever told it and whatever became of it."""
        rows = self._connection.exec_driver_sql("SELECT id, ref FROM member WHERE bucket = ?", (number,))
        return dict(rows.tuples().all())

    def put_all(
        self, members: Sequence[Put], there: Mapping[str, int] | None = None, *, aside: int | None = None
    ) -> None:
        """Insert or replace many: the same outcome as ``put`` one after another, at the speed of SQLite's own loops.

        ``there``: where it is known already, every id in the cache that can be meant, with its surrogate. ``aside``:
        these are the members of that bucket as it was fetched, and their indexes may wait to be put in with others.
        """
        digests = [recognised_by(digest) for member in members for digest in member.indexes]
        if len({member.id for member in members}) < len(members) or len(set(digests)) < len(digests):
            for member in members:  # the same one twice: what came later must win, one by one
                self.put(member)
            return
        send = self._connection.exec_driver_sql
        refs = self._refs(members) if there is None else {m.id: there[m.id] for m in members if m.id in there}
        merged = merging.aliases_among(self._connection, refs.values())
        if merged:
            self.put_all([member for member in members if refs.get(member.id) not in merged], there, aside=aside)
            return
        if aside is None:
            self.waiting.settle(refs.values(), digests)
        else:
            self.waiting.settle_bucket(aside)
        if refs:
            send(_UPDATE, [(*_replaced(member), refs[member.id]) for member in members if member.id in refs])
            send(_DROP_INDEXES, [(ref,) for ref in refs.values()])
            merging.included(self._connection, refs.values())
        # In the order of their keys: each page of a large index is then written once, not once per row.
        fresh = [(_replaced(member), _first_fill_used(member)) for member in members if member.id not in refs]
        fresh.sort(key=_bucket_and_id)
        if fresh:
            first = int(send("SELECT coalesce(max(ref), 0) + 1 FROM member").scalar_one())
            send(_INSERT_ROW, [(ref, *values, 0, used) for ref, (values, used) in enumerate(fresh, first)])
            refs.update((values[0], ref) for ref, (values, _) in enumerate(fresh, first))
        if digests:
            owners = (refs[member.id] for member in members for _ in member.indexes)
            if aside is None:
                send(INSERT_INDEX, sorted(zip(digests, owners, strict=True)))
            else:
                self.waiting.put_aside(aside, zip(digests, owners, strict=True))

    def _refs(self, members: Sequence[Put]) -> dict[str, int]:
        """Return the surrogates of those that are in the cache."""
        send = self._connection.exec_driver_sql
        if send("SELECT 1 FROM member LIMIT 1").first() is None:
            return {}
        return dict(send(_REFS_OF, (in_buckets(member.id for member in members),)).tuples().all())

    def ensure(self, member: str) -> int:
        """Return the surrogate of a member, making an empty row for one not in the cache."""
        existing = self.by_id(member)
        if existing is not None:
            return int(existing["ref"])
        ref = self.put(Put(member, "", 0, (), "****", None, (), 0, (), 0))
        self._connection.execute(update(MEMBER).where(MEMBER.c.ref == ref).values(known=0))
        return ref

    def forget(self, member: str) -> None:
        """DEL from head office: what describes the person goes at once, the surrogate stays for the ledger.

        Of an id that was merged into another one nothing is left to go: the person is the other.
        """
        existing = _OWN_ROW.first(self._raw, _named(member))
        if existing is None or merging.is_alias(self._connection, existing["ref"]):
            return
        ref = existing["ref"]
        self.waiting.settle([ref])
        self._connection.execute(delete(MEMBER_INDEX).where(MEMBER_INDEX.c.member_ref == ref))
        self._cards.forget_member(ref, self._now_ms)
        self._forget_answers(str(existing["mask"]))
        self._connection.execute(update(MEMBER).where(MEMBER.c.ref == ref).values(**_BLANK))
        merging.included(self._connection, [ref])
        self._connection.execute(update(PRICED).where(PRICED.c.member_ref == ref).values(facts=None))
        ids = [row["id"] for row in self.ids_of(ref)]
        self._connection.execute(update(ENROLMENT).where(ENROLMENT.c.member.in_(ids)).values(mask=_BLANK["mask"]))

    def blank_all(self) -> None:
        """Of everybody whom head office told only the surrogate is left."""
        told = (MEMBER.c.ref > 0) & (MEMBER.c.known == 1) & (MEMBER.c.op > 0)
        ids = select(MEMBER.c.id).where(told)
        self._connection.execute(update(ENROLMENT).where(ENROLMENT.c.member.in_(ids)).values(mask=_BLANK["mask"]))
        self._connection.execute(update(MEMBER).where(told).values(**_BLANK))

    def _forget_answers(self, mask: str) -> None:
        """Answers of handhelds tell a mask; who asks again is answered anew."""
        answer = HANDHELD_ANSWER.c.answer
        told = or_(*(func.instr(answer, form) > 0 for form in {mask, json.dumps(mask)[1:-1]}))
        if mask not in ("", "****"):
            self._connection.execute(delete(HANDHELD_ANSWER).where(told))

    def merge(self, member: str, to: str, *, op: int, at_ms: int) -> str | None:
        """Head office merged ``member`` into ``to``: everything of it is the other's from now on, its ledger rows stay.

        Returns the id it is now, ``None`` where this station does not know ``member``, or knew it already.
        """
        old = _OWN_ROW.first(self._raw, _named(member))
        if old is None or merging.is_alias(self._connection, old["ref"]):
            return None
        self.ensure(to)
        target = self.by_id(to)
        assert target is not None
        if target["ref"] == old["ref"]:
            return None  # head office merged them the other way round before
        self.waiting.settle([old["ref"]])
        merging.merge(self._connection, old, target, op=op, at_ms=at_ms)
        return str(target["id"])

    def count_use(self, ref: int, *, visits: int, growth: int) -> None:
        """Add a settled (or, negative, reversed) visit and growth of a member."""
        _COUNT_USE.run(self._raw, {"of_ref": ref, "more_visits": visits, "more_growth": growth})

    def uses(self, subject: int) -> list[Found]:
        """Return the use counts of a member, or with ``subject`` 0 of this station."""
        return _USES.all(self._raw, {"of_subject": subject})

    def add_uses(self, subject: int, rows: Sequence[tuple[str, str, str, int, int]]) -> None:
        """Add (offer, window, period, uses, amount) to the counts of a member or, with 0, of this station."""
        for offer, window, period, uses, amount in rows:
            counted = {"offer": offer, "window": window, "period": period, "uses": uses, "amount": amount}
            _ADD_USES.run(self._raw, {"subject": subject, **counted})
