"""One PC of a station: its disk, its hardware id, and on it the real store, pipeline, rebirth and delivery.

Takes readings when it is wired to the pump. Dies at any failpoint and starts again from its files. Judges nothing.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from agent.failpoints import SimulatedCrash
from agent.inbox import FromHeadOffice, FromLine, Ticked
from agent.live import LiveBoard
from agent.pipeline import Pipeline, rebirth
from agent.pipeline.step import Outlets
from agent.settings import Settings
from agent.settings.model import StoreSettings
from agent.store import mark as marks
from agent.store.journal import Stamp
from agent.store.store import Store
from drivers.commands import Command, ReadSale
from drivers.readings import CodeScan, CommandResult
from drivers.simulator.config import default_config
from sync import ports
from sync.envelope import MAX_BATCH_RECORDS
from tests.simulation import disk
from tests.support import template
from tests.support.head_office_says import INDEX_KEY, members_of, rule_set
from tests.support.point_pumps import Pump
from tests.support.station_checks import rows
from tests.support.station_settings import STATION, Plan, station_settings
from tests.support.virtual_link import Packet, Pipe, VirtualLink, link_of

CARDS = default_config("").cards[:4]
READER, LINE = "reader-1", "island-1"
BOOT_MS = 1_000_000
BATCHES = (1, 2, MAX_BATCH_RECORDS)
"""Records in one batch: a story writes few of them, so that only short batches make a backlog."""


class Clock:
    """``agent.clock.Clock`` of one PC: the world's time, and how far its wall clock is set away from it."""

    def __init__(self, now_s: Callable[[], float], epoch_ms: int) -> None:
        self.now_s = now_s
        self.epoch_ms = epoch_ms
        self.offset_ms = 0

    def wall_ms(self) -> int:
        """See Clock."""
        return max(0, self.epoch_ms + round(self.now_s() * 1_000) + self.offset_ms)

    def mono_ms(self) -> int:
        """See Clock."""
        return BOOT_MS + round(self.now_s() * 1_000)

    def quality(self) -> str:
        """See Clock."""
        return "ntp"

    def sleep(self, seconds: float) -> None:
        """See Clock; only the world moves time."""
        raise AssertionError(f"nobody sleeps {seconds} s here")


class Pc:
    """``start`` and ``die`` are its process; ``second`` is a second of its life; ``copy_to`` is a backup of its disk.

    ``forgotten``: how often it died with acks that it had received and not persisted.
    """

    def __init__(self, folder: Path, install: str, clock: Clock, session: Pipe, seed: str) -> None:
        self.folder = folder
        self.install = install
        self.clock = clock
        self.random = Random(seed)
        self.settings = _settings(folder)
        self.is_up = False
        self.is_off = False
        self.deaths: list[str] = []
        self.forgotten = 0
        self._session = session
        self._boots = 0

    @property
    def path(self) -> Path:
        """The database."""
        return self.settings.store.path

    # --- the process --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """The agent starts on the files as they are. One that a failpoint kills while it does is just dead."""
        self._boots += 1
        self.orders: list[Command] = []
        self._told: list[ports.LinkEvent] = []
        self._begins_anew = False
        self.link: VirtualLink | None = None
        self.store = Store(self.path, station=STATION, random=self.random)
        self.is_up = True
        try:
            self._begin(f"{self.install[:4]}-{self._boots}")
        except SimulatedCrash as crash:
            self.die(str(crash))

    def _begin(self, boot: str) -> None:
        stamp = Stamp(max(self.clock.wall_ms(), self.store.newest_ms), self.clock.mono_ms(), boot, "ntp")
        begun = rebirth.begin(self.store, self.settings, install=self.install, stamp=stamp, random=self.random)
        if begun.stopped is None:
            self._write_mark()
        self.pipeline = Pipeline(
            store=self.store,
            settings=self.settings,
            clock=self.clock,
            boot=boot,
            start=f"{self.random.getrandbits(32):08x}",
            random=self.random,
            live=LiveBoard(started_ms=self.clock.wall_ms()),
            index_key=INDEX_KEY,
            capabilities={},
            outlets=Outlets(self.orders.append, lambda: None, self._begin_anew),
        )
        if self.store_is_blank:
            self.pipeline.handle(rule_set(1))
            self.pipeline.handle(members_of(CARDS))
        if begun.stopped is None:
            self.link = link_of(
                self.store,
                clock=self.clock,
                boot=boot,
                broker=self._session,
                deliver=self._told.append,
                rng=Random(self.random.getrandbits(64)),
                install=self.install,
                most=self.random.choice(BATCHES),
            )

    def _begin_anew(self) -> None:
        self._begins_anew = True

    @property
    def store_is_blank(self) -> bool:
        """Whether head office has told this database nothing yet."""
        return not self.rows("SELECT 1 FROM meta WHERE key = 'member_op'")

    def die(self, why: str) -> None:
        """Everything in memory is gone; the files are what they were at this instant."""
        assert self.is_up
        self.deaths.append(why)
        self.is_up = False
        link, self.link = self.link, None
        self.forgotten += link is not None and link.has_unpersisted
        disk.kill(self.store, self.path, link.close if link is not None else lambda: None)

    def end(self) -> None:
        """End politely, if it runs."""
        if self.is_up:
            try:
                self._leave()
            except SimulatedCrash as crash:
                self.die(str(crash))
        if self.is_up:
            self.is_up = False
            if self.link is not None:
                self.link.close()
            self.store.close()

    def _leave(self) -> None:
        """What was received and not persisted still is."""
        if self.link is not None:
            self.link.leave()
            self._listen()

    # --- a second -----------------------------------------------------------------------------------------------------

    def second(self, pump: Pump | None) -> None:
        """The pump obeys one order and says its level, where it is wired to us; the second passes."""
        if pump is not None:
            if self.orders:
                self._obey(pump, self.orders.pop(0))
            self._from(LINE, pump.reading())
        else:
            self.orders.clear()
        self.pipeline.handle(Ticked("second"))
        if self.link is not None:
            self._write_mark()

    def hear(self, now_s: float, packet: Packet) -> None:
        """A message of head office arrives."""
        if self.link is not None:
            self.link.take(now_s, packet)
            self._listen()

    def talk(self, now_s: float) -> None:
        """The link does what is due."""
        if self.link is not None:
            self.link.step(now_s)
            self._listen()

    def _listen(self) -> None:
        while self._told:
            self.pipeline.handle(FromHeadOffice(self._told.pop(0)))
        if self._begins_anew:
            self.die("new incarnation")
            self.start()

    def scan(self, card: str) -> None:
        """The reader of the pump sees a card."""
        self._from(READER, CodeScan(READER, card))

    def _obey(self, pump: Pump, order: Command) -> None:
        if isinstance(order, ReadSale):
            self._from(LINE, pump.bundle(order))
        elif hasattr(order, "fuelling_point") and order.fuelling_point == 1:
            self._from(LINE, CommandResult(order.command_id, 1, pump.obey(order)))

    def _from(self, line: str, reading: Any) -> None:
        from agent.domain.instant import Now

        self.pipeline.handle(FromLine(line, reading, Now(self.clock.wall_ms(), self.clock.mono_ms())))

    def _write_mark(self) -> None:
        heads = {name: (seq, digest.hex()) for name, (seq, digest) in self.store.heads().items()}
        marks.write(self.settings.store.mark, marks.Mark(self.store.incarnation, 0, heads, self.store.counts()))

    # --- the disk -----------------------------------------------------------------------------------------------------

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Rows of the database, read beside the agent."""
        return rows(self.path, sql)

    def copy_to(self, folder: Path) -> None:
        """A backup of database and high-water file at this instant."""
        folder.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(folder / "station.db")) as target:
            source.backup(target)
        if self.settings.store.mark.exists():
            shutil.copy(self.settings.store.mark, folder / "mark.json")

    def put_back(self, backup: Path, *, mark: str) -> None:
        """An old copy in the place of the database; the high-water file is kept, as old, or gone. Must not run."""
        assert not self.is_up
        self.lose_database()
        shutil.copy(backup / "station.db", self.path)
        if mark == "old" and (backup / "mark.json").exists():
            shutil.copy(backup / "mark.json", self.settings.store.mark)
        elif mark == "gone":
            self.settings.store.mark.unlink(missing_ok=True)

    def lose_database(self) -> None:
        """The disk is new; the high-water file lies elsewhere. Must not run."""
        assert not self.is_up
        for ending in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)

    @property
    def waits(self) -> bool:
        """Whether something is to be delivered, or a stop to be gone on from."""
        stopped = self.rows("SELECT 1 FROM meta WHERE key IN ('stopped', 'await_ends')")
        return bool(stopped) or bool(self.rows("SELECT 1 FROM stream_head WHERE acked < seq"))

    @property
    def doubts(self) -> bool:
        """Whether a meter that was ever read waits for head office, or a fuelling to be read out."""
        import json

        memory = [
            json.loads(row["memory"]) for row in self.rows("SELECT memory FROM point_memory WHERE fuelling_point = 1")
        ]
        return any(one["rebase"] or one["gaps"] for one in memory)


@cache
def _model() -> Settings:
    folder = template.new_folder()
    try:
        plan = Plan(settle="auto", control="auto", settle_after="5s", link_after="20s")
        return station_settings(folder, default_config(""), plan)
    finally:
        shutil.rmtree(folder)


def _settings(folder: Path) -> Settings:
    folder.mkdir(parents=True, exist_ok=True)
    store = StoreSettings(path=folder / "station.db", mark=folder / "mark" / "mark.json")
    return _model().model_copy(update={"store": store})
