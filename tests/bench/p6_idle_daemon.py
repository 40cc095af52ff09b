"""P6: what the real daemon costs while nothing happens: 16 fuelling points, 6 tanks, MQTT up, default poll rates.

Simulator, mosquitto, head office and daemon are processes of their own; dispensers stand four on each 9600-baud wire.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from drivers.simulator.config import CustomerConfig, ForecourtConfig
from tests.bench.table import Row, against, within
from tests.support.processes import Running, Site, eventually

SETTLE_S = 10.0
MEASURE_S = 30.0
STARTS = 5
TARGET_S, TARGET_MACHINE_S = 1.2, 0.023
"""The target of a start, and what the smallest Python with sqlite3 takes on the machine it was set on."""

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def measure() -> list[Row]:
    """Start it a few times, then let it idle."""
    with tempfile.TemporaryDirectory() as name, Site(Path(name)) as site:
        site.forecourt = large(site.forecourt)
        site.start_hq()
        site.start_forecourt()
        site.configure()
        site.config.write_text(default_rates(site.config.read_text(encoding="utf-8")), encoding="utf-8")
        site.start_agent().end()  # the first start makes the database
        starts, least = [], []
        for _ in range(STARTS):
            starts.append(start_s(site))
            least.append(least_s())
        agent = site.start_agent()
        eventually(lambda: is_idle(site), 60, "every point and tank online, the link up")
        threading.Event().wait(SETTLE_S)
        before = cpu_s(agent)
        threading.Event().wait(MEASURE_S)
        percent = (cpu_s(agent) - before) / MEASURE_S * 100
        commits = site.at_station("SELECT sum(seq) FROM stream_head")[0][0]
        rss = rss_mb(agent)
    what = "idle daemon, 16 points, 6 tanks"
    return [
        within("P6", f"{what}: resident memory", rss, unit="MB", at_most=85),
        replace(
            within("P6", f"{what}: processor", percent, unit="% of a core", at_most=3),
            note=f"{commits} records in its journal after all",
        ),
        within("P6", "start to the first answer, median", median(starts), unit="s", at_most=TARGET_S),
        against(
            "P6",
            "start to the first answer, in starts of Python",
            median(starts),
            median(least),
            unit="s",
            peer_name='python -c "import sqlite3"',
            at_most=round(TARGET_S / TARGET_MACHINE_S),
        ),
    ]


def large(forecourt: ForecourtConfig) -> ForecourtConfig:
    """Four wires of four points, six tanks, nobody comes."""
    line, tanks = forecourt.lines[0], forecourt.tanks
    point = line.points[0]
    lines = tuple(
        replace(
            line,
            name=f"island-{place + 1}",
            pace_baud=9600,
            points=tuple(replace(point, number=4 * place + n + 1, address=0x50 + n) for n in range(4)),
        )
        for place in range(4)
    )
    tanks += tuple(replace(tank, number=tank.number + len(tanks)) for tank in tanks)
    nobody = CustomerConfig(gap_mean_ms=10**9, gap_max_ms=10**9)
    return replace(forecourt, lines=lines, tanks=tanks, readers=(), deliveries=(), customers=nobody)


def default_rates(text: str) -> str:
    """Take the gauge's quick test rates out of a station file."""
    quick = 'poll_s = "500ms"\ndelivery_poll_s = "500ms"\npause_s = "20ms"\n'
    assert quick in text
    return text.replace(quick, "")


def start_s(site: Site) -> float:
    """Return how long from the start of the process until it answers, and end it."""
    begun = time.monotonic()
    agent = site.start_agent(ready=False)
    pause = threading.Event()
    while not site.answers(agent):
        pause.wait(0.005)
    took = time.monotonic() - begun
    agent.end()
    return took


def least_s() -> float:
    """Return how long the smallest Python with sqlite3 takes: what this machine makes of a start."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", "import sqlite3"], check=True)
    return time.monotonic() - begun


def is_idle(site: Site) -> bool:
    """Whether every device is online and head office has everything."""
    status = site.ask("status")
    points = all(point["online"] for point in status["fuelling_points"])
    tanks = all(tank["volume_ml"] is not None for tank in status["tanks"])
    return points and tanks and status["sync"]["online"] and site.all_delivered()


def cpu_s(process: Running) -> float:
    """Return the processor time a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def rss_mb(process: Running) -> float:
    """Return the resident memory in MB (10^6 bytes)."""
    for line in Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise AssertionError("Linux tells VmRSS")
