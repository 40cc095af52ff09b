"""Shifts at the till: every fact in exactly one shift, closed once, with the money, the points and who sold it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.domain.identity import AuthLevel
from agent.failpoints import SimulatedCrash, armed
from agent.settings.model import ShiftSettings
from agent.store.queries import NotFound
from agent.store.shift_queries import ShiftQueries
from agent.store.verify import verify
from headoffice.ingest import ingest
from headoffice.store import reports
from headoffice.store.database import Database
from tests.support import template
from tests.support.headoffice_station import NOW_MS, Stream, answered
from tests.support.station_settings import STATION
from tests.support.till import OTHER, Till, lend, loyal_till

HOUR_S = 3_600


@pytest.fixture
def till() -> Iterator[Till]:
    """A till with rules, a member and points; verify finds nothing afterwards."""
    yield from loyal_till()


@pytest.fixture
def plain() -> Iterator[Till]:
    """A till where everything is settled by tender and nothing is earned."""
    folder = template.new_folder()
    template.copy_to(folder)
    made = Till(folder)
    made.rules()
    yield made
    report = verify(made.store.path)
    made.close()
    shutil.rmtree(folder)
    assert report.findings == ()


def opened(till: Till, **more: Any) -> dict[str, Any]:
    """Open a shift; the answer's data."""
    answer = till.ask("shift.open", role="attendant", **more)
    assert answer["ok"], answer
    return dict(answer["data"])


def close(till: Till, **more: Any) -> dict[str, Any]:
    """Close the shift; the answer's data."""
    answer = till.ask("shift.close", role="attendant", **more)
    assert answer["ok"], answer
    return dict(answer["data"])


def found(path: Path) -> list[str]:
    """What verify says about shifts."""
    return [f"{f.where}: {f.problem}" for f in verify(path).findings if f.where.startswith("shift")]


def test_a_sale_is_in_the_shift_in_which_it_was_booked(plain: Till) -> None:
    """Two shifts split three sales between them; a shift begins where the one before ended, opened late or not."""
    opened(plain)
    plain.sale(10_000)
    first = close(plain)
    plain.sale(20_000)
    plain.wait(60)
    second_opened = opened(plain)
    plain.sale(30_000)
    second = close(plain)
    assert [s["totals"]["sold_ml"] for s in (first, second)] == [10_000, 50_000]
    assert second_opened["from"] == first["closed_at"] != second["opened_at"]
    assert [second["number"], second["totals"]["unsettled"]] == [2, 2]


def test_what_happens_in_one_millisecond_stays_on_its_side(plain: Till) -> None:
    """Sales of the very instant of the close are parted exactly: before it, in; after it, out."""
    opened(plain)
    plain.sale(10_000)
    closed_at = close(plain)["closed_at"]
    plain.sale(20_000)
    opened(plain)
    assert close(plain)["totals"]["sold_ml"] == 20_000
    assert [row["sold_ml"] for row in totals(plain)] == [20_000, 10_000]
    assert plain.one("SELECT count(DISTINCT closed_ms) FROM shift") == 2, closed_at


def totals(till: Till) -> list[dict[str, Any]]:
    """The totals of every shift, newest first."""
    return [row["totals"] for row in ShiftQueries(till.settings).shifts(limit=10)]


def test_money_and_points_stand_in_the_shift_in_which_they_moved(till: Till) -> None:
    """A sale booked before the close and paid after it brings its litres to one shift and its money to the next."""
    lend(till, "L1", "points", 3_000)
    opened(till)
    sale = till.fuelled()
    first = close(till)
    opened(till)
    paid = till.settle(sale, points=2_000)
    second = close(till, counted={"cash": paid["net_minor"] - 100})
    assert (first["totals"]["unsettled"], first["totals"]["settled"], first["totals"]["tenders"]) == (1, 0, [])
    assert (first["totals"]["captured"], first["totals"]["opportunities"]) == (1, 1)
    money = second["totals"]
    assert (money["sales"], money["settled"], money["net_minor"]) == (0, 1, paid["net_minor"])
    assert money["tenders"] == [{"kind": "cash", "amount_minor": paid["net_minor"]}]
    assert (money["points_given"], money["points_taken"]) == (paid["points_earned"], 2_000)
    assert [row["variance_minor"] for row in second["count"]] == [-100]


def test_refunds_voids_rebooked_payments_and_changed_links_are_told(till: Till) -> None:
    """What was corrected in a shift is in its sums, by the kind of payment it was paid with."""
    opened(till)
    cash, card, wrong = till.fuelled(), till.fuelled(), till.fuelled()
    for sale in (cash, card, wrong):
        till.settle(sale)
    tenders = [{"kind": "card", "amount_minor": None, "ref": None}]
    assert till.ask("sales.correct", sale=card, tenders=tenders, reason="mistyped")["ok"]
    assert till.ask("sales.refund", sale=cash, amount_minor=1_000, reason="spilled")["ok"]
    assert till.ask("sales.void", sale=card, reason="contaminated")["ok"]
    assert till.ask("sales.unlink", sale=wrong, reason="wrong car")["ok"]
    report = close(till, counted={"cash": 30_400})
    told = report["totals"]
    assert told["tenders"] == [{"kind": "card", "amount_minor": 15_700}, {"kind": "cash", "amount_minor": 31_400}]
    assert told["refunded"] == [{"kind": "card", "amount_minor": 15_700}, {"kind": "cash", "amount_minor": 1_000}]
    assert (told["refunds"], told["voids"], told["captured"], told["opportunities"]) == (1, 1, 2, 3)
    assert report["count"][0]["variance_minor"] == 0


def test_a_payment_corrected_later_changes_no_closed_shift(plain: Till) -> None:
    """Verify closes each shift again from its own facts: what a later shift corrected is not among them."""
    opened(plain)
    sale = plain.sale()
    plain.settle(sale)
    plain.ask("sales.refund", sale=sale, amount_minor=500, reason="spilled")
    close(plain)
    opened(plain)
    tenders = [{"kind": "card", "amount_minor": None, "ref": None}]
    assert plain.ask("sales.correct", sale=sale, tenders=tenders, reason="mistyped")["ok"]
    second = close(plain)["totals"]
    assert second["tenders"] == [{"kind": "card", "amount_minor": 15_700}, {"kind": "cash", "amount_minor": -15_700}]
    assert found(plain.store.path) == []


def test_attendants_part_their_sales(plain: Till) -> None:
    """Each sale stands with who served it, its payment too; the close signs everybody out."""
    plain.ask("staff.add", staff="li", name="Li", pin="4711")
    opened(plain)
    plain.sale(10_000)
    assert plain.ask("staff.sign-in", role="attendant", staff="li", pin="4711")["ok"]
    plain.settle(plain.sale(20_000, attendant="li"))
    parts = {part["attendant"]: part for part in close(plain)["attendants"]}
    assert parts["li"]["tenders"] == [{"kind": "cash", "amount_minor": 15_700}]
    assert plain.rows("SELECT ended FROM attendance") == [{"ended": "shift_closed"}]


def test_a_meter_test_and_own_use_are_not_sold(plain: Till) -> None:
    """By sale or by litres of a nozzle: they leave what was sold, and no more can leave than was booked there."""
    opened(plain)
    tested, used, rest = plain.sale(20_000), plain.sale(5_000), plain.sale(30_000)
    plain.settle(used)
    named: dict[str, Any] = {"sale": tested, "reason": "calibration"}
    assert not plain.ask("shift.test-return", role="attendant", **named)["ok"], "supervisors only"
    assert plain.ask("shift.test-return", **named)["data"]["state"] == "Cleared"
    assert not plain.ask("shift.test-return", **named)["ok"], "once is enough"
    assert plain.ask("shift.own-use", sale=used, reason="van", request="u-1")["data"]["repeat"] is False
    assert plain.ask("shift.own-use", sale=used, reason="van", request="u-1")["data"]["repeat"] is True
    by_litres: dict[str, Any] = {"fuelling_point": 1, "nozzle": 1, "reason": "calibration", "request": "t-1"}
    too_much = plain.ask("shift.test-return", volume_ml=30_001, **by_litres)
    assert not too_much["ok"]
    assert "30000 ml" in too_much["error"]
    for is_repeat in (False, True):
        assert plain.ask("shift.test-return", volume_ml=10_000, **by_litres)["data"]["repeat"] is is_repeat
    plain.settle(rest)
    assert not plain.ask("shift.own-use", sale=rest, reason="van")["ok"], "10 of its litres were noted without it"
    told = close(plain)["totals"]
    assert (told["sold_ml"], told["test_ml"], told["own_use_ml"]) == (20_000, 30_000, 5_000)
    assert len([r for r in plain.records("fc.audit.v1") if r["action"] == "not_sold"]) == 3


def test_a_close_said_again_gets_the_first_answer(plain: Till) -> None:
    """By its request's name a close happens once; without one the second is refused with when the first was."""
    opened(plain, request="o-1")
    assert opened(plain, request="o-1")["repeat"] is True
    plain.sale()
    first = close(plain, request="c-1", counted={"cash": 100})
    again = close(plain, request="c-1")
    assert again == {**first, "repeat": True}
    refused = plain.ask("shift.close", role="attendant")
    assert "no shift is open" in refused["error"]
    opened(plain)
    assert close(plain, request="c-1")["number"] == 1, "an old answer, whatever is open now"
    assert "not 1" in plain.ask("shift.close", shift="1")["error"]
    assert "open since" in plain.ask("shift.open")["error"]


@pytest.mark.parametrize("jump_ms", [-(10**12), 34_560_000_000])
def test_a_clock_that_jumps_closes_no_shift_twice_and_loses_no_sale(plain: Till, jump_ms: int) -> None:
    """Back to 1994 or 400 days ahead, and back again: every sale is in one shift, each shift behind the other."""
    opened(plain)
    plain.sale(10_000)
    plain.clock.offset_ms += jump_ms
    plain.sale(20_000)
    close(plain, request="c-1")
    plain.restart()
    plain.clock.offset_ms -= jump_ms
    plain.sale(30_000)
    opened(plain)
    plain.sale(40_000)
    close(plain, request="c-1")
    close(plain, request="c-2")
    assert [row["sold_ml"] for row in totals(plain)] == [70_000, 30_000]


def test_a_shift_goes_on_in_a_new_incarnation(plain: Till) -> None:
    """What a reborn database sends again counts once; the shift is closed with what was sold before and after."""
    opened(plain)
    plain.settle(plain.sale(10_000))
    plain.reborn()
    plain.sale(20_000)
    told = close(plain)["totals"]
    assert (told["sold_ml"], told["sales"], told["settled"]) == (30_000, 2, 1)


def test_a_shift_lasts_over_the_change_of_the_clocks(plain: Till) -> None:
    """Shifts are bounded by instants: an hour that comes twice or never changes no sum."""
    plain.settings = plain.settings.model_copy(
        update={"station": plain.settings.station.model_copy(update={"timezone": "Europe/Berlin"})}
    )
    plain.restart()
    plain.clock.offset_ms = 1_792_890_000_000 - plain.clock.wall_ms()  # 2026-10-25T00:20Z, twenty past two in summer
    opened(plain)
    for _ in range(3):
        plain.sale(10_000)
        plain.wait(HOUR_S)
    assert close(plain)["totals"]["sold_ml"] == 30_000


@pytest.mark.parametrize("name", ["shift.before_commit", "store.inside_commit", "shift.after_commit"])
def test_a_crash_while_closing_leaves_an_open_or_a_closed_shift(plain: Till, name: str) -> None:
    """Whoever asked asks again after the crash, and the shift is closed once with all its sums."""
    opened(plain)
    plain.sale(10_000)
    with armed(name, 1), pytest.raises(SimulatedCrash):
        plain.ask("shift.close", request="c-1")
    plain.restart()
    assert close(plain, request="c-1")["totals"]["sold_ml"] == 10_000
    assert len([r for r in plain.records("fc.shift.v1") if r["event"] == "closed"]) == 1


FLIPS = {
    "UPDATE shift SET report = replace(report, '\"sold_ml\": 10000', '\"sold_ml\": 10001')": "sold_ml 10001, 10000",
    "UPDATE shift SET from_ms = from_ms + 1 WHERE number = 2": "does not begin where the one before ended",
    "UPDATE shift SET close_marks = '[]', closed_ms = closed_ms + 1 WHERE number = 1": "does not begin",
    "UPDATE journal SET time_ms = time_ms + 100000 WHERE type = 'fc.sale.v1'": "gross_minor 7850, 0",
    "UPDATE shift SET counted = '{\"cash\": 5}' WHERE number = 1": "its count are 0 rows, 1",
    "INSERT INTO fuel_use SELECT 'X', 'own-use', 1, 1, 77, NULL, 'x', 'x', closed_ms - 1, NULL FROM shift WHERE number = 1": "own_use_ml",
    "UPDATE shift SET id = 'X' WHERE number = 2": "is in no journal record",
}


def test_verify_finds_a_flipped_number(plain: Till, tmp_path: Path) -> None:
    """A stored sum, a boundary, a mark, a record's time and counted money that were altered are each found."""
    opened(plain)
    plain.settle(plain.sale(10_000))
    close(plain)
    opened(plain)
    assert found(plain.store.path) == []
    for number, (statement, expected) in enumerate(FLIPS.items()):
        copy = tmp_path / f"{number}.db"
        with closing(sqlite3.connect(plain.store.path)) as source, closing(sqlite3.connect(copy)) as altered:
            source.backup(altered)
            altered.execute(statement)
            altered.commit()
        assert any(expected in finding for finding in found(copy)), (statement, found(copy))


def test_a_shift_is_shown_as_it_stands_and_found_by_its_number(till: Till) -> None:
    """The open one is computed when somebody looks; a closed one is what was closed."""
    queries = ShiftQueries(till.settings)
    with pytest.raises(NotFound):
        queries.shift(None)
    first = opened(till)
    till.settle(till.fuelled(10_000))
    now = queries.shift(None)
    assert (now["state"], now["totals"]["sold_ml"], now["totals"]["settled"]) == ("open", 10_000, 1)
    close(till)
    opened(till)
    assert queries.shift("1")["totals"] == now["totals"]
    assert queries.shift(first["shift"][:24])["number"] == 1
    assert queries.shift(None)["number"] == 2
    with pytest.raises(NotFound):
        queries.shift("9")


def test_a_shift_that_nobody_closes_is_told(plain: Till) -> None:
    """After the configured time an alert stands until the shift is closed, over a restart too."""
    plain.settings = plain.settings.model_copy(update={"shift": ShiftSettings.model_validate({"open_max": "12h"})})
    plain.restart()
    opened(plain)
    plain.wait(12 * HOUR_S)
    assert alerts(plain) == []
    plain.restart(seconds=1)
    plain.wait(0)
    assert alerts(plain) == ["raised"]
    close(plain)
    plain.wait(1)
    assert alerts(plain) == ["raised", "cleared"]


def alerts(till: Till) -> list[str]:
    """Edges of the alert about shifts."""
    return [r["state"] for r in till.records("fc.device.alert.v1") if r["alert"] == "SHIFT_OPEN_LONG"]


def test_a_late_link_brings_its_points_to_the_shift_in_which_it_was_made(till: Till) -> None:
    """A supervisor's link of a settled sale grants points then; the sale keeps its own attendant."""
    opened(till)
    sale = till.sale()
    till.settle(sale)
    close(till)
    opened(till)
    till.wait(HOUR_S)
    till.link(sale, OTHER, AuthLevel.NUMBER)
    told = close(till)["totals"]
    assert (told["points_given"] > 0, told["late_links"], told["captured"]) == (True, 1, 0)


def test_head_office_lists_shifts_and_a_large_stations_rows_travel_in_parts(plain: Till, tmp_path: Path) -> None:
    """Opening and closing arrive as one shift; thirty attendants fit into no one record and arrive all the same."""
    opened(plain)
    for number in range(30):
        plain.sale(1_000, attendant=f"person-{number:02d}")
    shift = close(plain)
    opened(plain)
    parts = [r for r in plain.records("fc.shift.v1") if r["event"] == "attendants"]
    assert [(part["part"], part["parts"], len(part["rows"])) for part in parts] == [(1, 3, 12), (2, 3, 12), (3, 3, 6)]
    query = "SELECT body FROM journal WHERE stream = 'L' ORDER BY seq"
    stream = Stream(
        station=STATION,
        incarnation=plain.one("SELECT value FROM meta WHERE key = 'incarnation'"),
        raws=[bytes(row["body"]) for row in plain.rows(query)],
    )
    shutil.copy(template.template() / "hq.db", tmp_path / "hq.db")
    database = Database(tmp_path / "hq.db")
    for _ in range(2):
        ack = answered(ingest(database, stream.topic, stream.payload(1), NOW_MS))
        assert (ack.cum, ack.rejected) == (len(stream.raws), ())
    second, first = reports.shifts(database, station=None, limit=10)
    database.close()
    assert (second["number"], second["event"], second["sold_ml"]) == (2, "opened", None)
    told = {
        name: first[name] for name in ("shift", "event", "closed_at", "sales", "sold_ml", "gross_minor", "moved_ml")
    }
    assert told == {
        "shift": shift["shift"],
        "event": "closed",
        "closed_at": shift["closed_at"],
        "sales": 30,
        "sold_ml": 30_000,
        "gross_minor": 30 * 785,
        "moved_ml": None,
    }
