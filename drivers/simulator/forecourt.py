"""The whole simulated forecourt: world, pumps, console and readers put together.

Steppable without a thread or a port (``step``, ``pump(n).receive``, ``bus(name).receive``, ``console.receive``);
``server``
puts the same object on real ptys and TCP.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from drivers.simulator import (
    dart_pump,
    gilbarco_pump,
    h_gauge,
    lanfeng_pump,
    modbus_gauges,
    modbus_pumps,
    pd3_gauge,
    sens_probes,
    zhengxing_pump,
)
from drivers.simulator.buses import Bus, CommandLog, MakeBus, MakeGauge
from drivers.simulator.config import READER_KINDS, ConfigError, ForecourtConfig, LineConfig
from drivers.simulator.customers import UNHURRIED_SPEED, Scan
from drivers.simulator.dart_pump import DartBus, DartPump
from drivers.simulator.faults import FaultBoard, Strike, check_fault
from drivers.simulator.scanner import Scanner
from drivers.simulator.tapping import TapPlace
from drivers.simulator.tls_console import TlsConsole
from drivers.simulator.truth import Truth
from drivers.simulator.wallet import PlainWallet, Wallet
from drivers.simulator.world import World

DEFAULT_EPOCH = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
# faults of the console itself; the other gauge faults name a tank
CONSOLE_FAULTS = frozenset(
    {
        "gauge-silent",
        "units-changed",
        "gauge-clock-drift",
        "gauge-wrong-century",
        "gauge-reply-cut",
        "gauge-bad-checksum",
    }
)

BUSES: Mapping[str, MakeBus] = {
    "dart": dart_pump.make_bus,
    "gilbarco": gilbarco_pump.make_bus,
    "lanfeng": lanfeng_pump.make_bus,
    "modbus": modbus_pumps.make_dispensers,
    "modbus-pulse": modbus_pumps.make_pulse_counters,
    "modbus-log": modbus_pumps.make_fleet_logs,
    "zhengxing": zhengxing_pump.make_bus,
}
"""Who makes the wire of a line, by its protocol."""

GAUGES: Mapping[str, MakeGauge] = {
    "aoke-pd3": pd3_gauge.make_gauge,
    "h-protocol": h_gauge.make_gauge,
    "modbus-gauge": modbus_gauges.make_block_gauge,
    "modbus-gauge-select": modbus_gauges.make_select_gauge,
    "sens-pmp": sens_probes.make_probes,
}
"""Who makes the wire of a gauge that is not the console."""


class Forecourt:
    """``log`` has everything masters said; ``world.truth`` what really happened. ``speed`` only scales fault times
    here.
    """

    def __init__(
        self,
        config: ForecourtConfig,
        *,
        seed: int = 1,
        speed: float = 1.0,
        faults: tuple[str, ...] = (),
        epoch: datetime = DEFAULT_EPOCH,
        truth_dir: Path | None = None,
        wallet: Wallet | None = None,
    ) -> None:
        """``wallet``: what the members carry; plain cards where there is none."""
        config.check()
        self.config = config
        self.seed = seed
        self.speed = speed
        self.faults = faults
        self.board = FaultBoard(seed, speed)
        for name in faults:
            self.board.schedule(name)
        self.log = CommandLog()
        self.world = World(config, seed, board=self.board, truth=Truth(truth_dir))
        self.buses: dict[str, Bus] = {line.name: self._bus(line) for line in config.lines}
        self.console = TlsConsole(config.console, self.world.tanks, self.board, epoch=epoch, log=self.log)
        self.wallet: Wallet = PlainWallet() if wallet is None else wallet
        patience = max(1.0, speed / UNHURRIED_SPEED)
        kinds = {kind: [reader for reader in config.readers if reader.kind == kind] for kind in READER_KINDS}
        self.scanners = {reader.name: Scanner(reader, self.board) for reader in kinds["scanner"]}
        self.tap_places = {reader.name: TapPlace(self.world.typed, patience) for reader in kinds["pn532"]}
        self._strike(self.board.due(0))

    @property
    def truth(self) -> Truth:
        """The simulator's own account."""
        return self.world.truth

    def pump(self, number: int) -> DartPump:
        """The pump of a fuelling point on a DART line."""
        buses = [bus for bus in self.buses.values() if isinstance(bus, DartBus)]
        return next(pump for bus in buses for pump in bus.pumps if pump.head.number == number)

    def bus(self, name: str) -> Bus:
        """The dispenser wire of that name."""
        return self.buses[name]

    def step(self, now_ms: int) -> None:
        """Everything up to ``now_ms`` (simulated) happens; struck faults begin."""
        self._strike(self.board.due(now_ms))
        self.world.step(now_ms)
        for place in self.tap_places.values():
            place.step(self.world.now_ms)
        self.console.step(self.world.now_ms)

    def typed(self) -> list[tuple[str, bytes]]:
        """What readers type since the last call, as (reader, chunk); it counts as typed from here on."""
        return [(scan.reader, chunk) for scan in self.world.take_scans() for chunk in self.type_scan(scan)]

    def type_scan(self, scan: Scan) -> list[bytes]:
        """The bytes of one scan, entered into the truth; a chip is laid down and types nothing."""
        place = self.tap_places.get(scan.reader)
        if place is not None:
            place.lay(self.wallet.chip(scan.text), scan)
            return []
        self.world.typed(scan)
        return self.scanners[scan.reader].type_text(self.wallet.text(scan.text))

    def let_in(self) -> None:
        """Opening time, where the configuration waits for it: customers come from now on."""
        self.world.let_in()

    def close(self) -> None:
        """Closing time: no new customers, running fuellings complete, everything goes on answering."""
        self.world.close()

    @property
    def quiet(self) -> bool:
        """Closed and everybody gone."""
        return self.world.quiet

    def inject(
        self,
        name: str,
        *,
        point: int | None = None,
        tank: int | None = None,
        line: str | None = None,
        reader: str | None = None,
        times: int | None = None,
        for_s: float | None = None,
    ) -> None:
        """Start a fault now, on one target or (none given) on all of its scope; see ``FaultBoard.inject``.

        Raises ``UnknownFault`` for a name that does not exist and ``ValueError`` for a target of the wrong kind.
        """
        fault = check_fault(name)
        wanted = {
            "pump": ("point", point),
            "line": ("line", line),
            "gauge": ("tank", tank),
            "scanner": ("reader", reader),
        }
        given = [label for label, value in wanted.values() if value is not None]
        label, target = wanted[fault.scope]
        if given not in ([], [label]):
            raise ValueError(f"fault {name} is one of a {fault.scope}: give {label}=..., not {', '.join(given)}")
        if target is not None and target not in self._targets(fault.scope):
            raise ValueError(f"fault {name}: there is no {label} {target!r}; there are {self._targets(fault.scope)}")
        if name in CONSOLE_FAULTS:
            target = None
        self.board.inject(name, target, times=times, for_s=for_s)

    def clear(self, name: str | None = None) -> None:
        """End one fault, or all of them."""
        self.board.clear(name)

    def _bus(self, line: LineConfig) -> Bus:
        if line.protocol in GAUGES:
            return GAUGES[line.protocol](line, self.world.tanks, self.board, self.log)
        make = BUSES.get(line.protocol)
        if make is None:
            known = ", ".join(sorted({*BUSES, *GAUGES}))
            raise ConfigError(f"line {line.name}: {line.protocol!r} is not simulated; write {known}")
        return make(line, self.world.heads, self.board, self.log)

    def _targets(self, scope: str) -> list[int | str]:
        return {
            "pump": list[int | str](self.world.heads),
            "line": list[int | str](self.buses),
            "gauge": list[int | str](self.world.tanks),
            "scanner": list[int | str](self.scanners),
        }[scope]

    def _strike(self, strikes: list[Strike]) -> None:
        """A scheduled fault begins on one target that the seed chooses."""
        for strike in strikes:
            targets = self._targets(strike.fault.scope)
            target = self.board.rng.choice(targets) if targets else None
            self.board.inject(strike.fault.name, None if strike.fault.name in CONSOLE_FAULTS else target)
            self.truth.add("fault", strike.t_ms, name=strike.fault.name, target=target)
