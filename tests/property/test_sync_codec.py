"""Any record comes back as it was; any bytes at all give our own errors and nothing else."""

from __future__ import annotations

import json
import re
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
from sync.plainrecords import HOT_TYPES, read_plain
from sync.records import Recognised
from sync.recordtypes import TYPES
from sync.shapes import (
    BOOT,
    CLOCK,
    COUNT,
    CURRENCY,
    DAY,
    HASH_HEX,
    MEMBER_ID,
    TOTALIZER,
    ULID,
    Int,
    Items,
    Members,
    OrNull,
    Shape,
    Text,
    Truth,
    Word,
)
from sync.shapes import TIME as TIME_FORM
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


plain = st.text("ab:,{}[]-0 ", max_size=3)
leaves = st.sampled_from(["1", "-7", "true", "null", "[]", "{}"]) | plain.map('"{}"'.format)


def as_object(members: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f'"{name}":{value}' for name, value in members) + "}"


objects = st.recursive(
    leaves,
    lambda inner: (
        st.lists(st.tuples(plain, inner), max_size=3).map(as_object)
        | st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]")
    ),
    max_leaves=8,
)


@FEW
@given(st.lists(st.tuples(plain, objects), max_size=4), st.booleans())
def test_plain_bytes_are_canonical_only_in_order_and_once(members: list[tuple[str, str]], in_order: bool) -> None:
    """Names in another order, a name that stands twice, at whatever depth: canonical exactly if RFC 8785 says so."""
    text = as_object(sorted(dict(members).items()) if in_order else members)
    verdict = m.check_record(text.encode(), 1, "L")
    assert isinstance(verdict, m.Rejected)
    assert (verdict.reason == "not_canonical") == (text.encode() != rfc8785.dumps(json.loads(text)))


@FEW
@given(st.lists(objects, min_size=1, max_size=4))
def test_a_record_is_judged_alike_read_with_its_batch_and_by_itself(items: list[str]) -> None:
    """What the slicer found in a record beside its bytes is what the judging finds in the bytes alone [W-20] [W-23]."""
    raws = tuple(
        item.encode() for item in [*items, "1.5", "-0", "9" * 17, '"\\u0061"', as_object([("b", "1"), ("a", "1")])]
    )
    event = json.dumps({"specversion": "1.0", "id": "x", "source": "/stations/S", "type": m.Batch.TYPE})
    named = {"install_id": INSTALL, "incarnation": INCARNATION, "stream": "L", "first_seq": 1}
    data = json.dumps(named)[:-1].encode() + b',"records":[' + b" , ".join(raws) + b"]}"
    batch = e.decode_batch(event[:-1].encode() + b',"data":' + data + b"}")[1]
    assert batch.records == raws
    for seq, (raw, value) in enumerate(zip(raws, batch.values, strict=True), 1):
        assert m.check_record(raw, seq, "L", value) == m.check_record(raw, seq, "L")


ends = st.sampled_from([0, 1, -1, 10**14, 10**15 - 1, -(10**15), SAFE, -SAFE])
odd: st.SearchStrategy[Any] = st.sampled_from(
    [SAFE + 1, -SAFE - 1, 1.0, True, None, "", "a" * 257, "\x7f", "\ue000", '"', "\\", "\n", "9:08", [], {}, [1]]
)
forms = {
    ULID: st.integers(1, 99).map(ulid),
    TIME_FORM: st.sampled_from(
        [TIME, "2024-02-29T23:59:59.999Z", "2026-02-29T00:00:00.000Z", "0000-01-01T00:00:00.000Z"]
    ),
    TOTALIZER: st.sampled_from(["0:0", "1:9", "0:" + "9" * 19]),
    DAY: st.just("2026-01-01"),
    CURRENCY: st.just("CNY"),
    HASH_HEX: st.just("0a" * 32),
    MEMBER_ID: st.sampled_from(["a", "0f" * 32]),
}


def valued(shape: Shape) -> st.SearchStrategy[Any]:
    """Values of a shape, those at its ends among them."""
    match shape:
        case Text() if shape in forms:
            return forms[shape]
        case Text(low, high, _):
            short = st.text(st.characters(codec="utf-8"), min_size=low, max_size=min(high, low + 4))
            return short | st.sampled_from(["92" * max(1, low), "汽油", "x" * min(high, 300)])
        case Word(allowed):
            return st.sampled_from(allowed)
        case Int(low, high):
            return ends.map(lambda end: max(low, min(high, end)))
        case Truth():
            return st.booleans()
        case OrNull(of):
            return st.none() | valued(of)
        case Items(of):
            return st.lists(valued(of), max_size=2)
        case Members(required, optional):
            needed = {name: valued(of) for name, of in required.items()}
            return st.fixed_dictionaries(needed, optional={name: valued(of) for name, of in optional.items()})
    raise AssertionError(shape)


@st.composite
def hot_records(draw: st.DrawFn) -> tuple[bytes, int]:
    """A record of a hot type, sometimes with a strange value or member somewhere, or written in another way."""
    name = draw(st.sampled_from(HOT_TYPES))
    seq = draw(st.integers(1, 3) | ends.filter(lambda end: end > 0))
    time = draw(forms[TIME_FORM])
    record = {
        "seq": seq,
        "id": ulid(7),
        "type": name,
        "time": time,
        "boot": draw(valued(BOOT)),
        "mono_ms": draw(valued(COUNT)),
    }
    record |= {"clock": draw(valued(CLOCK)), "data": draw(valued(TYPES[name].data))}
    some = draw(st.sampled_from([record, record, record["data"]]))
    if draw(st.booleans()):
        some[draw(st.sampled_from([*some, "zz", "a"]))] = draw(odd)
    text = json.dumps(record, ensure_ascii=draw(st.integers(0, 5)) == 0, sort_keys=True, separators=(",", ":"))
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(text) - 1))
        text = (
            text[:place]
            + draw(st.sampled_from(["", " ", "0", '"', ",", "\\", "٣", "\n"]))
            + text[place + draw(st.integers(0, 1)) :]
        )
    return text.encode("utf-8", "replace"), seq


@FEW
@given(hot_records(), st.sampled_from("LLLA"), st.sampled_from([0, 0, 1]))
def test_what_is_recognised_at_one_look_is_judged_as_at_length(hot: tuple[bytes, int], stream: str, aside: int) -> None:
    """Whatever a record of the frequent types looks like, its verdict is that of the judging at length [W-23]."""
    raw, seq = hot
    found = read_plain(raw.decode(), 0)
    if found is not None and found[1] == len(raw.decode()):
        assert m.check_record(raw, seq + aside, stream, Recognised(found[0])) == m.check_record(
            raw, seq + aside, stream
        )
        assert isinstance(m.check_record(raw, found[0]["seq"], "L"), m.Accepted)


@FEW
@given(st.sampled_from(HOT_TYPES).flatmap(lambda name: st.tuples(st.just(name), valued(TYPES[name].data))))
def test_nearly_every_good_record_is_recognised(typed: tuple[str, dict[str, Any]]) -> None:
    """A record that our own end writes is recognised, unless a text needs an escape or a number has 16 digits."""
    name, data = typed
    raw = m.make_record(seq=9, id=ulid(9), type=name, time=TIME, boot="b", mono_ms=1, clock="ntp", data=data)
    if b"\\" not in raw and re.search(rb"[0-9]{16}(?![0-9a-f])[,}\]]", raw) is None:
        assert read_plain(raw.decode(), 0) == (json.loads(raw), len(raw.decode()))


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
