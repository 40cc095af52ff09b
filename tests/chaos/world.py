"""A pump with its own truth, PCs that read it, a broker that may do anything, and head office with two workers on one database.

One thread, one virtual clock, all chance from one seed. What may happen is in ``stories``; judges nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from agent import failpoints
from agent.failpoints import SimulatedCrash
from drivers.simulator.config import default_config
from tests.chaos.office import OfficeFile, OfficeStore
from tests.chaos.pc import Clock, Pc
from tests.simulation.network import SimBroker
from tests.support import template
from tests.support.exactly_once import Truth, complaints
from tests.support.point_pumps import QUEUE, Pump
from tests.support.station_settings import STATION
from tests.support.virtual_link import HeadOffice, Packet

EPOCH_MS = 1_795_248_000_000
ROUNDS = 3
TAKEOVER_PAUSE_S = 60.0
RESTART_S = 3
WORKERS = 2
ENOUGH_S = 3_000


class Session:
    """The broker as one PC sees it: all PCs have the station's client id, so whoever connects throws the other out."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self._number = number
        self.again_s = 0.0

    @property
    def up(self) -> bool:
        """Whether this PC is, or may get, connected."""
        world = self._world
        if not world.broker.up:
            return False
        if world.holder == self._number:
            return True
        if world.now_s < self.again_s:
            return False
        world.take_over(self._number)
        return True

    def carry(self, now_s: float, name: str, payload: bytes, *, up: bool) -> None:
        """Hand a message to the broker."""
        self._world.broker.carry(now_s, name, payload, up=up)


class World:
    """``pcs[wired]`` has the cable of the pump. ``seconds`` lets time pass; crashed processes start again by themselves."""

    def __init__(self, seed: int, folder: Path, store: OfficeStore | None = None) -> None:
        """``store``: where head office keeps what it has; by default a file in ``folder``."""
        self.rng = Random(f"world:{seed}")
        self.folder = folder
        self.now_s = 0.0
        self.seed = seed
        self.broker = SimBroker(Random(f"broker:{seed}"))
        self.holder: int | None = None
        self.sessions: list[Session] = []
        self.pcs: list[Pc] = []
        self.wired = 0
        self.pump = _pump()
        self.backups = self.office_backups = 0
        self.office_went_back = False
        self._store = store or OfficeFile(folder)
        self.office = self._store.location
        self.workers = self._new_workers()
        self.office_deaths: list[str] = []
        self.office_away_s = 0.0
        self.happened: list[str] = []
        self._restart_at: dict[int, float] = {}
        self.new_pc("a" * 32)
        shutil.copy(template.template() / "station.db", self.pcs[0].path)
        self.pcs[0].start()
        self.seconds(6)

    # --- PCs ----------------------------------------------------------------------------------------------------------

    def new_pc(self, install: str) -> Pc:
        """One more PC with an empty disk, switched off."""
        number = len(self.pcs)
        session = Session(self, number)
        clock = Clock(lambda: self.now_s, EPOCH_MS)
        pc = Pc(self.folder / f"pc-{number}", install, clock, session, f"pc:{self.seed}:{number}")
        self.sessions.append(session)
        self.pcs.append(pc)
        return pc

    def take_over(self, number: int) -> None:
        """A client connects under the id that all have."""
        if self.holder is not None:
            self.sessions[self.holder].again_s = self.now_s + TAKEOVER_PAUSE_S
        self.holder = number

    def switch_off(self, number: int) -> None:
        """A process is ended and stays away."""
        self.pcs[number].is_off = True
        self.pcs[number].end()
        self._gone(number)

    def switch_on(self, number: int) -> None:
        """It may run again."""
        self.pcs[number].is_off = False
        self._restart_at[number] = self.now_s
        self.sessions[number].again_s = 0.0

    def kill(self, number: int, why: str) -> None:
        """A process dies; another one starts on the same files a little later."""
        if self.pcs[number].is_up:
            self.pcs[number].die(why)
        self._died(number)

    @staticmethod
    def arm(name: str, n: int) -> None:
        """Whoever passes this failpoint for the n-th time from now on dies there."""
        failpoints._state.hits[name] = 0
        failpoints._state.crash_at = (name, n)

    def _died(self, number: int) -> None:
        self._gone(number)
        self._restart_at[number] = self.now_s + RESTART_S

    def _gone(self, number: int) -> None:
        if self.holder == number:
            self.holder = None

    def clone(self, install: str) -> Pc:
        """A second PC with a copy of the first one's disk and high-water file; ``install``: its hardware."""
        pc = self.new_pc(install)
        image = self.folder / "image"
        self.pcs[0].copy_to(image)
        pc.settings.store.mark.parent.mkdir(parents=True, exist_ok=True)
        pc.put_back(image, mark="old")
        return pc

    # --- the forecourt ------------------------------------------------------------------------------------------------

    def scan(self, card: str) -> None:
        """Somebody shows a card at the pump; a PC that is away does not see it."""
        pc = self.pcs[self.wired]
        if pc.is_up:
            self._survive(self.wired, partial(pc.scan, card))

    def fuel(self, nozzle: int, volume_ml: int, *, hangs_up: bool = True) -> None:
        """Somebody fuels, whoever is wired to the pump."""
        self.pump.lift(nozzle)
        self.seconds(2)
        self.pump.flow(volume_ml)
        self.seconds(1)
        if hangs_up:
            self.pump.hang()
        self.seconds(2)

    @property
    def deaths(self) -> list[str]:
        """Where processes died, by the name of the failpoint or the reason."""
        return [
            death.partition(":")[0]
            for deaths in (self.office_deaths, *(pc.deaths for pc in self.pcs))
            for death in deaths
        ]

    @property
    def litres(self) -> dict[tuple[int, int], int]:
        """What the meters of the pump counted."""
        return {(1, nozzle): volume_ml for nozzle, volume_ml in self.pump.counted_ml.items()}

    def complaints(self) -> list[str]:
        """Make everything well, and say what does not hold."""
        self.make_well()
        copies = [pc.path for pc in self.pcs]
        truth = {STATION: Truth(self.litres)}
        return complaints(self.office, {STATION: copies}, truth)

    def complaints_so_far(self) -> list[str]:
        """What does not hold in the middle of a story: nothing is there twice, and what stations call delivered is there.

        Stations have not heard yet what a head office that was put back has lost; then only what it has is judged.
        """
        copies = [] if self.office_went_back else [pc.path for pc in self.pcs if pc.path.exists()]
        return complaints(self.office, {STATION: copies}, is_over=False)

    # --- head office --------------------------------------------------------------------------------------------------

    def back_up_office(self) -> None:
        """One more backup of head office's database; the workers begin anew."""
        self.office_backups += 1
        for worker in self.workers:
            worker.close()
        self._store.copy(self.office_backups)
        self.workers = self._new_workers()

    def restore_office(self, number: int) -> None:
        """Head office's database is an old one again."""
        self.office_went_back = True
        for worker in self.workers:
            worker.close()
        self._store.put_back(number)
        self.workers = self._new_workers()

    def _new_workers(self) -> list[HeadOffice]:
        return [HeadOffice(self.office, STATION) for _ in range(WORKERS)]

    def _answer(self, packet: Packet) -> None:
        if self.now_s < self.office_away_s:
            self.broker.keep(packet, self.office_away_s)
            return
        for number in self._readers():
            try:
                answers = self.workers[number].answer(packet, EPOCH_MS + round(self.now_s * 1_000))
            except SimulatedCrash as crash:
                self.office_deaths.append(str(crash))
                self.workers[number].close()
                self.workers[number] = HeadOffice(self.office, STATION)
                if self.rng.randrange(2):
                    self.broker.keep(packet, self.now_s + RESTART_S)
                continue
            for name, payload in answers:
                self.broker.carry(self.now_s, name, payload, up=False)

    def _readers(self) -> tuple[int, ...]:
        """Who gets a message: one worker, or both while a shard changes hands."""
        first = self.rng.randrange(WORKERS)
        return (first, 1 - first) if self.rng.randrange(4) == 0 else (first,)

    # --- time ---------------------------------------------------------------------------------------------------------

    def seconds(self, count: int) -> None:
        """So many seconds of everybody's life."""
        for _ in range(count):
            self.now_s += 1.0
            for number, pc in enumerate(self.pcs):
                self._start_due(number, pc)
                if pc.is_up:
                    self._survive(number, partial(pc.second, self.pump if number == self.wired else None))
            for _ in range(ROUNDS):
                self._exchange()
                self.now_s += 0.1

    def _start_due(self, number: int, pc: Pc) -> None:
        if not pc.is_up and not pc.is_off and self.now_s >= self._restart_at.get(number, 0.0):
            pc.start()
            if not pc.is_up:
                self._died(number)

    def _exchange(self) -> None:
        for packet in self.broker.due(self.now_s):
            if packet.up:
                self._answer(packet)
            elif self.holder is not None and self.pcs[self.holder].is_up:
                self._survive(self.holder, partial(self.pcs[self.holder].hear, self.now_s, packet))
        for number, pc in enumerate(self.pcs):
            if pc.is_up:
                self._survive(number, partial(pc.talk, self.now_s))

    def _survive(self, number: int, deed: Callable[[], None]) -> None:
        try:
            deed()
        except SimulatedCrash as crash:
            self.kill(number, str(crash))
        if not self.pcs[number].is_up:
            self._died(number)

    # --- the end ------------------------------------------------------------------------------------------------------

    def make_well(self) -> None:
        """All faults end; each PC is alone for a while until head office has everything of it, the wired one last."""
        failpoints._state.crash_at = None
        self.broker.up, self.broker.lose, self.broker.duplicate, self.broker.delay = True, 0, 0, 0
        self.office_away_s = 0.0
        self.pump.hang()
        order = [number for number in range(len(self.pcs)) if number != self.wired] + [self.wired]
        for number in range(len(self.pcs)):
            self.pcs[number].clock.offset_ms = 0
            self.switch_off(number)
        for number in order:
            self.switch_on(number)
            self.seconds(30)
            for _ in range(2):
                self._until(partial(self._is_quiet, number), f"PC {number} has delivered everything")
                self.seconds(3)
            self.switch_off(number)

    def _is_quiet(self, number: int) -> bool:
        pc = self.pcs[number]
        return pc.is_up and not pc.waits and not (number == self.wired and pc.doubts)

    def _until(self, done: Callable[[], bool], what: str) -> None:
        until_s = self.now_s + ENOUGH_S
        while not done():
            assert self.now_s < until_s, f"seed {self.seed}: not within {ENOUGH_S} s: {what}\n" + "\n".join(
                self.happened
            )
            self.seconds(5)

    def close(self) -> None:
        """End everything."""
        failpoints._state.crash_at = None
        for pc in self.pcs:
            pc.end()
        for worker in self.workers:
            worker.close()


def _pump() -> Pump:
    config = default_config("")
    nozzles = {nozzle.number: nozzle for point in config.points if point.number == 1 for nozzle in point.nozzles}
    return Pump(
        QUEUE,
        {number: nozzle.unit_price_milli for number, nozzle in nozzles.items()},
        alone=True,
        counted_ml=dict.fromkeys(nozzles, 0),
        base=dict.fromkeys(nozzles, 500),
    )
