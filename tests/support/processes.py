"""A whole station as real processes for tests: broker, head office, simulated forecourt and agent, logs in one folder.

Knows how to start them, what to wait for and how to count at head office by SQL. Ends only what it started.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any, Self, TypeVar

from agent.clock import ScaledClock, boottime_ms
from agent.control import ControlError, ask
from agent.failpoints import ENVIRONMENT_NAME as FAILPOINT
from agent.store import verify as at_station
from drivers.simulator.config import ForecourtConfig, PumpConfig, default_config, dump_config
from headoffice.documents import publish_rules
from headoffice.keys import load_keys, make_keys
from headoffice.members import import_file
from headoffice.store import reports
from headoffice.store import verify as at_head_office
from headoffice.store.database import Database
from tests.support import template
from tests.support.broker import Mosquitto
from tests.support.exactly_once import Truth, complaints

T = TypeVar("T")

STATION = "SH-0421"
POLL_S = 0.05
PATIENCE = 4
"""Waits are bounds against hanging, told for a quiet machine; one that builds and tests for many is slower than that."""
STOP_WITHIN_S = 10.0
AGENT = "from agent.__main__ import entry; entry()"
HEAD_OFFICE = "from headoffice.cli import entry; entry()"

Sums = dict[tuple[int, int], tuple[int, int]]


def eventually(found: Callable[[], T], within_s: float, what: str, *, patience: float = PATIENCE) -> T:
    """Return the first true answer of ``found``; fails with ``what`` when there is none within_s times ``patience``."""
    pause = threading.Event()
    deadline = time.monotonic() + patience * within_s
    while True:
        is_last = time.monotonic() >= deadline  # a look that took long itself does not decide
        if value := found():
            return value
        assert not is_last, f"not within {patience * within_s:g} s: {what}"
        pause.wait(POLL_S)


def slowed() -> float:
    """How many times longer than on an idle machine anything may take here now: runnable tasks for each core."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def quickest(seconds: Callable[[], float], within_s: float, *, tries: int = 4) -> None:
    """Something takes less than ``within_s`` at one of a few tries: what is slow by itself is slow every time."""
    took: list[float] = []
    while not took or min(took) >= within_s * slowed():
        assert len(took) < tries, f"not within {within_s:g} s: {took}"
        took.append(seconds())


class Running:
    """One process with its output in ``log``; ``end`` is polite, ``kill`` is SIGKILL."""

    def __init__(self, arguments: list[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                arguments,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def text(self) -> str:
        """Everything it wrote so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait(self, within_s: float, what: str) -> int:
        """Return the exit code; fails with the end of the log when it does not end in time."""
        try:
            return self.process.wait(PATIENCE * within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{what}: still running after {PATIENCE * within_s:g} s\n{self.text[-3_000:]}"
            ) from None

    def end(self) -> int | None:
        """SIGTERM, and SIGKILL if that is not enough; returns the exit code."""
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
            try:
                return self.process.wait(PATIENCE * STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def kill(self) -> None:
        """SIGKILL and reap."""
        if self.alive:
            self.process.kill()
        self.process.wait(PATIENCE * STOP_WITHIN_S)


def ended_after_s(process: Running) -> float:
    """End it politely; how many seconds it took. It ends well."""
    began_s = time.monotonic()
    assert process.end() == 0, process.text[-3_000:]
    return time.monotonic() - began_s


class Site:
    """Broker, head office, forecourt and agent of one station below ``folder``; a context manager that ends them all.

    ``speed``: how much faster the clocks of simulator, agent and head office run than the wall.
    """

    def __init__(self, folder: Path, *, speed: int = 1, seed: int = 1, broker: str = "") -> None:
        """``broker``: more lines of its configuration. ``wire``: where the agent connects to, if not straight to it."""
        self.folder = folder
        self.seed = seed
        self.speed = speed
        self.broker = Mosquitto(folder / "broker", extra=broker)
        self.wire = self.broker.port
        self.hq = folder / "hq"
        self.database = folder / "station.db"
        self.mark = folder / "mark" / "mark.json"
        self.reserve_mb = 1
        self.config = folder / "station.toml"
        # a Unix socket's path has at most 107 bytes, pytest's folders alone may be longer
        self._short = Path(tempfile.mkdtemp(prefix="fc-"))
        self.control = self._short / "control.sock"
        self._own: list[Running] = []
        self.forecourt = brisk_forecourt(self.state)
        self.clock = ScaledClock(speed, time.time_ns() // 1_000_000, boottime_ms())
        self.environment = {**(self.clock.as_environment() if speed > 1 else {}), "FORECOURT_HQ_STATE": str(self.hq)}

    def __enter__(self) -> Self:
        self.broker.start()
        make_keys(self.hq / "keys")
        template.head_office(self.hq / "database.sqlite").close()
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._own):
            process.end()
        self.broker.stop()
        shutil.rmtree(self._short, ignore_errors=True)

    def start(self, name: str, arguments: list[str], **environment: str) -> Running:
        """Start a process that is ended with this site."""
        process = Running(arguments, self.folder / f"{name}.log", {**self.environment, **environment})
        self._own.append(process)
        return process

    # --- head office ------------------------------------------------------------------------------------------------

    def hq_command(self, *arguments: str, code: int = 0) -> str:
        """Run ``forecourt-hq`` to its end and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-c", HEAD_OFFICE, *arguments],
            capture_output=True,
            text=True,
            timeout=60 * PATIENCE,
            check=False,
            env={**os.environ, **self.environment},
        )
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def publish_rules(self, version: int) -> None:
        """Hand out a rule set that earns one point for each 1.00."""
        file = self.folder / f"rules-{version}.json"
        file.write_text(json.dumps({**RULES, "version": version}), encoding="utf-8")
        with closing(Database(self.hq / "database.sqlite")) as database:
            publish_rules(database, file, self.clock.wall_ms())

    def import_members(self, cards: tuple[str, ...]) -> None:
        """One member for each card number."""
        file = self.folder / "members.jsonl"
        lines = [json.dumps({"member": f"{n:016x}", "cards": [card]}) for n, card in enumerate(cards, 1)]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with closing(Database(self.hq / "database.sqlite")) as database:
            import_file(database, file, load_keys(self.hq / "keys").index_key)

    def start_hq(self, *, failpoint: str = "", port: int | None = None) -> Running:
        """Start ``forecourt-hq serve`` and wait until it serves, unless it is to die. ``port``: not straight to the broker."""
        more = {FAILPOINT: failpoint} if failpoint else {}
        before = self.hq_connects()
        url = f"mqtt://127.0.0.1:{port or self.broker.port}"
        process = self.start("hq", [sys.executable, "-c", HEAD_OFFICE, "serve", "--broker", url, "--json"], **more)
        eventually(lambda: not process.alive or self.hq_connects() > before, 30, "head office serves")
        return process

    def hq_connects(self) -> int:
        """How often head office has said that it is connected."""
        log = self.folder / "hq.log"
        return log.read_text(encoding="utf-8", errors="replace").count('"event": "connected"') if log.exists() else 0

    def at_hq(self, statement: str, *values: object) -> list[Any]:
        """Rows of a question to head office's database."""
        return _rows(self.hq / "database.sqlite", statement, values)

    def sums_at_hq(self) -> Sums:
        """(sales, volume_ml) per (fuelling point, nozzle) as head office has them."""
        rows = self.at_hq("SELECT fuelling_point, nozzle, count(*), sum(volume_ml) FROM sale GROUP BY 1, 2")
        return {(point, nozzle): (count, volume) for point, nozzle, count, volume in rows}

    def verify_hq(self) -> None:
        """Head office's own check of chains, intervals, sums and postings; nothing doubled, refused or put aside."""
        with closing(Database(self.hq / "database.sqlite")) as database:
            findings = at_head_office.verify(database).findings
            totals = reports.totals(database)
        assert not findings, findings
        assert (totals["dead_letters"], totals["quarantined"], totals["own_alerts"]) == (0, 0, 0), totals

    def check_once(self, sums: Sums) -> None:
        """Every fact of the station is at head office exactly once, and the litres and sales of ``sums`` with them.

        An agent that runs goes on writing: what it writes meanwhile is waited for.
        """
        litres = {nozzle: volume for nozzle, (_, volume) in sums.items()}
        truth = {STATION: Truth(litres, {nozzle: count for nozzle, (count, _) in sums.items()})}
        found: list[str] = []

        def is_well() -> bool:
            found[:] = complaints(self.hq / "database.sqlite", {STATION: [self.database]}, truth)
            return not found

        try:
            eventually(is_well, 20, "every fact once")
        except AssertionError as late:
            raise AssertionError("\n".join(found[:40])) from late

    # --- forecourt --------------------------------------------------------------------------------------------------

    @property
    def state(self) -> Path:
        return self.folder / "forecourt"

    def start_forecourt(self, *arguments: str) -> Running:
        """Start the simulator and wait until its ports are there."""
        file = self.folder / "forecourt.json"
        file.write_text(dump_config(self.forecourt), encoding="utf-8")
        (self.state / "endpoints.json").unlink(missing_ok=True)  # of one that ran before: its ports are not these
        command = [sys.executable, "-m", "drivers.simulator", "--config", str(file), "--state", str(self.state)]
        command += ["--seed", str(self.seed), "--speed", str(self.speed), *arguments]
        process = self.start("forecourt", command)
        eventually((self.state / "endpoints.json").exists, 20, "the simulated forecourt is ready")
        return process

    def close_forecourt(self, forecourt: Running, within_s: float = 60) -> None:
        """Closing time: nobody new comes; wait until everybody has gone."""
        forecourt.process.send_signal(signal.SIGUSR1)
        eventually(lambda: self.truth()["quiet"], within_s, "everybody has left the forecourt")

    def truth(self) -> dict[str, Any]:
        """The simulator's own account."""
        value: dict[str, Any] = json.loads((self.state / "truth.json").read_text(encoding="utf-8"))
        return value

    def sums_at_pumps(self) -> Sums:
        """(fuellings, volume_ml) per (fuelling point, nozzle) as the pumps counted them; nozzles without are left out."""
        return {(n["point"], n["nozzle"]): (n["sales"], n["volume_ml"]) for n in self.truth()["nozzles"] if n["sales"]}

    # --- agent ------------------------------------------------------------------------------------------------------

    def write_config(self, endpoints: Mapping[str, Any], **sections: str) -> None:
        """Write station.toml for the ports in ``endpoints``; ``sections`` holds more lines of a section by its name."""
        self.config.write_text(station_toml(self, endpoints, sections), encoding="utf-8")

    def configure(self, **sections: str) -> None:
        """Write station.toml for the running simulator."""
        self.write_config(json.loads((self.state / "endpoints.json").read_text(encoding="utf-8")), **sections)

    def no_devices(self) -> dict[str, Any]:
        """Endpoints for ``write_config`` where no wire is plugged in."""
        return {"lines": {line.name: str(self.folder / "unplugged" / line.name) for line in self.forecourt.lines}}

    def start_agent(self, *, failpoint: str = "", ready: bool = True, **environment: str) -> Running:
        """Start ``forecourt run``; with ``ready`` wait until its control socket answers."""
        more = {**environment, **({FAILPOINT: failpoint} if failpoint else {})}
        process = self.start("agent", [sys.executable, "-c", AGENT, "run", "--config", str(self.config)], **more)
        if ready:
            eventually(lambda: self.answers(process), 40, "the agent answers")
        return process

    def answers(self, process: Running) -> bool:
        """Whether the control socket answers; fails at once when the process has ended."""
        assert process.alive, f"the agent ended with {process.process.returncode}\n{process.text[-3_000:]}"
        try:
            self.ask("sync")
        except ControlError:
            return False
        return True

    def ask(self, op: str, **arguments: Any) -> Any:
        """Ask the running agent through its control socket."""
        return ask(self.control, op, arguments, timeout_s=40)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``forecourt`` to its end."""
        return subprocess.run(
            [sys.executable, "-c", AGENT, *arguments],
            capture_output=True,
            text=True,
            timeout=60 * PATIENCE,
            check=False,
            env={**os.environ, **self.environment, "FORECOURT_CONFIG": str(self.config)},
        )

    def verify_station(self) -> None:
        """What ``forecourt verify`` recomputes of the station's database file."""
        report = at_station.verify(self.database)
        assert report.ok, report.findings

    def at_station(self, statement: str, *values: object) -> list[Any]:
        """Rows of a question to the station's database."""
        return _rows(self.database, statement, values)

    def all_delivered(self) -> bool:
        """Whether everything in the journal is acknowledged."""
        return self.database.exists() and not self.at_station("SELECT 1 FROM stream_head WHERE acked < seq")


def _rows(database: Path, statement: str, values: tuple[object, ...]) -> list[Any]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as connection:
        return connection.execute(statement, values).fetchall()


RULES = {
    "version": 1,
    "effective_from": "2020-01-01T00:00:00Z",
    "program": {"currency": "CNY", "exponent": 2, "earn_base": "NET"},
    "offer": [{"id": "earn", "name": "earn", "kind": "EARN", "points": 1, "per_minor": 100}],
}
GRADES = {"92": ("7.85", "petrol"), "95": ("8.36", "petrol"), "0": ("7.49", "diesel")}
PATIENCE_MS = 30_000
"""Somebody who lifted while no agent ran must hang up once before an agent may look at the pump: soon, then."""


def brisk_forecourt(state: Path) -> ForecourtConfig:
    """The default station made quick: each point on a wire of its own, two nozzles, small fuellings, patient members."""
    config = default_config(state, islands=4)
    lines = tuple(
        replace(line, points=tuple(replace(point, nozzles=point.nozzles[:2]) for point in line.points))
        for line in config.lines
    )
    customers = replace(
        config.customers,
        gap_mean_ms=1_000,
        gap_max_ms=2_000,
        target_min_ml=1_000,
        target_max_ml=5_000,
        patience_min_ms=PATIENCE_MS,
        patience_max_ms=PATIENCE_MS,
        members=900,
        scan_first=800,
        scan_during=0,
        opening_s=0,
    )
    return replace(config, lines=lines, customers=customers)


def station_toml(site: Site, endpoints: Mapping[str, Any], sections: Mapping[str, str]) -> str:
    """The station file of ``site.forecourt`` for its ``endpoints``; without readers or gauge there, none are named."""
    head = {
        "station": f'id = "{STATION}"\nname = "Test"',
        "store": f'path = "{site.database}"\nmark = "{site.mark}"\nreserve = "{site.reserve_mb} MB"',
        "sales": 'settle = "auto"',
        "head_office": (
            f'broker = "mqtt://127.0.0.1:{site.wire}"\nkeys_file = "{site.hq}/keys/pinned.jwks.json"\n'
            f'index_key_file = "{site.hq}/keys/index.key"\nreconnect_max = "1s"'
        ),
        "control": f'socket = "{site.control}"',
    }
    parts = [f"[{name}]\n{text}\n{sections.get(name, '')}" for name, text in head.items()]
    for line in site.forecourt.lines:
        parts.append(f'[[line]]\nid = "{line.name}"\nport = "{endpoints["lines"][line.name]}"\nprotocol = "dart"')
        parts += [_point(line.name, point) for point in line.points]
    gauge = endpoints.get("gauge", {}).get("tcp", "loop://")
    options = f'poll_s = "500ms"\ndelivery_poll_s = "500ms"\npause_s = "20ms"\ntime_scale = {site.speed}'
    parts.append(f'[[line]]\nid = "tls"\nport = "{gauge}"\nprotocol = "veeder-root"\n[line.options]\n{options}')
    for tank, grade in zip(site.forecourt.tanks, cycle(GRADES), strict=False):
        values = f'grade = "{grade}"\nline = "tls"\ngauge_index = {tank.number}\ncapacity_l = {tank.full_ml // 1000}'
        parts.append(f"[[tank]]\nid = {tank.number}\n{values}")
    for reader in site.forecourt.readers:
        if port := endpoints.get("readers", {}).get(reader.name):
            points = list(reader.points)
            parts.append(f'[[reader]]\nid = "{reader.name}"\nport = "{port}"\nfuelling_points = {points}')
    for grade, (price, product) in GRADES.items():
        parts.append(f'[grade.{grade}]\nname = "{grade}"\nunit_price = "{price}"\nproduct = "{product}"')
    return "\n".join(parts) + "\n"


def _point(line: str, point: PumpConfig) -> str:
    nozzles = ", ".join(f'{{id = {n.number}, grade = "{n.grade}", tank = {n.tank}}}' for n in point.nozzles)
    where = f'id = {point.number}\nline = "{line}"\naddress = {point.address}'
    return f"[[fuelling_point]]\n{where}\nnozzle = [{nozzles}]"
