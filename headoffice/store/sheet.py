"""What one batch adds: looked up at once, kept in memory until somebody must read it, written at once.

Works inside the caller's transaction, and reads as if every row were written when it is added. Knows which keys name a
record; decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from types import ModuleType
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table

from headoffice.store import points_schema, postgresql, schema, sqlite

KEYS: dict[Table, tuple[tuple[str, ...], ...]] = {
    schema.record: (("station", "id"),),
    schema.sale: (("station", "sale"),),
    schema.settlement: (("station", "sale"),),
    schema.sale_counter: (("station", "incarnation", "fuelling_point", "counter"),),
    schema.sale_interval: (("station", "fuelling_point", "nozzle", "start_key", "end_key", "sub"),),
    schema.delivery: (
        ("station", "tank", "start", "start_volume_ml"),
        ("station", "tank", "console_start", "start_volume_ml"),
    ),
}
"""What a record is known by: rows of these tables are found by these columns while they wait to be written, too."""

ORDER = {table: place for place, table in enumerate(points_schema.lease.metadata.sorted_tables)}
"""A row is written after those it refers to."""


class Nozzle(NamedTuple):
    """Names one meter."""

    station: str
    fuelling_point: int
    nozzle: int


@dataclass(slots=True)
class _Pile:
    """Rows of one table that wait; for each of its keys what is known by it, and where a row has key and number."""

    rows: list[tuple[Any, ...]]
    keys: Sequence[tuple[dict[tuple[Any, ...], int | None], Callable[[Any], Any], Callable[[Any], Any]]]


class Sheet:
    """The rows of one transaction. ``records``: how many new records it may get, so that they are numbered at once.

    Whoever reads or writes past it takes ``read()``, which writes what waits. ``flush()`` writes the rest. ``newest``
    is for ``intervals``: the last interval of each meter that was looked at; ``has_overlaps`` for ``overlaps``.
    """

    def __init__(self, connection: Connection, records: int = 1) -> None:
        self.connection = connection
        self.newest: dict[Nozzle, tuple[str, str] | None] = {}
        self.has_overlaps: dict[str, bool] = {}
        self._kind: ModuleType = sqlite if connection.dialect.name == "sqlite" else postgresql
        self._records = max(1, records)
        self._numbers: Iterator[int] = iter(())
        self._piles: dict[Table, _Pile] = {}
        self._known: dict[tuple[Table, tuple[str, ...]], dict[tuple[Any, ...], int | None]] = {}

    def new_number(self) -> int:
        """Return the number of a new record."""
        number = next(self._numbers, None)
        if number is None:
            self._numbers = self._kind.new_numbers(self.connection, schema.record.c.number, self._records)
            number = next(self._numbers)
        return number

    def expect(self, table: Table, name: str, wanted: Mapping[tuple[str, str], None]) -> None:
        """Look up at once which of many (station, key) are known; ``find`` then answers from memory."""
        self.flush()
        number = table.c[_number_column(table)]
        known = self._known_by(table, ("station", name))
        known.update(wanted)
        known.update(self._kind.numbers_by_key(self.connection, table.c[name], number, list(wanted)))

    def find(self, table: Table, names: tuple[str, ...], values: tuple[Any, ...]) -> int | None:
        """Return the number of the record that a key names by ``values`` of its columns, None if there is none."""
        if names not in KEYS.get(table, ()):
            return _number(self.read(), table, names, values)
        known = self._known_by(table, names)
        if values not in known:
            known[values] = _number(self.connection, table, names, values)
        return known[values]

    def add(self, table: Table, row: dict[str, Any]) -> None:
        """Add a row; columns that it does not name are null, or number themselves."""
        self.put(table, tuple(map(row.get, _columns(table))))

    def put(self, table: Table, values: tuple[Any, ...]) -> None:
        """Add a row by the values of all its columns in order, but for one that numbers itself."""
        pile = self._piles.get(table) or self._pile(table)
        pile.rows.append(values)
        for known, key_of, number_of in pile.keys:
            known[key_of(values)] = number_of(values)

    def read(self) -> Connection:
        """Return the connection, once everything added so far is written."""
        self.flush()
        return self.connection

    def flush(self) -> None:
        """Write what waits."""
        for table in sorted((table for table, pile in self._piles.items() if pile.rows), key=ORDER.__getitem__):
            rows, self._piles[table].rows = self._piles[table].rows, []
            self._kind.insert_rows(self.connection, table, _columns(table), rows)

    def _pile(self, table: Table) -> _Pile:
        places = {name: place for place, name in enumerate(_columns(table))}
        keys = [
            (
                self._known_by(table, names),
                itemgetter(*map(places.__getitem__, names)),
                itemgetter(places[_number_column(table)]),
            )
            for names in KEYS.get(table, ())
        ]
        return self._piles.setdefault(table, _Pile([], keys))

    def _known_by(self, table: Table, names: tuple[str, ...]) -> dict[tuple[Any, ...], int | None]:
        return self._known.setdefault((table, names), {})


def _number(connection: Connection, table: Table, names: tuple[str, ...], values: tuple[Any, ...]) -> int | None:
    wanted = dict(zip(names, values, strict=True))
    row = connection.execute(schema.first_of(table, _number_column(table), *names), wanted).first()
    return None if row is None else int(row[0])


def _number_column(table: Table) -> str:
    return "number" if table is schema.record else "record"


@cache
def _columns(table: Table) -> tuple[str, ...]:
    """The columns of a table that a row may name; only records get their number here."""
    return tuple(
        column.name for column in table.c if column is not table.autoincrement_column or table is schema.record
    )
