"""The database server of head office dies under load and comes back: every sale arrives, each once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.support.exactly_once import check_exactly_once
from tests.support.office import Office, outcome
from tests.support.postgres import Postgres
from tests.support.processes import eventually

pytestmark = pytest.mark.long

STATIONS = 4
SALES = 120
DEATHS = 3
WITHIN_S = 60.0


def _polite(server: Postgres) -> None:
    server.stop()
    server.start()


def _sales(server: Postgres, url: str) -> int:
    """How many sales arrived; 0 while nobody can say."""
    try:
        return int(str(server.execute(url, "SELECT count(*) FROM sale")[0][0]))
    except psycopg.OperationalError:
        return 0


@pytest.mark.parametrize("restart", [Postgres.restart, _polite], ids=["killed", "restarted"])
def test_a_database_server_that_dies_under_load_loses_and_doubles_nothing(
    tmp_path: Path, postgres: Postgres, postgres_url: str, restart: Callable[[Postgres], None]
) -> None:
    """[W-20] [W-27] SIGKILL and polite restarts of PostgreSQL while stations sell: head office waits for it, stations send
    again, and no acknowledgement was given for what is not there.
    """
    with Office(tmp_path, postgres_url) as office:
        serving = office.command("serve", "--workers", "2")
        fleet = office.fleet("--stations", str(STATIONS), "--sales", str(SALES), "--rate", "20")
        for death in range(DEATHS):
            goal = STATIONS * SALES * death // (DEATHS + 1)
            eventually(lambda: _sales(postgres, postgres_url) > goal, WITHIN_S, "sales arrive")  # noqa: B023
            restart(postgres)
        told = outcome(fleet)
        assert (told["passed"], told["acknowledged"]) == (True, STATIONS * SALES), told
        assert serving.alive
        check_exactly_once(postgres_url, {})
