"""Commands as head office signs them for a till of the tests, and what the till answered."""

from __future__ import annotations

from typing import Any

from agent.inbox import FromHeadOffice
from sync import ports
from sync.commands import CommandClaims
from sync.notices import Result
from sync.records import format_time
from sync.signing import sign
from tests.support.station_settings import STATION
from tests.support.till import SOME_KEY, Till

DAY_MS = 86_400_000
_ULID = "01M7YJ2A0000000000{:08d}"


def cmd_id(number: int) -> str:
    """A well-formed id that sorts like its number."""
    return _ULID.format(number)


def claims(till: Till, kind: str, number: int = 1, *, station: str = STATION, **more: Any) -> CommandClaims:
    """What is signed: good for a day from now on; ``args`` and the rest by name."""
    now_ms = till.clock.wall_ms()
    told = {"args": {}, "by": "li", "not_before": format_time(now_ms), "not_after": format_time(now_ms + DAY_MS)}
    return CommandClaims(station=station, cmd_id=cmd_id(number), kind=kind, **{**told, **more})


def order(till: Till, said: CommandClaims, *, key: Any = SOME_KEY) -> Result | None:
    """The command arrives; returns what head office is told at once, None where that is nothing."""
    return deliver(till, sign(said.to_claims(), key))


def deliver(till: Till, jws: str) -> Result | None:
    """Something arrives that is said to be a command."""
    before = len(till.told)
    till.pipeline.handle(FromHeadOffice(ports.CommandCame(jws)))
    told = till.told[before:]
    assert [name for name, _ in told] == ["up/result"] * len(told)
    assert len(told) <= 1, "one command, one answer"
    result = told[0][1] if told else None
    assert result is None or isinstance(result, Result)
    return result
