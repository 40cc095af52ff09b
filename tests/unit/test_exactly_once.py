"""The checker of all chaos tests is content with a station that is well, and sees every planted fault."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent.store.delivery import JournalOutbox
from agent.store.journal import Stamp
from agent.store.store import Store
from headoffice.ingest import ingest
from headoffice.store import overlaps
from headoffice.store.database import Database
from sync.envelope import encode_batch, station_source
from sync.messages import STREAMS, Batch
from tests.support import template
from tests.support.exactly_once import Truth, check_exactly_once, complaints
from tests.support.headoffice_station import NOW_MS, TIME, alert_data, answered, sale_data, settled_data, up_topic
from tests.support.station_settings import STATION

MEMBER = "567014f1b3c2a9de"
TRUTH = Truth({(1, 1): 30_000}, {(1, 1): 3}, {MEMBER: 156})


@dataclass(frozen=True)
class Told:
    """Both ends after a story: every record of the station is delivered."""

    office: Path
    copy: Path

    def plant(self, *statements: str) -> None:
        """Change head office's rows behind everybody's back."""
        with closing(sqlite3.connect(self.office)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def found(self, truth: Truth = TRUTH, **more: Any) -> list[str]:
        """What the checker says."""
        return complaints(self.office, {STATION: [self.copy]}, {STATION: truth}, **more)


def _write(store: Store) -> None:
    with store.begin(Stamp(NOW_MS, 1, "boot-1", "ntp")) as tx:
        tx.journal.append("fc.incarnation.v1", {"reason": "new", "parent": None})
        for number in (1, 2, 3):
            start = 5_000 + 1_000 * number
            data = sale_data(number, f"0:{start}", f"0:{start + 1_000}")
            tx.journal.append("fc.sale.v1", data)
            if number < 3:
                tx.journal.append("fc.sale.settled.v1", settled_data(data["sale"], member=MEMBER))
        tx.journal.append("fc.tank.alert.v1", alert_data())


def _batch(outbox: JournalOutbox, incarnation: str, stream: str, first: int) -> Batch:
    rows = outbox.read(stream, first, 200, 60_000)
    return Batch(
        install_id="pc-1",
        incarnation=incarnation,
        stream=stream,
        first_seq=first,
        prev_hash=outbox.hash_at(stream, first - 1),
        records=tuple(row.raw for row in rows),
        last_hash=rows[-1].hash,
    )


def _deliver(store: Store, office: Path) -> None:
    with (
        closing(Database(office)) as database,
        closing(JournalOutbox(store.path, STATION, store.incarnation)) as outbox,
    ):
        for stream in STREAMS:
            if store.heads()[stream][0]:
                payload = encode_batch(
                    _batch(outbox, store.incarnation, stream, 1), source=station_source(STATION), time=TIME
                )
                ack = answered(ingest(database, up_topic(f"up/{stream.lower()}", STATION), payload, NOW_MS))
                with store.begin(Stamp(NOW_MS, 2, "boot-1", "ntp")) as tx:
                    tx.delivery.acknowledge(stream, ack.cum, ack.head_hash)


@pytest.fixture(scope="module")
def once() -> Iterator[Path]:
    folder = template.new_folder()
    template.copy_to(folder)
    store = Store(folder / "station.db", station=STATION, random=Random(1))
    _write(store)
    _deliver(store, folder / "hq.db")
    store.close()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def told(once: Path, tmp_path: Path) -> Told:
    for name in ("station.db", "hq.db"):
        shutil.copy(once / name, tmp_path / name)
    return Told(tmp_path / "hq.db", tmp_path / "station.db")


def test_a_station_that_is_well_gives_no_complaint(told: Told) -> None:
    """Everything delivered, litres, sales and points as they were: nothing to say."""
    check_exactly_once(told.office, {STATION: [told.copy]}, {STATION: TRUTH})
    assert told.found(is_over=False) == []


def test_what_waits_is_no_loss_until_the_end(told: Told) -> None:
    """A record that is written and not delivered is on its way while things go on, and lost when they are over."""
    store = Store(told.copy, station=STATION, random=Random(2))
    with closing(store), store.begin(Stamp(NOW_MS, 3, "boot-1", "ntp")) as tx:
        tx.journal.append("fc.stocktake.v1", {"shift": 1})
    assert told.found(is_over=False) == []
    assert any("is lost" in complaint for complaint in told.found())


SALE = "record WHERE type = 'fc.sale.v1' AND seq = 2"
FAULTS: dict[str, tuple[tuple[str, ...], str]] = {
    "a dropped record": ((f"DELETE FROM {SALE}",), "has 0 rows with bytes"),
    "a dropped record and its sale": (
        ("DELETE FROM sale WHERE record = 2", "DELETE FROM sale_interval WHERE record = 2", f"DELETE FROM {SALE}"),
        "sold 20000 ml",
    ),
    "a dropped tail": (
        ("DELETE FROM record WHERE stream = 'A'", "DELETE FROM record_hash WHERE stream = 'A'", "DELETE FROM cursor WHERE stream = 'A'"),
        "head office has nothing there",
    ),
    "an altered record": (
        ("UPDATE record_bytes SET raw = CAST(replace(CAST(raw AS TEXT), '7850', '7851') AS BLOB) WHERE number = 2",),
        "do not have their hash",
    ),
    "an altered row of a sale": (("UPDATE sale SET volume_ml = 10001 WHERE record = 2",), "its row does not say"),
    "a sale without a record": (
        (("INSERT INTO sale SELECT 99, station, 'X', fuelling_point, nozzle, grade, tank, kind, volume_ml, unit_price_milli,"
         " amount_minor, currency, exponent, totalizer_start, totalizer_end, sub, counter, lifted_at, ended_at, business_day,"
         " attendant, flags FROM sale WHERE record = 2"),),
        "has no record",
    ),
    "a fact moved to another life": (
        ("UPDATE record SET incarnation = 'ffffffffffffffffffffffffffffffff' WHERE number = 2",),
        "lies behind the cursor",
    ),
    "a missing posting": (("DELETE FROM posting WHERE account = 'member:pending' AND record = 3",), "are not those of its bytes"),
    "points of somebody else": (("UPDATE posting SET member = '0000000000000001' WHERE record = 3",), "given, 0 at head office|are not those"),
    "a cursor that lies": (("UPDATE cursor SET cum = cum - 1 WHERE stream = 'L'",), "lies behind the cursor"),
    "a hash that lies": (("UPDATE record_hash SET hash = 'ab' WHERE seq = 2",), "do not have their hash"),
    "an unexplained dead letter": (
        ("INSERT INTO dead_letter SELECT NULL, station, incarnation, stream, seq, 'bad_data', '', raw, 0, NULL, NULL FROM record JOIN record_bytes USING (number) WHERE number = 2",),
        "dead letter",
    ),
    "a fork that nobody was told of": (
        ("INSERT INTO quarantine SELECT station, incarnation, stream, seq, 'ab', CAST('{\"id\": \"Q\"}' AS BLOB), 'pc', 0 FROM record JOIN record_bytes USING (number) WHERE number = 2",),
        "nobody was told",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_seen(told: Told, name: str) -> None:
    """I1 to I5: whatever is changed in head office's database behind everybody's back gives a complaint that names it."""
    statements, words = FAULTS[name]
    told.plant("PRAGMA foreign_keys=0", *statements)
    found = told.found()
    assert any(word in complaint for complaint in found for word in words.split("|")), found


def test_a_sale_under_two_names_is_seen(told: Told) -> None:
    """W-24: the same litres once more, with another id and an interval of its own place, overlap and are too many."""
    with closing(Store(told.copy, station=STATION, random=Random(3))) as store:
        with store.begin(Stamp(NOW_MS, 3, "boot-1", "ntp")) as tx:
            tx.journal.append("fc.sale.v1", sale_data(9, "0:99000", "0:100000"))
        with (
            closing(Database(told.office)) as database,
            closing(JournalOutbox(store.path, STATION, store.incarnation)) as outbox,
        ):
            batch = _batch(outbox, store.incarnation, "L", store.heads()["L"][0])
            payload = encode_batch(batch, source=station_source(STATION), time=TIME)
            assert answered(ingest(database, up_topic("up/l", STATION), payload, NOW_MS)).cum == store.heads()["L"][0]
    found = told.found()
    assert any("pumped 30000 ml, sold 40000 ml" in complaint for complaint in found), found
    assert any("sales at head office" in complaint for complaint in found), found


def test_a_doubled_fact_is_seen(told: Told) -> None:
    """I3: a fact that stands in a second life as a fact again counts twice, whatever its place says."""
    told.plant(
        "CREATE TABLE again AS SELECT * FROM record WHERE number = 2",
        "INSERT INTO record_bytes SELECT 77, received_ms, raw FROM record_bytes WHERE number = 2",
        "DROP TABLE record",
        "CREATE TABLE record AS SELECT * FROM again UNION ALL SELECT 77, station, 'ffffffffffffffffffffffffffffffff',"
        " stream, 1, id, type, time, flags, received_ms FROM again",
    )
    assert any("counts 2 times" in complaint for complaint in told.found())


def test_a_station_whose_own_chain_is_broken_is_seen(told: Told) -> None:
    """I5: a changed byte in the station's journal is found at the station and against head office."""
    with closing(sqlite3.connect(told.copy)) as connection, connection:
        connection.execute(
            "UPDATE journal SET body = CAST(replace(CAST(body AS TEXT), '10000', '10001') AS BLOB) WHERE seq = 2"
        )
    found = told.found()
    assert any("broken at seq 2" in complaint for complaint in found), found
    assert any("other bytes" in complaint for complaint in found), found


def test_litres_may_only_be_missing_where_a_gap_record_names_them(told: Told) -> None:
    """I4: 10 litres that no sale has are a complaint, until a gap record says between which counts they lie."""
    more = Truth({(1, 1): 40_000})
    assert any("pumped 40000 ml, sold 30000 ml" in complaint for complaint in told.found(more))
    with closing(Store(told.copy, station=STATION, random=Random(4))) as store:
        with store.begin(Stamp(NOW_MS, 3, "boot-1", "ntp")) as tx:
            gap = {"fuelling_point": 1, "nozzle": 1, "from": "0:9000", "to": "0:10000", "totalizer_unit_ml": 10}
            tx.journal.append("fc.gap.v1", {**gap, "reason": "not comparable, nothing booked"})
        with (
            closing(Database(told.office)) as database,
            closing(JournalOutbox(store.path, STATION, store.incarnation)) as outbox,
        ):
            batch = _batch(outbox, store.incarnation, "L", store.heads()["L"][0])
            payload = encode_batch(batch, source=station_source(STATION), time=TIME)
            answered(ingest(database, up_topic("up/l", STATION), payload, NOW_MS))
    assert told.found(more) == []


@pytest.mark.parametrize("is_annulled", [True, False])
def test_points_for_litres_of_another_sale_are_seen(
    told: Told, monkeypatch: pytest.MonkeyPatch, *, is_annulled: bool
) -> None:
    """I2: a sale put aside for its litres may not earn where the sale that has them does; head office annuls that."""
    if not is_annulled:
        monkeypatch.setattr(overlaps, "judge", lambda *_: None)
    with closing(Store(told.copy, station=STATION, random=Random(5))) as store:
        first = store.heads()["L"][0] + 1
        with store.begin(Stamp(NOW_MS, 3, "boot-1", "ntp")) as tx:
            data = sale_data(9, "0:5500", "0:6500")
            tx.journal.append("fc.sale.v1", data)
            tx.journal.append("fc.sale.settled.v1", settled_data(data["sale"], member="0000000000000001"))
        with (
            closing(Database(told.office)) as database,
            closing(JournalOutbox(store.path, STATION, store.incarnation)) as outbox,
        ):
            payload = encode_batch(
                _batch(outbox, store.incarnation, "L", first), source=station_source(STATION), time=TIME
            )
            ack = answered(ingest(database, up_topic("up/l", STATION), payload, NOW_MS))
        assert [letter.known for letter in ack.rejected] == [(("0:6000", "0:7000"),)]
    truth = Truth({(1, 1): 30_000})
    found = told.found(truth)
    assert [text for text in found if "which have the same litres" in text] == found
    assert (found == []) is is_annulled
