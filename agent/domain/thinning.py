"""Which readings of telemetry are told while there is no room for all, and what is said of those left out (W-01).

Pure. A reading left out never gets a seq; how many there were, and from when to when, is one record of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

Value = int | str | bool | None
Values = Mapping[str, Value]

CHANGES = {
    "volume_ml": 200_000,
    "water_height_um": 3_000,
    "temperature_mdegc": 2_000,
}
"""A value that has moved so far since it was told last is told, whatever its turn."""

WORDS = frozenset({"quality", "state", "online", "delivery_in_progress", "devices_online", "clock"})
"""Values that are told whenever they are others than before."""


@dataclass(frozen=True, slots=True)
class Thinned:
    """Readings left out: how many, from when to when (Unix milliseconds), and why."""

    from_ms: int
    to_ms: int
    count: int

    def and_one(self, at_ms: int) -> Thinned:
        """Return this with one more."""
        return Thinned(min(self.from_ms, at_ms), max(self.to_ms, at_ms), self.count + 1)


@dataclass(frozen=True, slots=True)
class Thinning:
    """``told``: by subject, what was told last; ``skipped``: times since; ``left_out``: by reason, not told yet."""

    told: Mapping[str, Values] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, Thinned] = field(default_factory=dict)


def judge(state: Thinning, subject: str, values: Values, *, keep_one_of: int) -> tuple[Thinning, bool]:
    """Return whether to tell a reading: one of so many, the first of its subject, and every change that matters."""
    known, skipped = state.told.get(subject), state.skipped.get(subject, 0)
    keeps = known is None or skipped + 1 >= keep_one_of or has_changed(known, values)
    told = {**state.told, subject: dict(values)} if keeps else state.told
    return replace(state, told=told, skipped={**state.skipped, subject: 0 if keeps else skipped + 1}), keeps


def left_out(state: Thinning, reason: str, at_ms: int) -> Thinning:
    """Note a reading that is not told."""
    known = state.left_out.get(reason)
    now = Thinned(at_ms, at_ms, 1) if known is None else known.and_one(at_ms)
    return replace(state, left_out={**state.left_out, reason: now})


def has_changed(before: Values, now: Values) -> bool:
    """Whether a value has moved far, has become known or unknown, or is another word."""
    for name in WORDS & (before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            return True
    for name, far in CHANGES.items():
        old, new = before.get(name), now.get(name)
        if (old is None) != (new is None):
            return True
        if isinstance(old, int) and isinstance(new, int) and abs(new - old) >= far:
            return True
    return False
