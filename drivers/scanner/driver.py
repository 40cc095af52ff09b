"""A serial scanner as a code reader: the rule of silence, and that every scan is one reading. Codec + port -> CodeScan.

Knows no duplicates and no meaning of codes. Keeps no log and never shows a text.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drivers.config import LineConfig, SerialSettings
from drivers.device import Device
from drivers.errors import WiringError
from drivers.registry import DriverSpec, OptionProblem
from drivers.scanner.codec import MAX_FRAME_BYTES, Frame, FrameDecoder
from drivers.scanner.listening import CAPABILITIES, READ_WAIT_S, Listener

SERIAL_DEFAULTS = SerialSettings(baudrate=9600, data_bits=8, parity="none", stop_bits=1)

DEFAULT_SILENCE_S = 0.2
MAX_SILENCE_S = 10.0
MAX_PREAMBLE = 32

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s)")

HINTS: Mapping[str, str] = {
    "frames_rejected.too_long": "longer than any code: check the speed of the line, and what hangs on it",
    "frames_rejected.cut_short": "codes come without an end: set a suffix of CR LF, or unterminated = true",
}

HELP: Mapping[str, str] = {
    "preamble": "fixed text that the scanner sends before each code, up to 32 characters; default none",
    "tab_ends": "true when the scanner ends a code with TAB; default false",
    "unterminated": "true when the scanner ends a code with nothing at all: silence ends it; default false",
    "silence_s": 'silence after which an unfinished code is dropped, "50ms" to "10s"; default "200ms"',
}


@dataclass(frozen=True, slots=True)
class Options:
    """Checked options of a scanner line; meaning of each: ``HELP``."""

    preamble: str = ""
    tab_ends: bool = False
    unterminated: bool = False
    silence_s: float = DEFAULT_SILENCE_S


class SerialScanner(Listener):
    """One scanner on its own port; online as soon as the port is open."""

    hints = HINTS
    read_bytes = MAX_FRAME_BYTES
    cable_hint = "check the scanner's cable and power"

    def __init__(self, config: LineConfig) -> None:
        self._options = _parse(config.options)
        self._decoder = FrameDecoder(preamble=self._options.preamble, tab_ends=self._options.tab_ends)
        super().__init__(config, self._options.silence_s)

    def fed(self, data: bytes) -> Sequence[Frame]:
        """As ``Listener.fed``."""
        return self._decoder.feed(data)

    def silent(self) -> Sequence[Frame]:
        """An unfinished code is dropped, or delivered where the scanner sends no end."""
        if self._decoder.partial and self._options.unterminated:
            return self._decoder.flush()
        self.forget()
        return ()

    def forget(self) -> None:
        """As ``Listener.forget``."""
        self._decoder.reset()

    def counters(self) -> Mapping[str, int]:
        """Dropped frames since the process began: longer than the cap, or without a terminator."""
        return {
            "frames_rejected.too_long": self._decoder.too_long,
            "frames_rejected.cut_short": self._decoder.cut_short,
        }


def check_options(options: Mapping[str, object]) -> list[OptionProblem]:
    """Return every problem as (key, what is wrong, what to write instead); empty when all is well."""
    problems: list[OptionProblem] = []
    for key, value in options.items():
        if key not in HELP:
            near = difflib.get_close_matches(key, HELP, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(HELP))}"
            problems.append((key, "unknown option", hint))
        elif problem := _problem(key, value):
            problems.append((key, problem, HELP[key]))
    return problems


def _problem(key: str, value: object) -> str:
    if key == "preamble":
        if not isinstance(value, str) or len(value) > MAX_PREAMBLE or any(ord(char) > 0xFF for char in value):
            return f"must be a Latin-1 text of at most {MAX_PREAMBLE} characters"
    elif key == "silence_s":
        seconds = _seconds(value)
        if seconds is None or not READ_WAIT_S <= seconds <= MAX_SILENCE_S:
            return "must be a time from 50 ms to 10 s"
    elif not isinstance(value, bool):
        return "must be true or false"
    return ""


def _seconds(value: object) -> float | None:
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        return None if match is None else float(match[1]) * (0.001 if match[2] == "ms" else 1.0)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _parse(options: Mapping[str, object]) -> Options:
    problems = check_options(options)
    if problems:
        key, problem, hint = problems[0]
        raise WiringError(f"option {key!r}: {problem}", hint=hint)
    return Options(
        preamble=str(options.get("preamble", "")),
        tab_ends=options.get("tab_ends") is True,
        unterminated=options.get("unterminated") is True,
        silence_s=_seconds(options.get("silence_s")) or DEFAULT_SILENCE_S,
    )


def make_devices(config: LineConfig) -> list[Device]:
    """Return the one scanner of ``config``; raises ``WiringError`` without a reader id or with wrong options."""
    if not config.reader:
        raise WiringError(f"line {config.id!r} has no reader", hint="give the scanner's line the id of its reader")
    return [SerialScanner(config)]


SPEC = DriverSpec(
    protocol="serial-scanner",
    kind="code-reader",
    serial_defaults=SERIAL_DEFAULTS,
    check_options=check_options,
    make_devices=make_devices,
    capabilities=CAPABILITIES,
    field_kit="drivers.scanner.dissect:KIT",
)
