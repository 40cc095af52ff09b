"""The look over many links: what is counted, when it is time, what becomes of it, and that it happens once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agent.domain.fraud import DEFAULTS
from agent.domain.fraud_night import DayShare, Habit, Pair, Share, Span
from agent.inbox import FraudLooked, Inbox, Item
from agent.nightwatch import NIGHT, SHIFT, NightWatch, night_before
from agent.store import fraud
from agent.store.fraud_queries import FraudQueries
from agent.store.prepared import Prepared
from tests.support.many_links import HOUR_MS, Told, member_id, write
from tests.support.station import EPOCH_MS
from tests.support.till import EARN, Till
from tests.support.watched import alerts, told, watched_till

DAY_MS = 24 * HOUR_MS
SPAN = Span("2026-01-05", EPOCH_MS - DAY_MS, EPOCH_MS)
AT = EPOCH_MS - HOUR_MS


@pytest.fixture
def till() -> Iterator[Till]:
    """A watched till whose database is written into beside the pipeline."""
    yield from watched_till(by_hand=True)


def queries(till: Till, *sales: Told) -> FraudQueries:
    """Questions to a database with these sales."""
    write(till.store.path, sales)
    return FraudQueries(till.store.path)


def plain(*shares: Share) -> list[tuple[Any, ...]]:
    """Shares without their sales."""
    return [(share.attendant, share.hits, share.of, share.member) for share in shares]


# --- what is counted --------------------------------------------------------------------------------------------------


def test_what_counts_as_a_link(till: Till) -> None:
    """Links of the span alone; none that was corrected away, of own use, or by head office's command."""
    found = queries(
        till,
        Told(SPAN.from_ms),
        Told(SPAN.to_ms - 1, member=2),
        Told(SPAN.from_ms - 1),
        Told(SPAN.to_ms),
        Told(AT, active=0),
        Told(AT, purpose="own-use"),
        Told(AT, by="head-office"),
        Told(AT, member=0),
        Told(AT, by="b", level="phone"),
    )
    assert plain(*found.weak(SPAN)) == [("a", 0, 2, None), ("b", 1, 1, None)]


def test_the_member_linked_most_by_each_attendant(till: Till) -> None:
    """Of each attendant one member, with their share of all links and their sales."""
    told = [Told(AT + number, member=1 + number % 3 // 2) for number in range(9)] + [Told(AT, by="b", member=7)]
    found = queries(till, *told).tops(SPAN)
    assert plain(*found) == [("a", 6, 9, member_id(1)), ("b", 1, 1, member_id(7))]
    assert len(found[0].sales) == 6


def test_pairs_late_and_corrected_links(till: Till) -> None:
    """Pairs from a number of links on; links later than a limit; corrections beside the links of whoever made them."""
    found = queries(till, *(Told(AT + n, member=1 + n // 3, delay_s=119 + n) for n in range(4)))
    with closing(sqlite3.connect(till.store.path)) as db, db:
        for number, (what, by) in enumerate([("link", "a"), ("link", "c"), ("void", "a"), ("link", "head-office")]):
            db.execute(
                "INSERT INTO correction (id, sale, what, old, new, by, role, reason, at_ms) "
                "VALUES (?, 'S000000000', ?, '{}', '{}', ?, '', '', ?)",
                (str(number), what, by, AT),
            )
    assert found.pairs(SPAN, 3) == [Pair("a", member_id(1), 3, ("S000000000", "S000000001", "S000000002"))]
    assert plain(*found.late(SPAN, 120_000)) == [("a", 2, 4, None)]
    assert plain(*found.corrected(SPAN)) == [("a", 1, 4, None), ("c", 1, 0, None)]


def test_habits_of_members(till: Till) -> None:
    """Who earns with one attendant or redeems with one: with all that they earned and redeemed."""
    told = [Told(AT + n, member=1, by="a") for n in range(8)] + [Told(AT + n, member=1, by="b") for n in range(3)]
    told += [Told(AT + n, member=2, by="b", earned=0, redeemed=50) for n in range(3)] + [Told(AT, member=2, redeemed=9)]
    found = queries(till, *told).habits(SPAN, DEFAULTS)
    assert [(h.member, h.earns, h.earns_with, h.redemptions, h.redemptions_with) for h in found] == [
        (member_id(1), 11, 8, 0, 0),
        (member_id(2), 1, 0, 4, 3),
    ]
    assert isinstance(found[0], Habit)


def test_shares_of_a_day_beside_the_usual_days(till: Till) -> None:
    """An attendant's links among the sales they served and those nobody is known to have; only days they linked on."""
    usual = [Span(f"day -{n}", AT - n * DAY_MS, AT - n * DAY_MS + HOUR_MS) for n in (1, 2)]
    day = Span("day", AT, AT + HOUR_MS)
    told = [Told(AT, by="a", served="a"), Told(AT, by="a"), Told(AT, member=0), Told(AT, by="b", served="b")]
    told += [Told(AT - DAY_MS, by="a", served="a"), Told(AT - DAY_MS, member=0, served="a")]
    told += [Told(AT - 2 * DAY_MS, by="b", served="b")]
    found = queries(till, *told).day_shares(day, usual)
    assert [DayShare(s.attendant, s.links, s.of, s.usual_links, s.usual_of) for s in found] == [
        DayShare("a", 2, 3, 1, 2),
        DayShare("b", 1, 3, 1, 1),
    ]


# --- when it is time --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "night"),
    [
        ("2026-01-05 02:00", "2026-01-05 02:00"),
        ("2026-01-05 01:59", "2026-01-04 02:00"),
        ("2026-01-05 23:59", "2026-01-05 02:00"),
        ("2026-03-29 03:30", "2026-03-29 02:00"),
    ],
)
def test_the_last_night(now: str, night: str) -> None:
    """The last instant at which the clock on the wall showed the hour, on the day of a change too."""
    zone = ZoneInfo("Europe/Berlin")
    wall_ms = int(datetime.fromisoformat(now).replace(tzinfo=zone).timestamp() * 1_000)
    assert f"{night_before(wall_ms, 120, zone):%Y-%m-%d %H:%M}" == night


class Watched:
    """A night watch over a till: ``look`` gives what was found to the pipeline, as the daemon does."""

    def __init__(self, till: Till) -> None:
        self.till = till
        self.start()

    def start(self) -> None:
        """As after a restart: from what the database remembers."""
        self.inbox: Inbox[Item] = Inbox()
        known = {row["key"]: row["value"] for row in self.till.rows("SELECT key, value FROM meta")}
        settings, clock = self.till.settings, self.till.clock
        self.watch = NightWatch(settings, clock, self.inbox, night=known.get(NIGHT), shift=known.get(SHIFT))

    def look(self, *, keeps: bool = True) -> int:
        """Look; returns how many findings came."""
        self.watch.look()
        count = 0
        while len(self.inbox):
            item = self.inbox.get(0)
            assert isinstance(item, FraudLooked)
            count += len(item.findings)
            if keeps:
                self.till.pipeline.handle(item)
        return count


def concentrated(till: Till, *, days_ago: int = 2) -> None:
    """One attendant of one has linked one member six times."""
    write(till.store.path, [Told(EPOCH_MS - days_ago * DAY_MS + n * HOUR_MS) for n in range(6)])


def test_a_night_is_looked_over_once(till: Till) -> None:
    """After 02:00 what the rules find is an alert; a second look, and a restart, find the night done."""
    concentrated(till)
    watched = Watched(till)
    assert watched.look() == 1
    assert alerts(till, "rule", "attendant", "day", "observed") == [("R3", "a", "2026-01-04", 6)]
    assert watched.look() == 0
    watched.start()
    assert (watched.look(), told(till)) == (0, [("R3", "raised")])


def test_a_look_that_was_not_kept_is_done_again(till: Till) -> None:
    """Killed before what was found is kept: the next start looks again and the alert is raised once."""
    concentrated(till)
    watched = Watched(till)
    assert watched.look(keeps=False) == 1
    assert alerts(till, "rule") == []
    for _ in range(2):
        watched.start()
        watched.look()
    assert told(till) == [("R3", "raised")]


def test_the_same_links_are_no_news_the_next_night(till: Till) -> None:
    """A look goes back over a week: what named no sale of the last night's alert is told, the rest is not."""
    concentrated(till)
    watched = Watched(till)
    watched.look()
    till.clock.now_s += 86_400
    assert watched.look() == 1
    assert alerts(till, "day") == [("2026-01-04",)]
    write(till.store.path, [Told(EPOCH_MS + HOUR_MS)], first=6)
    till.clock.now_s += 86_400
    watched.look()
    assert alerts(till, "day") == [("2026-01-04",), ("2026-01-06",)]


@pytest.mark.parametrize("word", ["floor", "unknown"])
def test_a_clock_that_nobody_set_decides_no_night(till: Till, word: str) -> None:
    """Without a clock that can be believed nothing is looked over; with one the night is made up for."""
    concentrated(till)
    till.clock.word = word
    watched = Watched(till)
    assert watched.look() == 0
    till.clock.word = "ntp"
    assert watched.look() == 1


def test_a_shift_is_looked_over_when_it_is_closed(till: Till) -> None:
    """R4 and R7 look at a shift as soon as it is closed, and the others at the days before it."""
    watched = Watched(till)
    watched.look()
    assert till.ask("shift.open")["ok"]
    write(till.store.path, [Told(EPOCH_MS + n * 60_000, delay_s=121 if n < 3 else 0, member=n + 2) for n in range(12)])
    till.clock.now_s += 3_600
    watched.look()
    assert alerts(till, "rule") == []
    closed = till.ask("shift.close")
    assert closed["ok"], closed
    watched.look()
    assert alerts(till, "rule", "attendant", "observed", "threshold") == [("R4", "a", 2_500, 2_500)]
    watched.start()
    assert (watched.look(), told(till)) == (0, [("R4", "raised")])


def test_a_day_without_a_shift_is_a_shift(till: Till) -> None:
    """R4: a station that opens no shifts is looked at by local days."""
    yesterday = int(datetime(2026, 1, 4, 3, tzinfo=UTC).timestamp() * 1_000)
    write(till.store.path, [Told(yesterday + n * 60_000, delay_s=300, member=n + 2) for n in range(12)])
    Watched(till).look()
    assert alerts(till, "rule", "day") == [("R4", "2026-01-04")]


MULTIPLIER = {"id": "double", "kind": "MULTIPLIER", "factor_pct": 200, "when": {"weekdays": ["sun"]}}


@pytest.mark.parametrize(
    ("offers", "found"),
    [
        ([EARN, MULTIPLIER], [("R9", None, 3), ("R9", "b", 200)]),
        ([EARN], []),
        ([EARN, {**MULTIPLIER, "when": {"birthday": "DAY"}}], []),
        ([EARN, {**MULTIPLIER, "when": {}}], []),
    ],
)
def test_multiplier_days(till: Till, offers: list[dict[str, Any]], found: list[Any]) -> None:
    """R9: on a Sunday that doubles points; not where only birthdays do, nor where every day does."""
    till.rules(*offers, version=2)
    sunday = int(datetime(2026, 1, 4, 3, tzinfo=UTC).timestamp() * 1_000)
    sales = [Told(sunday + n * HOUR_MS, by="a", member=1) for n in range(3)]
    sales += [Told(sunday + n, by="b", member=10 + n) for n in range(17)]
    sales += [Told(sunday - DAY_MS + n, by="b", member=40 + n if n < 17 else 0) for n in range(40)]
    write(till.store.path, sales)
    Watched(till).look()
    assert alerts(till, "rule", "attendant", "observed") == found


# --- how it is found --------------------------------------------------------------------------------------------------


def test_every_question_of_a_night_goes_by_an_index(till: Till) -> None:
    """No question of a night reads sales, links or corrections of all times."""
    seen: list[str] = []
    asked: Callable[..., Any] = FraudQueries._rows

    class Explained(FraudQueries):
        def _rows(self, query: str, span: Span, **more: int) -> list[sqlite3.Row]:
            with self._open() as db:
                values = {"from_ms": span.from_ms, "to_ms": span.to_ms, **more}
                plan = [str(row["detail"]) for row in db.execute(f"EXPLAIN QUERY PLAN {query}", values)]
            seen.extend(plan)
            return list(asked(self, query, span, **more))

    write(till.store.path, [Told(AT + n) for n in range(12)])
    look = Explained(till.store.path)
    look.tops(SPAN)
    look.pairs(SPAN, 6)
    look.late(SPAN, 1)
    look.weak(SPAN)
    look.corrected(SPAN)
    look.habits(SPAN, DEFAULTS)
    look.busy(SPAN, 1)
    look.day_shares(SPAN, [SPAN])
    assert len(seen) > 20
    tables = ("sale", "link", "l", "s", "c", "correction", "settlement", "t", "h", "points_holder", "m", "member")
    scans = [line for line in seen for table in tables if line == f"SCAN {table}"]
    assert scans == []


def test_the_path_of_the_database_is_the_settings(till: Till, tmp_path: Path) -> None:
    """A database that cannot be read ends the look with its error: the thread is started again by itself."""
    store = till.settings.store.model_copy(update={"path": tmp_path / "none.db"})
    settings = till.settings.model_copy(update={"store": store})
    watch = NightWatch(settings, till.clock, Inbox(), night=None, shift=None)
    with pytest.raises(sqlite3.OperationalError):
        watch.look()


def test_every_question_at_a_link_goes_by_an_index(till: Till) -> None:
    """What is looked up with a link, a refusal or a refund never reads a whole table, whatever the station has sold."""
    asked = [text for name, text in vars(fraud).items() if isinstance(text, Prepared) and name.startswith("_")]
    assert len(asked) >= 5
    plans = []
    with closing(sqlite3.connect(till.store.path)) as db:
        for prepared in asked:
            values = ["" for _ in range(prepared.text.count("?"))]
            plans += [str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {prepared.text}", values)]
    assert plans
    assert [line for line in plans if line.startswith("SCAN")] == []
