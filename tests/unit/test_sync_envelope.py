"""Envelopes and batches: exact bytes in, exact bytes out, sizes, and what is not an event at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sync import envelope as e
from sync import messages as m
from sync import notices as n
from sync.judging import Consistent, Refused, build_ack, judge_batch, listable, origin_defect
from sync.topics import StationTopic, parse, station_topic
from tests.support.sync_model import INCARNATION, INSTALL, STATION, TIME, ModelJournal, event_of, raw_record

SOURCE = e.station_source(STATION)


def _journal(count: int = 5) -> ModelJournal:
    journal = ModelJournal()
    for _ in range(count):
        journal.append("L")
    return journal


def _payload(batch: m.Batch) -> bytes:
    return e.encode_batch(batch, source=SOURCE, time=TIME)


def _rewritten(batch: m.Batch, **data: Any) -> bytes:
    """The payload of a batch with members of data replaced, as a foreign encoder would write it."""
    event = json.loads(_payload(batch))
    event["data"].update(data)
    return json.dumps(event, indent=1).encode()


def test_a_batch_is_one_cloud_event_with_the_records_bytes() -> None:
    """records[] holds exactly the canonical bytes; the envelope is CloudEvents 1.0 [W-03] [W-10]."""
    journal = _journal()
    payload = _payload(journal.batch("L", 2, 4))
    event = json.loads(payload)
    assert (event["specversion"], event["source"], event["type"]) == ("1.0", f"/stations/{STATION}", "fc.batch.v1")
    assert event["id"] == f"{INCARNATION}:L:2-4"
    assert b",".join(row.raw for row in journal.rows["L"][1:4]) in payload
    found, batch = e.decode_batch(payload)
    assert batch.records == tuple(row.raw for row in journal.rows["L"][1:4])
    assert (found.source, batch.first_seq, batch.last_seq, batch.payload_bytes) == (SOURCE, 2, 4, len(payload))


def test_slices_are_the_bytes_that_arrived() -> None:
    """White space, escapes and order inside a record survive, so head office hashes what was sent [W-03] [W-23]."""
    odd = ['{"seq": 2 , "a":"\\u00e9"}', "[1,\n2]", '"x]}"', "1.50", "true", "9" * 6_000, "[" * 3_000 + "]" * 3_000]
    head, tail = _payload(_journal().batch("L", 2, 2)).split(raw_record("L", 2))
    payload = head + " , ".join(odd).encode() + tail
    _, batch = e.decode_batch(payload)
    assert [raw.decode() for raw in batch.records] == odd


def test_the_hardest_batch_fits_its_size() -> None:
    """The bytes kept free for the envelope suffice for the longest names and 200 records [W-11]."""
    size = e.MAX_BATCH_RECORD_BYTES // 200 - 1
    records = tuple(b"1" * size for _ in range(200))
    batch = m.Batch("i" * 128, "0" * 32, "L", 2**53 - 300, bytes(32), records, bytes(32))
    payload = e.encode_batch(batch, source=e.station_source("s" * 32), time=TIME)
    assert 60_000 < len(payload) <= e.MAX_BATCH_PAYLOAD_BYTES
    with pytest.raises(e.EnvelopeError, match="too_large"):
        e.encode_batch(m.Batch("i", "0" * 32, "L", 1, bytes(32), (b"1" * 65_500,), bytes(32)), source=SOURCE, time=TIME)
    with pytest.raises(e.EnvelopeError, match="too_large"):
        _payload(m.Batch("i", "0" * 32, "L", 1, bytes(32), (b"1",) * 201, bytes(32)))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda p: b"\xff" + p, "not_json"),
        (lambda p: p[:-1], "not_json"),
        (lambda p: p + b"x", "not_json"),
        (lambda p: b"", "not_json"),
        (lambda p: b"[]", "not_json"),
        (lambda p: b"[" * 100_000, "not_json"),
        (lambda p: p.replace(b'"data":{', b'"data":{},"data":{'), "not_json"),
        (lambda p: p.replace(b'"1.0"', b'"0.3"'), "not_an_event"),
        (lambda p: p.replace(b"fc.batch.v1", b"fc.batch.v2"), "wrong_type"),
        (lambda p: p.replace(b'"stream":"L"', b'"stream":"X"'), "bad_data"),
        (lambda p: p.replace(b'"records":', b'"recards":'), "bad_data"),
        (lambda p: p.replace(b'"first_seq":1', b'"first_seq":1.0'), "bad_data"),
        (lambda p: p.replace(b'"data":', b'"fcenc":"zstd","data":'), "encoding"),
        (lambda p: p + b" " * e.MAX_PAYLOAD_BYTES, "too_large"),
    ],
)
def test_what_is_not_a_batch_is_not_answered(change: Any, code: str) -> None:
    """Not JSON, another type, an unannounced packing or over 1 MiB: one clear error, never another [W-10] [W-20]."""
    with pytest.raises(e.EnvelopeError) as caught:
        e.decode_batch(change(_payload(_journal().batch("L", 1, 3))))
    assert caught.value.code == code


def test_a_contradicting_batch_is_refused_by_name() -> None:
    """Each kind of contradiction has its closed refusal code [W-20] [W-21]."""
    journal = _journal()
    batch = journal.batch("L", 1, 3)
    assert batch.last_hash is not None
    raws = [json.loads(raw) for raw in batch.records]

    def judged(**data: Any) -> object:
        return judge_batch(e.decode_batch(_rewritten(batch, **data))[1])

    assert judged(records=[]) == Refused("empty")
    assert judged(records=[1] * 201) == Refused("too_many")
    assert judged(first_seq=2) == Refused("not_consecutive")
    assert judged(first_seq=0) == Refused("not_consecutive")
    assert judged(records=[raws[0], raws[2]]) == Refused("not_consecutive")
    assert judged(records=[raws[0], 7]) == Refused("not_consecutive")
    assert judge_batch(
        e.decode_batch(_payload(batch).replace(batch.last_hash.hex().encode(), b"0" * 64))[1]
    ) == Refused("bad_last_hash")
    assert judged(prev_hash=None, records=[]) == Refused("empty")
    assert judge_batch(e.decode_batch(_payload(batch) + b" " * 65_536)[1]) == Refused("too_large")
    assert {"empty", "too_many", "not_consecutive", "bad_last_hash", "too_large"} == set(m.REFUSED_CODES)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"7", "not_an_object"),
        (raw_record("L", 9), "wrong_seq"),
        (b'{"seq":2,"x":"' + b"x" * 16_384 + b'"}', "too_large"),
        (b'{"seq": 2}', "not_canonical"),
    ],
)
def test_a_single_bad_record_is_put_aside_at_its_place(raw: bytes, reason: str) -> None:
    """A batch of one record is never refused for its content: it chains and becomes a dead letter [W-20] [W-23]."""
    journal = _journal(1)
    journal.append("L", raw)
    judged = judge_batch(journal.batch("L", 2, 2))
    assert isinstance(judged, Consistent)
    assert judged.hashes == (journal.rows["L"][1].hash,)
    assert isinstance(judged.verdicts[0], m.Rejected)
    assert judged.verdicts[0].reason == reason


def test_one_bad_record_does_not_refuse_its_neighbours() -> None:
    """In a longer batch a record that still carries its seq is put aside and the rest is taken [W-23]."""
    journal = _journal(1)
    journal.append("L", b'{"seq": 2}')
    journal.append("L", b'{"x":' + b"[" * 4_000 + b"]" * 4_000 + b"}")
    journal.append("L")
    judged = judge_batch(journal.batch("L", 1, 4))
    assert isinstance(judged, Consistent)
    assert [type(verdict) for verdict in judged.verdicts] == [m.Accepted, m.Rejected, m.Rejected, m.Accepted]
    assert judged.hashes[-1] == journal.rows["L"][-1].hash


def test_origin_topic_and_stream_must_agree() -> None:
    """A batch from another source, shard or topic is not answered [W-20] [W-60]."""
    batch = _journal().batch("L", 1, 3)
    topic = parse(station_topic(STATION, "up/l"))
    other = parse(station_topic(STATION, "up/a"))
    wrong = parse(station_topic(STATION, "up/l").replace("/57/", "/1/"))
    assert isinstance(topic, StationTopic)
    assert isinstance(other, StationTopic)
    assert isinstance(wrong, StationTopic)
    assert origin_defect(topic, event_of(SOURCE), batch) is None
    assert origin_defect(topic, event_of("/stations/other"), batch) == "wrong_source"
    assert origin_defect(other, event_of(SOURCE), batch) == "wrong_topic"
    assert origin_defect(wrong, event_of(SOURCE), batch) == "wrong_shard"


def test_an_ack_lists_dead_letters_oldest_first_and_never_passes_an_unlisted_one() -> None:
    """At most 500 dead letters; cum stops before the first that is not listed [W-21]."""
    dead = [m.DeadLetter(seq, "bad_data") for seq in range(10, 1_000, 2)]
    assert listable(dead, 2_000) == (2_000, tuple(dead[:500]))
    more = [m.DeadLetter(seq, "bad_data") for seq in range(1, 1_000)]
    assert listable(more, 2_000) == (500, tuple(more[:500]))


def test_beside_a_fork_an_ack_says_nothing_else() -> None:
    """A fork excludes gap and refused; refused includes gap [W-20] [W-21] [W-25]."""
    batch = _journal().batch("L", 1, 3)
    forked = build_ack(batch, cum=0, head_hash=bytes(32), credit=m.Credit(), gap=True, fork=True, refused="empty")
    refused = build_ack(batch, cum=0, head_hash=bytes(32), credit=m.Credit(), refused="empty")
    assert (forked.fork, forked.gap, forked.refused) == (True, False, None)
    assert (refused.fork, refused.gap, refused.refused) == (False, True, "empty")


MESSAGES: list[m.Message] = [
    _journal().hello(),
    m.Hello(INCARNATION, INSTALL, "s", 1, "b", 1, TIME, "rtc", _journal().heads(), m.RulesRef(3, bytes(32)), 7),
    m.Welcome(
        INSTALL,
        3,
        INCARNATION,
        TIME,
        {name: m.StreamWelcome(1, bytes(32), False) for name in m.STREAMS},
        nozzles=(m.NozzleEnd(1, 2, "0:77"), m.NozzleEnd(1, 3, None)),
        fenced=True,
    ),
    m.Ack(
        INSTALL,
        INCARNATION,
        "T",
        9,
        bytes(32),
        m.Credit(2, 50, 9),
        (m.DeadLetter(4, "overlap", (("0:1", "0:2"),)),),
        True,
    ),
    n.State(False, "lost", INSTALL, INCARNATION, 4, TIME),
    n.HoState(True, TIME),
    n.Req("r1", "members", {"have_op": 3}),
    n.Res("r1", "refused", "too_far_behind", {}),
    n.Head("a.b.c"),
    n.Command("a.b.c"),
    n.Result("c1", "done", None, {"n": 1}),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.TYPE)
def test_every_message_comes_back_as_it_was(message: m.Message) -> None:
    """Messages round-trip; unknown extra members are ignored, a missing one is an error [W-10] [W-21] [W-22]."""
    payload = e.encode(message, source="/head-office", event_id="1", time=TIME)
    _, again = e.decode_as(payload, type(message))
    assert again == message
    data = message.to_data()
    assert type(message).from_data({**data, "novelty": 1}) == message
    for name in data:
        with pytest.raises(m.MessageError):
            type(message).from_data({other: value for other, value in data.items() if other != name})


def test_an_older_state_of_the_same_install_is_ignored() -> None:
    """Within one install and incarnation a lower connect_n never replaces a newer state [W-13] [W-33]."""
    new = n.State(True, "connected", INSTALL, INCARNATION, 5, TIME)
    old = n.State(False, "lost", INSTALL, INCARNATION, 4, TIME)
    other = n.State(False, "lost", "elsewhere", INCARNATION, 1, TIME)
    assert not old.supersedes(new)
    assert new.supersedes(old)
    assert other.supersedes(new)
    assert old.supersedes(None)
