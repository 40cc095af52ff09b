"""Virtual time of a simulated day: monotonic time that only the day moves, and a wall clock that may be set wrong."""

from __future__ import annotations

from datetime import datetime

BOOT_MS = 1_000_000


class SimClock:
    """``agent.clock.Clock``. ``offset_ms``: how far the wall clock was set away from the truth."""

    def __init__(self, epoch: datetime) -> None:
        self.epoch_ms = int(epoch.timestamp()) * 1_000
        self.now_s = 0.0
        self.offset_ms = 0
        self.word = "ntp"

    @property
    def elapsed_ms(self) -> int:
        """Virtual milliseconds since the beginning of the day."""
        return round(self.now_s * 1_000)

    def wall_ms(self) -> int:
        """See Clock."""
        return max(0, self.epoch_ms + self.elapsed_ms + self.offset_ms)

    def mono_ms(self) -> int:
        """See Clock."""
        return BOOT_MS + self.elapsed_ms

    def quality(self) -> str:
        """See Clock."""
        return self.word

    def sleep(self, seconds: float) -> None:
        """See Clock."""
        self.now_s += seconds
