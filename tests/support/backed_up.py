"""A station's database with real sales, a key pair and a plan for tests of backups. Knows no test and judges nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC
from functools import cache
from pathlib import Path
from random import Random

from agent import age
from agent.backup.plan import Plan
from agent.backup.restore import Comparison, Opened, Wish
from agent.domain.sale import Sale
from agent.pipeline.points import record
from agent.store.journal import Stamp
from agent.store.store import Store
from tests.support.nth_sale import nth_sale

STATION = "SH-0421"
START_MS = 1_795_305_600_000
WISH = Wish("manager", "the disk died", "a file", START_MS + 86_400_000)
KEYS = age.new_pair()
OWN = age.new_pair()


def a_sale(number: int, random: Random) -> Sale:
    """The n-th sale of one nozzle: each starts where the one before ended."""
    return nth_sale(number, random, start_ms=START_MS, business_day="2026-11-22")


class Sold:
    """An open store that sells; ``sell`` commits one sale after the other, each in a transaction of its own."""

    def __init__(self, path: Path, station: str = STATION) -> None:
        self.store = Store(path, station=station, random=Random(1))
        self._random = Random(2)
        self.sold = 0
        with self.store.begin(Stamp(START_MS, 0, "boot", "ntp")) as tx:
            if self.store.heads()["L"][0] == 0:
                tx.journal.append("fc.incarnation.v1", {"reason": "new", "parent": None})
                values = {"fuelling_point": 1, "nozzle": 1, "epoch": 0, "raw": 0, "unit_ml": 10}
                tx.memory.add_baseline({**values, "seq": 0, "reason": "first-contact", "made_ms": 0})

    def sell(self, count: int = 1) -> None:
        """Commit ``count`` more sales."""
        for _ in range(count):
            sale = a_sale(self.sold, self._random)
            with self.store.begin(Stamp(sale.ended_ms, sale.ended_ms, "boot", "ntp")) as tx:
                written = tx.journal.append("fc.sale.v1", record(sale))
                tx.sales.add(sale, settle_due_ms=None, journal_seq=written.seq)
            self.sold += 1


@contextmanager
def selling(path: Path, station: str = STATION) -> Iterator[Sold]:
    """A new database that is closed afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sold = Sold(path, station)
    try:
        yield sold
    finally:
        sold.store.close()


@dataclass(frozen=True)
class Place:
    """Where a test keeps things: the database, and a plan that backs it up into ``backups``."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "data" / "station.db"

    @property
    def plan(self) -> Plan:
        return Plan(
            station=STATION,
            software="0.1.0",
            database=self.database,
            folder=self.folder / "backups",
            recipients=(KEYS.recipient,),
            pairs=(),
            copy_to=None,
            keep_days=14,
            keep_months=12,
            zone=UTC,
            spare_bytes=0,
        )

    def into(self, folder: Path) -> Plan:
        """The plan with another folder."""
        return replace(self.plan, folder=folder)

    def fill(self, sales: int = 3, *, cut_off: bool = False) -> None:
        """Put a database with so many sales there; ``cut_off``: as after a power cut, with a write-ahead log."""
        self.database.parent.mkdir(parents=True, exist_ok=True)
        for path in _made(sales, cut_off).iterdir():
            if path.suffix != ".lock":
                shutil.copy(path, self.database.with_name(path.name))

    def names(self) -> list[str]:
        """Every file and folder beside the database and in the backups, by relative path."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))


_TEMPLATES = tempfile.TemporaryDirectory(prefix="backed-up-")


@cache
def _made(sales: int, cut_off: bool) -> Path:
    """A folder with such a database, made once: a new database costs a migration."""
    folder = Path(_TEMPLATES.name) / f"{sales}-{cut_off}"
    with selling(folder / "open" / "station.db") as sold:
        sold.sell(sales)
        if cut_off:
            shutil.copytree(folder / "open", folder / "cut")
    return folder / ("cut" if cut_off else "open")


def agree(_opened: Opened | None, _present: Comparison) -> bool:
    """Somebody who says yes to everything."""
    return True
