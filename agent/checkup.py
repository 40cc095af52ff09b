"""What looks after the storage beside the pipeline: the verification that runs by itself, and the disk's free space.

Threads with nothing of the pipeline's: the verification reads on its own connection and pauses all the while, so that
sales do not wait. What they find goes to the inbox.
"""

from __future__ import annotations

import sqlite3
import time
import zoneinfo
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

from agent.clock import Clock
from agent.inbox import FromStorage, Inbox, Item
from agent.logs import get_logger
from agent.store.failures import Failure, StorageFailed, disk_named
from agent.store.reserve import Level, Reserve
from agent.store.verify import Finding, verify
from agent.supervisor import Heart

LOOK_EVERY_S = 1.0
AFTER_START_MS = 180_000
"""First of all the station opens."""

BREATH_S = 0.002
SHOWN = 3
ALERT = "VERIFY_FAILED"
VERIFIED_AT = "verified_at_ms"
FINDINGS = "verify_findings"

_log = get_logger("checkup")


class Checkup:
    """Decides when it is time, verifies, tells. ``last_ms``: when the database was last verified and may be trusted."""

    def __init__(
        self,
        *,
        database: Path,
        at_minutes: int,
        zone: zoneinfo.ZoneInfo,
        clock: Clock,
        inbox: Inbox[Item],
        last_ms: int | None,
    ) -> None:
        self._database = database
        self._at = timedelta(minutes=at_minutes)
        self._zone = zone
        self._clock = clock
        self._inbox = inbox
        self._last = None if last_ms is None else self._night(last_ms)
        self._not_before_ms = clock.mono_ms() + AFTER_START_MS

    def shell(self, heart: Heart) -> None:
        """Look at the clock until the end is asked for."""
        while heart.rest(LOOK_EVERY_S):
            if self.is_due():
                self.run(heart)

    def is_due(self) -> bool:
        """Whether this night's verification is still to be done; a night without power is made up for."""
        is_open = self._clock.mono_ms() >= self._not_before_ms
        return is_open and self._last != self._night(self._clock.wall_ms())

    def run(self, heart: Heart) -> None:
        """Verify once and tell what was found. An end that is asked for meanwhile ends it without a word."""
        at_ms = self._clock.wall_ms()
        findings = self._findings(heart)
        if not heart.beat():
            return
        self._last = self._night(at_ms)
        for finding in findings[:SHOWN]:
            _log.error("verification", where=finding.where, problem=finding.problem)
        facts = {VERIFIED_AT: str(at_ms), FINDINGS: str(len(findings))}
        self._inbox.put(FromStorage(ALERT, bool(findings), _detail(findings), facts))

    def _findings(self, heart: Heart) -> tuple[Finding, ...]:
        def pulse() -> bool:
            time.sleep(BREATH_S)
            return heart.beat()

        try:
            return verify(self._database, pulse).findings
        except sqlite3.Error as failure:
            return (Finding("database", f"cannot be read: {failure}"),)

    def _night(self, wall_ms: int) -> date:
        """Return the day whose verification time has come last at this instant, by the station's clock."""
        return (datetime.fromtimestamp(wall_ms / 1000, self._zone).replace(tzinfo=None) - self._at).date()


def _detail(findings: tuple[Finding, ...]) -> str:
    if not findings:
        return ""
    first = "; ".join(f"{finding.where}: {finding.problem}" for finding in findings[:SHOWN])
    return f"{len(findings)} findings: {first}"[:300]


class DiskWatch:
    """Keeps the reserve as the free space asks, and tells when the disk is low, full, or neither any more."""

    def __init__(
        self, reserve: Reserve, database: Path, inbox: Inbox[Item], show: Callable[[int], None] = lambda _bytes: None
    ) -> None:
        """``show``: is told the free bytes at every look."""
        self._show = show
        self._reserve = reserve
        self._database = database
        self._inbox = inbox
        self._told: Level | None = None

    def shell(self, heart: Heart) -> None:
        """Look once a second until the end is asked for. Raises StorageFailed."""
        self.look()
        while heart.rest(LOOK_EVERY_S):
            self.look()

    def look(self) -> None:
        """Look once. Raises StorageFailed."""
        with disk_named():
            disk = self._reserve.look()
        self._show(disk.free_bytes)
        if disk.level is self._told:
            return
        detail = f"{disk.free_bytes // 1024**2} MB free on the disk of {self._database}"
        self._inbox.put(FromStorage("DISK_LOW", disk.level is not Level.NORMAL, detail))
        self._inbox.put(FromStorage("DISK_FULL", disk.level is Level.FULL, detail))
        self._told = disk.level


@contextmanager
def giving_up(reserve: Reserve) -> Iterator[None]:
    """A write that fails for want of room gives the reserve up on its way out: the next start has room to work in."""
    try:
        yield
    except StorageFailed as failure:
        if failure.what is Failure.FULL:
            reserve.give()
        raise
