"""``forecourt demo`` as a person runs it: whole stations in processes, counted at the end; frauds and kills included."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.control import ControlError, ask
from agent.demo.guardian import ours

DEADLINE_S = 500.0
LOOK_S = 0.02
KEYS = [
    "sales_at_pumps",
    "sales_recorded",
    "sales_at_head_office",
    "volume_at_pumps_ml",
    "volume_recorded_ml",
    "volume_at_head_office_ml",
    "sales_linked_to_members",
    "points_issued",
    "discount_minor",
    "tank_alerts_raised",
    "tank_alerts_at_head_office",
    "verified",
    "problems",
]


def demo(state: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "agent", "demo", "--json", "--state", str(state), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def end(process: subprocess.Popen[str], code: int) -> dict[str, Any]:
    """Wait for the end; standard output must be the one JSON object and nothing else."""
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == code, (out, err)
    assert "Traceback" not in err
    value: dict[str, Any] = json.loads(out)
    assert list(value) == KEYS
    assert value["verified"] is (code == 0)
    return value


def wait_for(condition: Callable[[], bool], what: str, running: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert running is None or running.poll() is None, f"the demo ended before {what}"
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        threading.Event().wait(LOOK_S)


def pids(state: Path) -> dict[str, int]:
    try:
        found: dict[str, int] = json.loads((state / "pids.json").read_text())
    except OSError:
        return {}
    return found


def asked(state: Path, op: str, **args: Any) -> Any:
    try:
        return ask(state / "control.sock", op, args, timeout_s=10.0)
    except (ControlError, ValueError):
        return None


def somebody_fuels(state: Path) -> bool:
    return any(point["state"] == "Fuelling" for point in asked(state, "pumps") or [])


def levels(state: Path) -> set[str]:
    """How strongly sales were linked."""
    with closing(sqlite3.connect(f"file:{state / 'station' / 'station.db'}?mode=ro", uri=True)) as db:
        return {row[0] for row in db.execute("SELECT DISTINCT level FROM link WHERE active = 1")}


def test_thirty_seconds_lose_and_double_nothing(tmp_path: Path) -> None:
    """The target run: every litre and every sale on all three sides, members with discount and points, a tank alert."""
    found = end(demo(tmp_path / "s", "--for", "30s", "--speed", "14"), 0)
    assert found["sales_at_pumps"] >= 20
    assert found["sales_at_pumps"] == found["sales_recorded"] == found["sales_at_head_office"]
    assert found["volume_at_pumps_ml"] == found["volume_recorded_ml"] == found["volume_at_head_office_ml"] > 0
    assert found["sales_linked_to_members"] > 0
    assert found["points_issued"] > 0
    assert found["discount_minor"] > 0
    assert found["tank_alerts_raised"] == found["tank_alerts_at_head_office"] >= 1
    assert {"number", "fm1_dynamic", "sun"} <= levels(tmp_path / "s"), "numbers, phones and chips all name members"
    assert pids(tmp_path / "s") == {}


@pytest.mark.long
def test_an_agent_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    """SIGKILL by pids.json in mid-fuelling, twice: started again within seconds, and every sale is counted once."""
    state = tmp_path / "s"
    process = demo(state, "--speed", "8", "--seed", "4")
    for _ in range(2):
        wait_for(lambda: somebody_fuels(state), "somebody who fuels", process)
        victim = pids(state)["agent"]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda victim=victim: pids(state).get("agent", victim) != victim, "a new agent", process)  # type: ignore[misc]
    wait_for(lambda: bool(asked(state, "sales", limit=1)), "a sale", process)
    process.send_signal(signal.SIGINT)
    found = end(process, 0)
    assert found["sales_at_pumps"] == found["sales_at_head_office"] > 0
    assert found["volume_at_pumps_ml"] == found["volume_recorded_ml"] == found["volume_at_head_office_ml"]


@pytest.mark.long
def test_a_sale_taken_from_head_office_is_named(tmp_path: Path) -> None:
    """A planted loss ends with code 1 and names the sale that is missing."""
    found = end(demo(tmp_path / "s", "--for", "10s", "--speed", "20", "--fault", "drop-record"), 1)
    assert found["sales_recorded"] - found["sales_at_head_office"] == 1
    assert any("missing at head office" in problem and "totalizer" in problem for problem in found["problems"])


@pytest.mark.long
def test_a_doubled_sale_and_a_shaved_one_are_named(tmp_path: Path) -> None:
    """A planted double and a meter that counts 200 ml too little: code 1 and both sales by name.

    On the embedded broker, as on a machine without mosquitto.
    """
    state = tmp_path / "s"
    faults = ("--fault", "double-record", "--fault", "shave-volume")
    process = demo(state, "--for", "14s", "--speed", "20", *faults, FORECOURT_DEMO_BROKER="embedded")
    wait_for(lambda: "broker" in pids(state) or process.poll() is not None, "a broker")
    command = Path(f"/proc/{pids(state)['broker']}/cmdline").read_bytes()
    assert b"agent.demo.embedded_broker" in command
    found = end(process, 1)
    assert found["sales_at_head_office"] - found["sales_recorded"] == 1
    assert any("a second time" in problem and "it repeats sale" in problem for problem in found["problems"])
    assert found["volume_at_pumps_ml"] - found["volume_recorded_ml"] == 200
    assert any("ml at the pump" in problem and "nozzle" in problem for problem in found["problems"])


@pytest.mark.long
def test_the_first_interrupt_is_closing_time_and_a_killed_demo_leaves_nobody(tmp_path: Path) -> None:
    """Ctrl-C drains and counts; another demo, killed outright, has its processes ended by the guardian."""
    state = tmp_path / "s"
    process = demo(state, "--speed", "10")
    wait_for(lambda: bool(asked(state, "sales", limit=1)), "the first sale")
    process.send_signal(signal.SIGINT)
    assert end(process, 0)["sales_recorded"] > 0
    process = demo(state, "--speed", "10")
    wait_for(lambda: "agent" in pids(state), "an agent")
    started = list(pids(state).values())
    assert all(ours(pid, str(state)) for pid in started)
    process.kill()
    process.communicate()
    wait_for(lambda: not any(ours(pid, str(state)) for pid in started), "the end of every process")
