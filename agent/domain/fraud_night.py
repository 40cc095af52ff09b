"""The rules that look at many links together, at the end of a shift and at night: R3, R4, R5, R6, R7, R9.

Pure: counts per attendant and member in, findings out. A median is that of the attendants with enough links; where
they are fewer than ``median_attendants`` only the absolute limit counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from statistics import median

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

_PERCENT = 100
_BASIS_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class Span:
    """What is looked at: from when until when, and the local day that findings are filed under."""

    day: str
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Share:
    """``hits`` of ``of`` links of one attendant, and the sales behind the hits; ``member``: whose, where it is one."""

    attendant: str
    of: int
    hits: int
    sales: tuple[str, ...] = ()
    member: str | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """How often one attendant linked one member, and the sales."""

    attendant: str
    member: str
    links: int
    sales: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Habit:
    """What one member did: how often they earned and redeemed, and how much of each with the attendant most concerned.

    ``earned_sales`` and ``redeemed_sales``: those with that attendant.
    """

    member: str
    earns: int
    earns_by: str
    earns_with: int
    redemptions: int
    redemptions_by: str
    redemptions_with: int
    earned_sales: tuple[str, ...] = ()
    redeemed_sales: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Busy:
    """How often one member fuelled on one day."""

    member: str
    fuellings: int
    sales: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DayShare:
    """Links of one attendant on a day among the station's sales of it, and on the usual days before on which they
    linked any.
    """

    attendant: str
    links: int
    of: int
    usual_links: int
    usual_of: int
    sales: tuple[str, ...] = ()


def concentrated(
    tops: Iterable[Share], pairs: Iterable[Pair], spans: tuple[Span, Span], limits: Limits
) -> list[Finding]:
    """R3: one member has a large share of an attendant's links, or many of them in a few days.

    ``tops``: of each attendant, the member linked most, over the first span; ``pairs`` of the second.
    """
    tops = tuple(tops)
    found = {
        top.attendant: _of_share(Rule.CONCENTRATION, top, usual, limits.concentration_pct, spans[0])
        for top, usual in _standing_out(
            tops, limits.concentration_links, limits.concentration_pct, limits.concentration_median_pct, limits
        )
    }
    for pair in sorted(pairs, key=lambda one: (-one.links, one.attendant, one.member)):
        if pair.links >= limits.pair_links and pair.attendant not in found:
            compared = (pair.links, limits.pair_links, Unit.LINKS_OF_ONE_MEMBER)
            found[pair.attendant] = _finding(
                Rule.CONCENTRATION, attendant(pair.attendant), spans[1], compared, pair.sales, other=member(pair.member)
            )
    return [found[name] for name in sorted(found)]


def late(shares: Iterable[Share], span: Span, limits: Limits) -> list[Finding]:
    """R4: in a shift, an attendant links late more often than the others. ``hits``: links after ``late_after_ms``."""
    out = _standing_out(tuple(shares), limits.late_links, limits.late_pct, limits.late_median_pct, limits)
    return [
        _of_share(Rule.LATE_LINKS, share, usual, limits.late_pct, span, effect=Effect.DOUBTFUL) for share, usual in out
    ]


def weak(shares: Iterable[Share], span: Span, limits: Limits) -> list[Finding]:
    """R6: an attendant links by weak codes more often than the others. ``hits``: links of a weak level."""
    out = _standing_out(tuple(shares), limits.weak_links, limits.weak_pct, limits.weak_median_pct, limits)
    return [
        _of_share(Rule.WEAK_CODES, share, usual, limits.weak_pct, span, effect=Effect.DOUBTFUL) for share, usual in out
    ]


def corrected(shares: Iterable[Share], span: Span, limits: Limits) -> list[Finding]:
    """R7: an attendant changes or removes a large share of links. ``hits``: their corrections, ``of``: their links."""
    out = _standing_out(tuple(shares), limits.corrections_links, limits.corrections_pct, None, limits)
    return [_of_share(Rule.CORRECTIONS, share, usual, limits.corrections_pct, span) for share, usual in out]


def corrected_in_shift(shares: Iterable[Share], span: Span, limits: Limits) -> list[Finding]:
    """R7: an attendant changed or removed several links in one shift."""
    return [
        _finding(
            Rule.CORRECTIONS,
            attendant(share.attendant),
            span,
            (share.hits, limits.corrections_shift, Unit.CORRECTIONS),
            share.sales,
        )
        for share in shares
        if share.hits >= limits.corrections_shift
    ]


def sleepers(habits: Iterable[Habit], span: Span, limits: Limits) -> list[Finding]:
    """R5: a card that only ever earns, with one attendant; or whose points are spent with one attendant."""
    found = []
    for habit in habits:
        earned_with = Fraction(habit.earns_with, max(1, habit.earns))
        redeemed_with = Fraction(habit.redemptions_with, max(1, habit.redemptions))
        if habit.earns >= limits.sleeper_earns and not habit.redemptions and _reaches(earned_with, limits.sleeper_pct):
            with_whom, share, least, sales = habit.earns_by, earned_with, limits.sleeper_pct, habit.earned_sales
        elif habit.redemptions_with >= limits.redemptions and _reaches(redeemed_with, limits.redemptions_pct):
            with_whom, share, least, sales = (
                habit.redemptions_by,
                redeemed_with,
                limits.redemptions_pct,
                habit.redeemed_sales,
            )
        else:
            continue
        compared = (_bp(share), least * _PERCENT, Unit.SHARE_BP)
        other = attendant(with_whom)
        found.append(_finding(Rule.SLEEPER, member(habit.member), span, compared, sales, other=other))
    return found


def on_multiplier_day(busy: Iterable[Busy], shares: Iterable[DayShare], span: Span, limits: Limits) -> list[Finding]:
    """R9: on a day that multiplies points, one member fuels often, or an attendant links far more than usual."""
    found = [
        _finding(
            Rule.MULTIPLIER_DAYS,
            member(one.member),
            span,
            (one.fuellings, limits.multiplier_fuellings, Unit.FUELLINGS_ON_DAY),
            one.sales,
        )
        for one in busy
        if one.fuellings >= limits.multiplier_fuellings
    ]
    for share in shares:
        usual = Fraction(share.usual_links, share.usual_of) if share.usual_of else Fraction(0)
        if share.of < limits.multiplier_sales or not usual:
            continue
        of_mean = Fraction(share.links, share.of) / usual
        if _reaches(of_mean, limits.multiplier_mean_pct):
            compared = (int(of_mean * _PERCENT), limits.multiplier_mean_pct, Unit.OF_MEAN_PCT)
            who = attendant(share.attendant)
            found.append(_finding(Rule.MULTIPLIER_DAYS, who, span, compared, share.sales))
    return found


def _standing_out(
    shares: tuple[Share, ...], least: int, pct: int, factor_pct: int | None, limits: Limits
) -> Iterator[tuple[Share, Fraction | None]]:
    """Give each share of at least ``least`` links that reaches ``pct`` and ``factor_pct`` of the median, with that."""
    enough = sorted((share for share in shares if share.of >= least), key=lambda share: share.attendant)
    parts = [Fraction(share.hits, share.of) for share in enough]
    usual = None
    if factor_pct is not None and len(enough) >= limits.median_attendants:
        usual = median(parts)
    for share, part in zip(enough, parts, strict=True):
        above = usual is None or factor_pct is None or part * _PERCENT >= usual * factor_pct
        if _reaches(part, pct) and above:
            yield share, usual


def _reaches(part: Fraction, pct: int) -> bool:
    return part * _PERCENT >= pct


def _bp(part: Fraction) -> int:
    """Return a share in basis points, rounded down: what did not reach a threshold is never shown as if it had."""
    return int(part * _BASIS_POINTS)


def _of_share(
    rule: Rule, share: Share, usual: Fraction | None, pct: int, span: Span, *, effect: Effect = Effect.NONE
) -> Finding:
    part = Fraction(share.hits, share.of)
    return _finding(
        rule,
        attendant(share.attendant),
        span,
        (_bp(part), pct * _PERCENT, Unit.SHARE_BP),
        share.sales,
        effect=effect,
        usual=usual,
        other=None if share.member is None else member(share.member),
    )


def _finding(
    rule: Rule,
    subject: Subject,
    span: Span,
    compared: tuple[int, int, Unit],
    sales: Iterable[str],
    *,
    effect: Effect = Effect.NONE,
    usual: Fraction | None = None,
    other: Subject | None = None,
) -> Finding:
    observed, threshold, unit = compared
    return Finding(
        rule=rule,
        subject=subject,
        day=span.day,
        severity=Severity.ALERT,
        from_ms=span.from_ms,
        to_ms=span.to_ms,
        observed=observed,
        threshold=threshold,
        unit=unit,
        sales=effect_on(sales, effect),
        median=None if usual is None else _bp(usual),
        other=other,
    )
