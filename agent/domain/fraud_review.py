"""How good a rule is: what people found out about its alerts. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_PERCENT = 100
_BASIS_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class Tally:
    """Alerts of one rule: how many there are, and how many were reviewed as what."""

    fired: int = 0
    confirmed: int = 0
    harmless: int = 0
    unclear: int = 0

    @property
    def reviewed(self) -> int:
        """How many somebody has looked at."""
        return self.confirmed + self.harmless + self.unclear

    @property
    def precision_bp(self) -> int | None:
        """Confirmed ones of those reviewed, in basis points rounded down; ``None`` before the first review."""
        return _BASIS_POINTS * self.confirmed // self.reviewed if self.reviewed else None

    def is_noisy(self, reviews: int, pct: int) -> bool:
        """Return whether fewer than ``pct`` percent were right, once ``reviews`` were looked at."""
        return self.reviewed >= reviews and _PERCENT * self.confirmed < pct * self.reviewed
