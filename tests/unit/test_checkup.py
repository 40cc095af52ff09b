"""The verification that runs by itself: when it is due, what it tells, and that it ends when the station ends."""

from __future__ import annotations

import sqlite3
import threading
import zoneinfo
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from agent.checkup import AFTER_START_MS, Checkup
from agent.inbox import FromStorage, Inbox, Item
from agent.store.journal import Stamp
from agent.store.store import Store
from agent.supervisor import Heart

SHANGHAI = zoneinfo.ZoneInfo("Asia/Shanghai")
HALF_PAST_THREE = 210


class SetClock:
    """A clock that stands where it is set."""

    def __init__(self, text: str) -> None:
        self.set(text)
        self.mono = 5_000

    def set(self, text: str) -> None:
        self.wall = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)

    def wall_ms(self) -> int:
        return self.wall

    def mono_ms(self) -> int:
        return self.mono

    def quality(self) -> str:
        return "ntp"

    def sleep(self, seconds: float) -> None:
        self.mono += round(seconds * 1000)


def checkup(database: Path, clock: SetClock, inbox: Inbox[Item], last_ms: int | None) -> Checkup:
    return Checkup(
        database=database, at_minutes=HALF_PAST_THREE, zone=SHANGHAI, clock=clock, inbox=inbox, last_ms=last_ms
    )


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "station.db"
    store = Store(path, station="SH-0421", random=Random(1))
    with store.begin(Stamp(1_795_305_600_000, 1_000, "b7c1", "rtc")) as tx:
        for _ in range(40):
            tx.journal.append("fc.health.v1", {"devices": 1, "devices_online": 1, "clock": "rtc"})
    store.close()
    return path


def told(inbox: Inbox[Item]) -> FromStorage | None:
    item = inbox.get(0.0)
    assert item is None or isinstance(item, FromStorage)
    return item


def heart(*, ending: bool = False) -> Heart:
    stop = threading.Event()
    if ending:
        stop.set()
    return Heart(stop)


def test_it_is_due_once_a_night_by_the_clock_of_the_station(tmp_path: Path) -> None:
    """At 03:30 in Shanghai, which is 19:30 UTC of the day before; not again until the next night."""
    clock = SetClock("2026-11-21T19:00")
    late = checkup(tmp_path / "none.db", clock, Inbox(), last_ms=clock.wall)
    clock.sleep(AFTER_START_MS / 1000)
    assert not late.is_due()
    clock.set("2026-11-21T19:29")
    assert not late.is_due()
    clock.set("2026-11-21T19:30")
    assert late.is_due()


@pytest.mark.parametrize("last", [None, "2026-11-20T19:31"])
def test_what_was_not_trusted_or_missed_is_verified_some_minutes_after_the_start(
    tmp_path: Path, last: str | None
) -> None:
    """After an unclean end (None) or a night without power; first of all the station opens."""
    clock = SetClock("2026-11-22T02:00")
    last_ms = None if last is None else int(datetime.fromisoformat(last).replace(tzinfo=UTC).timestamp() * 1000)
    soon = checkup(tmp_path / "none.db", clock, Inbox(), last_ms)
    clock.sleep(AFTER_START_MS / 1000 - 1)
    assert not soon.is_due()
    clock.sleep(1)
    assert soon.is_due()


def test_a_healthy_database_is_told_with_the_time_and_not_looked_at_again(database: Path) -> None:
    """No alert, no findings; done for this night."""
    clock, inbox = SetClock("2026-11-22T02:00"), Inbox[Item]()
    nightly = checkup(database, clock, inbox, None)
    clock.sleep(AFTER_START_MS / 1000)
    nightly.run(heart())
    facts = {"verified_at_ms": str(clock.wall), "verify_findings": "0"}
    assert told(inbox) == FromStorage("VERIFY_FAILED", standing=False, detail="", facts=facts)
    assert not nightly.is_due()


def test_a_flipped_byte_inside_a_value_is_told(database: Path) -> None:
    """SQLite's own check does not see it; the alert names where it is."""
    content = database.read_bytes()
    place = content.index(b"devices_online")
    database.write_bytes(content[:place] + bytes([content[place] ^ 0x20]) + content[place + 1 :])
    with closing(sqlite3.connect(database)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    inbox = Inbox[Item]()
    checkup(database, SetClock("2026-11-22T02:00"), inbox, None).run(heart())
    found = told(inbox)
    assert found is not None
    assert (found.alert, found.standing, found.facts["verify_findings"]) == ("VERIFY_FAILED", True, "1")
    assert "the hash does not follow from the bytes" in found.detail


@pytest.mark.parametrize("seed", range(12))
def test_any_damage_ends_in_findings_never_in_a_dead_thread(database: Path, seed: int) -> None:
    """Bytes overwritten anywhere behind the first page: the verification tells, and goes on to its end."""
    random = Random(seed)
    content = bytearray(database.read_bytes())
    for _ in range(40):
        place = random.randrange(4096, len(content))
        content[place] ^= 1 << random.randrange(8)
    database.write_bytes(bytes(content))
    inbox = Inbox[Item]()
    checkup(database, SetClock("2026-11-22T02:00"), inbox, None).run(heart())
    found = told(inbox)
    assert found is not None
    assert len(found.detail) <= 300


def test_a_file_that_cannot_be_read_at_all_is_a_finding(tmp_path: Path) -> None:
    """No database any more under a running station."""
    path = tmp_path / "station.db"
    path.write_bytes(b"nothing of the kind" * 400)
    inbox = Inbox[Item]()
    checkup(path, SetClock("2026-11-22T02:00"), inbox, None).run(heart())
    found = told(inbox)
    assert found is not None
    assert found.standing
    assert "file is not a database" in found.detail


def test_the_end_of_the_station_does_not_wait_for_it(database: Path) -> None:
    """Asked to end, it stops where it is, tells nothing, and is due again."""
    inbox, clock = Inbox[Item](), SetClock("2026-11-22T02:00")
    nightly = checkup(database, clock, inbox, None)
    clock.sleep(AFTER_START_MS / 1000)
    nightly.run(heart(ending=True))
    assert told(inbox) is None
    assert nightly.is_due()
