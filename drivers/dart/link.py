"""DART exchanges on one shared wire: block numbers, reply windows, pauses and who may answer (section 2 of the sheet).

Knows frames and the port's clock. Knows no transaction: blocks are opaque bytes here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum

from drivers.dart.codec import MAX_RAW, Decoder, Frame, encode
from drivers.dart.options import DartOptions
from drivers.port import Port

BITS_PER_CHARACTER = 11
MAX_ANSWER_BYTES = 2 * MAX_RAW  # one answer and as much noise: a wire that babbles costs one turn, not the line
NAKS_BEFORE_RENUMBERING = 3
LAST_NUMBER = 0x0F


class Heard(Enum):
    """What came instead of an answer."""

    NOTHING = "nothing"
    NOISE = "noise"


@dataclass(slots=True)
class Sender:
    """Our block numbers towards one pump: 0 after the start, then one up for every block, F is followed by 1."""

    tx: int = 0
    naks: int = 0

    def advance(self) -> None:
        """The block is done with, taken or given up: a new command needs the next number.

        A given-up block may have been taken with only its ACK lost; the same number with other bytes would then be
        acknowledged as a repeat and ignored.
        """
        self.tx = 1 if self.tx == LAST_NUMBER else self.tx + 1
        self.naks = 0

    def refused(self) -> None:
        """The pump sent NAK: after three for one block the numbers start again at 0."""
        self.naks += 1
        if self.naks >= NAKS_BEFORE_RENUMBERING:
            self.tx = 0
            self.naks = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a block that was acknowledged: hand it on or not, and what its number tells."""

    deliver: bool
    restarted: bool = False
    out_of_order: bool = False


@dataclass(slots=True)
class Receiver:
    """The pump's block numbers: tells a repeat from news. Every valid block is acknowledged with its own number."""

    tx: int | None = None
    data: bytes = b""

    def judge(self, frame: Frame) -> Verdict:
        """The rules of section 2.3, in their order; remembers ``frame`` as the last one."""
        last, last_data = self.tx, self.data
        self.tx, self.data = frame.tx, frame.data
        if last is None:
            return Verdict(deliver=True)
        if frame.tx == last:
            return Verdict(deliver=False) if frame.data == last_data else Verdict(deliver=True, restarted=True)
        if frame.tx == 0:
            return Verdict(deliver=True, restarted=last != LAST_NUMBER)  # F -> 0 is a wrap that captures show
        return Verdict(deliver=True, out_of_order=frame.tx != (1 if last == LAST_NUMBER else last + 1))


class Wire:
    """What the pumps of one line share: the decoder and when the wire was last busy."""

    def __init__(self, options: DartOptions, addresses: Collection[int], baudrate: int) -> None:
        self.options = options
        self._decoder = Decoder(addresses)
        self._character_s = BITS_PER_CHARACTER / baudrate
        self._busy_until: float | None = None

    def forget(self) -> None:
        """The port was lost: nothing of the stream before counts."""
        self._decoder = Decoder(self._decoder.addresses)
        self._busy_until = None

    def take_rejected(self) -> dict[str, int]:
        """Frames dropped since the last call, by reason."""
        if not self._decoder.rejected:
            return {}
        taken, self._decoder.rejected = self._decoder.rejected, {}
        return taken

    def send(self, port: Port, frame: Frame, pause_s: float) -> None:
        """Send one frame after ``pause_s`` of quiet. What was still unread is of an earlier turn: too late, dropped."""
        raw = encode(frame)
        if self._busy_until is not None:
            wait_s = self._busy_until + pause_s - port.monotonic()
            if wait_s > 0:
                port.pause(wait_s)
        if port.discard() or self._decoder.in_frame:
            self._decoder.silence()
            self._decoder.count("late")
        port.write(raw)
        self._busy_until = port.monotonic() + len(raw) * self._character_s

    def answer(
        self, port: Port, address: int, wanted: Callable[[Frame], bool], window_s: float, *, probe: bool = False
    ) -> Frame | Heard:
        """The first frame from ``address`` that is ``wanted``; all others are dropped and counted.

        Returns ``Heard`` when none came: within ``window_s`` to its first byte, then while bytes keep coming. A
        ``probe`` gives up at the first sign of noise, so that an offline point that babbles costs the others little.
        """
        began = self._busy_until if self._busy_until is not None else port.monotonic()
        deadline = began + window_s
        heard = 0
        while heard < MAX_ANSWER_BYTES:
            data = port.read(MAX_RAW, max(0.0, deadline - port.monotonic()))
            if not data:
                break
            heard += len(data)
            self._busy_until = port.monotonic()
            for frame in self._decoder.feed(data):
                if frame.address == address and wanted(frame):
                    return frame
                self._decoder.count("other-address" if frame.address != address else "unexpected")
            if probe and self._decoder.first != address:
                break
            if self._decoder.in_frame:
                deadline = self._busy_until + self.options.gap_in_frame_s
        self._decoder.silence()
        return Heard.NOISE if heard else Heard.NOTHING
