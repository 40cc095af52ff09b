"""Frames of the Dipstick: bytes to answers and back. Knows no clock, no port and no log.

``V2?`` CR asks tank 2; ``V2:018400:004*`` and the CRC-16/ARC of all before it in hex, then CR: 18,400 L, 4 mm of water.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from drivers.checks import crc16_arc

END = 0x0D
MAX_FRAME = 32  # they have 19 bytes: what is longer is noise

_ANSWER = re.compile(rb"V([1-9]):([0-9]{6}):([0-9]{3})\*([0-9A-F]{4})")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gauge says of one tank."""

    tank: int
    volume_l: int
    water_mm: int


def question(tank: int) -> bytes:
    """The bytes that ask one tank, 1 to 9."""
    return b"V%d?\r" % tank


class Decoder:
    """Finds answers in a stream of bytes, however it is cut. Never raises; ``rejected`` counts what was dropped, by reason."""

    def __init__(self) -> None:
        self.rejected: dict[str, int] = {}
        self._frame = bytearray()

    def feed(self, data: bytes) -> list[Answer]:
        """Take the next bytes; returns the answers that they complete."""
        answers = []
        for byte in data:
            if byte != END:
                self._frame.append(byte)
                del self._frame[: -MAX_FRAME - 1]
                continue
            answer = self._parse(bytes(self._frame))
            self._frame.clear()
            answers += [answer] if answer else []
        return answers

    def silence(self) -> None:
        """Nothing came for a while: what has begun never ends."""
        if self._frame:
            self._reject("broken-off")
        self._frame.clear()

    def _parse(self, frame: bytes) -> Answer | None:
        found = _ANSWER.fullmatch(frame)
        if found is None:
            self._reject("layout")
            return None
        if int(found[4], 16) != crc16_arc(frame[:-5]):
            self._reject("crc")
            return None
        return Answer(int(found[1]), int(found[2]), int(found[3]))

    def _reject(self, reason: str) -> None:
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
