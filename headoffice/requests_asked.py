"""One request of a station on its way to its answer: who asks what, in which transaction, and the three ways to answer.

Knows no kind of request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headoffice.keys import Keys
from headoffice.store.database import Transaction
from sync.notices import Req, Res

MAX_INT = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was read and is the station's. ``keys`` ``None``: this head office signs nothing here."""

    connection: Transaction
    station: str
    req: Req
    now_ms: int
    keys: Keys | None = None

    def ok(self, body: Mapping[str, Any]) -> Res:
        """Return the answer that gives what was asked for."""
        return Res(self.req.req_id, "ok", None, body)

    def refused(self, reason: str, body: Mapping[str, Any] | None = None) -> Res:
        """Return the answer that says no: ``reason`` is a word, ``body`` the figures it comes from."""
        return Res(self.req.req_id, "refused", reason, body or {})

    def error(self, reason: str) -> Res:
        """Return the answer to a request that breaks the contract."""
        return Res(self.req.req_id, "error", reason)


Answerer = Callable[[Asked], Res]
