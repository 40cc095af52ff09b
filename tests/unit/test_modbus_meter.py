"""A mass meter behind a register map: settings of the map, litres from kilograms, flow that begins and ends a fuelling."""

from __future__ import annotations

import struct
from itertools import pairwise

from drivers.asked import AskedPoint
from drivers.commands import ReadSale, ReadTotalizer
from drivers.config import LineConfig, PointConfig
from drivers.line import Line
from drivers.modbus.driver import make_points
from drivers.readings import (
    CommandResult,
    CompletedSale,
    DeviceStatus,
    FuellingPointReading,
    PointState,
    Reading,
    TotalizerReading,
)
from drivers.simulator import modbus_frames as device
from tests.support.wire import VirtualPort

DENSITY = "425.0"
SETTINGS = {750: 0, 751: 2, 752: 1, 753: 3, 754: 47}


class MassMeter:
    """The holding registers of an LNG meter; writes are remembered with their time."""

    def __init__(self) -> None:
        self.registers = dict.fromkeys([*range(246, 248), *range(258, 260), *range(782, 792), 312, *SETTINGS], 0)
        self.registers[312] = 1
        self.stubborn = False
        self.written: list[tuple[int, int]] = []
        self._reader = device.RtuReader()

    def show(self, address: int, value: float) -> None:
        """A float, low word first."""
        high, low = struct.unpack(">HH", struct.pack(">f", value))
        self.registers |= {address: low, address + 1: high}

    def __call__(self, data: bytes) -> bytes:
        answer = b""
        for request in self._reader.feed(data):
            if request.function == 6:
                self.written.append((request.address, request.values[0]))
                if not self.stubborn:
                    self.registers[request.address] = request.values[0]
            values = tuple(self.registers[request.address + at] for at in range(request.count))
            answer += device.envelope(request, device.answer(request, request.values or values), tcp=False)
        return answer


class Station:
    """The meter on a line of its own."""

    def __init__(self, *, control: bool = True) -> None:
        self.meter = MassMeter()
        self.meter.show(258, 1_000.0)
        self.port = VirtualPort(self.meter)
        options = {"map": "micro-motion-lng", "values": {"density_kg_m3": DENSITY}}
        point = PointConfig(1, 1, (1,), sends_commands=control)
        config = LineConfig("lng", "virtual", "modbus", options=options, points=(point,))
        self.line = Line(config, make_points(config), lambda: self.port, self.port.monotonic)
        self.seen: list[Reading] = []

    def turns(self, seconds: float) -> None:
        """Poll for so long."""
        end_s = self.port.now_s + seconds
        while self.port.now_s < end_s:
            self.seen += self.line.turn()

    def states(self) -> list[PointState]:
        """Levels in the order they came, repeats left out."""
        told = [reading.state for reading in self.seen if isinstance(reading, FuellingPointReading)]
        return [state for at, state in enumerate(told) if at == 0 or told[at - 1] is not state]

    def online(self) -> list[DeviceStatus]:
        """What was told of the point."""
        return [r for r in self.seen if isinstance(r, DeviceStatus) and r.device == "point:1"]


def test_the_settings_of_the_map_are_made_to_stand_before_anything_is_told() -> None:
    """Read first, written only where they differ, 200 ms apart, read again; on the next connection nothing is written."""
    station = Station()
    station.turns(20)
    assert station.meter.written == [(address, value) for address, value in SETTINGS.items() if value]
    times = [at_s for at_s, data in station.port.sent if data[1] == 6]
    assert all(b - a >= 0.2 for a, b in pairwise(times))
    assert [status.online for status in station.online()] == [True]
    station.port.gone = True
    station.seen += station.line.turn()
    station.port.gone = False
    station.port.now_s += 2
    station.turns(20)
    assert len(station.meter.written) == 4


def test_a_setting_that_does_not_stand_keeps_the_point_offline() -> None:
    """Not taken by the device, or differing at a point that is only watched: a person is told which one."""
    for control, words in ((True, "was not taken"), (False, "is not written to")):
        station = Station(control=control)
        station.meter.stubborn = True
        station.turns(30)
        (status,) = station.online()
        assert not status.online
        assert words in status.reason
        assert status.hint
        assert bool(station.meter.written) is control


def test_flow_begins_a_fuelling_and_its_end_settles() -> None:
    """Kilograms become litres by the station's density; the total before and after is the sale."""
    station = Station()
    station.turns(10)
    assert station.states() == [PointState.IDLE]
    station.line.submit(ReadTotalizer("before", 1, 1))
    station.turns(2)
    station.meter.show(246, 12.5)
    for kilograms in (1_002.0, 1_004.0, 1_006.0):
        station.meter.show(258, kilograms)
        station.turns(1)
    station.meter.show(246, 0.0)
    station.turns(3)
    assert station.states() == [PointState.IDLE, PointState.FUELLING]
    station.turns(4)
    assert station.states() == [PointState.IDLE, PointState.FUELLING, PointState.IDLE]
    station.line.submit(ReadSale("s", 1, (1,)))
    station.turns(3)
    (start,) = [reading for reading in station.seen if isinstance(reading, TotalizerReading)]
    (sale,) = [reading for reading in station.seen if isinstance(reading, CompletedSale)]
    assert sale.held is None
    assert start.unit_ml == sale.after[0].unit_ml == 1
    assert abs((sale.after[0].raw - start.raw) - 6_000_000 / float(DENSITY)) <= 1


def test_a_total_that_is_no_number_is_no_total() -> None:
    """NaN, or a float whose step is coarser than its resolution: the read-out says that there is none."""
    station = Station()
    station.turns(10)
    for value in (float("nan"), 3.0e8):
        station.meter.show(258, value)
        station.line.submit(ReadTotalizer(f"t{value}", 1, 1))
        station.turns(3)
    ends = [r.outcome.value for r in station.seen if isinstance(r, CommandResult)]
    assert ends == ["UNKNOWN", "UNKNOWN"]
    assert not [reading for reading in station.seen if isinstance(reading, TotalizerReading)]
    assert isinstance(station.line.devices[0], AskedPoint)
