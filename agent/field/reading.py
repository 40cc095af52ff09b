"""One reading from one device, without daemon and configuration: the driver itself on a port that remembers everything.

Reads only: the commands that this file can submit are listed in ``_Dispenser``. Knows no protocol.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.field.decoding import decode
from agent.field.diagnosis import Asked, Finding, diagnose
from agent.field.scan import answers, describe
from agent.field.traffic import Traffic, open_traced
from drivers import registry
from drivers.commands import ReadHeldSale, ReadTotalizer
from drivers.config import LineConfig, PointConfig, SerialSettings
from drivers.device import Device
from drivers.dissection import FieldKit, Piece
from drivers.errors import DriverError, PortLost, WiringError
from drivers.line import Line
from drivers.port import Port
from drivers.readings import (
    CardTap,
    CodeScan,
    CommandOutcome,
    CommandResult,
    DeviceStatus,
    FuellingPointReading,
    Reading,
    TankReading,
)
from drivers.registry import DriverSpec

LINE = "device"
POINT = 1
QUIET_S = 0.5  # a gauge that wants no question for so long has told what it tells at the start
ALL_NOZZLES = tuple(range(1, 10))


@dataclass(frozen=True, slots=True)
class Request:
    """What to read. ``address``: only where devices share a wire. ``nozzles``: whose totals to ask."""

    protocol: str
    port: str
    serial: SerialSettings = field(default_factory=SerialSettings)
    address: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    nozzles: tuple[int, ...] = (1,)
    timeout_s: float = 10.0


@dataclass(slots=True)
class Result:
    """What came of it. ``readings`` empty means that ``finding`` says why. ``told``: the device's own last frames.

    ``unchecked``: the driver would refuse what the device sends (no checksum), ``told`` is all there is.
    """

    kind: str
    serial: str
    options: Mapping[str, object]
    readings: list[Reading] = field(default_factory=list)
    told: list[Piece] = field(default_factory=list)
    unchecked: bool = False
    finding: Finding | None = None
    traffic: Traffic = field(default_factory=Traffic)


def read(request: Request, traffic: Traffic) -> Result:
    """Read once; ``traffic`` is filled meanwhile.

    Raises ``PortLost`` (``PortInUse``) when the port cannot be opened, ``WiringError`` for bad usage.
    """
    driver = registry.spec(request.protocol)
    kit = registry.field_kit(driver)
    _check(request, driver, kit)
    settings = _settings(request.serial, driver.serial_defaults)
    result = Result(driver.kind, describe(request.port, settings), request.options, traffic=traffic)
    first: Port | None = open_traced(_config(request, driver, {}), driver.serial_defaults, traffic)
    until = time.monotonic() + request.timeout_s
    offline: DeviceStatus | None = None
    attempts = list(kit.attempts(request.timeout_s)) if kit else [{}]
    for number, attempt in enumerate(attempts):
        options = {**attempt, **request.options}
        run = _Run(_config(request, driver, options), driver, traffic, first)
        first = None
        share_s = max(0.0, until - time.monotonic()) / (len(attempts) - number)
        result.readings = run.readings(request, time.monotonic() + share_s, until, kit)
        offline = run.offline
        if result.readings:
            result.options = options
            break
    if kit is not None and not result.readings:
        _ask_by_hand(request, driver, kit, result)
    if kit is not None:
        result.told = last_told(traffic, kit, request.address)
    if not result.readings and not result.unchecked:
        asked = Asked(request.protocol, request.port, request.address, driver.kind, result.serial)
        result.finding = diagnose(asked, kit, traffic, offline)
    return result


class _Run:
    """One attempt with one set of options: a line with one device, until it has told what it has to tell."""

    def __init__(self, config: LineConfig, driver: DriverSpec, traffic: Traffic, port: Port | None) -> None:
        self._config = config
        self._driver = driver
        self._traffic = traffic
        self._ready = port
        self._line = Line(config, driver.make_devices(config), self._open)
        self._device: Device = self._line.devices[0]
        self.offline: DeviceStatus | None = None
        """What the driver last said of its device, where that is not there."""

    def readings(self, request: Request, share_until: float, until: float, kit: FieldKit | None) -> list[Reading]:
        """Turn the line; past its share an attempt goes on only where frames have come that are intact."""
        found: list[Reading] = []
        dispenser = _Dispenser(request.nozzles)
        mark = len(self._traffic.chunks)
        extended = False
        try:
            while True:
                now = time.monotonic()
                if now >= until or (now >= share_until and not extended and not found):
                    extended = now < until and self._understands(mark, kit)
                    if not extended:
                        break
                for reading in self._line.turn():
                    if not isinstance(reading, DeviceStatus):
                        found.append(reading)
                    elif reading.device == self._device.device_id:
                        self.offline = None if reading.online else reading
                if self._complete(found, dispenser):
                    break
        finally:
            self._line.close()
        return found if _is_enough(found) else []

    def _complete(self, found: list[Reading], dispenser: _Dispenser) -> bool:
        if self._driver.kind == "dispenser":
            return dispenser.next(found, self._line)
        if self._driver.kind == "code-reader":
            return any(isinstance(reading, CodeScan | CardTap) for reading in found)
        return any(isinstance(reading, TankReading) for reading in found) and self._device.due_in_s() > QUIET_S

    def _understands(self, mark: int, kit: FieldKit | None) -> bool:
        if kit is None:
            return False
        heard = [chunk for chunk in self._traffic.chunks[mark:] if chunk.side == "b"]
        return any(
            one.piece.check == "ok" or (one.piece.check == "none" and one.piece.confidence >= 90)
            for one in decode(heard, kit)
        )

    def _open(self) -> Port:
        ready, self._ready = self._ready, None
        return ready or open_traced(self._config, self._driver.serial_defaults, self._traffic)


class _Dispenser:
    """After the first level: the held sale, then the totals, one after the other. No other command exists here."""

    def __init__(self, nozzles: Sequence[int]) -> None:
        self._left: list[ReadHeldSale | ReadTotalizer] = [
            ReadHeldSale("held", POINT),
            *(ReadTotalizer(f"total-{nozzle}", POINT, nozzle) for nozzle in nozzles),
        ]
        self._waiting: str | None = None

    def next(self, found: Sequence[Reading], line: Line) -> bool:
        """Submit the next question once the last has ended; returns whether all have."""
        if not any(isinstance(reading, FuellingPointReading) for reading in found):
            return False
        ended = {
            reading.command_id
            for reading in found
            if isinstance(reading, CommandResult) and reading.outcome is not CommandOutcome.LINK_ACKED
        }
        if self._waiting is not None and self._waiting not in ended:
            return False
        if not self._left:
            return True
        command = self._left.pop(0)
        self._waiting = command.command_id
        line.submit(command)
        return False


def last_told(traffic: Traffic, kit: FieldKit, address: int | None) -> list[Piece]:
    """The device's own last frame of each kind, as it stood on the wire; of another address none."""
    heard = [chunk for chunk in traffic.chunks if chunk.side == "b"]
    newest: dict[tuple[object, ...], Piece] = {}
    for one in decode(heard, kit):
        piece = one.piece
        if piece.confidence < 60 or piece.check == "bad" or piece.direction == "to_device":
            continue
        values = {entry.name: entry.value for entry in piece.fields}
        if address is not None and values.get("address") != address:
            continue
        names = tuple(entry.name for entry in piece.fields if not entry.framing)
        key = (piece.kind, values.get("function"), values.get("device"), values.get("counter"))
        newest[key if values.get("function") else (*key, names)] = piece
    return list(newest.values())


def _ask_by_hand(request: Request, driver: DriverSpec, kit: FieldKit, result: Result) -> None:
    """The driver got nothing out of it: put the kit's harmless questions, and look whether anybody else answers."""
    if driver.kind == "code-reader":
        return
    heard = [chunk for chunk in result.traffic.chunks if chunk.side == "b"]
    if driver.kind == "dispenser" and heard:
        return
    if driver.kind == "tank-gauge" and not any(one.piece.problem for one in decode(heard, kit)):
        return  # silent, or a clear answer such as 9999: asking again tells no more
    addresses = [address for address in kit.addresses if address != request.address]
    config = _config(request, driver, {})
    try:
        port = open_traced(config, driver.serial_defaults, result.traffic)
    except PortLost:
        return  # it was open a moment ago and its end stands in the readings; the finding tells what was heard
    try:
        for address in addresses:
            for probe in kit.probes(address):
                try:
                    pieces = answers(port, kit, probe)
                except PortLost:
                    port.close()
                    port = open_traced(config, driver.serial_defaults, result.traffic)
                    continue
                if driver.kind == "tank-gauge" and any(_is_inventory(piece) for piece in pieces):
                    result.unchecked = True
                    return
    except DriverError:
        return  # as above
    finally:
        port.close()


def _is_inventory(piece: Piece) -> bool:
    """A frame from the device with at least one value of a tank in it."""
    names = {entry.name for entry in piece.fields}
    sound = piece.check in ("ok", "missing") and not piece.problem.startswith("layout")
    return (sound and {"tank", "volume"} <= names) or "row" in names


def _is_enough(found: Sequence[Reading]) -> bool:
    return any(isinstance(reading, FuellingPointReading | TankReading | CodeScan | CardTap) for reading in found)


def _config(request: Request, driver: DriverSpec, options: Mapping[str, object]) -> LineConfig:
    points: tuple[PointConfig, ...] = ()
    if driver.kind == "dispenser":
        # With three decimals everywhere one digit on the wire is one ml, one minor unit, one thousandth.
        points = (
            PointConfig(
                POINT,
                request.address or 0,
                ALL_NOZZLES[:1] if driver.one_nozzle else ALL_NOZZLES,
                volume_decimals=3,
                amount_decimals=3,
                unit_price_decimals=3,
                currency_exponent=3,
                sends_commands=False,
            ),
        )
    return LineConfig(
        LINE,
        request.port,
        request.protocol,
        request.serial,
        {**options, **request.options},
        points,
        reader="device" if driver.kind == "code-reader" else "",
    )


def _settings(given: SerialSettings, defaults: SerialSettings) -> SerialSettings:
    return SerialSettings(
        given.baudrate or defaults.baudrate,
        given.data_bits or defaults.data_bits,
        given.parity or defaults.parity,
        given.stop_bits or defaults.stop_bits,
    )


def _check(request: Request, driver: DriverSpec, kit: FieldKit | None) -> None:
    problems = driver.check_options(request.options)
    if problems:
        key, problem, hint = problems[0]
        raise WiringError(f"option {key!r}: {problem}", hint=hint)
    if driver.kind == "dispenser" and request.address is None:
        first = kit.addresses.start if kit else 0
        raise WiringError(
            f"a {request.protocol} dispenser needs its address", hint=f"add --address 0x{first:02X}, or --scan"
        )
    if any(not 1 <= nozzle <= len(ALL_NOZZLES) for nozzle in request.nozzles):
        raise WiringError("nozzles are numbered 1 to 9", hint="write --nozzles 1,2")
