"""Tank gauges that are known from somebody else's field code only: accepted by the station first, labelled ever after.

Knows plausibility and the label. Knows no wire: readings come in with the time of the port's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from drivers import options
from drivers.config import LineConfig
from drivers.errors import WiringError
from drivers.readings import Quality, TankReading
from drivers.veeder_root.plausibility import Pace, Tank, doubts

LABEL = "experimental"
MAX_VOLUME_ML = 10**9 - 1  # a thousand cubic metres: no tank of a station
ENOUGH = 3
REFUSED = "this driver was never tried on a real gauge by us"
ACCEPT = "write experimental = true and compare what it tells with the gauge's own display"

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
K = TypeVar("K", bound="DataclassInstance")


def check_options(kind: type[K], limits: options.Limits, given: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """As ``DriverSpec.check_options``: without ``experimental = true`` such a line is refused."""
    problems = options.check(kind, limits, given)
    return problems if given.get("experimental") else [*problems, ("experimental", REFUSED, ACCEPT)]


def check_accepted(config: LineConfig, *, experimental: bool) -> None:
    """Raise ``WiringError`` unless the station has accepted that nobody of this project has tried such a gauge."""
    if not experimental:
        raise WiringError(f"line {config.id!r}, option 'experimental': {REFUSED}", hint=ACCEPT)


class Judge:
    """Says how far each reading may be trusted, and remembers the last trusted volume of each tank."""

    def __init__(self) -> None:
        self._trusted: dict[int, tuple[int, float]] = {}

    def judged(
        self, reading: TankReading, now_s: float, step_ml: int, *labels: str, quality: Quality = Quality.GOOD
    ) -> TankReading:
        """``reading`` with its quality and doubts; the label stands first. ``step_ml``: one step of its own scale.

        ``quality``: the best it can have. ``labels``: what else people must know of it.
        """
        labels = (LABEL, *labels)
        if reading.volume_ml is None:
            return replace(reading, quality=Quality.NO_READING, doubts=(*labels, "no volume"))
        last = self._trusted.get(reading.gauge_index)
        pace = None if last is None else Pace(last[0], max(0, round((now_s - last[1]) * 1000)), step_ml)
        found = doubts(reading, Tank(), pace)
        if reading.volume_ml > MAX_VOLUME_ML:
            found = (*found, "volume beyond any tank")
        if found:
            return replace(reading, quality=Quality.SUSPECT, doubts=(*labels, *found))
        self._trusted[reading.gauge_index] = (reading.volume_ml, now_s)
        return replace(reading, quality=quality, doubts=labels)


def no_reading(gauge: str, tank: int, *why: str) -> TankReading:
    """The reading that says that there is none, and why."""
    return TankReading(gauge, tank, Quality.NO_READING, doubts=(LABEL, *why))


def enough(answers: Sequence[T], same: Callable[[T, T], bool]) -> bool:
    """Whether a question was asked often enough: two answers that are the same, or three.

    For answers whose check does not see two characters change places, or does not name the question: of three the
    middle one counts, so neither one damaged answer nor one late answer of somebody else gets through.
    """
    return len(answers) >= ENOUGH or (len(answers) == ENOUGH - 1 and same(answers[0], answers[1]))


def middle(values: Sequence[int | None]) -> int | None:
    """The middle one of up to three numbers; ``None`` (unknown) counts as the lowest."""
    ranked = sorted(values, key=lambda value: (value is not None, value or 0))
    return ranked[len(ranked) // 2]
