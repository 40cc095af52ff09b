"""Judges what a power cut left: can it be opened, is it one of the states that were, and is nothing acknowledged gone?

Every image is opened by SQLite itself, which recovers it, and its pages are compared byte for byte with the states the
writer went through. Each distinct state reached is verified as ``forecourt verify`` does, once: equal pages verify equally.
"""

from __future__ import annotations

import os
import sqlite3
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from random import Random

from agent.ids import ulid
from agent.settings.model import NozzleSettings, PointSettings
from agent.store.journal import Stamp
from agent.store.store import Store
from agent.store.verify import verify
from tests.support.backlog import Meter
from tests.support.crash_images import Disk, Image, fingerprint
from tests.support.crash_trace import POSTING, SALE, Promise, Replay
from tests.support.station_settings import STATION

DATABASE = "station.db"
MAX_EXAMPLES = 5

Look = Callable[[Path, Promise], list[str]]
"""Looks closer at an image that is as it should be; returns complaints. It may write to the database."""


class Verdict(Enum):
    """What became of the database."""

    KEPT = "kept"
    LOST = "lost"
    TORN = "torn"
    UNREADABLE = "unreadable"


@dataclass
class Findings:
    """What was explored under ``seed``; ``examples`` say where it went wrong first."""

    seed: int
    distinct: int = 0
    built: int = 0
    looked_at: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    states: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)

    def count(self, verdict: Verdict, where: str) -> None:
        """One more distinct image."""
        self.distinct += 1
        self.verdicts[verdict] += 1
        if verdict is not Verdict.KEPT and len(self.examples) < MAX_EXAMPLES:
            self.examples.append(f"{where}: {verdict.value}")

    @property
    def bad(self) -> int:
        """Images that lost or tore something."""
        return self.distinct - self.verdicts[Verdict.KEPT]

    def __str__(self) -> str:
        counts = ", ".join(f"{self.verdicts[verdict]} {verdict.value}" for verdict in Verdict)
        lines = [
            f"seed {self.seed}: {self.distinct} distinct images of {self.built}, {len(self.states)} states: {counts}"
        ]
        return "\n".join([*lines, *self.examples, *self.wrong])


class Bench:
    """One folder in which image after image is laid out; only files that differ are written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._laid: dict[str, bytes] = {}

    def lay(self, image: Image) -> Path:
        """Write the image and return the database's path; nothing of an image before it is left."""
        for path in self._folder.iterdir():
            if path.name not in image:
                path.unlink()
                self._laid.pop(path.name, None)
        for name, content in image.items():
            if self._laid.get(name) != content:
                _overwrite(self._folder / name, content)
                self._laid[name] = content
        return self._folder / DATABASE

    def forget(self) -> None:
        """Somebody has written to the files."""
        self._laid.clear()


def _overwrite(path: Path, content: bytes) -> None:
    """Write in place: ext4 flushes a file that was emptied first, which would cost more than all the rest."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, content, 0)
        os.ftruncate(descriptor, len(content))
    finally:
        os.close(descriptor)


def recovered(path: Path, *, read_only: bool) -> bytes:
    """Return all pages after SQLite's own recovery. Raises sqlite3.Error where it cannot be read.

    ``read_only`` leaves the files as they are; a rollback journal wants to write.
    """
    if not path.exists():
        return b""
    with closing(sqlite3.connect(f"file:{path}?mode={'ro' if read_only else 'rw'}", uri=True)) as database:
        if not read_only:
            database.execute("PRAGMA synchronous=OFF")
        try:
            return database.serialize()
        except sqlite3.OperationalError:
            if database.execute("PRAGMA page_count").fetchone()[0] == 0:
                return b""
            raise


class Oracle:
    """Compares images with the states of one replay."""

    def __init__(self, replay: Replay, folder: Path) -> None:
        self._states = replay.states
        self._changes = [state.change for state in replay.states]
        self._bench = Bench(folder)

    def judge(self, image: Image, cut: int) -> tuple[Verdict, int]:
        """Return the verdict on what a cut after ``cut`` changes left, and the state it is in (-1: none that was)."""
        path = self._bench.lay(image)
        read_only = f"{DATABASE}-journal" not in image
        try:
            pages = recovered(path, read_only=read_only)
        except (sqlite3.Error, UnicodeDecodeError):  # a schema that is garbage is quoted in the error, byte by byte
            return Verdict.UNREADABLE, -1
        finally:
            if not read_only:
                self._bench.forget()
        answered = bisect_right(self._changes, cut) - 1
        owed = answered
        while owed > 0 and not self._states[owed].is_acknowledged:
            owed -= 1
        for place in range(min(answered + 1, len(self._states) - 1), owed - 1, -1):
            if self._states[place].pages == pages:
                return Verdict.KEPT, place
        for place in range(owed):
            if self._states[place].pages == pages:
                return Verdict.LOST, place
        return Verdict.TORN, -1

    def look(self, image: Image, place: int, look: Look) -> list[str]:
        """Lay the image out afresh for ``look`` and return its complaints."""
        path = self._bench.lay(image)
        self._bench.forget()
        return [f"state {place}: {complaint}" for complaint in look(path, self._states[place].promise)]


def explore(
    replay: Replay,
    folder: Path,
    seed: int,
    *,
    images_per_change: float = 1.0,
    each_state: Look | None = None,
    some_images: Look | None = None,
    one_in: int = 60,
) -> Findings:
    """Cut the power after every change and judge what is left.

    ``each_state`` looks at the first image of every state that is reached, ``some_images`` at one in ``one_in``.
    """
    random = Random(seed)
    disk, oracle, found = Disk(), Oracle(replay, folder), Findings(seed)
    seen: set[int] = set()
    for cut, change in enumerate(replay.changes, 1):
        disk.apply(change)
        while found.built < cut * images_per_change:
            found.built += 1
            chance = disk.chances(random)
            image = disk.after_a_cut(chance)
            if (mark := fingerprint(image)) in seen:
                continue
            seen.add(mark)
            verdict, place = oracle.judge(image, cut)
            found.count(verdict, f"cut after change {cut} ({change.kind.value} {change.file}), {chance.what}")
            if verdict is not Verdict.KEPT:
                continue
            if place not in found.states and each_state is not None:
                found.wrong += oracle.look(image, place, each_state)
            found.states.add(place)
            if some_images is not None and found.distinct % one_in == 0:
                found.looked_at += 1
                found.wrong += oracle.look(image, place, some_images)
    return found


def goes_on(path: Path, promise: Promise) -> list[str]:
    """Open the database as the agent does, sell once more and verify; returns what is off."""
    store = Store(path, station=STATION, random=Random(1))
    heads = {name: head for name, head in store.heads().items() if head[0]}
    meter = Meter(_FRESH_POINT)
    with store.begin(Stamp(store.newest_ms, 1, "after-the-cut", "floor")) as tx:
        if not heads:
            tx.journal.append("fc.incarnation.v1", {"reason": "new", "parent": None})
        meter.baseline(tx)
        meter.sell(tx, 100, ulid(store.newest_ms, Random(2)))
    store.close()
    complaints = [f"{finding.where}: {finding.problem}" for finding in verify(path).findings]
    if heads != promise.heads:
        complaints.append(f"opens with heads {heads}, promised {promise.heads}")
    return complaints


_FRESH_POINT = PointSettings(id=90, line="new", address=90, nozzle=(NozzleSettings(id=1, grade="92", tank=1),))


def broken_promises(path: Path, promise: Promise) -> list[str]:
    """Return what ``forecourt verify`` finds, and what was promised and is not there exactly so."""
    if not promise.heads:
        return []
    findings = [f"{finding.where}: {finding.problem}" for finding in verify(path).findings]
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        heads = {
            stream: (seq, digest)
            for stream, seq, digest in database.execute(
                "SELECT stream, seq, CAST(hash AS BLOB) FROM journal GROUP BY stream HAVING seq = max(seq)"
            )
        }
        sales = frozenset(database.execute(f"SELECT {', '.join(SALE)} FROM sale"))
        postings = frozenset(database.execute(f"SELECT {', '.join(POSTING)} FROM posting"))
    if heads != promise.heads:
        findings.append(f"journal heads {heads}, promised {promise.heads}")
    findings += [f"sale {row} is not the one promised" for row in sales ^ promise.sales]
    findings += [f"posting {row} is not the one promised" for row in postings ^ promise.postings]
    return findings
