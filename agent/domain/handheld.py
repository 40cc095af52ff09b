"""Handhelds: how one is paired by a code, how its requests are signed, how its scans are recognised again.

Pure: time, chance and keys come in. Knows no table and no HTTP; a key or a scanned text never leaves a function.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256

from agent.domain.instant import Now

PAIRING_MS = 300_000
"""How long a pairing code may be typed."""

TRIES = 5
"""So many wrong codes end a pairing: one chance in 200,000 for whoever guesses."""

CODE_DIGITS = 6
SIGNED_WITHIN_S = 120
"""How far the time of a signed request may be from the station's."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """A code that a supervisor has opened for one handheld; it is used once."""

    code: str
    handheld: str
    person: str
    until_mono_ms: int
    tries: int = TRIES


def open_pairing(handheld: str, person: str, now: Now, bits: Callable[[int], int]) -> Pairing:
    """Return a fresh pairing. ``bits(n)``: n random bits."""
    number = 10**CODE_DIGITS
    while number >= 10**CODE_DIGITS:  # 20 bits reach a little beyond: those are thrown again, so that none is likelier
        number = bits(20)
    return Pairing(f"{number:0{CODE_DIGITS}d}", handheld, person, now.mono_ms + PAIRING_MS)


def tried(pairing: Pairing | None, code: str, now: Now) -> tuple[Pairing | None, Pairing | None]:
    """Return (what stays open, what the code has opened); a pairing whose time or tries are over opens nothing."""
    if pairing is None or now.mono_ms >= pairing.until_mono_ms:
        return None, None
    if hmac.compare_digest(pairing.code.encode(), code.encode()):
        return None, pairing
    left = replace(pairing, tries=pairing.tries - 1)
    return (left if left.tries > 0 else None), None


def device_key(secret: bytes, handheld: str, salt: bytes) -> bytes:
    """Return the key that a native application signs with: 32 bytes that the station makes again and never stores."""
    return _mac(secret, "fc-device-key1", handheld, salt.hex())


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signature covers: who, when (Unix seconds), its how-manieth request, and which bytes."""

    device: str
    time_s: int
    count: int
    body: bytes

    @property
    def lines(self) -> tuple[str, ...]:
        """The same as the lines that are signed."""
        return self.device, str(self.time_s), str(self.count), sha256(self.body).hexdigest()


def scan_mac(key: bytes, signed: Signed) -> bytes:
    """Return the check value of a signed scan."""
    return _mac(key, "fc-scan-v1", *signed.lines)


def call_mac(key: bytes, method: str, target: str, signed: Signed) -> bytes:
    """Return the check value of any other signed request: it holds for this method and target only."""
    return _mac(key, "fc-call-v1", method, target, *signed.lines)


def text_digest(index_key: bytes, handheld: str, scan_id: str, text: str) -> bytes:
    """Return what a scan's text is recognised by when it comes again: keyed, as a bare hash of a phone is no secret."""
    return _mac(index_key, "fc-scan-text1", handheld, scan_id, text)


def _mac(key: bytes, *lines: str) -> bytes:
    return hmac.digest(key, "\n".join(lines).encode("utf-8"), "sha256")
