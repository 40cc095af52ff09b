"""Zhengxing frames: bytes to frames and back (section B1 to B3 of the protocol sheet).

Knows no clock and no port. A frame has no length byte: how long a reply is, its command says.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from operator import xor

from drivers.checks import bcd_to_int, int_to_bcd
from drivers.errors import FrameRejected

START = 0xFC
PANELS = range(1, 256)
DONE = 0xBB
HOST_CONTROL = b"\xaa"
SALE_WAITS = 0x10
NOZZLE_UP = 0x80


class Code(IntEnum):
    """What the host asks or orders; ``NO_SALE`` comes only as the command of an answer to ``OLDEST_SALE``."""

    PRESET_AMOUNT = 0x01
    PRESET_VOLUME = 0x02
    PRICE = 0x03
    STOP = 0x05
    AUTHORISE = 0x06
    MODE = 0x08
    TOTALS = 0x0C
    STATUS = 0x0D
    READ_PRICE = 0x12
    HISTORY = 0x13
    OLDEST_SALE = 0x15
    NO_SALE = 0x16
    REMOVE_SALE = 0x17
    LIVE = 0x18


REPLY_LENGTHS = {
    Code.PRESET_AMOUNT: (6,),
    Code.PRESET_VOLUME: (6,),
    Code.PRICE: (6,),
    Code.STOP: (5,),
    Code.AUTHORISE: (5,),
    Code.MODE: (5,),
    Code.TOTALS: (17,),
    Code.STATUS: (5,),
    Code.READ_PRICE: (18,),
    Code.HISTORY: (36,),
    Code.OLDEST_SALE: (36,),
    Code.NO_SALE: (4, 5),  # never seen by the source: the two forms it can reasonably have
    Code.REMOVE_SALE: (5,),
    Code.LIVE: (13,),
}


@dataclass(frozen=True, slots=True)
class Request:
    """One question or order with the bytes between panel and check."""

    code: Code
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """One frame from a pump, its check right. ``raw``: the whole frame, indices as in the sheet."""

    raw: bytes

    @property
    def code(self) -> Code:
        """What it answers."""
        return Code(self.raw[1])

    @property
    def panel(self) -> int:
        """Who says it."""
        return self.raw[2]

    @property
    def status(self) -> int | None:
        """The status byte; ``None`` in the short form of ``NO_SALE``."""
        return self.raw[3] if len(self.raw) > 4 else None


@dataclass(frozen=True, slots=True)
class Record:
    """A stored sale: amount, volume and unit price in hundredths. ``sequence``: two opaque bytes as hex digits."""

    amount: int
    volume: int
    unit_price: int
    sequence: str


def check_byte(data: bytes) -> int:
    """XOR of all bytes from the command to the last data byte."""
    return reduce(xor, data, 0)


def encode(panel: int, request: Request) -> bytes:
    """The wire bytes of ``request``."""
    body = bytes((request.code, panel)) + request.data
    return bytes((START,)) + body + bytes((check_byte(body),))


def price(digits: int) -> Request:
    """Set the unit price, in hundredths. Raises ``FrameRejected`` (reason ``"range"``)."""
    return Request(Code.PRICE, int_to_bcd(digits, 2))


def preset(code: Code, digits: int, chain: int) -> Request:
    """Limit the next fuelling to ``digits`` hundredths. Raises ``FrameRejected`` (reason ``"range"``)."""
    kind = b"\x00" if code is Code.PRESET_AMOUNT else b""
    return Request(code, int_to_bcd(digits, 3) + kind + int_to_bcd(chain, 2))


def totals(reply: Reply) -> tuple[int, int]:
    """(amount, volume) in hundredths, each wrapping at 2^32."""
    return int.from_bytes(reply.raw[4:8], "big"), int.from_bytes(reply.raw[8:12], "big")


def live(reply: Reply) -> tuple[int, int]:
    """(volume, amount) in hundredths. Raises ``FrameRejected`` (reason ``"bcd"``)."""
    return bcd_to_int(reply.raw[4:7]), bcd_to_int(reply.raw[7:10])


def told_price(reply: Reply) -> int:
    """The unit price in hundredths. Raises ``FrameRejected`` (reason ``"bcd"``)."""
    return bcd_to_int(reply.raw[4:6])


def record(reply: Reply) -> Record:
    """The stored sale. Raises ``FrameRejected`` (reason ``"bcd"``)."""
    raw = reply.raw
    return Record(
        amount=raw[6] << 12 | raw[7] << 4 | raw[8] >> 4,
        volume=(raw[8] & 0x0F) << 16 | raw[9] << 8 | raw[10],
        unit_price=bcd_to_int(raw[19:21]),
        sequence=raw[23:25].hex(),
    )


def fits(request: Request, reply: Reply) -> bool:
    """Whether ``reply`` can be the answer to ``request``."""
    if reply.code is Code.NO_SALE:
        return request.code is Code.OLDEST_SALE
    try:
        if reply.code is Code.LIVE:
            live(reply)
        elif reply.code is Code.READ_PRICE:
            told_price(reply)
        elif reply.code is Code.OLDEST_SALE:
            record(reply)
    except FrameRejected:
        return False
    return reply.code is request.code


class Decoder:
    """Finds the frames in a stream of bytes, however it is cut. Never raises for what arrives.

    ``rejected`` counts by reason: ``stray`` (bytes outside a frame), ``check``, ``broken-off``, and what its user
    counts.
    """

    def __init__(self, panels: Collection[int] = PANELS) -> None:
        self.rejected: dict[str, int] = {}
        self._panels = frozenset(panels)
        self._buffer = bytearray()
        self._lost = False

    @property
    def in_frame(self) -> bool:
        """Whether bytes wait for the rest of their frame."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Reply]:
        """Take the next bytes of the stream; returns the frames that they complete."""
        frames = []
        self._buffer += data
        while self._buffer:
            length = self._length()
            if length is None:
                break
            if length:
                frames.append(Reply(bytes(self._buffer[:length])))
                self._lost = False
            del self._buffer[: length or 1]
        return frames

    def silence(self) -> None:
        """Nothing more comes: an incomplete frame is dropped."""
        if self._buffer:
            self.count("broken-off")
        self._buffer.clear()
        self._lost = False

    def count(self, reason: str) -> None:
        """A frame was dropped for ``reason``."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1

    def _length(self) -> int | None:
        """Of the frame at the beginning of the buffer; 0 = there is none, ``None`` = too early to say."""
        buffer = self._buffer
        if buffer[0] != START or (len(buffer) > 1 and buffer[1] not in REPLY_LENGTHS):
            return self._dropped("stray")
        if len(buffer) > 2 and buffer[2] not in self._panels:
            return self._dropped("stray")
        if len(buffer) < 3:
            return None
        lengths = REPLY_LENGTHS[Code(buffer[1])]
        for length in lengths:
            if len(buffer) < length:
                return None
            if check_byte(bytes(buffer[1 : length - 1])) == buffer[length - 1]:
                return length
        return self._dropped("check")

    def _dropped(self, reason: str) -> int:
        if not self._lost:
            self.count(reason)
        self._lost = True
        return 0
