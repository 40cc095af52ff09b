"""A console's own clock: how far it is off, when it was set, and when its past events really were."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.instant import Now
from agent.domain.wetstock.console_time import ConsoleClock, minutes_between, observe, resolve

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = SHANGHAI, fold: int = 0) -> Now:
    """The instant of a local time."""
    moment = datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)
    return Now(int(moment.timestamp()) * 1000, 0)


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("shown", "offset"),
    [("2026-11-21T15:30", 0), ("2026-11-21T15:47", 17), ("2026-11-21T14:30", -60), ("1988-11-21T15:30", -19_985_760)],
)
def test_the_first_reply_tells_how_far_a_console_is_off(shown: str, offset: int) -> None:
    """Whole minutes, cut-off seconds not counted; off is more than five minutes."""
    clock = observe(None, shown, at("2026-11-21T15:30:40"), SHANGHAI)
    assert clock == ConsoleClock(offset)
    assert clock.is_off == (abs(offset) > 5)


@given(second=st.integers(0, 59), late_s=st.integers(0, 30))
def test_a_right_clock_is_right_at_any_second(second: int, late_s: int) -> None:
    """A reply that was written at any second of its minute and came a little later tells no drift."""
    now = Now(utc("2026-11-21T07:30:00") + 1000 * (second + late_s), 0)
    assert observe(None, "2026-11-21T15:30", now, SHANGHAI) == ConsoleClock(0)


def test_a_clock_that_creeps_is_followed_and_one_that_was_set_begins_anew() -> None:
    """Two minutes are rounding, four are drift, an hour is somebody who set it."""
    now = at("2026-11-21T15:30:10")
    clock = observe(ConsoleClock(3), "2026-11-21T15:35", now, SHANGHAI)
    assert clock == ConsoleClock(3)
    clock = observe(clock, "2026-11-21T15:37", now, SHANGHAI)
    assert clock == ConsoleClock(7)
    clock = observe(clock, "2026-11-21T14:30", now, SHANGHAI)
    assert clock == ConsoleClock(-60, "2026-11-21T14:30")
    assert "daylight" in clock.words
    assert observe(clock, "", now, SHANGHAI) == clock


def test_a_past_event_is_moved_by_the_drift_of_its_clock() -> None:
    """A console that is 17 minutes ahead says 15:47 for what was at 15:30."""
    found = resolve("2026-11-21T15:47", ConsoleClock(17), at("2026-11-21T18:00"), SHANGHAI)
    assert found == (at("2026-11-21T15:30").wall_ms, "clock")


def test_an_event_before_the_clock_was_set_is_believed_in_the_stations_zone() -> None:
    """Nobody knows any more how far the clock was off then."""
    clock = ConsoleClock(0, "2026-11-21T12:00")
    assert resolve("2026-11-21T11:00", clock, at("2026-11-21T18:00"), SHANGHAI) == (
        at("2026-11-21T11:00").wall_ms,
        "zone",
    )


def test_a_clock_in_the_wrong_century_still_tells_when_something_was() -> None:
    """Events since the fall to 1988 are moved by the offset, those of before are believed as they are."""
    now = at("2026-11-21T15:30:10")
    clock = observe(ConsoleClock(0), "1988-11-21T15:30", now, SHANGHAI)
    assert resolve("1988-11-21T15:10", clock, now, SHANGHAI) == (at("2026-11-21T15:10").wall_ms, "clock")
    assert resolve("2026-11-21T09:10", clock, now, SHANGHAI) == (at("2026-11-21T09:10").wall_ms, "zone")


def test_what_is_no_date_or_lies_in_the_future_has_no_time() -> None:
    """Unknown is not now."""
    now = at("2026-11-21T15:30")
    for event in ("", "2026-13-40T99:99", "2031-01-01T00:00"):
        assert resolve(event, ConsoleClock(0), now, SHANGHAI) is None


def test_daylight_saving_of_console_and_station_together_moves_nothing() -> None:
    """A delivery before the change is where it was, read after it; the hour that comes twice is the later possible."""
    after = at("2026-10-25T12:00", BERLIN)
    assert resolve("2026-10-25T00:30", ConsoleClock(0), after, BERLIN) == (utc("2026-10-24T22:30"), "clock")
    assert resolve("2026-10-25T02:30", ConsoleClock(0), after, BERLIN) == (utc("2026-10-25T01:30"), "clock")
    first_pass = at("2026-10-25T02:40", BERLIN, fold=0)
    assert resolve("2026-10-25T02:30", ConsoleClock(0), first_pass, BERLIN) == (utc("2026-10-25T00:30"), "clock")


def test_minutes_are_counted_only_between_dates() -> None:
    """Whole minutes, also backwards; unknown where one is unknown."""
    assert minutes_between("2026-11-21T15:30", "2026-11-21T16:01") == 31
    assert minutes_between("2026-11-21T15:30", "2026-11-21T15:20") == -10
    assert minutes_between("", "2026-11-21T15:20") is None


@given(text=st.text("0123456789-:T +Zx", max_size=20), offset=st.integers(-(10**8), 10**8))
@settings(max_examples=60)
def test_any_text_gives_a_time_or_none(text: str, offset: int) -> None:
    """A console may write anything."""
    now = at("2026-11-21T15:30")
    assert observe(None, text, now, SHANGHAI) is None or minutes_between(text, text) == 0
    found = resolve("2026-11-21T15:00", ConsoleClock(offset), now, SHANGHAI)
    assert found is None or found[0] <= now.wall_ms + 300_000
