"""A station's tanks: strapping files are checked with the station file, and readings become stock that people see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli import application
from agent.domain.wetstock.stock import Stock
from agent.domain.wetstock.strapping import read_csv
from agent.pipeline import stock
from agent.settings import Settings
from drivers.readings import Quality, TankReading
from tests.support.station import VirtualStation
from tests.support.station_file import STATION, changed, faults, loaded
from tests.support.station_settings import Plan

TANK = 'capacity_l = "30000"'


def held(settings: Settings, reading: TankReading) -> Stock:
    """What a reading of the first tank means."""
    return stock.of_reading(settings, settings.tank[0], reading)


def test_a_tank_with_a_table_knows_its_volume_from_the_height(tmp_path: Path) -> None:
    """The gauge tells heights only; product, water and the volume at 15 C come from table and density."""
    table = tmp_path / "tank.csv"
    table.write_text("height_mm;volume_l\n0;0\n1000;12000\n2500;30000\n", encoding="utf-8")
    text = changed((TANK, f'{TANK}\nstrapping_file = "{table}"\ndensity_kg_m3 = "745"'))
    settings = loaded(tmp_path, text)
    told = TankReading("tls", 1, Quality.GOOD, height_um=1_000_000, water_height_um=10_000, temperature_mdegc=25_000)
    found = held(settings, told)
    assert (found.gross_ml, found.water_ml, found.net_ml) == (12_000_000, 120_000, 11_880_000)
    assert (found.reference_ml, found.tc_method, found.factor) == (11_735_420, "54B", 98_783)
    assert found.flags == ()


def test_every_fault_of_a_strapping_file_is_told_with_the_station_file(tmp_path: Path) -> None:
    """With the line of the file, at the key that names it; a file that is not there too."""
    table = tmp_path / "tank.csv"
    table.write_text("0;0\n1000;12000\n900;30000\nx;y\n", encoding="utf-8")
    found = faults(tmp_path, changed((TANK, f'{TANK}\nstrapping_file = "{table}"')))
    assert [fault.key for fault in found] == ["tank[1].strapping_file"] * 2
    assert f"{table}:3: heights must increase strictly" in found[0].problem
    assert f"{table}:4: 'x;y'" in found[1].problem
    (gone,) = faults(tmp_path, changed((TANK, f'{TANK}\nstrapping_file = "{table}.old"')))
    assert "cannot be read" in gone.problem


def test_a_shape_that_no_tank_has_is_refused(tmp_path: Path) -> None:
    """Dished ends without a depth."""
    text = changed((TANK, f'{TANK}\nshape = {{diameter_mm = 2500, length_mm = 6000, ends = "dished"}}'))
    (fault,) = faults(tmp_path, text)
    assert fault.key == "tank[1].shape"


def test_an_assumed_density_is_named(tmp_path: Path) -> None:
    """The grade's usual density serves until somebody writes the delivered one."""
    text = changed(('unit_price = "7.85"', 'unit_price = "7.85"\ndensity_kg_m3 = "745"'))
    told = TankReading("tls", 1, Quality.GOOD, volume_ml=1_000_000, water_volume_ml=0, temperature_mdegc=25_000)
    assert held(loaded(tmp_path, text), told).flags == ("density_assumed",)
    assert held(loaded(tmp_path, STATION), told).reference_ml is None


@pytest.mark.parametrize("as_json", [False, True])
def test_a_table_can_be_checked_before_a_tank_names_it(tmp_path: Path, as_json: bool) -> None:
    """`forecourt tanks chart`: what it holds and 0, or all its faults and 1."""
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("0;0\n1000;12000\n", encoding="utf-8")
    bad.write_text("0;0\n1000;12000\n900;1\n", encoding="utf-8")
    extra = ["--json"] if as_json else []
    told = CliRunner().invoke(application(), ["tanks", "chart", str(good), "--capacity", "12000", *extra])
    assert told.exit_code == 0
    if as_json:
        value = json.loads(told.output)
        assert (value["points"], value["full_ml"], value["problems"], value["coarse"]) == (2, 12_000_000, [], True)
        assert value["tenths"][5] == {"height_um": 500_000, "volume_ml": 6_000_000}
    else:
        assert "2 points" in told.output
        assert "6,000.0" in told.output or "6000.0" in told.output
    refused = CliRunner().invoke(application(), ["tanks", "chart", str(bad), *extra])
    assert refused.exit_code == 1
    assert "bad.csv:3: heights must increase strictly" in refused.output.replace("\n", "")


def test_the_example_of_the_page_is_computed(tmp_path: Path) -> None:
    """docs/tank-volume.md shows what the functions say."""
    page = (Path(__file__).parents[2] / "docs" / "tank-volume.md").read_text(encoding="utf-8")
    table = tmp_path / "tank.csv"
    table.write_text("0;0\n1000;12000\n2500;30000\n", encoding="utf-8")
    settings = loaded(tmp_path, changed((TANK, f'{TANK}\nstrapping_file = "{table}"\ndensity_kg_m3 = "745"')))
    told = TankReading("tls", 1, Quality.GOOD, height_um=1_000_000, water_height_um=10_000, temperature_mdegc=25_000)
    found = held(settings, told)
    assert found.factor is not None
    for step, value in (
        ("volume from the table", found.gross_ml),
        ("water at 10 mm", found.water_ml),
        ("product", found.net_ml),
        ("product at 15 C", found.reference_ml),
    ):
        assert value is not None
        assert f"| {step} | {value // 1000}.{value % 1000:03d} L |" in page
    assert f"| 0.{found.factor} |" in page


def test_a_new_table_is_audited_once(tmp_path: Path) -> None:
    """At the first start with it, not at the next, and again when it changes or goes."""
    station = VirtualStation(1, tmp_path, Plan(has_head_office=False))
    hashes = []
    for last in (12_000, 12_000, 12_001):
        table, _ = read_csv(f"0;0\n1000;{last}\n")
        assert table is not None
        hashes.append(table.sha256)
        station.crash()
        station.settings = station.settings.model_copy(update={"tables": {1: table}})
        station.start()
    told = [json.loads(row["body"])["data"] for row in station.rows("SELECT body FROM journal ORDER BY seq")]
    station.close()
    reasons = [body["reason"] for body in told if body.get("action") == "strapping_table"]
    assert reasons == [f"sha256 {hashes[0]}", f"sha256 {hashes[2]}"]


def test_a_register_map_is_audited_by_name_version_and_hash(tmp_path: Path) -> None:
    """Whoever asks later which map made a number finds it; the same map at the next start is no news."""
    station = VirtualStation(1, tmp_path, Plan(has_head_office=False))
    line = station.settings.line[0]
    gauge = line.model_copy(
        update={
            "id": "meters",
            "protocol": "modbus-gauge",
            "options": {"map": "pneumercator-tms", "values": {"units": "metric"}},
        }
    )
    for lines in ((*station.settings.line, gauge),) * 2:
        station.crash()
        station.settings = station.settings.model_copy(update={"line": lines})
        station.start()
    told = [json.loads(row["body"])["data"] for row in station.rows("SELECT body FROM journal ORDER BY seq")]
    station.close()
    (audited,) = [body for body in told if body.get("action") == "register_map"]
    assert audited["object"] == "line meters"
    assert audited["reason"].startswith("pneumercator-tms version 1 sha256 ")
