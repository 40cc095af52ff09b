"""The nouns of lint: one finding, and what a check looks at.

Knows no check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from agent.domain.rules.explain import decimal, money
from agent.domain.rules.model import Offer, RuleSet


class Lint(StrEnum):
    """What kind of doubt a finding is."""

    CONTRADICTORY = "CONTRADICTORY"
    NEVER_APPLIES = "NEVER_APPLIES"
    SHADOWED = "SHADOWED"
    DEARER = "DEARER"
    NO_EFFECT = "NO_EFFECT"
    ALWAYS_CAPPED = "ALWAYS_CAPPED"
    FREE_FUEL = "FREE_FUEL"
    POINTS = "POINTS"
    CONFUSABLE = "CONFUSABLE"
    NOT_ALL_COMPARED = "NOT_ALL_COMPARED"


@dataclass(frozen=True, slots=True)
class Finding:
    """One doubt: its kind, where in the document, the offer it is about (``None``: the program), what, what to do.

    ``numbers``: the amounts that were compared, with units in the names.
    """

    code: Lint
    path: str
    offer: str | None
    problem: str
    hint: str
    numbers: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        about = "" if self.offer is None else f" ({self.offer})"
        return f"{self.path}{about}: {self.code}: {self.problem}; {self.hint}"


@dataclass(frozen=True, slots=True)
class Look:
    """A rule set to look at. ``paths``: place of each offer in the document, in its order; ``first_day``: the day on
    which it takes effect, in the zone it names; ``campaigns``: those that have a budget, ``None`` where nobody said.
    """

    rules: RuleSet
    paths: Mapping[str, str]
    first_day: date
    campaigns: frozenset[str] | None = None

    def place(self, offer_id: str | None) -> int:
        """Return the number of an offer in the document; the program stands before all."""
        return -1 if offer_id is None else list(self.paths).index(offer_id)

    def about(
        self, code: Lint, offer: Offer, key: str, problem: str, hint: str, *, numbers: Mapping[str, int] | None = None
    ) -> Finding:
        """Return a finding at a key of an offer."""
        path = ".".join(part for part in (self.paths[offer.id], key) if part)
        return Finding(code, path, offer.id, problem, hint, numbers or {})

    def money(self, amount_minor: int) -> str:
        """Return an amount of the program's currency as people write it."""
        return money(amount_minor, self.rules.program.exponent)

    @staticmethod
    def percent(share_bp: int) -> str:
        """Return basis points as per cent."""
        return f"{decimal(share_bp, 2)} %"
