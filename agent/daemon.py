"""The daemon put together: store, pipeline, lines, link and control socket, each in a thread of its own.

Opens nothing before the database's lock is taken. Knows every part; decides nothing.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from random import Random, SystemRandom

from agent import __version__, keyring
from agent.answers import Answers
from agent.backup.keeper import Keeper
from agent.census import Census
from agent.checkup import VERIFIED_AT, Checkup, DiskWatch, giving_up
from agent.clock import Clock, ScaledClock, clock_from_environment, read
from agent.control import ControlServer
from agent.inbox import FromHeadOffice, FromLine, FromStorage, Inbox, Item
from agent.live import LiveBoard
from agent.logs import configure, get_logger
from agent.nightwatch import NIGHT, SHIFT, NightWatch
from agent.pipeline import Pipeline, rebirth
from agent.pipeline.core import CONNECTS_PER_START
from agent.pipeline.step import Outlets
from agent.schedule import Ticks
from agent.settings import Settings, wiring
from agent.store import mark as marks
from agent.store import swap
from agent.store.examine import examine
from agent.store.failures import disk_named, of_system
from agent.store.journal import Stamp
from agent.store.lock import InstanceLock
from agent.store.reserve import Reserve
from agent.store.store import Store
from agent.supervisor import Heart, Shell, Supervisor, sd_notify
from agent.uplink import Uplink, install_id
from drivers.commands import Command, GaugeCommand
from drivers.device import Hinting, of_points
from drivers.errors import DriverError
from drivers.line import Line
from drivers.readings import FuellingPointReading, Reading, TankReading
from drivers.registry import make_line
from sync import ports
from sync.messages import Message

_log = get_logger("daemon")

GET_S = 0.5
MARK_EVERY_S = 1.0
BOOT_ID_NAME = "FORECOURT_BOOT_ID"
GIVE_WAY_S = 0.0005
"""A thread that computes (a backup being checked) gives way to the pipeline after this, not after Python's 5 ms."""


def boot_id() -> str:
    """Return what names this boot of the machine (its monotonic times belong together).

    The unit hands it over, because ``/proc/sys`` is hidden from the service.
    """
    given = os.environ.get(BOOT_ID_NAME, "")
    return given or Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip().replace("-", "")


class StationRefused(Exception):
    """The configuration does not fit this machine, or what the database still has to settle. ``hint``: what to do."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def check_unsettled(settings: Settings, unsettled: Iterable[tuple[int, int, str, int]]) -> None:
    """Raise StationRefused where an unsettled sale's point, nozzle, grade or tank is not configured as it was sold."""
    sold_as = {(p.id, n.id): (n.grade, n.tank) for p in settings.fuelling_point for n in p.nozzle}
    for point, nozzle, grade, tank in unsettled:
        now = sold_as.get((point, nozzle))
        if now != (grade, tank):
            what = "is not configured any more" if now is None else f"is configured as grade {now[0]}, tank {now[1]}"
            raise StationRefused(
                f"point {point} nozzle {nozzle} has unsettled sales of grade {grade}, tank {tank}, and {what}",
                hint="start with the old configuration, settle its sales, then change it",
            )


def check_staff(settings: Settings, known: Iterable[str]) -> None:
    """Raise StationRefused where a person stands in the configuration and was added to the database as well."""
    twice = sorted({person.id for person in settings.staff}.intersection(known))
    if twice:
        raise StationRefused(
            f"staff {', '.join(twice)}: in [[staff]] of the configuration and in the database (forecourt staff add)",
            hint="give the one in the configuration another id, or remove it there",
        )


class Daemon:
    """The station's one process. ``run`` returns when the end is asked for."""

    def __init__(self, settings: Settings, lock: InstanceLock, reserve: Reserve) -> None:
        """Make room, examine and open the database. Raises StoreError, SecretMissing, StationRefused."""
        self._settings = settings
        self._clock: Clock = clock_from_environment()
        self._rng = SystemRandom()
        self._key = keyring.index_key(settings)
        self._pinned = keyring.pinned_keys(settings)
        self._keyring = keyring.load(settings)
        place = settings.store
        self._reserve = reserve
        with disk_named():
            reserve.look()
            swap.finish(place.path)  # else a restore under way looks like a database that went missing
        trusted = examine(place.path, place.mark, unclean=lock.unclean, wall_ms=self._clock.wall_ms())
        self._store = Store(place.path, station=settings.station.id, random=self._rng, lock=lock)
        check_unsettled(settings, self._store.unsettled())
        check_staff(settings, self._store.staff_ids())
        self._inbox: Inbox[Item] = Inbox()
        self._live = LiveBoard(started_ms=self._clock.wall_ms())
        self._supervisor = Supervisor()
        self._lines = {config.id: make_line(config) for config in settings.line_configs()}
        for config, key, problem, hint in wiring.warnings(settings):
            _log.warning("option to be changed", line=config, option=key, problem=problem, hint=hint)
        self._by_point = {p.id: p.line for p in settings.fuelling_point}
        self._uplink: Uplink | None = None
        self._checkup = self._make_checkup(trusted=trusted)
        night, shift = (self._store.meta(key) for key in (NIGHT, SHIFT))
        self._nightwatch = NightWatch(settings, self._clock, self._inbox, night=night, shift=shift)
        self._mark_fails = False
        self._begins_anew = False
        self._written_mark: marks.Mark | None = None
        self._boot = boot_id()
        self._install = install_id()
        begun = self._begin()
        self._connect_n, self._stopped = begun.connect_n, begun.stopped
        self._take_places()
        start = secrets.token_hex(4)
        self._keeper = self._make_keeper()
        self._pipeline = Pipeline(
            store=self._store,
            settings=settings,
            clock=self._clock,
            boot=self._boot,
            start=start,
            random=self._rng,
            live=self._live,
            index_key=self._key,
            capabilities=of_points(device for line in self._lines.values() for device in line.devices),
            outlets=Outlets(self._send, self._wake, self._begin_anew, self._publish),
            pinned=self._pinned,
            keys=self._keyring,
        )

    def _begin(self) -> rebirth.Begun:
        """Give the database a new incarnation where it needs one, before anything else is written."""
        wall_ms, newest_ms = self._clock.wall_ms(), self._store.newest_ms
        quality = "floor" if wall_ms < newest_ms else self._clock.quality()
        stamp = Stamp(max(wall_ms, newest_ms), self._clock.mono_ms(), self._boot, quality)
        return rebirth.begin(self._store, self._settings, install=self._install, stamp=stamp, random=self._rng)

    def run(self) -> bool:
        """Start every thread, say READY, watch until SIGTERM or SIGINT; returns whether to start again at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._end())
        control = self._control()
        _open(control, self._settings.control.socket)
        self._supervisor.add("pipeline", self._pipeline_shell, vital=True)
        self._supervisor.add("control", lambda heart: self._control_shell(control, heart))
        self._supervisor.add("mark", self._mark_shell)
        self._supervisor.add(
            "disk", DiskWatch(self._reserve, self._settings.store.path, self._inbox, self._live.set_disk_free).shell
        )
        self._supervisor.add("checkup", self._checkup.shell)
        self._supervisor.add("nightwatch", self._nightwatch.shell)
        if self._pinned is not None:
            kept, zone = self._settings.store, self._settings.station.tz
            self._supervisor.add("census", Census(kept.path, kept.verify_at, zone, self._clock, self._inbox).shell)
        for name, line in self._lines.items():
            self._supervisor.add(f"line-{name}", _line_shell(name, line, self._inbox, self._clock))
        if self._keeper is not None:
            self._supervisor.add("backup", self._keeper.shell)
        if self._settings.board is not None:
            from agent.board.shell import Board  # the web server is loaded where it is wanted

            wanted, found = self._settings.board, self._settings
            board = Board(settings=found, wanted=wanted, live=self._live, inbox=self._inbox, clock=self._clock)
            self._supervisor.add("board", board.shell)
        if self._stopped is None:
            self._uplink = self._make_uplink()
            self._supervisor.add("uplink", self._uplink.shell)
        else:
            self._inbox.put(FromHeadOffice(ports.Stopped(self._stopped)))
        speed = self._clock.speed if isinstance(self._clock, ScaledClock) else 1
        ticks = Ticks(self._inbox, speed=speed)
        self._supervisor.start()
        ticks.start()
        sd_notify("READY=1")
        _log.info("station runs", station=self._settings.station.id, version=__version__, lines=len(self._lines))
        self._supervisor.run()
        ticks.stop()
        self._inbox.close()
        control.close()
        for line in self._lines.values():
            line.close()
        self._keep_mark()
        self._store.close()
        _log.info("station ended", station=self._settings.station.id)
        return self._begins_anew

    def _end(self) -> None:
        """Ask every thread to end, and the wires not to wait for answers any more (called by a signal)."""
        self._supervisor.request_stop()
        for line in self._lines.values():
            line.cancel()

    def _make_checkup(self, *, trusted: bool) -> Checkup:
        verified = self._store.meta(VERIFIED_AT)
        return Checkup(
            database=self._settings.store.path,
            at_minutes=self._settings.store.verify_at,
            zone=self._settings.station.tz,
            clock=self._clock,
            inbox=self._inbox,
            last_ms=int(verified) if trusted and verified is not None else None,
        )

    def _control(self) -> ControlServer:
        answers = Answers(
            settings=self._settings,
            live=self._live,
            inbox=self._inbox,
            clock=self._clock,
            version=__version__,
            incarnation=self._store.incarnation,
            backups=self._keeper,
            index_key=self._key,
        )
        supervisors = frozenset(self._settings.control.supervisors)
        return ControlServer(self._settings.control.socket, supervisors, answers.answer)

    def _make_keeper(self) -> Keeper | None:
        if self._settings.backup is None:
            return None
        return Keeper(
            settings=self._settings,
            wanted=self._settings.backup,
            clock=self._clock,
            software=__version__,
            newest_ms=lambda: self._store.newest_ms,
            tell=self._inbox.put,
        )

    # --- the link -----------------------------------------------------------------------------------------------------

    def _begin_anew(self) -> None:
        """The incarnation ended while running: end the process, its next start begins another one (W-32)."""
        if self._stopped is None:
            self._stopped, self._begins_anew = self._store.meta("stopped"), True
            _log.warning("incarnation ended, this process ends to be started again", reason=self._stopped)
            self._end()

    def _make_uplink(self) -> Uplink:
        known = int(self._store.meta("connect_n") or "0")
        return Uplink(
            settings=self._settings,
            database=self._settings.store.path,
            incarnation=self._store.incarnation,
            install=self._install,
            boot=self._boot,
            software=f"forecourt {__version__}",
            clock=self._clock,
            inbox=self._inbox,
            first_connect_n=max(known, self._connect_n + CONNECTS_PER_START),
            newest_ms=lambda: self._store.newest_ms,
            pinned=self._pinned,
            profile=lambda: self._live.profile,
            rng=Random(self._rng.getrandbits(64)),
        )

    def _wake(self) -> None:
        if self._uplink is not None:
            self._uplink.wake()

    def _publish(self, name: str, message: Message) -> None:
        if self._uplink is not None:
            self._uplink.tell(name, message)

    def _take_places(self) -> None:
        """Write the high-water file before the first record. Raises StationRefused where it cannot be written.

        A disk that fails under a file that is there refuses nothing: the file may be behind the database.
        """
        path = self._settings.store.mark
        try:
            self._write_mark()
        except OSError as failure:
            if of_system(failure) is not None and path.exists():
                self._tell_mark(failure)
                return
            hint = "name a file in a folder that the agent may write: [store] mark"
            raise StationRefused(f"{path} cannot be written: {failure.strerror or failure}", hint=hint) from failure

    def _write_mark(self) -> None:
        heads = {name: (seq, digest.hex()) for name, (seq, digest) in self._store.heads().items()}
        connect_n = self._connect_n if self._uplink is None else self._uplink.vitals.connect_n
        fresh = marks.Mark(self._store.incarnation, connect_n, heads, self._store.counts())
        if fresh != self._written_mark and self._stopped is None:
            marks.write(self._settings.store.mark, fresh)
            self._written_mark = fresh

    def _keep_mark(self) -> None:
        """Write the high-water file; that it cannot be written is told once, and once that it can again."""
        try:
            self._write_mark()
        except OSError as failure:
            self._tell_mark(failure)
        else:
            self._tell_mark(None)

    def _tell_mark(self, failure: OSError | None) -> None:
        if self._mark_fails == (failure is not None):
            return
        self._mark_fails = failure is not None
        if failure is not None:
            _log.error(
                "the high-water file cannot be written", path=str(self._settings.store.mark), failure=str(failure)
            )
        self._inbox.put(FromStorage("MARK_NOT_WRITTEN", self._mark_fails, str(failure or "")))

    # --- shells -------------------------------------------------------------------------------------------------------

    def _pipeline_shell(self, heart: Heart) -> None:
        while heart.beat():
            item = self._inbox.get(GET_S)
            if item is not None:
                with giving_up(self._reserve):
                    self._pipeline.handle(item)

    @staticmethod
    def _control_shell(control: ControlServer, heart: Heart) -> None:
        while heart.beat():
            control.serve_once()

    def _mark_shell(self, heart: Heart) -> None:
        while heart.rest(MARK_EVERY_S):
            self._keep_mark()

    def _send(self, command: Command) -> None:
        line = command.gauge.removeprefix("gauge:") if isinstance(command, GaugeCommand) else None
        name = line if line is not None else self._by_point[command.fuelling_point]  # type: ignore[union-attr]
        try:
            self._lines[name].submit(command)
        except DriverError as failure:
            _log.error("command not taken", line=name, command=type(command).__name__, failure=str(failure))


def _line_shell(name: str, line: Line, inbox: Inbox[Item], clock: Clock) -> Shell:
    """Return the thread of one wire: turns for ever, readings to the inbox, levels of one device coalescing."""

    def shell(heart: Heart) -> None:
        generation = 0
        told: set[str] = set()
        while heart.beat():
            for reading in line.turn():
                generation = _deliver(inbox, clock, name, reading, generation)
            if line.config.reader:
                _tell_dropped(line, told)
        line.close()

    return shell


def _tell_dropped(line: Line, told: set[str]) -> None:
    """Say once for each reason that a reader drops codes, and what can be done; drivers keep no log."""
    for name, count in line.counters().items():
        if count and name.startswith("frames_rejected.") and name not in told:
            told.add(name)
            hints = [device.hints.get(name, "") for device in line.devices if isinstance(device, Hinting)]
            _log.warning("reader drops codes", line=line.config.id, reason=name, hint="".join(hints))


def _deliver(inbox: Inbox[Item], clock: Clock, line: str, reading: Reading, generation: int) -> int:
    """Put one reading on the inbox; a level replaces a waiting one unless something else of the line came between."""
    item = FromLine(line, reading, read(clock))
    if isinstance(reading, FuellingPointReading):
        inbox.put_latest((line, generation, reading.fuelling_point), item)
        return generation
    if isinstance(reading, TankReading):
        inbox.put_latest((line, generation, "tank", reading.gauge_index), item)
        return generation
    inbox.put(item)
    return generation + 1


def _open(control: ControlServer, path: Path) -> None:
    """Listen for the command line. Raises StationRefused where the socket cannot be made."""
    try:
        control.open()
    except OSError as failure:
        hint = "name a path of at most 107 bytes in a folder that the agent may write: [control] socket"
        raise StationRefused(f"cannot listen at {path}: {failure.strerror or failure}", hint=hint) from failure


def run(settings: Settings, lock: InstanceLock) -> bool:
    """Configure logging and run the daemon until it is asked to end; returns whether to start again at once."""
    configure()
    sys.setswitchinterval(GIVE_WAY_S)
    reserve = Reserve(settings.store.path, settings.store.reserve)
    with giving_up(reserve):
        return Daemon(settings, lock, reserve).run()
