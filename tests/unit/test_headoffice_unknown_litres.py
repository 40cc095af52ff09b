"""Litres that a station was told are known at head office, and that a database which was put back has no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headoffice.ingest import ingest
from headoffice.store import reports
from headoffice.store.database import Database
from tests.support.headoffice_databases import BOTH, opened
from tests.support.headoffice_station import NOW_MS, Stream, sale_data


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    yield from opened(request, tmp_path)


def _sold(database: Database, *spans: tuple[str, str], base: str | None = None) -> None:
    """What head office has of the life that ended."""
    stream = Stream(incarnation="1" * 32).begin()
    if base is not None:
        stream.add("fc.meter.baseline.v1", _base(base, "first-contact"))
    for number, (start, end) in enumerate(spans):
        stream.add("fc.sale.v1", sale_data(number, start, end))
    _take(database, stream)


def _gap(database: Database, start: str | None, end: str, life: str = "2") -> None:
    """The life that began on an empty disk tells what it was told."""
    stream = Stream(incarnation=life * 32).begin()
    gap = {"fuelling_point": 1, "nozzle": 1, "totalizer_unit_ml": 10, "reason": "known at head office"}
    stream.add("fc.gap.v1", {**gap, "from": start, "to": end})
    stream.add("fc.meter.baseline.v1", _base(end, "reincarnated"))
    _take(database, stream)


def _base(totalizer: str, reason: str) -> dict[str, Any]:
    return {"fuelling_point": 1, "nozzle": 1, "totalizer_unit_ml": 10, "totalizer": totalizer, "reason": reason}


def _take(database: Database, stream: Stream) -> None:
    ingest(database, stream.topic, stream.payload(1, len(stream.raws)), NOW_MS)


def _named(database: Database) -> list[tuple[str, str]]:
    rows = reports.own_alerts(database, station=None, limit=9)
    return [(row["subject"], row["detail"].partition(" was ")[0]) for row in rows if row["alert"] == "litres_unknown"]


def test_nothing_is_said_where_head_office_has_what_it_told(database: Database) -> None:
    """[W-32] The ordinary disk that was lost: the end it was told is that of a sale here."""
    _sold(database, ("0:500", "0:800"), ("0:800", "0:1000"), base="0:500")
    _gap(database, None, "0:1000")
    assert _named(database) == []


def test_nothing_is_said_of_a_nozzle_that_never_sold(database: Database) -> None:
    """[W-32] The end it was told is the base of its first reading."""
    _sold(database, base="0:500")
    _gap(database, None, "0:500")
    assert _named(database) == []


def test_litres_beyond_the_last_sale_here_are_named(database: Database) -> None:
    """[W-34] Put back to before the last sale: from where the count stood here, to where it stood once, and how much."""
    _sold(database, ("0:500", "0:800"), base="0:500")
    _gap(database, None, "0:1000")
    assert _named(database) == [("fuelling point 1 nozzle 1", "0:800 to 0:1000 (up to 2000 ml)")]


def test_litres_beyond_the_first_base_here_are_named(database: Database) -> None:
    """[W-34] Put back to before the first sale of a nozzle: from its base on."""
    _sold(database, base="0:500")
    _gap(database, None, "0:1000")
    assert _named(database) == [("fuelling point 1 nozzle 1", "0:500 to 0:1000 (up to 5000 ml)")]


def test_later_sales_do_not_hide_the_litres_before_them(database: Database) -> None:
    """[W-34] Another PC's later sales are here already: what lies before them is missing all the same."""
    _sold(database, ("0:1000", "0:1500"), base="0:500")
    _gap(database, None, "0:1000")
    assert _named(database) == [("fuelling point 1 nozzle 1", "0:500 to 0:1000 (up to 5000 ml)")]


def test_where_nothing_at_all_is_known_the_begin_is_said_to_be_unknown(database: Database) -> None:
    """[W-34] Put back to before the station was there: nobody can count the litres, and a person hears of it."""
    _gap(database, None, "0:1000")
    assert _named(database) == [("fuelling point 1 nozzle 1", "an unknown count to 0:1000")]


def test_a_gap_with_a_begin_is_named_with_its_litres(database: Database) -> None:
    """[W-34] A database from a backup knows from where on it has no sales; what is here of them does not count."""
    _sold(database, ("0:500", "0:800"), base="0:500")
    _gap(database, "0:600", "0:1000")
    assert _named(database) == [("fuelling point 1 nozzle 1", "0:600 to 0:1000 (up to 2000 ml)")]
