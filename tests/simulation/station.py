"""One simulated station: the agent's real parts on virtual wires and a virtual clock, asked only when something is new.

Idle polls are leapt over; every reading, command, commit and message is the real one. Injects nothing, judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from agent.daemon import _deliver
from agent.inbox import Asked, FromHeadOffice, Inbox, Item, Person, Ticked
from agent.live import LiveBoard
from agent.pipeline import Pipeline
from agent.pipeline.step import Outlets
from agent.settings import Settings
from agent.settings.model import StoreSettings
from agent.store.store import Store
from drivers.commands import Command, GaugeCommand
from drivers.device import of_points
from drivers.errors import DriverError
from drivers.line import Line
from drivers.readings import CommandOutcome, CommandResult, DeviceStatus, FuellingPointReading, Reading, TankReading
from drivers.registry import make_line
from drivers.simulator.buses import MasterCommand
from drivers.simulator.forecourt import Forecourt
from sync import ports
from tests.simulation import disk
from tests.simulation.clock import SimClock
from tests.simulation.journal import EventLog
from tests.simulation.network import SimBroker
from tests.simulation.world import leap
from tests.support.head_office_says import INDEX_KEY
from tests.support.station_checks import rows
from tests.support.station_settings import STATION, Plan, station_settings
from tests.support.virtual_link import VirtualLink, link_of
from tests.support.virtual_wire import VirtualWire

TURN_LEAST_S = 0.001
NO_PORT_S = 0.25
NAP_S = 900.0
"""An idle pump is looked at so often; in between it has nothing to say that it would not say then."""

TICK_LEAST_S = 20.0
GAUGE_LEAST_S = 55.0
GAUGE_STALE_S = 58.0
LINK_REST_S = 600.0
LATEST_S = 180.0


@dataclass
class Wired:
    """A line with its cable; what a turn gave is delivered when the clock has reached the end of that turn."""

    name: str
    wire: VirtualWire
    line: Line
    kind: str
    points: tuple[int, ...]
    devices: int
    due_s: float = 0.0
    flow_s: float = 0.0
    quiet_turns: int = 0
    generation: int = 0
    readings: list[Reading] = field(default_factory=list)
    under_way: set[str] = field(default_factory=set)
    online: dict[str, bool] = field(default_factory=dict)

    def wake(self, now_s: float) -> None:
        """Something is new on this wire."""
        self.quiet_turns = 0
        self.due_s = min(self.due_s, now_s)


class SimStation:
    """``step`` does the next thing that is due; ``die`` forgets everything in memory; ``start`` begins again."""

    def __init__(
        self, seed: int, directory: Path, plan: Plan, forecourt: Forecourt, broker: SimBroker, clock: SimClock
    ) -> None:
        self.seed = seed
        self.directory = directory
        self.forecourt = forecourt
        self.config = forecourt.config
        self.broker = broker
        self.clock = clock
        self.random = Random(f"station:{seed}")
        self.log = EventLog()
        self.flow_step_ms = self.random.choice((6_000, 12_000, 25_000))
        self.settings = _settings(directory, forecourt, plan)
        self.commands: list[MasterCommand] = []
        self.starts: list[int] = []
        self.crashes: list[str] = []
        self.head_office: object | None = None
        self.is_up = False
        self.wires = self._cables()
        self._heads = forecourt.world.heads
        self._line_of = {p.id: p.line for p in self.settings.fuelling_point}
        self._configs = {config.id: config for config in self.settings.line_configs()}

    # --- the process --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """The agent starts on the database as it is."""
        now_s = self.clock.now_s
        self.store = Store(self.settings.store.path, station=STATION, random=self.random)
        self.inbox: Inbox[Item] = Inbox()
        self._note_commands()
        boot = f"boot-{len(self.starts) + 1}"
        self.starts.append(len(self.commands))
        self.lines = {name: self._line(name, wire) for name, wire in self.wires.items()}
        self.link: VirtualLink | None = None
        self.is_up = True
        self.active_s = self.tick_s = self.link_s = self.gauge_s = now_s
        self.minute_s = now_s + LINK_REST_S
        self.log.note(self.clock.elapsed_ms, f"the agent starts: {boot}")
        self.pipeline = Pipeline(
            store=self.store,
            settings=self.settings,
            clock=self.clock,
            boot=boot,
            start=f"{self.random.getrandbits(32):08x}",
            random=self.random,
            live=LiveBoard(started_ms=self.clock.wall_ms()),
            index_key=INDEX_KEY,
            capabilities=of_points(device for wired in self.lines.values() for device in wired.line.devices),
            outlets=Outlets(self._send, self._wake_link),
        )
        if self.head_office is not None:
            self.link = self._new_link(boot)

    def die(self, why: str) -> None:
        """Everything in memory is gone; the files are what they were at this instant."""
        self.crashes.append(why)
        self.log.note(self.clock.elapsed_ms, f"the agent dies: {why}")
        self.is_up = False
        link, self.link = self.link, None
        disk.kill(self.store, self.settings.store.path, link.close if link is not None else lambda: None)

    def close(self) -> None:
        """End politely."""
        if self.is_up:
            if self.link is not None:
                self.link.close()
            self.store.close()
            self.is_up = False

    # --- time ---------------------------------------------------------------------------------------------------------

    def next_s(self) -> float:
        """When the next thing of the agent is due."""
        due_s = min(self.tick_s, self.link_s)
        for wired in self.lines.values():
            if wired.due_s < due_s:
                due_s = wired.due_s
        return due_s

    def reach(self, now_s: float) -> None:
        """The clock goes on to ``now_s``, and the forecourt with it; whose state has changed is polled."""
        self.clock.now_s = now_s
        leap(self.forecourt, self.clock.elapsed_ms, self.flow_step_ms)
        self._note_commands()
        if self.is_up:
            self.pull_cables()
            for wired in self.lines.values():
                if wired.kind == "dispenser" and wired.due_s > now_s and self._has_news(wired, now_s):
                    wired.wake(now_s)
        for name, chunk in self.forecourt.typed():
            if self.is_up:
                wired = self.lines[f"reader-{name}"]
                wired.wire.arrive(now_s, chunk)
                wired.wake(now_s)

    def step(self) -> None:
        """Do everything of the agent that is due now. Raises SimulatedCrash, or what a failing disk raises."""
        now_s = self.clock.now_s
        for wired in self.lines.values():
            if wired.due_s <= now_s:
                self._turn(wired)
        if self.tick_s <= now_s:
            self._tick(now_s)
        if self.link_s <= now_s:
            self._exchange(now_s)

    def handle(self, item: Item) -> None:
        """Give one item to the pipeline, as if it came next in the inbox."""
        self.inbox.put(item)
        self._drain()

    def ask(self, op: str, **args: Any) -> dict[str, Any]:
        """Ask as a supervisor; returns the whole answer of the control socket."""
        asked = Asked(op, args, Person("wang", "supervisor"))
        self.handle(asked)
        answer = asked.reply.wait(0.0)
        assert answer is not None
        return answer

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Rows of the station's database, read beside the agent."""
        return rows(self.settings.store.path, sql)

    def rest(self) -> None:
        """The wires have stood still while no agent ran."""
        for wire in self.wires.values():
            wire.now_s = max(wire.now_s, self.clock.now_s)

    def _has_news(self, wired: Wired, now_s: float) -> bool:
        """Whether a poll would tell something new; of a flow only the next step, as polls take turns on a wire."""
        for point in wired.points:
            pending = self._heads[point].pending
            if pending and (pending != ["filled"] or now_s >= wired.flow_s):
                wired.flow_s = now_s + self.flow_step_ms / 1_000
                return True
        return False

    # --- turns --------------------------------------------------------------------------------------------------------

    def _turn(self, wired: Wired) -> None:
        wire, now_s = wired.wire, self.clock.now_s
        if wired.readings:
            self._deliver(wired)
        wire.now_s = max(wire.now_s, now_s)
        had_bytes = wire.has_bytes
        wired.readings = wired.line.turn()
        if wire.now_s <= now_s:
            wire.now_s = now_s + (TURN_LEAST_S if wired.line.is_open else NO_PORT_S)
        news = had_bytes or any(type(reading) is not FuellingPointReading for reading in wired.readings)
        wired.quiet_turns = 0 if news else wired.quiet_turns + 1
        wired.due_s = wire.now_s if wired.readings else self._rest_s(wired)

    def _rest_s(self, wired: Wired) -> float:
        """When to look at a line again: at once while something goes on, much later while nothing does."""
        at_s = wired.wire.now_s
        if not wired.line.is_open:
            return at_s
        own_s = min((at_s if due is None else due) for due in wired.line._due_at)
        own_s = max(at_s, own_s)
        if wired.under_way or wired.wire.has_bytes:
            return at_s if wired.under_way and any(d.due_in_s() <= 0 for d in wired.line.devices) else own_s
        if wired.kind == "dispenser":
            return at_s + NAP_S if self._is_quiet(wired, at_s) else own_s
        if wired.quiet_turns < wired.devices:
            return own_s
        if wired.kind == "reader":
            return at_s + NAP_S
        idle_s = at_s - self.active_s
        return max(own_s, self.gauge_s + max(GAUGE_LEAST_S, min(idle_s, LINK_REST_S)))

    def _is_quiet(self, wired: Wired, at_s: float) -> bool:
        """Whether the pumps of a line would only repeat themselves."""
        if self.forecourt.board.is_lasting or not all(wired.online.get(f"point:{point}") for point in wired.points):
            return False
        return not self._has_news(wired, at_s)

    def _deliver(self, wired: Wired) -> None:
        readings, wired.readings = wired.readings, []
        for reading in readings:
            if isinstance(reading, CommandResult):
                if reading.outcome is not CommandOutcome.LINK_ACKED:
                    wired.under_way.discard(reading.command_id)
            elif isinstance(reading, DeviceStatus):
                wired.online[reading.device] = reading.online
            elif isinstance(reading, TankReading):
                self.gauge_s = self.clock.now_s
            if wired.kind != "gauge":
                self.active_s = self.clock.now_s
            self.log.note(self.clock.elapsed_ms, f"{wired.name}: {reading}")
            wired.generation = _deliver(self.inbox, self.clock, wired.name, reading, wired.generation)
        self._drain()

    def _drain(self) -> None:
        while len(self.inbox):
            item = self.inbox.get(0.0)
            assert item is not None
            self.pipeline.handle(item)

    def _tick(self, now_s: float) -> None:
        gauge = self.lines["gauge"]
        if now_s - self.gauge_s > GAUGE_STALE_S and gauge.due_s > now_s and gauge.line.is_open:
            # nobody slept: the gauge was polled all the time, we only did not look
            self.gauge_s = now_s
            gauge.wake(now_s)
            self.tick_s = now_s + 2.0
            return
        self.tick_s = now_s + max(TICK_LEAST_S, min(now_s - self.active_s, LINK_REST_S))
        self.handle(Ticked("second"))
        if now_s >= self.minute_s:
            self.minute_s = now_s + LINK_REST_S
            self.handle(Ticked("minute"))

    def _exchange(self, now_s: float) -> None:
        self.link_s = now_s + LINK_REST_S
        if self.link is None:
            return
        self.link.step(now_s)
        self._drain()
        deadline_s = self.link.next_deadline()
        if deadline_s is not None:
            self.link_s = min(self.link_s, max(now_s + 0.25, deadline_s))

    def receive(self, packet: Any) -> None:
        """A message of head office arrives."""
        if self.link is not None:
            self.log.note(self.clock.elapsed_ms, f"arrives {packet.name}")
            self.link.take(self.clock.now_s, packet)
            self._drain()
            self.link_s = min(self.link_s, self.clock.now_s + 0.1)

    def _wake_link(self) -> None:
        """A journal that grew is told at once or, like a line that is slow, some records later."""
        if self.link_s > self.clock.now_s + LATEST_S:
            self.link_s = self.clock.now_s + self.random.choice((0.1, 10.0, 60.0, LATEST_S))

    # --- wires --------------------------------------------------------------------------------------------------------

    def _note_commands(self) -> None:
        fresh = self.forecourt.log.fresh
        while fresh:
            command = fresh.popleft()
            self.commands.append(command)
            self.log.note(command.t_ms, f"point {command.point} is told {command.name} {command.detail}")

    def pull_cables(self) -> None:
        """Ports vanish and come back as the faults say."""
        board = self.forecourt.board
        for name, wire in self.wires.items():
            if name == "gauge" or (wire.plugged and board.is_clear):
                continue
            reader = name.removeprefix("reader-")
            fault, target = ("scanner-unplugged", reader) if reader != name else ("cable-pulled", name)
            pulled = board.active(fault, target)
            if pulled and wire.plugged:
                wire.pull()
                self.lines[name].wake(self.clock.now_s)
            elif not pulled and not wire.plugged:
                wire.plug()
                self.lines[name].wake(self.clock.now_s)
            if wire.plugged and fault == "cable-pulled" and board.hit("cable-renamed", name):
                wire.pull()
                wire.plug()
                self.lines[name].wake(self.clock.now_s)

    def _cables(self) -> dict[str, VirtualWire]:
        wires = {line.name: VirtualWire(self._bus_peer(line.name)) for line in self.config.lines}
        question = self.forecourt.console.reader()

        def console(data: bytes) -> list[tuple[float, bytes]]:
            return [(0.0, self.forecourt.console.answer(asked)) for asked in question.feed(data)]

        wires["gauge"] = VirtualWire(console)
        for reader in self.config.readers:
            wires[f"reader-{reader.name}"] = VirtualWire()
        return wires

    def _bus_peer(self, name: str) -> Callable[[bytes], list[tuple[float, bytes]]]:
        bus = self.forecourt.bus(name)
        return lambda data: [(reply.delay_ms / 1_000, reply.data) for reply in bus.exchange(data)]

    def _line(self, name: str, wire: VirtualWire) -> Wired:
        config = self._configs[name]
        line = make_line(config, open_port=wire.open, monotonic=wire.monotonic)
        wire.now_s = max(wire.now_s, self.clock.now_s)
        kind = "dispenser" if config.points else ("gauge" if config.tanks else "reader")
        points = tuple(point for point, line_name in self._line_of.items() if line_name == name)
        return Wired(name, wire, line, kind, points, len(line.devices), due_s=self.clock.now_s)

    def _send(self, command: Command) -> None:
        if isinstance(command, GaugeCommand):
            wired = self.lines[command.gauge.removeprefix("gauge:")]
        else:
            wired = self.lines[self._line_of[command.fuelling_point]]
        try:
            wired.line.submit(command)
        except DriverError as failure:
            self.log.note(self.clock.elapsed_ms, f"{wired.name} refuses a command: {failure}")
            return
        wired.under_way.add(command.command_id)
        wired.wake(self.clock.now_s)

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
        )


def _settings(directory: Path, forecourt: Forecourt, plan: Plan) -> Settings:
    """The configuration, read once per kind of station: only the database's place differs from day to day."""
    key = (len(forecourt.config.lines), plan.settle, plan.settle_after, plan.timezone, plan.poll_ms, plan.amount_totals)
    made = _MADE.get(key)
    if made is None:
        made = _MADE[key] = station_settings(directory, forecourt.config, plan)
    store = StoreSettings(path=directory / "station.db", mark=directory / "mark.json")
    return made.model_copy(update={"store": store})


_MADE: dict[tuple[Any, ...], Settings] = {}
