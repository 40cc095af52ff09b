"""Head office's ingest, batch by batch, on SQLite and on PostgreSQL: cursors, dead letters, second arrivals, forks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from agent.failpoints import SimulatedCrash, armed
from headoffice.hello import answer_hello
from headoffice.ingest import ingest
from headoffice.store import reports, schema
from headoffice.store.database import Database
from headoffice.store.verify import verify
from sync.envelope import Event as CloudEvent
from sync.envelope import encode_batch, encode_event, station_source
from sync.messages import Ack, DeadLetter, StreamPosition, hash_0
from sync.topics import StationTopic
from tests.support.headoffice_databases import BOTH, opened
from tests.support.headoffice_station import (
    INCARNATION,
    INSTALL,
    NOW_MS,
    STATION,
    TIME,
    Stream,
    alert_data,
    answered,
    event,
    hello,
    sale_data,
    settled_data,
    ulid,
    up_topic,
)

OTHER = "f" * 32
VECTORS = Path(__file__).parent.parent / "vectors"


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    yield from opened(request, tmp_path)


def take(database: Database, stream: Stream, first: int, last: int | None = None) -> Ack:
    return answered(ingest(database, stream.topic, stream.payload(first, last), NOW_MS))


def sales(count: int, *, start: int = 0) -> Stream:
    stream = Stream().begin()
    for number in range(count):
        at = start + number * 1_000
        stream.add("fc.sale.v1", sale_data(number, f"0:{at}", f"0:{at + 1_000}"))
    return stream


def own_alerts(database: Database) -> set[str]:
    return {row["alert"] for row in reports.own_alerts(database, station=None, limit=100)}


def test_a_batch_is_stored_and_acknowledged_up_to_its_last_seq(database: Database) -> None:
    """[W-20] The first batch at 1 / hash_0 makes the cursor without a hello; the ack names its hash."""
    stream = sales(3)
    ack = take(database, stream, 1)
    assert (ack.cum, ack.head_hash) == (4, stream.hashes[4])
    assert (ack.gap, ack.fork, ack.refused, ack.rejected) == (False, False, None, ())
    assert reports.totals(database)["volume_ml"] == 30_000


def test_a_batch_that_starts_too_late_stores_nothing_and_says_gap(database: Database) -> None:
    """[W-20] Beyond cum + 1 the ack has gap true and the old cum."""
    stream = sales(5)
    take(database, stream, 1, 2)
    ack = take(database, stream, 4, 6)
    assert (ack.gap, ack.cum, ack.head_hash) == (True, 2, stream.hashes[2])
    assert reports.totals(database)["records"] == 2


def test_a_gap_before_any_batch_answers_zero_and_hash_0(database: Database) -> None:
    """[W-20] An unknown chain has cum 0 and hash_0."""
    ack = take(database, sales(3), 2)
    assert (ack.gap, ack.cum, ack.head_hash) == (True, 0, hash_0(STATION, INCARNATION, "L"))


def test_the_known_prefix_is_dropped_and_the_rest_is_stored(database: Database) -> None:
    """[W-20] A batch that overlaps what is known adds only what is new."""
    stream = sales(5)
    take(database, stream, 1, 4)
    ack = take(database, stream, 2, 6)
    assert ack.cum == 6
    assert reports.totals(database)["sales"] == 5
    assert verify(database).findings == ()


def test_a_batch_sent_twice_changes_nothing(database: Database) -> None:
    """[W-21] A lost ack is harmless: the repeat is acknowledged alike."""
    stream = sales(3)
    first = take(database, stream, 1)
    before = reports.totals(database)
    assert take(database, stream, 1) == first
    assert reports.totals(database) == before


def test_an_older_batch_answers_with_the_newest_cum(database: Database) -> None:
    """[W-21] An ack is cumulative."""
    stream = sales(5)
    take(database, stream, 1)
    assert take(database, stream, 1, 2).cum == 6


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"last_hash": b"\1" * 32}, "bad_last_hash"),
        ({"prev_hash": b"\1" * 32}, "bad_last_hash"),
        ({"first_seq": 2}, "not_consecutive"),
    ],
)
def test_a_batch_that_contradicts_itself_is_refused_by_name(
    database: Database, change: dict[str, Any], code: str
) -> None:
    """[W-20] [W-21] Nothing is stored; the ack has gap true and the code."""
    batch = replace(sales(3).batch(1), **change)
    payload = encode_batch(batch, source=station_source(STATION), time=TIME)
    ack = answered(ingest(database, up_topic("up/l"), payload, NOW_MS))
    assert (ack.gap, ack.refused, ack.cum) == (True, code, 0)
    assert reports.totals(database)["records"] == 0


def test_a_payload_over_64_kib_is_refused_too_large(database: Database) -> None:
    """[W-20] A payload over 65,536 bytes is refused by name."""
    payload = sales(2).payload(1)
    ack = answered(ingest(database, up_topic("up/l"), payload + b" " * 65_536, NOW_MS))
    assert ack.refused == "too_large"


@pytest.mark.parametrize(
    ("topic", "alert"),
    [
        (StationTopic(1, STATION, "up/l", False), "wrong_shard"),
        (up_topic("up/l", "OTHER"), "wrong_source"),
        (up_topic("up/a"), "wrong_topic"),
    ],
)
def test_a_batch_from_elsewhere_is_not_answered_and_raises_an_alert(
    database: Database, topic: StationTopic, alert: str
) -> None:
    """[W-20] Source, topic station, shard and stream must agree."""
    assert ingest(database, topic, sales(1).payload(1), NOW_MS) is None
    assert own_alerts(database) == {alert}
    assert reports.totals(database)["records"] == 0


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[]", b'{"specversion":"0.3"}', b" " * 1_048_577])
def test_an_unreadable_payload_is_not_answered_and_raises_one_counted_alert(database: Database, payload: bytes) -> None:
    """[W-20] Not JSON, another specversion, beyond 1 MiB: no answer; the alert is counted, never repeated."""
    for _ in range(2):
        assert ingest(database, up_topic("up/l"), payload, NOW_MS) is None
    (row,) = reports.own_alerts(database, station=STATION, limit=10)
    assert row["count"] == 2


def test_another_event_type_is_not_answered(database: Database) -> None:
    """[W-20] An event that is no batch has no answer."""
    payload = encode_event(CloudEvent(station_source(STATION), "x", "fc.other.v1", None, {}))
    assert ingest(database, up_topic("up/l"), payload, NOW_MS) is None
    assert own_alerts(database) == {"unreadable_wrong_type"}


def test_a_record_that_is_not_understood_is_a_dead_letter_and_blocks_nothing(database: Database) -> None:
    """[W-23] It is stored raw with a reason, it chains, and the ack lists it; the next record is a fact."""
    stream = Stream().begin()
    raw = stream.add("fc.unheard.v1", {})
    stream.add("fc.sale.v1", sale_data(1, "0:0", "0:1000"))
    ack = take(database, stream, 1)
    assert (ack.cum, ack.rejected) == (3, (DeadLetter(2, "unknown_type"),))
    (letter,) = reports.dead_letters(database, station=STATION, limit=10)
    assert letter["text"] == raw.decode()
    assert reports.totals(database)["sales"] == 1
    assert verify(database).findings == ()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"17", "not_an_object"),
        (b'{"seq":9}', "wrong_seq"),
        (b'"' + b"x" * 16_385 + b'"', "too_large"),
        (b'{"seq":1,"a":1.0}', "bad_number"),
        (b'{"a":1, "seq":1}', "not_canonical"),
    ],
)
def test_a_single_broken_record_is_dead_lettered_at_its_place(database: Database, raw: bytes, reason: str) -> None:
    """[W-20] [W-21] [W-23] In a batch of one even what is no record gets its place, so nothing blocks for ever."""
    stream = Stream(raws=[raw])
    ack = take(database, stream, 1)
    assert (ack.cum, ack.refused, ack.rejected) == (1, None, (DeadLetter(1, reason),))
    assert take(database, stream, 1) == ack
    assert verify(database).findings == ()


def test_a_type_on_the_wrong_stream_is_a_dead_letter(database: Database) -> None:
    """[W-01] [W-23] An alert on the ledger is put aside as wrong_stream."""
    stream = Stream().begin()
    stream.add("fc.tank.alert.v1", alert_data())
    assert take(database, stream, 1).rejected == (DeadLetter(2, "wrong_stream"),)


def test_an_ack_lists_at_most_500_dead_letters_and_stops_before_the_next(database: Database) -> None:
    """[W-21] cum does not pass an unlisted dead letter; after a hello that stored them the rest follows."""
    stream = Stream(name="T")
    for _ in range(600):
        stream.add("fc.unheard.v1", {})
    for first in range(1, 601, 200):
        ack = take(database, stream, first, first + 199)
    assert (ack.cum, ack.head_hash, len(ack.rejected)) == (500, stream.hashes[500], 500)
    at = StreamPosition(600, stream.hashes[600], 500)
    answer_hello(database, up_topic("up/hello"), event(hello(T=at)), NOW_MS)
    ack = take(database, stream, 401, 600)
    assert (ack.cum, len(ack.rejected), ack.rejected[0].seq) == (600, 100, 501)


def test_an_overlapping_interval_is_quarantined_and_listed(database: Database) -> None:
    """[W-24] Accepted intervals of one nozzle never overlap; touching ones do not."""
    stream = Stream().begin()
    for number, (start, end) in enumerate([(1_000, 2_000), (1_999, 2_500), (500, 1_001), (2_000, 3_000), (0, 1_000)]):
        stream.add("fc.sale.v1", sale_data(number, f"0:{start}", f"0:{end}"))
    ack = take(database, stream, 1)
    assert [(one.seq, one.reason) for one in ack.rejected] == [(3, "overlap"), (4, "overlap")]
    assert reports.totals(database)["sales"] == 3
    assert "overlap" in own_alerts(database)


def test_an_interval_that_contains_another_is_an_overlap(database: Database) -> None:
    """[W-24] The neighbour search also finds an interval that lies wholly inside."""
    stream = Stream().begin()
    for number, (start, end) in enumerate([(100, 200), (300, 400), (50, 500)]):
        stream.add("fc.sale.v1", sale_data(number, f"0:{start}", f"0:{end}"))
    assert [(one.seq, one.reason) for one in take(database, stream, 1).rejected] == [(4, "overlap")]


def test_meters_of_other_nozzles_points_and_epochs_do_not_collide(database: Database) -> None:
    """[W-24] The rule holds per station, fuelling point, nozzle and epoch; a new epoch may start low."""
    stream = Stream().begin()
    stream.add("fc.sale.v1", sale_data(1, "0:900", "0:1000"))
    stream.add("fc.sale.v1", sale_data(2, "0:900", "0:1000", nozzle=2))
    stream.add("fc.sale.v1", sale_data(3, "0:900", "0:1000", fuelling_point=2))
    stream.add("fc.sale.v1", sale_data(4, "0:1000", "1:20"))
    stream.add("fc.sale.v1", sale_data(5, "1:20", "1:1000"))
    assert take(database, stream, 1).rejected == ()


def test_an_end_below_the_start_is_a_bad_interval(database: Database) -> None:
    """[W-24] Without a new epoch a meter does not go back."""
    stream = Stream().begin()
    stream.add("fc.sale.v1", sale_data(1, "0:1000", "0:900"))
    stream.add("fc.sale.v1", sale_data(2, "1:0", "0:900"))
    assert [dead.reason for dead in take(database, stream, 1).rejected] == ["bad_interval", "bad_interval"]


def test_empty_intervals_are_told_apart_by_sub(database: Database) -> None:
    """[W-24] start = end never overlaps; the same sub a second time is the same key."""
    stream = Stream().begin()
    stream.add("fc.sale.v1", sale_data(1, "0:500", "0:500", sub=1))
    stream.add("fc.sale.v1", sale_data(2, "0:500", "0:500", sub=2))
    stream.add("fc.sale.v1", sale_data(3, "0:400", "0:600"))
    stream.add("fc.sale.v1", sale_data(4, "0:500", "0:500", sub=2))
    assert take(database, stream, 1).rejected == (DeadLetter(5, "overlap"),)


def test_sales_without_totals_are_keyed_by_incarnation_and_counter(database: Database) -> None:
    """[W-24] Null totals are not tested against the meter."""
    stream = Stream().begin()
    stream.add("fc.sale.v1", sale_data(1, None, None, counter=1))
    stream.add("fc.sale.v1", sale_data(2, None, None, counter=2))
    stream.add("fc.sale.v1", sale_data(3, None, None, counter=2))
    assert take(database, stream, 1).rejected == (DeadLetter(4, "overlap"),)


def test_a_fact_that_is_sent_again_in_a_new_incarnation_has_no_effect(database: Database) -> None:
    """[W-24] [W-26] Same id, new seq: stored as a second arrival, acknowledged; the old incarnation goes on."""
    old = sales(2)
    take(database, old, 1)
    new = Stream(incarnation=OTHER).begin()
    data = json.loads(old.raws[1])
    new.add("fc.sale.v1", data["data"], record_id=data["id"], time=data["time"])
    ack = take(database, new, 1)
    assert (ack.cum, ack.rejected) == (2, ())
    totals = reports.totals(database)
    assert (totals["sales"], totals["duplicates"], totals["own_alerts"]) == (2, 1, 0)
    old.add("fc.sale.v1", sale_data(7, "0:2000", "0:3000"))
    assert take(database, old, 4).cum == 4
    assert verify(database).findings == ()


def test_the_same_id_with_other_content_is_never_a_second_fact(database: Database) -> None:
    """[W-24] It is kept aside and raises an alert."""
    stream = Stream().begin()
    stream.add("fc.sale.v1", sale_data(1, "0:0", "0:1000"), record_id=ulid(9))
    stream.add("fc.sale.v1", sale_data(2, "0:1000", "0:2000"), record_id=ulid(9))
    take(database, stream, 1)
    totals = reports.totals(database)
    assert (totals["sales"], totals["duplicates"]) == (1, 1)
    assert own_alerts(database) == {"other_content"}


def test_a_sale_is_settled_once(database: Database) -> None:
    """[W-24] A second settlement of a sale is a second arrival; its postings fall with it."""
    stream = Stream().begin()
    stream.add("fc.sale.v1", sale_data(1, "0:0", "0:1000"))
    sale = sale_data(1, None, None)["sale"]
    stream.add("fc.sale.settled.v1", settled_data(sale))
    stream.add("fc.sale.settled.v1", settled_data(sale))
    take(database, stream, 1)
    with database.read() as connection:
        points = connection.execute(select(schema.posting.c.points)).scalars().all()
    assert points == [78, -78]
    totals = reports.totals(database)
    assert (totals["settled"], totals["points_issued"], totals["duplicates"]) == (1, 78, 1)


def test_enrolments_and_deliveries_are_unique_by_their_own_keys(database: Database) -> None:
    """[W-24] A member is enrolled once; a delivery is known by tank, start and start volume."""
    enrolment: dict[str, Any] = {"member": "ab" * 8, "indexes": [], "mask": None, "plate_index": None}
    enrolment |= {"contact": None, "by": None, "welcome": None}
    delivery: dict[str, Any] = {
        "tank": 1,
        "grade": "92",
        "start": TIME,
        "end": TIME,
        "start_volume_ml": 5,
        "end_volume_ml": 9,
    }
    delivery |= {"delivered_ml": 4, "temperature_mdegc": None, "note_ml": None}
    stream = Stream().begin()
    for kind, data in (("fc.member.enrolled.v1", enrolment), ("fc.tank.delivery.v1", delivery)) * 2:
        stream.add(kind, data)
    take(database, stream, 1)
    totals = reports.totals(database)
    assert (totals["records"], totals["duplicates"]) == (3, 2)


def test_a_known_seq_with_another_hash_is_a_fork(database: Database) -> None:
    """[W-25] From the first differing seq the records go to quarantine; cum and head stay."""
    stream = sales(3)
    take(database, stream, 1)
    clone = Stream(raws=stream.raws[:2])
    clone.add("fc.sale.v1", sale_data(50, "0:5000", "0:6000"))
    clone.add("fc.sale.v1", sale_data(51, "0:6000", "0:7000"))
    for _ in range(2):
        ack = take(database, clone, 2)
    assert (ack.fork, ack.gap, ack.refused, ack.cum, ack.head_hash) == (True, False, None, 4, stream.hashes[4])
    totals = reports.totals(database)
    assert (totals["sales"], totals["quarantined"]) == (3, 2)
    assert "fork" in own_alerts(database)


def test_a_wrong_prev_hash_at_the_end_is_a_fork_and_the_true_chain_goes_on(database: Database) -> None:
    """[W-25] A batch that continues the stored chain is still accepted after a fork."""
    stream = sales(2)
    take(database, stream, 1, 2)
    clone = sales(2, start=9_000)
    assert take(database, clone, 3).fork
    assert take(database, stream, 3).cum == 3
    assert reports.totals(database)["quarantined"] == 1


def test_a_first_batch_that_does_not_start_from_hash_0_is_a_fork(database: Database) -> None:
    """[W-20] [W-25] Only a batch at 1 / hash_0 makes a cursor."""
    stream = sales(1)
    stranger = Stream(station="OTHER", raws=stream.raws).batch(1)
    payload = encode_batch(stranger, source=station_source(STATION), time=TIME)
    ack = answered(ingest(database, up_topic("up/l"), payload, NOW_MS))
    assert (ack.fork, ack.cum) == (True, 0)


def test_an_l_stream_that_does_not_begin_with_its_incarnation_raises_an_alert(database: Database) -> None:
    """[W-05] It is stored with a flag all the same."""
    stream = Stream()
    stream.add("fc.sale.v1", sale_data(1, "0:0", "0:1000"))
    stream.add("fc.incarnation.v1", {"reason": "new", "parent": None})
    assert take(database, stream, 1).rejected == ()
    assert own_alerts(database) == {"first_not_incarnation", "late_incarnation"}


def test_a_baseline_that_is_not_the_last_accepted_end_raises_an_alert(database: Database) -> None:
    """Litres that nobody booked show as a baseline beyond the last end."""
    stream = sales(1)
    base = {"fuelling_point": 1, "nozzle": 1, "totalizer_unit_ml": 10, "reason": "confirm"}
    stream.add("fc.meter.baseline.v1", {**base, "totalizer": "0:1000"})
    take(database, stream, 1)
    assert own_alerts(database) == set()
    stream.add("fc.meter.baseline.v1", {**base, "totalizer": "0:1500"})
    take(database, stream, 4)
    assert own_alerts(database) == {"baseline_differs"}


@pytest.mark.parametrize(("failpoint", "kept"), [("hq.before_commit", 0), ("hq.after_commit", 3)])
def test_a_crash_around_the_commit_loses_and_doubles_nothing(database: Database, failpoint: str, kept: int) -> None:
    """[W-20] Only what is committed is ever acknowledged; the resend stores the rest once."""
    stream = sales(2)
    with armed(failpoint, 1), pytest.raises(SimulatedCrash):
        take(database, stream, 1)
    assert reports.totals(database)["records"] == kept
    assert take(database, stream, 1).cum == 3
    assert reports.totals(database)["sales"] == 2


def test_alerts_of_a_station_are_listed(database: Database) -> None:
    """A tank alert is a fact of stream A."""
    stream = Stream(name="A")
    stream.add("fc.tank.alert.v1", alert_data())
    stream.add("fc.tank.alert.v1", alert_data(state="cleared"))
    stream.add("fc.device.alert.v1", {"subject": "island-1", "alert": "offline", "state": "raised", "evidence": {}})
    assert take(database, stream, 1).cum == 3
    totals = reports.totals(database)
    assert (totals["tank_alerts"], totals["alerts"]) == (1, 3)
    assert reports.alerts(database, station=STATION, limit=1)[0]["subject"] == "island-1"


def test_signs_of_misuse_are_listed_with_what_was_compared(database: Database) -> None:
    """Rule, subject, observed and threshold of a station's alert; evidence of another shape is stored all the same."""
    stream = Stream(name="A")
    about = {"subject": "attendant:S07", "alert": "R6", "state": "raised"}
    compared = {"observed": 4_500, "threshold": 4_000, "unit": "share_bp", "sales": []}
    stream.add("fc.fraud.alert.v1", {**about, "evidence": compared})
    stream.add("fc.fraud.alert.v1", {**about, "evidence": ["?"]})
    stream.add("fc.device.alert.v1", {"subject": "island-1", "alert": "offline", "state": "raised", "evidence": {}})
    assert take(database, stream, 1).cum == 3
    rows = reports.alerts(database, station=STATION, limit=9, only="fc.fraud.alert.v1")
    assert [(row["subject"], row["alert"], row["value"], row["limit_value"], row["unit"]) for row in rows] == [
        ("attendant:S07", "R6", None, None, None),
        ("attendant:S07", "R6", 4_500, 4_000, "share_bp"),
    ]


def test_install_is_heard_with_every_batch(database: Database) -> None:
    """[W-33] A batch is a sign of life of its installation."""
    take(database, sales(1), 1)
    (row,) = reports.stations(database)
    assert [(item["install_id"], item["last_heard_ms"]) for item in row["installs"]] == [(INSTALL, NOW_MS)]


@pytest.mark.parametrize(
    "case", json.loads((VECTORS / "wire.json").read_text(encoding="utf-8")), ids=lambda case: case["stream"]
)
def test_the_worked_chain_is_accepted_hash_by_hash(database: Database, case: dict[str, Any]) -> None:
    """[W-03] [W-04] The published example of a stream is stored as facts and acknowledged with its own hashes."""
    raws = [row["canonical"].encode() for row in case["records"]]
    stream = Stream(name=case["stream"], station=case["station"], incarnation=case["incarnation"], raws=raws)
    for seq, row in enumerate(case["records"], 1):
        ack = take(database, stream, seq, seq)
        assert (ack.cum, ack.head_hash.hex(), ack.rejected) == (seq, row["hash"], ())
    assert reports.totals(database)["records"] == len(raws)
    assert verify(database).findings == ()


def test_a_second_first_contact_before_any_sale_raises_an_alert(database: Database) -> None:
    """Database and high-water file were lost before a nozzle sold anything: what moved since its first base is named."""
    base = {"fuelling_point": 1, "nozzle": 1, "totalizer_unit_ml": 10, "reason": "first-contact"}
    for life, totalizer in (("1", "0:500"), ("2", "0:500"), ("3", "0:2186")):
        stream = Stream(incarnation=life * 32).begin()
        stream.add("fc.meter.baseline.v1", {**base, "totalizer": totalizer})
        assert own_alerts(database) == set()
        take(database, stream, 1)
    assert own_alerts(database) == {"baseline_differs"}


def test_an_overlap_tells_which_of_its_litres_are_known(database: Database) -> None:
    """[W-24] The ack names between which counts other sales have the litres, neighbours as one; else there is none."""
    stream = Stream().begin()
    for number, (start, end) in enumerate(
        ((1_000, 2_000), (2_000, 3_000), (5_000, 6_000), (900, 7_000), (800, 700)), 1
    ):
        stream.add("fc.sale.v1", sale_data(number, f"0:{start}", f"0:{end}"))
    rejected = take(database, stream, 1).rejected
    assert [(one.reason, one.known) for one in rejected] == [
        ("overlap", (("0:1000", "0:3000"), ("0:5000", "0:6000"))),
        ("bad_interval", ()),
    ]
    assert [one.known for one in take(database, stream, 5).rejected] == [one.known for one in rejected]
