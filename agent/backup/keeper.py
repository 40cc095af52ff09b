"""The thread that makes backups in time, or when a person asks, and says when they are missing.

Knows the plan and the clock; tells alerts to whoever it is given. A failure of a backup never ends the thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from agent.backup import manifest
from agent.backup.errors import BackupError
from agent.backup.make import Made, listed, make
from agent.backup.manifest import Entry
from agent.backup.plan import FUTURE_MS, is_due, plan_of
from agent.clock import Clock
from agent.inbox import AlertFound, Audited, Person
from agent.logs import get_logger
from agent.settings import Settings
from agent.settings.model import BackupSettings
from agent.supervisor import Heart

_log = get_logger("backup")

SUBJECT = "backup"
OLD, FAILED, NO_COPY = "BACKUP_OLD", "BACKUP_FAILED", "BACKUP_COPY_FAILED"
TURN_S = 1.0
LOOK_EVERY_MS = 60_000
FIRST_AFTER_MS = 60_000
"""After a start the pumps come first."""

AGAIN_AFTER_MS = 900_000
"""A backup that failed is tried again so soon: often enough for a stick put back, rarely enough for a full disk."""

AT_LEAST_EVERY_MS = 86_400_000
"""By the monotonic clock: a wall clock set years ahead and back must not stop backups."""

LONGEST_REST_S = 0.05
WORTH_A_REST_S = 0.001
"""Rests as long as it worked: half of one core at the most."""


class Keeper:
    """Makes backups; ``shell`` is its thread, ``start`` and ``state`` may be called from any other."""

    def __init__(
        self,
        *,
        settings: Settings,
        wanted: BackupSettings,
        clock: Clock,
        software: str,
        newest_ms: Callable[[], int],
        tell: Callable[[AlertFound | Audited], object],
    ) -> None:
        self._settings = settings
        self._wanted = wanted
        self._clock = clock
        self._software = software
        self._newest_ms = newest_ms
        self._tell = tell
        self._asked: Person | None = None
        self._lock = threading.Lock()
        self._stage: str | None = None
        self._failure = ""
        self._copy_problem = ""
        self._last: Entry | None = None
        self._tries = 0
        self._looked_mono_ms = self._good_mono_ms = self._not_before_mono_ms = clock.mono_ms()
        self._not_before_mono_ms += FIRST_AFTER_MS

    # --- from any thread ----------------------------------------------------------------------------------------------

    def start(self, person: Person) -> dict[str, Any]:
        """Ask for a backup now; ``tries`` of ``state`` grows when it is made or has failed."""
        with self._lock:
            if self._asked is None:
                self._asked = person
        return self.state()

    def state(self) -> dict[str, Any]:
        """Return what people see: the last good backup, its age, what is being done, what went wrong."""
        with self._lock:
            last, now_ms = self._last, self._now_ms()
            age_ms = None if last is None else max(0, now_ms - last.made_ms)
            return {
                "folder": str(self._wanted.folder),
                "last": None if last is None else last.path.name,
                "last_at_ms": None if last is None else last.made_ms,
                "age_s": None if age_ms is None else age_ms // 1000,
                "overdue": age_ms is None or age_ms > self._wanted.alert_after,
                "failure": self._failure,
                "copy_problem": self._copy_problem,
                "running": "waiting" if self._asked is not None and self._stage is None else self._stage,
                "tries": self._tries,
            }

    # --- the thread ---------------------------------------------------------------------------------------------------

    def shell(self, heart: Heart) -> None:
        """A turn each second until the end is asked for."""
        self.look()
        while heart.rest(TURN_S):
            self.turn(heart)

    def turn(self, heart: Heart) -> None:
        """Make a backup when a person asked or the calendar says so; else look at the last one's age each minute."""
        with self._lock:
            ask = self._asked
        if ask is not None or self._is_due():
            self._run(heart, ask)
        elif self._clock.mono_ms() - self._looked_mono_ms >= LOOK_EVERY_MS:
            self.look()

    def _now_ms(self) -> int:
        """Wall time, lifted to the newest record: a clock that fell back to 1970 makes nothing young."""
        return max(self._clock.wall_ms(), self._newest_ms())

    def _is_due(self) -> bool:
        mono_ms = self._clock.mono_ms()
        if mono_ms < self._not_before_mono_ms:
            return False
        if mono_ms - self._good_mono_ms >= AT_LEAST_EVERY_MS:
            return True
        last_ms = None if self._last is None else self._last.made_ms
        return is_due(last_ms, self._now_ms(), self._wanted.at, self._settings.station.tz)

    def _run(self, heart: Heart, ask: Person | None) -> None:
        self._set_stage("starting")
        made, problem = self._try(heart)
        if not heart.beat():
            return  # not made because the station ends: made after the next start
        if made is not None:
            self._succeeded(made)
        else:
            self._failed(problem)
        if ask is not None:
            result = "failed" if made is None else "done"
            what = str(self._wanted.folder) if made is None else made.path.name
            self._tell(Audited(ask, "backup", what, result))
        self.look()
        with self._lock:
            self._stage = None
            self._asked = None if self._asked is ask else self._asked
            self._tries += 1

    def _try(self, heart: Heart) -> tuple[Made | None, str]:
        try:
            plan = plan_of(self._settings, self._wanted, self._software)
            return make(plan, self._now_ms(), _paced(heart), self._set_stage), ""
        except BackupError as failure:
            return None, f"{failure}; {failure.hint}"

    def _failed(self, problem: str) -> None:
        self._failure = problem
        self._not_before_mono_ms = self._clock.mono_ms() + AGAIN_AFTER_MS
        _log.error("backup not made", failure=problem)
        self._tell(AlertFound(SUBJECT, FAILED, standing=True, detail=problem))

    def _succeeded(self, made: Made) -> None:
        findings = made.manifest.findings
        self._good_mono_ms = self._clock.mono_ms()
        self._failure = f"{made.path.name} was made, and its database has {findings} findings" if findings else ""
        if findings:
            self._not_before_mono_ms = self._good_mono_ms + AT_LEAST_EVERY_MS
        _log.info(
            "backup made",
            file=made.path.name,
            bytes=made.manifest.sealed_bytes,
            records=made.manifest.records,
            findings=findings,
            proved=made.manifest.proved,
            removed=len(made.removed),
        )
        self._tell(AlertFound(SUBJECT, FAILED, standing=bool(findings), detail=self._failure))
        self._copy_problem = made.copy_problem
        self._tell(AlertFound(SUBJECT, NO_COPY, standing=bool(made.copy_problem), detail=made.copy_problem))

    def look(self) -> None:
        """Find the last good backup in the folder and say whether it is too old."""
        self._looked_mono_ms = self._clock.mono_ms()
        now_ms = self._now_ms()
        try:
            found = listed(self._wanted.folder, self._settings.station.id)
        except OSError as failure:
            self._failure = f"{self._wanted.folder}: {failure.strerror or failure}"
            found = ()
        with self._lock:
            self._last = manifest.newest_good(entry for entry in found if entry.made_ms <= now_ms + FUTURE_MS)
        is_first = self._last is None and self._stage is None and self._tries == 0  # about to be made
        detail = "there is no good backup" if self._last is None else f"the last good one is {self._last.path.name}"
        self._tell(AlertFound(SUBJECT, OLD, standing=self.state()["overdue"] and not is_first, detail=detail))

    def _set_stage(self, stage: str) -> None:
        with self._lock:
            self._stage = stage


def _paced(heart: Heart) -> Callable[[], bool]:
    """Return a pulse that beats and rests as long as was worked since the last one: the station goes first."""
    ended = time.monotonic()

    def pulse() -> bool:
        nonlocal ended
        worked = time.monotonic() - ended
        go_on = heart.rest(min(LONGEST_REST_S, worked)) if worked > WORTH_A_REST_S else heart.beat()
        ended = time.monotonic()
        return go_on

    return pulse
