"""Deliveries as a gauge console lists them, told apart from those already known: new, lengthened, perhaps missing.

Pure. Knows no clock but the one handed in; the same list told again says nothing new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.domain.wetstock.console_time import minutes_between
from drivers.readings import GaugeDeliveries, GaugeDelivery

NEAR_ML = 10_000
"""One delivery told in other units or in rounded form differs by less: a unit of any console is below 5 L."""

USUAL_DELAY_MIN = 15
"""How long a delivery may still be lengthened where the console does not tell its delay."""

SETTLE_MIN = 1


@dataclass(frozen=True, slots=True)
class KnownDelivery:
    """A delivery that is kept: what identifies it, how it ended when last seen, whether it is in the journal."""

    id: str
    key: str
    start: str
    start_volume_ml: int | None
    end: str
    end_volume_ml: int | None
    is_booked: bool


@dataclass(frozen=True, slots=True)
class Sorted:
    """A console's list, sorted. ``longer``: known ones that end otherwise now, with the id they are kept under.

    ``missing_since``: where older deliveries may have fallen out of the list, the console time of the last known end.
    """

    new: tuple[GaugeDelivery, ...]
    longer: tuple[tuple[KnownDelivery, GaugeDelivery], ...]
    missing_since: str = ""


def sort_out(told: GaugeDeliveries, known: Sequence[KnownDelivery]) -> Sorted:
    """Compare a list with everything known of this tank at this console."""
    pairs = [(one, _match(one, known)) for one in told.deliveries]
    new = tuple(one for one, match in pairs if match is None)
    longer = tuple((match, one) for one, match in pairs if match is not None and _is_longer(one, match))
    gap = told.full and len(new) == len(told.deliveries) and bool(known)
    return Sorted(new, longer, max((one.end or one.start for one in known), default="") if gap else "")


def settled_after_ms(told: GaugeDeliveries, one: GaugeDelivery) -> int:
    """Return how long to wait before a delivery is final: 0 when the console's own clock says that its delay is over.

    Otherwise the whole delay by our own clock, so that a console whose clock is wrong or gone loses nothing.
    """
    wait_min = (USUAL_DELAY_MIN if told.delay_min is None else told.delay_min) + SETTLE_MIN
    past_min = minutes_between(one.end, told.console_time)
    return 0 if past_min is not None and past_min >= wait_min else wait_min * 60_000


def rise_ml(start_volume_ml: int | None, end_volume_ml: int | None) -> int | None:
    """Return by how much the tank rose, ``None`` where one end is unknown."""
    if start_volume_ml is None or end_volume_ml is None:
        return None
    return end_volume_ml - start_volume_ml


def _match(one: GaugeDelivery, known: Sequence[KnownDelivery]) -> KnownDelivery | None:
    """The console's key decides; the same start with nearly the same volume is the same delivery in another form."""
    by_key = next((match for match in known if match.key == one.key), None)
    if by_key is not None or not one.start:
        return by_key
    return next((match for match in known if match.start == one.start and _is_near(one, match)), None)


def _is_near(one: GaugeDelivery, match: KnownDelivery) -> bool:
    if one.start_volume_ml is None or match.start_volume_ml is None:
        return one.start_volume_ml is match.start_volume_ml
    return abs(one.start_volume_ml - match.start_volume_ml) < NEAR_ML


def _is_longer(one: GaugeDelivery, match: KnownDelivery) -> bool:
    if one.end != match.end:
        return True
    if one.end_volume_ml is None or match.end_volume_ml is None:
        return one.end_volume_ml is not None
    return abs(one.end_volume_ml - match.end_volume_ml) >= NEAR_ML
