"""Frames of a PN532 on a serial line: bytes to frames, commands to bytes. Sans-IO: no clock, no port, no log.

Knows framing, checksums and what a target looks like; not when to ask what. Source: PN532 user manual, HSU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

TO_CHIP, FROM_CHIP = 0xD4, 0xD5
MAX_BODY = 265
START = b"\x00\xff"
ACK_BYTES = bytes.fromhex("0000FF00FF00")
WAKE_UP = bytes(10)

FIRMWARE = b"\x02"
NORMAL_MODE = b"\x14\x01\x00\x00"
AUTOMATIC_RATS = b"\x12\x14"
FEW_RETRIES = b"\x32\x05\xff\x01\x02"
LIST_ONE_CARD = b"\x4a\x01\x00"
RELEASE_ALL = b"\x52\x00"
_EXCHANGE = b"\x40\x01"
_MORE_FOLLOWS, _STATUS = 0x40, 0x3F
_HAS_ATS = 0x20


class Signal(Enum):
    """What comes beside frames. REJECTED: something began like a frame and was none."""

    ACK = "ack"
    NACK = "nack"
    ERROR = "error"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: the direction byte and what follows it."""

    direction: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """A card in the field: its number, answer to request, kind and id, and ATS where it speaks ISO 14443-4."""

    number: int
    sens_res: bytes
    sel_res: int
    uid: bytes
    ats: bytes = b""


class BodyError(ValueError):
    """An answer whose lengths lie."""


def encode(body: bytes) -> bytes:
    """Return a command (code and parameters, at most 254 bytes) as a frame to the chip."""
    content = bytes((TO_CHIP,)) + body
    assert len(content) <= 0xFF
    return b"\x00" + START + bytes((len(content), -len(content) & 0xFF)) + content + bytes((-sum(content) & 0xFF, 0))


def exchange(apdu: bytes) -> bytes:
    """Return the command that says ``apdu`` to the card."""
    return _EXCHANGE + apdu


def targets(data: bytes) -> tuple[Target, ...]:
    """Return the cards of an answer to LIST_ONE_CARD. Raises BodyError where it is shorter than it says."""
    found: list[Target] = []
    at = 1
    for _ in range(_part(data, 0, 1)[0]):
        head = _part(data, at, 5)
        uid_end = at + 5 + head[4]
        uid = _part(data, at + 5, head[4])
        ats_size = _part(data, uid_end, 1)[0] if head[3] & _HAS_ATS else 0
        ats = _part(data, uid_end, ats_size)
        found.append(Target(head[0], head[1:3], head[3], uid, ats))
        at = uid_end + ats_size
    return tuple(found)


def answered(data: bytes) -> tuple[int, bool, bytes]:
    """Return (error, more follows, the card's bytes) of an answer to ``exchange``. Raises BodyError."""
    status = _part(data, 0, 1)[0]
    return status & _STATUS, bool(status & _MORE_FOLLOWS), data[1:]


def _part(data: bytes, at: int, size: int) -> bytes:
    part = data[at : at + size]
    if len(part) != size:
        raise BodyError("the answer is shorter than it says")
    return part


class FrameDecoder:
    """Bytes in, frames and signals out; any cut of the same bytes gives the same. Holds one frame at most."""

    def __init__(self) -> None:
        self._held = bytearray()

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._held.strip(b"\x00"))

    def feed(self, data: bytes) -> list[Frame | Signal]:
        """Take ``data`` as it arrived and return what it completed. Never raises."""
        self._held += data
        return list(self._all())

    def reset(self) -> list[Signal]:
        """Silence within a frame, or a new port: what is held is lost, and counts as one rejected frame."""
        lost = [Signal.REJECTED] if self.partial else []
        self._held.clear()
        return lost

    def _all(self) -> Iterator[Frame | Signal]:
        while (found := self._next()) is not None:
            size, what = found
            del self._held[:size]
            if what is not None:
                yield what

    def _next(self) -> tuple[int, Frame | Signal | None] | None:
        """Return how many bytes are done with and what they were, ``None`` where more must come."""
        held = self._held
        start = held.find(START)
        if start < 0:
            del held[: max(0, len(held) - 1)]  # the first half of a start code may be the last byte
            return None
        body = start + len(START)
        if len(held) < body + 2:
            return None
        length, check = held[body], held[body + 1]
        if (length, check) == (0x00, 0xFF):
            return body + 2, Signal.ACK
        if (length, check) == (0xFF, 0x00):
            return body + 2, Signal.NACK
        if (length, check) == (0xFF, 0xFF):
            return self._extended(body + 2)
        if (length + check) & 0xFF or length == 0:
            return body, Signal.REJECTED
        return self._content(body + 2, length)

    def _extended(self, at: int) -> tuple[int, Frame | Signal | None] | None:
        held = self._held
        if len(held) < at + 3:
            return None
        length = held[at] << 8 | held[at + 1]
        if (held[at] + held[at + 1] + held[at + 2]) & 0xFF or not 0 < length <= MAX_BODY:
            return at - 2, Signal.REJECTED
        return self._content(at + 3, length)

    def _content(self, at: int, length: int) -> tuple[int, Frame | Signal | None] | None:
        held = self._held
        end = at + length + 1
        if len(held) < end:
            return None
        if sum(held[at:end]) & 0xFF:
            return end, Signal.REJECTED
        content = bytes(held[at : end - 1])
        if content == b"\x7f":
            return end, Signal.ERROR
        return end, Frame(content[0], content[1:])
