"""A serial scanner as a code reader: the rule of silence, and that every scan is one reading. Codec + port -> CodeScan.

Knows no duplicates and no meaning of codes. Keeps no log and never shows a text.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drivers.commands import Command
from drivers.config import LineConfig, SerialSettings
from drivers.device import CodeReaderCapabilities, Device
from drivers.errors import WiringError
from drivers.port import Port
from drivers.readings import CodeScan, CommandOutcome, DeviceStatus, Reading
from drivers.registry import DriverSpec, OptionProblem
from drivers.scanner.codec import MAX_FRAME_BYTES, Frame, FrameDecoder
from drivers.unheard import Unheard

SERIAL_DEFAULTS = SerialSettings(baudrate=9600, data_bits=8, parity="none", stop_bits=1)
CAPABILITIES = CodeReaderCapabilities()

DEFAULT_SILENCE_S = 0.2
READ_WAIT_S = 0.05  # one turn: short enough for the 200 ms rule, long enough to leave the processor alone
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


class SerialScanner:
    """One scanner on its own port; online as soon as the port is open."""

    capabilities = CAPABILITIES
    hints = HINTS

    def __init__(self, config: LineConfig) -> None:
        self.device_id = f"reader:{config.reader}"
        self._reader = config.reader
        self._options = _parse(config.options)
        self._decoder = FrameDecoder(preamble=self._options.preamble, tab_ends=self._options.tab_ends)
        self._commands = Unheard(self.device_id)
        self._online = False
        self._was_online = False
        self._last_byte_at = 0.0

    def turn(self, port: Port) -> Sequence[Reading]:
        """Wait up to 50 ms for bytes and return the scans they complete."""
        if self._commands:
            return self._commands.end(CommandOutcome.REFUSED, "a scanner takes no commands")
        if not self._online:
            port.discard()  # scanners keep what was read while nobody listened: those customers have gone
            status = DeviceStatus(self.device_id, online=True, gap=self._was_online)
            self._online = self._was_online = True
            return [status]
        data = port.read(MAX_FRAME_BYTES, READ_WAIT_S)
        if data:
            self._last_byte_at = port.monotonic()
            frames = self._decoder.feed(data)
        else:
            frames = self._silence(port.monotonic())
        return [CodeScan(self._reader, frame.text, frame.symbology) for frame in frames]

    def due_in_s(self) -> float:
        """Return 0: the wait for bytes is the turn itself."""
        return 0.0

    def submit(self, command: Command) -> None:
        """Queue ``command`` to be refused. Raises ``DeviceRefused`` when too many wait."""
        self._commands.submit(command)

    def reset(self) -> Sequence[Reading]:
        """The port is gone or new: drop the unfinished code, report the gap."""
        self._decoder.reset()
        readings: list[Reading] = self._commands.end(CommandOutcome.UNKNOWN, "the port was lost")
        if self._online:
            self._online = False
            hint = "check the scanner's cable and power"
            readings.append(DeviceStatus(self.device_id, online=False, gap=True, reason="port lost", hint=hint))
        return readings

    def counters(self) -> Mapping[str, int]:
        """Dropped frames since the process began: longer than the cap, or without a terminator."""
        return {
            "frames_rejected.too_long": self._decoder.too_long,
            "frames_rejected.cut_short": self._decoder.cut_short,
        }

    def _silence(self, now: float) -> list[Frame]:
        """Only a read that came back empty counts: bytes that waited while this thread was held up are no silence."""
        if not self._decoder.partial or now - self._last_byte_at < self._options.silence_s:
            return []
        if self._options.unterminated:
            return self._decoder.flush()
        self._decoder.reset()
        return []


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
