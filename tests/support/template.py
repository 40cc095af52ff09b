"""What virtual stations and head offices begin with: migrated databases, made once per process, in memory."""

from __future__ import annotations

import shutil
import tempfile
from atexit import register
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random

from agent.store.store import Store
from headoffice.store.database import Database
from tests.support.station_settings import STATION

SHARED_MEMORY = Path("/dev/shm")
"""A file system in memory, where there is one: what is proven here is the order of writes, not the disk's patience."""


def new_folder() -> Path:
    """A folder for one day or story; whoever asked removes it."""
    base = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    return Path(tempfile.mkdtemp(prefix="forecourt-", dir=base))


@cache
def template() -> Path:
    """Two migrated databases in which nothing was ever written."""
    folder = new_folder()
    register(shutil.rmtree, folder, ignore_errors=True)
    Store(folder / "station.db", station=STATION, random=Random(0)).close()
    Database(folder / "hq.db", migrate=True).close()
    return folder


@cache
def _other(station: str) -> Path:
    """One more migrated database, of a station by another name."""
    path = template() / f"{station}.db"
    Store(path, station=station, random=Random(station)).close()
    return path


def copy_to(folder: Path, station: str = STATION) -> None:
    """Begin a day."""
    shutil.copy(template() / "hq.db", folder / "hq.db")
    shutil.copy(template() / "station.db" if station == STATION else _other(station), folder / "station.db")


@contextmanager
def begun() -> Iterator[Path]:
    """A folder in which a day can begin; afterwards it is gone."""
    folder = new_folder()
    try:
        copy_to(folder)
        yield folder
    finally:
        shutil.rmtree(folder)


def head_office(path: Path) -> Database:
    """Open a new database of head office at ``path``; the caller closes it."""
    shutil.copy(template() / "hq.db", path)
    return Database(path)
