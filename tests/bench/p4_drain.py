"""P4: a journal of 100,000 records drained to PostgreSQL through mosquitto, beside bare paho and bare psycopg COPY.

The same records in batches of the same size, the same broker and server, one run after the other. P4_RECORDS makes it
smaller. A second, shorter drain has head office where it is in the field: not on the station's processor, nor its disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.store.delivery import JournalOutbox
from sync.envelope import MAX_BATCH_RECORD_BYTES, MAX_BATCH_RECORDS, encode_batch, station_source
from sync.messages import Batch
from tests.bench.bare_drain import TOPIC
from tests.bench.table import Row, against, reaching, within
from tests.support.backlog import write_sales
from tests.support.office import Office
from tests.support.postgres import Postgres
from tests.support.processes import STATION, Running, Site, eventually
from tests.support.template import SHARED_MEMORY

RECORDS = int(os.environ.get("P4_RECORDS", "100000"))
APART_RECORDS = min(RECORDS, 60_000)
APART_ROUNDS = 3
IDLE_SALES = 200
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Drained:
    """One side: records a second, and what it cost in processor seconds, by name of the process."""

    per_s: float
    cpu_s: dict[str, float]
    told: dict[str, Any]


def measure() -> list[Row]:
    """Write the journal, drain it barely, drain it by the real station and head office."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the server runs as another user
        with Postgres(folder) as server, server.database() as url, Office(folder / "office", url) as office:
            site = Site(folder / "site")
            site.wire = office.broker.port
            site.write_config(site.no_devices())
            sums = write_sales(site.config, RECORDS)
            bare = _bare(site, office, url)
            ours = _real(site, _beside(folder), office)
            wanted = sum(count for count, _ in sums.values())
            assert office.sales() >= wanted, f"{office.sales()} of {wanted} sales arrived"
    return [*_rows(ours, bare), *_apart()]


def _apart() -> list[Row]:
    """The station alone on one core and on the disk; head office, its database and the broker on the others, in memory.

    Idle and drain in turn, several times: the disk alone moves a p99 more than what is looked for.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2 or not SHARED_MEMORY.is_dir():
        return []
    with _only_on(set(cores[1:])):
        rounds = [_apart_once(cores[0]) for _ in range(APART_ROUNDS)]
    idle = [took for told in rounds for took in told["idle_ms"]]
    busy = [took for told in rounds for took in told["busy_ms"]]
    row = against(
        "P4",
        "the same, head office on another core and no disk, p99",
        _p99(busy),
        _p99(idle),
        unit="ms",
        peer_name="idle",
        at_most=1.5,
    )
    rate = APART_ROUNDS * APART_RECORDS / sum(told["took_s"] for told in rounds)
    note = f"{len(busy)} sales beside {rate:,.0f} records/s, p50 {median(busy):.1f} ms; {len(idle)} idle, p50 {median(idle):.1f} ms"
    return [replace(row, note=note)]


def _apart_once(core: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as elsewhere:
        away = Path(elsewhere)
        away.chmod(0o755)  # the server runs as another user
        with Postgres(away) as server, server.database() as url, Office(away / "office", url) as office:
            site = Site(Path(name) / "site")
            site.wire = office.broker.port
            site.write_config(site.no_devices())
            wanted = sum(count for count, _ in write_sales(site.config, APART_RECORDS).values())
            told = _drain(site, office, APART_RECORDS, core)
            assert office.sales() >= wanted, f"{office.sales()} of {wanted} sales arrived"
    return told


@contextmanager
def _only_on(cores: set[int]) -> Iterator[None]:
    """Keep this process, and what it starts meanwhile, to these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _drain(site: Site, office: Office, records: int, core: int) -> dict[str, Any]:
    """What the station tells that drains so many records on a core of its own."""
    office.command("serve")
    eventually(lambda: office.shares() == [64], 60, "head office serves")
    command = [sys.executable, "-m", "tests.bench.drained_station", str(site.config), str(records), str(IDLE_SALES)]
    run = subprocess.run(
        [*command, str(core)], stdout=subprocess.PIPE, text=True, cwd=HERE.parents[1], check=True, timeout=1_800
    )
    told: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return told


def _rows(ours: Drained, bare: Drained) -> list[Row]:
    told = ours.told
    idle, busy = _p99(told["idle_ms"]), _p99(told["busy_ms"])
    spent = ", ".join(f"{name} {1e6 * cpu / RECORDS:.0f}" for name, cpu in {**ours.cpu_s, **bare.cpu_s}.items())
    drained = reaching(
        "P4",
        f"{RECORDS:,} records drained",
        ours.per_s,
        bare.per_s,
        unit="records/s",
        peer_name="paho + COPY",
        at_least=0.5,
    )
    return [
        replace(drained, note=f"processor time per record in us: {spent}; a sale waits backlog / rate for its own ack"),
        within("P4", "draining station: peak memory", told["peak_mb"], unit="MB", at_most=256),
        within("P4", "an alert raised meanwhile, to its ack", told["alert_acked_ms"], unit="ms", at_most=2_000),
        replace(
            Row(
                "P4",
                "recording a sale meanwhile, p99",
                busy,
                "ms",
                idle,
                "idle",
                busy / idle,
                "<= 1.5x",
                busy <= 1.5 * idle,
            ),
            note=f"{len(told['busy_ms'])} sales while draining, {len(told['idle_ms'])} before",
        ),
        against(
            "P4",
            "the same beside a station that only sells, p99",
            busy,
            _p99(told["sold_ms"]),
            unit="ms",
            peer_name="no link, the same minute",
            at_most=1.5,
        ),
    ]


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98]


def _beside(folder: Path) -> Path:
    """The file of a second station, without a link."""
    site = Site(folder / "beside")
    site.wire = 1
    site.write_config(site.no_devices())
    return site.config


def _real(site: Site, beside: Path, office: Office) -> Drained:
    serving = office.command("serve")
    eventually(lambda: office.shares() == [64], 60, "head office serves")
    before = cpu_s(serving.pid)
    root, python = HERE.parents[1], [sys.executable, "-m"]
    command = [*python, "tests.bench.drained_station", str(site.config), str(RECORDS), str(IDLE_SALES)]
    other = [*python, "tests.bench.selling_station", str(beside)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as draining:
        assert draining.stdout is not None
        assert draining.stdout.readline() == "draining\n"
        with subprocess.Popen(other, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as selling:
            said = draining.stdout.read()
            sold = selling.communicate("")[0]
    told: dict[str, Any] = json.loads(said.splitlines()[-1]) | json.loads(sold.splitlines()[-1])
    spent = {"station": told["cpu_s"], "head office": cpu_s(serving.pid) - before}
    return Drained(RECORDS / told["took_s"], spent, told)


def _bare(site: Site, office: Office, url: str) -> Drained:
    """Every batch is made before the clock starts."""
    payloads = _payloads(site)
    command = [sys.executable, "-m", "tests.bench.bare_drain", str(office.broker.port), url, str(RECORDS)]
    consumer = Running(command, site.folder / "bare.log")
    eventually(lambda: "listening" in consumer.text, 60, "the bare consumer listens")
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bare-publisher")
    client.connect("127.0.0.1", office.broker.port)
    client.loop_start()
    begun, cpu = time.monotonic(), time.process_time()
    for payload in payloads:
        client.publish(TOPIC, payload, qos=1)
    assert consumer.wait(900, "the bare consumer") == 0, consumer.text[-2_000:]
    told = json.loads(consumer.text.splitlines()[-1])
    spent = {"bare publisher": time.process_time() - cpu, "bare consumer": told["cpu_s"]}
    client.disconnect()
    client.loop_stop()
    return Drained(RECORDS / (told["ended_s"] - begun), spent, told)


def _payloads(site: Site) -> list[bytes]:
    """Stream L in batches as the link cuts them."""
    found: list[bytes] = []
    ((incarnation,),) = site.at_station("SELECT incarnation FROM incarnation")
    with closing(JournalOutbox(site.database, STATION, incarnation)) as outbox:
        first = 1
        while first <= RECORDS:
            rows = outbox.read("L", first, min(MAX_BATCH_RECORDS, RECORDS - first + 1), MAX_BATCH_RECORD_BYTES)
            batch = Batch(
                install_id="p4",
                incarnation=incarnation,
                stream="L",
                first_seq=first,
                prev_hash=outbox.hash_at("L", first - 1),
                records=tuple(row.raw for row in rows),
                last_hash=rows[-1].hash,
            )
            found.append(encode_batch(batch, source=station_source(STATION), time="2026-01-01T00:00:00.000Z"))
            first = batch.last_seq + 1
    return found


def cpu_s(pid: int) -> float:
    """The processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
