"""One station day from one seed: open, sell at least a hundred times through every drawn fault, close, settle, verify.

Knows the order of a day; what can go wrong is ``faults``, what must hold is ``checker``.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy.exc

from agent.failpoints import SimulatedCrash
from agent.store.lock import StoreError
from drivers.simulator.config import DeliveryConfig, ForecourtConfig, default_config
from drivers.simulator.forecourt import Forecourt
from tests.simulation import checker
from tests.simulation.clock import SimClock
from tests.simulation.faults import Faults
from tests.simulation.journal import KEPT
from tests.simulation.network import Office, new_broker
from tests.simulation.people import People
from tests.simulation.plan import DayPlan, draw
from tests.simulation.station import SimStation
from tests.support import head_office_says, template
from tests.support.station_settings import STATION

SALES = 100
MOST_SALES = 200
"""A day goes on until its last fault has struck, but not longer than this."""

DAY_S = 86_400.0
CLOSING_S = 3_600.0
MAX_STEPS = 400_000
"""Of one day; past this virtual time stands still."""

MAX_STARTS = 60
"""Of one day; past this the agent cannot start any more."""

GONE = (sqlalchemy.exc.DBAPIError, StoreError)
"""What a disk that fails makes of the process: it ends and is started again."""


@dataclass(frozen=True)
class DayResult:
    """What a day was and whether it held."""

    seed: int
    digest: str
    sales: int
    deliveries: int
    faults: tuple[str, ...]
    crashes: tuple[str, ...]
    complaints: tuple[str, ...]
    lines: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return not self.complaints


class Day:
    """``run`` lives through the whole day; everything in it comes from the seed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.plan: DayPlan = draw(seed)
        template.copy_to(folder)
        self.clock = SimClock(self.plan.epoch)
        self.forecourt = Forecourt(_config(self.plan), seed=seed, epoch=self.plan.epoch)
        self.broker = new_broker(seed)
        self.station = SimStation(seed, folder, self.plan.station, self.forecourt, self.broker, self.clock)
        self.office = Office(folder / "hq.db", STATION, self.station.log)
        self.station.head_office = self.office
        self.faults = Faults(self.plan, self.station, self.office)
        self.people = People(seed, self.station)
        self._steps = 0
        self._up_at_s = 0.0
        self._told_version = 0

    def run(self) -> None:
        """The whole day, faults and all, until everything is settled and delivered."""
        with self.faults.armed():
            self.faults.strike()
            with self._survived():
                self._start()
            self._until(self._sold_out, DAY_S)
            self.forecourt.close()
            self.people.go_home()
            self._until(lambda: self.forecourt.quiet, self.clock.now_s + CLOSING_S)
            self.faults.end()
            self._until(lambda: self.forecourt.quiet and self.station.is_up, self.clock.now_s + CLOSING_S)
            self.faults.people_help()
            self._until(self._all_told, self.clock.now_s + DAY_S)

    def _sold_out(self) -> bool:
        sold = self.forecourt.truth.sales
        return sold >= MOST_SALES or (sold >= SALES and self.faults.all_struck)

    def close(self) -> None:
        """End politely."""
        self.station.close()
        self.office.close()

    def _tell(self) -> None:
        """What head office told the group reaches a station that does not know it yet, also one that died over it."""
        if self._told_version != self.faults.rules_version:
            self.station.handle(head_office_says.rule_set(self.faults.rules_version))
            self.station.handle(head_office_says.members_of(self.forecourt.config.cards))
            self._told_version = self.faults.rules_version

    def _until(self, done: object, limit_s: float) -> None:
        assert callable(done)
        while not done():
            assert self.clock.now_s < limit_s, f"virtual time is over: {self.clock.now_s:.0f} s"
            self._steps += 1
            assert self._steps < MAX_STEPS, "virtual time stands still"
            self._step(limit_s)

    def _step(self, limit_s: float) -> None:
        """The next thing that happens anywhere."""
        station, broker = self.station, self.broker
        agent_s = station.next_s() if station.is_up else self._up_at_s
        due = [agent_s, limit_s, self.faults.next_s(), self.faults.world_s(), broker.next_due_s()]
        now_s = max(self.clock.now_s, min(at_s for at_s in due if at_s is not None))
        station.reach(now_s)
        with self._survived():
            if not station.is_up and now_s >= self._up_at_s:
                self._start()
            self.faults.strike()
            if station.is_up:
                self._tell()
                station.step()
                self.people.act(self.forecourt.truth.sales)
            for packet in broker.due(now_s):
                station.log.note(self.clock.elapsed_ms, f"{packet.name} {len(packet.payload)}")
                if packet.up:
                    self.office.take(now_s, packet, broker, self.clock.wall_ms())
                elif station.is_up:
                    station.receive(packet)

    def _start(self) -> None:
        assert len(self.station.starts) < MAX_STARTS, "the agent never stays up"
        self.station.rest()
        self._told_version = 0
        self.station.start()
        self.faults.started()

    @contextmanager
    def _survived(self) -> Iterator[None]:
        """Whoever dies in here is started again after a while."""
        try:
            yield
        except SimulatedCrash as crash:
            self._die(str(crash))
        except GONE as failure:
            self._die(f"disk: {str(failure).splitlines()[0]}")

    def _die(self, why: str) -> None:
        self.station.die(why)
        self._up_at_s = self.clock.now_s + self.faults.died()

    def _all_told(self) -> bool:
        """Everything booked, settled and acknowledged: looked up only when the link has nothing under way."""
        station = self.station
        if not station.is_up or station.clock.now_s - station.active_s < 120:
            return False
        waiting = "SELECT (SELECT count(*) FROM journal WHERE delivered = 0) + (SELECT count(*) FROM sale"
        left: int = station.rows(f"{waiting} WHERE state <> 'Cleared') AS n")[0]["n"]
        return left == 0


def run_day(seed: int, *, kept: int | None = KEPT) -> DayResult:
    """Live through one day on a fresh disk and judge it; ``kept``: how many events to keep, ``None`` = all.

    Never raises for what the station does wrong.
    """
    folder = template.new_folder()
    try:
        return _judged(seed, folder, kept)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _judged(seed: int, folder: Path, kept: int | None) -> DayResult:
    day = Day(seed, folder)
    day.station.log.lines = deque(maxlen=kept)
    station = day.station
    broken: list[str] = []
    try:
        day.run()
    except AssertionError as failure:
        broken = [f"the day broke at {day.clock.now_s:.3f} s: {failure}"]
    else:
        broken = [*checker.complaints(station), *_unseen(day)]
    finally:
        day.close()
    station.log.note(day.clock.elapsed_ms, checker.fingerprint(station))
    done = [r for r in day.forecourt.truth.records if r["kind"] == "delivery" and r["what"] == "end"]
    return DayResult(
        seed=seed,
        digest=station.log.digest,
        sales=day.forecourt.truth.sales,
        deliveries=len(done),
        faults=tuple(day.faults.struck),
        crashes=(*station.crashes, *day.office.crashes),
        complaints=tuple(broken),
        lines=tuple(station.log.lines),
    )


def _unseen(day: Day) -> list[str]:
    """What the seed drew and the day did not see."""
    died = {crash.partition(":")[0] for crash in (*day.station.crashes, *day.office.crashes)}
    planned = [strike.kind for strike in day.plan.strikes]
    missing = [kind for kind in planned if kind not in day.faults.struck]
    missing += [kind for kind in planned if kind.startswith("crash:") and kind.removeprefix("crash:") not in died]
    return [f"not seen: {kind}" for kind in missing]


def _config(plan: DayPlan) -> ForecourtConfig:
    config = default_config("", islands=plan.station.islands)
    assert plan.station.customers is not None
    tanks = tuple(dataclasses.replace(tank, start_ml=tank.full_ml // 2) for tank in config.tanks)
    return dataclasses.replace(
        config,
        tanks=tanks,
        customers=plan.station.customers,
        cards=config.cards[: plan.station.card_count],
        deliveries=(DeliveryConfig(plan.delivery_tank, plan.delivery_s, 2_400_000, 600_000),),
    )
