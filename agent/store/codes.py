"""The replay table: which one-time codes were accepted, inside the transaction of what they pay for."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, insert, select

from agent.store.code_tables import SPENT_CODE
from agent.store.prepared import Prepared, raw

_T = SPENT_CODE
_FIND = Prepared(
    select(_T.c.scan, _T.c.reader).where(
        (_T.c.kid == bindparam("of_kid")) & (_T.c.member == bindparam("of_member")) & (_T.c.cti == bindparam("of_cti"))
    )
)
_ADD = Prepared(insert(_T).prefix_with("OR IGNORE"))


class CodeTable:
    """Reads and writes inside the caller's transaction. ``key``: (kid, member, cti) as lower-case hex."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = raw(connection)

    def is_spent(self, key: Sequence[str]) -> bool:
        """Return whether a code was accepted before."""
        kid, member, cti = key
        return _FIND.first(self._raw, {"of_kid": kid, "of_member": member, "of_cti": cti}) is not None

    def reader_of(self, key: Sequence[str]) -> str | None:
        """Return the reader at which a code was accepted first."""
        found = _FIND.first(self._raw, dict(zip(("of_kid", "of_member", "of_cti"), key, strict=True)))
        return None if found is None else str(found["reader"])

    def spend(self, key: Sequence[str], *, expires_s: int, seen_ms: int, reader: str, scan: str) -> None:
        """Note that a code is spent; the first event that spent it stays."""
        kid, member, cti = key
        row = {"kid": kid, "member": member, "cti": cti, "expires_s": expires_s}
        _ADD.run(self._raw, {**row, "first_seen_ms": seen_ms, "reader": reader, "scan": scan})
