"""A scanner that types as a keyboard: the rule of silence, and every code is one reading. Codec + port -> CodeScan.

Knows no duplicates and no meaning of codes. Keeps no log and never shows a text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from drivers import options as own_options
from drivers.config import LineConfig, SerialSettings
from drivers.device import Device
from drivers.errors import WiringError
from drivers.hid.codec import EVENT, EventDecoder
from drivers.hid.keys import KeyDecoder
from drivers.port import EVDEV
from drivers.registry import DriverSpec
from drivers.scanner.codec import Frame, frame_of
from drivers.scanner.listening import CAPABILITIES, Listener

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


class HidScanner(Listener):
    """One scanner on its own input device; online as soon as the device is open and grabbed."""

    hints = HINTS
    read_bytes = READ_EVENTS * EVENT.size
    cable_hint = "check the scanner's cable"

    def __init__(self, config: LineConfig) -> None:
        super().__init__(config, own_options.read(Options, LIMITS, config.options).silence_s)
        self._events = EventDecoder()
        self._keys = KeyDecoder()

    def fed(self, data: bytes) -> Sequence[Frame]:
        """As ``Listener.fed``."""
        typed = [text for event in self._events.feed(data) if (text := self._keys.feed(*event)) is not None]
        return [frame for text in typed if (frame := frame_of(text)) is not None]

    def silent(self) -> Sequence[Frame]:
        """An unfinished code is dropped."""
        self._events.reset()
        if self._keys.partial:
            self._keys.silence()
        return ()

    def forget(self) -> None:
        """No key is held, the unfinished code is dropped."""
        self._events.reset()
        self._keys.reset()

    def counters(self) -> Mapping[str, int]:
        """Codes given up since the process began, by reason (``KeyDecoder.dropped``)."""
        return {f"frames_rejected.{reason}": count for reason, count in self._keys.dropped.items()}


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
