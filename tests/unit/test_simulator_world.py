"""The world of the simulator: customers, tanks, closing time, scans and the truth files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.simulator.config import (
    ConfigError,
    CustomerConfig,
    ReaderConfig,
    card_numbers,
    default_config,
    dump_config,
    load_config,
    with_luhn,
)
from drivers.simulator.faults import FaultBoard
from drivers.simulator.forecourt import Forecourt
from drivers.simulator.scanner import AIM_QR, Scanner
from drivers.simulator.truth import Truth
from tests.support.simulated import run_attended, run_out, truth_lines


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_default_day_is_busy_enough_for_a_demonstration(tmp_path: Path, seed: int) -> None:
    """In 400 simulated seconds 25 fuellings over four points are done and a tank falls below its low limit."""
    forecourt = Forecourt(default_config(tmp_path), seed=seed)
    run_attended(forecourt, 400)
    sales = [r for r in forecourt.truth.records if r["kind"] == "sale"]
    assert len(sales) >= 25
    assert {s["point"] for s in sales} == {1, 2, 3, 4}
    assert [r["tank"] for r in forecourt.truth.records if r["kind"] == "tank_low"] == [3]
    assert [r["what"] for r in forecourt.truth.records if r["kind"] == "delivery"] == ["start", "end"]


def test_nobody_comes_before_the_first_poll_and_nobody_after_closing(tmp_path: Path) -> None:
    """Customers wait for a station that polls, and stay away when it has closed."""
    forecourt = Forecourt(default_config(tmp_path), seed=1)
    forecourt.step(60_000)
    assert not any(head.nozzle_out for head in forecourt.world.heads.values())
    run_attended(forecourt, 120)
    run_out(forecourt)
    sales = forecourt.truth.sales
    run_attended(forecourt, 120)
    assert forecourt.quiet
    assert forecourt.truth.sales == sales > 0


def test_unanswered_customers_hang_up_and_try_again(tmp_path: Path) -> None:
    """A station that does not authorise sells nothing; every visit is a zero lift."""
    forecourt = Forecourt(default_config(tmp_path), seed=1)
    for head in forecourt.world.heads.values():
        head.contacted = True
    forecourt.step(400_000)
    assert forecourt.truth.sales == 0
    assert forecourt.truth.zero_lifts >= 8


def test_authorised_pump_goes_on_without_the_agent(tmp_path: Path) -> None:
    """Once authorised a fuelling runs to its end although nobody polls."""
    forecourt = Forecourt(default_config(tmp_path), seed=1)
    for now_ms in range(100, 200_000, 100):
        forecourt.step(now_ms)
        for head in forecourt.world.heads.values():
            head.contacted = True
            if head.number == 1 and head.nozzle_out and not forecourt.truth.sales:
                head.command(0x05)
                head.command(0x06)
        if forecourt.truth.sales:
            break
    assert forecourt.truth.sales == 1


def test_members_scan_first_during_and_after_and_roaming_readers_name_the_point(tmp_path: Path) -> None:
    """All three habits occur; a control code stands before each card of the roaming reader; wrong codes happen."""
    config = default_config(tmp_path)
    forecourt = Forecourt(config, seed=2)
    run_attended(forecourt, 900)
    chunks = forecourt.typed()
    scans = [r for r in forecourt.truth.records if r["kind"] == "scan"]
    cards = [s for s in scans if s["what"] == "card"]
    assert {s["when"] for s in cards} == {"first", "during", "after"}
    assert {s["text"] for s in cards} <= set(config.cards)
    assert {s["what"] for s in scans} >= {"card", "control", "payment", "unknown"}
    assert all(s["text"] not in config.cards for s in scans if s["what"] in {"payment", "unknown"})
    roaming = [s for s in scans if s["reader"] == "reader-roaming" and s["what"] in {"card", "control"}]
    assert all(a["text"] == f"FP:{b['point']}" for a, b in zip(roaming[::2], roaming[1::2], strict=True))
    assert chunks == [(s["reader"], s["text"].encode() + b"\r\n") for s in scans]


def test_card_numbers_are_luhn_valid_and_distinct() -> None:
    """Sixteen digits, first digit 9; the published check digits come out."""
    assert (with_luhn("7992739871")[-1], with_luhn("915600001234567")[-1]) == ("3", "7")
    cards = card_numbers(40)
    assert len(set(cards)) == 40
    assert all(len(card) == 16 and card[0] == "9" and with_luhn(card[:-1]) == card for card in cards)


def test_scanner_habits() -> None:
    """Preamble, AIM id, terminator, double reads and single bytes as configured."""
    config = ReaderConfig("r", (1,), terminator="\n", preamble="<", double_read=True)
    assert Scanner(config, FaultBoard(1)).type_text("FP:3", aim=AIM_QR) == [b"<]Q1FP:3\n<]Q1FP:3\n"]
    slow = dataclasses.replace(config, one_byte_at_a_time=True, double_read=False)
    assert Scanner(slow, FaultBoard(1)).type_text("A") == [b"<", b"A", b"\n"]


def test_truth_files_are_whole_at_any_moment(tmp_path: Path) -> None:
    """After every sale the summary equals the sum of the lines; the summary is never half written."""
    forecourt = Forecourt(default_config(tmp_path), seed=1, truth_dir=tmp_path)
    for _ in range(20):
        run_attended(forecourt, 10)
        sales = truth_lines(tmp_path, "sale")
        summary = json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))
        assert summary["sales"] == len(sales)
        assert (
            summary["volume_ml"]
            == sum(s["volume_ml"] for s in sales)
            == sum(n["volume_ml"] for n in summary["nozzles"])
        )
        assert summary["amount_minor"] == sum(s["amount_minor"] for s in sales)
    assert summary["sales"] > 5
    assert [s["n"] for s in sales] == list(range(1, len(sales) + 1))
    assert not (tmp_path / "truth.json.tmp").exists()


def test_truth_without_a_directory_stays_in_memory() -> None:
    """Records and sums are there without any file."""
    truth = Truth()
    truth.nozzle(1, 1, 100)
    truth.sale(5, point=1, nozzle=1, volume_ml=10, amount_minor=8, totalizer_end=101)
    truth.write_summary()
    assert truth.summary()["nozzles"] == [
        {
            "point": 1,
            "nozzle": 1,
            "totalizer_start": 100,
            "totalizer": 101,
            "sales": 1,
            "volume_ml": 10,
            "amount_minor": 8,
        }
    ]


def test_config_survives_json(tmp_path: Path) -> None:
    """What is dumped is read back equal; what is missing takes the default."""
    config = default_config(tmp_path, cards=("9156000000000011",))
    path = tmp_path / "config.json"
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(path) == config
    data = json.loads(dump_config(config))
    del data["customers"]
    path.write_text(json.dumps(data), encoding="utf-8")
    assert load_config(path).customers == CustomerConfig()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(spede=1), "unknown key 'spede'"),
        (lambda d: d.pop("tanks"), "tanks is missing"),
        (lambda d: d["lines"][0]["points"][0].update(address=10), "must be 80..111"),
        (lambda d: d["lines"][0]["points"][0].update(number="1"), r"points\[0\]\.number: must be int, not str"),
        (lambda d: d["lines"][0]["points"][1].update(address=80), "address on line island-1 80 is used twice"),
        (lambda d: d["lines"][0]["points"][0]["nozzles"][0].update(tank=9), "tank 9 does not exist"),
        (lambda d: d["readers"][0].update(points=[7]), "must name existing fuelling points"),
        (lambda d: d["deliveries"][0].update(tank=9), "no such tank"),
    ],
)
def test_config_errors_name_the_place(tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str) -> None:
    """A wrong configuration is refused with the place and what to do."""
    data = json.loads(dump_config(default_config(tmp_path)))
    change(data)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_config_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    """A missing file and broken JSON."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="not JSON"):
        load_config(tmp_path / "bad.json")
