"""Commands to stations as head office keeps them: what was ordered, whether it was said, what came of it.

Works inside the caller's transaction; signs nothing and sends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from headoffice.store.command_table import command

QUEUED, SENT, DONE, REFUSED, FAILED, EXPIRED = "queued", "sent", "done", "refused", "failed", "expired"
OPEN = (QUEUED, SENT)
"""``queued``: no station can have heard of it. ``sent``: said at least once, and no answer yet."""

STATUSES = (*OPEN, DONE, REFUSED, FAILED, EXPIRED)
TIME_CHARS = 10
"""How much of a ULID is its time."""


def add(connection: Connection, values: Mapping[str, Any]) -> None:
    """Keep a new command, to be said at the next opportunity."""
    args = json.dumps(values["args"], sort_keys=True)
    connection.execute(command.insert().values(**{**values, "args": args, "status": QUEUED, "sends": 0, "next_ms": 0}))


def one(connection: Connection, cmd_id: str) -> dict[str, Any] | None:
    """Return a command for people, None where there is none."""
    row = connection.execute(select(command).where(command.c.cmd_id == cmd_id)).first()
    return None if row is None else _shown(row)


def listed(
    connection: Connection, *, station: str | None = None, status: str | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """Return commands for people, newest first."""
    statement = select(command).order_by(command.c.cmd_id.desc()).limit(limit)
    if station is not None:
        statement = statement.where(command.c.station == station)
    if status is not None:
        statement = statement.where(command.c.status == status)
    return [_shown(row) for row in connection.execute(statement)]


def together(connection: Connection, cmd_id: str) -> list[dict[str, Any]]:
    """Return what was ordered of several stations by the same word as this command, by station; empty for no command.

    One word has one instant, with which all its ids begin, and one content.
    """
    word = select(command.c.made_ms, command.c.kind, command.c.args, command.c.made_by)
    known = connection.execute(word.where(command.c.cmd_id == cmd_id)).first()
    if known is None:
        return []
    first, last = cmd_id[:TIME_CHARS], cmd_id[:TIME_CHARS] + "Z" * (len(cmd_id) - TIME_CHARS)
    same = (command.c.made_ms == known.made_ms) & (command.c.kind == known.kind)
    same &= (command.c.args == known.args) & (command.c.made_by == known.made_by)
    here = select(command).where(command.c.cmd_id.between(first, last), same).order_by(command.c.station)
    return [_shown(row) for row in connection.execute(here)]


def count_open(connection: Connection, station: str) -> int:
    """Return how many commands of a station have no answer."""
    here = (command.c.station == station) & command.c.status.in_(OPEN)
    return int(connection.execute(select(func.count()).where(here)).scalar_one())


def open_commands(connection: Connection) -> dict[str, int]:
    """Return how many commands have no answer, by station; stations without any are left out."""
    statement = select(command.c.station, func.count().label("n")).where(command.c.status.in_(OPEN))
    return {row.station: row.n for row in connection.execute(statement.group_by(command.c.station))}


def is_due(connection: Connection, now_ms: int) -> bool:
    """Return whether any command is to be said or has expired."""
    statement = select(command.c.cmd_id).where(command.c.status.in_(OPEN), command.c.next_ms <= now_ms).limit(1)
    return connection.execute(statement).first() is not None


def due(connection: Connection, now_ms: int, limit: int) -> list[tuple[str, str]]:
    """Return (cmd_id, station) of what is to be said by time, oldest first."""
    statement = (
        select(command.c.cmd_id, command.c.station)
        .where(command.c.status.in_(OPEN), command.c.next_ms <= now_ms)
        .order_by(command.c.cmd_id)
        .limit(limit)
    )
    return [(row.cmd_id, row.station) for row in connection.execute(statement)]


def open_of(connection: Connection, station: str, limit: int) -> list[str]:
    """Return the ids of a station's commands that have no answer, oldest first."""
    here = (command.c.station == station) & command.c.status.in_(OPEN)
    statement = select(command.c.cmd_id).where(here).order_by(command.c.cmd_id).limit(limit)
    return list(connection.execute(statement).scalars())


def expire(connection: Connection, now_ms: int) -> None:
    """What was never said and may not be done any more is over; what was said is over when its station says so."""
    unsaid = (command.c.status == QUEUED) & (command.c.not_after_ms <= now_ms)
    connection.execute(update(command).where(unsaid).values(status=EXPIRED, answered_ms=now_ms, next_ms=0))


def said(connection: Connection, cmd_id: str, now_ms: int, *, pause_ms: int, most_ms: int) -> str | None:
    """Note that a command is said now, and when again: ``pause_ms``, twice as late each time. Returns its text.

    ``None`` where another worker has taken its result meanwhile.
    """
    here = command.c.cmd_id == cmd_id
    row = connection.execute(select(command.c.sends, command.c.jws).where(here)).one()
    again_ms = now_ms + min(most_ms, pause_ms << min(row.sends, 20))
    told = {"status": SENT, "sends": row.sends + 1, "sent_ms": now_ms, "next_ms": again_ms}
    changed = connection.execute(update(command).where(here, command.c.status.in_(OPEN)).values(**told))
    return str(row.jws) if changed.rowcount else None


def put_off(connection: Connection, cmd_id: str, until_ms: int) -> None:
    """Say a command no sooner than ``until_ms``, unless its station says hello."""
    connection.execute(update(command).where(command.c.cmd_id == cmd_id).values(next_ms=until_ms))


def note(connection: Connection, cmd_id: str, reason: str) -> None:
    """Keep why a station has not done a command yet; it stays open."""
    connection.execute(update(command).where(command.c.cmd_id == cmd_id).values(reason=reason))


def answer(
    connection: Connection, cmd_id: str, *, status: str, reason: str | None, data: Mapping[str, Any], now_ms: int
) -> None:
    """Keep what a station answered; an answer that is there already stands."""
    told = {"status": status, "reason": reason, "result": json.dumps(dict(data), sort_keys=True), "answered_ms": now_ms}
    here = (command.c.cmd_id == cmd_id) & command.c.result.is_(None)
    connection.execute(update(command).where(here).values(**told))


def _shown(row: Row[Any]) -> dict[str, Any]:
    value = {name: entry for name, entry in row._asdict().items() if name not in ("jws", "next_ms")}
    value["args"] = json.loads(row.args)
    value["result"] = None if row.result is None else json.loads(row.result)
    return value
