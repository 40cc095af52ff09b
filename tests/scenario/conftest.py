"""Stations for the scenarios: made from a seed and a plan, on databases copied from one migrated template."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.quiet import quiet_log
from tests.support.station import VirtualStation
from tests.support.station_settings import Plan, copy_template

MakeStation = Callable[..., VirtualStation]


@pytest.fixture(autouse=True, scope="session")
def _quiet_log() -> Iterator[None]:
    with quiet_log():
        yield


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with migrated databases in which nothing was ever written."""
    from random import Random

    from agent.store.store import Store
    from headoffice.store.database import Database
    from tests.support.station_settings import STATION

    directory = tmp_path_factory.mktemp("template")
    Store(directory / "station.db", station=STATION, random=Random(0)).close()
    Database(directory / "hq.db", migrate=True).close()
    return directory


@pytest.fixture
def make_station(tmp_path: Path, template: Path) -> Iterator[MakeStation]:
    """``make_station(seed, plan)``: a station in a directory of its own, closed at the end."""
    made: list[VirtualStation] = []

    def make(seed: int, plan: Plan | None = None) -> VirtualStation:
        directory = tmp_path / f"station-{len(made)}"
        copy_template(template, directory)
        made.append(VirtualStation(seed, directory, plan))
        return made[-1]

    yield make
    for station in made:
        station.close()
