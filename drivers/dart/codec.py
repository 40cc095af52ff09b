"""DART frames: bytes to frames and back, with escapes and checksum (levels 1 and 2 of the protocol sheet).

Knows no clock, no port and no meaning of a block: ``blocks.py`` knows that, ``link.py`` the block numbers.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from drivers.checks import crc16_arc
from drivers.errors import FrameRejected

END = 0xFA
ESCAPE = 0x10
TEXT_END = 0x03
SHORT = 3  # bytes of a frame without a block
MAX_RAW = 256  # longest frame on the wire, escapes included
MASTER_ADDRESSES = range(0x50, 0xD0)  # 50..6F everywhere, up to CF on S4 heads


class Control(IntEnum):
    """The high nibble of the control byte."""

    POLL = 0x2
    DATA = 0x3
    NAK = 0x5
    EOT = 0x7
    ACK = 0xC
    ACKPOLL = 0xE


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. ``tx``: block number 0..15. ``data``: the unescaped transactions of a DATA frame, else empty."""

    address: int
    control: Control
    tx: int = 0
    data: bytes = b""


def encode(frame: Frame) -> bytes:
    """The complete wire bytes of ``frame``.

    Raises ``FrameRejected`` (reason ``"too-long"``) past the 256 bytes a frame may have.
    """
    head = bytes((frame.address, frame.control << 4 | frame.tx))
    if frame.control is not Control.DATA:
        return head + bytes((END,))
    crc = crc16_arc(head + frame.data)
    body = (frame.data + bytes((crc & 0xFF, crc >> 8))).replace(bytes((END,)), bytes((ESCAPE, END)))
    raw = head + body + bytes((TEXT_END, END))
    if len(raw) > MAX_RAW:
        raise FrameRejected(
            f"a block of {len(frame.data)} bytes is too long", reason="too-long", hint="send it in parts"
        )
    return raw


_SHORT_CONTROLS = frozenset(control.value for control in Control if control is not Control.DATA)


@lru_cache(maxsize=1024)
def _short(address: int, control_byte: int) -> Frame:
    return Frame(address, Control(control_byte >> 4), control_byte & 0x0F)


class Decoder:
    """Finds the frames in a stream of bytes, however it is cut. Never raises for what arrives.

    ``addresses``: those configured on this wire; frames of any other are dropped and counted. ``rejected`` counts what
    was dropped by reason: ``address``, ``short``, ``control``, ``layout``, ``crc``, ``too-long``, ``broken-off``.
    """

    def __init__(self, addresses: Collection[int] = MASTER_ADDRESSES) -> None:
        self.addresses = frozenset(addresses)
        self._buffer = bytearray()
        self._raw = 0
        self._escaped = False
        self._skipping = False
        self.rejected: dict[str, int] = {}

    @property
    def in_frame(self) -> bool:
        """Whether a frame has begun and not ended."""
        return self._raw > 0

    @property
    def first(self) -> int | None:
        """First byte of the frame that has begun: its address, if it is one."""
        return self._buffer[0] if self._buffer else None

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes of the stream; returns the frames that they complete."""
        if len(data) == SHORT and not self._raw and self._is_one_short(data):
            return [_short(data[0], data[1])]
        frames = []
        for byte in data:
            if byte == END and not self._escaped:
                frame = self._finish()
                if frame is not None:
                    frames.append(frame)
                continue
            self._take(byte)
        return frames

    def _is_one_short(self, data: bytes) -> bool:
        """Whether ``data`` is one good frame without a block, as nearly every answer is: it needs no assembling."""
        return data[2] == END and data[0] in self.addresses and data[1] >> 4 in _SHORT_CONTROLS

    def silence(self) -> None:
        """The wire was silent for longer than a frame may be: what has begun never ends, drop it."""
        if self._raw and not self._skipping:
            self.count("broken-off")
        self._clear()

    def _take(self, byte: int) -> None:
        self._raw += 1
        if self._raw >= MAX_RAW and not self._skipping:
            self.count("too-long")
            self._skipping = True
            self._buffer.clear()
        if not self._skipping:
            if byte == END and self._escaped:
                self._buffer[-1] = END
            else:
                self._buffer.append(byte)
        self._escaped = byte == ESCAPE

    def _finish(self) -> Frame | None:
        body, skipped = bytes(self._buffer), self._skipping
        self._clear()
        if skipped:
            return None
        try:
            return _parse(body, self.addresses)
        except FrameRejected as error:
            self.count(error.reason)
            return None

    def count(self, reason: str) -> None:
        """Count one thing dropped for ``reason``."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1

    def _clear(self) -> None:
        self._buffer.clear()
        self._raw = 0
        self._escaped = False
        self._skipping = False


def _parse(body: bytes, addresses: Collection[int]) -> Frame:
    """``body``: one frame without its end byte. Raises ``FrameRejected``."""
    if len(body) < 2:
        raise FrameRejected("shorter than a frame", reason="short")
    address, control_byte = body[0], body[1]
    if address not in addresses:
        raise FrameRejected(f"address {address:02X} is not configured here", reason="address")
    try:
        control = Control(control_byte >> 4)
    except ValueError:
        raise FrameRejected(f"control byte {control_byte:02X}", reason="control") from None
    tx = control_byte & 0x0F
    if control is not Control.DATA:
        if len(body) > 2:
            raise FrameRejected(f"{control.name} with data", reason="layout")
        return Frame(address, control, tx)
    if len(body) < 5 or body[-1] != TEXT_END:
        raise FrameRejected("block without checksum and end of text", reason="layout")
    if crc16_arc(body[:-1]) != 0:
        raise FrameRejected("checksum", reason="crc")
    return Frame(address, control, tx, body[2:-3])
