"""Closing time: no new customers, every sale recorded, settled and delivered; then the processes end; then the count.

Knows the order and its limits in time. The comparing itself is in ``agent.demo.closing``.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from agent.control import ControlError, ask
from agent.demo.closing import Count, count, read_truth
from agent.demo.faults import Kind
from agent.demo.planted import plant
from agent.demo.stage import Stage

DRAIN_S = 60.0
"""Real seconds in which everything must be settled and acknowledged: more than the half minute of an unheard hello."""
QUIET_S = 20.0
SLOWEST_CUSTOMER_S = 60.0
"""Simulated seconds in which whoever is fuelling has finished."""
LOOK_S = 0.1
ROUNDS = 3
"""The daemon may write a last record while it ends; it is started again to deliver it, so often at the most."""


class Ending:
    """``run`` does everything in order. ``go_on`` turns false when somebody wants out at once."""

    def __init__(self, stage: Stage, go_on: Callable[[], bool]) -> None:
        self._stage = stage
        self._go_on = go_on
        self.problems: list[str] = []

    def close_the_pumps(self) -> None:
        """Tell the simulator to close and wait until everybody has gone."""
        self._stage.fleet.strike("simulator", signal.SIGUSR1)
        patience_s = QUIET_S + SLOWEST_CUSTOMER_S / self._stage.options.speed
        if not self._wait(self._quiet, patience_s):
            self.problems.append(f"the pumps were still busy {patience_s:.0f} s after closing time")

    def drain(self) -> None:
        """Wait until every sale is recorded, settled and acknowledged by head office."""
        if not self._wait(self._drained, DRAIN_S):
            self.problems.append(f"not everything was recorded, settled and delivered within {DRAIN_S:.0f} s")

    def stop_the_agent(self) -> None:
        """End the agent; a record it wrote at the very end is delivered by starting it once more."""
        for _ in range(ROUNDS):
            self._stage.fleet.hold("agent")
            if not self._waiting_records() or not self._go_on():
                return
            self._stage.fleet.release("agent")
            self._wait(self._drained, DRAIN_S)
        self._stage.fleet.hold("agent")

    def counted(self) -> Count:
        """Plant the frauds asked for, then count. Everything has ended before."""
        places = self._stage.places
        for name in self._stage.options.of_kind(Kind.PLANTED):
            if not plant(name, places.head_office_database, self._stage.options.seed):
                self.problems.append(f"{name}: there was no sale to falsify")
        try:
            return count(
                places.truth, places.database, places.head_office_database, [*self._verified(), *self.problems]
            )
        except (sqlite3.Error, OSError) as failure:
            return Count({}, (f"the closing count cannot read what it needs: {failure}", *self.problems))

    def _verified(self) -> list[str]:
        done: subprocess.CompletedProcess[str] = self._stage.head_office_command("verify")
        try:
            found: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            return [f"forecourt-hq verify ended with code {done.returncode}: {done.stderr.strip()}"]
        return [f"head office's database: {finding}" for finding in found["findings"]]

    # --- conditions ---------------------------------------------------------------------------------------------------

    def _wait(self, condition: Callable[[], bool], limit_s: float) -> bool:
        deadline = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > deadline or not self._go_on() or self._stage.fleet.given_up is not None:
                return False
            time.sleep(LOOK_S)
        return True

    def _quiet(self) -> bool:
        try:
            found = json.loads((self._stage.places.simulator / "truth.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return bool(found["quiet"])

    def _drained(self) -> bool:
        try:
            status = ask(self._stage.places.socket, "status", timeout_s=5.0)
            recorded = ask(self._stage.places.socket, "counts", timeout_s=5.0)["sales"]
        except (ControlError, ValueError):
            return False
        waiting = sum(
            status["sync"]["streams"][name]["waiting"] for name in ("L", "A") if name in status["sync"]["streams"]
        )
        return bool(not status["unsettled_sales"] and not waiting and recorded >= self._sold())

    def _sold(self) -> int:
        return len(read_truth(self._stage.places.truth))

    def _waiting_records(self) -> int:
        path = self._stage.places.database
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
            statement = "SELECT coalesce(sum(seq - acked), 0) FROM stream_head WHERE stream IN ('L', 'A')"
            return int(db.execute(statement).fetchone()[0])
