"""A register map as frozen records: what each register of one device means, and what may be written.

Addresses are wire addresses (first register 0), counters are raw counts, factors exact fractions. Knows no file format,
no port and no clock. What only the station can say stands as ``None``, ``Unit.STATION`` or an index until ``bind``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

MOST_REGISTERS_READ = 125
MOST_BITS_READ = 2000
MOST_REGISTERS_WRITTEN = 123
LAST_ADDRESS = 65535
TANK = "tank"
"""The index of blocks that repeat per tank; counts from 0, so the device's own tank number minus 1."""


class Profile(StrEnum):
    """What kind of device the map makes of its registers."""

    DISPENSER = "dispenser"
    METER = "meter"
    PULSE_METER = "pulse-meter"
    LOG = "log"
    GAUGE = "gauge"


class Table(StrEnum):
    """The four address spaces of Modbus."""

    HOLDING = "holding"
    INPUT = "input"
    COIL = "coil"
    DISCRETE = "discrete"

    @property
    def read_function(self) -> int:
        """The function code that reads this table."""
        return {Table.COIL: 1, Table.DISCRETE: 2, Table.HOLDING: 3, Table.INPUT: 4}[self]

    @property
    def of_bits(self) -> bool:
        """Whether one address is one bit instead of one register of 16."""
        return self in {Table.COIL, Table.DISCRETE}

    @property
    def most_read(self) -> int:
        """How many registers or bits one request may ask for."""
        return MOST_BITS_READ if self.of_bits else MOST_REGISTERS_READ


class RawType(StrEnum):
    """How the registers of a field are to be read."""

    U16 = "u16"
    S16 = "s16"
    U32 = "u32"
    S32 = "s32"
    U64 = "u64"
    S64 = "s64"
    F32 = "f32"
    F64 = "f64"
    BCD = "bcd"
    ASCII = "ascii"
    BIT = "bit"
    BOOL = "bool"

    @property
    def is_float(self) -> bool:
        """Whether the value has a mantissa, and so a step that grows with it."""
        return self in {RawType.F32, RawType.F64}

    @property
    def is_signed(self) -> bool:
        """Whether negative numbers are two's complement."""
        return self in {RawType.S16, RawType.S32, RawType.S64}

    @property
    def is_number(self) -> bool:
        """Whether the field is a number, not a text or a single bit."""
        return self not in {RawType.ASCII, RawType.BIT, RawType.BOOL}


class WordOrder(StrEnum):
    """In which order bytes A B C D of the big-endian value arrive. 64-bit values: the whole list of registers."""

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"

    @property
    def reverses_registers(self) -> bool:
        """Whether the last register comes first."""
        return self in {WordOrder.CDAB, WordOrder.DCBA}

    @property
    def swaps_bytes(self) -> bool:
        """Whether the low byte of each register comes first."""
        return self in {WordOrder.BADC, WordOrder.DCBA}


class Role(StrEnum):
    """What the driver makes of a field; a field without a role is telemetry."""

    STATE = "state"
    NOZZLE = "nozzle"
    UNIT_PRICE = "unit_price"
    VOLUME = "volume"
    AMOUNT = "amount"
    TOTALIZER = "totalizer"
    TOTALIZER_AMOUNT = "totalizer_amount"
    SALE_ID = "sale_id"
    SALE_VOLUME = "sale_volume"
    SALE_AMOUNT = "sale_amount"
    SALE_NOZZLE = "sale_nozzle"
    SALE_UNIT_PRICE = "sale_unit_price"
    SALE_TIME = "sale_time"
    SALE_YEAR = "sale_year"
    SALE_MONTH = "sale_month"
    SALE_DAY = "sale_day"
    SALE_HOUR = "sale_hour"
    SALE_MINUTE = "sale_minute"
    SALE_SECOND = "sale_second"
    FLOW = "flow"
    ALARM = "alarm"
    IDENTITY = "identity"
    HEIGHT = "height"
    GROSS_VOLUME = "gross_volume"
    NET_VOLUME = "net_volume"
    TC_VOLUME = "tc_volume"
    ULLAGE = "ullage"
    PERCENT = "percent"
    WATER_HEIGHT = "water_height"
    WATER_VOLUME = "water_volume"
    TEMPERATURE = "temperature"
    DENSITY = "density"
    MASS = "mass"
    STATUS = "status"
    ALARMS = "alarms"
    LIMIT_HIGH_HIGH = "limit_high_high"
    LIMIT_HIGH = "limit_high"
    LIMIT_LOW = "limit_low"
    LIMIT_LOW_LOW = "limit_low_low"
    LIMIT_HIGH_WATER = "limit_high_water"


class Unit(StrEnum):
    """What one of the field's value is, after ``scale``. ``STATION``: only the station can say."""

    ML = "ml"
    L = "l"
    M3 = "m3"
    GAL = "gal"
    IGAL = "igal"
    KG = "kg"
    PULSE = "pulse"
    MINOR = "minor"
    MM = "mm"
    IN = "in"
    MDEGC = "mdegc"
    DEGC = "degc"
    DEGF = "degf"
    KG_M3 = "kg_m3"
    PERCENT = "percent"
    L_MIN = "l_min"
    KG_MIN = "kg_min"
    M3_H = "m3_h"
    STATION = "station"


class WriteKind(StrEnum):
    """How a value is written."""

    REGISTER = "register"
    REGISTERS = "registers"
    COIL = "coil"

    @property
    def function(self) -> int:
        """The function code of the write."""
        return {WriteKind.COIL: 5, WriteKind.REGISTER: 6, WriteKind.REGISTERS: 16}[self]

    @property
    def table(self) -> Table:
        """Where the write goes, and where it can be read back."""
        return Table.COIL if self is WriteKind.COIL else Table.HOLDING


@dataclass(frozen=True, slots=True)
class Term:
    """One step of an address formula: ``stride`` registers per unit of ``index``."""

    stride: int
    index: str


@dataclass(frozen=True, slots=True)
class Address:
    """Wire address ``base`` plus the terms; a plain address has none."""

    table: Table
    base: int
    terms: tuple[Term, ...] = ()

    @property
    def per_tank(self) -> bool:
        """Whether the address depends on the tank."""
        return any(term.index == TANK for term in self.terms)

    def at(self, indices: Mapping[str, int]) -> int:
        """The wire address with every index given; raises KeyError where one is missing."""
        return self.base + sum(term.stride * indices[term.index] for term in self.terms)


@dataclass(frozen=True, slots=True)
class Flag:
    """One bit of an assembled value with a name. ``active_low``: it stands while the bit is 0."""

    name: str
    bit: int
    active_low: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """A field counts only while ``field`` has raw value ``equals`` and none of the flags ``none_of`` of it stands."""

    field: str
    equals: int | None = None
    none_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measure:
    """The unit of a value and the factor from the raw number to it, for one system of units."""

    unit: Unit
    scale: Fraction


@dataclass(frozen=True, slots=True)
class Field:
    """One value in the registers of a device.

    ``scale``: value = raw x scale, decimals included. ``word_order``: ``None`` until the station gives it.
    ``size_bytes``: of bcd and ascii. ``resolution``: what a float is rounded to, in the unit of the value.
    ``modulus`` and ``max_delta`` are raw counts (of a float: steps of ``resolution``). ``no_value``: patterns of the
    assembled bits that mean "none". ``measures``: unit and scale per system of units, where the station says which.
    ``expect``: raw values that prove the right device is there; ``expect_unit``: its own unit address does.
    """

    name: str
    address: Address
    type: RawType
    word_order: WordOrder | None = WordOrder.ABCD
    size_bytes: int = 0
    bit: int = 0
    scale: Fraction = Fraction(1)
    decimals_from: str = ""
    unit: Unit | None = None
    unit_from: str = ""
    measures: Mapping[str, Measure] = field(default_factory=dict)
    resolution: Fraction | None = None
    enum: Mapping[int, str] = field(default_factory=dict)
    role: Role | None = None
    modulus: int | None = None
    max_delta: int | None = None
    no_value: frozenset[int] = frozenset()
    flags: tuple[Flag, ...] = ()
    valid_when: Condition | None = None
    expect: tuple[int, ...] = ()
    expect_unit: bool = False
    alias: bool = False

    @property
    def count(self) -> int:
        """How many registers (bits, in a table of bits) the field takes."""
        if self.type in {RawType.BCD, RawType.ASCII}:
            return (self.size_bytes + 1) // 2
        return _WIDTHS.get(self.type, 16) // 16

    @property
    def width_bits(self) -> int:
        """How many bits the assembled value has."""
        if self.type in {RawType.BCD, RawType.ASCII}:
            return self.size_bytes * 8
        return _WIDTHS.get(self.type, 16)


_WIDTHS = {
    RawType.U16: 16,
    RawType.S16: 16,
    RawType.U32: 32,
    RawType.S32: 32,
    RawType.F32: 32,
    RawType.U64: 64,
    RawType.S64: 64,
    RawType.F64: 64,
}


@dataclass(frozen=True, slots=True)
class Group:
    """Fields that are read together every ``period_ms``. ``atomic``: by exactly one request."""

    name: str
    fields: tuple[str, ...]
    period_ms: int
    atomic: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """One write to the device.

    Exactly one of: ``value`` (raw), ``value_from`` (an argument such as ``unit_price``, ``id``, ``tank``, or a value of
    the station), ``any_value`` (whatever is written triggers). ``set_bits`` are added to the raw number.
    """

    kind: WriteKind
    address: Address
    type: RawType = RawType.U16
    word_order: WordOrder | None = WordOrder.ABCD
    size_bytes: int = 0
    scale: Fraction = Fraction(1)
    unit: Unit | None = None
    value: int | None = None
    value_from: str = ""
    any_value: bool = False
    set_bits: int = 0

    @property
    def count(self) -> int:
        """How many registers (coils) it writes."""
        return Field("", self.address, self.type, size_bytes=self.size_bytes).count


@dataclass(frozen=True, slots=True)
class Confirm:
    """What proves that a command was applied: ``field`` has one of the raw values ``equals`` within ``within_ms``.

    ``equals_written``: it has the value that was written.
    """

    field: str
    within_ms: int
    equals: tuple[int, ...] = ()
    equals_written: bool = False


class CommandName(StrEnum):
    """The commands a map may describe. ``RESET_TOTAL`` is never sent: it would destroy the basis of recovery."""

    AUTHORISE = "authorise"
    STOP = "stop"
    SUSPEND = "suspend"
    RESUME = "resume"
    PRESET_VOLUME = "preset_volume"
    PRESET_AMOUNT = "preset_amount"
    PRICE = "price"
    RESET_TOTAL = "reset_total"


@dataclass(frozen=True, slots=True)
class DeviceCommand:
    """A command of the device. Without ``confirm`` its result stays UNKNOWN; only ``idempotent`` ones are repeated."""

    name: CommandName
    write: Write
    confirm: Confirm | None = None
    idempotent: bool = False

    @property
    def never_sent(self) -> bool:
        """Whether we refuse to send it, whoever asks."""
        return self.name is CommandName.RESET_TOTAL


@dataclass(frozen=True, slots=True)
class SetupWrite:
    """Written after connecting, only where what is read back differs. ``verify``: read once more afterwards."""

    write: Write
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Setup:
    """The writes in order, ``pause_ms`` between two."""

    writes: tuple[SetupWrite, ...] = ()
    pause_ms: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """The device's own sale record: read, commit, write ``ack`` (its value is the id), read again until ``empty``.

    ``fields`` are read by one request. ``group``: the atomic group that brings them; empty: a request of their own.
    """

    fields: tuple[str, ...]
    id_field: str
    empty: int
    ack: Write | None = None
    group: str = ""


@dataclass(frozen=True, slots=True)
class Unusable:
    """A bit of the guard and the reason it gives."""

    bit: int
    reason: str


@dataclass(frozen=True, slots=True)
class Guard:
    """While a bit of ``field`` stands, no field of the device is a reading."""

    field: str
    unusable: tuple[Unusable, ...]


@dataclass(frozen=True, slots=True)
class Conversions:
    """What the station knows of a product or a meter: ``k_factor`` pulses per litre, density in kg per cubic metre."""

    k_factor: Fraction | None = None
    density_kg_m3: Fraction | None = None


@dataclass(frozen=True, slots=True)
class RegisterMap:
    """One device type, complete. Identity: ``id`` with ``version``; ``sha256`` of the file goes to the audit trail.

    ``max_registers``: what this device grants per read. ``requires``: what the station must give before the map can be
    used, in order; ``bind`` (bind.py) takes them in and leaves none open. ``uncertain``: sentences for a person.
    """

    id: str
    version: int
    profile: Profile
    fields: Mapping[str, Field]
    groups: tuple[Group, ...]
    title: str = ""
    standing: str = ""
    uncertain: tuple[str, ...] = ()
    word_order: WordOrder | None = WordOrder.ABCD
    max_gap: int = 0
    max_registers: int = MOST_REGISTERS_READ
    requires: tuple[str, ...] = ()
    commands: Mapping[str, DeviceCommand] = field(default_factory=dict)
    setup: Setup = Setup()
    record: Record | None = None
    guard: Guard | None = None
    select: Write | None = None
    conversions: Conversions = Conversions()
    sha256: str = ""

    def by_role(self, role: Role) -> tuple[Field, ...]:
        """The fields with ``role`` in the order of the file."""
        return tuple(found for found in self.fields.values() if found.role is role)
