"""What is wrong with a Modbus device or a line, and how people are told: refusals, strangers, wrong settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from drivers import registry
from drivers.config import LineConfig, PointConfig
from drivers.errors import WiringError
from drivers.readings import PointState
from tests.support.modbus_lines import FleetLogs, HeldValues, PulseCounters, bundle, level, online
from tests.support.rigs.base import VirtualRig
from tests.support.rigs.modbus import SUBJECT


def test_the_registers_of_another_map_are_refused_by_name() -> None:
    """Version 1 is expected: the point stays offline and a person is told what to change."""
    rig = VirtualRig(SUBJECT, points=1)
    unit: Any = rig.forecourt.bus("island-1")
    unit.units[1].version = 7
    rig.until(lambda: rig.status("point:1") is False, 60)
    status = rig.statuses("point:1")[-1]
    assert "map_version is 7" in status.reason
    assert "map" in status.hint


@pytest.mark.parametrize(("fault", "words"), [("wrong-map", "exception 2"), ("device-failure", "exception 4")])
def test_a_device_that_refuses_every_read_is_offline_with_the_reason(fault: str, words: str) -> None:
    """Retrying does not mend it; the return is a gap like any other."""
    rig = online()
    rig.forecourt.inject(fault, point=1, times=1_000)
    rig.until(lambda: rig.status("point:1") is False)
    assert words in rig.statuses("point:1")[-1].reason
    rig.forecourt.clear()
    rig.until(lambda: rig.status("point:1") is True)


def test_a_busy_device_is_asked_again_after_a_pause() -> None:
    """Twice busy, then the answer: nobody is told of anything."""
    rig = online()
    rig.forecourt.inject("device-busy", point=1, times=2)
    rig.turns(3)
    assert rig.line.counters()["busy_replies"] == 2
    assert [status.online for status in rig.statuses("point:1")] == [True]


def test_an_unlisted_state_keeps_the_last_one_and_is_counted() -> None:
    """A number that the map does not know is no state."""
    rig = online()
    unit: Any = rig.forecourt.bus("island-1")
    unit.units[1].strange_state = 42
    rig.turns(3)
    assert level(rig).state is PointState.IDLE
    assert rig.line.counters()["unlisted_states"] >= 1


def test_the_total_is_read_from_words_that_arrive_in_the_order_of_the_map() -> None:
    """Somebody swaps the words in the device: the identity register no longer fits, so nothing is read wrong."""
    rig = online()
    before = bundle(rig, "before").after
    rig.forecourt.inject("words-swapped", point=1, for_s=0)
    rig.until(lambda: rig.status("point:1") is False)
    rig.forecourt.clear()
    rig.until(lambda: rig.status("point:1") is True)
    assert bundle(rig, "after").after == before


WRONG_LINES: dict[str, tuple[dict[str, object], tuple[tuple[int, tuple[int, ...]], ...], str]] = {
    "no map": ({}, ((1, (1,)),), "map"),
    "unknown map": ({"map": "nothing-like-it"}, ((1, (1,)),), "no register map"),
    "missing value": ({"map": "seneca-z10-d-in"}, ((1, (1,)),), "k_factor"),
    "a gauge": ({"map": "pneumercator-tms", "values": {"units": "us"}}, ((1, (1,)),), "profile"),
    "two nozzles": ({"map": "reference-dispenser"}, ((1, (1, 2)),), "nozzle"),
    "unit twice": ({"map": "reference-dispenser"}, ((1, (1,)), (1, (1,))), "share unit"),
    "unit 0": ({"map": "reference-dispenser"}, ((0, (1,)),), "unit address"),
    "no point": ({"map": "reference-dispenser"}, (), "no fuelling point"),
    "transport": ({"map": "reference-dispenser", "transport": "udp"}, ((1, (1,)),), "transport"),
}


@pytest.mark.parametrize("name", WRONG_LINES)
def test_a_line_that_cannot_work_is_refused_with_what_to_write(name: str) -> None:
    """Before anything is opened."""
    options, points, words = WRONG_LINES[name]
    made = tuple(PointConfig(number, unit, nozzles) for number, (unit, nozzles) in enumerate(points, 1))
    with pytest.raises(WiringError) as caught:
        registry.make_line(LineConfig("line", "virtual", "modbus", options=options, points=made))
    assert words in f"{caught.value} {caught.value.hint}"
    assert caught.value.hint


def test_capabilities_are_those_of_the_map(tmp_path: Path) -> None:
    """No point promises what its registers cannot do."""
    found = {}
    for name, subject in (
        ("queue", SUBJECT),
        ("last", HeldValues(tmp_path)),
        ("pulse", PulseCounters()),
        ("log", FleetLogs()),
    ):
        can = subject.capabilities
        found[name] = (can.sale_memory, can.memory_ends, can.release, can.totals, can.presets, can.stops, can.suspends)
    both = ("volume", "amount")
    assert found == {
        "queue": ("queue", "ack", "ack", "volume+amount", both, True, True),
        "last": ("last", "next_flow", "none", "volume+amount", both, True, True),
        "pulse": ("none", "next_flow", "none", "volume", (), False, False),
        "log": ("queue", "ack", "ack", "none", (), False, False),
    }


def test_a_line_is_checked_without_loading_the_library() -> None:
    """Settings are read by every command: the Modbus library comes only with a line that is made."""
    code = (
        "import sys; from drivers import registry; "
        "registry.spec('modbus').check_options({'map': 'reference-dispenser'}); "
        "assert not any(name.startswith('pymodbus') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_option_is_checked_and_all_at_once() -> None:
    """Times as text or milliseconds; what is out of range is named with its range."""
    spec = registry.spec("modbus")
    good = {"map": "reference-dispenser", "reply_timeout": "700ms", "settle": "4s", "tries": 2, "start_ml": 5}
    assert spec.check_options(good) == []
    wrong = {"reply_timeout": "fast", "tries": 0, "settle": 1, "values": 3, "map": "reference-dispenser"}
    assert {key for key, _, _ in spec.check_options(wrong)} == {"reply_timeout", "tries", "settle", "values"}
