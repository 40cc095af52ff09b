"""The power fails at any moment: whatever the disk kept of what was not yet synced, no acknowledged sale is lost or torn."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import SystemRandom

import pytest

from agent.store.engine import WRITER_PRAGMAS
from tests.support.crash_images import Chance, Disk
from tests.support.crash_oracle import Findings, Verdict, broken_promises, explore, goes_on
from tests.support.crash_trace import CHECKPOINT_PAGES, Trace, replay
from tests.support.crash_vfs import Change, Kind
from tests.support.crash_workload import recorded_station
from tests.support.examples import tries
from tests.support.loop_disk import in_memory

LEAST_IMAGES = tries(1_000)
IMAGES_PER_CHANGE = 0.8 if LEAST_IMAGES == 1_000 else 0.18
A_FEW = 100


@pytest.fixture(scope="module")
def station() -> Iterator[tuple[Trace, Path]]:
    """What one station said to its database, and that database."""
    with tempfile.TemporaryDirectory(dir=in_memory()) as folder:
        yield recorded_station(Path(folder)), Path(folder, "station.db")


@pytest.fixture
def made() -> Iterator[Path]:
    """Where a trace is said again; no folder here ever waits for a disk, the one that fails is a model."""
    with tempfile.TemporaryDirectory(dir=in_memory()) as folder:
        yield Path(folder)


@pytest.fixture
def bench() -> Iterator[Path]:
    """Where images are laid out."""
    with tempfile.TemporaryDirectory(dir=in_memory()) as folder:
        yield Path(folder)


FewCuts = Callable[..., Findings]


@pytest.fixture
def trace(station: tuple[Trace, Path]) -> Trace:
    """What one station said to its database."""
    return station[0]


def _seed() -> int:
    seed = SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    return seed


@pytest.fixture
def few_cuts(trace: Trace, made: Path, bench: Path) -> FewCuts:
    """``few_cuts(answers_early=, checkpoint_pages=, **pragmas)``: what some hundred images look like then."""

    def cut(*, answers_early: bool = False, checkpoint_pages: int = CHECKPOINT_PAGES, **pragmas: object) -> Findings:
        wanted = {**WRITER_PRAGMAS, **pragmas}
        told = replay(trace, made, pragmas=wanted, answers_early=answers_early, checkpoint_pages=checkpoint_pages)
        found = explore(told, bench, _seed(), images_per_change=A_FEW / len(told.changes))
        print(found)
        return found

    return cut


def _rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")]
        return {name: sorted(database.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in names}


def test_no_power_cut_loses_or_tears_an_acknowledged_transaction(trace: Trace, made: Path, bench: Path) -> None:
    """Over a thousand different disks after a cut (two hundred where time is short): each opens at a whole transaction, none before the last acknowledged."""
    told = replay(trace, made)
    found = explore(
        told,
        bench,
        _seed(),
        images_per_change=IMAGES_PER_CHANGE,
        each_state=broken_promises,
        some_images=goes_on,
    )
    assert (found.bad, found.wrong) == (0, []), str(found)
    assert found.distinct >= LEAST_IMAGES, str(found)
    assert found.looked_at >= tries(10), str(found)


def test_a_log_as_long_as_a_station_s_keeps_everything_too(few_cuts: FewCuts) -> None:
    """With SQLite's own checkpoint after 1,000 pages, as a station runs, nothing is lost or torn either."""
    found = few_cuts(checkpoint_pages=1_000)
    assert found.bad == 0, str(found)


def test_the_replayed_trace_is_the_station_s_own_database(station: tuple[Trace, Path], made: Path) -> None:
    """Said again, the recorded statements give the same rows in every table: nothing of the writer was missed."""
    trace, database = station
    replay(trace, made)
    assert _rows(made / "station.db") == _rows(database)


def test_without_full_synchronisation_the_same_oracle_finds_losses(few_cuts: FewCuts) -> None:
    """The oracle can see a loss: with ``synchronous=NORMAL`` acknowledged transactions are gone."""
    assert few_cuts(synchronous=1).verdicts[Verdict.LOST] > 0


def test_without_any_synchronisation_the_same_oracle_finds_torn_databases(few_cuts: FewCuts) -> None:
    """The oracle can see a torn database: a rollback journal that is never synced cannot put things right."""
    found = few_cuts(journal_mode="delete", synchronous=0)
    assert found.verdicts[Verdict.TORN] + found.verdicts[Verdict.UNREADABLE] > 0, str(found)


def test_an_answer_given_before_its_commit_is_found(few_cuts: FewCuts) -> None:
    """The oracle knows when an answer was given: promised before the COMMIT, a transaction can be lost."""
    assert few_cuts(answers_early=True).verdicts[Verdict.LOST] > 0


def test_a_transaction_committed_in_two_halves_is_found(trace: Trace, made: Path, bench: Path) -> None:
    """A COMMIT between a record and the rest of its transaction leaves states that do not verify."""
    told = replay(trace.broken_after("INSERT INTO journal "), made)
    found = explore(told, bench, _seed(), images_per_change=A_FEW / len(told.changes), each_state=broken_promises)
    assert any("the head says" in complaint for complaint in found.wrong), str(found)


def _disk(*changes: Change) -> Disk:
    disk = Disk()
    for change in changes:
        disk.apply(change)
    return disk


def _everything(times: object) -> int:
    del times
    return 1 << 30


ALL = Chance("everything", _everything)
NONE = Chance("nothing", lambda _times: 0)
LATER_ONLY = Chance("only the second write", lambda times: 0 if list(times) == [2] else 1 << 30)
FILE = (Change(Kind.CREATE, "f"), Change(Kind.WRITE, "f", 0, b"a" * 1024))


def test_what_was_not_synced_may_be_missing_with_its_folder_entry() -> None:
    """A new file that nobody synced is there whole or not at all by chance, and so is its name."""
    disk = _disk(*FILE)
    assert disk.after_a_cut(NONE) == {}
    assert disk.after_a_cut(ALL) == {"f": b"a" * 1024}


def test_what_was_synced_survives_every_cut() -> None:
    """Behind a sync of file and folder nothing that comes later undoes it."""
    synced = (*FILE, Change(Kind.SYNC, "f"), Change(Kind.SYNC_FOLDER, ""))
    assert _disk(*synced).after_a_cut(NONE) == {"f": b"a" * 1024}
    later = (Change(Kind.WRITE, "f", 512, b"b" * 512), Change(Kind.DELETE, "f"))
    assert _disk(*synced, *later).after_a_cut(NONE) == {"f": b"a" * 1024}


def test_a_later_write_may_reach_the_disk_before_an_earlier_one() -> None:
    """The cache of a disk keeps no order: the second half is there, the first is not."""
    changes = (
        Change(Kind.CREATE, "f"),
        Change(Kind.WRITE, "f", 0, b"a" * 512),
        Change(Kind.WRITE, "f", 512, b"b" * 512),
    )
    assert _disk(*changes).after_a_cut(LATER_ONLY) == {"f": b"\0" * 512 + b"b" * 512}
