"""P4 as a proof, not a measurement: a long backlog drained to PostgreSQL by two workers, one of which dies half-way."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from headoffice.store import session
from headoffice.store.database import Database
from sync.topics import shard_of
from tests.support.backlog import write_sales
from tests.support.exactly_once import Truth, check_exactly_once
from tests.support.processes import HEAD_OFFICE, STATION, Site, eventually

SALES = 10_000
WITHIN_S = 120


@pytest.fixture
def site(tmp_path: Path, postgres_url: str) -> Iterator[Site]:
    with Site(tmp_path) as opened:
        opened.environment["FORECOURT_HQ_DATABASE"] = postgres_url
        opened.write_config(opened.no_devices())
        yield opened


def sales(database: Database) -> int:
    with database.read() as connection:
        count: int = connection.exec_driver_sql("SELECT count(*) FROM sale").scalar_one()
    return count


def holder(database: Database) -> int | None:
    """The process of the worker that holds the station's shard; None where nobody does."""
    with database.read() as connection:
        held = [worker for worker in session.listed(connection) if shard_of(STATION) in worker["shards"]]
    return int(held[0]["name"].rpartition(":")[2]) if held else None


@pytest.mark.long
def test_a_backlog_reaches_postgresql_once_although_its_worker_dies(site: Site, postgres_url: str) -> None:
    """[W-27] Ten thousand sales written while the broker was away: the worker of their shard is killed among them."""
    sums = write_sales(site.config, SALES)
    url = f"mqtt://127.0.0.1:{site.broker.port}"
    site.start("hq", [sys.executable, "-c", HEAD_OFFICE, "serve", "--workers", "2", "--broker", url])
    with closing(Database(postgres_url)) as database:
        first = eventually(lambda: holder(database), WITHIN_S, "a worker holds the station's shard")
        site.start_agent(ready=False)
        eventually(lambda: sales(database) > SALES // 4, WITHIN_S, "a part has arrived")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        eventually(lambda: holder(database) not in (None, first), WITHIN_S, "another worker holds it")
        eventually(lambda: sales(database) == SALES, WITHIN_S, "head office has every sale")
    eventually(site.all_delivered, WITHIN_S, "everything is acknowledged")
    truth = Truth(
        {nozzle: volume for nozzle, (_, volume) in sums.items()}, {n: count for n, (count, _) in sums.items()}
    )
    check_exactly_once(postgres_url, {STATION: [site.database]}, {STATION: truth})
