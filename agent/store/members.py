"""The member cache: recognised by keyed blind index, named by a local surrogate, never by phone or card number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlmodel import col

from agent.store.prepared import Found, Prepared, raw
from agent.store.tables import Member, MemberIndex, UseRow

_ROWS = select(Member.__table__)  # type: ignore[attr-defined]
_BY_INDEX = Prepared(
    _ROWS.join(MemberIndex, col(MemberIndex.member_ref) == col(Member.ref)).where(
        col(MemberIndex.digest) == bindparam("of_digest")
    )
)
_BY_ID = Prepared(_ROWS.where(col(Member.id) == bindparam("of_member")))
_BY_REF = Prepared(_ROWS.where(col(Member.ref) == bindparam("of_ref")))
_USES = Prepared(select(UseRow.__table__).where(col(UseRow.subject) == bindparam("of_subject")))  # type: ignore[attr-defined]


class MemberTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = raw(connection)

    def by_index(self, digest: bytes) -> Found | None:
        """Return the member with this blind index."""
        return _BY_INDEX.first(self._raw, {"of_digest": digest})

    def by_id(self, member: str) -> Found | None:
        """Return the member with this opaque id (16 hex digits)."""
        return _BY_ID.first(self._raw, {"of_member": member})

    def by_ref(self, ref: int) -> Found | None:
        """Return the member behind a surrogate."""
        return _BY_REF.first(self._raw, {"of_ref": ref})

    def put(self, member: str, values: Mapping[str, Any], indexes: Sequence[bytes], op: int) -> int:
        """Insert or replace a member and its indexes; returns the surrogate. Tags and flags are sorted lists."""
        row = {
            "id": member,
            "tier": values["tier"],
            "growth": values["growth"],
            "tags": json.dumps(sorted(values["tags"])),
            "mask": values["mask"],
            "birthday_md": values["birthday_md"],
            "flags": json.dumps(sorted(values["flags"])),
            "base_points": values["base_points"],
            "known": 1,
            "op": op,
        }
        existing = self.by_id(member)
        if existing is None:
            fresh = {**row, "visits": 0, "first_fill_used": int("first_fill_used" in values["flags"])}
            self._connection.execute(insert(Member), fresh)
            existing = self.by_id(member)
            assert existing is not None
        else:
            self._connection.execute(update(Member).where(col(Member.id) == member).values(**row))
        ref = int(existing["ref"])
        self._connection.execute(delete(MemberIndex).where(col(MemberIndex.member_ref) == ref))
        for digest in indexes:
            self._connection.execute(delete(MemberIndex).where(col(MemberIndex.digest) == digest))
            self._connection.execute(insert(MemberIndex), {"digest": digest, "member_ref": ref})
        return ref

    def ensure(self, member: str) -> int:
        """Return the surrogate of a member, making an empty row for one not in the cache."""
        existing = self.by_id(member)
        if existing is not None:
            return int(existing["ref"])
        values = {
            "tier": "",
            "growth": 0,
            "tags": [],
            "mask": "****",
            "birthday_md": None,
            "flags": [],
            "base_points": 0,
        }
        ref = self.put(member, values, (), 0)
        self._connection.execute(update(Member).where(col(Member.ref) == ref).values(known=0))
        return ref

    def forget(self, member: str) -> None:
        """DEL from head office: what describes the person goes at once, the surrogate stays for the ledger."""
        existing = self.by_id(member)
        if existing is None:
            return
        ref = existing["ref"]
        self._connection.execute(delete(MemberIndex).where(col(MemberIndex.member_ref) == ref))
        blank = {
            "tier": "",
            "growth": 0,
            "tags": "[]",
            "mask": "****",
            "birthday_md": None,
            "flags": "[]",
            "base_points": 0,
            "known": 0,
        }
        self._connection.execute(update(Member).where(col(Member.ref) == ref).values(**blank))

    def alias(self, member: str, to: str) -> None:
        """Head office merged ``member`` into ``to``: indexes move, ledger rows keep their surrogate."""
        old, target = self.by_id(member), self.ensure(to)
        if old is None or old["ref"] == target:
            return
        here = col(MemberIndex.member_ref) == old["ref"]
        self._connection.execute(update(MemberIndex).where(here).values(member_ref=target))
        self.forget(member)

    def count_use(self, ref: int, *, visits: int, growth: int) -> None:
        """Add a settled (or, negative, reversed) visit and growth of a member."""
        values = {"visits": col(Member.visits) + visits, "growth": col(Member.growth) + growth}
        self._connection.execute(update(Member).where(col(Member.ref) == ref).values(**values))

    def uses(self, subject: int) -> list[Found]:
        """Return the use counts of a member, or with ``subject`` 0 of this station."""
        return _USES.all(self._raw, {"of_subject": subject})

    def add_uses(self, subject: int, rows: Sequence[tuple[str, str, str, int, int]]) -> None:
        """Add (offer, window, period, uses, amount) to the counts of a member or, with 0, of this station."""
        for offer, window, period, uses, amount in rows:
            statement = upsert(UseRow).values(
                subject=subject, offer=offer, window=window, period=period, uses=uses, amount=amount
            )
            added = {"uses": col(UseRow.uses) + uses, "amount": col(UseRow.amount) + amount}
            key = ["subject", "offer", "window", "period"]
            self._connection.execute(statement.on_conflict_do_update(key, set_=added))
