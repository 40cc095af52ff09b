"""Record layouts of the TLS functions (computer format): data after the clock -> frozen records in raw console units.

Knows which fields a function has and in which base its counters are. Does not know units, tanks in use or the wire.
Every parser raises ``FrameRejected`` (reason "layout") and then nothing of the frame is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from drivers.veeder_root.fields import Cutter, layout_error

Value = Fraction | None


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm of 101, 111, 112 or 113. ``state``: "occurred" | "cleared" | "" ; ``time``: ten raw digits or empty."""

    category: int
    number: int
    device: int
    sensor_category: int = 0
    state: str = ""
    time: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """Inventory of one tank. ``status`` is ``None`` where the console filled with ``?``: then there is no reading.

    ``values`` in the order of the function (201: volume, TC volume, ullage, height, water height, temperature, water
    volume); surplus floats are kept, ``value(i)`` of a missing one is ``None``.
    """

    tank: int
    product_code: str
    status: int | None
    values: tuple[Value, ...]

    def value(self, index: int) -> Value:
        """Return field ``index`` or ``None`` where the console did not send it."""
        return self.values[index] if index < len(self.values) else None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery record: raw ten-digit times and its floats. ``raw``: all of it as it came."""

    start: str
    end: str
    values: tuple[Value, ...]
    raw: str = ""

    def value(self, index: int) -> Value:
        """Return field ``index`` or ``None`` where the console did not send it."""
        return self.values[index] if index < len(self.values) else None


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Deliveries of one tank as the console lists them, newest first."""

    tank: int
    product_code: str
    records: tuple[Delivery, ...]


@dataclass(frozen=True, slots=True)
class TankAlarms:
    """Alarm numbers of category 02 standing at one tank now."""

    tank: int
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TankHistory:
    """Past alarms of one tank: (ten raw digits, alarm number)."""

    tank: int
    events: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class UnitSystem:
    """Unit system 1..3 and the console's language number."""

    system: int
    language: int


@dataclass(frozen=True, slots=True)
class TankText:
    """Text of one tank: label of 20 characters, product code, flag."""

    tank: int
    text: str


@dataclass(frozen=True, slots=True)
class TankValues:
    """Floats of one tank: a limit, a diameter, or the points of a chart."""

    tank: int
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Calibration points (height, volume); ``diameter`` and ``full_volume`` only where the function sends them."""

    tank: int
    points: tuple[tuple[Value, Value], ...]
    diameter: Value = None
    full_volume: Value = None
    secured: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Tanks that belong together, with the floats of their product; ``open``/``close`` only for reconciliation rows."""

    tanks: tuple[int, ...]
    values: tuple[Value, ...]
    product: int | None = None
    open: str = ""
    close: str = ""


@dataclass(frozen=True, slots=True)
class PortCode:
    """The console's security code, for diagnosis only: it is in no text of this record. ``enabled``: 536 only."""

    code: str = field(repr=False)
    enabled: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """Free text of a function, as it came."""

    text: str


Record = (
    Alarm
    | Inventory
    | Deliveries
    | TankAlarms
    | TankHistory
    | UnitSystem
    | TankText
    | TankValues
    | Chart
    | Group
    | PortCode
    | Text
)


def standing_alarms(cut: Cutter) -> tuple[Alarm, ...]:
    """101: (AA NN TT)*; "none" is one record with category 00 or nothing at all."""
    records = []
    while cut.more:
        alarm = Alarm(cut.decimal(2), cut.decimal(2), cut.decimal(2))
        if alarm.category:
            records.append(alarm)
    return tuple(records)


def alarm_events(cut: Cutter) -> tuple[Alarm, ...]:
    """111, 112: (AA cc NN TT SS T2)*; SS 01 is cleared, 02 is occurred."""
    states = {1: "cleared", 2: "occurred"}
    records = []
    while cut.more:
        category, sensor, number, device = cut.decimal(2), cut.decimal(2), cut.decimal(2), cut.decimal(2)
        state = states.get(cut.decimal(2), "")
        records.append(Alarm(category, number, device, sensor, state, cut.clock()))
    return tuple(records)


def dated_alarms(cut: Cutter) -> tuple[Record, ...]:
    """113: four header lines of 20 characters, then (AA cc NN TT T2)*; a short last record ends the list."""
    records: list[Record] = [Text(cut.take(20)) for _ in range(4)]
    while cut.more:
        tail = Cutter(cut.take(min(18, cut.left)))
        if tail.left < 18:
            break
        category, sensor, number, device = (tail.decimal(2) for _ in range(4))
        records.append(Alarm(category, number, device, sensor, "", tail.clock()))
    return tuple(records)


def inventory(cut: Cutter) -> tuple[Inventory, ...]:
    """201, 21A, 231: (TT p ssss NN F..)*, NN hexadecimal. A record filled with ``?`` ends the frame as no reading."""
    records = []
    while cut.more:
        tank, product = cut.decimal(2), cut.take(1)
        status, count = cut.take(4), cut.take(2)
        if "?" in status or "?" in count:
            records.append(Inventory(tank, product, None, ()))
            cut.rest()
            break
        bits = Cutter(status).hexadecimal(4)
        records.append(Inventory(tank, product, bits, cut.floats(Cutter(count).hexadecimal(2))))
    return tuple(records)


def deliveries(cut: Cutter) -> tuple[Deliveries, ...]:
    """202, 20C: (TT p dd (S E NN F..) x dd)*, dd decimal, NN hexadecimal; dd=00 may stand in the middle."""
    return _deliveries(cut, 2)


def delivery_range(cut: Cutter) -> tuple[Deliveries, ...]:
    """20F: as 202 with a count of three decimal digits; fields 11..16 have another order than in 20C."""
    return _deliveries(cut, 3)


def _deliveries(cut: Cutter, count_width: int) -> tuple[Deliveries, ...]:
    tanks = []
    while cut.more:
        tank, product, count = cut.decimal(2), cut.take(1), cut.decimal(count_width)
        tanks.append(Deliveries(tank, product, tuple(_delivery(cut) for _ in range(count))))
    return tuple(tanks)


def _delivery(cut: Cutter) -> Delivery:
    at = cut.at
    start, end, values = cut.clock(), cut.clock(), cut.floats(cut.hexadecimal(2))
    return Delivery(start, end, values, cut.since(at))


def tank_alarms(cut: Cutter) -> tuple[TankAlarms, ...]:
    """205: (TT nn NN x nn)*, nn hexadecimal, NN decimal."""
    records = []
    while cut.more:
        tank, count = cut.decimal(2), cut.hexadecimal(2)
        records.append(TankAlarms(tank, tuple(cut.decimal(2) for _ in range(count))))
    return tuple(records)


def tank_alarm_history(cut: Cutter) -> tuple[TankHistory, ...]:
    """206: (TT nn (T2 aaaa) x nn)*, nn decimal, aaaa hexadecimal."""
    records = []
    while cut.more:
        tank, count = cut.decimal(2), cut.decimal(2)
        records.append(TankHistory(tank, tuple((cut.clock(), cut.hexadecimal(4)) for _ in range(count))))
    return tuple(records)


def units(cut: Cutter) -> tuple[UnitSystem, ...]:
    """517: U LL."""
    return (_unit_system(cut.decimal(1), cut.decimal(2)),)


def units_short(cut: Cutter) -> tuple[UnitSystem, ...]:
    """505: U L, one digit each."""
    return (_unit_system(cut.decimal(1), cut.decimal(1)),)


def _unit_system(system: int, language: int) -> UnitSystem:
    if not 1 <= system <= 3:
        raise layout_error(f"unit system {system} is not 1, 2 or 3")
    return UnitSystem(system, language)


def labels(cut: Cutter) -> tuple[TankText, ...]:
    """602: (TT label)*, exactly 20 characters each, not trimmed."""
    return _texts(cut, 20)


def product_codes(cut: Cutter) -> tuple[TankText, ...]:
    """603: (TT p)*, one character."""
    return _texts(cut, 1)


def tank_flags(cut: Cutter) -> tuple[TankText, ...]:
    """601: (TT f)*, "0" or "1"."""
    return _texts(cut, 1)


def _texts(cut: Cutter, width: int) -> tuple[TankText, ...]:
    records = []
    while cut.more:
        records.append(TankText(cut.decimal(2), cut.take(width)))
    return tuple(records)


def tank_values(cut: Cutter) -> tuple[TankValues, ...]:
    """604, 607..609, 621..629, 20D: (TT F)*."""
    return _values(cut, 1)


def four_volumes(cut: Cutter) -> tuple[TankValues, ...]:
    """605: volumes at full, 3/4, 1/2 and 1/4 of the diameter."""
    return _values(cut, 4)


def twenty_volumes(cut: Cutter) -> tuple[TankValues, ...]:
    """606: volumes at 100 %, 95 % .. 5 % of the diameter."""
    return _values(cut, 20)


def _values(cut: Cutter, count: int) -> tuple[TankValues, ...]:
    records = []
    while cut.more:
        records.append(TankValues(cut.decimal(2), cut.floats(count)))
    return tuple(records)


def delays(cut: Cutter) -> tuple[TankValues, ...]:
    """610: (TT dd)*, minutes."""
    records = []
    while cut.more:
        records.append(TankValues(cut.decimal(2), (Fraction(cut.decimal(2)),)))
    return tuple(records)


def chart(cut: Cutter) -> tuple[Chart, ...]:
    """211: (TT nnnn (H V)..)*; nnnn counts floats, not pairs, in hexadecimal."""
    records = []
    while cut.more:
        tank, count = cut.decimal(2), cut.hexadecimal(4)
        if count % 2:
            raise layout_error("a chart has an odd number of floats")
        records.append(Chart(tank, _points(cut, count // 2)))
    return tuple(records)


def multipoint_chart(cut: Cutter) -> tuple[Chart, ...]:
    """63B: (TT f [F S20 P6 W20] D FV nn (H V) x nn)*; the bracket only when f=1, nn hexadecimal, highest first."""
    records = []
    while cut.more:
        tank, flag = cut.decimal(2), cut.decimal(1)
        if flag:
            cut.take(8 + 20 + 6 + 20)
        diameter, full = cut.float32(), cut.float32()
        records.append(Chart(tank, _points(cut, cut.hexadecimal(2)), diameter, full, bool(flag)))
    return tuple(records)


def _points(cut: Cutter, count: int) -> tuple[tuple[Value, Value], ...]:
    return tuple((cut.float32(), cut.float32()) for _ in range(count))


def supply(cut: Cutter) -> tuple[Group, ...]:
    """281: (PP (TT p) x PP NN F..)*, PP and NN hexadecimal."""
    records = []
    while cut.more:
        tanks = []
        for _ in range(cut.hexadecimal(2)):
            tanks.append(cut.decimal(2))
            cut.take(1)
        records.append(Group(tuple(tanks), cut.floats(cut.hexadecimal(2))))
    return tuple(records)


def reconciliation(cut: Cutter) -> tuple[Group, ...]:
    """C01: (PP nn TT x nn open close NN F..)*."""
    records = []
    while cut.more:
        product, count = cut.decimal(2), cut.hexadecimal(2)
        tanks = tuple(cut.decimal(2) for _ in range(count))
        opened, closed = cut.clock(), cut.clock()
        records.append(Group(tanks, cut.floats(cut.hexadecimal(2)), product, opened, closed))
    return tuple(records)


def system_code(cut: Cutter) -> tuple[PortCode, ...]:
    """504: the security code of the whole console, six characters."""
    return (PortCode(cut.take(6)),)


def port_code(cut: Cutter) -> tuple[PortCode, ...]:
    """536: whether a port wants a code ("0" or "1" is assumed), and its six characters."""
    enabled = cut.take(1)
    return (PortCode(cut.take(6), enabled),)


def clock(cut: Cutter) -> tuple[Text, ...]:
    """501: the console clock, ten raw digits."""
    return (Text(cut.clock()),)


def one_value(cut: Cutter) -> tuple[TankValues, ...]:
    """50E: one float of the whole console, returned under tank 0."""
    return (TankValues(0, (cut.float32(),)),)


def free_text(cut: Cutter) -> tuple[Text, ...]:
    """902: software version, free text, kept as it is."""
    return (Text(cut.rest()),)
