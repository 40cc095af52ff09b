"""What the registers of one fuelling point mean in the agent's words: a level, a total, what the device holds.

One class per profile of a map. Knows values and time as a number; knows no wire and sends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from drivers.config import PointConfig
from drivers.device import DispenserCapabilities
from drivers.modbus import counts
from drivers.modbus.model import Profile, RegisterMap, Role
from drivers.modbus.options import Options
from drivers.modbus.registers import Registers
from drivers.modbus.units import to_minor, to_ml, to_ml_min, to_price_milli
from drivers.modbus.values import Sample
from drivers.readings import FuellingPointReading, HeldSale, PointState, Reading, TotalizerReading

AT_REST = frozenset({PointState.IDLE, PointState.CALLING, PointState.CLOSED, PointState.INOPERATIVE})
FUELLING = frozenset(
    {
        PointState.AUTHORISED,
        PointState.STARTED,
        PointState.FUELLING,
        PointState.SUSPENDED_STARTED,
        PointState.SUSPENDED_FUELLING,
    }
)

NOZZLE_OUT: Mapping[PointState, bool] = {
    PointState.IDLE: False,
    PointState.AUTHORISED: False,
    PointState.CALLING: True,
    PointState.STARTED: True,
    PointState.FUELLING: True,
    PointState.SUSPENDED_STARTED: True,
    PointState.SUSPENDED_FUELLING: True,
}
"""What a state says of the nozzle by its own meaning; the others say nothing."""

MOST_IN_SIGHT_ML = 20_000_000
"""More than one fuelling can be: the count has gone back or leapt, which the domain must judge by the total."""


class Level(Protocol):
    """What one profile makes of the registers. ``state`` is ``None`` while the device has not told it."""

    state: PointState | None

    def apply(self, now_s: float) -> list[Reading]:
        """The registers have settled: take them in; returns what is worth telling without being asked."""
        ...

    def reading(self) -> FuellingPointReading | None:
        """The level now."""
        ...

    def held(self) -> HeldSale | None:
        """What the device holds of a finished fuelling; ``None`` = nothing, or not readable."""
        ...

    def gap(self) -> None:
        """The device was out of sight."""
        ...


class Base:
    """What all profiles share: the point, its registers, and the total of its one nozzle."""

    def __init__(self, config: PointConfig, registers: Registers) -> None:
        self.config = config
        self.registers = registers
        self.state: PointState | None = None
        self.unlisted_states = 0
        self.fuellings = 0
        self._count = counts.totalizer(registers.map)

    @property
    def nozzle(self) -> int:
        """The nozzle whose registers these are: a map knows one total, so a point has one nozzle."""
        return self.config.nozzles[0]

    def total(self) -> TotalizerReading | None:
        """The totalizer as read last; ``None`` where there is none or it is no value."""
        raw = self.total_raw()
        if self._count is None or raw is None:
            return None
        amounts = self.registers.map.by_role(Role.TOTALIZER_AMOUNT)
        amount = _minor(self.registers.field(amounts[0].name)) if amounts else None
        return TotalizerReading(
            self.config.fuelling_point,
            self.nozzle,
            raw,
            self._count.unit_ml,
            self._count.modulus,
            amount,
            counts.amount_modulus(amounts[0]) if amount is not None else None,
        )

    def total_raw(self) -> int | None:
        """The count alone."""
        return None if self._count is None else self._count.raw(self.registers.field(self._count.field))

    def moved_ml(self, since: int, now: int) -> int:
        """Millilitres from one count to another, over a turn of the counter."""
        assert self._count is not None
        return (now - since) % self._count.modulus * self._count.unit_ml

    def _ml(self, role: Role) -> int | None:
        sample = self.registers.role(role)
        if sample is None or sample.reason or sample.value is None:
            return None
        return to_ml(sample.value, sample.unit, self.registers.map.conversions)

    def _amount(self, role: Role) -> int | None:
        sample = self.registers.role(role)
        return None if sample is None else _minor(sample)

    def _price(self, role: Role) -> int | None:
        sample = self.registers.role(role)
        if sample is None or sample.reason or sample.value is None:
            return None
        return to_price_milli(sample.value)

    def _told_state(self) -> PointState | None:
        """The state register in the agent's words; an unlisted number keeps the last state."""
        sample = self.registers.role(Role.STATE)
        if sample is None or sample.reason == "unlisted":
            self.unlisted_states += sample is not None
            return self.state
        return None if sample.reason or not sample.word else PointState(sample.word)

    def _record(self) -> HeldSale | None:
        """The sale record that stands in the registers."""
        record = self.registers.map.record
        if record is None:
            return None
        number = self.registers.field(record.id_field)
        if number.reason or number.raw in (None, record.empty):
            return None
        nozzle = self.registers.role(Role.SALE_NOZZLE)
        named = nozzle.raw if nozzle is not None and not nozzle.reason else None
        return HeldSale(
            fuelling_point=self.config.fuelling_point,
            nozzle=named or self.nozzle,
            volume_ml=self._ml(Role.SALE_VOLUME),
            amount_minor=self._amount(Role.SALE_AMOUNT),
            unit_price_milli=self._price(Role.SALE_UNIT_PRICE),
            token=str(number.raw),
        )


class DispenserLevel(Base):
    """A dispenser that tells its own state, and keeps numbered sales or its last display."""

    def __init__(self, config: PointConfig, registers: Registers) -> None:
        super().__init__(config, registers)
        self.restarts = 0
        self._version = -1
        self._reading: FuellingPointReading | None = None
        self._price_milli: int | None = None
        self._told_token = ""

    def apply(self, now_s: float) -> list[Reading]:
        """As ``Level.apply``: a numbered sale that stands there unannounced is told once."""
        del now_s
        if self._version == self.registers.version and self.state is not None:
            return []
        self._version = self.registers.version
        before, self.state = self.state, self._told_state()
        if self.state is PointState.INOPERATIVE and before not in (None, PointState.INOPERATIVE):
            self.restarts += 1  # nothing else in the registers tells a restart
        if self.state in FUELLING and before not in FUELLING:
            self.fuellings += 1
        if self.state is PointState.FUELLING:
            self._price_milli = self._price(Role.UNIT_PRICE)
        self._reading = self._level()
        held = self._record()
        if held is None or held.token == self._told_token or self.state not in AT_REST:
            return []
        self._told_token = held.token
        return [held]

    def reading(self) -> FuellingPointReading | None:
        """As ``Level.reading``."""
        return self._reading

    def _level(self) -> FuellingPointReading | None:
        if self.state is None:
            return None
        number = self.registers.role(Role.NOZZLE)
        price = self._price(Role.UNIT_PRICE)
        return FuellingPointReading(
            fuelling_point=self.config.fuelling_point,
            state=self.state,
            nozzle=(number.raw or None) if number is not None and not number.reason else None,
            nozzle_out=NOZZLE_OUT.get(self.state),
            volume_ml=self._ml(Role.VOLUME),
            amount_minor=self._amount(Role.AMOUNT),
            unit_price_milli=price or None,
            restarts=self.restarts,
            needs_prices=price == 0,
            device_alarms=self._alarms(),
        )

    def held(self) -> HeldSale | None:
        """As ``Level.held``: the numbered record, or where the map has none, the display of the last fuelling."""
        if self.registers.map.record is not None:
            return self._record()
        volume_ml, amount_minor = self._ml(Role.VOLUME), self._amount(Role.AMOUNT)
        if volume_ml is None or self.state not in AT_REST:
            return None
        return HeldSale(
            self.config.fuelling_point,
            self.nozzle,
            volume_ml,
            amount_minor,
            self._price_milli,
            f"{self.config.fuelling_point}-{self.fuellings}-{volume_ml}-{amount_minor}",
        )

    def gap(self) -> None:
        """As ``Level.gap``."""
        self.state = self._reading = None
        self._told_token = ""

    def _alarms(self) -> tuple[str, ...]:
        sample = self.registers.role(Role.ALARM)
        if sample is None or sample.reason:
            return ()
        if sample.flags:
            return tuple(sorted(flag.replace("_", " ") for flag in sample.flags))
        return (f"alarm bits {sample.raw:04X}",) if sample.raw else ()


class MeterLevel(Base):
    """A meter without a valve of its own: a fuelling is what flows between two rests."""

    def __init__(self, config: PointConfig, registers: Registers, options: Options) -> None:
        super().__init__(config, registers)
        self._options = options
        self._rest_raw: int | None = None
        self._last_raw: int | None = None
        self._still_since_s = 0.0

    def apply(self, now_s: float) -> list[Reading]:
        """As ``Level.apply``: a total that has moved unseen, or leapt as no flow can, is told at once."""
        raw = self.total_raw()
        if raw is None:
            self.state = None
            return []
        missed = self._rest_raw is not None and self.state is None
        flows = self._flows()
        moved = self._last_raw is not None and raw != self._last_raw
        self._last_raw = raw
        if flows or moved:
            self._still_since_s = now_s
        if self._rest_raw is None:
            self._rest_raw = raw
        leapt = missed or self.moved_ml(self._rest_raw, raw) > MOST_IN_SIGHT_ML
        if leapt and raw != self._rest_raw:
            self._rest_raw = raw
            self.state = PointState.FUELLING if flows else PointState.IDLE
            total = self.total()
            return [] if total is None else [total]
        if self.state is not PointState.FUELLING:
            begins = self.moved_ml(self._rest_raw, raw) > self._options.start_ml
            self.state = PointState.FUELLING if flows or begins else PointState.IDLE
        elif now_s - self._still_since_s >= self._options.settle_s:
            self.state = PointState.IDLE
            self._rest_raw = raw
        return []

    def reading(self) -> FuellingPointReading | None:
        """As ``Level.reading``; the volume is what has flowed since the last rest."""
        if self.state is None or self._last_raw is None or self._rest_raw is None:
            return None
        flowing = self.state is PointState.FUELLING
        return FuellingPointReading(
            fuelling_point=self.config.fuelling_point,
            state=self.state,
            nozzle=self.nozzle,
            volume_ml=self.moved_ml(self._rest_raw, self._last_raw) if flowing else None,
        )

    def held(self) -> HeldSale | None:
        """As ``Level.held``: a meter holds nothing."""
        return None

    def gap(self) -> None:
        """As ``Level.gap``."""
        self.state = None

    def _flows(self) -> bool:
        sample = self.registers.role(Role.FLOW)
        if sample is not None and not sample.reason and sample.value is not None:
            rate = to_ml_min(sample.value, sample.unit, self.registers.map.conversions)
            return (rate if rate is not None else sample.value) > 0
        told = self.registers.role(Role.STATE)
        return told is not None and not told.reason and told.word == PointState.FUELLING


class LogLevel(Base):
    """A device that only keeps a log of sales: it is at rest for us, and tells each record once."""

    def __init__(self, config: PointConfig, registers: Registers) -> None:
        super().__init__(config, registers)
        self._told_token = ""

    def apply(self, now_s: float) -> list[Reading]:
        """As ``Level.apply``."""
        del now_s
        record = self.registers.map.record
        assert record is not None, "checked with the map"
        self.state = None if self.registers.field(record.id_field).reason else PointState.IDLE
        held = self._record()
        token = "" if held is None else held.token
        if token == self._told_token:
            return []
        self._told_token = token
        return [] if held is None else [held]

    def reading(self) -> FuellingPointReading | None:
        """As ``Level.reading``."""
        return None if self.state is None else FuellingPointReading(self.config.fuelling_point, self.state)

    def held(self) -> HeldSale | None:
        """As ``Level.held``."""
        return self._record()

    def gap(self) -> None:
        """As ``Level.gap``."""
        self.state = None
        self._told_token = ""


def make_level(config: PointConfig, registers: Registers, options: Options) -> DispenserLevel | MeterLevel | LogLevel:
    """The level of one point by the profile of its map."""
    if registers.map.profile is Profile.DISPENSER:
        return DispenserLevel(config, registers)
    if registers.map.profile is Profile.LOG:
        return LogLevel(config, registers)
    return MeterLevel(config, registers, options)


def capabilities(map_: RegisterMap) -> DispenserCapabilities:
    """What a point behind ``map_`` can do, no more than the map says."""
    memory = _MEMORY.get(map_.profile, "none")
    if map_.profile is Profile.DISPENSER:
        memory = "queue" if map_.record is not None else "last"
    amounts = bool(map_.by_role(Role.TOTALIZER_AMOUNT))
    volume = bool(map_.by_role(Role.TOTALIZER))
    names = set(map_.commands)
    return DispenserCapabilities(
        sale_memory=memory,
        memory_ends={"queue": "ack", "last": "next_flow", "none": "next_flow"}[memory],
        release="ack" if memory == "queue" else "none",
        totals="volume+amount" if amounts and volume else "volume" if volume else "none",
        totals_during_flow="yes" if volume else "unknown",
        power_off="kept" if memory == "queue" else "unknown",
        presets=tuple(kind for kind in ("volume", "amount") if f"preset_{kind}" in names),
        sets_prices="price" in names,
        stops="stop" in names,
        suspends={"suspend", "resume"} <= names,
    )


_MEMORY: Mapping[Profile, str] = {Profile.LOG: "queue"}


def _minor(sample: Sample) -> int | None:
    return None if sample.reason or sample.value is None else to_minor(sample.value, sample.unit)
