"""One question, one answer on a half-duplex wire that several devices share: pauses, reply windows, echo, late answers.

Knows the port's clock and a decoder of frames. Knows no frame: which answer is wanted, the protocol says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from drivers.asked import Heard
from drivers.port import Port

READ_BYTES = 512
MAX_ANSWER_BYTES = 2 * READ_BYTES  # one answer and as much noise: a wire that babbles costs one turn, not the line

F = TypeVar("F")


class Decoder(Protocol[F]):
    """Bytes of one stream to frames; ``rejected`` counts what was dropped, by reason."""

    rejected: dict[str, int]

    def feed(self, data: bytes) -> list[F]:
        """The frames that ``data`` completes."""
        ...

    def silence(self) -> None:
        """Nothing more comes: what is incomplete is dropped and counted."""
        ...

    def count(self, reason: str) -> None:
        """Something was dropped that the decoder could not know."""
        ...

    @property
    def in_frame(self) -> bool:
        """Whether a frame has begun and is not complete."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Times of one wire in seconds. ``pause_s``: quiet before our next frame. ``window_s``: to the first byte of an
    answer; ``probe_window_s``: the same for a device that is offline. ``gap_s``: silence that ends a broken frame.
    ``bits``: of one character with start, parity and stop.
    """

    baudrate: int
    bits: int
    pause_s: float
    window_s: float
    probe_window_s: float
    gap_s: float
    echo: bool = False


class Turns(Generic[F]):
    """The wire of one line. An echo is read back and compared: another byte than ours is a fault of the line."""

    def __init__(self, decoder: Decoder[F], pace: Pace) -> None:
        self._decoder = decoder
        self._pace = pace
        self._character_s = pace.bits / pace.baudrate
        self._busy_until: float | None = None

    def take_rejected(self) -> dict[str, int]:
        """Frames dropped since the last call, by reason."""
        taken, self._decoder.rejected = self._decoder.rejected, {}
        return taken

    def say(self, port: Port, raw: bytes) -> bool:
        """Send ``raw`` after the pause, drop what was unread before; ``False`` when its echo was damaged."""
        if self._busy_until is not None:
            wait_s = self._busy_until + self._pace.pause_s - port.monotonic()
            if wait_s > 0:
                port.pause(wait_s)
        if port.discard() or self._decoder.in_frame:
            self._decoder.silence()
            self._decoder.count("late")
        port.write(raw)
        self._busy_until = port.monotonic() + len(raw) * self._character_s
        return not self._pace.echo or self._echoed(port, raw)

    def ask(self, port: Port, raw: bytes, wanted: Callable[[F], bool], *, probe: bool = False) -> F | Heard:
        """Send ``raw`` and return the first frame that is ``wanted``; all others are dropped and counted."""
        if not self.say(port, raw):
            return Heard.NOISE
        pace = self._pace
        began_s = port.monotonic() if self._busy_until is None else self._busy_until
        deadline_s = began_s + (pace.probe_window_s if probe else pace.window_s)
        heard = 0
        while heard < MAX_ANSWER_BYTES:
            data = port.read(READ_BYTES, max(0.0, deadline_s - port.monotonic()))
            if not data:
                break
            heard += len(data)
            self._busy_until = port.monotonic()
            for frame in self._decoder.feed(data):
                if wanted(frame):
                    return frame
                self._decoder.count("unexpected")
            if self._decoder.in_frame:
                deadline_s = self._busy_until + pace.gap_s
        self._decoder.silence()
        return Heard.NOISE if heard else Heard.NOTHING

    def _echoed(self, port: Port, raw: bytes) -> bool:
        """Read our own bytes back: exactly those, before anything else."""
        left = raw
        while left:
            began_s = port.monotonic() if self._busy_until is None else self._busy_until
            data = port.read(len(left), max(0.0, began_s + self._pace.gap_s - port.monotonic()))
            if not data:
                self._decoder.count("no-echo")
                return False
            if not left.startswith(data):
                self._decoder.count("echo")
                return False
            left = left[len(data) :]
        return True
