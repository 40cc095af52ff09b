"""When backups are made and what is said when they are not: the calendar, the clock's faults, alerts that end again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.backup.keeper import AGAIN_AFTER_MS, FAILED, FIRST_AFTER_MS, NO_COPY, OLD, Keeper
from agent.backup.plan import is_due, newest_slot_ms
from agent.backup.retention import Kept, removable
from agent.inbox import AlertFound, Audited, Person
from agent.settings import Settings, load
from agent.supervisor import Heart
from tests.support.backed_up import KEYS, START_MS, STATION, Place
from tests.support.station_file import STATION as FILE

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MANAGER = Person("manager", "supervisor")


class Hands:
    """A clock set by hand (``agent.clock.Clock``)."""

    def __init__(self) -> None:
        self.wall = START_MS
        self.mono = 5_000_000

    def wall_ms(self) -> int:
        return self.wall

    def mono_ms(self) -> int:
        return self.mono

    def quality(self) -> str:
        return "ntp"

    def sleep(self, seconds: float) -> None:
        self.on(round(seconds * 1000))

    def on(self, ms: int) -> None:
        """Time passes."""
        self.wall += ms
        self.mono += ms


class Kept1:
    """A keeper with its clock, its key file and the alerts that stand by what it told."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder)
        self.place.fill()
        self.keys = folder / "recipients"
        self.keys.write_text(f"# head office\n{KEYS.recipient}\n")
        self.clock = Hands()
        self.stop = threading.Event()
        self.heart = Heart(self.stop)
        self.standing: dict[str, str] = {}
        self.audited: list[Audited] = []
        self.newest_ms = 0
        self.keeper = self.started()

    def settings(self) -> Settings:
        file = self.place.folder / "station.toml"
        text = FILE.replace("SH-0001", STATION)
        text += f'[store]\npath = "{self.place.database}"\nmark = "{self.place.folder}/mark/mark.json"\n'
        text += f'[backup]\nfolder = "{self.place.plan.folder}"\nrecipients_file = "{self.keys}"\n'
        file.write_text(text + f'copy_to = "{self.place.folder / "second"}"\n')
        return load(file)

    def started(self) -> Keeper:
        """A new process's keeper."""
        settings = self.settings()
        assert settings.backup is not None
        keeper = Keeper(
            settings=settings,
            wanted=settings.backup,
            clock=self.clock,
            software="0.1.0",
            newest_ms=lambda: self.newest_ms,
            tell=self._tell,
        )
        keeper.look()
        return keeper

    def _tell(self, item: AlertFound | Audited) -> None:
        if isinstance(item, Audited):
            self.audited.append(item)
        elif item.standing:
            self.standing[item.alert] = item.detail
        else:
            self.standing.pop(item.alert, None)

    def passed(self, ms: int) -> list[str]:
        """Let time pass, take a turn, and return the backups there are."""
        self.clock.on(ms)
        self.keeper.turn(self.heart)
        return self.files()

    def files(self) -> list[str]:
        folder = self.place.plan.folder
        return sorted(path.name for path in folder.glob("*.fcbackup")) if folder.exists() else []


@pytest.fixture
def kept(tmp_path: Path) -> Kept1:
    """A station of three sales that was just started for the first time."""
    return Kept1(tmp_path)


def test_the_first_backup_comes_soon_after_the_start_then_one_a_day(kept: Kept1) -> None:
    """Not before the pumps had their minute; then at the configured time, whatever the time of the start."""
    assert kept.passed(FIRST_AFTER_MS - 1) == []
    assert kept.standing == {}
    assert len(kept.passed(1)) == 1
    assert OLD not in kept.standing
    slot = newest_slot_ms(kept.clock.wall, 180, ZoneInfo("Asia/Shanghai")) + DAY_MS
    assert len(kept.passed(slot - kept.clock.wall - 1)) == 1
    assert len(kept.passed(1)) == 2
    kept.keeper = kept.started()
    assert len(kept.passed(FIRST_AFTER_MS)) == 2


def test_a_failure_is_an_alert_with_its_reason_and_tried_again(kept: Kept1) -> None:
    """Old and failed stand until a good one is made; the next try comes after a quarter of an hour, not at once."""
    keys = kept.keys.read_text()
    kept.keys.unlink()
    assert kept.passed(FIRST_AFTER_MS) == []
    assert "recipients" in kept.standing[FAILED]
    assert kept.standing[OLD] == "there is no good backup"
    kept.keys.write_text(keys)
    assert kept.passed(AGAIN_AFTER_MS - 1) == []
    assert len(kept.passed(1)) == 1
    assert set(kept.standing) == {NO_COPY}
    assert "is the medium connected" in kept.standing[NO_COPY]


def test_a_last_backup_that_is_too_old_is_an_alert(kept: Kept1) -> None:
    """After 26 hours by default; the last good one is named."""
    (name,) = kept.passed(FIRST_AFTER_MS)
    kept.keys.write_text("nobody")
    kept.passed(26 * HOUR_MS)
    kept.passed(2 * 60_000)
    assert kept.standing[OLD] == f"the last good one is {name}"
    assert "line 1 is no public key" in kept.standing[FAILED]
    assert kept.keeper.state()["overdue"] is True


def test_a_person_gets_one_at_once_and_it_is_audited(kept: Kept1) -> None:
    """Also before the first minute is over; a failure is audited as one."""
    kept.keeper.start(MANAGER)
    assert kept.keeper.state()["running"] == "waiting"
    assert len(kept.passed(0)) == 1
    assert kept.audited == [Audited(MANAGER, "backup", kept.files()[0], "done")]
    assert (kept.keeper.state()["running"], kept.keeper.state()["tries"]) == (None, 1)
    kept.keys.unlink()
    kept.keeper.start(MANAGER)
    kept.passed(1_000)
    assert kept.audited[-1].result == "failed"


def test_the_end_of_the_station_is_no_failure(kept: Kept1) -> None:
    """No alert, no audit: it is made after the next start."""
    kept.keeper.start(MANAGER)
    kept.stop.set()
    assert kept.passed(FIRST_AFTER_MS) == []
    assert (kept.standing, kept.audited) == ({}, [])


def test_a_clock_that_jumps_stops_no_backups(kept: Kept1) -> None:
    """Years ahead and back: the one from the future does not count, and a day by the other clock is a day."""
    kept.clock.wall += 400 * DAY_MS
    assert len(kept.passed(FIRST_AFTER_MS)) == 1
    kept.clock.wall -= 400 * DAY_MS
    assert len(kept.passed(60_000)) == 2
    assert len(kept.passed(60_000)) == 2
    kept.newest_ms = kept.clock.wall + 400 * DAY_MS  # records were written meanwhile: by them time stands still
    kept.passed(60_000)
    (newest, count) = (kept.files()[-1], len(kept.files()))
    assert len(kept.passed(60_000)) == count
    kept.passed(DAY_MS)
    assert kept.files()[-1] > newest
    assert kept.passed(60_000)[-1] == kept.files()[-1]


def test_every_alert_of_backups_is_in_the_supervisors_page() -> None:
    """With what to do about it."""
    page = Path(__file__).parents[2] / "docs" / "supervisor.md"
    assert [name for name in (FAILED, OLD, NO_COPY) if f"`{name}`" not in page.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize(
    ("zone", "now", "slot"),
    [
        ("Asia/Shanghai", "2026-11-22T02:59+08:00", "2026-11-21T03:00+08:00"),
        ("Asia/Shanghai", "2026-11-22T03:00+08:00", "2026-11-22T03:00+08:00"),
        ("Europe/Berlin", "2026-03-29T04:00+02:00", "2026-03-29T03:00+02:00"),
        ("Europe/Berlin", "2026-10-25T23:00+01:00", "2026-10-25T03:00+01:00"),
    ],
)
def test_the_time_of_day_is_the_stations(zone: str, now: str, slot: str) -> None:
    """On the days of summer time too."""
    now_ms, slot_ms = (int(datetime.fromisoformat(text).timestamp()) * 1000 for text in (now, slot))
    assert newest_slot_ms(now_ms, 180, ZoneInfo(zone)) == slot_ms
    assert is_due(slot_ms - 1, now_ms, 180, ZoneInfo(zone))
    assert not is_due(slot_ms, now_ms, 180, ZoneInfo(zone))


def one(day: int, hour: int = 3, *, good: bool = True) -> Kept:
    """A backup of a day of November 2026; days below one are those of earlier months."""
    moment = datetime(2026, 11, 1, hour, tzinfo=UTC).timestamp() + (day - 1) * 86_400
    return Kept(f"{day:04d}-{hour:02d}", int(moment) * 1000, good)


def removed(found: list[Kept], just_made: str, days: int, months: int) -> set[str]:
    return set(removable(found, days=days, months=months, zone=UTC, just_made=just_made))


Case = Callable[[], tuple[list[Kept], str, int, int, set[str]]]
CASES: dict[str, Case] = {
    "few": lambda: ([one(1), one(2)], "0002-03", 1, 0, set()),
    "days": lambda: ([one(n) for n in range(1, 6)], "0005-03", 3, 0, {"0001-03", "0002-03"}),
    "many a day": lambda: (
        [one(1), *(one(2, hour) for hour in range(10))],
        "0002-09",
        2,
        0,
        {f"0002-{h:02d}" for h in range(8)},
    ),
    "months": lambda: ([one(-40), one(-39), one(-5), one(1), one(2)], "0002-03", 1, 3, {"-040-03"}),
    "gap of a year": lambda: ([one(-400), one(-399), one(2)], "0002-03", 5, 0, set()),
    "last good one": lambda: (
        [one(1), *(one(n, good=False) for n in range(2, 6))],
        "0005-03",
        1,
        0,
        {"0002-03", "0003-03", "0004-03"},
    ),
    "clock fell back": lambda: ([one(20), one(21), one(22), one(2)], "0002-03", 1, 0, {"0020-03"}),
}


@pytest.mark.parametrize("case", CASES)
def test_what_may_go_is_decided_by_days_and_months(case: str) -> None:
    """Never the last good ones, never the one just made, and many on one day cost no older day."""
    found, just_made, days, months, expected = CASES[case]()
    assert removed(found, just_made, days, months) == expected
