"""A pump without totalizers from its records to head office: pipeline, database, journal, verify, ingest."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent.inbox import Asked, FromLine, Person, Ticked
from agent.live import LiveBoard
from agent.pipeline import Pipeline
from agent.pipeline.step import Outlets
from agent.store.queries import Queries
from agent.store.store import Store
from agent.store.verify import verify
from drivers.commands import Command, ReadSale
from drivers.device import DispenserCapabilities
from drivers.readings import CommandOutcome, CommandResult, DeviceStatus, Reading
from headoffice.ingest import ingest
from headoffice.store import reports
from headoffice.store.database import Database
from tests.support.head_office_says import INDEX_KEY
from tests.support.headoffice_station import NOW_MS, Stream, answered
from tests.support.point_pumps import LOG, Pump
from tests.support.station_file import loaded

STATION = "SH-0001"
RECORDS_ONLY = DispenserCapabilities(
    sale_memory="queue",
    memory_ends="ack",
    release="ack",
    totals="none",
    totals_during_flow="no",
    power_off="kept",
    sets_prices=True,
    stops=True,
)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.ms = 0

    def wall_ms(self) -> int:
        """See agent.clock."""
        return NOW_MS + self.ms

    def mono_ms(self) -> int:
        """See agent.clock."""
        return 1_000_000 + self.ms

    def quality(self) -> str:
        """See agent.clock."""
        return "ntp"

    def sleep(self, seconds: float) -> None:
        """See agent.clock."""
        self.ms += round(seconds * 1000)


class Station:
    """The real pipeline on a real database, and one small pump that numbers its sales."""

    def __init__(self, folder: Path) -> None:
        self.path, self.clock, self.random = folder / "station.db", Clock(), Random(5)
        self.settings = loaded(folder)
        self.pump = Pump(LOG, {1: 7_850})
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.starts += 1
        self.wires: list[Command] = []
        self.live = LiveBoard(started_ms=0)
        self.store = Store(self.path, station=STATION, random=self.random)
        self.pipeline = Pipeline(
            store=self.store,
            settings=self.settings,
            clock=self.clock,
            boot="boot",
            start=f"start{self.starts}",
            random=self.random,
            live=self.live,
            index_key=INDEX_KEY,
            capabilities={1: RECORDS_ONLY},
            outlets=Outlets(self.wires.append, lambda: None),
        )

    def kill(self) -> None:
        """The process dies between two steps and starts again."""
        self.store.close()
        self.start()

    def tell(self, reading: Reading) -> None:
        at = type("At", (), {"wall_ms": self.clock.wall_ms(), "mono_ms": self.clock.mono_ms()})
        self.pipeline.handle(FromLine("island-1", reading, at))  # type: ignore[arg-type]

    def turns(self, count: int = 8) -> None:
        for _ in range(count):
            self.clock.ms += 1_000
            if self.wires:
                command = self.wires.pop(0)
                outcome = CommandOutcome.APPLIED
                if isinstance(command, ReadSale):
                    self.tell(self.pump.bundle(command))
                else:
                    outcome = self.pump.obey(command)
                self.tell(CommandResult(command.command_id, 1, outcome))
            self.tell(self.pump.reading())
            self.pipeline.handle(Ticked("second"))

    def sell(self, volume_ml: int) -> None:
        self.pump.lift(1)
        self.turns(4)
        self.pump.flow(volume_ml // 2)
        self.turns(1)
        self.pump.flow(volume_ml - volume_ml // 2)
        self.turns(1)
        self.pump.hang()
        self.turns(8)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        with sqlite3.connect(self.path) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(sql)]

    def stream(self) -> Stream:
        """The ledger as head office gets it."""
        incarnation = self.rows("SELECT value FROM meta WHERE key = 'incarnation'")[0]["value"]
        bodies = [bytes(row["body"]) for row in self.rows("SELECT body FROM journal WHERE stream = 'L' ORDER BY seq")]
        return Stream(station=STATION, incarnation=incarnation, raws=bodies)


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = Station(tmp_path)
    made.tell(DeviceStatus("point:1", online=True))
    made.turns(12)
    yield made
    made.store.close()


def test_sales_without_totals_are_numbered_and_reach_head_office_once(station: Station, tmp_path: Path) -> None:
    """[W-24] Equal sales, a restart between them, a record sold while down: numbers without a gap, no total, a flag."""
    station.sell(20_000)
    station.sell(20_000)
    station.store.close()
    station.pump.numbered += 1
    station.pump.queue.append(("9", 1, 5_000, 7_850))
    station.start()
    station.tell(DeviceStatus("point:1", online=True))
    station.turns(12)
    station.sell(20_000)
    rows = station.rows("SELECT * FROM sale ORDER BY counter")
    assert [(row["counter"], row["volume_ml"], row["start_raw"], row["end_raw"]) for row in rows] == [
        (1, 20_000, None, None),
        (2, 20_000, None, None),
        (3, 5_000, None, None),
        (4, 20_000, None, None),
    ]
    assert all(row["flags"] == "no_totals" for row in rows)
    assert verify(station.path).ok
    told = Queries(station.path).sale(rows[0]["id"])
    assert (told["counter"], told["totalizer_start"]) == (1, None)
    database = Database(tmp_path / "hq.db", migrate=True)
    stream = station.stream()
    for _ in range(2):
        ack = answered(ingest(database, stream.topic, stream.payload(1), NOW_MS))
        assert (ack.cum, ack.rejected) == (len(stream.raws), ())
    assert reports.totals(database)["volume_ml"] == 65_000
    database.close()


def test_a_start_says_which_points_keep_no_totals(station: Station) -> None:
    """The weaker key is in the journal of every start, and in what people look at."""
    station.kill()
    bodies = [json.loads(row["body"])["data"] for row in station.rows("SELECT body FROM journal WHERE stream = 'L'")]
    told = [data["object"] for data in bodies if data.get("action") == "no_totals"]
    assert told == ["point:1", "point:1"]
    station.turns(3)
    assert station.live.points[1]["totals"] is False


def test_a_missing_number_is_found_by_verify(station: Station) -> None:
    """The numbers are the only chain such a point has: a sale that vanished leaves a hole."""
    station.sell(20_000)
    station.sell(10_000)
    station.sell(5_000)
    with sqlite3.connect(station.path) as db:
        db.execute("UPDATE sale SET counter = 9 WHERE counter = 2")
    problems = [finding.problem for finding in verify(station.path).findings]
    assert any("has number 3" in problem for problem in problems)
    assert any("differs from its record in counter" in problem for problem in problems)


def test_a_record_that_never_comes_is_accepted_by_hand_once(station: Station) -> None:
    """Fuel flowed, the head lost its record: the point waits, a supervisor accepts what was seen, it sells again."""
    station.pump.lift(1)
    station.turns(4)
    station.pump.flow(6_000)
    station.turns(1)
    station.pump.flow(6_000)
    station.turns(2)
    station.pump.hang()
    station.pump.queue.clear()
    station.turns(30)
    assert station.rows("SELECT * FROM sale") == []
    assert "SALE_PENDING" in station.live.points[1]["alerts"]
    station.clock.ms += 700_000
    asked = Asked("sales.accept-pending", {"fuelling_point": 1, "nozzle": None}, Person("wang", "supervisor"))
    station.pipeline.handle(asked)
    answer = asked.reply.wait(0.0)
    assert answer is not None
    assert answer["ok"], answer
    (row,) = station.rows("SELECT * FROM sale")
    assert (row["counter"], row["volume_ml"]) == (1, 12_000)
    assert row["flags"].split() == ["accepted_by_hand", "amount_estimated", "live_values", "no_totals"]
    station.turns(10)
    station.sell(20_000)
    assert [r["counter"] for r in station.rows("SELECT counter FROM sale ORDER BY counter")] == [1, 2]
    assert verify(station.path).ok
