"""Stations for the scenarios: made from a seed and a plan, on databases copied from one migrated template."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.support import template
from tests.support.quiet import quiet_log
from tests.support.station import VirtualStation
from tests.support.station_settings import Plan

MakeStation = Callable[..., VirtualStation]


@pytest.fixture(autouse=True, scope="session")
def _quiet_log() -> Iterator[None]:
    with quiet_log():
        yield


@pytest.fixture
def make_station() -> Iterator[MakeStation]:
    """``make_station(seed, plan)``: a station in a directory of its own in memory, closed at the end."""
    made: list[VirtualStation] = []
    folder = template.new_folder()

    def make(seed: int, plan: Plan | None = None) -> VirtualStation:
        directory = folder / f"station-{len(made)}"
        directory.mkdir()
        template.copy_to(directory)
        made.append(VirtualStation(seed, directory, plan))
        return made[-1]

    yield make
    for station in made:
        station.close()
    shutil.rmtree(folder)
