"""What the command line of ``forecourt demo`` means: checked options, or a refusal that says what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.demo.faults import FAULTS, Kind, described

_DURATION = re.compile(r"([0-9]{1,6})(ms|s|min|h)")
_UNIT_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000}
MIN_DURATION_MS = 1_000
MAX_DURATION_MS = 7 * 86_400_000
"""A week: longer than anybody watches, and short enough for the simulator's books."""

MARKER = "demo.json"
"""The file by which a directory is known as one that a demo made, and may be made anew."""


class DemoRefused(Exception):
    """The demo cannot be run as asked. ``hint``: what to write instead."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """``duration_s``: real seconds until closing time, ``None`` = until Ctrl-C. ``state``: absolute, may not exist yet;
    ``None`` = a new temporary directory.
    """

    duration_s: float | None
    speed: int
    seed: int
    state: Path | None
    faults: tuple[str, ...]
    as_json: bool

    def of_kind(self, kind: Kind) -> tuple[str, ...]:
        """Return the wanted faults of one kind, in the order given."""
        return tuple(name for name in self.faults if FAULTS[name].kind is kind)


def demo_options(
    *, duration: str | None, speed: int, seed: int, state: Path | None, faults: Sequence[str], as_json: bool
) -> DemoOptions:
    """Check the command line. Raises DemoRefused: a bad duration, speed or directory, an unknown fault."""
    if not 1 <= speed <= 100:
        raise DemoRefused(f"--speed {speed} is not from 1 to 100", hint="5 is the default; 1 is real time")
    for name in faults:
        _check_fault(name)
    return DemoOptions(
        duration_s=None if duration is None else _seconds(duration),
        speed=speed,
        seed=seed,
        state=_directory(state),
        faults=tuple(dict.fromkeys(faults)),
        as_json=as_json,
    )


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise DemoRefused(
            f"--for {text!r} is no duration", hint='write a number with its unit, such as "40s" or "5min"'
        )
    duration_ms = int(match[1]) * _UNIT_MS[match[2]]
    if not MIN_DURATION_MS <= duration_ms <= MAX_DURATION_MS:
        raise DemoRefused(f"--for {text} is not from 1s to 168h", hint="40s at --speed 10 shows everything")
    return duration_ms / 1000


def _check_fault(name: str) -> None:
    if name in FAULTS:
        return
    if name == "list":
        raise DemoRefused("the faults that --fault takes are:", hint="\n" + described())
    near = difflib.get_close_matches(name, FAULTS, n=1, cutoff=0.6)
    meant = f"did you mean {near[0]!r}? " if near else ""
    names = ", ".join(sorted(FAULTS))
    raise DemoRefused(f"there is no fault {name!r}", hint=f"{meant}the names are: {names}")


def _directory(state: Path | None) -> Path | None:
    if state is None:
        return None
    found = state.expanduser().absolute()
    if found.exists() and not found.is_dir():
        raise DemoRefused(f"--state {state} is not a directory", hint="name a new or an empty directory")
    if found.exists() and any(found.iterdir()) and not (found / MARKER).is_file():
        raise DemoRefused(
            f"--state {state} holds files that no demo made", hint="name a new or an empty directory, or leave it out"
        )
    return found
