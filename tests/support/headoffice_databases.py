"""Head-office databases for tests that hold on both kinds: SQLite in every run, PostgreSQL where there is time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from headoffice.store.database import Database
from tests.support import template

BOTH = ("sqlite", pytest.param("postgresql", marks=pytest.mark.long))
"""Parameters of a fixture that gives ``opened(request, tmp_path)``."""


def opened(request: pytest.FixtureRequest, folder: Path) -> Iterator[Database]:
    """A new, migrated database of the kind that the fixture's parameter names, closed afterwards."""
    if request.param == "sqlite":
        database = template.head_office(folder / "hq.sqlite")
    else:
        database = Database(request.getfixturevalue("postgres_url"))
    with closing(database):
        yield database
