"""Where time comes from: the only file that reads a clock for the agent and for head office.

Knows the system's clocks and the demo's faster one. Everything pure gets its time as an argument.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Protocol

from agent.domain.instant import Now

SYNCHRONISED_FILES = (Path("/run/systemd/timesync/synchronized"), Path("/var/lib/chrony/drift"))
"""Files whose age tells when a time service last disciplined the clock, read instead of asking the kernel."""

SYNCHRONISED_WITHIN_S = 86_400
"""W-02: ``ntp`` means synchronised within the last day."""

QUALITY_KNOWN_MS = 1_000

ENVIRONMENT_NAME = "FORECOURT_CLOCK"
OFFSET_FILE_NAME = "FORECOURT_CLOCK_OFFSET_FILE"


class Clock(Protocol):
    """Wall time, monotonic time that counts through suspend, and how good the wall time is."""

    def wall_ms(self) -> int:
        """Unix time in milliseconds, UTC."""
        ...

    def mono_ms(self) -> int:
        """CLOCK_BOOTTIME in milliseconds."""
        ...

    def quality(self) -> str:
        """``ntp`` | ``rtc`` | ``unknown`` as in W-02; ``floor`` is decided by who knows the newest time seen."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` of this clock."""
        ...


def boottime_ms() -> int:
    """Return CLOCK_BOOTTIME in milliseconds."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def system_quality(now_s: float) -> str:
    """Return ``ntp`` if a time service has disciplined the clock within a day, else ``rtc``."""
    for path in SYNCHRONISED_FILES:
        try:
            age_s = now_s - path.stat().st_mtime
        except OSError:
            continue
        if 0 <= age_s <= SYNCHRONISED_WITHIN_S:
            return "ntp"
    return "rtc"


class _Quality:
    """The quality of the system's clock, looked up at most once a second: every step of the pipeline is stamped."""

    def __init__(self) -> None:
        self._known = ""
        self._until_ms = 0

    def now(self) -> str:
        """Return ``ntp`` or ``rtc``."""
        mono_ms = boottime_ms()
        if mono_ms >= self._until_ms:
            self._known = system_quality(time.time())
            self._until_ms = mono_ms + QUALITY_KNOWN_MS
        return self._known


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self._quality = _Quality()

    def wall_ms(self) -> int:
        """Unix time in milliseconds, UTC."""
        return time.time_ns() // 1_000_000

    def mono_ms(self) -> int:
        """CLOCK_BOOTTIME in milliseconds."""
        return boottime_ms()

    def quality(self) -> str:
        """``ntp`` or ``rtc``."""
        return self._quality.now()

    def sleep(self, seconds: float) -> None:
        """Sleep in real time."""
        time.sleep(seconds)


class ScaledClock:
    """The demo's clock: both times run ``speed`` times faster from a common base, so that all its processes agree.

    ``offset_file`` holds one integer, milliseconds added to the wall time: how a demo fault makes the clock jump.
    """

    def __init__(self, speed: int, base_wall_ms: int, base_mono_ms: int, offset_file: Path | None = None) -> None:
        assert speed >= 1
        self._speed = speed
        self._base_wall_ms = base_wall_ms
        self._base_mono_ms = base_mono_ms
        self._offset_file = offset_file
        self._quality = _Quality()

    def _elapsed_ms(self) -> int:
        elapsed_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._base_mono_ms * 1_000_000
        return elapsed_ns * self._speed // 1_000_000

    def _offset_ms(self) -> int:
        if self._offset_file is None:
            return 0
        try:
            return int(self._offset_file.read_text(encoding="ascii") or "0")
        except (FileNotFoundError, ValueError):
            return 0

    def wall_ms(self) -> int:
        """Base wall time plus scaled elapsed time plus the fault's offset."""
        return self._base_wall_ms + self._elapsed_ms() + self._offset_ms()

    def mono_ms(self) -> int:
        """Base monotonic time plus scaled elapsed time."""
        return self._base_mono_ms + self._elapsed_ms()

    def quality(self) -> str:
        """The quality of the clock underneath."""
        return self._quality.now()

    def sleep(self, seconds: float) -> None:
        """Sleep so long that ``seconds`` pass on this clock."""
        time.sleep(seconds / self._speed)

    @property
    def speed(self) -> int:
        """How many times faster than real time."""
        return self._speed

    def as_environment(self) -> dict[str, str]:
        """Return the variables that make ``clock_from_environment`` in a child build this clock again."""
        values = {ENVIRONMENT_NAME: f"scaled:{self._speed}:{self._base_wall_ms}:{self._base_mono_ms}"}
        if self._offset_file is not None:
            values[OFFSET_FILE_NAME] = str(self._offset_file)
        return values


def clock_from_environment() -> Clock:
    """Return the scaled clock named by ``FORECOURT_CLOCK=scaled:SPEED:WALL_MS:MONO_MS``, else the system's.

    Raises ValueError with the expected form for anything else.
    """
    text = os.environ.get(ENVIRONMENT_NAME, "")
    if not text:
        return SystemClock()
    parts = text.split(":")
    if len(parts) != 4 or parts[0] != "scaled" or not all(p.isascii() and p.isdigit() for p in parts[1:]):
        raise ValueError(f"{ENVIRONMENT_NAME}={text!r}: expected scaled:SPEED:WALL_MS:MONO_MS")
    offset_file = os.environ.get(OFFSET_FILE_NAME)
    return ScaledClock(int(parts[1]), int(parts[2]), int(parts[3]), Path(offset_file) if offset_file else None)


def read(clock: Clock) -> Now:
    """Return both times of ``clock`` as one instant."""
    return Now(wall_ms=clock.wall_ms(), mono_ms=clock.mono_ms())
