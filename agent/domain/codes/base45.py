"""Base45 (RFC 9285): two bytes as three characters of a QR code's alphanumeric mode.

Knows nothing of what the bytes mean. The text may contain spaces; nothing is stripped here.
"""

from __future__ import annotations

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_INDEX = {character: index for index, character in enumerate(ALPHABET)}
_BASE = len(ALPHABET)


class Base45Error(ValueError):
    """A text that is no base45; the message says which rule it breaks, never the text."""


def encode(data: bytes) -> str:
    """Return the base45 text of ``data``; a last single byte gives two characters."""
    characters: list[str] = []
    for at in range(0, len(data), 2):
        pair = data[at : at + 2]
        value = int.from_bytes(pair, "big")
        for _ in range(len(pair) + 1):
            value, digit = divmod(value, _BASE)
            characters.append(ALPHABET[digit])
    return "".join(characters)


def decode(text: str) -> bytes:
    """Return the bytes of a base45 text.

    Raises Base45Error: a character outside the alphabet, a length that no bytes give, a group too large for its bytes.
    """
    if len(text) % 3 == 1:
        raise Base45Error(f"{len(text)} characters: no bytes give this length")
    digits = [_INDEX.get(character, -1) for character in text]
    if -1 in digits:
        raise Base45Error("a character outside the base45 alphabet")
    data = bytearray()
    for at in range(0, len(digits), 3):
        group = digits[at : at + 3]
        value = sum(digit * _BASE**place for place, digit in enumerate(group))
        size = len(group) - 1
        if value >= 256**size:
            raise Base45Error(f"a group of {len(group)} characters does not fit {size} bytes")
        data += value.to_bytes(size, "big")
    return bytes(data)
