"""The rules that look at a link as it is made: R1, R2, R4 (one link), R6 (one code again), R10.

Pure: a sale just linked and the same member's other fuellings in, findings out, whatever order they come in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.domain.fraud import (
    Effect,
    Finding,
    Limits,
    Rule,
    Severity,
    Unit,
    attendant,
    effect_on,
    member,
)
from agent.domain.identity import AuthLevel

_COPIED = frozenset({AuthLevel.FM1_PRINTED, AuthLevel.NUMBER, AuthLevel.UID})
"""Levels of a code that is the same each time: printed, a number, a chip's number."""


@dataclass(frozen=True, slots=True)
class Fuelling:
    """One linked sale. ``day``: local, ISO; ``product``: petrol, diesel or another, ``None`` unknown; ``by``: who."""

    sale: str
    day: str
    ended_ms: int
    product: str | None
    volume_ml: int
    level: AuthLevel
    by: str
    delay_s: int


@dataclass(frozen=True, slots=True)
class Linked:
    """The sale just linked and the member's others, as far back as a rule looks. ``tank_ml``: the registered tank.

    ``is_staff``: flagged as staff or their family. ``own``: linked in the session of the person whose card it is.
    ``late``: by a supervisor after the time for it. ``made_day``: the local day on which it was linked.
    """

    member: str
    sale: Fuelling
    made_day: str
    others: tuple[Fuelling, ...] = ()
    tank_ml: int | None = None
    is_staff: bool = False
    own: bool = False
    late: bool = False

    all: tuple[Fuelling, ...] = field(init=False, compare=False, repr=False)
    on_day: tuple[Fuelling, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Derive every fuelling, oldest first, and those of the local day of the sale just linked."""
        every = tuple(sorted((self.sale, *self.others), key=lambda one: (one.ended_ms, one.sale)))
        object.__setattr__(self, "all", every)
        object.__setattr__(self, "on_day", tuple(one for one in every if one.day == self.sale.day))


def at_link(linked: Linked, limits: Limits) -> tuple[Finding, ...]:
    """Return what the rules see in a link, at most one finding each."""
    found = (rule(linked, limits) for rule in (_velocity, _volume, _late, _same_code, _staff))
    return tuple(finding for finding in found if finding is not None)


def most_within(times: Iterable[int], at: int, width: int) -> int:
    """Return how many instants lie in the fullest span of ``width`` that holds ``at``; both ends count."""
    near = sorted(time for time in times if abs(time - at) <= width)
    starts = [(index, start) for index, start in enumerate(near) if start <= at <= start + width]
    return max((bisect_right(near, start + width) - index for index, start in starts), default=0)


def _found(
    linked: Linked,
    rule: Rule,
    compared: tuple[int, int, Unit],
    sales: tuple[tuple[str, Effect], ...],
    severity: Severity = Severity.ALERT,
) -> Finding:
    """Return a finding about the member; ``compared``: observed, threshold and what they count."""
    named = {sale for sale, _ in sales}
    times = [one.ended_ms for one in linked.all if one.sale in named]
    observed, threshold, unit = compared
    return Finding(
        rule=rule,
        subject=member(linked.member),
        day=linked.sale.day,
        severity=severity,
        from_ms=min(times),
        to_ms=max(times),
        observed=observed,
        threshold=threshold,
        unit=unit,
        sales=sales,
    )


def _velocity(linked: Linked, limits: Limits) -> Finding | None:
    """R1: fuellings in 60 minutes, and on a day; from ``velocity_hold`` on a day the points are held."""
    at, width, day = linked.sale.ended_ms, limits.velocity_ms, linked.on_day
    fast = most_within((one.ended_ms for one in linked.all), at, width)
    named = (
        {one.sale for one in linked.all if abs(one.ended_ms - at) <= width} if fast >= limits.velocity_info else set()
    )
    if len(day) < limits.velocity_alert:
        compared = (fast, limits.velocity_info, Unit.FUELLINGS_IN_WINDOW)
        sales = effect_on(named, Effect.DOUBTFUL)
        return _found(linked, Rule.VELOCITY, compared, sales, Severity.INFO) if named else None
    held = {one.sale for one in day[limits.velocity_hold - 1 :]}
    named |= {one.sale for one in day}
    sales = (*effect_on(named - held, Effect.DOUBTFUL), *effect_on(held, Effect.HOLD))
    threshold = limits.velocity_hold if held else limits.velocity_alert
    return _found(linked, Rule.VELOCITY, (len(day), threshold, Unit.FUELLINGS_ON_DAY), sales)


def _volume(linked: Linked, limits: Limits) -> Finding | None:
    """R2: more litres on a day than the tank takes, or than a car or lorry does; petrol and diesel on one day."""
    sums = {"petrol": 0, "diesel": 0}
    fuels = [one for one in linked.on_day if one.product in sums]
    for one in fuels:
        sums[str(one.product)] += one.volume_ml
    sales = effect_on((one.sale for one in fuels), Effect.DOUBTFUL)
    total, tank_ml = sum(sums.values()), linked.tank_ml
    most = (
        [(total, tank_ml * limits.tank_pct // 100)]
        if tank_ml is not None
        else [(sums["petrol"], limits.petrol_ml), (sums["diesel"], limits.diesel_ml)]
    )
    for observed, threshold in most:
        if observed > threshold:
            return _found(linked, Rule.VOLUME, (observed, threshold, Unit.VOLUME_ML), sales)
    if all(sums.values()):
        return _found(linked, Rule.VOLUME, (len(sums), len(sums) - 1, Unit.PRODUCTS), sales)
    return None


def _late(linked: Linked, limits: Limits) -> Finding | None:
    """R4: one link long after the nozzle was hung up; one by a supervisor after the time for it waits for a review."""
    sale = linked.sale
    if not linked.late and sale.delay_s * 1_000 <= limits.late_info_ms:
        return None
    effect = Effect.HOLD if linked.late else Effect.DOUBTFUL
    return Finding(
        rule=Rule.LATE_LINKS,
        subject=attendant(sale.by),
        day=linked.made_day,
        severity=Severity.ALERT if linked.late else Severity.INFO,
        from_ms=sale.ended_ms,
        to_ms=sale.ended_ms + 1_000 * sale.delay_s,
        observed=sale.delay_s,
        threshold=limits.late_info_ms // 1_000,
        unit=Unit.DELAY_S,
        sales=((sale.sale, effect),),
        other=member(linked.member),
    )


def _same_code(linked: Linked, limits: Limits) -> Finding | None:
    """R6: one printed code, number or chip number on several sales of a day."""
    same = [one.sale for one in linked.on_day if one.level is linked.sale.level]
    if linked.sale.level not in _COPIED or len(same) < limits.weak_code_sales:
        return None
    sales = effect_on(same, Effect.DOUBTFUL)
    return _found(linked, Rule.WEAK_CODES, (len(same), limits.weak_code_sales, Unit.SALES_OF_ONE_CODE), sales)


def _staff(linked: Linked, limits: Limits) -> Finding | None:
    """R10: a card of the staff or their family used more than is allowed, or by its own holder at work."""
    if not linked.is_staff:
        return None
    on_day = len(linked.on_day)
    week = most_within((one.ended_ms for one in linked.all), linked.sale.ended_ms, limits.staff_ms)
    seen = (
        (on_day, limits.staff_day, Unit.FUELLINGS_ON_DAY),
        (week, limits.staff_fuellings, Unit.FUELLINGS_IN_WINDOW),
        (int(linked.own), 0, Unit.OWN_LINKS),
    )
    for observed, threshold, unit in seen:
        if observed > threshold:
            sales = ((linked.sale.sale, Effect.NO_POINTS),)
            return _found(linked, Rule.STAFF_CARDS, (observed, threshold, unit), sales)
    return None
