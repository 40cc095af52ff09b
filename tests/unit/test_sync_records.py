"""Records: canonical bytes, chain, and how strictly head office reads them."""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from sync import messages as m
from sync import topics
from sync.backoff import connect_delay_s
from sync.recordtypes import type_defect
from tests.support.sync_model import raw_record

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "wire.json").read_text(encoding="utf-8"))
VALID = json.loads(raw_record("L", 5))


def _with(**changes: Any) -> bytes:
    record = {**VALID, **changes}
    return m.canonical({name: value for name, value in record.items() if value is not ...})


@pytest.mark.parametrize("chain", VECTORS, ids=lambda chain: chain["name"])
def test_the_worked_chain_comes_out_byte_for_byte(chain: dict[str, Any]) -> None:
    """Canonical bytes, hash_0 and every hash equal the published example [W-02] [W-04]."""
    at = m.hash_0(chain["station"], chain["incarnation"], chain["stream"])
    assert at.hex() == chain["hash_0"]
    assert topics.shard_of(chain["station"]) == chain["shard"]
    for entry in chain["records"]:
        raw = m.make_record(**entry["record"])
        at = m.hash_next(at, entry["record"]["seq"], raw)
        assert (raw.decode(), at.hex()) == (entry["canonical"], entry["hash"])
        verdict = m.check_record(raw, entry["record"]["seq"], chain["stream"])
        assert verdict == m.Accepted(m.Record(**entry["record"]), ())


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b" " + raw_record("L", 5), "not_canonical"),
        (raw_record("L", 5).replace(b'"boot":"b7c1",', b'"boot":"b7c1","boot":"b7c1",'), "not_canonical"),
        (raw_record("L", 5).replace(b"b7c1", b"\\ud800"), "not_canonical"),
        (raw_record("L", 5).replace(b"b7c1", b"\\u0041"), "not_canonical"),
        (raw_record("L", 5).replace(b"b7c1", b"\xff"), "not_canonical"),
        (raw_record("L", 5)[:-1], "not_canonical"),
        (b"[" * 8_000 + b"]" * 8_000, "not_canonical"),
        (raw_record("L", 5).replace(b'"mono_ms":5', b'"mono_ms":5.0'), "bad_number"),
        (raw_record("L", 5).replace(b'"mono_ms":5', b'"mono_ms":5e3'), "bad_number"),
        (raw_record("L", 5).replace(b'"mono_ms":5', b'"mono_ms":-0'), "bad_number"),
        (raw_record("L", 5).replace(b'"mono_ms":5', b'"mono_ms":9007199254740992'), "bad_number"),
        (raw_record("L", 5).replace(b'"mono_ms":5', b'"mono_ms":' + b"9" * 9_000), "bad_number"),
        (raw_record("L", 5).replace(b'"mono_ms":5', b'"mono_ms":NaN'), "bad_number"),
        (b"[]", "not_an_object"),
        (b"7", "not_an_object"),
        (raw_record("L", 6), "wrong_seq"),
        (_with(seq=True), "wrong_seq"),
        (_with(seq=...), "wrong_seq"),
        (_with(type="fc.unheard.v1"), "unknown_type"),
        (_with(type=7), "unknown_type"),
        (_with(type="fc.shift.v0"), "unknown_type"),
        (_with(type="fc.shift.v2"), "newer_major"),
        (_with(type="fc.health.v1"), "wrong_stream"),
        (_with(id="not-a-ulid"), "bad_data"),
        (_with(id=...), "bad_data"),
        (_with(data=None), "bad_data"),
        (_with(type="fc.points.v1", data={"member": "ab", "why": "gift", "postings": []}), "bad_data"),
        (_with(type="fc.points.v1", data={"member": "ab", "why": "grant"}), "bad_data"),
        (_with(data={"note": "x" * 16_384}), "too_large"),
    ],
)
def test_a_defect_is_named_with_a_closed_code(raw: bytes, reason: str) -> None:
    """Each defect gives its own dead-letter reason and never an exception [W-02] [W-05] [W-21] [W-23]."""
    verdict = m.check_record(raw, 5, "L")
    assert isinstance(verdict, m.Rejected)
    assert verdict.reason == reason
    assert verdict.reason in m.REJECT_REASONS


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"time": "2026-02-30T08:00:00.000Z"}, "bad_time"),
        ({"time": "2026-02-28T08:00:00Z"}, "bad_time"),
        ({"boot": "b" * 37}, "bad_boot"),
        ({"boot": ...}, "bad_boot"),
        ({"mono_ms": -1}, "bad_mono_ms"),
        ({"clock": "sundial"}, "bad_clock"),
    ],
)
def test_a_defect_beside_the_facts_is_only_a_flag(changes: dict[str, Any], flag: str) -> None:
    """Defects outside type, id and data are stored with a flag, not dead-lettered [W-05]."""
    verdict = m.check_record(_with(**changes), 5, "L")
    assert isinstance(verdict, m.Accepted)
    assert verdict.flags == (flag,)


def test_unknown_members_are_allowed_and_hashed() -> None:
    """An extra member changes the bytes and the hash but not the verdict [W-02] [W-05]."""
    raw = _with(colour="green", data={"shift": 1, "extra": [1, None, "\u20ac"]})
    assert isinstance(m.check_record(raw, 5, "L"), m.Accepted)
    before = bytes(32)
    assert m.hash_next(before, 5, raw) != m.hash_next(before, 5, raw_record("L", 5))


def test_the_first_record_of_the_ledger_is_the_incarnation() -> None:
    """Another first record of L, or an incarnation later, is flagged for an alert [W-05] [W-01]."""
    other = _with(seq=1)
    late = m.canonical({**json.loads(raw_record("L", 1)), "seq": 9})
    first, second = m.check_record(other, 1, "L"), m.check_record(late, 9, "L")
    assert isinstance(first, m.Accepted)
    assert isinstance(second, m.Accepted)
    assert (first.flags, second.flags) == (("first_not_incarnation",), ("late_incarnation",))


def test_names_sort_by_utf16_as_the_standard_says() -> None:
    """Names beyond U+FFFF sort before U+E000 and later ones, as RFC 8785 wants [W-04]."""
    data = {"\U0001f600": 1, "\ufb33": 2, "\u20ac": 3}
    raw = _with(data=data)
    assert raw.index("\U0001f600".encode()) < raw.index("\ufb33".encode())
    assert isinstance(m.check_record(raw, 5, "L"), m.Accepted)
    by_code_point = raw.replace('"\U0001f600":1,"\ufb33":2'.encode(), '"\ufb33":2,"\U0001f600":1'.encode())
    verdict = m.check_record(by_code_point, 5, "L")
    assert isinstance(verdict, m.Rejected)
    assert verdict.reason == "not_canonical"


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "fc.unheard.v1"},
        {"data": {"litres": 1.5}},
        {"data": {"deep": [{"litres": float("nan")}]}},
        {"data": {"raw": b"bytes"}},
        {"data": {"n": 2**53}},
        {"data": {"text": "\ud800"}},
        {"data": {"text": "x" * 16_384}},
        {"id": "short"},
        {"time": "yesterday"},
        {"boot": ""},
        {"clock": "sundial"},
        {"seq": 0},
        {"data": {1: "a"}},
    ],
)
def test_our_own_bugs_never_reach_the_disk(changes: dict[str, Any]) -> None:
    """What head office would put aside or flag is refused before it is written [W-02] [W-03]."""
    members = {"seq": 5, "id": VALID["id"], "type": "fc.stocktake.v1", "time": VALID["time"], "boot": "b", "mono_ms": 1}
    with pytest.raises(m.RecordError):
        m.make_record(**{**members, "clock": "ntp", "data": {}, **changes})


def test_values_that_only_look_like_json_are_judged_as_a_reader_finds_them() -> None:
    """A tuple is an array and an integer with a name is an integer: what stands in the bytes counts [W-02]."""
    members = {"seq": 5, "id": VALID["id"], "time": VALID["time"], "boot": "b", "mono_ms": 1, "clock": "ntp"}
    postings = ({"account": "program:issued", "points": HTTPStatus.OK, "lot": None},)
    data = {"member": "ab", "why": "grant", "postings": postings}
    raw = m.make_record(**members, type="fc.points.v1", data=data)
    assert json.loads(raw)["data"] == {**data, "postings": [{**postings[0], "points": 200}]}


def test_times_go_both_ways() -> None:
    """Unix milliseconds and the wire's text are the same moment; impossible dates are errors [W-02]."""
    assert m.format_time(1_795_248_072_345) == "2026-11-21T08:01:12.345Z"
    assert m.parse_time("2026-11-21T08:01:12.345Z") == 1_795_248_072_345
    assert m.parse_time(m.format_time(-1)) == -1
    for bad in ("2026-02-29T00:00:00.000Z", "2026-11-21T08:01:12Z", "2026-11-21 08:01:12.345Z", "\u0662026"):
        with pytest.raises(m.RecordError):
            m.parse_time(bad)


def test_every_type_stands_on_exactly_one_stream() -> None:
    """The closed table accepts a type on its own stream and calls it wrong_stream on the others [W-01] [W-05]."""
    for name, row in m.TYPES.items():
        verdicts = {stream: type_defect(name, stream) for stream in m.STREAMS}
        assert verdicts == {stream: None if stream == row.stream else "wrong_stream" for stream in m.STREAMS}
    assert m.TYPES["fc.telemetry.thinned.v1"].stream == "T"
    assert m.known_majors()["fc.sale.settled"] == [1]


def test_connects_back_off_with_full_jitter() -> None:
    """The delay lies anywhere from 1 s to a doubling top of at most 300 s [W-12]."""
    assert [connect_delay_s(attempt, 1.0, 300.0, 1.0) for attempt in (0, 1, 2, 8, 9, 10_000)] == [
        2,
        4,
        8,
        300,
        300,
        300,
    ]
    assert {connect_delay_s(attempt, 1.0, 300.0, 0.0) for attempt in range(20)} == {1.0}


@pytest.mark.parametrize("station", ["", "a b", "x" * 33, "\u00e9", "a/b", "+"])
def test_only_well_formed_names_have_a_chain(station: str) -> None:
    """Station and incarnation follow their syntax, or nothing is hashed under them [W-04]."""
    with pytest.raises(m.RecordError):
        m.hash_0(station, "0" * 32, "L")
    with pytest.raises(m.RecordError):
        m.hash_0("S", "0" * 31 + "G", "L")
    with pytest.raises(topics.TopicError):
        topics.check_station(station)


def test_topics_are_built_and_read_alike() -> None:
    """Every topic parses to what it was built from; anything else is refused; a wrong shard is told [W-13] [W-60]."""
    for name in (*topics.UP_NAMES, *topics.DOWN_NAMES):
        full = topics.station_topic("SH-0421", name)
        assert topics.parse(full) == topics.StationTopic(57, "SH-0421", name, True)
        assert topics.parse(full.replace("/57/", "/58/")) == topics.StationTopic(58, "SH-0421", name, False)
    assert topics.parse(topics.group_topic("east", "head")) == topics.GroupTopic("east", "head")
    assert topics.parse("fc/v1/ho/state") == topics.HoStateTopic()
    assert topics.down_filter("SH-0421") == "fc/v1/57/s/SH-0421/down/#"
    for bad in ("", "fc/v1/057/s/SH-0421/up/l", "fc/v1/57/s/SH-0421/up/x", "fc/v1/57/s/a b/up/l", "fc/v2/57/s/a/up/l"):
        with pytest.raises(topics.TopicError):
            topics.parse(bad)
