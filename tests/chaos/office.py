"""Where head office's database of a story lies, how a copy of it is kept and put back: a file, or a PostgreSQL server.

Knows no table and judges nothing. Nobody may be connected while a copy is made or put back.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tests.support import template

if TYPE_CHECKING:
    from tests.support.postgres import Postgres


class OfficeStore(Protocol):
    """``location``: what head office opens."""

    @property
    def location(self) -> str | Path:
        """A path or a URL; always the same."""
        ...

    def copy(self, number: int) -> None:
        """Keep a backup by its number."""
        ...

    def put_back(self, number: int) -> None:
        """The database is what it was then."""
        ...


class OfficeFile:
    """A file in the folder of the story."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.location = folder / "hq.db"
        shutil.copy(template.template() / "hq.db", self.location)

    def copy(self, number: int) -> None:
        """See OfficeStore."""
        with closing(sqlite3.connect(self.location)) as source, closing(sqlite3.connect(self._kept(number))) as target:
            source.backup(target)

    def put_back(self, number: int) -> None:
        """See OfficeStore."""
        for ending in ("", "-wal", "-shm"):
            self.location.with_name(self.location.name + ending).unlink(missing_ok=True)
        shutil.copy(self._kept(number), self.location)

    def _kept(self, number: int) -> Path:
        return self._folder / f"office-{number}"


class OfficeServer:
    """A database of a server, which keeps its copies as databases beside it."""

    def __init__(self, server: Postgres, location: str) -> None:
        self._server = server
        self.location = location
        self._kept: dict[int, str] = {}

    def copy(self, number: int) -> None:
        """See OfficeStore."""
        self._kept[number] = f"{self._name}_kept_{number}"
        self._server.copy_database(self._name, self._kept[number])

    def put_back(self, number: int) -> None:
        """See OfficeStore."""
        self._server.drop_database(self._name)
        self._server.copy_database(self._kept[number], self._name)

    def forget(self) -> None:
        """Drop every copy."""
        while self._kept:
            self._server.drop_database(self._kept.popitem()[1])

    @property
    def _name(self) -> str:
        return self.location.rpartition("/")[2]
