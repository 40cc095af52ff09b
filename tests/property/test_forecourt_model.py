"""A small pump, its meter as the witness, and an agent that is killed, cut off and lied to at random."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, note, settings

from agent.domain.booking import Booking, Rules
from agent.domain.forecourt import durable, restore, step
from agent.domain.instant import Now
from agent.domain.point_events import Audit, Baseline, Book, ConfirmMeter, NeedsReconciliation, Send, Ticked
from agent.domain.point_state import ControlMode, NozzleConfig, Point, PointConfig
from drivers.commands import Acknowledge, Authorise, ReadSale, SetPrices
from drivers.readings import (
    CommandOutcome,
    CommandResult,
    CompletedSale,
    DeviceStatus,
    FuellingPointReading,
    HeldSale,
    PointState,
    TotalizerReading,
)
from tests.support.examples import tries

MODULUS = 100_000
UNIT_ML = 10
PRICE = 7850
USUAL = Rules(max_delta_ml=900_000)


@dataclass
class Pump:
    """A head with one memory: it forgets its last sale at RESET, and authorises only after it."""

    alone: bool = False
    renames: bool = False
    totals: dict[int, int] = field(default_factory=lambda: {1: MODULUS - 3_000, 2: 500})
    fraction: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0})
    state: str = "reset"  # reset | authorised | filling | completed
    out: int | None = None
    nozzle: int = 1
    volume: int = 0
    permitted: bool = False
    counted_ml: int = 0
    fuellings: int = 0
    restarts: int = 0

    def lift(self, nozzle: int) -> None:
        if self.out is None and self.state != "filling":
            self.out = nozzle
            if self.alone:
                self.state, self.volume = "authorised", 0
            if self.state in ("reset", "authorised"):
                self.nozzle = nozzle
            self.try_reset()

    def try_reset(self) -> None:
        if self.state == "completed" and self.permitted:
            self.state, self.volume, self.permitted = "reset", 0, False
            self.nozzle = self.out or self.nozzle

    def flow(self, units: int) -> None:
        if self.out is not None and self.state in ("authorised", "filling"):
            if self.state == "authorised":
                self.volume = 0
            self.fuellings += self.volume == 0 and units > 0
            self.state = "filling"
            self.volume += units * UNIT_ML
            self.totals[self.out] = (self.totals[self.out] + units) % MODULUS
            self.counted_ml += units * UNIT_ML

    def hang(self) -> None:
        if self.out is not None:
            self.out = None
            if self.state in ("filling", "authorised"):
                self.state, self.permitted = "completed", False

    def restart(self) -> None:
        self.volume, self.state, self.restarts = 0, "completed", self.restarts + 1
        self.permitted = False

    def reading(self) -> FuellingPointReading:
        out = self.out is not None
        known = {
            "reset": PointState.CALLING if out else PointState.IDLE,
            "authorised": PointState.STARTED if out else PointState.AUTHORISED,
            "filling": PointState.FUELLING,
            "completed": PointState.SUSPENDED_FUELLING if out else PointState.IDLE,
        }
        return FuellingPointReading(
            fuelling_point=1,
            state=known[self.state],
            nozzle=self.out or self.nozzle,
            nozzle_out=out,
            volume_ml=self.volume,
            amount_minor=self.amount(),
            unit_price_milli=PRICE,
            restarts=self.restarts,
        )

    def amount(self) -> int:
        return (2 * self.volume * PRICE * 100 + 1_000_000) // 2_000_000

    def bundle(self, command: ReadSale) -> CompletedSale:
        """``renames``: the nozzle that is out is named beside the display of the one before it."""
        totals = tuple(TotalizerReading(1, n, self.totals[n], UNIT_ML, MODULUS) for n in command.nozzles)
        named = self.out or self.nozzle if self.renames else self.nozzle
        held = HeldSale(1, named, self.volume, self.amount(), PRICE, token=f"{self.nozzle}/{self.volume}")
        return CompletedSale(command.command_id, 1, totals, held, totals)


class Station:
    """The pipeline in small: commit durable part and sales together, then send; a kill loses what was not committed."""

    def __init__(self, mode: ControlMode, rules: Rules = USUAL) -> None:
        nozzles = (NozzleConfig(1, "92", 1, PRICE), NozzleConfig(2, "95", 2, PRICE))
        self.config = PointConfig(1, mode, nozzles, "b0", rules)
        self.pump = Pump(alone=mode is ControlMode.MONITOR)
        self.disk: str | None = None
        self.sales: list[Booking] = []
        self.bases: dict[int, int] = {}
        self.boots = 0
        self.mono = 0
        self.accounted = False
        self.cut = False
        self.queue: list[object] = []
        self.point = restore(self.config, None, "b0")

    def event(self, event: object, kill: str = "") -> None:
        result = step(self.point, event, Now(1_700_000_000_000 + self.mono, self.mono))  # type: ignore[arg-type]
        if kill == "before":
            self.restart_agent()
            return
        assert result.durable_changed == (durable(result.point) != durable(self.point))
        self.point = result.point
        self.disk = json.dumps(durable(self.point))
        assert durable(restore(self.config, json.loads(self.disk), "x")) == durable(self.point)
        for effect in result.effects:
            if isinstance(effect, Book):
                self.sales.append(effect.booking)
            elif isinstance(effect, Baseline):
                self.bases[effect.nozzle] = effect.totalizer.raw
        if kill == "after":
            self.restart_agent()
            return
        for effect in result.effects:
            if isinstance(effect, Send):
                self.queue.append(effect.command)
                if not isinstance(effect.command, ReadSale):
                    assert self.unbooked_ml() == 0 or self.pump.state in ("authorised", "filling"), effect
                    assert self.config.mode is not ControlMode.MONITOR
                if isinstance(effect.command, Authorise | SetPrices):
                    assert self.point.volatile.accounted

    def unbooked_ml(self) -> int:
        """What the pump counted less what the booked intervals cover; each volume is its interval within one unit."""
        covered = 0
        for sale in self.sales:
            assert sale.start is not None
            assert sale.end is not None
            moved = (sale.end.epoch - sale.start.epoch) * MODULUS + sale.end.raw - sale.start.raw
            assert abs(sale.volume_ml - moved * UNIT_ML) <= UNIT_ML
            covered += moved * UNIT_ML
        return self.pump.counted_ml - covered

    def restart_agent(self) -> None:
        self.boots += 1
        self.queue.clear()
        self.point = restore(self.config, None if self.disk is None else json.loads(self.disk), f"b{self.boots}")

    def turn(self, kill: str = "", lose: bool = False) -> None:
        """One poll turn: at most one command, then the level."""
        self.mono += 1_000
        if self.cut:
            self.event(Ticked(), kill)
            return
        if self.queue:
            command = self.queue.pop(0)
            self.obey(command, lose)
        self.pump.try_reset() if self.pump.out is not None else None
        self.event(self.pump.reading(), kill)

    def obey(self, command: object, lose: bool) -> None:
        outcome = CommandOutcome.APPLIED
        if isinstance(command, ReadSale):
            if not lose:
                self.event(self.pump.bundle(command))
        elif isinstance(command, Acknowledge):
            assert self.unbooked_ml() == 0 or self.pump.state != "completed", "permission before the booking"
            self.pump.permitted = self.pump.state == "completed"
        elif isinstance(command, Authorise):
            if self.pump.state == "reset":
                self.pump.state = "authorised"
            else:
                outcome = CommandOutcome.REFUSED
        else:
            self.pump.state = "completed" if self.pump.state in ("authorised", "filling") else self.pump.state
        self.event(CommandResult(command.command_id, 1, CommandOutcome.UNKNOWN if lose else outcome))  # type: ignore[attr-defined]

    def line(self, online: bool) -> None:
        self.cut = not online
        lost, self.queue = self.queue, []
        for command in lost:
            self.event(CommandResult(command.command_id, 1, CommandOutcome.UNKNOWN))  # type: ignore[attr-defined]
        self.event(DeviceStatus("point:1", online=online, gap=online))

    def settle(self, turns: int = 150) -> None:
        """Let everything come to rest and be read out."""
        if self.cut:
            self.line(online=True)
        self.pump.hang()
        for _ in range(turns):
            self.turn()


ACTIONS = st.one_of(
    st.tuples(
        st.just("turn"),
        st.sampled_from(("", "", "", "", "before", "after")),
        st.sampled_from((False, False, False, True)),
    ),
    st.tuples(st.just("lift"), st.sampled_from((1, 1, 2))),
    st.tuples(st.just("flow"), st.sampled_from((0, 1, 20, 200, 1_000, 2_999))),
    st.tuples(st.just("hang")),
    st.tuples(st.just("fill"), st.sampled_from((1, 1, 2)), st.sampled_from((20, 200, 200, 1_000))),
    st.tuples(st.just("line"), st.booleans()),
    st.tuples(st.just("restart")),
    st.tuples(st.just("kill")),
)


def act(station: Station, action: tuple[object, ...]) -> None:
    name, pump = action[0], station.pump
    if name == "turn":
        station.turn(str(action[1]), bool(action[2]))
    elif name == "lift":
        pump.lift(int(str(action[1])))
    elif name == "flow":
        pump.flow(int(str(action[1])))
    elif name == "hang":
        pump.hang()
    elif name == "fill":
        pump.lift(int(str(action[1])))
        for _ in range(8):
            station.turn()
        pump.flow(int(str(action[2])))
        station.turn()
        pump.hang()
    elif name == "line":
        station.line(bool(action[1]))
    elif name == "restart":
        pump.restart()
    else:
        station.restart_agent()


@settings(max_examples=tries(80), deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(st.sampled_from((ControlMode.AUTO, ControlMode.MONITOR)), st.lists(ACTIONS, max_size=60))
def test_every_millilitre_counted_is_booked_once(mode: ControlMode, actions: list[tuple[object, ...]]) -> None:
    """Whatever is killed, lost or cut, the booked sales equal the meter's movement and their intervals join."""
    station = Station(mode)
    for _ in range(6):
        station.turn()
    assert set(station.bases) == {1, 2}
    for action in actions:
        act(station, action)
        assert station.unbooked_ml() >= 0, "booked more than the meter counted"
    station.settle()
    note(f"{station.sales} {station.point.durable}")
    assert station.unbooked_ml() == 0
    for nozzle, base in station.bases.items():
        chain = [b for b in station.sales if b.nozzle == nozzle]
        at = replace(station.point.durable.meter(nozzle).total, epoch=0, raw=base)  # type: ignore[union-attr]
        for sale in chain:
            assert sale.start == at
            assert sale.start is not None
            assert sale.end is not None
            assert sale.end >= sale.start
            at = sale.end
        assert at == station.point.durable.meter(nozzle).total  # type: ignore[union-attr]
        assert at.raw == station.pump.totals[nozzle]
    assert station.point.durable.open is None
    if mode is ControlMode.AUTO:
        assert len(station.sales) == station.pump.fuellings
        assert not any("covers_several" in b.flags for b in station.sales)


@settings(max_examples=tries(60), deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(
    st.lists(st.tuples(st.sampled_from((1, 2)), st.sampled_from((20, 200, 200, 1_000))), max_size=8),
    st.integers(0, 200),
    st.sampled_from(("before", "after")),
)
def test_a_kill_at_any_effect_boundary_changes_no_sale(fills: list[tuple[int, int]], at: int, kill: str) -> None:
    """Fuellings of known size give the same sales whether or not the agent dies around one of its commits."""
    station = Station(ControlMode.AUTO)
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        station.turn(kill if turns == at else "")

    for _ in range(6):
        turn()
    for nozzle, units in fills:
        for _ in range(4):  # a customer who is not served hangs up and lifts again
            station.pump.lift(nozzle)
            for _ in range(12):
                turn()
            if station.pump.state in ("authorised", "filling"):
                break
            station.pump.hang()
            for _ in range(6):
                turn()
        station.pump.flow(units)
        turn()
        station.pump.hang()
        for _ in range(8):
            turn()
    station.settle()
    assert [(b.nozzle, b.volume_ml) for b in station.sales] == [(n, u * UNIT_ML) for n, u in fills]
    assert all(b.kind == "NORMAL" for b in station.sales)


WHILE_IT_WAITS = st.one_of(
    st.tuples(st.just("turn"), st.sampled_from(("", "", "", "before", "after")), st.sampled_from((False, False, True))),
    st.tuples(st.just("lift"), st.sampled_from((1, 2))),
    st.tuples(st.just("hang")),
    st.tuples(st.just("kill")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("confirm")),
)


@settings(max_examples=tries(30), deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(
    st.sampled_from((2, 20, 200, 2_999)),
    st.sampled_from((0, 1, 150, 30_000, 70_000)),
    st.booleans(),
    st.lists(WHILE_IT_WAITS, max_size=25),
)
def test_a_meter_replaced_under_a_held_sale_costs_and_doubles_nothing(
    units: int, count: int, renames: bool, actions: list[tuple[object, ...]]
) -> None:
    """The agent dies at hang-up, the meter is replaced; whatever happens before and after a supervisor comes, the sale
    is booked once.
    """
    station = Station(ControlMode.AUTO, Rules(max_delta_ml=100_000))
    station.pump.renames = renames
    station.pump.totals[1] = 50_000
    for _ in range(6):
        station.turn()
    act(station, ("fill", 2, 30))
    for _ in range(8):
        station.turn()
    station.pump.lift(1)
    for _ in range(8):
        station.turn()
    station.pump.flow(units)
    station.pump.hang()
    station.restart_agent()
    station.pump.totals[1] = count
    for action in actions:
        if action[0] == "confirm":
            station.event(ConfirmMeter(1, "sue"))
        elif action[0] != "restart" or station.point.durable.replaced:  # a display lost before is nowhere
            act(station, action)
    station.settle(50)
    station.event(ConfirmMeter(1, "sue"))
    station.settle(50)
    assert not station.point.durable.resets
    act(station, ("fill", 1, 200))
    station.settle(50)
    assert [(b.nozzle, b.volume_ml) for b in station.sales] == [(2, 300), (1, units * UNIT_ML), (1, 2_000)]
    assert station.unbooked_ml() == 0


@given(st.integers(0, 40))
def test_nothing_but_reads_leaves_before_the_first_accounting(turns: int) -> None:
    """After a start in the middle of anything, the first commands are reads until totals are compared."""
    station = Station(ControlMode.AUTO)
    for number in range(turns):
        if number == 8:
            station.pump.lift(1)
        if number == 20:
            station.pump.flow(300)
        if number == 30:
            station.pump.hang()
        station.turn()
    station.restart_agent()
    for _ in range(15):
        counted = station.point.volatile.accounted
        result = step(station.point, station.pump.reading(), Now(1_700_000_000_000, station.mono))
        sent = [e.command for e in result.effects if isinstance(e, Send)]
        assert counted or all(isinstance(c, ReadSale) for c in sent)
        assert not any(isinstance(c, Authorise) for c in sent) or station.point.volatile.released
        station.turn()


def test_unconfirmed_commands_are_shown_and_not_sent_again() -> None:
    """An authorisation under way at the crash becomes NeedsReconciliation, never a second Authorise."""
    station = Station(ControlMode.AUTO)
    for _ in range(6):
        station.turn()
    station.pump.lift(1)
    station.turn()
    assert any(isinstance(c, Authorise) for c in station.queue)
    station.restart_agent()
    result = step(station.point, station.pump.reading(), Now(1_700_000_000_000, station.mono))
    assert [e.command.kind for e in result.effects if isinstance(e, NeedsReconciliation)] == ["Authorise"]
    for _ in range(20):
        station.turn()
    assert station.pump.state == "reset"
    assert not any(isinstance(e, Audit) and e.action == "authorise" for e in result.effects)
    assert isinstance(station.point, Point)
