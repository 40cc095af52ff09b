"""The tests' own PostgreSQL: what it does where a client that has hung up is not gone yet."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.support.postgres import Postgres


def test_a_database_is_copied_as_soon_as_its_last_client_has_gone(
    postgres: Postgres, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server gives up after five seconds; a process of its own that does not get to its end for longer is no failure."""
    honest, refusals = psycopg.Connection.execute, [psycopg.errors.ObjectInUse("is being accessed by other users")]

    def execute(self: psycopg.Connection[Any], *args: Any, **more: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return honest(self, *args, **more)

    name = postgres_url.rpartition("/")[2]
    monkeypatch.setattr(psycopg.Connection, "execute", execute)
    postgres.copy_database(name, f"{name}_copy")
    assert refusals == []
    found = postgres.execute(postgres.url(f"{name}_copy"), "SELECT count(*) FROM sale")
    postgres.drop_database(f"{name}_copy")
    assert found == [(0,)]
