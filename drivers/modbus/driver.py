"""The two Modbus drivers: fuelling points and tank gauges, each made by a register map. Exports ``SPEC`` and
``GAUGE_SPEC``.

Knows what a line must look like. The wire and its library are loaded when a line is made, not when it is checked.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from drivers.asked import AskedPoint, Patience
from drivers.config import LineConfig, SerialSettings
from drivers.device import Device, DispenserCapabilities, TankGaugeCapabilities
from drivers.errors import WiringError
from drivers.modbus import options
from drivers.modbus.counts import totalizer
from drivers.modbus.options import TCP, Options
from drivers.registry import Decimals, DriverSpec

if TYPE_CHECKING:
    from drivers.modbus.link import Channel

SERIAL_DEFAULTS = SerialSettings(9600, 8, "none", 1)
BROADCAST, LAST_SERIAL_UNIT, LAST_UNIT = 0, 247, 255

CAPABILITIES = DispenserCapabilities(
    sale_memory="none",
    memory_ends="next_flow",
    release="none",
    totals="none",
    totals_during_flow="unknown",
    power_off="unknown",
)
"""What is certain without a map: nothing. Each point tells its own."""

GAUGE_CAPABILITIES = TankGaugeCapabilities(
    reads_only=True, inventory=True, tc_volume=False, water=False, alarms=False, deliveries=False
)


def make_points(config: LineConfig) -> list[Device]:
    """One device per fuelling point of ``config``. Raises ``WiringError`` for wrong options, units or nozzles."""
    from drivers.modbus.link import ReadingWire, WritingWire
    from drivers.modbus.point import RegisterPoint

    checked = options.read("dispenser", config.options)
    _check_points(config, checked)
    totalizer(checked.map)
    channel = _channel(config, checked)
    devices: list[Device] = []
    for point in config.points:
        handle = WritingWire if point.sends_commands else ReadingWire
        speech = RegisterPoint(point, handle(channel, point.address), checked)
        patience = Patience(silent_polls=checked.tries, poll_interval_s=speech.registers.period_s)
        devices.append(AskedPoint(point, speech, patience))
    return devices


def make_gauge(config: LineConfig) -> list[Device]:
    """The one gauge of ``config``; where it names no tanks, the first. Raises ``WiringError`` for wrong options."""
    from drivers.modbus.gauge import RegisterGauge
    from drivers.modbus.link import ReadingWire, SelectingWire

    checked = options.read("tank-gauge", config.options)
    if min(config.tanks, default=1) < 1:
        raise WiringError(f"line {config.id!r}: a tank has number 0", hint="write the gauge's own numbers, from 1")
    _check_unit(f"line {config.id!r}", checked.unit, checked)
    channel, select = _channel(config, checked), checked.map.select
    if select is None:
        return [RegisterGauge(config, ReadingWire(channel, checked.unit), checked)]
    return [RegisterGauge(config, SelectingWire(channel, checked.unit, select.address.base), checked)]


def _describe(kind: str, config: LineConfig) -> str:
    """The register map of a line by name, version and hash."""
    map_ = options.read(kind, config.options).map
    return f"{map_.id} version {map_.version} sha256 {map_.sha256}"


def _channel(config: LineConfig, checked: Options) -> Channel:
    from drivers.modbus.link import Channel, Timing, serial_timing

    if checked.transport == TCP:
        return Channel("tcp", Timing(checked.reply_timeout_s))
    serial = config.serial
    bits = 1 + (serial.data_bits or 8) + (serial.parity in ("even", "odd")) + (serial.stop_bits or 1)
    return Channel("rtu", serial_timing(checked.reply_timeout_s, serial.baudrate or 9600, bits))


def _check_points(config: LineConfig, checked: Options) -> None:
    if not config.points:
        raise WiringError(f"line {config.id!r} has no fuelling point", hint="give it points with their unit addresses")
    units: dict[int, int] = {}
    for point in config.points:
        where = f"point {point.fuelling_point}"
        _check_unit(where, point.address, checked)
        if point.address in units:
            raise WiringError(
                f"points {units[point.address]} and {point.fuelling_point} share unit {point.address}",
                hint="give each device a unit address of its own, in the device and here",
            )
        if len(point.nozzles) != 1:
            raise WiringError(
                f"{where}: nozzles {list(point.nozzles)}; a register map tells one total",
                hint="give each point of a Modbus line exactly one nozzle",
            )
        units[point.address] = point.fuelling_point


def _check_unit(where: str, unit: int, checked: Options) -> None:
    last = LAST_UNIT if checked.transport == TCP else LAST_SERIAL_UNIT
    first = BROADCAST if checked.transport == TCP else BROADCAST + 1
    if not first <= unit <= last:
        raise WiringError(f"{where}: {unit} is no unit address", hint=f"write {first} to {last}")


SPEC = DriverSpec(
    protocol="modbus",
    kind="dispenser",
    serial_defaults=SERIAL_DEFAULTS,
    check_options=partial(options.check, "dispenser"),
    make_devices=make_points,
    capabilities=CAPABILITIES,
    field_kit="drivers.modbus.dissect:KIT",
    describe=partial(_describe, "dispenser"),
    decimals=Decimals(volume=3),
    one_nozzle=True,
)
GAUGE_SPEC = DriverSpec(
    protocol="modbus-gauge",
    kind="tank-gauge",
    serial_defaults=SERIAL_DEFAULTS,
    check_options=partial(options.check, "tank-gauge"),
    make_devices=make_gauge,
    capabilities=GAUGE_CAPABILITIES,
    field_kit="drivers.modbus.dissect:KIT",
    describe=partial(_describe, "tank-gauge"),
)
