"""Claims inside the caller's transaction: which terminal works on a sale, until when. One per sale at most."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, insert, select

from agent.store.claim_tables import CLAIM
from agent.store.prepared import Found, Prepared, raw

_SAVE = Prepared(insert(CLAIM).prefix_with("OR REPLACE"))
_END = Prepared(delete(CLAIM).where(CLAIM.c.sale == bindparam("of_sale")))
_ALL = Prepared(select(CLAIM).order_by(CLAIM.c.sale))


class ClaimTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._raw = raw(connection)

    def save(self, sale: str, terminal: str, person: str | None, until_ms: int | None) -> None:
        """Keep or renew a claim; ``until_ms``: wall time, ``None`` while the sale is being paid."""
        _SAVE.run(self._raw, {"sale": sale, "terminal": terminal, "person": person, "until_ms": until_ms})

    def end(self, sale: str) -> None:
        """Nobody has this sale any more."""
        _END.run(self._raw, {"of_sale": sale})

    def all(self) -> list[Found]:
        """Return every claim, those whose time is over included."""
        return _ALL.all(self._raw, {})
