"""What happened between two instants, read out of the journal and beside it: the facts that a shift is made of.

Reads only, over a plain connection: the writer closes a shift with it, ``verify`` closes it once more.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from agent.domain import shift
from agent.domain.ledger import Account
from agent.domain.rules.facts import Purpose
from agent.domain.sale import Totalizer
from agent.domain.settlement import Tender, purpose_of

SAME_METER = "reincarnated"
"""The reason of a base that a new incarnation lays over a meter which goes on counting."""

_RECORDS = """
SELECT id, type, body FROM journal WHERE time_ms >= ? AND time_ms < ? AND stream = 'L' AND type IN (
'fc.sale.v1', 'fc.sale.linked.v1', 'fc.sale.settled.v1', 'fc.sale.corrected.v1', 'fc.points.v1', 'fc.meter.baseline.v1')
ORDER BY generation, seq
"""
_SALE = "SELECT attendant, volume_ml FROM sale WHERE id = ?"
_POSTED_FOR = "SELECT sale FROM posting WHERE source = ? AND leg = 1"
_REBOOKED = "SELECT old FROM correction WHERE sale = ? AND what = 'tender' AND at_ms >= ? ORDER BY at_ms, id LIMIT 1"
_TENDERS = "SELECT kind, amount_minor FROM tender WHERE sale = ? ORDER BY n"
_USES = "SELECT * FROM fuel_use WHERE at_ms >= ? AND at_ms < ? ORDER BY id"
_SUPERSEDED = """
SELECT s.* FROM superseded x JOIN sale s ON s.id = x.sale WHERE x.made_ms >= ? AND x.made_ms < ? ORDER BY s.id
"""


def facts(db: sqlite3.Connection, from_ms: int, to_ms: int) -> Iterator[shift.Fact]:
    """Yield what was written at ``from_ms`` or later and before ``to_ms``, in order; a record sent again counts once.

    Raises ValueError, KeyError or TypeError where a record or row holds what it cannot.
    """
    reader = _Reader(db, from_ms)
    seen: set[str] = set()
    for row in reader.rows(_RECORDS, (from_ms, to_ms)):
        if row["id"] not in seen:
            seen.add(row["id"])
            yield from reader.read(row["type"], row["id"], json.loads(row["body"])["data"])
    for row in reader.rows(_USES, (from_ms, to_ms)):
        use = (row["fuelling_point"], row["nozzle"], Purpose(row["what"]), row["volume_ml"], row["sale"])
        yield shift.NotSold(*use)
    for row in reader.rows(_SUPERSEDED, (from_ms, to_ms)):
        names = ("id", "fuelling_point", "nozzle", "volume_ml", "amount_minor", "attendant")
        yield shift.Superseded(*(row[name] for name in names))


class _Reader:
    """Turns records into facts; what a record does not say of its sale is asked of the sale."""

    def __init__(self, db: sqlite3.Connection, from_ms: int) -> None:
        self._db = db
        self._from_ms = from_ms
        self._attendants: dict[str, str | None] = {}
        self._paid: dict[str, shift.Amounts] = {}
        self._by_type: dict[str, Callable[[str, Mapping[str, Any]], Iterator[shift.Fact]]] = {
            "fc.sale.v1": self._sale,
            "fc.sale.linked.v1": self._linked,
            "fc.sale.settled.v1": self._settled,
            "fc.sale.corrected.v1": self._corrected,
            "fc.points.v1": self._points,
            "fc.meter.baseline.v1": self._base,
        }

    def rows(self, sql: str, values: Sequence[Any]) -> list[sqlite3.Row]:
        with closing(self._db.cursor()) as cursor:
            cursor.row_factory = sqlite3.Row
            return cursor.execute(sql, values).fetchall()

    def read(self, type_name: str, record: str, data: Mapping[str, Any]) -> Iterator[shift.Fact]:
        return self._by_type[type_name](record, data)

    def _attendant(self, sale: str | None) -> str | None:
        if sale is not None and sale not in self._attendants:
            found = self.rows(_SALE, (sale,))
            self._attendants[sale] = found[0]["attendant"] if found else None
        return None if sale is None else self._attendants[sale]

    def _sale(self, _record: str, data: Mapping[str, Any]) -> Iterator[shift.Fact]:
        self._attendants[data["sale"]] = data["attendant"]
        yield shift.Fuelled(
            data["sale"],
            data["fuelling_point"],
            data["nozzle"],
            data["volume_ml"],
            data["amount_minor"],
            data["attendant"],
            data["kind"] == "RECOVERED",
            _total(data["totalizer_start"]),
            _total(data["totalizer_end"]),
        )

    def _base(self, _record: str, data: Mapping[str, Any]) -> Iterator[shift.Fact]:
        total = Totalizer.parse(data["totalizer"])
        yield shift.Based(data["fuelling_point"], data["nozzle"], total, same_count=data["reason"] == SAME_METER)

    def _linked(self, _record: str, data: Mapping[str, Any]) -> Iterator[shift.Fact]:
        yield shift.Linked(data["sale"], self._attendant(data["sale"]), delay_s=data["delay_s"])

    def _settled(self, _record: str, data: Mapping[str, Any]) -> Iterator[shift.Fact]:
        sale = data["sale"]
        tenders = tuple((t["kind"], t["amount_minor"]) for t in data["tenders"])
        self._paid[sale] = tenders
        found = self.rows(_SALE, (sale,))
        yield shift.Settled(
            sale,
            self._attendant(sale),
            purpose_of([Tender(kind, amount_minor) for kind, amount_minor in tenders]),
            found[0]["volume_ml"],
            data["discount_minor"],
            data["net_minor"],
            tenders,
        )
        yield from self._moved(sale, data["postings"])

    def _points(self, record: str, data: Mapping[str, Any]) -> Iterator[shift.Fact]:
        found = self.rows(_POSTED_FOR, (record,))
        yield from self._moved(found[0]["sale"] if found else None, data["postings"])

    def _moved(self, sale: str | None, postings: Sequence[Mapping[str, Any]]) -> Iterator[shift.Fact]:
        given = -sum(p["points"] for p in postings if p["account"] == Account.ISSUED)
        taken = sum(p["points"] for p in postings if p["account"] == Account.REDEEMED)
        if given or taken:
            yield shift.PointsMoved(self._attendant(sale), given, taken)

    def _corrected(self, _record: str, data: Mapping[str, Any]) -> Iterator[shift.Fact]:
        sale, what, old, new = data["sale"], data["what"], data["old"], data["new"]
        who = self._attendant(sale)
        if what == "link":
            yield shift.Linked(sale, who, member=new["member"] is not None)
        elif what == "tender":
            before, after = _tenders(old["tenders"]), _tenders(new["tenders"])
            self._paid[sale] = after
            yield shift.Rebooked(who, before, after)
        elif what in ("void", "refund"):
            amount_minor = new["refunded_minor"] - old["refunded_minor"]
            yield shift.GivenBack(who, what == "void", amount_minor, self._paid_with(sale))
        yield from self._moved(sale, data["postings"])

    def _paid_with(self, sale: str) -> str:
        """Return how a sale is booked to be paid by now: what was corrected after this period does not count."""
        if sale not in self._paid:
            later = self.rows(_REBOOKED, (sale, self._from_ms))
            told = json.loads(later[0]["old"])["tenders"] if later else self.rows(_TENDERS, (sale,))
            self._paid[sale] = _tenders(told)
        kinds = {kind for kind, _ in self._paid[sale]}
        return kinds.pop() if len(kinds) == 1 else shift.MIXED


def _tenders(told: Sequence[Any]) -> shift.Amounts:
    return tuple((item["kind"], item["amount_minor"]) for item in told)


def _total(text: str | None) -> Totalizer | None:
    return None if text is None else Totalizer.parse(text)
