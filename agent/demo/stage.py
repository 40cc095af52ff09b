"""Puts the demo's processes up and takes them down: broker, head office, simulator, agent, in the order they need.

Knows every command line. Knows nothing of screens, faults in progress or counts.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.clock import ScaledClock, boottime_ms
from agent.control import ControlError, ask
from agent.crypto import FIELD_KEY_BYTES
from agent.demo.broker import accepts, broker_command, free_port
from agent.demo.faults import Kind
from agent.demo.options import DemoOptions
from agent.demo.people import TAP_POINTS, people, write_members
from agent.demo.places import Places
from agent.demo.processes import Fleet
from agent.demo.proxy import Proxy
from agent.demo.station import station_toml
from agent.demo.troubles import set_offset
from drivers.simulator.config import ForecourtConfig, ReaderConfig, default_config, dump_config

RULES = Path(__file__).with_name("rules.toml")
READY_S = 30.0
"""A busy machine starts Python in seconds; past this something is broken."""
LOOK_S = 0.02
HEAD_OFFICE = (sys.executable, "-c", "from headoffice.cli import entry; entry()")
"""``forecourt-hq`` without asking where its script is."""
SEVERAL = """
import json, sys
from headoffice.cli.app import app
for arguments in json.loads(sys.argv[1]):
    app(arguments, standalone_mode=False)
"""
ANSWER_S = 2.0
"""How long the daemon may take to answer while it starts."""
SERVING = "serving group"
"""What ``forecourt-hq serve`` says when it is connected."""
ENDING = ("agent", "simulator", "head-office", "broker")


class NotReady(Exception):
    """Something the demo needs did not start. ``hint``: where to look."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Stage:
    """The four processes and what they share."""

    def __init__(self, options: DemoOptions, places: Places) -> None:
        now_ms = time.time_ns() // 1_000_000
        offset = places.clock_offset if options.of_kind(Kind.CLOCK) else None
        self.options = options
        self.places = places
        self.clock = ScaledClock(options.speed, now_ms, boottime_ms())
        self.fleet = Fleet(places.root, places.logs, places.pids)
        self.proxy: Proxy | None = None
        agent_clock = ScaledClock(options.speed, now_ms, boottime_ms(), offset)
        self._environment = self.clock.as_environment()
        self.agent_environment = agent_clock.as_environment()
        self.agent_command = [sys.executable, "-m", "agent", "run", "--config", str(places.station_toml)]

    def up(self, go_on: Callable[[], bool]) -> None:
        """Start everything; returns when the agent runs, or ``go_on`` says no. Raises NotReady and DemoRefused."""
        set_offset(self.places.clock_offset, 0)
        port = free_port()
        self.fleet.start("broker", broker_command(self.places.root / "broker", port))
        config = self._simulator()
        self._head_office_files()
        self._wait("the broker", lambda: accepts(port), go_on)
        serve = ["serve", "--broker", f"mqtt://127.0.0.1:{port}", "--state", str(self.places.head_office)]
        self.fleet.start("head-office", [*HEAD_OFFICE, *serve], self._environment)
        endpoints = self.places.simulator / "endpoints.json"
        self._wait("the simulator", endpoints.exists, go_on)
        # an agent that says hello before anybody listens repeats it only after half a minute
        self._wait("the head office", self._serves, go_on)
        if not go_on():
            return
        self._agent(config, json.loads(endpoints.read_text(encoding="utf-8")), port)
        self._wait("the agent", self.places.socket.exists, go_on)

    def down(self, *, politely: bool = True) -> None:
        """End whatever runs."""
        self.fleet.stop_all(ENDING, politely=politely)
        if self.proxy is not None:
            self.proxy.stop()
            self.proxy = None
        self.places.socket.unlink(missing_ok=True)

    def opened(self) -> bool:
        """Let the customers in once the station can serve them; returns whether they may come.

        A nozzle that is lifted before its point was read out has to be hung up first, so people would only wait.
        """
        try:
            points = ask(self.places.socket, "pumps", timeout_s=ANSWER_S)
            members = ask(self.places.socket, "members", {"limit": 1}, timeout_s=ANSWER_S)
        except (ControlError, ValueError):
            return False  # the daemon is still starting
        if not (points and members and all(point["ready"] for point in points)):
            return False
        self.let_in()
        return True

    def let_in(self) -> None:
        """Opening time at the simulated forecourt."""
        self.fleet.strike("simulator", signal.SIGUSR2)

    def head_office_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one ``forecourt-hq`` command on the demo's state and return what it said."""
        return self._run([*HEAD_OFFICE, *arguments, "--state", str(self.places.head_office), "--json"])

    def _simulator(self) -> ForecourtConfig:
        cards = tuple(person.shows for person in people(self.options.seed))
        config = default_config(self.places.simulator, cards=cards, islands=2)
        customers = replace(config.customers, opening_s=0, opens_when_told=True)
        taps = tuple(ReaderConfig(f"tap-{point}", (point,), kind="pn532") for point in TAP_POINTS)
        config = replace(config, customers=customers, readers=(*config.readers, *taps))
        file = self.places.simulator / "forecourt.json"
        file.write_text(dump_config(config), encoding="utf-8")
        faults = [word for name in self.options.of_kind(Kind.SIMULATOR) for word in ("--fault", name)]
        epoch = datetime.fromtimestamp(self.clock.wall_ms() // 1000, UTC).isoformat()
        command = [
            sys.executable,
            "-m",
            "agent.demo.forecourt",
            str(self.options.seed),
            str(self.places.head_office / "keys"),
            "--config",
            str(file),
            "--state",
            str(self.places.simulator),
        ]
        more = ["--speed", str(self.options.speed), "--seed", str(self.options.seed), "--epoch", epoch, *faults]
        # pumps are metal: were they started anew, their counters would be others and the truth would begin again
        self.fleet.start("simulator", [*command, *more], self._environment, restarts=False)
        return config

    def _agent(self, config: ForecourtConfig, endpoints: dict[str, Any], port: int) -> None:
        if self.options.of_kind(Kind.LINK):
            self.proxy = Proxy(port)
            self.proxy.start()
            port = self.proxy.port
        self.places.field_key.write_text(f"1:{secrets.token_hex(FIELD_KEY_BYTES)}\n", encoding="ascii")
        text = station_toml(config, endpoints, self.places, broker_port=port, speed=self.options.speed)
        self.places.station_toml.write_text(text, encoding="utf-8")
        self.fleet.start("agent", self.agent_command, self.agent_environment)

    def _head_office_files(self) -> None:
        """Make keys, members and rules: three commands in one process, because each start of Python is felt."""
        members = self.places.root / "members.jsonl"
        write_members(members, people(self.options.seed))
        state = ["--state", str(self.places.head_office)]
        commands = [
            ["keys", *state],
            ["codes", "keygen", "--purpose", "dynamic", *state],
            ["codes", "publish", *state],
            ["members", "import", str(members), *state],
            ["rules", "publish", str(RULES), *state],
        ]
        done = self._run([sys.executable, "-c", SEVERAL, json.dumps(commands)])
        if done.returncode != 0:
            raise NotReady("head office's keys, members and rules cannot be made", hint=done.stderr.strip())

    def _serves(self) -> bool:
        log = self.places.logs / "head-office.log"
        return log.exists() and SERVING in log.read_text(encoding="utf-8", errors="replace")

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env={**os.environ, **self._environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )

    def _wait(self, what: str, ready: Callable[[], bool], go_on: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_S
        while not ready() and go_on():
            self.fleet.watch_once()
            if self.fleet.given_up is not None:
                raise NotReady(self.fleet.given_up, hint=f"look into {self.places.logs}")
            if time.monotonic() > deadline:
                raise NotReady(f"{what} did not start within {READY_S:.0f} s", hint=f"look into {self.places.logs}")
            time.sleep(LOOK_S)
