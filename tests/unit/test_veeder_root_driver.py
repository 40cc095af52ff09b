"""The TLS gauge through a scripted console on a virtual clock: identifying, polling, silence, changed units."""

from __future__ import annotations

import pytest

from drivers.commands import ConfirmUnits
from drivers.readings import (
    CommandResult,
    DeviceStatus,
    GaugeAlarm,
    GaugeAlarms,
    GaugeLimits,
    GaugeUnits,
    Quality,
    TankReading,
)
from tests.support.tls_console import ConsolePort, gauge, inventory, of, reply, run, tank


def test_a_console_is_identified_and_polled() -> None:
    """Units, alarms, inventory, then online with good readings; limits once."""
    port, device = ConsolePort(), gauge()
    readings = run(device, port, 65)
    assert port.raw[0] == b"\x1b"
    assert port.asked[:4] == ["i51700", "i10100", "i20500", "i20100"]
    assert of(GaugeUnits, readings) == [GaugeUnits("gauge:tanks", 2, changed=False, language=15)]
    assert of(DeviceStatus, readings) == [DeviceStatus("gauge:tanks", online=True)]
    assert readings.index(of(DeviceStatus, readings)[0]) < readings.index(of(TankReading, readings)[0])
    assert port.asked.count("i20100") == 3
    assert (tank(readings).quality, tank(readings).volume_ml) == (Quality.GOOD, 5_000_000)
    assert of(GaugeLimits, readings) == [
        GaugeLimits(
            "gauge:tanks", 1, "SUPER", 20_000_000, (("low_product", 1_000_000), ("high_water_warning_um", 50_000))
        ),
        GaugeLimits("gauge:tanks", 2, "DIESEL", 20_000_000, (("low_product", 1_500_000),)),
    ]


def test_it_is_online_well_within_five_seconds() -> None:
    """From an open port to the first readings takes one drain and four questions."""
    port, device = ConsolePort(), gauge()
    readings = run(device, port, 1.0)
    assert of(DeviceStatus, readings) == [DeviceStatus("gauge:tanks", online=True)]


@pytest.mark.parametrize("charts", [True, False])
def test_a_console_that_has_told_all_is_left_alone_until_the_next_poll(charts: bool) -> None:
    """What it is not asked for is not due: the driver says when it wants the wire again instead of turning idly."""
    port, device = ConsolePort(), gauge(charts=charts)
    run(device, port, 20.0)
    assert device.due_in_s() > 1.0


def test_every_byte_written_is_an_inquiry_or_esc() -> None:
    """Over a day with all functions due nothing but i questions, I questions and ESC leaves the driver."""
    port, device = ConsolePort(), gauge(poll_s="20min")
    run(device, port, 25 * 3600)
    assert all(data == b"\x1b" or data[:2] in (b"\x01i", b"\x01I") for data in port.raw)
    assert port.asked.count("i60400") == 2
    assert port.asked.count("i51700") == 25


def test_a_running_delivery_is_polled_faster() -> None:
    """While status bit 1 is set the inventory comes every 10 s instead of every 30 s."""
    port, device = ConsolePort(), gauge()
    port.volumes(5000, 6000, status=1)
    readings = run(device, port, 61)
    assert port.asked.count("i20100") == 7
    assert tank(readings).delivery_in_progress is True


def test_standing_alarms_are_a_level() -> None:
    """Tank alarms come from 205, others from 101; what is only unacknowledged at a tank is not standing."""
    port, device = ConsolePort(), gauge()
    port.answers["i20500"] = reply("i20500", "0100" + "020105")
    port.answers["i10100"] = reply("i10100", "010400" + "020401")
    readings = run(device, port, 1)
    expected = (GaugeAlarm(1, 4, 0, "battery_off"), GaugeAlarm(2, 5, 2, "low_product_alarm"))
    assert of(GaugeAlarms, readings)[-1] == GaugeAlarms("gauge:tanks", expected)


def test_a_probe_out_alarm_voids_the_level_at_once() -> None:
    """205 comes before 201, so a lost probe never shows as a good level."""
    port, device = ConsolePort(), gauge()
    port.answers["i20500"] = reply("i20500", "010109" + "0200")
    readings = run(device, port, 1)
    assert (tank(readings).quality, tank(readings).doubts) == (Quality.NO_READING, ("probe out",))
    assert tank(readings, 2).quality is Quality.GOOD


def test_without_205_the_alarms_come_from_101() -> None:
    """A console that does not know 205 still voids the level of a lost probe."""
    port, device = ConsolePort(), gauge()
    del port.answers["i20500"]
    port.answers["i10100"] = reply("i10100", "020901")
    readings = run(device, port, 10)
    assert of(GaugeAlarms, readings)[-1].alarms == (GaugeAlarm(2, 9, 1, "probe_out"),)
    assert tank(readings).quality is Quality.NO_READING


def test_a_console_without_alarm_reports_does_not_claim_that_none_stands() -> None:
    """Where neither 101 nor 205 is known there is no alarm level at all, not an empty one."""
    port, device = ConsolePort(), gauge()
    del port.answers["i20500"], port.answers["i10100"]
    readings = run(device, port, 10)
    assert of(GaugeAlarms, readings) == []
    assert tank(readings).quality is Quality.GOOD


def test_alarms_asked_tank_by_tank_are_told_when_all_are_known() -> None:
    """A level is never told half: the alarms of all tanks come together, with the inventory."""
    port, device = ConsolePort(), gauge()
    del port.answers["i20500"]
    port.answers["i20501"] = reply("i20501", "010105")
    port.answers["i20502"] = reply("i20502", "020104")
    levels = of(GaugeAlarms, run(device, port, 40))
    assert {alarm.device for alarm in levels[0].alarms} == {1, 2}


def test_a_configured_tank_that_is_left_out_has_no_reading() -> None:
    """Tanks are identified by number; a missing one is said to be missing."""
    port, device = ConsolePort(), gauge()
    port.answers["i20100"] = reply("i20100", inventory(2, 6000) + inventory(7, 100))
    readings = run(device, port, 1)
    assert tank(readings).doubts == ("tank missing from the reply",)
    assert {reading.gauge_index for reading in of(TankReading, readings)} == {1, 2}


def test_an_impossible_reading_is_suspect_and_the_next_good_one_is_good() -> None:
    """A spike is not trusted, and what follows is compared with the last trusted value."""
    port, device = ConsolePort(), gauge()
    run(device, port, 31)
    port.volumes(19000, 6000)
    spike = tank(run(device, port, 30))
    assert (spike.quality, spike.doubts) == (Quality.SUSPECT, ("volume rises too fast",))
    port.volumes(4990, 6000)
    assert tank(run(device, port, 30)).quality is Quality.GOOD


def test_time_scale_allows_a_faster_world() -> None:
    """The same rise is believed where the simulated world runs faster than the wire."""
    port, device = ConsolePort(), gauge(time_scale=20)
    run(device, port, 31)
    port.volumes(19000, 6000)
    assert tank(run(device, port, 30)).quality is Quality.GOOD


def test_silence_is_reported_once_with_a_hint() -> None:
    """Three questions without an answer: one report, naming code, settings and cable; then the ladder."""
    port, device = ConsolePort(), gauge()
    port.default, port.answers = b"", {}
    readings = run(device, port, 120)
    (status,) = of(DeviceStatus, readings)
    assert (status.online, status.reason) == (False, "no answer")
    assert "security code" in status.hint
    assert "another host" in status.hint
    # 3 tries with 1 s and 2 s between, then 5, 10, 30 s after the 5 s of waiting of each
    assert len(port.asked) == 6


def test_a_silent_console_comes_back_by_itself() -> None:
    """After an outage the units are read again first, and the return is reported with its gap."""
    port, device = ConsolePort(), gauge()
    run(device, port, 5)
    answers, port.answers, port.default = port.answers, {}, b""
    assert [status.online for status in of(DeviceStatus, run(device, port, 60))] == [False]
    port.answers, port.asked = answers, []
    readings = run(device, port, 70)
    assert of(DeviceStatus, readings) == [DeviceStatus("gauge:tanks", online=True, gap=True)]
    assert port.asked[0] == "i51700"


def test_the_ladder_can_be_shortened() -> None:
    """A demonstration probes a silent console as often as it likes."""
    port, device = ConsolePort(), gauge(retry_ladder=["500ms"], first_byte_s="200ms", retry_pauses=["100ms"])
    port.default, port.answers = b"", {}
    run(device, port, 10)
    assert len(port.asked) > 10


def test_refused_frames_end_in_a_report_of_their_own() -> None:
    """A line full of wrong checksums is not called silent, and the refusals are counted."""
    port, device = ConsolePort(), gauge()
    port.script = lambda question: b"\x01" + question.encode() + b"2611211530215&&0000\x03"
    readings = run(device, port, 10)
    (status,) = of(DeviceStatus, readings)
    assert status.reason == "reply refused: checksum"
    assert "parity" in status.hint
    assert device.counters()["frames_rejected.checksum"] >= 3


def test_one_bad_frame_is_asked_again() -> None:
    """After one refused frame the same question is put again and nothing is reported."""
    port, device = ConsolePort(), gauge()
    bad = iter([b"\x01i51700garbage"])
    port.script = lambda question: next(bad, None) if question == "i51700" else None
    readings = run(device, port, 5)
    assert [status.online for status in of(DeviceStatus, readings)] == [True]
    assert port.asked[:2] == ["i51700", "i51700"]
    assert device.counters() == {"frames_rejected.truncated": 1}


def test_a_late_answer_to_another_question_is_set_aside() -> None:
    """An intact frame with a foreign echo is counted, not used, and the right answer is still taken."""
    port, device = ConsolePort(), gauge()
    port.script = lambda question: reply("i20100", inventory(1, 1)) if question == "i51700" else None
    port.late(1.0, reply("i51700", "101"))
    readings = run(device, port, 5)
    assert of(GaugeUnits, readings)[0].unit_system == 1
    assert device.counters()["frames_rejected.echo"] == 1


def test_a_long_reply_in_pieces_is_waited_for() -> None:
    """Pieces that come within the idle time make one reply, however long it takes in all."""
    port, device = ConsolePort(), gauge()
    whole = port.answers["i20100"]

    def in_pieces(question: str) -> bytes | None:
        if question != "i20100":
            return None
        for at in range(0, len(whole), 10):
            port.late(0.3 + 0.09 * at, whole[at : at + 10])
        return b""

    port.script = in_pieces
    readings = run(device, port, 20)
    assert tank(readings).volume_ml == 5_000_000
    assert device.counters() == {}


def test_changed_units_hold_every_reading_until_a_person_confirms() -> None:
    """Said once; no value in between; limits and readings again after the command."""
    port, device = ConsolePort(), gauge(units_s=60)
    run(device, port, 31)
    port.answers["i51700"] = reply("i51700", "101")
    readings = run(device, port, 120)
    assert of(GaugeUnits, readings) == [GaugeUnits("gauge:tanks", 1, changed=True, language=1)]
    assert (tank(readings).quality, tank(readings).doubts) == (Quality.NO_READING, ("units changed",))
    assert tank(readings).volume_ml is None
    device.submit(ConfirmUnits("c1", "tanks"))
    assert device.due_in_s() == 0
    readings = run(device, port, 40)
    assert of(CommandResult, readings)[0].outcome == "APPLIED"
    assert of(GaugeUnits, readings) == [GaugeUnits("gauge:tanks", 1)]
    assert of(GaugeLimits, readings)[0].full_volume_ml == 75_708_236
    assert tank(readings).volume_ml == 18_927_059


def test_units_other_than_the_confirmed_ones_are_held_from_the_start() -> None:
    """Commissioning said metric; a console that says US is not believed."""
    port, device = ConsolePort(), gauge(units=2)
    port.answers["i51700"] = reply("i51700", "101")
    readings = run(device, port, 5)
    assert of(GaugeUnits, readings)[0].changed is True
    assert tank(readings).doubts == ("units changed",)


def test_a_held_console_stays_held_over_a_reconnect() -> None:
    """Pulling the cable is no confirmation."""
    port, device = ConsolePort(), gauge(units=2)
    port.answers["i51700"] = reply("i51700", "101")
    run(device, port, 5)
    device.reset()
    assert tank(run(device, port, 5)).doubts == ("units changed",)
