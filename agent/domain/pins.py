"""PINs of staff: which are too simple, their scrypt hash as one text, the comparison. Knows no person and no store."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import re
from dataclasses import dataclass

COST_LOG2, BLOCK, LANES = 14, 8, 1
"""16 MB and about 0.1 s on a small PC: nothing for a sign-in, long for whoever tries all PINs of a stolen file."""

MIN_DIGITS, MAX_DIGITS = 4, 12
SALT_BYTES, HASH_BYTES = 16, 32
_MAX_COST_LOG2, _MAX_BLOCK, _MAX_LANES = 18, 16, 4
_FORM = re.compile(
    r"scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,2}),p=([0-9])\$([0-9a-f]{32})\$([0-9a-f]{64})",
)


@dataclass(frozen=True, slots=True)
class _Hash:
    cost_log2: int
    block: int
    lanes: int
    salt: bytes
    digest: bytes

    def of(self, pin: str) -> bytes:
        cost: int = 2**self.cost_log2
        return hashlib.scrypt(
            pin.encode("ascii"),
            salt=self.salt,
            n=cost,
            r=self.block,
            p=self.lanes,
            maxmem=132 * cost * self.block * self.lanes + 1024 * 1024,
            dklen=HASH_BYTES,
        )


def pin_problem(pin: str) -> str | None:
    """Return why a PIN may not be used, ``None`` where it may: too short, no digits, or among the first ones tried."""
    if not (pin.isascii() and pin.isdigit() and MIN_DIGITS <= len(pin) <= MAX_DIGITS):
        return f"a PIN has {MIN_DIGITS} to {MAX_DIGITS} digits and nothing else"
    steps = {(int(after) - int(before)) % 10 for before, after in itertools.pairwise(pin)}
    if len(steps) == 1 and steps <= {0, 1, 9}:
        return "a PIN of equal or consecutive digits is tried first"
    half, rest = divmod(len(pin), 2)
    if rest == 0 and pin[:half] == pin[half:]:
        return "a PIN that repeats its first half is tried first"
    return None


def hash_pin(pin: str, salt: bytes) -> str:
    """Return the text that a PIN is kept as: ``scrypt$ln=..,r=..,p=..$salt$hash``; ``salt``: 16 fresh bytes."""
    assert pin_problem(pin) is None
    assert len(salt) == SALT_BYTES
    made = _Hash(COST_LOG2, BLOCK, LANES, salt, b"")
    return f"scrypt$ln={COST_LOG2},r={BLOCK},p={LANES}${salt.hex()}${made.of(pin).hex()}"


def hash_problem(text: str) -> str | None:
    """Return why a text is no usable PIN hash, ``None`` where it is one."""
    match = _FORM.fullmatch(text)
    if match is None:
        return "is no PIN hash of the form scrypt$ln=14,r=8,p=1$salt$hash"
    cost, block, lanes = (int(part) for part in match.groups()[:3])
    if not (1 <= cost <= _MAX_COST_LOG2 and 1 <= block <= _MAX_BLOCK and 1 <= lanes <= _MAX_LANES):
        return "asks for more memory or time than a sign-in may take"
    return None


def is_pin(pin: str, text: str) -> bool:
    """Whether ``pin`` is the one that the hash ``text`` was made of; takes as long for a wrong one as for the right."""
    match = _FORM.fullmatch(text)
    assert match is not None, "a hash is checked before it is stored"
    cost, block, lanes = (int(part) for part in match.groups()[:3])
    stored = _Hash(cost, block, lanes, bytes.fromhex(match[4]), bytes.fromhex(match[5]))
    if not (pin.isascii() and pin.isdigit() and len(pin) <= MAX_DIGITS):
        return False
    return hmac.compare_digest(stored.of(pin), stored.digest)
