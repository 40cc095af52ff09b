"""H-protocol, PD-3 and SENS as gauges: every open point of their texts, doubts, late and damaged answers, one dead tank."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.settings import SettingsError, load
from drivers import registry
from drivers.collecting import Collecting
from drivers.config import LineConfig
from drivers.errors import WiringError
from drivers.h_protocol import codec as h
from drivers.readings import DeviceStatus, GaugeAlarms, GaugeHistory, Quality, TankReading
from drivers.simulator.pd3_gauge import Pd3Gauge
from drivers.turns import Pace
from tests.support.small_gauges import SIMULATED, Stand
from tests.support.wire import flipped, lost

GAUGES = ("h-protocol", "sens-pmp")
STATION = Path(__file__).parents[2] / "config" / "station.example.toml"


@pytest.mark.parametrize("protocol", SIMULATED)
def test_a_line_is_refused_until_the_station_accepts_the_experiment(protocol: str) -> None:
    """By its options and by its devices; the hint says what to write."""
    driver = registry.spec(protocol)
    for options in ({}, {"experimental": False}):
        ((key, _, hint),) = driver.check_options(options)
        assert (key, "experimental = true" in hint) == ("experimental", True)
        with pytest.raises(WiringError, match="experimental") as error:
            driver.make_devices(LineConfig("tanks", "/dev/null", protocol, options=options))
        assert "experimental = true" in error.value.hint
    assert driver.check_options({"experimental": True}) == []


@pytest.mark.parametrize("protocol", SIMULATED)
def test_a_station_file_without_the_acceptance_does_not_load(protocol: str, tmp_path: Path) -> None:
    """Nothing starts, and the message names the option; with it the same file is sound."""
    text = STATION.read_text(encoding="utf-8").replace('protocol = "veeder-root"', f'protocol = "{protocol}"')
    file = tmp_path / "station.toml"
    file.write_text(text.replace("\nunits = 2 ", "\n"), encoding="utf-8")
    with pytest.raises(SettingsError, match="experimental"):
        load(file)
    file.write_text(text.replace("\nunits = 2 ", "\nexperimental = true "), encoding="utf-8")
    assert protocol in {line.protocol for line in load(file).line}


@pytest.mark.parametrize(
    ("options", "switches", "counter"),
    [
        ({}, {}, "checksum_without_at"),
        ({"id_digits": 1}, {"digits": 1}, "checksum_without_at"),
        ({}, {"check": "with"}, "checksum_with_at"),
    ],
    ids=["as-written", "one-digit", "checksum-with-separators"],
)
def test_an_h_gauge_is_read_whichever_way_its_text_is_meant(
    options: dict[str, object], switches: dict[str, Any], counter: str
) -> None:
    """Volume, level and temperature of every tank; which checksum it had is counted."""
    stand = Stand("h-protocol", {**options, "ullage": True, "water_unit": "mm"}, **switches)
    for number, tank in stand.tanks.items():
        reading = stand.next(TankReading, number)
        assert (reading.quality, reading.doubts) == (Quality.GOOD, ("experimental",))
        assert (reading.volume_ml, reading.temperature_mdegc) == (tank.volume_ml, tank.temperature_mdegc)
        assert reading.ullage_ml == tank.config.full_ml - tank.volume_ml
        assert reading.height_um is not None
        assert abs(reading.height_um - tank.height_um(tank.volume_ml)) <= 5
        assert reading.water_height_um == tank.water_um
    assert stand.counted(counter) == len(stand.port.sent)


def test_an_emulator_is_refused_until_its_missing_checksum_is_accepted() -> None:
    """Then its volume is told as unchecked, and its zeros as unknown."""
    refused = Stand("h-protocol", check="zero")
    assert refused.next(DeviceStatus).device == "line:tanks"
    assert not refused.next(DeviceStatus).online
    assert refused.counted("frames_rejected.unchecked") > 0
    stand = Stand("h-protocol", {"unchecked": True, "water_unit": "mm"}, check="zero")
    reading = stand.next(TankReading, 2)
    assert reading.volume_ml == stand.tanks[2].volume_ml
    assert (reading.quality, reading.doubts) == (Quality.DISPLAY, ("experimental", "unchecked"))
    assert (reading.temperature_mdegc, reading.water_height_um) == (None, None)


@pytest.mark.parametrize(
    ("unit", "volume_ml"), [("l", 18_400_000), ("0.1l", 1_840_000), ("us_gal", 69_651_577), ("imp_gal", 83_648_056)]
)
def test_the_station_says_what_the_digits_of_an_h_gauge_are(unit: str, volume_ml: int) -> None:
    """The reply does not: 18400 of them are in tank 1. Water is unknown until somebody says what its digits are."""
    reading = Stand("h-protocol", {"volume_unit": unit, "level_unit": "ignore"}).next(TankReading, 1)
    assert reading.volume_ml == volume_ml
    assert (reading.height_um, reading.water_height_um) == (None, None)


def test_a_tank_that_the_gauge_complains_about_is_no_reading() -> None:
    """With the gauge's own code, and only that tank."""
    stand = Stand("h-protocol")
    stand.board.inject("probe-out", 2, for_s=0)
    broken = stand.next(TankReading, 2)
    assert (broken.quality, broken.volume_ml) == (Quality.NO_READING, None)
    assert broken.doubts == ("experimental", "error 3 of the gauge")
    assert stand.next(TankReading, 3).quality is Quality.GOOD


@pytest.mark.parametrize("length", ["whole", "after", "parameters", "one"])
def test_probes_are_read_whatever_their_length_byte_counts(length: str) -> None:
    """By default it is not looked at; where the station names one meaning, any other is refused."""
    stand = Stand("sens-pmp", {"water_unit": "m"}, length=length)
    tank = stand.tanks[1]
    reading = stand.next(TankReading, 1)
    assert reading.quality is Quality.GOOD
    for told, true, step in (
        (reading.volume_ml, tank.volume_ml, 500),
        (reading.height_um, tank.height_um(tank.volume_ml), 62),
        (reading.water_height_um, tank.water_um, 1),
        (reading.temperature_mdegc, tank.temperature_mdegc, 1),
    ):
        assert told is not None
        assert abs(told - true) <= step
    named = Stand("sens-pmp", {"length": "whole"}, length=length)
    assert named.next(DeviceStatus).online
    assert named.next(DeviceStatus).online is (length == "whole")
    assert (named.counted("frames_rejected.length") > 0) is (length != "whole")


@pytest.mark.parametrize("stride", [10, 9])
def test_records_of_a_pd3_are_history_and_nothing_else(stride: int) -> None:
    """Told with the gauge's time when they change, never as an alarm; each tank is told to have no reading."""
    stand = Stand("aoke-pd3", stride=stride)
    gauge = stand.gauge
    assert isinstance(gauge, Pd3Gauge)
    assert stand.next(GaugeHistory).events == ()
    stand.tanks[2].water_um = 60_000
    (event,) = stand.next(GaugeHistory).events
    assert (event.device, event.number, event.state, event.text) == (2, 14, "", "high-water alarm")
    assert event.time == gauge.records[0][1].isoformat()
    stand.turns(120)
    assert len([reading for reading in stand.seen if isinstance(reading, GaugeHistory)]) == 2
    assert not [reading for reading in stand.seen if isinstance(reading, GaugeAlarms)]
    told = [reading for reading in stand.seen if isinstance(reading, TankReading)]
    assert {(reading.gauge_index, reading.quality, reading.volume_ml) for reading in told} == {
        (tank, Quality.NO_READING, None) for tank in (1, 2, 3)
    }
    assert stand.counted(f"records_of_{stride}_bytes") > 0


@pytest.mark.parametrize("protocol", GAUGES)
def test_a_dead_tank_is_told_as_such_and_does_not_hold_up_the_others(protocol: str) -> None:
    """Three silent questions, then one in each look; it counts again as soon as it answers."""
    stand = Stand(protocol, tanks=(1, 2, 3, 4))
    missing = stand.next(TankReading, 4)
    assert (missing.quality, missing.doubts) == (Quality.NO_READING, ("experimental", "no answer"))
    asked = stand.counted("silent_polls")
    assert asked == 3
    stand.next(TankReading, 4)
    assert stand.counted("silent_polls") == asked + 1
    assert [news.online for news in stand.seen if isinstance(news, DeviceStatus)] == [True, True]
    stand.tanks[4] = stand.tanks[1]
    assert stand.next(TankReading, 4).quality is Quality.GOOD


def test_a_gauge_with_no_tank_answering_is_offline_soon() -> None:
    """The first tank is asked three times, the others once: three tanks in less than a minute."""
    stand = Stand("h-protocol")
    stand.next(TankReading, 3)
    stand.board.inject("gauge-silent", "gauge", for_s=0)
    began_s, began = stand.port.now_s, stand.counted("silent_polls")
    assert not stand.next(DeviceStatus).online
    assert stand.port.now_s - began_s < 30 + 5 * 8 + 1
    assert stand.counted("silent_polls") - began == 5


def test_a_bad_frame_is_asked_again_once() -> None:
    """And its values are never used."""
    stand = Stand("h-protocol")
    stand.port.fault(flipped(5))
    assert stand.next(TankReading, 1).volume_ml == stand.tanks[1].volume_ml
    assert stand.counted("frames_rejected.checksum") == 1
    for _ in range(2):
        stand.port.fault(flipped(5))
    assert stand.next(TankReading, 2).doubts == ("experimental", "no intact answer")


@pytest.mark.parametrize("after_s", [3.1, 4.2, 5.0, 6.5, 7.9])
@pytest.mark.parametrize("one_in", [1, 2, 5])
def test_a_late_answer_is_not_taken_for_another_tank(after_s: float, one_in: int) -> None:
    """A reply names neither tank nor question: what comes within window and rest is thrown away."""
    stand = Stand("h-protocol", {"poll_interval": "5s"})
    rng = random.Random(one_in)
    stand.port.through = lambda _question, reply: [(0.0 if rng.randrange(one_in) else after_s, reply)]
    stand.turns(240)
    told = [reading for reading in stand.seen if isinstance(reading, TankReading) and reading.volume_ml is not None]
    for reading in told:
        tank = stand.tanks[reading.gauge_index]
        assert reading.volume_ml == tank.volume_ml
        assert reading.height_um is not None
        assert abs(reading.height_um - tank.height_um(tank.volume_ml)) <= 5
    assert stand.counted("frames_rejected.late") > 0
    assert told or one_in == 1
    stand.port.through = None
    stand.until(lambda: stand.next(TankReading, 2).quality is Quality.GOOD)


def test_after_a_silence_the_wire_rests() -> None:
    """Nobody is asked before the window and the rest are over."""
    stand = Stand("h-protocol", {"rest": "2s"})
    stand.port.fault(lost)
    stand.next(TankReading, 1)
    (first, _), (second, _), *_ = stand.port.sent
    assert second - first >= 3.0 + 2.0


def test_of_two_answers_at_once_the_later_one_is_that_of_the_question() -> None:
    """The other one was on its way before."""
    stand = Stand("h-protocol")
    stand.port.peer = lambda question: stand.gauge.receive(b"$B01\r\n") + stand.gauge.receive(question)
    answer = Collecting(h.replies, Pace(1200, 10, 0.0, 1.0, 1.0, 0.1)).ask(stand.port, h.encode(h.Asks.VOLUME, 2))
    assert isinstance(answer, h.Reply)
    assert int(answer.data) * 1_000 == stand.tanks[2].volume_ml


def exchanged(reply: bytes) -> list[tuple[float, bytes]]:
    """Two digits of the data change places: no XOR sees it."""
    return [(0.0, reply[:2] + reply[3:4] + reply[2:3] + reply[4:])]


def test_digits_that_changed_places_in_one_answer_do_not_count() -> None:
    """The checksum still fits, so every question is asked twice, and a third time where the two differ."""
    stand = Stand("h-protocol")
    stand.port.fault(exchanged)
    reading = stand.next(TankReading, 1)
    assert reading.volume_ml == stand.tanks[1].volume_ml
    assert sum(data == b"$B01\r\n" for _, data in stand.port.sent) == 3
    assert stand.counted("checksum_without_at") == len(stand.port.sent)


def test_a_volume_that_cannot_be_is_suspect() -> None:
    """It stays visible with its reason and the label; the next true one counts again."""
    stand = Stand("sens-pmp")
    stand.next(TankReading, 1)
    stand.tanks[1].volume_ml -= 9_000_000
    reading = stand.next(TankReading, 1)
    assert (reading.quality, reading.doubts) == (Quality.SUSPECT, ("experimental", "volume falls too fast"))
    stand.tanks[1].volume_ml += 9_000_000
    assert stand.next(TankReading, 1).quality is Quality.GOOD


def test_after_a_lost_answer_the_same_tank_is_asked_again() -> None:
    """One silence is no news."""
    stand = Stand("sens-pmp")
    stand.port.fault(lost)
    assert stand.next(TankReading, 1).quality is Quality.GOOD
    assert stand.counted("silent_polls") == 1


@pytest.mark.parametrize(("protocol", "tank"), [("h-protocol", 100), ("sens-pmp", 256)])
def test_a_tank_number_that_cannot_be_asked_is_a_fault_of_the_line(protocol: str, tank: int) -> None:
    """Told before any port is opened."""
    config = LineConfig("tanks", "/dev/null", protocol, options={"experimental": True}, tanks=(tank,))
    with pytest.raises(WiringError) as error:
        registry.spec(protocol).make_devices(config)
    assert "gauge_index" in error.value.hint
    registry.spec(protocol).make_devices(replace(config, tanks=(9,)))
