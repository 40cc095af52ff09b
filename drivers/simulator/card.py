"""A contactless card: an id, perhaps a file with a link, and a counter that rises with every read of it.

Answers APDUs; knows no reader. What the file says at a count is the business of whoever makes the card.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

APPLICATION = bytes.fromhex("00A4040007D276000085010100")
FILE = bytes.fromhex("00A4000C02E104")
GET_UID = bytes.fromhex("FFCA000000")
OK, NOT_FOUND, WRONG, UNKNOWN = b"\x90\x00", b"\x6a\x82", b"\x6b\x00", b"\x6d\x00"


@dataclass
class Card:
    """``message_at``: the NDEF message at a count, ``None`` for a card that has an id and nothing else."""

    uid: bytes
    message_at: Callable[[int], bytes] | None = None
    counter: int = 0
    _file: bytes = b""

    def answer(self, apdu: bytes) -> bytes:
        """What the card says to an APDU: data and status word. Selecting the file is one read: the counter rises."""
        if apdu == GET_UID:
            return self.uid + OK
        if self.message_at is None:
            return NOT_FOUND
        if apdu == APPLICATION:
            return OK
        if apdu == FILE:
            self.counter += 1
            message = self.message_at(self.counter)
            self._file = len(message).to_bytes(2, "big") + message
            return OK
        if apdu[:2] != b"\x00\xb0" or len(apdu) != 5:
            return UNKNOWN
        offset = int.from_bytes(apdu[2:4], "big")
        return self._file[offset : offset + apdu[4]] + OK if offset < len(self._file) else WRONG


def link_message(link: str) -> bytes:
    """An NDEF message with one https link, as chips are written."""
    payload = b"\x04" + link.removeprefix("https://").encode("ascii")
    assert len(payload) < 256
    return bytes((0xD1, 1, len(payload))) + b"U" + payload
