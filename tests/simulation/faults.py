"""What goes wrong in a day, and when it ends: struck after so many sales, ended after so many seconds or at closing.

Knows how each fault is made. Judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from random import Random

from agent import failpoints
from drivers.simulator.faults import SIMULATOR_FAULTS
from tests.simulation import disk
from tests.simulation.network import Office
from tests.simulation.plan import DayPlan, Strike
from tests.simulation.station import SimStation
from tests.simulation.world import next_ms

LONGEST_FAULT_S = 120.0
"""A fault of a device stands so long at most: the day has to see its end as well."""

CLOCK_JUMPS_MS = {
    "clock-1970": None,
    "clock-400-days": 400 * 86_400_000,
    "clock-back-1-h": -3_600_000,
    "clock-forward-2-h": 7_200_000,
}
DOWN_S = (0.5, 2.0, 8.0, 40.0)
"""How long a dead agent stays away: a restart by the supervisor, or a reboot."""


class Faults:
    """``strike`` lets what is due happen; ``struck`` lists what has."""

    def __init__(self, plan: DayPlan, station: SimStation, office: Office) -> None:
        self.struck: list[str] = []
        self.replaced_meters: set[int] = set()
        self._plan = plan
        self._station = station
        self._office = office
        self._waiting = list(plan.strikes)
        self._rng = Random(f"faults-of:{plan.seed}")
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._loop: list[str] = []
        self._full_starts = 0
        self._tears = False
        self.rules_version = 1

    # --- the day's side -----------------------------------------------------------------------------------------------

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Failpoints armed by a strike never outlive the day."""
        try:
            yield
        finally:
            _disarm()

    @property
    def all_struck(self) -> bool:
        """Whether every drawn fault has happened, deaths too."""
        return not self._waiting and _pending() is None

    def next_s(self) -> float | None:
        """When a standing fault ends."""
        return self._later[0][0] if self._later else None

    def world_s(self) -> float | None:
        """When the forecourt does something next."""
        at_ms = next_ms(self._station.forecourt, self._station.flow_step_ms)
        return None if at_ms is None else at_ms / 1_000

    def strike(self) -> None:
        """What is due ends, and what is due begins. May raise SimulatedCrash."""
        now_s = self._station.clock.now_s
        while self._later and self._later[0][0] <= now_s:
            heappop(self._later)[2]()
        sold = self._station.forecourt.truth.sales
        while self._waiting and self._may_strike(self._waiting[0], sold):
            self._begin(self._waiting.pop(0))

    def _may_strike(self, strike: Strike, sold: int) -> bool:
        """One after the other where two would hide each other: somebody who is dead cannot die, one death at a time."""
        if strike.after_sales > sold or (strike.after_sales and not self._station.is_up):
            return False
        return not (_pending() and strike.kind.startswith("crash"))

    def died(self) -> float:
        """The agent died; returns how long it stays away."""
        if self._tears:
            self._tears = False
            disk.tear(self._station.settings.store.path, self._rng)
        if self._loop:
            self._arm(self._loop.pop())
        return self._rng.choice(DOWN_S)

    def started(self) -> None:
        """The agent runs again, perhaps on a disk that is still full."""
        if self._full_starts:
            self._full_starts -= 1
            disk.fill(self._station.store)

    def end(self) -> None:
        """Closing time for faults: whatever stands ends now; only a death on the link may still come."""
        self._station.forecourt.clear()
        self._full_starts = 0
        later, self._later = sorted(self._later), []
        for _, _, what in later:
            what()
        self._office.away_until_s = min(self._office.away_until_s, self._station.clock.now_s)
        if not (_pending() or "").startswith(("sync.", "hq.")):
            _disarm()

    def people_help(self) -> None:
        """A supervisor confirms what only a person can."""
        for kind in set(self.struck):
            if kind == "units-changed":
                self._station.ask("tanks.confirm-units", line="gauge")
        self._confirm_meters()

    def _confirm_meters(self) -> None:
        """A person looks at what is closed, and confirms; comes again while a meter is still to be replaced."""
        if not self._station.is_up:
            self._after(60, self._confirm_meters)
            return
        for row in self._station.rows("SELECT subject FROM alert WHERE name = 'METER_RESET' AND state LIKE 'ACTIVE%'"):
            point = int(row["subject"].removeprefix("point:"))
            for nozzle in (1, 2, 3):
                self._station.ask("pumps.confirm-meter", fuelling_point=point, nozzle=nozzle)

    # --- how each is made ---------------------------------------------------------------------------------------------

    def _begin(self, strike: Strike) -> None:
        self.struck.append(strike.kind)
        self._station.log.note(self._station.clock.elapsed_ms, f"fault: {strike.kind}")
        rng = Random(strike.seed)
        if strike.kind in SIMULATOR_FAULTS:
            self._forecourt_fault(strike.kind, rng)
        elif strike.kind.startswith("crash:"):
            name = strike.kind.removeprefix("crash:")
            self._arm(name, 1 if name.startswith(("rules.", "link.")) else rng.choice((1, 1, 2, 5)))
            if name.startswith("rules."):
                self.rules_version += 1
        elif strike.kind in CLOCK_JUMPS_MS:
            self._clock_jump(strike.kind, rng)
        else:
            _OWN[strike.kind](self, rng)

    def _after(self, seconds: float, what: Callable[[], None]) -> None:
        self._order += 1
        heappush(self._later, (self._station.clock.now_s + seconds, self._order, what))

    def _forecourt_fault(self, name: str, rng: Random) -> None:
        fault, forecourt = SIMULATOR_FAULTS[name], self._station.forecourt
        targets = forecourt._targets(fault.scope)
        target = rng.choice(targets)
        if name == "meter-replaced":
            assert isinstance(target, int)
            self.replaced_meters.add(target)
            self._after(rng.uniform(60, 600), self._confirm_meters)
        where = {"pump": "point", "line": "line", "gauge": "tank", "scanner": "reader"}[fault.scope]
        for_s = min(fault.lasts_s, LONGEST_FAULT_S) if fault.lasts_s else None
        forecourt.inject(name, **{where: target}, for_s=for_s)  # type: ignore[arg-type]
        self._station.pull_cables() if self._station.is_up else None
        if for_s:
            self._after(for_s, lambda: None)

    def _arm(self, name: str, n: int = 1) -> None:
        failpoints._state.hits[name] = 0
        failpoints._state.crash_at = (name, n)

    def _clock_jump(self, name: str, rng: Random) -> None:
        clock = self._station.clock
        jump_ms = CLOCK_JUMPS_MS[name]
        clock.offset_ms = -clock.epoch_ms - 10_000 if jump_ms is None else jump_ms
        if rng.randrange(3):
            self._after(rng.uniform(30, 900), lambda: setattr(clock, "offset_ms", 0))

    def _kill(self, _rng: Random) -> None:
        raise failpoints.SimulatedCrash("killed")

    def _crash_loop(self, rng: Random) -> None:
        names = [name for name in failpoints.NAMES if name.startswith(("sale.", "store.", "sync."))]
        self._loop = [rng.choice(names) for _ in range(rng.randint(2, 5))]
        raise failpoints.SimulatedCrash("killed, again and again")

    def _power_cut(self, rng: Random) -> None:
        """The PC and some of the pumps lose power together."""
        self._tears = True
        for head in self._station.forecourt.world.heads.values():
            if rng.randrange(2):
                head.restart()
        raise failpoints.SimulatedCrash("power cut")

    def _disk_full(self, rng: Random) -> None:
        self._full_starts = rng.randint(0, 2)
        if self._station.is_up:
            disk.fill(self._station.store)

    def _broker_away(self, rng: Random) -> None:
        broker = self._station.broker
        broker.up = False

        def back() -> None:
            broker.up = True
            self._station.link_s = self._station.clock.now_s

        self._after(rng.uniform(60, 7_200), back)
        self._station.link_s = self._station.clock.now_s

    def _broker_forgets(self, rng: Random) -> None:
        self._station.broker.forget_session()
        self._broker_away(Random(rng.random()))

    def _shares(self, rng: Random, **shares: int) -> None:
        broker = self._station.broker
        for name, share in shares.items():
            setattr(broker, name, share)

        def well() -> None:
            for name in shares:
                setattr(broker, name, 0)

        self._after(rng.uniform(300, 3_600), well)

    def _office_away(self, rng: Random) -> None:
        self._office.away_until_s = self._station.clock.now_s + rng.uniform(300, 6_000)


def _disarm() -> None:
    failpoints._state.crash_at = None


def _pending() -> str | None:
    """The failpoint that is armed and has not been reached yet."""
    at = failpoints._state.crash_at
    return None if at is None or failpoints._state.hits[at[0]] >= at[1] else at[0]


_OWN: dict[str, Callable[[Faults, Random], None]] = {
    "kill": Faults._kill,
    "crash-loop": Faults._crash_loop,
    "power-cut": Faults._power_cut,
    "disk-full": Faults._disk_full,
    "broker-away": Faults._broker_away,
    "broker-forgets": Faults._broker_forgets,
    "broker-loses": lambda faults, rng: faults._shares(rng, lose=300),
    "broker-doubles": lambda faults, rng: faults._shares(rng, duplicate=400),
    "broker-reorders": lambda faults, rng: faults._shares(rng, delay=500, duplicate=100),
    "office-away": Faults._office_away,
}
