"""The census: the member cache is summed up and compared with head office's manifest, beside the pipeline.

A thread with a read-only connection of its own that pauses after every bucket. It decides when a night's comparison is
due and tells what differs; what follows from it the pipeline decides.
"""

from __future__ import annotations

import json
import sqlite3
import time
import zoneinfo
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

from agent.clock import Clock
from agent.inbox import AuditDue, Inbox, Item, MembersCompared
from agent.logs import get_logger
from agent.pipeline.caching import AUDIT_NIGHT, FAR, TO_COMPARE
from agent.store.bucket_queries import count_cache
from agent.supervisor import Heart
from sync.buckets import Manifest, differing

LOOK_EVERY_S = 2.0
AFTER_START_MS = 240_000
"""First of all the station opens."""

AFTER_VERIFY = timedelta(minutes=30)
"""Behind the verification of the night, so that the disk does one after the other."""

BREATH_S = 0.002
_log = get_logger("census")


class Census:
    """Decides when it is time, sums up, tells. ``at_minutes``: of the day, when the database is verified."""

    def __init__(
        self, database: Path, at_minutes: int, zone: zoneinfo.ZoneInfo, clock: Clock, inbox: Inbox[Item]
    ) -> None:
        self._database = database
        self._at = timedelta(minutes=at_minutes) + AFTER_VERIFY
        self._zone = zone
        self._clock = clock
        self._inbox = inbox
        self._asked: str | None = None
        self._compared: str | None = None
        self._not_before_ms = clock.mono_ms() + AFTER_START_MS

    def shell(self, heart: Heart) -> None:
        """Look for what is to be compared until the end is asked for."""
        while heart.rest(LOOK_EVERY_S):
            self.look(heart)

    def look(self, heart: Heart) -> None:
        """Compare where a manifest waits for it; ask for one where a night has come."""
        facts = self._facts()
        if TO_COMPARE in facts:
            self._compare(json.loads(facts[TO_COMPARE]), heart)
        night = self._night()
        is_open = self._clock.mono_ms() >= self._not_before_ms and self._clock.quality() in ("ntp", "rtc")
        if is_open and night not in (self._asked, facts.get(AUDIT_NIGHT)):
            self._asked = night
            self._inbox.put(AuditDue(night))

    def _compare(self, note: dict[str, str], heart: Heart) -> None:
        if note["hash"] == self._compared:
            return  # the pipeline has the result and has not written it yet

        def breathe() -> bool:
            time.sleep(BREATH_S)
            return heart.beat()

        counted = count_cache(self._database, breathe)
        if counted is None:
            return
        manifest = Manifest.from_bytes(note["manifest"].encode())
        found, compared = differing(manifest, counted.have_op, counted.buckets, jump=note["why"] == FAR)
        _log.info("members compared with the manifest", buckets=compared, differing=len(found))
        self._inbox.put(MembersCompared(note["hash"], found, compared))
        self._compared = note["hash"]

    def _facts(self) -> dict[str, str]:
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=5)) as db:
            rows = db.execute("SELECT key, value FROM meta WHERE key IN (?, ?)", (TO_COMPARE, AUDIT_NIGHT))
            return {str(key): str(value) for key, value in rows}

    def _night(self) -> str:
        """Return the day whose time of comparison has come last, by the station's clock."""
        local = datetime.fromtimestamp(self._clock.wall_ms() / 1000, self._zone).replace(tzinfo=None)
        return (local - self._at).date().isoformat()
