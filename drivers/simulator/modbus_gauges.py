"""Tank gauges with registers: one that serves twelve tanks in blocks, one that must be told which tank is asked about.

Works on register numbers; frames are the bus's. What is in the tanks comes from the world.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from fractions import Fraction

from drivers.simulator.buses import CommandLog
from drivers.simulator.config import LineConfig
from drivers.simulator.faults import FaultBoard
from drivers.simulator.modbus_bus import ModbusBus, Refused, block, words
from drivers.simulator.modbus_frames import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE
from drivers.simulator.tank import Tank

TANKS = 12
BLOCK = 16
FULL_SCALE, FULL_SCALE_SIGNED = 0xFFFFFFFF, 0x7FFFFFFF
FILLED = (FULL_SCALE, FULL_SCALE_SIGNED, FULL_SCALE, FULL_SCALE, FULL_SCALE, FULL_SCALE_SIGNED, FULL_SCALE_SIGNED)
LINK_LOST, SCAN_SUSPENDED = 1, 2
DELIVERY, PROBE_TIMEOUT, STILL = 1 << 0, 1 << 2, 1 << 7
SPIKE_UM = 80_000
US_GALLON_ML = Fraction("3785.411784")
READ_HOLDING, READ_INPUT, WRITE_REGISTER = 3, 4, 6
BLOCK_UNIT, SELECT_UNIT = 1, 80
SELECT_PARAMETERS = 14


class BlockGauge:
    """Status register, then a block of 16 registers per tank, high word first; metric, or US where a fault says so."""

    def __init__(self, name: str, tanks: Mapping[int, Tank], board: FaultBoard) -> None:
        self.target: int | str = name
        self._tanks = tanks
        self._board = board
        self._refreshed: dict[int, int] = {}

    def read(self, function: int, address: int, count: int) -> tuple[int, ...]:
        """As ``Unit.read``."""
        if function != READ_HOLDING:
            raise Refused(ILLEGAL_FUNCTION)
        suspended = self._board.active("gauge-scan-suspended", self.target)
        if not suspended or not self._refreshed:
            self._refreshed = self._blocks()
        link = LINK_LOST if self._board.active("gauge-link-lost", self.target) else 0
        registers = self._refreshed | {0: link | (SCAN_SUSPENDED if suspended else 0)}
        if link:
            registers = self._filled() | {0: registers[0]}
        return block(registers, address, count)

    def write(self, function: int, address: int, values: tuple[int, ...]) -> None:
        """As ``Unit.write``: there is nothing to write."""
        del function, address, values
        raise Refused(ILLEGAL_FUNCTION)

    def called(self, address: int, values: tuple[int, ...]) -> str:
        """As ``Unit.called``."""
        del address, values
        return "WRITE"

    def _blocks(self) -> dict[int, int]:
        registers: dict[int, int] = {}
        for number in range(1, TANKS + 1):
            tank = self._tanks.get(number)
            values = (*FILLED, 0) if tank is None else self._tank(number, tank)
            registers |= _block_of(number, values)
        return registers

    def _filled(self) -> dict[int, int]:
        """The card has lost the gauge: full scale everywhere, ullage zero."""
        registers: dict[int, int] = {}
        for number in range(1, TANKS + 1):
            registers |= _block_of(number, (*FILLED, 0))
        return registers

    def _tank(self, number: int, tank: Tank) -> tuple[int, ...]:
        board = self._board
        us = board.active("units-changed", self.target)
        water_um = tank.water_um + (SPIKE_UM if board.active("water-spike", number) else 0)
        status = 0 if tank.delivering else STILL
        status |= DELIVERY if tank.delivering else 0
        status |= PROBE_TIMEOUT if board.active("probe-out", number) else 0
        height_um = tank.height_um(tank.volume_ml)
        tenths_degc = round(tank.temperature_mdegc / 100)
        return (
            status,
            _height(height_um, us=us),
            _volume(tank.volume_ml, us=us),
            _volume(max(0, tank.volume_ml - tank.volume_at_ml(water_um)), us=us),
            tank.volume_ml * 1000 // tank.config.full_ml,
            tenths_degc * 9 // 5 + 320 if us else tenths_degc,
            _height(water_um, us=us),
            _volume(max(0, tank.config.full_ml * 9 // 10 - tank.volume_ml), us=us),
        )


class SelectGauge:
    """Register 0 picks the tank; what is read afterwards does not say which tank it is."""

    def __init__(self, name: str, tanks: Mapping[int, Tank], board: FaultBoard) -> None:
        self.target: int | str = name
        self.selected = 0
        self._tanks = tanks
        self._board = board

    def read(self, function: int, address: int, count: int) -> tuple[int, ...]:
        """As ``Unit.read``."""
        if function != READ_INPUT:
            raise Refused(ILLEGAL_FUNCTION)
        tank = self._tanks.get(self.selected)
        if tank is None:
            raise Refused(ILLEGAL_VALUE)
        density = 740.0
        values = dict.fromkeys(range(SELECT_PARAMETERS), 0.0)
        litres = tank.volume_ml / 1000
        values |= {0: tank.height_um(tank.volume_ml) / 1000, 1: litres * density / 1000, 2: litres, 3: density}
        values |= {4: tank.temperature_mdegc / 1000, 13: litres}
        invalid = 1 if self._board.active("probe-out", self.selected) else 0
        registers: dict[int, int] = {}
        for parameter, value in values.items():
            high, low = struct.unpack(">HH", struct.pack(">f", value))
            registers |= {3 + 3 * parameter: low, 4 + 3 * parameter: high, 5 + 3 * parameter: invalid}
        return block(registers, address, count)

    def write(self, function: int, address: int, values: tuple[int, ...]) -> None:
        """As ``Unit.write``: the number of a tank."""
        if function != WRITE_REGISTER or address != 0:
            raise Refused(ILLEGAL_ADDRESS)
        if values[0] not in self._tanks:
            raise Refused(ILLEGAL_VALUE)
        self.selected = values[0]

    def called(self, address: int, values: tuple[int, ...]) -> str:
        """As ``Unit.called``."""
        del values
        return "SELECT" if address == 0 else "WRITE"


def make_block_gauge(line: LineConfig, tanks: Mapping[int, Tank], board: FaultBoard, log: CommandLog) -> ModbusBus:
    """A wire with the gauge of twelve blocks."""
    return ModbusBus(line.name, {BLOCK_UNIT: BlockGauge(line.name, tanks, board)}, board, log, tcp=line.tcp)


def make_select_gauge(line: LineConfig, tanks: Mapping[int, Tank], board: FaultBoard, log: CommandLog) -> ModbusBus:
    """A wire with the gauge that is told the tank first."""
    return ModbusBus(line.name, {SELECT_UNIT: SelectGauge(line.name, tanks, board)}, board, log, tcp=line.tcp)


def _block_of(number: int, values: tuple[int, ...]) -> dict[int, int]:
    start = 1 + BLOCK * (number - 1)
    registers = [word for value in values for word in words(value, 2)]
    return {start + at: word for at, word in enumerate(registers)}


def _height(height_um: int, *, us: bool) -> int:
    """Tenths of an inch, or millimetres."""
    return round(height_um / 2540) if us else round(height_um / 1000)


def _volume(volume_ml: int, *, us: bool) -> int:
    """US gallons, or litres."""
    return round(volume_ml / US_GALLON_ML) if us else round(volume_ml / 1000)
