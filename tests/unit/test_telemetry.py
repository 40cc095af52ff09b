"""Telemetry: readings of points, tanks and health, thinned before they get a seq while there is no room for all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.domain.thinning import Thinned, Thinning, has_changed, judge, left_out
from agent.inbox import FromHeadOffice, FromStorage, Ticked
from agent.store.verify import verify
from sync import ports
from sync.records import format_time
from tests.support import template
from tests.support.quiet import quiet_log
from tests.support.till import Till

MINUTE_S = 60


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    """A station with two tanks' worth of live readings that thins from 100 waiting readings on, one of four kept."""
    with quiet_log():
        template.copy_to(tmp_path)
        opened = Till(tmp_path)
        wanted = {"telemetry_backlog": 100, "telemetry_keep": 4, "telemetry_every": 60_000, "points_every": 120_000}
        head_office = opened.settings.head_office.model_copy(update=wanted)
        opened.settings = opened.settings.model_copy(update={"head_office": head_office})
        opened.restart()
        yield opened
        opened.close()


def told(till: Till) -> list[tuple[int, str, dict[str, Any]]]:
    """Seq, type and data of the whole stream."""
    rows = till.rows("SELECT seq, body FROM journal WHERE stream = 'T' ORDER BY generation, seq")
    records = [(row["seq"], json.loads(row["body"])) for row in rows]
    return [(seq, record["type"], record["data"]) for seq, record in records]


def minutes(till: Till, count: int) -> None:
    for _ in range(count):
        till.clock.now_s += MINUTE_S
        till.pipeline.handle(Ticked("minute"))


def types(till: Till, after: int = 0) -> list[str]:
    return [kind for seq, kind, _ in told(till) if seq > after]


def untold(till: Till) -> int:
    """Readings left out that no record tells yet."""
    return sum(gone.count for gone in till.pipeline._memory.thinning.left_out.values())


def acknowledge(till: Till) -> None:
    seq, digest = till.store.heads()["T"]
    till.pipeline.handle(FromHeadOffice(ports.AckAccepted("T", seq, digest, ())))


def test_points_and_health_are_told_as_often_as_configured(till: Till) -> None:
    """[W-01] Each point with state, quality, price in force and meters; health with what waits; nothing invented."""
    till.settle(till.sale())
    minutes(till, 4)
    kinds = types(till)
    points = len(till.settings.fuelling_point)
    assert kinds.count("fc.health.v1") == 4
    assert kinds.count("fc.point.reading.v1") == 2 * points
    health = next(data for _, kind, data in told(till) if kind == "fc.health.v1")
    assert health["undelivered"] == {"A": 0, "L": health["undelivered"]["L"], "T": 0}
    assert health["undelivered"]["L"] > 0
    assert health["disk_free_bytes"] is None, "nobody has looked: unknown, not 0"
    point = next(data for _, kind, data in told(till) if kind == "fc.point.reading.v1")
    assert (point["fuelling_point"], point["quality"], point["online"]) == (1, "offline", False)
    assert {"nozzle", "grade", "unit_price_milli", "totalizer", "totalizer_unit_ml"} == set(point["nozzles"][0])


def test_far_behind_one_of_so_many_is_kept_and_the_rest_is_counted(till: Till) -> None:
    """[W-01] Over the limit the backlog hardly grows; every reading is either there or in a count; seqs have no gap."""
    minutes(till, 60)
    whole, before, earlier = len(told(till)), told(till)[-1][0], untold(till)
    assert before > 100
    minutes(till, 40)
    thin = [(kind, data) for seq, kind, data in told(till) if seq > before]
    counts = [data for kind, data in thin if kind == "fc.telemetry.thinned.v1"]
    kept = [kind for kind, _ in thin if kind != "fc.telemetry.thinned.v1"]
    points = len(till.settings.fuelling_point)
    counted = sum(data["count"] for data in counts) + untold(till) - earlier
    assert len(kept) + counted == 40 + 20 * points
    assert len(kept) <= (40 + 20 * points) // 4 + points + 1
    assert {data["reason"] for data in counts} == {"backlog"}
    assert [seq for seq, _, _ in told(till)] == list(range(1, len(told(till)) + 1)), "no seq was dropped"
    assert whole < len(told(till))
    acknowledge(till)
    last = told(till)[-1][0]
    minutes(till, 2)
    after = types(till, last)
    assert after[0] == "fc.telemetry.thinned.v1", "what was left out is told before what is kept"
    assert after.count("fc.telemetry.thinned.v1") == 1
    assert after.count("fc.health.v1") == 2
    assert verify(till.store.path).findings == ()


def test_a_change_that_matters_is_told_however_far_behind(till: Till) -> None:
    """[W-01] A point that comes back is told in its turn, although three of four readings are left out."""
    minutes(till, 101)
    before = told(till)[-1][0]
    shown = till.pipeline._live.points[2]
    till.pipeline._live.set_point(2, {**shown, "online": True, "state": "Idle"})
    minutes(till, 2)
    news = [data for seq, kind, data in told(till) if seq > before and kind == "fc.point.reading.v1"]
    assert (2, "Idle") in {(data["fuelling_point"], data["state"]) for data in news}


def test_what_was_left_out_is_told_after_a_restart_and_after_a_full_disk(till: Till) -> None:
    """[W-01] The count outlives the process; on a full disk nothing is written and all is counted, by its reason."""
    minutes(till, 103)
    waiting = untold(till)
    till.restart()
    assert untold(till) == waiting > 0
    acknowledge(till)
    till.pipeline.handle(FromStorage("DISK_FULL", standing=True, detail="1 MB free"))
    before = told(till)[-1][0]
    minutes(till, 3)
    assert types(till, before) == []
    till.pipeline.handle(FromStorage("DISK_FULL", standing=False))
    minutes(till, 1)
    gone = {
        data["reason"]: data for seq, kind, data in told(till) if seq > before and kind == "fc.telemetry.thinned.v1"
    }
    assert gone["backlog"]["count"] == waiting
    assert gone["disk"]["count"] >= 3
    assert gone["disk"]["from"] < gone["disk"]["to"] <= format_time(till.clock.wall_ms())


def test_a_disk_that_is_short_of_room_gets_fewer_readings(till: Till) -> None:
    """[W-01] Before it is full: one of so many, by the same rule as a backlog."""
    till.pipeline.handle(FromStorage("DISK_LOW", standing=True, detail="200 MB free"))
    minutes(till, 1)
    before = told(till)[-1][0]
    minutes(till, 3)
    assert types(till, before).count("fc.health.v1") == 0
    minutes(till, 1)
    kinds = types(till, before)
    assert kinds.count("fc.health.v1") == 1
    assert "fc.telemetry.thinned.v1" in kinds


def test_judging_keeps_the_first_the_nth_and_every_change() -> None:
    """[W-01] Pure: of equal readings one of n; a far move, a new word, known after unknown at once."""
    state, kept = Thinning(), []
    for number in range(9):
        state, keeps = judge(state, "tank:1", {"volume_ml": 10_000_000 + number}, keep_one_of=4)
        kept.append(keeps)
    assert kept == [True, False, False, False, True, False, False, False, True]
    state, keeps = judge(state, "tank:1", {"volume_ml": 9_700_000}, keep_one_of=4)
    assert keeps
    assert has_changed({"quality": "good"}, {"quality": "frozen"})
    assert has_changed({"volume_ml": None}, {"volume_ml": 0})
    assert not has_changed({"volume_ml": 1_000_000}, {"volume_ml": 1_199_999})
    both = left_out(left_out(state, "backlog", 9), "backlog", 5)
    assert both.left_out == {"backlog": Thinned(5, 9, 2)}
