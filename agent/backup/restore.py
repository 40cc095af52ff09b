"""Opening a backup, proving what is in it, and putting it (or an empty database) in the place of the present one.

Leaves the high-water file alone on purpose: that is how the next start knows that it must not go on where it was.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import Any

from agent import age
from agent.backup import manifest, packing
from agent.backup.errors import BackupDamaged, BackupError, BackupRefused
from agent.backup.make import Contents, contents
from agent.backup.manifest import Manifest
from agent.backup.packing import Pulse, never_ending
from agent.failpoints import failpoint
from agent.store import durable, swap
from agent.store.verify import Report, verify


@dataclass(frozen=True, slots=True)
class Opened:
    """What a backup held when it was unpacked: what the database says of itself, and what verify says of it."""

    file: Path
    contents: Contents
    report: Report
    manifest: Manifest | None

    def as_json(self) -> dict[str, Any]:
        """Return it as the command prints it; ``waiting``: records head office had not acknowledged."""
        return {
            "file": str(self.file),
            "station": self.contents.station,
            "incarnation": self.contents.incarnation,
            "schema": self.contents.schema,
            "verified": self.report.ok,
            "records": self.report.records,
            "sales": self.report.sales,
            "postings": self.report.postings,
            "waiting": {name: head["seq"] - head["acked"] for name, head in _heads(self.contents).items()},
            "findings": [{"where": found.where, "problem": found.problem} for found in self.report.findings],
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the present database has that the other lacks; ``readable`` False: it cannot be read, or there is none."""

    exists: bool
    readable: bool
    same_incarnation: bool
    newer: dict[str, int]


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wants to restore and why; stands in the restored database and in the journal after the next start."""

    person: str
    reason: str
    source: str
    at_ms: int


Confirm = Callable[[Opened | None, Comparison], bool]
"""Shown what will be put in place (None: an empty database) and what goes; answers whether to do it."""


def check_file(file: Path, pulse: Pulse = never_ending) -> Manifest:
    """Compare a backup with its manifest, which needs no key. Raises BackupDamaged, BackupError."""
    found = manifest.read(manifest.manifest_path(file))
    if found is None:
        raise BackupError(
            f"{manifest.manifest_path(file)} is not there or is no manifest",
            hint="copy it beside the backup, or prove the backup itself with --identity",
        )
    _compare(file, found, *_hashed(file, pulse))
    return found


def _hashed(file: Path, pulse: Pulse) -> tuple[int, str]:
    try:
        return packing.sha256_of(file, pulse)
    except OSError as failure:
        raise BackupError(f"{file}: {failure.strerror or failure}", hint="name a backup that can be read") from failure


def _compare(file: Path, found: Manifest, size: int, digest: str) -> None:
    if (size, digest) != (found.sealed_bytes, found.sealed_sha256):
        what = (
            f"has {size} bytes, not {found.sealed_bytes}" if size != found.sealed_bytes else "is not what was written"
        )
        raise BackupDamaged(f"{file} {what}", hint="use another copy of it, or an older backup")


def unpack(file: Path, target: Path, pairs: Sequence[age.KeyPair], pulse: Pulse = never_ending) -> Opened:
    """Decrypt and unpack ``file`` to ``target``, and recompute everything. Raises BackupDamaged, BackupError, OSError.

    The database is synced. A report with findings is not an error here: the caller judges it.
    """
    known = manifest.read(manifest.manifest_path(file))
    try:
        with file.open("rb") as sealed, durable.writing(target, target.parent) as database:
            sums = packing.unseal(sealed, database, pairs, pulse)
    except FileNotFoundError as failure:
        raise BackupError(f"{file} is not there", hint="forecourt backup list shows what there is") from failure
    if known is not None:
        _compare(file, known, sums.sealed_bytes, sums.sealed_sha256)
        if sums.database_sha256 != known.database_sha256:
            raise BackupDamaged(f"{file} holds another database than its manifest says", hint="use another backup")
    failpoint("restore.unpacked")
    try:
        report = verify(target, pulse)
        return Opened(file, contents(target), report, known)
    except sqlite3.Error as failure:
        raise BackupDamaged(f"{file} holds no readable database: {failure}", hint="use another backup") from failure


def drill(file: Path, folder: Path, pairs: Sequence[age.KeyPair], pulse: Pulse = never_ending) -> Opened:
    """Restore into a folder of its own below ``folder``, recompute everything, remove it. Raises as ``unpack``."""
    place = folder / f"drill-{file.stem}"
    with _folder(place, folder):
        return unpack(file, place / swap.FRESH, pairs, pulse)


@contextmanager
def _folder(place: Path, like: Path) -> Iterator[None]:
    """A private folder, empty at first, that is gone afterwards."""
    shutil.rmtree(place, ignore_errors=True)
    durable.make_folder(place, like)
    try:
        yield
    finally:
        shutil.rmtree(place, ignore_errors=True)


def restore(
    file: Path, database: Path, station: str, pairs: Sequence[age.KeyPair], *, wish: Wish, confirm: Confirm
) -> Path | None:
    """Put the database inside ``file`` in place; returns the folder of the replaced files, None when not confirmed.

    Call it under the instance lock. Raises BackupRefused, BackupDamaged, BackupError and OSError; before the intent is
    written the present database stands untouched, afterwards ``swap.finish`` puts the new one in place at any start.
    """
    swap.finish(database)
    fresh = _prepare(database)
    try:
        opened = unpack(file, fresh, pairs)
        _judge(opened, station)
        if not confirm(opened, compare(database, opened.contents)):
            shutil.rmtree(fresh.parent)
            return None
        _note(fresh, wish)
        failpoint("restore.checked")
        return _put(database, wish)
    except (OSError, BackupError):
        _give_up(fresh.parent)
        raise


def restore_empty(database: Path, station: str, *, wish: Wish, confirm: Confirm) -> Path | None:
    """Put a new database without any sale in place; everything else as ``restore``."""
    swap.finish(database)
    fresh = _prepare(database)
    try:
        if not confirm(None, compare(database, None)):
            shutil.rmtree(fresh.parent)
            return None
        _make_empty(fresh, station)
        _note(fresh, wish)
        failpoint("restore.checked")
        return _put(database, wish)
    except (OSError, BackupError):
        _give_up(fresh.parent)
        raise


def _prepare(database: Path) -> Path:
    """Return where the new database is prepared: an empty folder beside the present one."""
    place = swap.workshop(database)
    shutil.rmtree(place, ignore_errors=True)
    database.parent.mkdir(parents=True, exist_ok=True)
    durable.make_folder(place, database if database.exists() else database.parent)
    return place / swap.FRESH


def _give_up(place: Path) -> None:
    """Remove what was prepared unless it is decided: then the next start finishes it."""
    if not (place / swap.INTENT).exists():
        shutil.rmtree(place, ignore_errors=True)


def _judge(opened: Opened, station: str) -> None:
    from agent.store.migrate import known_revisions

    if opened.contents.station != station:
        raise BackupRefused(
            f"{opened.file} is a backup of station {opened.contents.station}, this is {station}",
            hint="name a backup of this station: forecourt backup list",
        )
    if opened.contents.schema not in known_revisions():
        raise BackupRefused(
            f"{opened.file} has schema {opened.contents.schema}, newer than this software knows",
            hint="install the version that made it, then restore",
        )
    broken = [found.problem for found in opened.report.findings if found.where == "database"]
    if broken:
        raise BackupDamaged(f"{opened.file} holds a damaged database: {broken[0]}", hint="use an older backup")


def compare(database: Path, other: Contents | None) -> Comparison:
    """Return what the present database has beyond ``other`` (None: an empty one); reads only."""
    if not database.exists():
        return Comparison(exists=False, readable=False, same_incarnation=False, newer={})
    try:
        present = contents(database)
    except (sqlite3.Error, BackupError):
        return Comparison(exists=True, readable=False, same_incarnation=False, newer={})
    theirs = {} if other is None else _heads(other)
    same = other is not None and other.incarnation == present.incarnation
    newer = {
        name: head["seq"] - (theirs.get(name, {"seq": 0})["seq"] if same else 0)
        for name, head in _heads(present).items()
    }
    return Comparison(exists=True, readable=True, same_incarnation=same, newer=newer)


def _heads(of: Contents) -> dict[str, dict[str, int]]:
    return {name: {"seq": int(head["seq"]), "acked": int(head["acked"])} for name, head in of.streams.items()}


def _make_empty(fresh: Path, station: str) -> None:
    from agent.store.lock import InstanceLock
    from agent.store.store import Store

    lock = InstanceLock(fresh)
    Store(fresh, station=station, random=SystemRandom(), lock=lock).close()
    fresh.with_name(f"{fresh.name}.lock").unlink()


def _note(fresh: Path, wish: Wish) -> None:
    """Write down in the prepared database who wanted it and why, in one file, synced."""
    note = {"person": wish.person, "reason": wish.reason, "source": wish.source, "at_ms": wish.at_ms}
    with closing(sqlite3.connect(fresh, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=DELETE")
        db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (swap.RESTORED, json.dumps(note)))
    durable.give(fresh, fresh.parent)
    durable.sync_file(fresh)
    durable.sync_folder(fresh.parent)


def _put(database: Path, wish: Wish) -> Path:
    moment = datetime.fromtimestamp(wish.at_ms // 1000, UTC)
    aside = database.with_name(f"{database.name}.replaced-{moment:%Y%m%dT%H%M%SZ}")
    swap.decide(database, aside)
    failpoint("restore.decided")
    replaced = swap.finish(database)
    assert replaced is not None
    return replaced
