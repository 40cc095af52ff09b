"""One instant on both clocks: wall time may jump, monotonic time never does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Now:
    """``wall_ms``: Unix milliseconds, UTC. ``mono_ms``: CLOCK_BOOTTIME milliseconds of this boot."""

    wall_ms: int
    mono_ms: int
