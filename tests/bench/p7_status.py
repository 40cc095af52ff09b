"""P7: `forecourt status`, plain and on a terminal, beside a Python that loads sqlite3 and ends; a real daemon answers."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.bench.table import Row, against
from tests.support.processes import Site

ROUNDS = 15


def measure() -> list[Row]:
    """Run the three in turns."""
    with tempfile.TemporaryDirectory() as name, Site(Path(name)) as site:
        site.write_config(site.no_devices())
        site.start_agent()
        plain_ms, rich_ms, least_ms = looks(site, ROUNDS)
    peer = 'python -c "import sqlite3"'
    return [
        against("P7", "forecourt status, plain", plain_ms, least_ms, unit="ms", peer_name=peer, at_most=6),
        against("P7", "forecourt status, on a terminal", rich_ms, least_ms, unit="ms", peer_name=peer, at_most=9),
    ]


def looks(site: Site, rounds: int) -> tuple[float, float, float]:
    """Return the medians in ms: piped, on a terminal, peer."""
    status = [sys.executable, "-m", "agent", "status", "--config", str(site.config)]
    plain: list[float] = []
    rich: list[float] = []
    least: list[float] = []
    for _ in range(rounds):
        plain.append(_timed_ms(status))
        rich.append(_on_terminal_ms(status))
        least.append(_timed_ms([sys.executable, "-c", "import sqlite3"]))
    return median(plain), median(rich), median(least)


def _timed_ms(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - begun) * 1_000


def _on_terminal_ms(command: list[str]) -> float:
    master, slave = pty.openpty()
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=slave, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(slave)
        try:
            while os.read(master, 65_536):
                pass
        except OSError:
            pass  # Linux tells the end of a terminal so
    assert process.returncode == 0
    took_ms = (time.perf_counter() - begun) * 1_000
    os.close(master)
    return took_ms
