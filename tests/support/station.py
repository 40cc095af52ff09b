"""A whole station in one thread on a virtual clock: simulator, drivers, pipeline, store, link and head office.

Put together as ``agent.daemon`` does it; everything comes from one seed. Knows no scenario and judges nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from agent.daemon import _deliver
from agent.failpoints import SimulatedCrash
from agent.inbox import Asked, FromHeadOffice, Inbox, Item, Person, Ticked
from agent.live import LiveBoard
from agent.pipeline import Pipeline
from agent.pipeline.step import Outlets
from agent.store.store import Store
from drivers.commands import Command, GaugeCommand
from drivers.device import of_points
from drivers.errors import DriverError
from drivers.line import Line
from drivers.readings import Reading
from drivers.registry import make_line
from drivers.simulator.buses import QUIET, MasterCommand
from drivers.simulator.config import CustomerConfig, ForecourtConfig, default_config
from drivers.simulator.forecourt import Forecourt
from drivers.simulator.world import TICK_MS
from sync import ports
from sync.messages import Message
from sync.signing import PinnedKeys, public_jwks
from tests.support.head_office_says import INDEX_KEY, KEYS, SIGNING_KEY, members_of, rule_set
from tests.support.station_checks import rows, sales_of
from tests.support.station_copies import begin, database_image, write_mark
from tests.support.station_settings import STATION, Plan, forecourt_config, station_settings
from tests.support.virtual_link import INSTALL, Broker, HeadOffice, VirtualLink, link_of
from tests.support.virtual_wire import VirtualWire

EPOCH = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
EPOCH_MS = int(EPOCH.timestamp()) * 1000
BOOT_MS = 1_000_000
TURN_LEAST_S = 0.001
NO_PORT_S = 0.05
SLEEPY_S = 1.0
"""A reader without bytes and an idle gauge are looked at so often: their turns would only wait."""

LINK_EVERY_S = 0.25
SECOND_S = 1.0
MAX_TURNS = 2_000_000
"""Of one run: days of virtual time; past this the clock stands still."""


class VirtualClock:
    """``agent.clock.Clock`` moved by the station; ``offset_ms`` is how far the wall clock was set away."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.offset_ms = 0
        self.word = "ntp"

    def wall_ms(self) -> int:
        """See Clock."""
        return max(0, EPOCH_MS + self.elapsed_ms + self.offset_ms)

    def mono_ms(self) -> int:
        """See Clock."""
        return BOOT_MS + self.elapsed_ms

    @property
    def elapsed_ms(self) -> int:
        """Virtual milliseconds since the beginning."""
        return round(self.now_s * 1000)

    def quality(self) -> str:
        """See Clock."""
        return self.word

    def sleep(self, seconds: float) -> None:
        """See Clock."""
        self.now_s += seconds


@dataclass
class Wired:
    """A line with its cable: what its last turn gave is delivered when the clock has reached the end of that turn."""

    name: str
    wire: VirtualWire
    line: Line
    kind: str
    due_s: float = 0.0
    quiet_turns: int = 0
    generation: int = 0
    readings: list[Reading] = dataclasses.field(default_factory=list)


class VirtualStation:
    """``run(until_ms)`` moves everything; ``crash`` forgets everything in memory; ``seed`` decides all chance."""

    def __init__(self, seed: int, directory: Path, plan: Plan | None = None) -> None:
        self.seed = seed
        self.plan = Plan() if plan is None else plan
        self.directory = directory
        self.clock = VirtualClock()
        self.random = Random(f"station:{seed}")
        config = forecourt_config(default_config("", islands=self.plan.islands), self.plan.protocol)
        customers = CustomerConfig() if self.plan.customers is None else self.plan.customers
        self.config: ForecourtConfig = dataclasses.replace(
            config, customers=customers, cards=config.cards[: self.plan.card_count]
        )
        self.forecourt = Forecourt(self.config, seed=seed, epoch=EPOCH)
        self.settings = station_settings(directory, self.config, self.plan)
        self.broker = Broker(Random(f"broker:{seed}"))
        self.head_office: HeadOffice | None = None
        if self.plan.has_head_office:
            self.head_office = HeadOffice(directory / "hq.db", STATION)
        self.commands: list[MasterCommand] = []
        self._noted: MasterCommand | None = None
        self.starts: list[int] = []
        self.statuses: list[tuple[int, str, bool]] = []
        self.crashes: list[str] = []
        self.is_up = False
        self._second_s = SECOND_S
        self._link_s = LINK_EVERY_S
        self._seconds = 0
        self._turns = 0
        self._begins_anew = False
        self.install = INSTALL
        self.keys = KEYS
        self.wires = self._cables()
        self.start()

    # --- the agent ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """The agent starts on the database as it is."""
        self.store = Store(self.settings.store.path, station=STATION, random=self.random)
        boot = f"boot-{len(self.starts) + 1}"
        stopped = begin(self, boot)
        self.inbox: Inbox[Item] = Inbox()
        self.live = LiveBoard(started_ms=self.clock.wall_ms())
        self._note_commands()
        self.starts.append(len(self.commands))
        self.lines = {name: self._line(name, wire) for name, wire in self.wires.items()}
        self.link: VirtualLink | None = None
        self.is_up = True
        self.pipeline = Pipeline(
            store=self.store,
            settings=self.settings,
            clock=self.clock,
            boot=boot,
            start=f"{self.random.getrandbits(32):08x}",
            random=self.random,
            live=self.live,
            index_key=INDEX_KEY,
            capabilities=of_points(device for wired in self.lines.values() for device in wired.line.devices),
            outlets=Outlets(self._send, lambda: None, self._begin_anew, self._publish),
            pinned=PinnedKeys.from_jwks(public_jwks(SIGNING_KEY)),
            keys=self.keys,
        )
        if self.head_office is not None and stopped is None:
            self.link = self._new_link(boot)

    def _begin_anew(self) -> None:
        self._begins_anew = True

    def _publish(self, name: str, message: Message) -> None:
        if self.link is not None:
            self.link.tell(self.clock.now_s, name, message)

    def crash(self, why: str = "killed") -> None:
        """Everything in memory is gone; the files are what they were at this instant."""
        self.crashes.append(why)
        path, image = self.settings.store.path, database_image(self)
        self._begins_anew = False
        if self.link is not None:
            self.link.close()
        self.store.roll_back()
        self.store.close()
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
        path.with_name(path.name + "-wal").unlink(missing_ok=True)
        for file, content in image.items():
            file.write_bytes(content)
        self.is_up = False
        self.link = None
        for wired in self.lines.values():
            wired.readings = []

    def restart(self, down_s: float = 0.0) -> None:
        """Start again after ``down_s`` in which the forecourt went on without us."""
        self.world_only(down_s)
        self.start()

    def world_only(self, seconds: float) -> None:
        """Time passes while no agent runs."""
        assert not self.is_up
        end_s = self.clock.now_s + seconds
        while self.clock.now_s < end_s:
            self._reach(min(end_s, self.clock.now_s + 0.1))
            for name, _chunk in self.forecourt.typed():
                assert name in self.forecourt.scanners
        for wire in self.wires.values():
            wire.now_s = max(wire.now_s, self.clock.now_s)
        self._second_s = self.clock.now_s + SECOND_S
        self._link_s = self.clock.now_s + LINK_EVERY_S

    def handle(self, item: Item) -> None:
        """Give one item to the pipeline, as if it came next in the inbox."""
        self.inbox.put(item)
        self._drain()

    def ask(self, op: str, *, role: str = "supervisor", person: str = "wang", **args: Any) -> dict[str, Any]:
        """Ask as a person; returns the whole answer of the control socket."""
        asked = Asked(op, args, Person(person, role))
        self.handle(asked)
        answer = asked.reply.wait(0.0)
        assert answer is not None
        return answer

    def publish_rules_and_members(self) -> None:
        """What head office sends to a new station: a rule set and the members of all cards."""
        self.handle(rule_set(1))
        self.handle(members_of(self.config.cards))

    # --- time ---------------------------------------------------------------------------------------------------------

    def run(self, until_ms: int) -> None:
        """Everything happens up to ``until_ms`` of virtual time. Raises SimulatedCrash at an armed failpoint."""
        while self.clock.elapsed_ms < until_ms:
            self._turns += 1
            assert self._turns < MAX_TURNS, "virtual time stands still"
            wired = min(self.lines.values(), key=lambda w: w.due_s)
            next_s = min(wired.due_s, self._second_s, self._link_s)
            self._reach(max(self.clock.now_s, min(next_s, until_ms / 1000)))
            self._scans()
            if next_s > until_ms / 1000:
                continue
            if next_s == self._second_s:
                self._tick()
            elif next_s == self._link_s:
                self._exchange()
            else:
                self._turn(wired)
            if self._begins_anew:
                self.crash("new incarnation")
                self.start()

    def run_for(self, seconds: float) -> None:
        """As ``run`` from now on."""
        self.run(round((self.clock.now_s + seconds) * 1000))

    def run_surviving(self, seconds: float, down_s: float = 0.0) -> None:
        """As ``run_for``; a simulated crash kills whom it hit, who starts again."""
        until_ms = round((self.clock.now_s + seconds) * 1000)
        while True:
            try:
                self.run(until_ms)
            except SimulatedCrash as crash:
                if str(crash).startswith("hq."):
                    self.crashes.append(str(crash))
                else:
                    self.crash(str(crash))
                    self.restart(down_s)
                continue
            return

    def wait(self, condition: Callable[[], bool], what: str, limit_s: float = 60.0) -> float:
        """Run until ``condition``; returns after how many seconds. Fails after ``limit_s`` of virtual time."""
        started_s = self.clock.now_s
        while not condition():
            waited_s = self.clock.now_s - started_s
            assert waited_s < limit_s, f"seed {self.seed}: not within {limit_s} s: {what}"
            self.run_for(0.1)
        return self.clock.now_s - started_s

    def run_out(self, limit_s: float = 300.0) -> None:
        """Closing time: everybody finishes, everything is read out, settled and delivered."""
        self.forecourt.close()
        self.wait(lambda: self.forecourt.quiet, "customers leave", limit_s)
        self.run_for(10)

    def _reach(self, now_s: float) -> None:
        self.clock.now_s = now_s
        tick_ms = self.clock.elapsed_ms - self.clock.elapsed_ms % TICK_MS
        if tick_ms <= self.forecourt.world.now_ms:
            return
        self.forecourt.step(tick_ms)
        self._pull_cables()
        self._note_commands()

    def _note_commands(self) -> None:
        """Keep what was ordered, and what a fuelling point was asked where its totals come with every answer."""
        new: list[MasterCommand] = []
        for entry in reversed(self.forecourt.log.entries):
            if entry is self._noted:
                break
            new.append(entry)
        self._noted = new[0] if new else self._noted
        self.commands += [e for e in reversed(new) if e.name not in QUIET or (e.name == "INQUIRY" and e.point)]

    def _scans(self) -> None:
        for name, chunk in self.forecourt.typed():
            if self.plan.scans_arrive:
                self.type(name, chunk)

    def type(self, reader: str, chunk: bytes) -> None:
        """A reader types now."""
        wired = self.lines[f"reader-{reader}"]
        wired.wire.arrive(self.clock.now_s, chunk)
        wired.due_s = min(wired.due_s, self.clock.now_s)

    def scan(self, reader: str, text: str) -> None:
        """A reader sees a code now."""
        self.type(reader, f"{text}\r\n".encode("latin-1"))
        self.run_for(0.3)

    def _turn(self, wired: Wired) -> None:
        wire = wired.wire
        if wired.readings:
            readings, wired.readings = wired.readings, []
            for reading in readings:
                wired.generation = _deliver(self.inbox, self.clock, wired.name, reading, wired.generation)
            self._note(readings)
            self._drain()
        wire.now_s = max(wire.now_s, self.clock.now_s)
        had_bytes = wire.has_bytes
        wired.readings = wired.line.turn()
        if wire.now_s <= self.clock.now_s:
            wire.now_s = self.clock.now_s + (TURN_LEAST_S if wired.line.is_open else NO_PORT_S)
        wired.quiet_turns = 0 if wired.readings or had_bytes else wired.quiet_turns + 1
        wired.due_s = wire.now_s
        if wired.kind != "dispenser" and wired.quiet_turns > 12:
            wired.due_s = self.clock.now_s + SLEEPY_S

    def _note(self, readings: list[Reading]) -> None:
        for reading in readings:
            if type(reading).__name__ == "DeviceStatus":
                self.statuses.append((self.clock.elapsed_ms, reading.device, reading.online))  # type: ignore[union-attr]

    def _drain(self) -> None:
        while len(self.inbox):
            item = self.inbox.get(0.0)
            assert item is not None
            self.pipeline.handle(item)

    def _tick(self) -> None:
        self._second_s = self.clock.now_s + SECOND_S
        self._seconds += 1
        self.handle(Ticked("second"))
        if self.plan.has_mark and self.link is not None:
            write_mark(self)
        if self._seconds % 60 == 0:
            self.handle(Ticked("minute"))

    def _exchange(self) -> None:
        self._link_s = self.clock.now_s + LINK_EVERY_S
        if self.link is None or self.head_office is None:
            return
        now_s = self.clock.now_s
        for packet in self.broker.due(now_s):
            if packet.up:
                for name, payload in self.head_office.answer(packet, self.clock.wall_ms()):
                    self.broker.carry(now_s, name, payload, up=False)
            else:
                self.link.take(now_s, packet)
        self.link.step(now_s)
        self._drain()

    # --- wires --------------------------------------------------------------------------------------------------------

    def _cables(self) -> dict[str, VirtualWire]:
        wires: dict[str, VirtualWire] = {}
        for line in self.config.lines:
            wires[line.name] = VirtualWire(self._bus_peer(line.name))
        question = self.forecourt.console.reader()

        def console(data: bytes) -> list[tuple[float, bytes]]:
            return [(0.0, self.forecourt.console.answer(asked)) for asked in question.feed(data)]

        wires["gauge"] = VirtualWire(console)
        for reader in self.config.readers:
            wires[f"reader-{reader.name}"] = VirtualWire()
        return wires

    def _bus_peer(self, name: str) -> Callable[[bytes], list[tuple[float, bytes]]]:
        bus = self.forecourt.bus(name)
        return lambda data: [(reply.delay_ms / 1000, reply.data) for reply in bus.exchange(data)]

    def _pull_cables(self) -> None:
        board = self.forecourt.board
        for name, wire in self.wires.items():
            reader = name.removeprefix("reader-")
            fault, target = ("scanner-unplugged", reader) if reader != name else ("cable-pulled", name)
            if target == "gauge":
                continue
            pulled = board.active(fault, target)
            if pulled and wire.plugged:
                wire.pull()
            elif not pulled and not wire.plugged:
                wire.plug()
            if wire.plugged and fault == "cable-pulled" and board.hit("cable-renamed", name):
                wire.pull()
                wire.plug()

    def _line(self, name: str, wire: VirtualWire) -> Wired:
        config = next(c for c in self.settings.line_configs() if c.id == name)
        line = make_line(config, open_port=wire.open, monotonic=wire.monotonic)
        wire.now_s = max(wire.now_s, self.clock.now_s)
        kind = "dispenser" if config.points else ("gauge" if config.tanks else "reader")
        return Wired(name, wire, line, kind, due_s=self.clock.now_s)

    def _send(self, command: Command) -> None:
        if isinstance(command, GaugeCommand):
            name = command.gauge.removeprefix("gauge:")
        else:
            name = next(p.line for p in self.settings.fuelling_point if p.id == command.fuelling_point)
        try:
            self.lines[name].line.submit(command)
        except DriverError as failure:
            self.statuses.append((self.clock.elapsed_ms, f"refused {type(failure).__name__}", False))

    def _put_event(self, event: ports.LinkEvent) -> None:
        self.inbox.put(FromHeadOffice(event))

    def _new_link(self, boot: str) -> VirtualLink:
        return link_of(
            self.store,
            clock=self.clock,
            boot=boot,
            broker=self.broker,
            deliver=self._put_event,
            rng=Random(self.random.getrandbits(64)),
            install=self.install,
        )

    # --- people -------------------------------------------------------------------------------------------------------

    def lift(self, point: int, nozzle: int = 1) -> None:
        """Somebody takes a nozzle."""
        self.forecourt.world.heads[point].lift(nozzle)

    def hang_up(self, point: int) -> None:
        """Somebody hangs the nozzle up."""
        self.forecourt.world.heads[point].hang_up()

    def wait_for_flow(self, point: int, limit_s: float = 60.0) -> None:
        """Run until the pump lets fuel flow."""
        self.wait(self.forecourt.world.heads[point].can_flow, f"point {point} is authorised", limit_s)

    def flow(self, point: int, volume_ml: int, seconds: float = 4.0) -> None:
        """Fuel flows for some time."""
        parts = max(1, round(seconds / 0.5))
        units, rest = divmod(volume_ml // 10, parts)
        for part in range(parts):
            flowed = self.forecourt.world.heads[point].deliver(units + (rest if part == 0 else 0))
            assert flowed, f"seed {self.seed}: no flow at point {point}"
            self.run_for(0.5)

    def fuel(self, point: int, volume_ml: int, nozzle: int = 1) -> None:
        """A whole fuelling, seen to its booking."""
        before = len(self.sales())
        self.lift(point, nozzle)
        self.wait_for_flow(point)
        self.flow(point, volume_ml)
        self.hang_up(point)
        self.wait(lambda: len(self.sales()) > before, f"the sale at point {point} is booked")

    def sales(self) -> list[dict[str, Any]]:
        """Every booked sale in the order of booking."""
        return sales_of(self)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Rows of the station's database, read beside the agent."""
        return rows(self.settings.store.path, sql)

    def close(self) -> None:
        """End politely."""
        if self.is_up:
            if self.link is not None:
                self.link.close()
            self.store.close()
        if self.head_office is not None:
            self.head_office.close()
