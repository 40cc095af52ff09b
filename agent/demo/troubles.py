"""Carries the faults of processes, links and clocks out while the demo runs; the simulator sees to its own.

Real time throughout: processes start no faster at a higher speed. Chance comes from the seed.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from agent.control import ControlError, ask
from agent.demo.faults import Kind
from agent.demo.options import DemoOptions
from agent.demo.places import Places
from agent.demo.processes import Fleet
from agent.demo.proxy import Proxy

FIRST_S = (3.0, 5.0)
"""A fault strikes first when customers are at the pumps."""
UNHURRIED_S = 20.0
"""Time between strikes of a demo without an end."""
MID_FUELLING_S = 6.0
"""How long a strike waits for somebody who is fuelling."""
FROZEN_S = 3.0
DEAF_S = 2.5
SLOW_S = 0.4
BACK_MS = -3_600_000
FORWARD_MS = 7_200_000
SECOND_AGENT_S = 2.0
"""A second agent on the same database ends within two seconds: of its own work, whatever else the machine does."""
SECOND_TRIES = 3
GIVE_UP_S = 15.0
LOOK_S = 0.03


class Troubles:
    """One thread per fault. ``problems`` says what did not hold."""

    def __init__(
        self,
        options: DemoOptions,
        places: Places,
        fleet: Fleet,
        proxy: Proxy | None,
        agent: tuple[list[str], dict[str, str]],
    ) -> None:
        self.problems: list[str] = []
        self.log: list[str] = []
        self._options = options
        self._places = places
        self._fleet = fleet
        self._proxy = proxy
        self._agent = agent
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start every fault that was asked for."""
        kinds = (Kind.PROCESS, Kind.LINK, Kind.CLOCK)
        for name in [name for kind in kinds for name in self._options.of_kind(kind)]:
            rng = Random(f"trouble:{name}:{self._options.seed}")
            thread = threading.Thread(target=self._run, args=(name, rng), name=f"fault-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def end(self) -> None:
        """Stop making trouble and put everything right again: what was taken away is back when this returns."""
        self._stop.set()
        for thread in self._threads:
            thread.join(GIVE_UP_S)
        if self._proxy is not None:
            self._proxy.weather.deaf = False
            self._proxy.weather.delay_s = 0.0
        for role in ("broker", "head-office", "agent"):
            self._fleet.strike(role, signal.SIGCONT)
            self._fleet.release(role)
        set_offset(self._places.clock_offset, 0)

    def _run(self, name: str, rng: Random) -> None:
        plans: dict[str, tuple[int, Callable[[], object]]] = {
            "agent-killed": (3, self._kill_agent),
            "agent-stopped": (2, self._freeze_agent),
            "head-office-killed": (3, lambda: self._fleet.strike("head-office", signal.SIGKILL)),
            "broker-killed": (3, lambda: self._fleet.strike("broker", signal.SIGKILL)),
            "head-office-away": (1, lambda: self._away("head-office")),
            "broker-away": (1, lambda: self._away("broker")),
            "two-agents": (1, self._second_agent),
            "link-half-open": (3, self._half_open),
            "slow-link": (1, self._slow),
            "clock-back": (1, lambda: self._clock(BACK_MS)),
            "clock-forward": (1, lambda: self._clock(FORWARD_MS)),
        }
        times, strike = plans[name]
        pause_s = min(rng.uniform(*FIRST_S), self._length_s() / 5)
        for _ in range(times):
            if self._stop.wait(pause_s):
                return
            self.log.append(name)
            strike()
            pause_s = rng.uniform(0.6, 1.0) * self._length_s() / (times + 2)

    def _length_s(self) -> float:
        return self._options.duration_s or 3 * UNHURRIED_S

    # --- processes --------------------------------------------------------------------------------------------------

    def _kill_agent(self) -> None:
        deadline = time.monotonic() + MID_FUELLING_S
        while time.monotonic() < deadline and not self._stop.wait(LOOK_S):
            if any(point["state"] == "Fuelling" for point in self._points()):
                break
        self._fleet.strike("agent", signal.SIGKILL)

    def _points(self) -> list[dict[str, Any]]:
        try:
            found: list[dict[str, Any]] = ask(self._places.socket, "pumps", timeout_s=1.0)
        except (ControlError, ValueError):
            return []
        return found

    def _freeze_agent(self) -> None:
        self._fleet.strike("agent", signal.SIGSTOP)
        self._stop.wait(FROZEN_S)
        self._fleet.strike("agent", signal.SIGCONT)

    def _away(self, role: str) -> None:
        self._fleet.hold(role)
        self._stop.wait(self._length_s() / 3)
        self._fleet.release(role)

    def _second_agent(self) -> None:
        """Judge only a try in which the first agent ran all the time: while it is dead, a second one is the first."""
        for _ in range(SECOND_TRIES):
            deadline = time.monotonic() + GIVE_UP_S
            while not self._points() and time.monotonic() < deadline and not self._stop.wait(LOOK_S):
                continue
            starts = self._fleet.starts("agent")
            problem = self._try_second_agent(starts)
            if self._first_lives(starts):
                self.problems += [] if problem is None else [problem]
                return
        self.problems.append("two-agents: the first agent died in every try")

    def _first_lives(self, starts: int) -> bool:
        return self._fleet.starts("agent") == starts and self._fleet.pid("agent") is not None

    def _try_second_agent(self, starts: int) -> str | None:
        command, environment = self._agent
        second = self._fleet.spawn("second-agent", command, environment)
        deadline = time.monotonic() + GIVE_UP_S
        ended, status, usage = os.wait4(second.pid, os.WNOHANG)
        while not ended and time.monotonic() < deadline and self._first_lives(starts):
            time.sleep(LOOK_S)
            ended, status, usage = os.wait4(second.pid, os.WNOHANG)
        if not ended:
            second.kill()
            second.wait()
            return f"two-agents: the second agent still ran after {GIVE_UP_S:.0f} s"
        second.returncode = os.waitstatus_to_exitcode(status)
        took_s = usage.ru_utime + usage.ru_stime
        if second.returncode != 2:
            return f"two-agents: the second agent ended with code {second.returncode}, not 2"
        if took_s > SECOND_AGENT_S:
            return f"two-agents: the second agent worked {took_s:.1f} s, not {SECOND_AGENT_S:.0f} at most"
        return None

    # --- link and clock -----------------------------------------------------------------------------------------------

    def _half_open(self) -> None:
        assert self._proxy is not None
        self._proxy.weather.deaf = True
        self._stop.wait(DEAF_S)
        self._proxy.cut()
        self._proxy.weather.deaf = False

    def _slow(self) -> None:
        assert self._proxy is not None
        self._proxy.weather.delay_s = SLOW_S

    def _clock(self, offset_ms: int) -> None:
        set_offset(self._places.clock_offset, offset_ms)
        self._stop.wait(self._length_s() / 3)
        set_offset(self._places.clock_offset, 0)


def set_offset(path: Path, offset_ms: int) -> None:
    """Move the wall clock of whoever reads ``path``; replaced as a whole, so nobody reads half a number."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(str(offset_ms), encoding="ascii")
    temporary.replace(path)
