"""Options of a TLS line: names, defaults, checks. Every problem is reported at once, never the security code itself.

Times are numbers of seconds or text with a unit ("120ms", "5s", "2min", "1h"). Knows no port.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from drivers.errors import WiringError
from drivers.veeder_root.codec import TERMINATORS, security_code_problem
from drivers.veeder_root.secret import read_security_code

OptionProblem = tuple[str, str, str]

MAX_TIME_S = 7 * 24 * 3600  # nothing this driver does is rarer than weekly
MAX_LADDER = 16  # a ladder has a handful of steps; more is a mistake in the file
MAX_TRIES = 10
MAX_TIME_SCALE = 10_000  # a day in nine seconds: beyond any demo

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|h)")
_FACTOR = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
_END = re.compile(r"(?:[0-9A-Fa-f]{2}){1,2}")


@dataclass(frozen=True, slots=True)
class Options:
    """Checked options with the protocol's defaults; times in seconds. Meaning of each: ``HELP``."""

    poll_s: float = 30.0
    delivery_poll_s: float = 10.0
    alarms_s: float = 60.0
    units_s: float = 3600.0
    setup_s: float = 86400.0
    deliveries_s: float = 900.0
    charts: bool = True
    first_byte_s: float = 5.0
    idle_s: float = 1.0
    pause_s: float = 0.1
    drain_s: float = 0.2
    tries: int = 3
    retry_pauses: tuple[float, ...] = (1.0, 2.0)
    retry_ladder: tuple[float, ...] = (5.0, 10.0, 30.0, 60.0)
    terminator: str = "CRLF"
    abort: bool = True
    end_of_message: bytes = b"\x03"
    security_code: str = field(default="", repr=False)
    units: int | None = None
    height_3: str = ""
    temperature_3: str = ""
    time_scale: int = 1


HELP: Mapping[str, str] = {
    "poll_s": "time between inventories, default 30 s",
    "delivery_poll_s": "the same while a delivery runs, default 10 s; never longer than poll_s",
    "alarms_s": "time between readings of all standing alarms (101), default 60 s",
    "units_s": "time between checks of the console's units, default 1 h",
    "setup_s": "time between readings of labels, capacities and limits, default 24 h",
    "deliveries_s": "time between readings of past deliveries, default 15 min; soon after one has ended in any case",
    "charts": "false when the console's strapping tables are not to be read; default true, daily with the limits",
    "first_byte_s": "how long the console may take before its reply begins, default 5 s",
    "idle_s": "how long a reply may pause in the middle, default 1 s (never less than 30 character times)",
    "pause_s": "time between two questions, default 100 ms",
    "drain_s": "how long input is thrown away after ESC, default 200 ms",
    "tries": "questions without an answer until the console counts as silent, default 3",
    "retry_pauses": "times before the second and third try, default [1, 2]",
    "retry_ladder": "times between probes of a silent console, the last one repeats, default [5, 10, 30, 60]",
    "terminator": 'what ends a question: "CRLF" (default), "CR" or ""',
    "abort": "false when the server cannot bear the ESC that ends a reply left over from before; default true",
    "end_of_message": 'what the console sends after a reply, one or two bytes in hex, default "03"; only a hint',
    "security_code": "six printable characters, only if the console has one enabled; better in security_code_file",
    "security_code_file": "file with those six characters, 0600 or 0640; a bare name: of $CREDENTIALS_DIRECTORY",
    "units": "units confirmed at commissioning: 1 US, 2 metric, 3 Imperial; other units found count as changed",
    "units_3": 'units of Imperial consoles, to be confirmed by a person: {height = "in", temperature = "C"}',
    "time_scale": "how much faster than the wire's clock the world runs (simulation only), default 1",
}

_TIMES = frozenset(name for name in HELP if name.endswith("_s"))


def warn_options(options: Mapping[str, object]) -> list[OptionProblem]:
    """Return what works and should still be changed."""
    if not options.get("security_code"):
        return []
    hint = "put it into a file with mode 0640 and name that as security_code_file"
    return [("security_code", "the security code stands in a file that more people read", hint)]


def check_options(options: Mapping[str, object]) -> list[OptionProblem]:
    """Return every problem as (key, what is wrong, what to write instead); empty when all is well."""
    return _read(options)[1]


def parse_options(options: Mapping[str, object]) -> Options:
    """Return checked options; raises ``WiringError`` with the first problem."""
    values, problems = _read(options)
    if problems:
        key, problem, hint = problems[0]
        raise WiringError(f"option {key!r}: {problem}", hint=hint)
    return Options(**values)


def _read(options: Mapping[str, object]) -> tuple[dict[str, Any], list[OptionProblem]]:
    values: dict[str, Any] = {}
    problems: list[OptionProblem] = []
    for key, value in options.items():
        if key not in HELP:
            near = difflib.get_close_matches(key, HELP, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(HELP))}"
            problems.append((key, "unknown option", hint))
            continue
        try:
            values.update(_time(key, value) if key in _TIMES else _READERS[key](key, value))
        except WiringError as error:
            problems.append((key, str(error), error.hint))
    if options.get("security_code") and "security_code_file" in options:
        problems.append(("security_code", "is given twice", "keep security_code_file and remove this"))
    return values, problems


def _bad(key: str, problem: str) -> WiringError:
    return WiringError(problem, hint=HELP[key])


def _seconds(key: str, value: object) -> float:
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match is None:
            raise _bad(key, 'is not a time like "120ms" or "5s"')
        value = float(match[1]) * _FACTOR[match[2]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad(key, "is not a time")
    if not 0 < value <= MAX_TIME_S:
        raise _bad(key, "must be above zero and at most a week")
    return float(value)


def _time(key: str, value: object) -> dict[str, Any]:
    return {key: _seconds(key, value)}


def _times(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_LADDER:
        raise _bad(key, f"must be a list of 1 to {MAX_LADDER} times")
    return {key: tuple(_seconds(key, item) for item in value)}


def _whole(low: int, high: int) -> Callable[[str, object], dict[str, Any]]:
    def read(key: str, value: object) -> dict[str, Any]:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _bad(key, f"must be a whole number from {low} to {high}")
        return {key: value}

    return read


def _terminator(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, str) or value not in TERMINATORS:
        raise _bad(key, "is not a known terminator")
    return {key: value}


def _truth(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, bool):
        raise _bad(key, "must be true or false")
    return {key: value}


def _end_of_message(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, str) or not _END.fullmatch(value):
        raise _bad(key, "is not one or two bytes in hex")
    return {key: bytes.fromhex(value)}


def _security_code(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, str):
        raise _bad(key, "is not a text")
    if value and (problem := security_code_problem(value)):
        raise _bad(key, problem)
    return {key: value}


def _security_code_file(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, str) or not value:
        raise _bad(key, "is not the name of a file")
    return {"security_code": read_security_code(value)}


def _units_3(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping) or set(value) != {"height", "temperature"}:
        raise _bad(key, "must give height and temperature")
    height, temperature = value["height"], value["temperature"]
    if height not in ("in", "mm") or temperature not in ("C", "F"):
        raise _bad(key, 'height is "in" or "mm", temperature is "C" or "F"')
    return {"height_3": height, "temperature_3": temperature}


_READERS: Mapping[str, Callable[[str, object], dict[str, Any]]] = {
    "tries": _whole(1, MAX_TRIES),
    "retry_pauses": _times,
    "retry_ladder": _times,
    "terminator": _terminator,
    "abort": _truth,
    "charts": _truth,
    "end_of_message": _end_of_message,
    "security_code": _security_code,
    "security_code_file": _security_code_file,
    "units": _whole(1, 3),
    "units_3": _units_3,
    "time_scale": _whole(1, MAX_TIME_SCALE),
}
