"""What deserves a second look in a usable rule set: what never applies, contradicts itself or makes a sale dearer.

Knows documents and what load.py makes of them. Refuses nothing: what must not be used is refused by ``parse``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime

from agent.domain.rules import lint_dearer, lint_mates, lint_offers
from agent.domain.rules.findings import Finding, Lint, Look
from agent.domain.rules.load import parse

__all__ = ["Finding", "Lint", "lint"]

_CHECKS: tuple[Callable[[Look], Iterator[Finding]], ...] = (
    lint_offers.program,
    lint_offers.audiences,
    lint_offers.endings,
    lint_offers.values,
    lint_offers.points,
    lint_offers.coupons,
    lint_offers.names,
    lint_mates.joints,
    lint_mates.shadowed,
    lint_mates.idle_multipliers,
    lint_mates.free_fuel,
    lint_dearer.dearer,
)


def lint(document: Mapping[str, object], *, campaigns: Collection[str] | None = None) -> tuple[Finding, ...]:
    """Return what is questionable in a rule document, in the order of the document.

    ``campaigns``: every campaign that has a budget, where that is known. Raises RuleSetError for a document that is
    refused.
    """
    rules = parse(document)
    tables, effective = document.get("offer", ()), document["effective_from"]
    assert isinstance(tables, list | tuple), "parse refuses anything else"
    paths = {table["id"]: f"offer[{number}]" for number, table in enumerate(tables)}
    first_day = datetime.fromisoformat(str(effective)).date()
    look = Look(rules, paths, first_day, None if campaigns is None else frozenset(campaigns))
    found = [finding for check in _CHECKS for finding in check(look)]
    return tuple(sorted(found, key=lambda finding: (look.place(finding.offer), finding.path, finding.code)))
