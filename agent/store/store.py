"""The one writer: transactions in which business rows, journal rows and seq numbers stand or fall together.

Knows SQLAlchemy connections; what is written comes from the pipeline. Everything else opens the file read-only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select, text

from agent.failpoints import failpoint
from agent.ids import RandomBits
from agent.store import journal, swap
from agent.store.alerts import AlertTable
from agent.store.buckets import BucketTable
from agent.store.cards import CardTable
from agent.store.claims import ClaimTable
from agent.store.codes import CodeTable
from agent.store.commands import CommandTable
from agent.store.delivery import DeliveryTable
from agent.store.engine import BEGIN, BUSY_TIMEOUT_MS, writer_engine
from agent.store.enrolments import EnrolmentTable
from agent.store.failures import disk_named
from agent.store.fraud import FraudTable
from agent.store.gauges import GaugeTable
from agent.store.handhelds import HandheldTable
from agent.store.lock import InstanceLock, StoreError
from agent.store.members import MemberTable
from agent.store.memory import MemoryTable
from agent.store.migrate import upgrade
from agent.store.people import PeopleTable
from agent.store.prepared import Prepared, raw
from agent.store.rebirth import IncarnationTable, running_generation
from agent.store.requests import RequestTable
from agent.store.sales import UNSETTLED, SaleTable
from agent.store.shifts import ShiftTable
from agent.store.spending import CouponTable, LeaseTable, QuoteTable
from agent.store.tables import INCARNATION, JOURNAL, META, SALE

# Most transactions are prepared statements only. Then SQLAlchemy, which would cost more than they do, takes no part.
_COMMIT = Prepared(text("COMMIT"))
_ROLLBACK = Prepared(text("ROLLBACK"))


class Tx:
    """One open transaction with its tables as nouns; ``journal.append`` is the only way to a record."""

    def __init__(self, connection: Connection, writer: journal.JournalWriter, stamp: journal.Stamp) -> None:
        self.connection = connection
        self.stamp = stamp
        self.journal = writer
        self.sales = SaleTable(connection)
        self.members = MemberTable(connection, stamp.wall_ms)
        self.cards = CardTable(connection)
        self.alerts = AlertTable(connection)
        self.gauges = GaugeTable(connection)
        self.claims = ClaimTable(connection)
        self.codes = CodeTable(connection)
        self.commands = CommandTable(connection)
        self.handhelds = HandheldTable(connection)
        self.enrolments = EnrolmentTable(connection)
        self.people = PeopleTable(connection)
        self.shifts = ShiftTable(connection)
        self.memory = MemoryTable(connection)
        self.delivery = DeliveryTable(connection)
        self.incarnations = IncarnationTable(connection)
        self.leases = LeaseTable(connection)
        self.coupons = CouponTable(connection)
        self.quotes = QuoteTable(connection)
        self.fraud = FraudTable(connection)
        self.requests = RequestTable(connection)
        self.buckets = BucketTable(connection, stamp.wall_ms)

    def restamp(self, stamp: journal.Stamp) -> None:
        """What is written from here on happens at ``stamp``."""
        self.stamp = stamp
        self.journal.stamp = stamp


class Store:
    """The station's database, opened for writing. Close it to release the lock."""

    def __init__(self, path: Path, *, station: str, random: RandomBits, lock: InstanceLock | None = None) -> None:
        """Open, migrate and check ``path``; ``lock``: taken already. Raises StoreError (StoreBusy, StoreNewer)."""
        self.path = path
        self._random = random
        self._lock = InstanceLock(path) if lock is None else lock
        self._lock.take()
        try:
            swap.finish(path)
        except OSError as failure:
            raise StoreError(
                f"a restore that was decided cannot be finished: {failure}",
                hint=f"look at room and rights of {path.parent}; the next start goes on with it",
            ) from failure
        self.is_new = not path.exists() or path.stat().st_size == 0
        self._engine = writer_engine(path)
        with disk_named():
            upgrade(self._engine, path)
        self._connection = self._engine.connect()
        with self._connection.begin():
            self._adopt(station)
            newest = self._connection.execute(select(func.max(JOURNAL.c.time_ms))).scalar()
        self.newest_ms: int = newest or 0

    def _adopt(self, station: str) -> None:
        meta = dict(self._connection.execute(select(META.c.key, META.c.value)).tuples().all())
        if not meta:
            incarnation = f"{self._random.getrandbits(128):032x}"
            meta = {"station": station, "incarnation": incarnation, "connect_n": "0"}
            for key, value in meta.items():
                self._connection.execute(insert(META), {"key": key, "value": value})
            journal.create_streams(self._connection, station, incarnation)
            first = {"generation": 1, "incarnation": incarnation, "reason": "new", "begun_ms": 0}
            self._connection.execute(insert(INCARNATION), first)
            self.is_new = True
        if meta["station"] != station:
            raise StoreError(
                f"this database belongs to station {meta['station']}, the configuration says {station}",
                hint="correct [station] id, or name another [store] path for a new station",
            )
        self.station = station
        self.incarnation = meta["incarnation"]
        self._heads = journal.read_heads(self._connection)
        self._points: dict[int, Mapping[str, Any]] = dict(MemoryTable(self._connection).points())
        self._generation: int = self._connection.execute(select(running_generation())).scalar_one()

    def start(self, stamp: journal.Stamp) -> Tx:
        """Open a transaction; end it with ``commit`` or ``roll_back``."""
        BEGIN.run(raw(self._connection), {})
        writer = journal.JournalWriter(self._connection, self._heads, stamp, self._random, self._generation)
        return Tx(self._connection, writer, stamp)

    def commit(self, tx: Tx) -> None:
        """Make everything of ``tx`` durable, and its heads the store's own.

        Raises StorageFailed: then nothing is known to be durable, and this store may not be used again.
        """
        tx.journal.flush()
        failpoint("store.inside_commit")
        if self._connection.in_transaction():
            self._connection.commit()
        else:
            _COMMIT.run(raw(self._connection), {})
        self._heads = tx.journal.heads
        if tx.memory.saved:
            self._points = {**self._points, **tx.memory.saved}
        self.newest_ms = max(self.newest_ms, tx.stamp.wall_ms)

    def roll_back(self) -> None:
        """Forget everything written since ``start``."""
        if self._connection.in_transaction():
            self._connection.rollback()
        elif raw(self._connection).in_transaction:
            _ROLLBACK.run(raw(self._connection), {})

    @contextmanager
    def begin(self, stamp: journal.Stamp) -> Iterator[Tx]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        tx = self.start(stamp)
        try:
            yield tx
            self.commit(tx)
        finally:
            self.roll_back()

    def heads(self) -> dict[str, tuple[int, bytes]]:
        """Return (last seq, last hash) per stream as committed."""
        return dict(self._heads)

    def counts(self) -> dict[str, tuple[str, int, int]]:
        """Return where each meter stands as committed, by ``fuelling point:nozzle``: total, unit in ml, modulus."""
        return {
            f"{number}:{meter['nozzle']}": (meter["total"], meter["unit_ml"], meter["modulus"])
            for number, point in self._points.items()
            for meter in point.get("meters", ())
        }

    def unsettled(self) -> list[tuple[int, int, str, int]]:
        """Return (fuelling point, nozzle, grade, tank) of sales that are not Cleared, each once."""
        columns = (SALE.c.fuelling_point, SALE.c.nozzle, SALE.c.grade, SALE.c.tank)
        with self._connection.begin():
            rows = self._connection.execute(select(*columns).where(SALE.c.state.in_(UNSETTLED)).distinct())
            return [(row[0], row[1], row[2], row[3]) for row in rows]

    def staff_ids(self) -> list[str]:
        """Return the ids of everybody whom the database knows as staff."""
        with self._connection.begin():
            return PeopleTable(self._connection).ids()

    def reincarnated(self) -> None:
        """Take over the incarnation that a committed transaction has begun."""
        with self._connection.begin():
            self._adopt(self.station)

    def scrub(self) -> bool:
        """Write the log into the database and empty it, so that nothing which was erased stands in it any more.

        Returns False where a reader is at work on it, without waiting: ask again. Freed room in the database is
        overwritten as it is freed (``secure_delete``). Raises StorageFailed.
        """
        connection = raw(self._connection)
        with disk_named():
            connection.execute("PRAGMA busy_timeout=0")
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        return bool(busy == 0)

    def meta(self, key: str) -> str | None:
        """Return one committed fact about this database."""
        with self._connection.begin():
            return self._connection.execute(select(META.c.value).where(META.c.key == key)).scalar()

    def close(self) -> None:
        """Close the connection and let the lock go."""
        self._connection.close()
        self._engine.dispose()
        self._lock.release()
