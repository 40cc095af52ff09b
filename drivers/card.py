"""What is said to a contactless card, whatever reader it lies on: application, file, length, message. Sans-IO.

Knows APDUs (ISO 7816-4, NFC Forum Type 4). Does not know what the message means. Each ``send`` of the generator is the
card's answer to the APDU it gave before.
"""

from __future__ import annotations

from collections.abc import Generator

UID = bytes.fromhex("FFCA000000")
"""Asked of a PC/SC reader, not of the card."""

SELECT_APPLICATION = bytes.fromhex("00A4040007D276000085010100")
SELECT_FILE = bytes.fromhex("00A4000C02E104")
OK = b"\x90\x00"
NO = frozenset((*range(0x61, 0x70), 0x91))
"""How the status word of a refusal begins: ISO 7816-4, and the DESFire cards' own."""

LENGTH_BYTES = 2
MOST_AT_ONCE = 240
MAX_MESSAGE_BYTES = 1024
"""An NDEF message with a member's link has about 90 bytes; a file that says much more is none of ours."""


class CardError(Exception):
    """The card answered what the dialogue has no place for; ``reason`` is a short stable word for counters."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the card's answer is of no use: {reason}")
        self.reason = reason


Dialogue = Generator[bytes, bytes, bytes | None]


def read_ndef() -> Dialogue:
    """Yield APDUs, take answers (data and status word); return the NDEF message, ``None`` for a card without one.

    Raises CardError where a card that has a file does not give it, or says that it is longer than any of ours.
    """
    if not _is_there((yield SELECT_APPLICATION)) or not _is_there((yield SELECT_FILE)):
        return None
    size = int.from_bytes(_data((yield _read(0, LENGTH_BYTES)), LENGTH_BYTES), "big")
    if size > MAX_MESSAGE_BYTES:
        raise CardError("ndef_too_long")
    message = b""
    while len(message) < size:
        wanted = min(size - len(message), MOST_AT_ONCE)
        message += _data((yield _read(LENGTH_BYTES + len(message), wanted)), wanted)
    return message


def _read(offset: int, size: int) -> bytes:
    return b"\x00\xb0" + offset.to_bytes(2, "big") + bytes((size,))


def _is_there(answer: bytes) -> bool:
    """Whether what was selected is there. Only a clear no is one: noise must not make it a card without a file."""
    if _ends_well(answer):
        return True
    if len(answer) != len(OK) or answer[0] not in NO:
        raise CardError("no_status")
    return False


def _ends_well(answer: bytes) -> bool:
    return answer[-2:] == OK


def _data(answer: bytes, size: int) -> bytes:
    if not _ends_well(answer):
        raise CardError("refused")
    if len(answer) != size + len(OK):
        raise CardError("wrong_length")
    return answer[:-2]
