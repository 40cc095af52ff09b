"""What holds for every Two-Wire answer, every cut of the stream and every run of garbage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.dissection import Direction
from drivers.errors import FrameRejected
from drivers.gilbarco import codec
from drivers.gilbarco.codec import (
    Answer,
    Decoder,
    GradeTotals,
    Money,
    Nozzle,
    Reply,
    State,
    Status,
    Totals,
    Transaction,
)
from drivers.gilbarco.dissect import dissect
from drivers.simulator import gilbarco_words as words
from tests.support.examples import tries

DIGITS = {count: st.integers(0, 10**count - 1) for count in (4, 6, 8)}
STATES = [state for state in State if state is not State.SEND_DATA]


@dataclass(frozen=True)
class Told:
    """An answer, its form, and the bytes that a pump sends for it."""

    form: Reply
    answer: Answer
    raw: bytes


def _status(pump: int, state: State) -> Told:
    return Told(Reply.STATUS, Status(pump, state), words.status(state, pump))


def _sale(pump: int, values: tuple[int, int, int], grade: int, level: int) -> Told:
    price, volume, money = values
    raw = words.transaction(pump, grade=grade, level=level, unit_price=price, volume=volume, money=money)
    return Told(Reply.TRANSACTION, Transaction(pump, grade, level, price, volume, money), raw)


def _totals(rows: list[tuple[int, int, int, int, int]]) -> Told:
    return Told(Reply.TOTALS, Totals(tuple(GradeTotals(*row) for row in rows)), words.totals(rows))


rows = st.lists(
    st.tuples(st.integers(1, 10), DIGITS[8], DIGITS[8], DIGITS[4], DIGITS[4]),
    min_size=1,
    max_size=4,
    unique_by=lambda row: row[0],
)
told = st.one_of(
    st.builds(_status, st.integers(1, 16), st.sampled_from(STATES)),
    st.builds(
        _sale,
        st.integers(1, 16),
        st.tuples(DIGITS[4], DIGITS[6], DIGITS[6]),
        st.integers(1, 10),
        st.integers(1, 2),
    ),
    st.builds(_totals, rows),
    st.builds(lambda money: Told(Reply.MONEY, Money(money), words.digits(money, 6)), DIGITS[6]),
    st.builds(
        lambda out, number: Told(Reply.NOZZLE, Nozzle(out, number), words.nozzle(number, out=out)),
        st.booleans(),
        st.integers(0, 9),
    ),
)


def pump_of(one: Told) -> int:
    """The pump that is asked: only some answers name it."""
    return one.answer.pump if isinstance(one.answer, Status | Transaction) else 1


@pytest.mark.proves("every-split", "gilbarco")
@settings(max_examples=tries(150), deadline=None)
@given(told, st.data())
def test_answers_survive_the_wire_however_it_is_cut(one: Told, data: st.DataObject) -> None:
    """What another hand has encoded comes back equal: whole, byte by byte, and in any portions, three times over."""
    stream = one.raw * 3
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    for portions in ([0, *cuts, len(stream)], list(range(len(stream) + 1))):
        decoder = Decoder(one.form, pump_of(one))
        found: list[Answer] = []
        for begin, end in pairwise(portions):
            found += decoder.feed(stream[begin:end])
        assert found == [one.answer] * 3
        assert decoder.rejected == {}
        assert not decoder.in_frame


@settings(max_examples=tries(100), deadline=None)
@given(told.filter(lambda one: one.form.size == 0), st.binary(max_size=40), st.binary(max_size=40))
def test_noise_around_a_framed_answer_hides_nothing(one: Told, before: bytes, after: bytes) -> None:
    """Bytes before and after leave the answer as it is; noise that begins like an answer may only add refusals."""
    found = Decoder(one.form, pump_of(one)).feed(before + one.raw + after)
    assert one.answer in found


@settings(max_examples=tries(150), deadline=None)
@given(st.sampled_from(list(Reply)), st.binary(max_size=700), st.integers(1, 16))
def test_garbage_is_dropped_and_never_raises(form: Reply, garbage: bytes, pump: int) -> None:
    """Whatever arrives, the decoder raises nothing and keeps little."""
    decoder = Decoder(form, pump)
    decoder.feed(garbage)
    assert len(decoder._buffer) <= codec.MAX_BLOCK
    decoder.silence()
    assert not decoder.in_frame


@settings(max_examples=tries(100), deadline=None)
@given(st.binary(max_size=80), st.integers(1, 16))
def test_parsers_raise_only_what_they_say(data: bytes, pump: int) -> None:
    """Any bytes are an answer or ``FrameRejected`` with what to do."""
    parsers: list[Callable[[bytes], object]] = [
        lambda raw: codec.parse_status(raw, pump),
        lambda raw: codec.parse_transaction(raw, pump),
        codec.parse_totals,
        codec.parse_money,
        codec.parse_nozzle,
    ]
    for parse in parsers:
        refused: FrameRejected | None = None
        try:
            parse(data)
        except FrameRejected as error:
            refused = error
        assert refused is None or (refused.reason and refused.hint)


@settings(max_examples=tries(60), deadline=None)
@given(st.sampled_from(sorted(codec.DIALECTS)), DIGITS[4], st.booleans(), st.integers(1, 2), st.integers(1, 10))
def test_both_hands_read_a_preset_alike(dialect: str, value: int, money: bool, level: int, grade: int) -> None:
    """What the driver builds, the independent pump reads as the same limit."""
    block = codec.preset_block(dialect, value, money=money, level=level, grade=grade)
    told = words.parse_block(block)
    assert told is not None
    assert (told.preset, told.is_money) == (value, money)
    price = words.parse_block(codec.price_block(level, grade, value))
    assert price is not None
    assert (price.level, price.grade, price.unit_price) == (level, grade, value)


@settings(max_examples=tries(50), deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=30), told.map(lambda one: one.raw)), max_size=5).map(b"".join))
def test_dissecting_loses_no_byte(data: bytes) -> None:
    """Pieces joined are the input, fields joined are their piece, whatever the bytes are and whoever sent them."""
    directions: tuple[Direction, ...] = (None, "to_device", "from_device")
    for direction in directions:
        pieces = dissect(data, direction)
        assert b"".join(piece.raw for piece in pieces) == data
        for piece in pieces:
            assert b"".join(entry.raw for entry in piece.fields) == piece.raw
