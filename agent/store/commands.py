"""Commands of head office and their first results, inside the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from agent.store.command_tables import COMMAND

KEPT_MS = 365 * 86_400_000
"""How long a command is kept after its validity has ended: far longer than head office asks again."""


class CommandTable:
    """Reads and writes inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def one(self, cmd_id: str) -> dict[str, Any] | None:
        """Return a command that came before."""
        row = self._connection.execute(select(COMMAND).where(COMMAND.c.cmd_id == cmd_id)).mappings().first()
        return None if row is None else dict(row)

    def add(self, values: Mapping[str, Any], args: Mapping[str, Any]) -> None:
        """Keep a command that came for the first time; those that ended long ago are forgotten."""
        fresh = {"tries": 0, "answered_ms": None, "status": None, "reason": None, "data": None}
        self._connection.execute(insert(COMMAND), {**fresh, **values, "args": _dump(dict(args))})
        old = COMMAND.c.not_after_ms < values["received_ms"] - KEPT_MS
        self._connection.execute(delete(COMMAND).where(old & COMMAND.c.status.is_not(None)))

    def begun(self, cmd_id: str) -> None:
        """Note that a command is about to be done once more."""
        here = COMMAND.c.cmd_id == cmd_id
        self._connection.execute(update(COMMAND).where(here).values(tries=COMMAND.c.tries + 1))

    def answer(self, cmd_id: str, *, status: str, reason: str | None, data: Mapping[str, Any], at_ms: int) -> None:
        """Keep the first result; a second one is our bug."""
        told = {"status": status, "reason": reason, "data": _dump(dict(data)), "answered_ms": at_ms}
        here = (COMMAND.c.cmd_id == cmd_id) & COMMAND.c.status.is_(None)
        changed = self._connection.execute(update(COMMAND).where(here).values(**told))
        assert changed.rowcount == 1, "a command is answered once"

    def done(self, kind: str) -> list[dict[str, Any]]:
        """Return ``cmd_id`` and ``args`` of every command of a kind that was done."""
        wanted = (COMMAND.c.kind == kind) & (COMMAND.c.status == "done")
        rows = self._connection.execute(select(COMMAND.c.cmd_id, COMMAND.c.args).where(wanted))
        return [{"cmd_id": row.cmd_id, "args": json.loads(row.args)} for row in rows]


_dump = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode
