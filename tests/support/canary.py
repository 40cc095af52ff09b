"""Canaries: what must never be found again, in pieces short enough that no careless cut hides it.

Knows no station: the secrets are told in, the places are searched elsewhere.
"""

from __future__ import annotations

PIECE = 6
"""Characters or bytes in a row: as many as tell something of a number, too many to stand somewhere by chance."""


def pieces(*secrets: bytes) -> list[bytes]:
    """Every piece of ``PIECE`` bytes of every secret, each once."""
    found = {secret[at : at + PIECE] for secret in secrets for at in range(len(secret) - PIECE + 1)}
    return sorted(found)
