"""The TLS gauge with consoles that differ: old ones, display pages, codes, closing servers; and with commands."""

from __future__ import annotations

import pytest

from drivers.commands import ConfirmUnits, Stop
from drivers.config import LineConfig, SerialSettings
from drivers.errors import DeviceRefused, PortLost, WiringError
from drivers.readings import (
    CommandResult,
    DeviceStatus,
    GaugeAlarm,
    GaugeAlarms,
    GaugeLimits,
    GaugeUnits,
    Quality,
    Reading,
)
from drivers.registry import spec
from drivers.veeder_root.driver import CAPABILITIES, MAX_COMMANDS, SPEC, TlsGauge
from tests.support.tls_console import NOT_KNOWN, ConsolePort, gauge, inventory, of, reply, run, tank


def test_an_older_console_tells_its_units_by_505() -> None:
    """517 is not known before version 15; 505 says the same in two digits."""
    port, device = ConsolePort(), gauge()
    del port.answers["i51700"]
    port.answers["i50500"] = reply("i50500", "11")
    readings = run(device, port, 5)
    assert of(GaugeUnits, readings) == [GaugeUnits("gauge:tanks", 1, language=1)]
    assert tank(readings).volume_ml == 18_927_059


def test_a_console_without_units_gives_no_readings_unless_they_are_configured() -> None:
    """Unknown units are never guessed; the option says them."""
    port = ConsolePort()
    del port.answers["i51700"]
    assert tank(run(gauge(), port, 5)).doubts == ("units unknown",)
    assert tank(run(gauge(units=2), port, 5)).volume_ml == 5_000_000


def test_a_console_with_display_pages_only_is_read_with_its_own_quality() -> None:
    """Computer format gives 9999, display format a page: remembered per function until the next reconnect."""
    port, device = ConsolePort(), gauge(units=2)
    port.answers = {
        "I20100": b"\nI20100\n\n 1  SUPER 95   5000 4990 15000 1000.0 0.0 15.00\n 2  2  6000 5990 14000 1100 0 15\n\n",
        "I20500": b"\x01\r\nI20500\r\nTANK  PRODUCT   STATUS\r\n 1  SUPER   LOW PRODUCT ALARM\r\n   ODD STATE\r\n\x03",
    }
    readings = run(device, port, 65)
    assert (tank(readings).quality, tank(readings).volume_ml) == (Quality.DISPLAY, 5_000_000)
    assert of(GaugeAlarms, readings)[-1].alarms == (
        GaugeAlarm(2, 0, 1, "ODD STATE"),
        GaugeAlarm(2, 5, 1, "low_product_alarm"),
    )
    assert port.asked.count("i20100") == 1
    assert port.asked.count("I20100") == 3


def test_a_console_that_refuses_all_tanks_is_asked_tank_by_tank() -> None:
    """9999 for tank 00 in both formats: the configured tanks are asked one by one."""
    port, device = ConsolePort(), gauge()
    del port.answers["i20100"]
    port.answers["i20101"] = reply("i20101", inventory(1, 5000))
    readings = run(device, port, 65)
    assert tank(readings).volume_ml == 5_000_000
    assert tank(readings, 2).doubts == ("tank not known to the console",)
    assert [status.online for status in of(DeviceStatus, readings)] == [True]


def test_a_console_without_any_inventory_is_offline_with_a_reason() -> None:
    """Neither format and no single tank: that is said, and tried again later."""
    port, device = ConsolePort(), gauge()
    del port.answers["i20100"]
    (status,) = of(DeviceStatus, run(device, port, 30))
    assert (status.online, status.reason) == (False, "inventory not known to the console")


def test_one_function_without_any_answer_does_not_take_the_console_offline() -> None:
    """A console that ignores a function it does not know is asked for it three times, then never again."""
    port, device = ConsolePort(), gauge()
    port.script = lambda question: b"" if question == "i62300" else None
    readings = run(device, port, 90)
    assert [status.online for status in of(DeviceStatus, readings)] == [True]
    assert port.asked.count("i62300") == 3
    assert len(of(GaugeLimits, readings)) == 2


def test_a_security_code_goes_with_every_question() -> None:
    """The code stands between SOH and the letter."""
    port, device = ConsolePort(), gauge(security_code="123456")
    port.answers = {f"123456{question}": answer for question, answer in port.answers.items()}
    readings = run(device, port, 5)
    assert tank(readings).volume_ml == 5_000_000
    assert all(question[:7] in ("123456i", "123456I") for question in port.asked)


def test_a_code_that_is_not_wanted_is_said_to_be_so() -> None:
    """9999 with the code and an answer without it: a person must remove the code."""
    port, device = ConsolePort(), gauge(security_code="123456")
    (status,) = of(DeviceStatus, run(device, port, 4))
    assert (status.online, status.reason) == (False, "the console wants no security code")
    assert "security_code" in status.hint


def test_an_old_console_with_a_code_is_not_misjudged() -> None:
    """9999 to 517 with the code and silence without it: the code is wanted, 517 is not known."""
    port, device = ConsolePort(), gauge(security_code="123456")
    known = {f"123456{question}": answer for question, answer in port.answers.items() if question != "i51700"}
    port.answers = {**known, "123456i50500": reply("i50500", "21"), "123456i51700": NOT_KNOWN}
    port.script = lambda question: None if question.startswith("123456") else b""
    readings = run(device, port, 15)
    assert [status.online for status in of(DeviceStatus, readings)] == [True]


def test_a_server_that_closes_after_each_reply_is_still_read() -> None:
    """Two connections of one reply each show the habit; from then on the next question follows on the next connection."""
    port, device = ConsolePort(), gauge()
    readings: list[Reading] = []
    for _connection in range(12):
        port.lost = False
        readings += device.turn(port)
        port.lost = True
        port.now += 0.2 + device.due_in_s()
        with pytest.raises(PortLost):
            device.turn(port)
        readings += device.reset()
    assert tank(readings).volume_ml == 5_000_000
    assert of(DeviceStatus, readings)[-2:] == [
        DeviceStatus("gauge:tanks", online=True),
        DeviceStatus(
            "gauge:tanks",
            online=False,
            gap=True,
            reason="port lost",
            hint="check the cable, the adapter or the TCP tunnel",
        ),
    ]


def test_a_failed_reopening_ends_the_habit() -> None:
    """A server that cannot be reached any more is a real outage: everything is read again afterwards."""
    port, device = ConsolePort(), gauge()
    run(device, port, 5)
    device.reset()
    device.reset()
    port.asked = []
    readings = run(device, port, 2)
    assert port.asked[:4] == ["i51700", "i10100", "i20500", "i20100"]
    assert of(DeviceStatus, readings) == [DeviceStatus("gauge:tanks", online=True, gap=True)]


def test_reset_fails_queued_commands_and_reports_once() -> None:
    """A lost port leaves no command without a result, and a second reset has nothing to add."""
    port, device = ConsolePort(), gauge()
    run(device, port, 5)
    device.submit(ConfirmUnits("c9", "gauge:tanks"))
    readings = list(device.reset())
    assert [result.outcome for result in of(CommandResult, readings)] == ["UNKNOWN"]
    assert [(status.online, status.gap) for status in of(DeviceStatus, readings)] == [(False, True)]
    assert list(device.reset()) == []


def test_commands_for_dispensers_are_refused() -> None:
    """A gauge is only read; a command for another gauge is not applied either."""
    port, device = ConsolePort(), gauge()
    device.submit(Stop("c1", 3))
    device.submit(ConfirmUnits("c2", "elsewhere"))
    results = of(CommandResult, device.turn(port))
    assert [(result.command_id, result.outcome) for result in results] == [("c1", "REFUSED"), ("c2", "REFUSED")]


def test_the_command_queue_is_bounded() -> None:
    """Too many waiting commands are refused loudly."""
    device = gauge()
    for number in range(MAX_COMMANDS):
        device.submit(ConfirmUnits(str(number), "tanks"))
    with pytest.raises(DeviceRefused):
        device.submit(ConfirmUnits("more", "tanks"))


def test_parity_left_in_is_masked_on_a_seven_bit_line() -> None:
    """A 7-bit line read as 8 bits still gives readings."""
    port = ConsolePort()
    port.answers = {
        question: bytes(byte | (0x80 if byte.bit_count() % 2 else 0) for byte in answer)
        for question, answer in port.answers.items()
    }
    config = LineConfig("tanks", "x", "veeder-root", SerialSettings(data_bits=7), tanks=(1, 2))
    assert tank(run(TlsGauge(config), port, 5)).volume_ml == 5_000_000


def test_the_registry_knows_the_driver() -> None:
    """The protocol name leads to this driver, which checks its options and makes one device per line."""
    assert spec("veeder-root") is SPEC
    config = LineConfig("g", "x", "veeder-root", options={"pol_s": 1})
    assert SPEC.check_options(config.options)[0][0] == "pol_s"
    with pytest.raises(WiringError):
        SPEC.make_devices(config)
    assert [device.device_id for device in SPEC.make_devices(LineConfig("g", "x", "veeder-root"))] == ["gauge:g"]
    assert SPEC.capabilities == CAPABILITIES
    assert CAPABILITIES.reads_only is True
