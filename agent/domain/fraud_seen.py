"""The rules that look at a refused scan, a chip's counter and a refund: R8, R12, R11.

Pure: what happened and how often before in, findings out.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.domain.fraud import (
    Effect,
    Finding,
    Limits,
    Rule,
    Severity,
    Subject,
    Unit,
    attendant,
    effect_on,
    member,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """Something at an instant on a local day, about a subject; ``before``: how often the same on that day before.

    ``sales``: those that it makes doubtful.
    """

    subject: Subject
    at_ms: int
    day: str
    before: int = 0
    sales: tuple[str, ...] = ()


def replayed(seen: Seen, limits: Limits) -> Finding:
    """R8: a code that was used or waits, shown for something else: what its first use earned is held."""
    return _counted(seen, Rule.REPLAY, limits.replays, Unit.REPLAYS)


def refused(seen: Seen, limits: Limits) -> Finding:
    """R12: a chip's counter that fell back, or a chip that is not the card's: perhaps a copy."""
    return _counted(seen, Rule.COUNTER, limits.counter_refusals, Unit.REFUSALS)


def _counted(seen: Seen, rule: Rule, threshold: int, unit: Unit) -> Finding:
    """Return the finding: what is not often enough is noted, so that the next one is counted."""
    observed = seen.before + 1
    enough = observed >= threshold
    return Finding(
        rule=rule,
        subject=seen.subject,
        day=seen.day,
        severity=Severity.ALERT if enough else Severity.INFO,
        from_ms=seen.at_ms,
        to_ms=seen.at_ms,
        observed=observed,
        threshold=threshold,
        unit=unit,
        sales=effect_on(seen.sales, Effect.HOLD) if enough else (),
    )


def counted(seen: Seen, jump: int, limits: Limits) -> Finding | None:
    """R12: a counter far above the last one: the card was read often elsewhere."""
    if jump <= limits.counter_jump:
        return None
    return Finding(
        rule=Rule.COUNTER,
        subject=seen.subject,
        day=seen.day,
        severity=Severity.INFO,
        from_ms=seen.at_ms,
        to_ms=seen.at_ms,
        observed=jump,
        threshold=limits.counter_jump,
        unit=Unit.COUNTER_JUMP,
        sales=effect_on(seen.sales, Effect.NONE),
    )


@dataclass(frozen=True, slots=True)
class Reversal:
    """Money given back on a sale whose member had earned or spent points. ``by``: who had linked the sale."""

    sale: str
    member: str
    by: str
    at_ms: int


def reversed_money(
    last: Reversal, of_member: tuple[Reversal, ...], of_attendant: tuple[Reversal, ...], day: str, limits: Limits
) -> tuple[Finding, ...]:
    """R11: one refund or void is noted; sales given back to one member, or linked by one attendant, add up.

    ``of_member`` and ``of_attendant``: every one of the windows, ``last`` among them or not.
    """
    about_member = _reversals((last, *of_member), member(last.member), limits.reversals_member, day)
    about_attendant = _reversals((last, *of_attendant), attendant(last.by), limits.reversals_attendant, day)
    return (about_member, *(found for found in (about_attendant,) if found.severity is Severity.ALERT))


def _reversals(reversals: tuple[Reversal, ...], subject: Subject, threshold: int, day: str) -> Finding:
    sales = {one.sale for one in reversals}
    return Finding(
        rule=Rule.REVERSALS,
        subject=subject,
        day=day,
        severity=Severity.ALERT if len(sales) >= threshold else Severity.INFO,
        from_ms=min(one.at_ms for one in reversals),
        to_ms=max(one.at_ms for one in reversals),
        observed=len(sales),
        threshold=threshold,
        unit=Unit.REVERSALS,
        sales=effect_on(sales, Effect.DOUBTFUL),
    )
