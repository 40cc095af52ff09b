"""P2: from the bytes of a scanner to the answer among a million members: card numbers and signed codes, and hostile texts.

Our own time is this thread's processor time, which noise of the machine hardly touches; the commit with its fsync is the
disk's, and stands beside it on the clock.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any

from agent.clock import SystemClock, read
from agent.crypto import public_ed25519, sign_ed25519
from agent.domain.codes import fm1, token
from agent.inbox import FromLine
from agent.live import LiveBoard
from agent.logs import configure
from agent.pipeline import Pipeline
from agent.pipeline.step import Outlets
from agent.store.store import Store, Tx
from drivers.config import LineConfig
from drivers.readings import CodeScan
from drivers.scanner.driver import SerialScanner
from tests.bench.members_data import EVERY, INDEX_KEY, STATION, card_of, member_id, station
from tests.bench.table import Row, within
from tests.support.head_office_says import key_set
from tests.support.station_file import loaded
from tests.support.wire import VirtualPort

COUNT = 1_000_000
SCANS = 500
HOSTILE = 2_000
SEED = bytes(range(100, 132))


class TimedStore(Store):
    """A store that notes how long each commit took on the clock, in milliseconds."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, station=STATION, random=Random(1))
        self.commits_ms: list[float] = []

    def commit(self, tx: Tx) -> None:
        begun = time.perf_counter_ns()
        super().commit(tx)
        self.commits_ms.append((time.perf_counter_ns() - begun) / 1e6)


def measure() -> list[Row]:
    """Scans of both kinds among a million, their commits, and what a hostile input costs at most doors."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = Bench(station(COUNT, folder), folder)
        numbers = bench.scanned(_cards(Random(3)))
        signed = bench.scanned(_codes(Random(4)))
        commits = bench.store.commits_ms[-2 * SCANS :]
        bench.store.close()
    hostile = _hostile()
    return [
        within("P2", f"card number among {COUNT:,} to its answer, own time, p99", numbers, unit="ms", at_most=20),
        within("P2", f"signed code among {COUNT:,} to its answer, own time, p99", signed, unit="ms", at_most=20),
        _shown("commit of a scan with its fsync, on the clock, p50", quantiles(commits, n=100)[49]),
        _shown("commit of a scan with its fsync, on the clock, p99", quantiles(commits, n=100)[98]),
        *(
            within("P2", f"hostile input, {door}, own time, p99", found["p99_ms"], unit="ms", at_most=10)
            for door, found in hostile["doors"].items()
        ),
    ]


def _shown(what: str, ms: float) -> Row:
    return Row("P2", what, ms, "ms", None, "", None, "the disk's", True)


class Bench:
    """A station's pipeline on the database, behind a serial scanner's driver."""

    def __init__(self, path: Path, folder: Path) -> None:
        configure()  # as the daemon does it: an answered scan is a line on stderr
        self.clock = SystemClock()
        self.store = TimedStore(path)
        self.live = LiveBoard()
        self.pipeline = Pipeline(
            store=self.store,
            settings=loaded(folder),
            clock=self.clock,
            boot="boot",
            start="start",
            random=Random(1),
            live=self.live,
            index_key=INDEX_KEY,
            capabilities={},
            outlets=Outlets(lambda _command: None, lambda: None),
        )
        self.pipeline.handle(key_set(1, ("01", public_ed25519(SEED), "dynamic")))
        self._port = VirtualPort(lambda _data: b"")
        self._scanner = SerialScanner(LineConfig("s", "virtual", "serial-scanner", reader="one"))
        self._scanner.turn(self._port)

    def scanned(self, codes: Iterator[Callable[[int], str]]) -> float:
        """Return the 99th percentile of our own milliseconds from bytes to answer."""
        took: list[float] = []
        for _ in range(SCANS):
            data = f"]Q1{next(codes)(self.clock.wall_ms() // 1000)}\r\n".encode("ascii")
            self._port.arrive(data)
            begun = time.thread_time_ns()
            (scan,) = self._scanner.turn(self._port)
            assert isinstance(scan, CodeScan)
            self.pipeline.handle(FromLine("one", scan, read(self.clock)))
            took.append((time.thread_time_ns() - begun) / 1e6)
            assert self.live.answers[-1]["outcome"] not in _REFUSED, self.live.answers[-1]
        return quantiles(took, n=100)[98]


_REFUSED = ("UNKNOWN_CARD", "NOT_A_MEMBER_CODE", "UNKNOWN_KEY", "BAD_SIGNATURE", "TTL_TOO_LONG", "MALFORMED")


def _cards(chance: Random) -> Iterator[Callable[[int], str]]:
    while True:
        digits = card_of(chance.randrange(0, COUNT, EVERY))
        yield lambda _now_s, digits=digits: digits  # type: ignore[misc]


def _codes(chance: Random) -> Iterator[Callable[[int], str]]:
    while True:
        member = int(member_id(chance.randrange(COUNT)), 16)
        if member < 2**63:
            yield partial(_code, member, chance.randbytes(4))


def _code(member: int, serial: bytes, now_s: int) -> str:
    claims = token.Claims(token.EDDSA, b"\x01", member, now_s + 100, serial)
    return fm1.issue(claims, partial(sign_ed25519, SEED))


def _hostile() -> dict[str, Any]:
    """What a process of its own found: its log must not be ours."""
    command = [sys.executable, "-m", "tests.hostile", "--count", str(HOSTILE)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=Path(__file__).parents[2])
    report: dict[str, Any] = json.loads(done.stdout)
    return report
