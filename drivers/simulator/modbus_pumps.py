"""Fuelling points with registers in front of ``PumpHead``: a whole dispenser with a queue of sales, a pulse counter on
a bowser, a fleet module that only keeps a log.

Works on register numbers; frames are the bus's. ``make_*`` are the wires of one line each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from drivers.simulator.buses import CommandLog
from drivers.simulator.config import LineConfig, PumpConfig
from drivers.simulator.faults import FaultBoard
from drivers.simulator.modbus_bus import ModbusBus, Refused, Unit, block, words
from drivers.simulator.modbus_frames import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE
from drivers.simulator.pump_head import TOTAL_MODULUS, UNIT_ML, PumpHead, Sale, State

QUEUE = 16
MAP_VERSION = 1
AMOUNT_PRESET = 1 << 31
READ_HOLDING, READ_INPUT, WRITE_REGISTERS = 3, 4, 16
PULSES_PER_LITRE = Fraction("3666739.2")
NEAR_THE_TOP = 10**6
EPOCH = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)

INOPERATIVE, CLOSED, IDLE, CALLING, AUTHORISED, STARTED, SUSPENDED_STARTED, FUELLING, SUSPENDED_FUELLING = range(1, 10)
COMMANDS = {1: "AUTHORISE", 2: "STOP", 3: "SUSPEND", 4: "RESUME"}
_STATES = {  # (nozzle in, nozzle out)
    State.NOT_PROGRAMMED: (INOPERATIVE, INOPERATIVE),
    State.RESET: (IDLE, CALLING),
    State.AUTHORIZED: (AUTHORISED, STARTED),
    State.FILLING: (FUELLING, FUELLING),
    State.COMPLETED: (IDLE, CALLING),
    State.MAXIMUM: (SUSPENDED_FUELLING, SUSPENDED_FUELLING),
    State.SWITCHED_OFF: (CLOSED, CLOSED),
    State.SUSPENDED: (SUSPENDED_STARTED, SUSPENDED_STARTED),
}


class Counter:
    """The volume total of a head as a longer counter of millilitres, which rolls over when the head's does."""

    def __init__(self, modulus_ml: int) -> None:
        self._modulus_ml = modulus_ml
        self._turns = 0
        self._last = 0

    def ml(self, total: int) -> int:
        """Millilitres for the head's ``total``."""
        top = self._modulus_ml // (TOTAL_MODULUS * UNIT_ML) - 1
        if self._turns == 0 and total >= TOTAL_MODULUS - NEAR_THE_TOP:
            self._turns = top
        if self._last >= TOTAL_MODULUS - NEAR_THE_TOP and total < NEAR_THE_TOP:
            self._turns += 1
        self._last = total
        return (self._turns * TOTAL_MODULUS + total) * UNIT_ML % self._modulus_ml


@dataclass(frozen=True, slots=True)
class Record:
    """One sale as the dispenser keeps it until it is acknowledged."""

    sale_id: int
    volume_ml: int
    amount_minor: int
    nozzle: int
    unit_price_milli: int


class Dispenser:
    """The reference dispenser: one block of 30 registers to read, four places to write, the last 16 sales kept.

    ``version`` and ``strange_state`` are for tests: another version of the registers, a state that no map knows.
    """

    def __init__(self, head: PumpHead) -> None:
        self.target: int | str = head.number
        self.head = head
        self.sales: deque[Record] = deque(maxlen=QUEUE)
        self.sale_id = 0
        self.preset = 0
        self.version = MAP_VERSION
        self.strange_state: int | None = None
        self._counter = Counter(10**12)
        _listen(head, self._sold)

    def read(self, function: int, address: int, count: int) -> tuple[int, ...]:
        """As ``Unit.read``."""
        self.head.contacted = True
        if function != READ_HOLDING:
            raise Refused(ILLEGAL_FUNCTION)
        return block(dict(enumerate(self._registers())), address, count)

    def write(self, function: int, address: int, values: tuple[int, ...]) -> None:
        """As ``Unit.write``. A command that the state does not allow is taken and does nothing."""
        if address == 100 and len(values) == 1:
            self._command(values[0])
            return
        if address not in {101, 103, 105} or function != WRITE_REGISTERS or len(values) != 2:
            raise Refused(ILLEGAL_ADDRESS)
        value = values[0] << 16 | values[1]
        if address == 101:
            self.preset = value
        elif address == 103:
            self.head.set_prices([value] * len(self.head.nozzles))
        elif self.sales and self.sales[0].sale_id == value:
            self.sales.popleft()

    def called(self, address: int, values: tuple[int, ...]) -> str:
        """As ``Unit.called``."""
        if address == 100:
            return COMMANDS.get(values[0], "COMMAND")
        return {101: "PRESET", 103: "PRICE", 105: "ACKNOWLEDGE"}.get(address, "WRITE")

    def _registers(self) -> tuple[int, ...]:
        head = self.head
        nozzle = head.nozzles[0]
        record = self.sales[0] if self.sales else Record(0, 0, 0, 0, 0)
        price = head.prices[head.nozzle]
        return (
            self.version,
            self._state() if self.strange_state is None else self.strange_state,
            head.nozzle if head.nozzle_out or head.state in {State.AUTHORIZED, State.FILLING} else 0,
            0,
            *words(price, 2),
            *words(head.volume * UNIT_ML, 2),
            *words(head.amount, 2),
            *words(self.preset, 2),
            *words(self._counter.ml(head.totals[nozzle]), 4),
            *words(head.amount_totals[nozzle], 4),
            *words(record.sale_id, 2),
            *words(record.volume_ml, 2),
            *words(record.amount_minor, 2),
            record.nozzle,
            0,
            *words(record.unit_price_milli, 2),
        )

    def _state(self) -> int:
        head = self.head
        if head.state is State.SUSPENDED and head.volume:
            return SUSPENDED_FUELLING
        return _STATES[head.state][1 if head.nozzle_out else 0]

    def _command(self, code: int) -> None:
        head = self.head
        if code == 1 and head.state in {State.RESET, State.COMPLETED}:
            head.command(0x05)
            if self.preset & AMOUNT_PRESET:
                head.preset(minor=self.preset & ~AMOUNT_PRESET)
            elif self.preset:
                head.preset(units=self.preset // UNIT_ML)
            self.preset = 0
            head.command(0x06)
        elif code in {2, 3, 4}:
            head.command({2: 0x08, 3: 0x0D, 4: 0x0E}[code])
        elif code != 1:
            raise Refused(ILLEGAL_VALUE)

    def _sold(self, sale: Sale) -> None:
        head = self.head
        self.sale_id = self.sale_id % 0xFFFFFFFF + 1
        # what the display showed: a meter that hides fuel hides it in the record as well
        record = Record(self.sale_id, head.volume * UNIT_ML, head.amount, sale.nozzle, sale.unit_price_milli)
        self.sales.append(record)


class PulseCounter:
    """A counter of pulses on a bowser, its valve open while the nozzle is out; the overflow register is the host's."""

    def __init__(self, head: PumpHead) -> None:
        self.target: int | str = head.number
        self.head = head
        self.overflow = 0
        self._counter = Counter(10**12)

    @property
    def pulses(self) -> int:
        """The raw count."""
        return int(self._counter.ml(self.head.totals[self.head.nozzles[0]]) * PULSES_PER_LITRE / 1000) % 2**32

    def read(self, function: int, address: int, count: int) -> tuple[int, ...]:
        """As ``Unit.read``."""
        self.head.contacted = True
        _open_valve(self.head)
        if function != READ_HOLDING:
            raise Refused(ILLEGAL_FUNCTION)
        pulses = words(self.pulses, 2)
        return block({8: self.overflow, 9: 0, 10: pulses[0], 11: pulses[1]}, address, count)

    def write(self, function: int, address: int, values: tuple[int, ...]) -> None:
        """As ``Unit.write``: the overflow register only."""
        del function
        if address != 8 or len(values) != 1:
            raise Refused(ILLEGAL_ADDRESS)
        self.overflow = values[0]

    def called(self, address: int, values: tuple[int, ...]) -> str:
        """As ``Unit.called``."""
        del values
        return "OVERFLOW" if address == 8 else "WRITE"


class FleetLog:
    """A fleet module: the oldest sale that nobody has acknowledged, by its number; no total, no price, no state."""

    def __init__(self, head: PumpHead, board: FaultBoard) -> None:
        self.target: int | str = head.number
        self.head = head
        self.records: deque[tuple[int, datetime, int]] = deque()
        self.log_id = 0
        self._board = board
        _listen(head, self._sold)

    def read(self, function: int, address: int, count: int) -> tuple[int, ...]:
        """As ``Unit.read``."""
        self.head.contacted = True
        _open_valve(self.head)
        if function == READ_HOLDING:
            return block(dict.fromkeys(range(115), 0) | {1: 1}, address, count)
        if function != READ_INPUT:
            raise Refused(ILLEGAL_FUNCTION)
        log_id, at, volume_ml = self.records[0] if self.records else (0, EPOCH, 0)
        when = (at.year, at.month, at.day, at.hour, at.minute, at.second)
        record = (64, *words(log_id, 2), *when, *words(0, 2), *words(volume_ml, 2))
        return block(dict(enumerate(record)), address, count)

    def write(self, function: int, address: int, values: tuple[int, ...]) -> None:
        """As ``Unit.write``: the number of the record that was stored by the host."""
        if address != 104 or function != WRITE_REGISTERS or len(values) != 2:
            raise Refused(ILLEGAL_ADDRESS)
        if self.records and self.records[0][0] == values[0] << 16 | values[1]:
            self.records.popleft()

    def called(self, address: int, values: tuple[int, ...]) -> str:
        """As ``Unit.called``."""
        del values
        return "ACKNOWLEDGE" if address == 104 else "WRITE"

    def _sold(self, sale: Sale) -> None:
        del sale
        self.log_id += 1
        now = EPOCH + timedelta(milliseconds=self._board.now_ms)
        self.records.append((self.log_id, now, self.head.volume * UNIT_ML))


def make_dispensers(line: LineConfig, heads: Mapping[int, PumpHead], board: FaultBoard, log: CommandLog) -> ModbusBus:
    """A wire of reference dispensers."""
    return _bus(line, board, log, lambda point: Dispenser(heads[point.number]))


def make_pulse_counters(
    line: LineConfig, heads: Mapping[int, PumpHead], board: FaultBoard, log: CommandLog
) -> ModbusBus:
    """A wire of pulse counters."""
    return _bus(line, board, log, lambda point: PulseCounter(heads[point.number]))


def make_fleet_logs(line: LineConfig, heads: Mapping[int, PumpHead], board: FaultBoard, log: CommandLog) -> ModbusBus:
    """A wire of fleet modules."""
    return _bus(line, board, log, lambda point: FleetLog(heads[point.number], board))


def _bus(line: LineConfig, board: FaultBoard, log: CommandLog, unit: Callable[[PumpConfig], Unit]) -> ModbusBus:
    return ModbusBus(line.name, {point.address: unit(point) for point in line.points}, board, log, tcp=line.tcp)


def _listen(head: PumpHead, sold: Callable[[Sale], None]) -> None:
    """Hear of each finished fuelling as well as whoever hears of it already."""
    before = head.on_sale

    def both(sale: Sale) -> None:
        before(sale)
        sold(sale)

    head.on_sale = both


def _open_valve(head: PumpHead) -> None:
    if head.nozzle_out and head.state in {State.RESET, State.COMPLETED}:
        head.command(0x05)
        head.command(0x06)
