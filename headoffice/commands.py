"""Commands to stations: checked, signed and kept; said after a hello and by time; their results taken once (W-45).

Knows when to say what again. Knows no broker; what a command does is the station's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.ids import RandomBits, ulid
from headoffice.errors import UsageError
from headoffice.ingest import note
from headoffice.keys import Keys
from headoffice.store import commands as store
from headoffice.store import presence
from headoffice.store.alerts import raise_own_alert
from headoffice.store.database import Database, Transaction
from sync.commands import KINDS, CommandClaims, args_defect
from sync.envelope import EnvelopeError, decode_as, station_source
from sync.messages import format_time
from sync.notices import Command, Result
from sync.topics import StationTopic, TopicError, check_station

MINUTE_MS = 60_000
SKEW_MS = 10 * MINUTE_MS
"""A command is good from so long before it was made: a station's clock may be behind."""

MAX_VALID_MS = 31 * 86_400_000
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 30_000, 10 * MINUTE_MS
"""How long an answer is waited for before a command is said again; a hello says everything again at once."""

MAX_AT_ONCE = 50
"""Commands said to one station after its hello, and to all of them in one tick."""

MAX_OPEN = 500
"""Unanswered commands of one station."""

MAX_BY_CHARS = 64


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to order of each of some stations; ``by``: who wants it, ``valid_ms``: how long it may be done.

    ``stations`` None: every station that was ever heard, the whole group.
    """

    kind: str
    stations: Sequence[str] | None
    args: Mapping[str, Any]
    by: str
    valid_ms: int


def order(database: Database, keys: Keys, wanted: Wanted, *, now_ms: int, random: RandomBits) -> list[dict[str, Any]]:
    """Sign and keep a command for each station; return them as people see them. All or nothing.

    Raises UsageError: no such kind, wrong args, a station that was never heard.
    """
    _check(wanted)

    def work(connection: Transaction) -> list[dict[str, Any]]:
        stations = presence.heard_ever(connection) if wanted.stations is None else list(dict.fromkeys(wanted.stations))
        if not stations:
            raise UsageError("no station was ever heard, nothing was signed", hint="see `forecourt-hq stations`")
        for station in stations:
            _check_station(connection, station)
            if wanted.kind == "lift_fence":
                _lift_fence(connection, station, wanted.args["install_id"], now_ms)
        ids = keep(connection, keys, wanted, stations, now_ms=now_ms, random=random)
        return [row for row in (store.one(connection, cmd_id) for cmd_id in ids) if row is not None]

    return database.transact(work)


def keep(
    connection: Transaction, keys: Keys, wanted: Wanted, stations: Sequence[str], *, now_ms: int, random: RandomBits
) -> list[str]:
    """Sign what was looked at before, in the caller's transaction; return the ids, one for each station."""
    ids = [ulid(now_ms, random) for _ in stations]
    for station, cmd_id in zip(stations, ids, strict=True):
        store.add(connection, _signed(keys, wanted, station, cmd_id, now_ms))
    return ids


def _signed(keys: Keys, wanted: Wanted, station: str, cmd_id: str, now_ms: int) -> dict[str, Any]:
    claims = CommandClaims(
        station=station,
        cmd_id=cmd_id,
        kind=wanted.kind,
        args=wanted.args,
        by=wanted.by,
        not_before=format_time(now_ms - SKEW_MS),
        not_after=format_time(now_ms + wanted.valid_ms),
    )
    return {
        "cmd_id": cmd_id,
        "station": station,
        "kind": wanted.kind,
        "args": dict(wanted.args),
        "made_by": wanted.by,
        "made_ms": now_ms,
        "not_after_ms": now_ms + wanted.valid_ms,
        "jws": keys.sign(claims.to_claims()),
    }


def after_hello(database: Database, station: str, now_ms: int) -> list[Command]:
    """Return what is said to a station that has just said hello: everything that it has not answered."""
    with database.read() as connection:
        if store.count_open(connection, station) == 0:
            return []

    def work(connection: Transaction) -> list[Command]:
        store.expire(connection, now_ms)
        found = [_said(connection, cmd_id, now_ms) for cmd_id in store.open_of(connection, station, MAX_AT_ONCE)]
        return [command for command in found if command is not None]

    return database.transact(work)


def by_time(database: Database, now_ms: int) -> list[tuple[str, Command]]:
    """Return (station, command) of what is said now to stations that are there; others hear it after their hello."""
    with database.read() as connection:
        if not store.is_due(connection, now_ms):
            return []

    def work(connection: Transaction) -> list[tuple[str, Command]]:
        out = []
        store.expire(connection, now_ms)
        for cmd_id, station in store.due(connection, now_ms, MAX_AT_ONCE):
            state = presence.stored_state(connection, station)
            if state is None or not state["online"]:
                store.put_off(connection, cmd_id, now_ms + LONGEST_PAUSE_MS)
            elif (command := _said(connection, cmd_id, now_ms)) is not None:
                out.append((station, command))
        return out

    return database.transact(work)


def take_result(database: Database, topic: StationTopic, payload: bytes, now_ms: int) -> None:
    """Keep what came of a command. The first answer stands; a repeat changes nothing."""
    try:
        event, result = decode_as(payload, Result)
    except EnvelopeError as error:
        note(database, topic, f"unreadable_{error.code}", str(error), now_ms)
        return
    if not topic.right_shard or event.source != station_source(topic.station):
        defect = "wrong_source" if topic.right_shard else "wrong_shard"
        note(database, topic, defect, f"source {event.source[:80]}, shard {topic.shard}", now_ms)
        return
    database.transact(lambda connection: _take(connection, topic.station, result, now_ms))


def _take(connection: Transaction, station: str, result: Result, now_ms: int) -> None:
    known = store.one(connection, result.cmd_id)
    if known is None or known["station"] != station:
        detail = f"{result.status} for a command that this database does not have: {result.cmd_id}"
        _own_alert(connection, station, "unknown_command", detail, now_ms)
    elif result.reason == "other_content":
        detail = f"{result.cmd_id} means another order there: two of them were signed under one id"
        _own_alert(connection, station, "command_other_content", detail, now_ms)
    elif known["result"] is not None:
        return
    elif result.reason == "not_yet_valid":
        store.note(connection, result.cmd_id, "not_yet_valid")
    else:
        is_late = (result.status, result.reason) == (store.REFUSED, "expired")
        status = store.EXPIRED if is_late else result.status
        store.answer(connection, result.cmd_id, status=status, reason=result.reason, data=result.data, now_ms=now_ms)


def _own_alert(connection: Transaction, station: str, alert: str, detail: str, now_ms: int) -> None:
    raise_own_alert(connection, station=station, alert=alert, subject="up/result", detail=detail, now_ms=now_ms)


def _said(connection: Transaction, cmd_id: str, now_ms: int) -> Command | None:
    jws = store.said(connection, cmd_id, now_ms, pause_ms=FIRST_PAUSE_MS, most_ms=LONGEST_PAUSE_MS)
    return None if jws is None else Command(jws)


def _lift_fence(connection: Transaction, station: str, install_id: str, now_ms: int) -> None:
    """Lift it here as well, or the next welcome would put it up again."""
    if not presence.lift_fence(connection, station, install_id, now_ms):
        raise UsageError(f"installation {install_id} of {station} is not fenced", hint="see `forecourt-hq stations`")


def _check(wanted: Wanted) -> None:
    if wanted.kind not in KINDS:
        raise UsageError(f"there is no command {wanted.kind!r}", hint=f"one of {', '.join(sorted(KINDS))}")
    wrong = args_defect(wanted.kind, dict(wanted.args))
    if wrong is not None:
        raise UsageError(f"{wanted.kind}: {wrong}", hint="nothing was signed")
    if not MINUTE_MS <= wanted.valid_ms <= MAX_VALID_MS:
        raise UsageError("a command is good for a minute to 31 days", hint="give --for 24h")
    if not 0 < len(wanted.by) <= MAX_BY_CHARS or not wanted.by.isprintable():
        raise UsageError("who orders it has 1 to 64 printable characters", hint="give --by NAME")


def _check_station(connection: Transaction, station: str) -> None:
    try:
        check_station(station)
    except TopicError as error:
        raise UsageError(str(error), hint="see `forecourt-hq stations`") from error
    if not presence.is_known(connection, station):
        raise UsageError(f"no station {station} was ever heard, nothing was signed", hint="see `forecourt-hq stations`")
    if store.count_open(connection, station) >= MAX_OPEN:
        raise UsageError(
            f"{station} has {MAX_OPEN} commands without an answer, nothing was signed",
            hint="see `forecourt-hq command list --station`",
        )
