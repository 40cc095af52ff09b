"""The simulated tank gauge console against the published replies and the rules of the TLS sheet."""

from __future__ import annotations

import dataclasses
import json
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from drivers.simulator import tls_frames as tls
from drivers.simulator.config import ConsoleConfig, TankConfig
from drivers.simulator.faults import FaultBoard
from drivers.simulator.tank import Tank
from drivers.simulator.tls_console import Probe, TlsConsole

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "veeder_root.json").read_text(encoding="utf-8"))[
    "vectors"
]
REPLIES = [v for v in VECTORS if v["kind"] == "reply" and "error" not in v["expect"]]
COMMANDS = [v for v in VECTORS if v["kind"] == "command"]
NOT_KNOWN = b"\x019999FF1B\x03"
# 15:07 on the published day, the console keeping UTC
PUBLISHED = datetime(1996, 1, 22, 15, 7, tzinfo=UTC)
TANK = TankConfig(
    number=1,
    label="REGULAR UNLEADED",
    product_code="1",
    full_ml=9_728_000,
    start_ml=5_329_000,
    low_product_ml=1_000_000,
    delivery_needed_ml=1_500_000,
    high_product_ml=9_500_000,
    overfill_ml=9_300_000,
    max_volume_ml=9_600_000,
)


def console(*tanks: TankConfig, epoch: datetime = PUBLISHED, **settings: Any) -> TlsConsole:
    """A console over tanks (default: the published one)."""
    chosen = tanks or (TANK,)
    config = dataclasses.replace(ConsoleConfig(utc_offset_min=0), **settings)
    return TlsConsole(config, {t.number: Tank(t) for t in chosen}, FaultBoard(1), epoch=epoch)


def ask(made: TlsConsole, code: str) -> bytes:
    """One question with CR LF."""
    return made.receive(b"\x01" + code.encode() + b"\r\n")


def data(reply: bytes) -> str:
    """The data after echo and clock; the checksum must be right."""
    body, _, tail = reply.rpartition(b"&&")
    assert (sum(body + b"&&") + int(tail[:4], 16)) % 65_536 == 0
    assert reply.endswith(b"\x03")
    return body[17:].decode()


@pytest.mark.parametrize("vector", REPLIES, ids=lambda v: v["name"])
def test_published_replies_are_framed_identically(vector: dict[str, Any]) -> None:
    """Echo and data of every published reply, framed by the console's own encoder, give the published bytes."""
    raw = bytes.fromhex(vector["bytes"])
    echo, body = raw[1:7].decode(), raw[7 : raw.rindex(b"&&")].decode("latin-1")
    assert tls.reply(echo, body, raw[-1:].decode("latin-1")) == raw


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["kind"] == "float"], ids=lambda v: v["name"])
def test_published_floats_are_encoded_identically(vector: dict[str, Any]) -> None:
    """The float field of a published value."""
    expected = vector["expect"] if not isinstance(vector["expect"], dict) else None
    raw = vector.get("hex") or vector["name"].removeprefix("float-")
    if expected is None:
        assert struct.unpack(">f", bytes.fromhex(raw))[0] == float("inf")
    else:
        assert tls.float_field(expected) == raw


def test_clock_forms() -> None:
    """Ten digits in computer format, words in display format."""
    assert tls.clock_field(datetime(1996, 1, 22, 15, 6, tzinfo=UTC)) == "9601221506"
    assert tls.clock_words(datetime(1996, 1, 22, 15, 6, tzinfo=UTC)) == "JAN 22, 1996  3:06 PM"
    assert tls.clock_words(datetime(2026, 11, 21, 0, 5, tzinfo=UTC)) == "NOV 21, 2026 12:05 AM"


def test_inventory_record_of_the_published_values_is_byte_identical() -> None:
    """Volume 5329, TC 5413, height 48.97, temperature 37.39 in US units give the published 201 reply."""
    vector = next(v for v in REPLIES if v["expect"]["function"] == "201" and "5329" in json.dumps(v["expect"]))
    tank = vector["expect"]["tanks"][0]
    names = ("volume", "tc_volume", "ullage", "height", "water_height", "temperature", "water_volume")
    record = tls.inventory_record(1, tank["product_code"], tank["status"], [tank["fields"][name] for name in names])
    assert tls.reply("i20101", "9601221506" + record) == bytes.fromhex(vector["bytes"])


def test_limits_and_capacity_of_the_published_console_are_byte_identical() -> None:
    """604, 621 and 629 of a console with the published limits."""
    gallon = 3_785.411784
    tank = dataclasses.replace(
        TANK,
        full_ml=round(9_728 * gallon + 1),
        low_product_ml=round(1_000 * gallon + 1),
        delivery_needed_ml=round(1_500 * gallon + 1),
        start_ml=20_000_000,
    )
    for code, minute in (("604", 16), ("621", 18), ("629", 19)):
        made = console(tank, units=1, epoch=datetime(1996, 1, 22, 15, minute, tzinfo=UTC))
        want = next(v for v in REPLIES if v["expect"]["function"] == code)
        assert ask(made, f"i{code}01") == bytes.fromhex(want["bytes"])


def test_low_product_alarm_is_the_published_205_reply() -> None:
    """Tank 1 normal, tank 2 low."""
    low = dataclasses.replace(TANK, number=2, label="DIESEL", start_ml=900_000, delivery_needed_ml=800_000)
    want = next(v for v in REPLIES if v["name"] == "205-one-alarm")
    assert ask(console(TANK, low), "i20500") == bytes.fromhex(want["bytes"])


def test_labels_are_the_published_602_reply() -> None:
    """Twenty characters per label."""
    made = console(TANK, dataclasses.replace(TANK, number=2, label="DIESEL"), epoch=PUBLISHED.replace(minute=16))
    want = next(v for v in REPLIES if v["name"] == "602-two-labels")
    assert ask(made, "i60200") == bytes.fromhex(want["bytes"])


def test_alarm_report_keeps_ended_alarms_until_acknowledged() -> None:
    """101 shows what stood and nobody acknowledged; 205 only what stands."""
    made = console(dataclasses.replace(TANK, start_ml=900_000, delivery_needed_ml=800_000))
    made.step(0)
    made._tanks[1].volume_ml = 5_000_000
    made.step(1_000)
    assert data(ask(made, "i20500")) == "0100"
    assert data(ask(made, "i10100")) == "020501"
    made.acknowledge()
    assert data(ask(made, "i10100")) == "000000"


@pytest.mark.parametrize(("units", "digits"), [(1, "111"), (2, "215"), (3, "315")])
def test_units_are_told_by_517_and_505(units: int, digits: str) -> None:
    """Units and language."""
    made = console(units=units, language=15 if units > 1 else 11)
    assert data(ask(made, "i51700")) == digits
    assert data(ask(made, "i50500")) == f"{units}1"


def test_every_listed_function_answers_and_others_are_not_known() -> None:
    """The functions of the sheet give a good checksum; anything else gives 9999."""
    made = console()
    functions = (
        "101 201 202 20C 205 501 505 517 50E 601 602 603 604 607 609 610 621 622 623 624 625 626 627 628 629 902"
    )
    for function in functions.split():
        data(ask(made, f"i{function}00"))
    assert ask(made, "i77700") == NOT_KNOWN
    assert ask(made, "i20109") == NOT_KNOWN
    assert ask(made, "i201xx") == NOT_KNOWN


def test_set_functions_are_refused_and_logged() -> None:
    """A set function changes nothing and stands in the log for a test to find."""
    made = console()
    assert ask(made, "s501002601010000") == NOT_KNOWN
    assert made.log.names() == ["SET"]


def test_delivery_bit_and_record() -> None:
    """The bit stands while the tank rises and for the delay after; the record has ten floats."""
    made = console(delivery_delay_min=1)
    tank = made._tanks[1]
    made.step(0)
    assert data(ask(made, "i20101"))[3:7] == "0000"
    tank.delivering = True
    made.step(60_000)
    assert data(ask(made, "i20101"))[3:7] == "0001"
    tank.volume_ml += 2_000_000
    tank.delivering, tank.delivered_at_ms = False, 300_000
    made.step(300_000)
    assert data(ask(made, "i20101"))[3:7] == "0001"
    made.step(361_000)
    assert data(ask(made, "i20101"))[3:7] == "0000"
    record = data(ask(made, "i20201"))
    assert record.startswith("01101" + "9601221508" + "9601221512" + "0A")
    volumes = [struct.unpack(">f", bytes.fromhex(record[27 + 8 * n : 35 + 8 * n]))[0] for n in (0, 4)]
    assert volumes == [5_329.0, 7_329.0]


def test_security_code_silence_and_refusal() -> None:
    """With a code set anything else is silence; a code that is not wanted is not known."""
    coded = console(security_code="123456")
    assert ask(coded, "123456i20101").startswith(b"\x01i20101")
    assert ask(coded, "i20101") == b""
    assert ask(coded, "654321i20101") == b""
    assert ask(console(), "123456i20101") == NOT_KNOWN


@pytest.mark.parametrize("after", ["length", "CR", "LF"])
def test_question_ends_as_configured(after: str) -> None:
    """As soon as it is complete, or only at CR or LF; cut anywhere it is one question."""
    reader = tls.QuestionReader(answers_after=after)
    found = [len(reader.feed(bytes((byte,)))) for byte in b"\x01i20100\r\n"]
    assert found.index(1) == {"length": 6, "CR": 7, "LF": 8}[after]
    assert sum(found) == 1


def test_escape_abandons_a_question() -> None:
    """ESC forgets what has come so far."""
    reader = tls.QuestionReader()
    assert reader.feed(b"\x01i20\x1b100\r\n") == []
    assert [q.text for q in reader.feed(b"\x01i20500\r\n")] == ["i20500"]


@pytest.mark.parametrize("vector", [v for v in COMMANDS if v.get("bytes")], ids=lambda v: v["name"])
def test_published_questions_are_understood(vector: dict[str, Any]) -> None:
    """Every published question is one question with its function and tank."""
    code = vector["expect"].get("security_code", "")
    found = tls.QuestionReader(security_code=code).feed(bytes.fromhex(vector["bytes"]))
    assert [(q.function, int(q.device), q.code) for q in found] == [
        (vector["expect"]["function"], vector["expect"]["tank"], code)
    ]


@pytest.mark.parametrize("floats", [6, 7, 8])
def test_number_of_floats_is_as_configured(floats: int) -> None:
    """NN and the length of the record agree."""
    record = data(ask(console(floats=floats), "i20101"))
    assert (record[7:9], len(record)) == (f"{floats:02X}", 9 + 8 * floats)


def test_display_format_tells_the_same_tank_in_words() -> None:
    """Rows with six numbers at the right, status in words, lines ended by CR LF and six NULs."""
    made = console()
    shown = ask(made, "I20100")
    lines = [line.strip("\x00\r") for line in shown[1:-1].decode().split("\n")]
    assert [line.strip() for line in lines[:3]] == ["", "I20100", "JAN 22, 1996  3:07 PM"]
    row = next(line for line in lines if line.startswith("  1  REGULAR UNLEADED"))
    assert [float(word) for word in row.split()[-6:]][:3] == [5_329.0, 5_306.0, 4_399.0]
    assert "NORMAL" in ask(made, "I20500").decode()
    assert shown.count(b"\r\n" + bytes(6)) == len(lines) - 1


def test_console_without_computer_format_answers_9999_to_i() -> None:
    """Some servers speak the display format only."""
    made = console(computer_format=False)
    assert ask(made, "i20100") == NOT_KNOWN
    assert ask(made, "I20100").startswith(b"\x01\r\n")


def test_seven_bit_even_parity_sets_bit_seven() -> None:
    """Read as eight bits every byte has an even number of ones."""
    raw = ask(console(seven_bits_even_parity=True), "i51700")
    assert all(byte.bit_count() % 2 == 0 for byte in raw)
    assert bytes(b & 0x7F for b in raw) == ask(console(), "i51700")


def test_probe_of_a_tank_fits_its_geometry() -> None:
    """Half full is half the diameter, and height and volume are each other's inverse."""
    tank = Tank(TANK)
    assert abs(tank.height_um(TANK.full_ml // 2) - TANK.diameter_um // 2) <= 1
    for share in (1, 10, 33, 50, 77, 99):
        volume = TANK.full_ml * share // 100
        assert abs(tank.volume_at_ml(tank.height_um(volume)) - volume) < 20
    assert console().probe(1) == Probe(5_329_000, 4_000, 18_500)
