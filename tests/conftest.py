"""What holds for every test: property tests are judged by what they find, never by how long a busy machine takes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support import quality

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

settings.register_profile("suite", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--rig``: run the contract of drivers on this rig instead of those of the drivers that are built in."""
    parser.addoption(
        "--rig",
        action="append",
        default=[],
        metavar="MODULE",
        help="module with the SUBJECT of a driver for tests/contract (may be repeated)",
    )
    parser.addoption(
        "--proofs", action="store_true", help="only tests that prove something of a driver, and its contract"
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker by which a test says what it proves."""
    config.addinivalue_line("markers", "long: left to make prove, which CI runs as well")
    config.addinivalue_line("markers", f"proves(evidence, *protocols): evidence is {', '.join(quality.EVIDENCE)}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note what each test proves; with ``--proofs`` leave out what proves nothing of a driver."""
    quality.note_claims(items)
    if config.getoption("--proofs"):
        chosen = [item for item in items if "contract" in item.path.parts or quality.proves(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


@pytest.fixture(autouse=True, scope="session")
def _commands_built_once() -> Iterator[None]:
    """A command line is built once and not by each call of it: that took longer than most commands do."""
    import typer.main
    import typer.testing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", cache(typer.main.get_command))
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of this run's own, started by the first test that asks; a test that kills it starts it again."""
    from tests.support.postgres import Postgres  # most runs need no server and no driver

    with Postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """The URL of a new, migrated head-office database on PostgreSQL."""
    with postgres.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def headoffice_location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new, migrated head-office database, on SQLite and on PostgreSQL in turn: what `--database` takes."""
    if request.param == "sqlite":
        from tests.support import template

        template.head_office(tmp_path / "hq.sqlite").close()
        yield str(tmp_path / "hq.sqlite")
    else:
        yield request.getfixturevalue("postgres_url")
