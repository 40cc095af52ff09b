"""Every published example of Two-Wire, both ways, and what the codec refuses."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import FrameRejected
from drivers.gilbarco import codec
from drivers.gilbarco.codec import Command, Decoder, Money, Nozzle, Reply, State, Totals, Transaction

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent.parent / "vectors" / "gilbarco.json").read_text())
REPLIES = {item["name"]: item for item in VECTORS["replies"]}
BUILT = {
    "price-1.100-grade1": lambda: codec.price_block(1, 1, 1100),
    "extended-status": lambda: codec.NOZZLE_QUERY,
    "level-1": lambda: codec.level_block(1),
    "volume-preset-2000-level1-5digits": lambda: codec.preset_block("p5_level", 2000, money=False),
    "money-preset-20000-level1-5digits": lambda: codec.preset_block("p5_level", 20000, money=True),
    "money-preset-5000-nolevel-6digits": lambda: codec.preset_block("p6_plain", 5000, money=True),
}
WORDS = {
    "status-request-1": Command.STATUS,
    "authorise-1": Command.AUTHORISE,
    "data-next-1": Command.DATA_NEXT,
    "stop-1": Command.STOP,
    "transaction-request-1": Command.TRANSACTION,
    "totals-request-1": Command.TOTALS,
    "real-time-1": Command.MONEY,
}


def raw(name: str) -> bytes:
    """The bytes of a published reply."""
    return bytes.fromhex(REPLIES[name]["bytes"])


def recheck(block: bytes) -> bytes:
    """``block`` with its check word made right."""
    return block[:-2] + bytes((codec.lrc(block[:-2]),)) + block[-1:]


@pytest.mark.proves("vectors", "gilbarco")
@pytest.mark.parametrize("vector", VECTORS["words"], ids=lambda vector: str(vector["name"]))
def test_command_words(vector: dict[str, str]) -> None:
    """Every published word of a master is the one we send; all-stop is known and belongs to no pump."""
    expected = codec.word(WORDS[vector["name"]], 1) if vector["name"] in WORDS else codec.ALL_STOP
    assert expected.hex().upper() == vector["bytes"]


def test_pump_sixteen_is_nibble_zero() -> None:
    """In commands, in the status, and as 15 in the sale."""
    assert codec.word(Command.STATUS, 16) == b"\x00"
    assert codec.parse_status(b"\x60", 16).state is State.OFF
    with pytest.raises(FrameRejected, match="another pump"):
        codec.parse_status(b"\x6f", 16)
    sale = bytearray(raw("transaction-12.340"))
    sale[4] = 0xEF
    assert codec.parse_transaction(recheck(bytes(sale)), 16).pump == 16


@pytest.mark.proves("vectors", "gilbarco")
@pytest.mark.parametrize("vector", VECTORS["status"], ids=lambda vector: str(vector["bytes"]))
def test_status_words(vector: dict[str, Any]) -> None:
    """Every published status is told as pump and state."""
    status = codec.parse_status(bytes.fromhex(vector["bytes"]), vector["expected"]["pump"])
    assert {"pump": status.pump, "state": status.state.name} == vector["expected"]


@pytest.mark.parametrize("nibble", [2, 3, 4, 5, 0xE, 0xF])
def test_other_nibbles_are_no_status(nibble: int) -> None:
    """What the published table does not list is refused."""
    with pytest.raises(FrameRejected, match="no status"):
        codec.parse_status(bytes((nibble << 4 | 1,)), 1)


@pytest.mark.proves("vectors", "gilbarco")
@pytest.mark.parametrize("vector", VECTORS["checks"], ids=lambda vector: str(vector["name"]))
def test_check_and_length_words(vector: dict[str, Any]) -> None:
    """LRC and length words are computed as published."""
    if "lrc" in vector:
        assert f"{codec.lrc(bytes.fromhex(vector['bytes'])):02X}" == vector["lrc"]
    else:
        assert f"{codec.length_word(vector['total_words']):02X}" == vector["length_word"]


@pytest.mark.proves("vectors", "gilbarco")
@pytest.mark.parametrize("vector", VECTORS["host_blocks"], ids=lambda vector: str(vector["name"]))
def test_blocks_to_the_pump(vector: dict[str, Any]) -> None:
    """Every published block is built from its meaning, byte for byte."""
    assert BUILT[vector["name"]]().hex().upper() == vector["bytes"]


@pytest.mark.parametrize(
    ("dialect", "words", "length"),
    [
        ("p5_level", 13, 0xE5),
        ("p5_level_grade", 15, 0xE3),
        ("p5_plain", 12, 0xE6),
        ("p6_plain", 13, 0xE5),
        ("p6_level", 14, 0xE4),
        ("p6_level_grade", 16, 0xE2),
        ("p6_level_e3", 14, 0xE3),
        ("p6_level_grade_e3", 16, 0xE3),
    ],
)
def test_preset_dialects(dialect: str, words: int, length: int) -> None:
    """Each dialect has its words and its length word, also the one that breaks the rule; the check holds for all."""
    block = codec.preset_block(dialect, 12345, money=False, level=2, grade=3)
    assert (len(block), block[1]) == (words, length)
    assert block[-2] == codec.lrc(block[:-2])
    assert (b"\xf5" in block) is codec.DIALECTS[dialect].level
    assert (b"\xf6\xe2" in block) is codec.DIALECTS[dialect].grade
    assert b"\xf8\xe5\xe4\xe3\xe2\xe1" in block
    with pytest.raises(FrameRejected, match="does not fit"):
        codec.preset_block(dialect, 10 ** codec.DIALECTS[dialect].count, money=False)


@pytest.mark.proves("vectors", "gilbarco")
def test_replies() -> None:
    """Every published reply is told as its numbers."""
    for name in ("transaction-12.340", "transaction-level2"):
        expected = REPLIES[name]["expected"]
        assert asdict(codec.parse_transaction(raw(name), expected["pump"])) == expected
    totals = codec.parse_totals(raw("totals-one-grade"))
    assert [asdict(one) for one in totals.grades] == REPLIES["totals-one-grade"]["expected"]
    for name, told in (("extended-nozzle-1-up", Nozzle(True, 1)), ("extended-none-up", Nozzle(False, 0))):
        assert codec.parse_nozzle(raw(name)) == told
        assert REPLIES[name]["expected"] == {"nozzle_out": told.is_out, "nozzle": told.nozzle}
    assert codec.parse_money(raw("real-time-money")) == Money(REPLIES["real-time-money"]["expected"]["money"])
    assert len(REPLIES) == 6


@pytest.mark.proves("vectors", "gilbarco")
def test_every_frame_of_the_golden_session_is_understood() -> None:
    """Each reply of the session is one answer to the question before it."""
    forms = {0: Reply.STATUS, 4: Reply.TRANSACTION, 5: Reply.TOTALS, 6: Reply.MONEY}
    asked = Reply.STATUS
    answers: list[object] = []
    for step in VECTORS["sessions"][0]["steps"]:
        data = bytes.fromhex(step["bytes"])
        if step["from"] == "agent":
            asked = forms.get(data[0] >> 4, asked)
            continue
        (answer,) = Decoder(asked, 1).feed(data)
        answers.append(answer)
    assert [type(one).__name__ for one in answers].count("Status") == 5
    sale = answers[-1]
    assert isinstance(sale, Transaction)
    assert (sale.volume, sale.money, sale.unit_price) == (20000, 14500, 7250)
    start, end = [one.grades[0] for one in answers if isinstance(one, Totals)]
    assert (end.volume_total - start.volume_total, end.money_total - start.money_total) == (2000, 14500)


def test_the_same_byte_means_what_was_asked() -> None:
    """61 is OFF after a status question and no answer to any other."""
    assert Decoder(Reply.STATUS, 1).feed(b"\x61") == [codec.Status(1, State.OFF)]
    for form in (Reply.SEND_DATA, Reply.MONEY, Reply.TOTALS, Reply.NOZZLE):
        assert Decoder(form, 1).feed(b"\x61") == []
    assert Decoder(Reply.STATUS, 1).feed(b"\xd1") == []
    assert Decoder(Reply.SEND_DATA, 1).feed(b"\xd1") == [codec.Status(1, State.SEND_DATA)]


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (1, 0xF2, "layout"),
        (2, 0xF9, "layout"),
        (8, 0xE6, "layout"),
        (10, 0xE4, "layout"),
        (11, 0xF9, "layout"),
        (16, 0xE9, "layout"),
        (23, 0xEA, "layout"),
        (12, 0xEA, "digit"),
        (17, 0xD4, "digit"),
        (24, 0xFE, "digit"),
        (9, 0xF1, "layout"),
        (4, 0xE7, "other-pump"),
    ],
)
def test_a_sale_that_is_not_well_formed_is_refused(at: int, value: int, reason: str) -> None:
    """Even with a right check word: every control word has its place, digits are 0-9, the pump is the one asked."""
    sale = bytearray(raw("transaction-12.340"))
    sale[at] = value
    with pytest.raises(FrameRejected) as caught:
        codec.parse_transaction(recheck(bytes(sale)), 1)
    assert caught.value.reason == reason
    assert caught.value.hint


def test_wrong_check_words_are_refused() -> None:
    """One unit off in the check, or in any digit, and nothing counts."""
    for name, asked in (("transaction-12.340", Reply.TRANSACTION), ("totals-one-grade", Reply.TOTALS)):
        for at in range(1, len(raw(name)) - 3):
            damaged = bytearray(raw(name))
            damaged[at] ^= 0x01
            decoder = Decoder(asked, 1)
            assert decoder.feed(bytes(damaged)) == []
            assert sum(decoder.rejected.values()) >= 1


def test_totals_of_several_grades_are_found_by_their_digit() -> None:
    """The order on the wire is not the order of the grades."""
    one = raw("totals-one-grade")[1:31]
    second = b"\xf6\xe1" + one[2:3] + bytes(8 * [0xE3]) + one[11:]
    totals = codec.parse_totals(recheck(b"\xff" + second + one + b"\xfb\xe0\xf0"))
    found = totals.of(1), totals.of(2), totals.of(3)
    assert [None if grade is None else grade.volume_total for grade in found] == [1234567, 33333333, None]
    with pytest.raises(FrameRejected, match="twice"):
        codec.parse_totals(recheck(b"\xff" + one + one + b"\xfb\xe0\xf0"))
