"""Making one backup: copy beside the database, check the copy, seal it, prove it, name it, then tidy up.

Never blocks the writer (one read transaction, pages in steps) and never leaves half a file under a final name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from agent.backup import manifest, packing, retention
from agent.backup.errors import BackupError, Ended
from agent.backup.manifest import Entry, Manifest
from agent.backup.packing import Pulse, never_ending
from agent.backup.plan import Plan
from agent.failpoints import failpoint
from agent.store import durable
from agent.store.verify import verify

STEP_PAGES = 64
"""Pages of one step of the copy (256 KiB): well under a millisecond for the disk, then others get their turn."""

AGAIN = "it is made again after the next start"

Stage = Callable[[str], None]
"""Told what is being done, for screens."""


@dataclass(frozen=True, slots=True)
class Made:
    """A new backup; ``copy_problem``: why there is no second copy of it, empty where there is or none is wanted."""

    path: Path
    manifest: Manifest
    removed: tuple[str, ...]
    copy_problem: str


def make(plan: Plan, now_ms: int, pulse: Pulse = never_ending, stage: Stage = lambda _: None) -> Made:
    """Make one backup. Raises BackupError; then every backup that was there still is, and nothing else."""
    try:
        return _make(plan, now_ms, pulse, stage)
    except Ended as failure:
        raise BackupError("the end was asked for", hint=AGAIN) from failure
    except OSError as failure:
        reason = failure.strerror or str(failure)
        hint = f"look at room and rights of {plan.folder} and {plan.database.parent}"
        raise BackupError(f"{failure.filename or plan.folder}: {reason}", hint=hint) from failure
    except sqlite3.Error as failure:
        if not pulse():
            raise BackupError("the end was asked for", hint=AGAIN) from failure
        raise BackupError(
            f"the database cannot be copied: {failure}", hint="forecourt verify; earlier backups are kept"
        ) from failure


def _make(plan: Plan, now_ms: int, pulse: Pulse, stage: Stage) -> Made:
    durable.make_folder(plan.folder, plan.database)
    sweep(plan)
    _room(plan)
    work = workshop(plan.database)
    durable.make_folder(work, plan.database)
    while (path := plan.folder / manifest.file_name(plan.station, now_ms)).exists():
        now_ms += 1_000  # a clock that stands still must not overwrite the backup before
    try:
        copy = work / "copy.db"
        stage("copying")
        copy_database(plan.database, copy, pulse)
        failpoint("backup.copied")
        stage("checking")
        found = _describe(plan, copy, now_ms, pulse)
        stage("sealing")
        found = _seal(plan, copy, durable.partial(path), found, pulse)
        failpoint("backup.sealed")
        durable.put(manifest.manifest_path(path), manifest.as_bytes(found), plan.database)
        failpoint("backup.described")
        durable.partial(path).replace(path)
        durable.sync_folder(plan.folder)
    except (OSError, sqlite3.Error, BackupError):
        with contextlib.suppress(OSError):
            sweep(plan)
        raise
    failpoint("backup.named")
    shutil.rmtree(work)
    stage("tidying")
    removed = tidy(plan, plan.folder, path.name)
    problem = "" if plan.copy_to is None else _copy(plan, path, plan.copy_to, pulse)
    return Made(path, found, tuple(removed), problem)


def workshop(database: Path) -> Path:
    """Return the folder beside the database where its plain copy lies while a backup is made."""
    return database.with_name(f"{database.name}.backup-work")


def sweep(plan: Plan) -> None:
    """Remove what an interrupted backup left behind. Raises OSError."""
    shutil.rmtree(workshop(plan.database), ignore_errors=True)
    _sweep_folder(plan.folder, plan.station)


def _sweep_folder(folder: Path, station: str) -> None:
    """Remove files under temporary names, and manifests whose backup never got its name."""
    alone = (path for path in folder.glob(f"{station}_*{manifest.MANIFEST_SUFFIX}") if manifest.is_alone(path))
    for left in [*folder.glob(f".{station}_*{durable.PARTIAL}"), *alone]:
        left.unlink()


def _room(plan: Plan) -> None:
    needed = sum(part.stat().st_size for part in _files(plan.database))
    free = shutil.disk_usage(plan.database.parent).free
    if free < needed + plan.spare_bytes:
        raise BackupError(
            f"{plan.database.parent} has {free >> 20} MiB free, a backup needs {(needed + plan.spare_bytes) >> 20}",
            hint="make room: sales come first, so no backup is tried with less",
        )


def _files(database: Path) -> list[Path]:
    wal = database.with_name(f"{database.name}-wal")
    return [database, wal] if wal.exists() else [database]


def copy_database(database: Path, copy: Path, pulse: Pulse) -> None:
    """Copy the live database as it is at this moment into one plain file. Raises sqlite3.Error, Ended.

    The read transaction holds the moment: commits meanwhile go on into the write-ahead log and start nothing again.
    """

    def step(_status: int, _left: int, _total: int) -> None:
        if not pulse():
            raise Ended("the end was asked for")

    descriptor = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, durable.PRIVATE_FILE)
    os.close(descriptor)
    source = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30, isolation_level=None)
    with closing(source), closing(sqlite3.connect(copy, isolation_level=None)) as target:
        target.execute("PRAGMA synchronous=OFF")  # checked next, thrown away after a power cut
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(target, pages=STEP_PAGES, progress=step)
        target.execute("PRAGMA journal_mode=DELETE")  # one file without companions


def _describe(plan: Plan, copy: Path, now_ms: int, pulse: Pulse) -> Manifest:
    """Check the copy and say what is in it; the sums come with the sealing. Raises sqlite3.Error, BackupError."""
    report = verify(copy, pulse)
    content = contents(copy)
    if content.station != plan.station:
        raise BackupError(
            f"the database belongs to station {content.station}, the configuration says {plan.station}",
            hint="correct [station] id",
        )
    broken = [finding.problem for finding in report.findings if finding.where == "database"]
    if broken:
        raise BackupError(
            f"the database is damaged: {broken[0]}", hint="forecourt verify; restore the last good backup if it says so"
        )
    return Manifest(
        station=plan.station,
        incarnation=content.incarnation,
        made_ms=now_ms - now_ms % 1000,
        software=plan.software,
        schema=content.schema,
        streams=content.streams,
        records=report.records,
        sales=report.sales,
        findings=len(report.findings),
        database_bytes=0,
        database_sha256="",
        sealed_bytes=0,
        sealed_sha256="",
        recipients=_recipients(plan),
        proved=False,
    )


@dataclass(frozen=True, slots=True)
class Contents:
    """What a database says of itself; ``streams``: name to seq, hash (hex) and acked."""

    station: str
    incarnation: str
    schema: str
    streams: dict[str, dict[str, int | str]]


def contents(database: Path) -> Contents:
    """Read station, incarnation, schema and heads of a database file. Raises sqlite3.Error, BackupError."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as db:
        meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
        (schema,) = db.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
        rows = db.execute("SELECT stream, seq, CAST(hash AS BLOB), acked FROM stream_head ORDER BY stream").fetchall()
    if "station" not in meta or "incarnation" not in meta:
        raise BackupError("it is not the database of a station", hint="name a backup that forecourt made")
    streams = {name: {"seq": seq, "hash": bytes(digest).hex(), "acked": acked} for name, seq, digest, acked in rows}
    return Contents(meta["station"], meta["incarnation"], schema, streams)


def _recipients(plan: Plan) -> tuple[str, ...]:
    """The keys of the file and the station's own, each once."""
    return tuple(dict.fromkeys([*plan.recipients, *(pair.recipient for pair in plan.pairs)]))


def _seal(plan: Plan, copy: Path, fresh: Path, found: Manifest, pulse: Pulse) -> Manifest:
    """Write the encrypted file to ``fresh``, read it back, and return the manifest with its sums."""
    with durable.writing(fresh, plan.database) as file:
        sums = packing.seal(copy, file, found.recipients, pulse)
    proved = False
    if plan.pairs:
        with fresh.open("rb") as file:
            proved = packing.unseal(file, None, plan.pairs, pulse) == sums
        if not proved:
            raise BackupError(
                "what was read back differs from what was written", hint="the disk of the backups is failing"
            )
    return replace(found, **asdict(sums), proved=proved)


def tidy(plan: Plan, folder: Path, just_made: str) -> list[str]:
    """Remove what the retention rule lets go in ``folder`` and return the names. Raises OSError."""
    found = [entry for entry in manifest.entries(folder, plan.station) if entry.state in ("good", "findings")]
    kept = [retention.Kept(entry.path.name, entry.made_ms, entry.good) for entry in found]
    names = retention.removable(kept, days=plan.keep_days, months=plan.keep_months, zone=plan.zone, just_made=just_made)
    for name in names:
        (folder / name).unlink()
        manifest.manifest_path(folder / name).unlink()
    return names


def _copy(plan: Plan, path: Path, second: Path, pulse: Pulse) -> str:
    """Copy file and manifest to the second place; return what went wrong, empty if nothing."""
    try:
        if not second.is_dir():
            return f"{second} is not there: is the medium connected?"
        if second.stat().st_dev == path.parent.stat().st_dev:
            return f"{second} is on the same disk as the backups: is the medium mounted?"
        _sweep_folder(second, plan.station)
        _copy_files(path, second, pulse)
        tidy(plan, second, path.name)
    except OSError as failure:
        with contextlib.suppress(OSError):
            _sweep_folder(second, plan.station)
        return f"{second}: {failure.strerror or failure}"
    return ""


def _copy_files(path: Path, second: Path, pulse: Pulse) -> None:
    fresh = durable.partial(second / path.name)
    with path.open("rb") as source, fresh.open("wb") as target:
        while block := source.read(packing.BLOCK_BYTES):
            target.write(block)
            if not pulse():
                raise Ended("the end was asked for")
        target.flush()
        os.fsync(target.fileno())
    description = second / manifest.manifest_path(path).name
    description.write_bytes(manifest.manifest_path(path).read_bytes())
    durable.sync_file(description)
    fresh.replace(second / path.name)
    durable.sync_folder(second)


def listed(folder: Path, station: str) -> Sequence[Entry]:
    """Return the backups in ``folder``, the newest first; none where there is no folder yet. Raises OSError."""
    return manifest.entries(folder, station) if folder.is_dir() else ()
