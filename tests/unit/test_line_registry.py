"""Protocol names, lazy loading, third parties, and a line built from its configuration."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
import time
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from drivers import registry
from drivers.config import LineConfig, PointConfig
from drivers.errors import WiringError
from drivers.readings import DeviceStatus, FuellingPointReading, PointState
from drivers.registry import DriverSpec, make_line, protocols, spec
from tests.support.wire import FakePump, VirtualPort


def dart_line(**changes: object) -> LineConfig:
    """A DART line with one point."""
    values: dict[str, object] = {
        "id": "a",
        "port": "/dev/none",
        "protocol": "dart",
        "points": (PointConfig(1, 0x51, (1,)),),
        **changes,
    }
    return LineConfig(**values)  # type: ignore[arg-type]


def test_names_are_known_without_loading_a_driver() -> None:
    """Listing the protocols imports no driver module."""
    code = (
        "import sys; from drivers.registry import protocols; assert 'dart' in protocols(); "
        "assert not any(name.startswith('drivers.dart') for name in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_dart_is_found_by_name() -> None:
    """The specification says kind, serial defaults and capabilities."""
    found = spec("dart")
    assert isinstance(found, DriverSpec)
    assert (found.kind, found.serial_defaults.parity, found.capabilities.release) == ("dispenser", "odd", "reset")  # type: ignore[union-attr]
    assert {"dart", "serial-scanner", "veeder-root"} <= set(protocols())


def test_unknown_name_suggests_the_nearest() -> None:
    """A misspelt protocol names the one that was probably meant."""
    with pytest.raises(WiringError) as caught:
        spec("darts")
    assert "'dart'" in caught.value.hint


def test_third_party_driver_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package may add a protocol, cannot replace a built-in one, and a broken one is a clear error."""
    points = EntryPoints(
        EntryPoint(name, value, registry.ENTRY_POINT_GROUP)
        for name, value in (
            ("extra", "drivers.dart.driver:SPEC"),
            ("dart", "os:path"),
            ("broken", "no_such_module:SPEC"),
            ("odd", "os:sep"),
        )
    )
    monkeypatch.setattr(registry, "entry_points", lambda group: points.select(group=group))
    assert spec("extra") is spec("dart")
    for name in ("broken", "odd"):
        with pytest.raises(WiringError) as caught:
            spec(name)
        assert caught.value.hint
    assert protocols().count("dart") == 1


def test_wrong_option_stops_the_line() -> None:
    """The first wrong option is named with its line, key and hint."""
    with pytest.raises(WiringError) as caught:
        make_line(dart_line(options={"retires": 3}))
    assert "'retires'" in str(caught.value)
    assert "retries" in caught.value.hint


def test_line_on_a_virtual_port_reads_its_pump() -> None:
    """A made line with a given port and clock brings its pump online."""
    pump = FakePump()
    port = VirtualPort(pump.receive)
    line = make_line(dart_line(), lambda: port, port.monotonic)
    seen = [reading for _ in range(10) for reading in line.turn()]
    assert DeviceStatus("line:a", online=True) in seen
    assert next(r.state for r in seen if isinstance(r, FuellingPointReading)) is PointState.IDLE


def test_line_on_a_real_terminal_reads_its_pump_and_notices_the_pulled_cable() -> None:
    """The same line on a real pseudo terminal: pump online, then everything offline when the other end closes."""
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    os.close(slave)
    pump = FakePump()
    line = make_line(dart_line(port=name))
    seen: list[object] = []
    end_s = time.monotonic() + 90
    os.set_blocking(master, False)
    stop = threading.Event()

    def answer() -> None:
        while not stop.is_set():
            try:
                os.write(master, pump.receive(os.read(master, 512)))
            except (BlockingIOError, OSError):
                stop.wait(0.002)

    thread = threading.Thread(target=answer)
    thread.start()
    while not any(isinstance(r, FuellingPointReading) for r in seen) and time.monotonic() < end_s:
        seen += line.turn()
    stop.set()
    thread.join()
    assert next(r.state for r in seen if isinstance(r, FuellingPointReading)) is PointState.IDLE
    seen.clear()
    os.close(master)
    while not any(isinstance(r, DeviceStatus) and not r.online for r in seen) and time.monotonic() < end_s:
        seen += line.turn()
    assert {r.device for r in seen if isinstance(r, DeviceStatus) and not r.online} == {"line:a", "point:1"}
    line.close()
