"""A scanner that types as a keyboard: the rule of silence, and every code is one reading. Codec + port -> CodeScan.

Knows no duplicates and no meaning of codes. Keeps no log and never shows a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from drivers import options as own_options
from drivers.commands import Command
from drivers.config import LineConfig, SerialSettings
from drivers.device import CodeReaderCapabilities, Device
from drivers.errors import WiringError
from drivers.hid.codec import EVENT, EventDecoder
from drivers.hid.keys import KeyDecoder
from drivers.port import EVDEV, Port
from drivers.readings import CodeScan, CommandOutcome, DeviceStatus, Reading
from drivers.registry import DriverSpec
from drivers.scanner.codec import frame_of
from drivers.unheard import Unheard

CAPABILITIES = CodeReaderCapabilities()
READ_WAIT_S = 0.05  # one turn: short enough for the 200 ms rule, long enough to leave the processor alone
READ_EVENTS = 64
PORT_HINT = 'write port = "evdev:/dev/input/by-id/...-event-kbd"; ls /dev/input/by-id shows the name'

HINTS: Mapping[str, str] = {
    "frames_rejected.alt": "the scanner is in ALT mode: set it to a US keyboard",
    "frames_rejected.control": "the scanner sends control characters as keys: switch that off",
    "frames_rejected.cut_short": "the scanner ends no code: let it send ENTER after each",
    "frames_rejected.overrun": "the system lost keys: is this PC overloaded?",
    "frames_rejected.too_long": "longer than any code: is this a keyboard that somebody types on?",
}


@dataclass(frozen=True, slots=True)
class Options:
    """Checked options. ``silence``: so long a pause before ENTER drops the code."""

    silence_s: float = 0.2


LIMITS = {"silence": (50, 10_000)}


class HidScanner:
    """One scanner on its own input device; online as soon as the device is open and grabbed."""

    capabilities = CAPABILITIES
    hints = HINTS

    def __init__(self, config: LineConfig) -> None:
        self.device_id = f"reader:{config.reader}"
        self._reader = config.reader
        self._options = own_options.read(Options, LIMITS, config.options)
        self._events = EventDecoder()
        self._keys = KeyDecoder()
        self._commands = Unheard(self.device_id)
        self._online = False
        self._was_online = False
        self._last_key_at = 0.0

    def turn(self, port: Port) -> Sequence[Reading]:
        """Wait up to 50 ms for keys and return the codes they complete."""
        if self._commands:
            return self._commands.end(CommandOutcome.REFUSED, "a scanner takes no commands")
        if not self._online:
            port.discard()  # what was scanned while nobody listened: those customers have gone
            status = DeviceStatus(self.device_id, online=True, gap=self._was_online)
            self._online = self._was_online = True
            return [status]
        data = port.read(READ_EVENTS * EVENT.size, READ_WAIT_S)
        if not data:
            self._silence(port.monotonic())
            return []
        self._last_key_at = port.monotonic()
        typed = [text for event in self._events.feed(data) if (text := self._keys.feed(*event)) is not None]
        frames = [frame for text in typed if (frame := frame_of(text)) is not None]
        return [CodeScan(self._reader, frame.text, frame.symbology) for frame in frames]

    def due_in_s(self) -> float:
        """Return 0: the wait for keys is the turn itself."""
        return 0.0

    def submit(self, command: Command) -> None:
        """Queue ``command`` to be refused. Raises ``DeviceRefused`` when too many wait."""
        self._commands.submit(command)

    def reset(self) -> Sequence[Reading]:
        """The device is gone or new: no key is held, the unfinished code is dropped, the gap reported."""
        self._events.reset()
        self._keys.reset()
        readings: list[Reading] = self._commands.end(CommandOutcome.UNKNOWN, "the port was lost")
        if self._online:
            self._online = False
            hint = "check the scanner's cable"
            readings.append(DeviceStatus(self.device_id, online=False, gap=True, reason="port lost", hint=hint))
        return readings

    def counters(self) -> Mapping[str, int]:
        """Codes given up since the process began, by reason (``KeyDecoder.dropped``)."""
        return {f"frames_rejected.{reason}": count for reason, count in self._keys.dropped.items()}

    def _silence(self, now: float) -> None:
        """Only a read that came back empty counts: keys that waited while this thread was held up are no silence."""
        if now - self._last_key_at < self._options.silence_s:
            return
        self._events.reset()
        if self._keys.partial:
            self._keys.silence()


def make_devices(config: LineConfig) -> list[Device]:
    """Return the one scanner of ``config``; raises ``WiringError`` without a reader id or with another kind of port."""
    if not config.reader:
        raise WiringError(f"line {config.id!r} has no reader", hint="give the line the id of its reader")
    if not config.port.startswith(EVDEV):
        raise WiringError(f"port {config.port!r} is no input device", hint=PORT_HINT)
    return [HidScanner(config)]


SPEC = DriverSpec(
    protocol="hid",
    kind="code-reader",
    serial_defaults=SerialSettings(),
    check_options=partial(own_options.check, Options, LIMITS),
    make_devices=make_devices,
    capabilities=CAPABILITIES,
)
