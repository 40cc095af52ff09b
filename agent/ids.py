"""Making ids: ULIDs for records, sales, links and scans. Knows no clock; randomness comes in."""

from __future__ import annotations

from typing import Protocol

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
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
