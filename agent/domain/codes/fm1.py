"""``check``: one FM1 text, one key set, one instant -> exactly one outcome, in the fixed order of its checks.

Pure: reads no clock and no database, checks signatures by the function it is given. Whether a phone code was shown
before is asked of the replay table by the caller, in the transaction that spends it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from agent.domain.codes import base45, token
from agent.domain.codes.keyset import Key, KeySet, Purpose, Status
from agent.domain.identity import AuthLevel

PREFIX = "FM1:"
Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) -> whether the Ed25519 signature holds."""


class Outcome(StrEnum):
    """What a member code came to, in the order of the checks; REPLAYED is the caller's."""

    MALFORMED = "MALFORMED"
    UNKNOWN_KEY = "UNKNOWN_KEY"
    KEY_NOT_VALID = "KEY_NOT_VALID"
    BAD_SIGNATURE = "BAD_SIGNATURE"
    EXPIRED = "EXPIRED"
    TTL_TOO_LONG = "TTL_TOO_LONG"
    REVOKED = "REVOKED"
    REPLAYED = "REPLAYED"
    ACCEPTED = "ACCEPTED"


class Trust(StrEnum):
    """How much the station's clock is worth. NORMAL: synchronised within a day. STALE: it runs, but nobody has set it
    for longer. FLOOR: now is only a lower bound.
    """

    NORMAL = "normal"
    STALE = "stale"
    FLOOR = "floor"

    @property
    def suspect(self) -> bool:
        """Whether a code that is accepted now may earn, but not spend."""
        return self is not Trust.NORMAL


@dataclass(frozen=True, slots=True)
class Limits:
    """How long codes may live and how far clocks may differ, in seconds."""

    dynamic_ttl_s: int = 120
    printed_ttl_s: int = 94_694_400
    leeway_s: int = 60
    stale_leeway_s: int = 300

    def ttl_s(self, purpose: Purpose) -> int:
        """Return the longest life of a code of this purpose."""
        return self.dynamic_ttl_s if purpose is Purpose.DYNAMIC else self.printed_ttl_s


@dataclass(frozen=True, slots=True)
class Instant:
    """When a code is looked at: Unix seconds by a clock that is trusted so far."""

    now_s: int
    trust: Trust = Trust.NORMAL


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer. ``claims`` once the token could be read (for ACCEPTED they are proven), ``purpose`` once its key is
    known; ``level`` only where it is accepted.
    """

    outcome: Outcome
    claims: token.Claims | None = None
    purpose: Purpose | None = None
    clock_suspect: bool = False

    @property
    def level(self) -> AuthLevel | None:
        """The auth level that an accepted code gives; the purpose comes from the key, never from the token."""
        if self.outcome is not Outcome.ACCEPTED or self.purpose is None:
            return None
        return AuthLevel.FM1_DYNAMIC if self.purpose is Purpose.DYNAMIC else AuthLevel.FM1_PRINTED


DEFAULT_LIMITS = Limits()


def check(text: str, keys: KeySet, at: Instant, verify: Verify, limits: Limits = DEFAULT_LIMITS) -> Checked:
    """Return what a cleaned text that begins with ``FM1:`` comes to; any text gives an outcome, none raises."""
    try:
        signed = token.decode(base45.decode(text.removeprefix(PREFIX)))
    except (base45.Base45Error, token.TokenError):
        return Checked(Outcome.MALFORMED)
    claims = signed.claims
    key = keys.key(claims.kid)
    if key is None:
        return Checked(Outcome.UNKNOWN_KEY, claims)
    outcome = _by_key(claims, key, at, limits)
    if outcome is None and not verify(key.public, claims.signed(), signed.signature):
        outcome = Outcome.BAD_SIGNATURE
    if outcome is None:
        outcome = _by_time(claims, key, at, limits)
    if outcome is None and key.purpose is Purpose.PRINTED and (claims.kid, claims.cti) in keys.revoked_cards:
        outcome = Outcome.REVOKED
    if outcome is None:
        return Checked(Outcome.ACCEPTED, claims, key.purpose, at.trust.suspect)
    return Checked(outcome, claims, key.purpose)


def issue(claims: token.Claims, sign: Callable[[bytes], bytes]) -> str:
    """Return the text of a code; ``sign`` makes the Ed25519 signature. No outer tags."""
    return PREFIX + base45.encode(claims.token(sign(claims.signed())))


def _leeway_s(at: Instant, limits: Limits) -> int:
    """Return how far the code's clock may differ: a clock that is a lower bound makes nothing younger."""
    return limits.stale_leeway_s if at.trust is Trust.STALE else limits.leeway_s


def _by_key(claims: token.Claims, key: Key, at: Instant, limits: Limits) -> Outcome | None:
    if claims.alg != key.alg:
        return Outcome.MALFORMED
    leeway_s = _leeway_s(at, limits)
    too_early = at.trust is not Trust.FLOOR and at.now_s < key.not_before_s - leeway_s
    if key.status is Status.REVOKED or too_early or at.now_s >= key.not_after_s + leeway_s:
        return Outcome.KEY_NOT_VALID
    return None


def _by_time(claims: token.Claims, key: Key, at: Instant, limits: Limits) -> Outcome | None:
    leeway_s = _leeway_s(at, limits)
    if at.now_s >= claims.exp_s + leeway_s:
        return Outcome.EXPIRED
    if at.trust is not Trust.FLOOR and claims.exp_s > at.now_s + limits.ttl_s(key.purpose) + leeway_s:
        return Outcome.TTL_TOO_LONG
    return None
