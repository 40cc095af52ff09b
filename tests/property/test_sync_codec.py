"""Any record comes back as it was; any bytes at all give our own errors and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from sync import envelope as e
from sync import messages as m
from sync import topics
from sync.group import MembersAnswer, MembersDelta, op_defect, read_document
from sync.judging import Consistent, judge_batch
from sync.notices import Req, Res, State
from tests.support.examples import tries
from tests.support.sync_model import INCARNATION, INSTALL, STATION, TIME, ulid

SAFE = 2**53 - 1
settings.register_profile("codec", max_examples=tries(60), deadline=None)
FEW = settings.get_profile("codec")
texts = st.text(st.characters(codec="utf-8"), max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE, SAFE) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
loose = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KINDS = [m.Hello, m.Welcome, m.Ack, State, Req, Res, MembersDelta]


@FEW
@given(st.dictionaries(texts, values, max_size=6), st.integers(1, SAFE), st.text("abc-", min_size=1, max_size=36))
def test_a_record_comes_back_as_it_was(data: dict[str, object], seq: int, boot: str) -> None:
    """make_record gives RFC 8785 bytes that check_record accepts as the same record [W-02] [W-04]."""
    raw = m.make_record(
        seq=seq, id=ulid(seq), type="fc.health.v1", time=TIME, boot=boot, mono_ms=seq, clock="floor", data=data
    )
    assert raw == rfc8785.dumps(json.loads(raw))
    record = m.Record(seq, ulid(seq), "fc.health.v1", TIME, boot, seq, "floor", data)
    assert m.check_record(raw, seq, "T") == m.Accepted(record, ())


@FEW
@given(st.dictionaries(texts, values, max_size=4), st.booleans())
def test_only_the_standard_form_counts_as_canonical(value: dict[str, Any], spaced: bool) -> None:
    """Whatever the content, bytes pass as canonical exactly if RFC 8785 would write them [W-04] [W-23]."""
    text = json.dumps(value, ensure_ascii=spaced, separators=(",", ":"))
    verdict = m.check_record(text.encode(), 1, "L")
    assert isinstance(verdict, m.Rejected)
    assert (verdict.reason == "not_canonical") == (text.encode() != rfc8785.dumps(value))


@FEW
@given(st.lists(values, min_size=1, max_size=8), st.integers(1, SAFE - 300))
def test_slices_survive_any_neighbours(records: list[object], first_seq: int) -> None:
    """The slices read from a batch are the bytes put in, whatever their content [W-03] [W-20]."""
    raws = tuple(json.dumps(record, ensure_ascii=False).encode() for record in records)
    hashes = m.chain(bytes(32), first_seq, raws)
    batch = m.Batch(INSTALL, INCARNATION, "L", first_seq, bytes(32), raws, hashes[-1])
    _, read = e.decode_batch(e.encode_batch(batch, source=e.station_source(STATION), time=TIME))
    assert read.records == raws
    judged = judge_batch(read)
    assert isinstance(judged, Consistent) == (len(raws) == 1)


def _outcome(read: Callable[[], object], ours: type[Exception]) -> str:
    """``read`` or ``refused``; any other exception escapes and fails the test."""
    try:
        read()
    except ours:
        return "refused"
    return "read"


@FEW
@given(st.one_of(st.binary(max_size=300), loose.map(lambda value: json.dumps(value).encode("utf-8", "replace"))))
def test_no_payload_raises_anything_but_our_errors(payload: bytes) -> None:
    """Hostile bytes give EnvelopeError, never a crash; check_record never raises at all [W-10] [W-20] [W-23]."""
    assert _outcome(lambda: e.decode(payload), e.EnvelopeError) == "refused"
    assert _outcome(lambda: e.decode_batch(payload), e.EnvelopeError) == "refused"
    assert isinstance(m.check_record(payload, 1, "L"), m.Rejected)


@FEW
@given(loose, st.sampled_from(KINDS))
def test_no_data_raises_anything_but_message_error(data: object, kind: type[m.Message]) -> None:
    """Hostile data give MessageError from every message class [W-10]."""
    event = {"specversion": "1.0", "id": "1", "source": "/x", "type": kind.TYPE, "data": data}
    payload = json.dumps(event).encode("utf-8", "replace")
    assert _outcome(lambda: e.decode_as(payload, kind), e.EnvelopeError) == "refused"
    assert _outcome(lambda: MembersAnswer.from_body(data), m.MessageError) == "refused"
    assert _outcome(lambda: read_document(data, bytes(32)), m.MessageError) == "refused"
    assert op_defect(data) is not None


@FEW
@given(st.text(max_size=80))
def test_no_topic_raises_anything_but_topic_error(topic: str) -> None:
    """Hostile topics give TopicError [W-60]."""
    for text in (topic, f"fc/v1/{topic}", f"fc/v1/57/s/{topic}", f"fc/v1/{topic}/s/SH-0421/up/l"):
        outcome = _outcome(lambda text=text: topics.parse(text), topics.TopicError)  # type: ignore[misc]
        assert outcome == "refused" or topic.isdigit()
