"""What a link may give by the strength of its code: limits of a day for weak cards and for spending offline.

Pure and integer; what was used so far comes in. *Earn only* for weak levels is the engine's own rule (AUTH_TOO_WEAK).
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.domain.identity import AuthLevel
from agent.domain.rules.facts import LEVEL_SALES, LEVEL_VOLUME, RedeemLimit, Withheld


@dataclass(frozen=True, slots=True)
class LevelLimits:
    """Limits of one member and one local day at this station.

    ``redeem_minor``: money that points pay on strong codes, offline and within a lease. ``uid_sales``,
    ``uid_volume_ml``: sales and fuel that a bare card number (level ``uid``) earns on.
    """

    redeem_minor: int
    uid_sales: int = 2
    uid_volume_ml: int = 200_000


@dataclass(frozen=True, slots=True)
class Day:
    """What a member had on this level earlier on the same local day."""

    sales: int = 0
    volume_ml: int = 0


def withheld(level: AuthLevel, limits: LevelLimits, earlier: Day, volume_ml: int) -> Withheld | None:
    """Return why a sale gives its member nothing, ``None`` where its level has no limit or keeps it.

    A sale over the limit stays linked: it is known who fuelled, and the explanation says which limit was reached.
    """
    if level is not AuthLevel.UID:
        return None
    if earlier.sales >= limits.uid_sales:
        return Withheld(LEVEL_SALES, limits.uid_sales, earlier.sales)
    volume_ml += earlier.volume_ml
    if volume_ml > limits.uid_volume_ml:
        return Withheld(LEVEL_VOLUME, limits.uid_volume_ml, volume_ml)
    return None


def redeem_limit(limits: LevelLimits, used_minor: int) -> RedeemLimit:
    """Return what points may still pay today: ``used_minor`` was paid or is held by quotes."""
    return RedeemLimit(limits.redeem_minor, used_minor)
