"""A run of the fleet: all connect, sell and are acknowledged; in the middle, on request, all are cut off at once.

Knows the stations and the crowd of connections, and when it is over. Knows no database: ``judging`` counts there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

from headoffice.fleet.journal import FleetJournal
from headoffice.fleet.station import LightStation, Now, Said
from sync.backoff import connect_delay_s
from sync.client import STABLE_AFTER_S, Will
from sync.crowd import Crowd, CrowdDown, CrowdUp

WAIT_S = 0.05
CARE_EVERY_S = 0.5
"""How often every station is asked whether a timeout is due."""

TELL_EVERY_S = 1.0
MAX_SALES_PER_ROUND = 2_000


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """What is wanted: ``sales`` per station, ``rate`` sales a second of the whole fleet (0: all are there at once).

    ``storm``: cut every connection when half of the sales are acknowledged. ``patience_s``: give up after so long
    without an acknowledgement. ``name``: what the names of all stations begin with.
    """

    name: str
    stations: int
    sales: int
    rate: float = 0.0
    storm: bool = False
    is_settled: bool = True
    patience_s: float = 180.0
    backoff_cap_s: float = 300.0


@dataclass(slots=True)
class Progress:
    """How far the run is; what is shown while it goes and told at its end."""

    sold: int = 0
    acknowledged: int = 0
    online: int = 0
    connects: int = 0
    lost: int = 0
    wall_s: float = 0.0
    storm_at_s: float | None = None
    storm_back_s: float | None = None
    stopped: list[str] = field(default_factory=list)


class Fleet:
    """The stations of one run and their connections. ``clock`` gives both times."""

    def __init__(self, plan: FleetPlan, crowd: Crowd, clock: Callable[[], Now], rng: Random) -> None:
        """Write the stations' first records; nothing is opened."""
        self.progress = Progress()
        self._plan = plan
        self._crowd = crowd
        self._clock = clock
        self._rng = rng
        self._begun = clock()
        self.stations = [self._station(place) for place in range(plan.stations)]
        self._attempts = [0] * plan.stations
        self._up_s: list[float | None] = [None] * plan.stations
        self._due: list[tuple[float, int]] = []
        self._order = deque(range(plan.stations))
        self._cared_s = 0.0
        self._moved_s = self._begun.mono_s
        for member in range(plan.stations):
            self._later(member, self._begun.mono_s)

    def run(self, tell: Callable[[Progress], None]) -> Progress:
        """Go on until everything is sold and acknowledged, or nothing moves any more; ``tell`` about once a second."""
        told_s = 0.0
        while not self._is_over():
            self.round(WAIT_S)
            now_s = self._clock().mono_s
            if now_s - told_s >= TELL_EVERY_S:
                told_s = now_s
                tell(self.progress)
        self._care(self._clock())
        self._crowd.close()
        return self.progress

    def round(self, wait_s: float) -> None:
        """One turn: connect who is due, sell what is due, take what came, let timeouts fire."""
        now = self._clock()
        self._connect(now)
        self._sell(now)
        for event in self._crowd.poll(now.mono_s, wait_s):
            now = self._clock()
            station = self.stations[event.member]
            if isinstance(event, CrowdUp):
                self._up_s[event.member] = now.mono_s
                self.progress.connects += 1
                self._say(event.member, station.connected(now))
            elif isinstance(event, CrowdDown):
                self._cut(event.member, now.mono_s)
            else:
                before = station.acked_sales
                self._say(event.member, station.arrived(now, event.topic, event.payload))
                self._acknowledged(station.acked_sales - before, now)
        if now.mono_s - self._cared_s >= CARE_EVERY_S:
            self._care(now)

    def _station(self, place: int) -> LightStation:
        name = f"{self._plan.name}{place:05d}"
        incarnation = f"{self._rng.getrandbits(128):032x}"
        journal = FleetJournal(name, incarnation, place, self._begun.wall_ms, is_settled=self._plan.is_settled)
        return LightStation(name, journal, incarnation, self._rng)

    def _is_over(self) -> bool:
        progress = self.progress
        if progress.sold == self._plan.stations * self._plan.sales and all(s.is_done for s in self.stations):
            return progress.storm_at_s is None or progress.storm_back_s is not None
        return self._clock().mono_s - self._moved_s >= self._plan.patience_s

    def _connect(self, now: Now) -> None:
        while self._due and self._due[0][0] <= now.mono_s and self._crowd.has_room:
            member = heappop(self._due)[1]
            station = self.stations[member]
            will = station.will(now)
            self._crowd.connect(member, now.mono_s, station.name, station.subscriptions, Will(will.topic, will.payload))

    def _sell(self, now: Now) -> None:
        wanted = self._plan.stations * self._plan.sales
        if self._plan.rate:
            wanted = min(wanted, int((now.mono_s - self._begun.mono_s) * self._plan.rate))
        for _ in range(min(wanted - self.progress.sold, MAX_SALES_PER_ROUND)):
            member = self._order[0]
            self._order.rotate(-1)
            self._say(member, self.stations[member].sell(now))
            self.progress.sold += 1

    def _say(self, member: int, said: Sequence[Said]) -> None:
        for one in said:
            self._crowd.publish(member, one.topic, one.payload, retain=one.retain)

    def _acknowledged(self, sales: int, now: Now) -> None:
        if not sales:
            return
        self._moved_s = now.mono_s
        progress = self.progress
        progress.acknowledged += sales
        is_half = progress.acknowledged * 2 >= self._plan.stations * self._plan.sales
        if self._plan.storm and progress.storm_at_s is None and is_half:
            progress.storm_at_s = now.mono_s - self._begun.mono_s
            self._cut_all(now.mono_s)

    def _cut_all(self, now_s: float) -> None:
        for member, up_s in enumerate(self._up_s):
            if up_s is not None:
                self._crowd.drop(member)
                self._cut(member, now_s)

    def _cut(self, member: int, now_s: float) -> None:
        """Full jitter, as a station's client does it (W-12)."""
        up_s, self._up_s[member] = self._up_s[member], None
        if up_s is not None:
            self.stations[member].disconnected()
            self.progress.lost += 1
            if now_s - up_s >= STABLE_AFTER_S:
                self._attempts[member] = 0
        delay_s = connect_delay_s(self._attempts[member], 1.0, self._plan.backoff_cap_s, self._rng.random())
        self._attempts[member] += 1
        self._later(member, now_s + delay_s)

    def _later(self, member: int, at_s: float) -> None:
        heappush(self._due, (at_s, member))

    def _care(self, now: Now) -> None:
        self._cared_s = now.mono_s
        progress = self.progress
        progress.wall_s = now.mono_s - self._begun.mono_s
        for member, station in enumerate(self.stations):
            deadline = station.next_deadline()
            if deadline is not None and deadline <= now.mono_s:
                self._say(member, station.tick(now))
        progress.online = sum(station.welcomed for station in self.stations)
        progress.stopped = [f"{s.name}: {s.stopped}" for s in self.stations if s.stopped is not None]
        if progress.storm_at_s is not None and progress.storm_back_s is None and progress.online == self._plan.stations:
            progress.storm_back_s = progress.wall_s - progress.storm_at_s
