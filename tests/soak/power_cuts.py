"""Real power cuts under real processes, as root: an ext4 disk is shut down below the writer, mounted again and looked at.

First a process with the whole pipeline on the real store that tells each commit through a pipe; then the real agent
with simulator, broker and head office. Prints the seed and what was lost; ends with 1 when anything was.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random, SystemRandom
from typing import NoReturn

import structlog

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from agent.ids import ulid
from agent.settings.model import NozzleSettings, PointSettings
from agent.store import engine
from agent.store.journal import Stamp
from agent.store.store import Store
from agent.store.verify import verify
from tests.support.backlog import Meter
from tests.support.crash_oracle import goes_on
from tests.support.crash_trace import Promise
from tests.support.loop_disk import Cut, LoopDisk, NoLoopDisk, mount_alone
from tests.support.processes import Running, Site, eventually
from tests.support.station import VirtualStation
from tests.support.station_plans import busy
from tests.support.station_settings import STATION

CUTS = (Cut.AT_ONCE,) * 6 + (Cut.JOURNAL_WRITTEN,) * 3 + (Cut.ALL_WRITTEN,)
"""How often a cut goes which way: the hard one most."""

GROWN_UP = 0.7
"""How many are cut only after their first commit; the others maybe while their tables are made."""

LONGEST_LIFE_S = 1.5
WORK = ("station", "sales")
POINT = PointSettings(id=1, line="line", address=1, nozzle=(NozzleSettings(id=1, grade="92", tank=1),))
START_MS = 1_767_225_600_000
VIRTUAL_STEP_S = 0.02
SPEED = 8
PATIENCE_S = 120.0
"""For what comes by itself sooner or later, also on a machine that is busy with other things."""

SYNCHRONOUS_NORMAL = 1

Heads = Mapping[str, tuple[int, str]]


@dataclass
class Tally:
    """What became of the databases of one kind of writer."""

    what: str
    cuts: int = 0
    acknowledged: int = 0
    late: int = 0
    lost: int = 0
    torn: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = f"{self.cuts} power cuts, {self.acknowledged} acknowledged records looked for, {self.lost} lost, {len(self.torn)} torn"
        late = f" ({self.late} answers came only while the power went and are not counted)" if self.late else ""
        return "\n".join([f"{self.what}: {counts}{late}", *self.torn])

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost or torn."""
        return not self.lost and not self.torn


def judge(tally: Tally, database: Path, acknowledged: Heads, where: str) -> dict[str, list[str]]:
    """Compare a database after a cut with what had been acknowledged before it; returns its hashes per stream."""
    tally.cuts += 1
    tally.acknowledged += sum(seq for seq, _ in acknowledged.values())
    have = hashes(database)
    complaints = [f"{found.where}: {found.problem}" for found in verify(database).findings] if have else []
    for stream, (seq, digest) in acknowledged.items():
        known = have.get(stream, [])
        tally.lost += max(0, seq - len(known))
        if len(known) >= seq > 0 and known[seq - 1] != digest:
            complaints.append(f"{stream} seq {seq} is another record than the acknowledged one")
    tally.torn += [f"{where}: {complaint}" for complaint in complaints]
    return have


def hashes(database: Path) -> dict[str, list[str]]:
    """Return the hashes of every stream in order; nothing where no table was ever committed."""
    if not database.exists():
        return {}
    with closing(sqlite3.connect(f"file:{database}?mode=rw", uri=True)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'journal'").fetchone():
            return {}
        found: dict[str, list[str]] = {}
        for stream, digest in connection.execute("SELECT stream, hex(hash) FROM journal ORDER BY stream, seq"):
            found.setdefault(stream, []).append(digest.lower())
        return found


# --- a writer with the whole pipeline ---------------------------------------------------------------------------------


def cut_writers(disk: LoopDisk, times: int, random: Random, tally: Tally, *, synchronous: int | None = None) -> None:
    """Start a writer on an empty folder, cut its power at a random moment, look, sell once more; ``times`` times."""
    for number in range(times):
        disk.wipe()
        folder = disk.folder / "station"
        how, life = random.choice(CUTS), Life(random.getrandbits(32), random.choice(WORK), synchronous)
        where = f"writer {number}, {how.name}"
        acknowledged = _one_life(disk, folder, life, how, random, tally)
        disk.mount_again()
        folder.mkdir(exist_ok=True)
        try:
            have = judge(tally, folder / "station.db", acknowledged, where)
            heads = {stream: (len(digests), bytes.fromhex(digests[-1])) for stream, digests in have.items()}
            promise = Promise(heads, frozenset(), frozenset())
            tally.torn += [f"{where}: {complaint}" for complaint in goes_on(folder / "station.db", promise)]
        except sqlite3.Error as failure:
            tally.torn.append(f"{where}: {failure}")


def _one_life(
    disk: LoopDisk, folder: Path, life: Life, how: Cut, random: Random, tally: Tally
) -> dict[str, tuple[int, str]]:
    """Run one writer until its power is cut; returns the heads that it told last before that.

    What it tells later is only counted: a sync under way while the file system is shut down can report success for
    what never reached the disk. A machine without power would have told nothing any more.
    """
    told, tells = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(told)
            life.live(folder, tells)
        finally:
            os._exit(1)  # nothing of the parent's is to be put away here, least of all the disk
    os.close(tells)
    with os.fdopen(told, "rb", buffering=0) as pipe:
        first = pipe.read(1) if random.random() < GROWN_UP else b""
        threading.Event().wait(random.uniform(0, LONGEST_LIFE_S))  # the random moment itself, nothing is awaited
        cut_ns = time.monotonic_ns()
        disk.cut(how)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        answers = [json.loads(line) for line in (first + pipe.read()).split(b"\n")[:-1]]
    in_time = [heads for told_ns, heads in answers if told_ns < cut_ns]
    tally.late += len(answers) - len(in_time)
    return {name: (seq, digest) for name, (seq, digest) in in_time[-1].items()} if in_time else {}


@dataclass(frozen=True)
class Life:
    """What a child does until it dies: ``work`` is one of WORK."""

    seed: int
    work: str
    synchronous: int | None

    def live(self, folder: Path, tells: int) -> NoReturn:
        """Write on and on, and tell the heads behind every commit."""
        if self.synchronous is not None:
            engine.WRITER_PRAGMAS["synchronous"] = self.synchronous
        steps = self._station(folder) if self.work == "station" else self._sales(folder)
        last: dict[str, tuple[int, bytes]] = {}
        for heads in steps:
            if heads != last:
                last = heads
                told = {name: (seq, digest.hex()) for name, (seq, digest) in heads.items()}
                os.write(tells, json.dumps((time.monotonic_ns(), told)).encode() + b"\n")
        raise AssertionError("a life ends by a power cut")

    def _station(self, folder: Path) -> Iterator[dict[str, tuple[int, bytes]]]:
        """A whole virtual station: people fuel, are linked, settled and given points."""
        station = VirtualStation(self.seed, folder, busy())
        station.publish_rules_and_members()
        while True:
            station.run_for(VIRTUAL_STEP_S)
            yield station.store.heads()

    def _sales(self, folder: Path) -> Iterator[dict[str, tuple[int, bytes]]]:
        """Sales one behind the other, as fast as the disk takes them."""
        random = Random(self.seed)
        store = Store(folder / "station.db", station=STATION, random=random)
        meter = Meter(POINT)
        for number in count():
            with store.begin(Stamp(START_MS + number, number, "boot", "ntp")) as tx:
                if number == 0:
                    tx.journal.append("fc.incarnation.v1", {"reason": "new", "parent": None})
                    meter.baseline(tx)
                meter.sell(tx, random.randint(100, 5_000), ulid(START_MS + number, random))
            yield store.heads()


# --- the real agent ---------------------------------------------------------------------------------------------------


def cut_agents(disk: LoopDisk, times: int, random: Random, tally: Tally) -> None:
    """Cut the disk below the real agent while people fuel, ``times`` times; at the end every litre is at head office."""
    with tempfile.TemporaryDirectory() as name, Site(Path(name), speed=SPEED, seed=random.getrandbits(32)) as site:
        disk.wipe()
        site.database = disk.folder / "station.db"
        site.mark = disk.folder / "mark" / "mark.json"
        site.start_hq()
        forecourt = site.start_forecourt()
        site.configure(sales='link_after = "20s"\nsettle_after = "10s"')
        for number in range(times):
            how = random.choice(CUTS)
            agent = _agent(site)
            eventually(lambda: _flows(site), PATIENCE_S, "somebody fuels")
            threading.Event().wait(random.uniform(0, 1.5))  # the random moment itself, nothing is awaited
            acknowledged = {stream: (len(found), found[-1]) for stream, found in hashes(site.database).items()}
            disk.cut(how)
            agent.kill()
            disk.mount_again()
            judge(tally, site.database, acknowledged, f"agent {number}, {how.name}")
        agent = _agent(site)
        site.close_forecourt(forecourt)
        eventually(
            lambda: site.sums_at_hq() == site.sums_at_pumps(), PATIENCE_S, "head office has what the pumps counted"
        )
        eventually(site.all_delivered, PATIENCE_S, "the journal is delivered")
        assert agent.end() == 0
        site.verify_station()
        site.verify_hq()


def _agent(site: Site) -> Running:
    agent = site.start_agent(ready=False)
    try:
        eventually(lambda: site.answers(agent), PATIENCE_S, "the agent answers")
    except AssertionError:
        print(agent.text[-3_000:], file=sys.stderr)
        raise
    return agent


def _flows(site: Site) -> bool:
    return any(point["state"] in {"Started", "Fuelling"} for point in site.ask("pumps"))


def main() -> int:
    """Cut, print, and return the exit code."""
    options = argparse.ArgumentParser(description="real power cuts under the agent, as root")
    options.add_argument("--writers", type=int, default=100, help="cuts under the pipeline writer")
    options.add_argument("--agents", type=int, default=20, help="cuts under the real agent")
    options.add_argument(
        "--weak", type=int, default=20, help="cuts under a writer with synchronous=NORMAL, which must lose"
    )
    options.add_argument("--seed", type=int, default=SystemRandom().getrandbits(32))
    chosen = options.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    random = Random(chosen.seed)
    writers, agents = Tally("pipeline and store"), Tally("real agent, simulator, head office")
    weak = Tally("self-test with synchronous=NORMAL")
    begun = time.monotonic()
    try:
        mount_alone()
        print(f"seed {chosen.seed}", flush=True)
        with LoopDisk() as disk:
            cut_writers(disk, chosen.writers, random, writers)
            print(writers, flush=True)
            cut_writers(disk, chosen.weak, random, weak, synchronous=SYNCHRONOUS_NORMAL)
            print(weak, flush=True)
            cut_agents(disk, chosen.agents, random, agents)
            print(agents, flush=True)
    except NoLoopDisk as missing:
        print(f"{missing}\n{missing.hint}", file=sys.stderr)
        return 2
    print(f"{time.monotonic() - begun:.0f} s")
    return 0 if writers.is_clean and agents.is_clean and (weak.lost or not chosen.weak) else 1


if __name__ == "__main__":
    sys.exit(main())
