"""Lanfeng frames: bytes to frames and back (section A1 and A2 of the protocol sheet).

Knows no clock and no port. A reply does not name what it answers, so what a body means depends on the question.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum

from drivers.checks import bcd_to_int, int_to_bcd
from drivers.errors import FrameRejected

LENGTH = 12
PANELS = range(1, 16)  # the low nibble of the first byte; 0 is no panel, so a run of zeros is no frame
DATA_BYTES = 8


class Code(IntEnum):
    """What the host asks or orders."""

    TAKE_CONTROL = 0xA0
    AUTHORISE = 0xA1
    PRESET_AMOUNT = 0xA2
    PRESET_VOLUME = 0xA3
    PRICE = 0xA4
    AMOUNT_TOTAL = 0xAC
    VOLUME_TOTAL = 0xAD
    STOP = 0xB1
    STATUS = 0xB8


@dataclass(frozen=True, slots=True)
class Request:
    """One question or order. ``digits``: the number it carries in hundredths, 0 where it carries none."""

    code: Code
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """One frame from a pump, its sum checked. ``body``: the ten bytes between panel and check."""

    panel: int
    body: bytes

    @property
    def echo(self) -> int:
        """Where some replies repeat the command."""
        return self.body[1]


@dataclass(frozen=True, slots=True)
class Status:
    """What B8 tells: unit price, amount and volume in hundredths, and the state byte."""

    unit_price: int
    amount: int
    volume: int
    state: int


_SIZES = {Code.PRESET_AMOUNT: 3, Code.PRESET_VOLUME: 3, Code.PRICE: 2}


def check_byte(body: bytes) -> int:
    """Two's complement of the sum of ``body``: body and check byte sum up to 0 modulo 256."""
    return -sum(body) & 0xFF


def encode(panel: int, request: Request) -> bytes:
    """The wire bytes of ``request``. Raises ``FrameRejected`` (reason ``"range"``) for a number that does not fit."""
    digits = int_to_bcd(request.digits, _SIZES.get(request.code, 0)) if request.code in _SIZES else b""
    body = bytes((0, request.code)) + digits + bytes(DATA_BYTES - len(digits))
    return bytes((panel,)) + body + bytes((check_byte(body),))


def status(reply: Reply) -> Status:
    """``reply`` as an answer to B8. Raises ``FrameRejected`` (reason ``"bcd"``) when its digits are none."""
    body = reply.body
    return Status(bcd_to_int(body[1:3]), bcd_to_int(body[3:6]), bcd_to_int(body[6:9]), body[9])


def total(reply: Reply) -> int:
    """``reply`` as an answer to AC or AD, in hundredths. Raises ``FrameRejected`` (reason ``"bcd"``)."""
    return bcd_to_int(reply.body[4:10])


def fits(request: Request, reply: Reply) -> bool:
    """Whether ``reply`` can be the answer to ``request``."""
    try:
        if request.code is Code.STATUS:
            status(reply)
        elif request.code in (Code.AMOUNT_TOTAL, Code.VOLUME_TOTAL):
            total(reply)
        elif request.code in (Code.TAKE_CONTROL, Code.PRESET_AMOUNT, Code.PRESET_VOLUME):
            return reply.echo == request.code
    except FrameRejected:
        return False
    return True


class Decoder:
    """Finds the frames in a stream of bytes, however it is cut. Never raises for what arrives.

    ``rejected`` counts by reason: ``check`` (a run of bytes without a right sum), ``broken-off``, and what its user
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
        while len(self._buffer) >= LENGTH:
            raw = bytes(self._buffer[:LENGTH])
            panel = raw[0] & 0x0F
            if panel in self._panels and sum(raw[1:]) & 0xFF == 0:
                frames.append(Reply(panel, raw[1:-1]))
                del self._buffer[:LENGTH]
                self._lost = False
                continue
            if not self._lost:
                self.count("check")
            self._lost = True
            del self._buffer[:1]
        return frames

    def silence(self) -> None:
        """Nothing more comes: an incomplete frame is dropped."""
        if self._buffer and not self._lost:
            self.count("broken-off")
        self._buffer.clear()
        self._lost = False

    def count(self, reason: str) -> None:
        """A frame was dropped for ``reason``."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
