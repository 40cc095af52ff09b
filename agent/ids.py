"""Making ids: ULIDs for records, sales, links and scans. Knows no clock; randomness comes in."""

from __future__ import annotations

from typing import Protocol

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_LENGTH = 26
_TIME_BITS = 48
_RANDOM_BITS = 80


class RandomBits(Protocol):
    """What ``random.SystemRandom`` and a seeded ``random.Random`` have in common."""

    def getrandbits(self, k: int, /) -> int:
        """``k`` random bits as a non-negative integer."""
        ...


def ulid(wall_ms: int, random: RandomBits) -> str:
    """Return a ULID (26 characters of upper-case Crockford base 32) of ``wall_ms`` and 80 random bits."""
    assert 0 <= wall_ms < 1 << _TIME_BITS
    value = (wall_ms << _RANDOM_BITS) | random.getrandbits(_RANDOM_BITS)
    return "".join([_PAIRS[(value >> shift) & 1023] for shift in range(120, -1, -10)])


def ulid_ms(text: str) -> int | None:
    """Return the time in a ULID, Unix milliseconds; ``None`` for a text that is none."""
    try:
        digits = [_VALUES[character] for character in text]
    except KeyError:
        return None
    if len(digits) != _LENGTH:
        return None
    value = 0
    for digit in digits:
        value = value << 5 | digit
    return value >> _RANDOM_BITS
