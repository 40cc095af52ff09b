"""A PN532 at the far end of a serial line: wakes up, acknowledges, answers, and what faults make of that.

Works on bytes handed in and out; knows no port. Its frames are written from the manual once more on purpose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from drivers.simulator.card import Card

ACK = bytes.fromhex("0000FF00FF00")
SYNTAX_ERROR = bytes.fromhex("0000FF01FF7F8100")
ATS = bytes.fromhex("067777710280")
_FRAME = re.compile(rb"\x00\xff(.)(.)\xd4", re.DOTALL)
_PLAIN = {0x02: bytes.fromhex("32010607"), 0x14: b"", 0x12: b"", 0x32: b"", 0x52: b"\x00"}


@dataclass
class Chip:
    """One chip. ``card``: what lies on it; ``second``: another one beside it.

    Faults, each for so many answers: ``no_ack``, ``mute`` (acknowledged, never answered), ``bad_dcs``, ``nack``,
    ``card_leaves`` (in the middle of a talk), ``noise`` in front of an acknowledgement. ``asleep``: it hears nothing
    until a long preamble comes. ``off``: no power.
    """

    card: Card | None = None
    second: Card | None = None
    off: bool = False
    asleep: bool = True
    faults: dict[str, int] = field(default_factory=dict)
    asked: list[bytes] = field(default_factory=list)
    cancelled: int = 0

    def receive(self, data: bytes) -> bytes:
        """What comes back for what was written."""
        if self.off:
            return b""
        if data.startswith(bytes(10)):
            self.asleep = False
        if self.asleep:
            return b""
        self.cancelled += data.count(ACK)
        found = _FRAME.search(data)
        if found is None:
            return b""
        size = found.group(1)[0]
        body = data[found.end() : found.end() + size - 1]
        return self._reply(body)

    def _reply(self, body: bytes) -> bytes:
        self.asked.append(body)
        if self._struck("no_ack"):
            return b""
        if self._struck("nack"):
            return bytes.fromhex("0000FFFF0000")
        acknowledged = (b"\x5a\x00\xff\x03" if self._struck("noise") else b"") + ACK
        if self._struck("mute"):
            return acknowledged
        answer = self._answer(body)
        if answer is None:
            return acknowledged + SYNTAX_ERROR
        frame = framed(b"\xd5" + bytes((body[0] + 1,)) + answer)
        if self._struck("bad_dcs"):
            frame = frame[:-2] + bytes((frame[-2] ^ 0x01, frame[-1]))
        return acknowledged + frame

    def _answer(self, body: bytes) -> bytes | None:
        if body[0] in _PLAIN:
            return _PLAIN[body[0]]
        if body[:1] == b"\x4a":
            return self._listed()
        if body[:2] == b"\x40\x01":
            if self._struck("card_leaves"):
                self.card = None
            return b"\x01" if self.card is None else b"\x00" + self.card.answer(body[2:])
        return None

    def _listed(self) -> bytes:
        cards = [card for card in (self.card, self.second) if card is not None]
        found = b""
        for number, card in enumerate(cards, 1):
            smart = card.message_at is not None
            found += bytes((number, 3, 0x44, 0x20 if smart else 0x00, len(card.uid))) + card.uid
            found += ATS if smart else b""
        return bytes((len(cards),)) + found

    def _struck(self, fault: str) -> bool:
        left = self.faults.get(fault, 0)
        self.faults[fault] = max(0, left - 1)
        return left > 0


def framed(content: bytes) -> bytes:
    """A frame of the chip; a long one in the extended form."""
    check = bytes((-sum(content) & 0xFF, 0))
    if len(content) > 255:
        size = len(content).to_bytes(2, "big")
        return b"\x00\x00\xff\xff\xff" + size + bytes((-sum(size) & 0xFF,)) + content + check
    return b"\x00\x00\xff" + bytes((len(content), -len(content) & 0xFF)) + content + check
