"""What one scanned text comes to, as a person at a desk is told: outcome, level, claims, times left. Pure.

Never a text that was handed in, never a whole member id, and nothing at all of payment codes and bank cards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agent.domain.answers import Outcome, sentence
from agent.domain.codes import fm1
from agent.domain.codes.fm1 import Instant, Verify
from agent.domain.codes.keyset import Key, KeySet
from agent.domain.identity import CardLayout, Kind, classify, earn_only, mask_member

MAX_TOLD_S = 253_402_300_799
"""The end of the year 9999: dates behind it are not told."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a text is judged by. ``is_spent``: whether a one-time code was accepted before, by its replay key; ``None``
    where nobody knows.
    """

    keys: KeySet
    at: Instant
    layouts: Sequence[CardLayout]
    verify: Verify
    is_spent: Callable[[tuple[str, str, str]], bool] | None = None


def told(text: str, ground: Ground) -> dict[str, Any]:
    """Return what a text comes to; any text gives an answer."""
    found = classify(text, ground.layouts)
    answer: dict[str, Any] = {
        "kind": found.kind.value,
        "outcome": found.kind.value,
        "accepted": found.kind is Kind.CARD_NUMBER,
        "level": "number" if found.kind is Kind.CARD_NUMBER else None,
        "earn_only": True if found.kind is Kind.CARD_NUMBER else None,
        "symbology": found.symbology,
        "clock": {"trust": ground.at.trust.value, "at": moment(ground.at.now_s)},
        "key_set_version": ground.keys.version,
        "key": None,
        "claims": None,
        "spent": None,
    }
    if found.kind is Kind.MEMBER_TOKEN:
        answer.update(_of_token(found.value or "", ground))
    if answer["outcome"] in Outcome.__members__:
        answer["message"] = sentence(Outcome(answer["outcome"]), "en")
    elif found.kind is Kind.CARD_NUMBER:
        answer["message"] = "A card number: whether it is known here, a scan tells"
    else:
        answer["message"] = "Member code accepted" if answer["accepted"] else "A barcode for attendants"
    return answer


def _of_token(text: str, ground: Ground) -> dict[str, Any]:
    checked = fm1.check(text, ground.keys, ground.at, ground.verify)
    claims, level = checked.claims, checked.level
    spent = None
    outcome = checked.outcome
    if claims is not None and level is not None and ground.is_spent is not None:
        spent = ground.is_spent(claims.replay_key)
        outcome = fm1.Outcome.REPLAYED if spent else outcome
    accepted = outcome is fm1.Outcome.ACCEPTED
    key = None if claims is None else ground.keys.key(claims.kid)
    return {
        "outcome": outcome.value,
        "accepted": accepted,
        "level": level.value if accepted and level is not None else None,
        "earn_only": checked.clock_suspect or earn_only(level) if accepted and level is not None else None,
        "spent": spent,
        "key": None if key is None else _key(key, ground.at.now_s),
        "claims": None
        if claims is None
        else {
            "kid": claims.kid.hex(),
            "member": mask_member(claims.member_hex),
            "serial": claims.cti.hex(),
            "expires_at": moment(claims.exp_s),
            "left_s": claims.exp_s - ground.at.now_s,
            # A member and a serial that nobody has signed are what somebody wrote there.
            "proven": level is not None or outcome in _BEHIND_THE_SIGNATURE,
        },
    }


_BEHIND_THE_SIGNATURE = frozenset({fm1.Outcome.EXPIRED, fm1.Outcome.TTL_TOO_LONG, fm1.Outcome.REVOKED})


def _key(key: Key, now_s: int) -> dict[str, Any]:
    return {
        "kid": key.kid.hex(),
        "purpose": key.purpose.value,
        "status": key.status.value,
        "not_before": moment(key.not_before_s),
        "not_after": moment(key.not_after_s),
        "left_s": key.not_after_s - now_s,
    }


def moment(seconds: int) -> str | None:
    """Return Unix seconds as ``YYYY-MM-DDTHH:MM:SSZ``; ``None`` outside the years that this form has."""
    if not 0 <= seconds <= MAX_TOLD_S:
        return None
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
