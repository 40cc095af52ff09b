"""Frames of H-protocol, PD-3 and SENS: the worked examples, what is refused and why, and how a person sees them."""

from __future__ import annotations

import pytest

from drivers.dissection import Direction
from drivers.errors import FrameRejected
from drivers.h_protocol import codec as h
from drivers.h_protocol.dissect import KIT as H_KIT
from drivers.pd3 import codec as pd3
from drivers.pd3.dissect import KIT as PD3_KIT
from drivers.readings import TankReading
from drivers.sens import codec as sens
from drivers.sens.dissect import KIT as SENS_KIT
from tests.support.small_gauges import VECTORS, Stand, frame


def reason(error: pytest.ExceptionInfo[FrameRejected]) -> str:
    assert error.value.hint
    return error.value.reason


@pytest.mark.proves("vectors", "h-protocol")
def test_the_question_for_a_volume_is_that_of_the_example() -> None:
    """Two digits unless one is chosen; a number that does not fit is refused, never cut."""
    assert h.encode(h.Asks.VOLUME, 1) == frame("hproto-volume-request")
    assert h.encode(h.Asks.LEVEL, 7, 1) == b"$A7\r\n"
    for tank, digits in ((10, 1), (100, 2), (0, 2)):
        with pytest.raises(FrameRejected) as error:
            h.encode(h.Asks.VOLUME, tank, digits)
        assert reason(error) == "range"


@pytest.mark.proves("vectors", "h-protocol")
def test_a_reply_is_that_of_the_example() -> None:
    """Volume 12345, water 12, 21.5 degrees; the checksum leaves the separators out."""
    (reply,) = h.replies(frame("hproto-reply"))
    expected = VECTORS["hproto-reply"]["expect"]
    assert (reply.data, reply.water, reply.version, reply.error) == tuple(
        expected[key] for key in ("data", "water", "version", "error")
    )
    assert reply.temperature_tenths == int(expected["temperature"].replace(".", ""))
    assert int(reply.offset) == int(expected["offset"])
    assert (reply.check, reply.has_error) == (h.Check.WITHOUT, False)


def test_the_other_reading_of_the_checksum_is_accepted_and_told_apart() -> None:
    """With the five separators between the fields: it differs in one bit, whatever the fields are."""
    raw = frame("hproto-reply").replace(b"@16\r", b"@56\r")
    assert h.replies(raw)[0].check is h.Check.WITH
    assert h.checksums(raw[1:-4]) == ("16", "56")


@pytest.mark.proves("vectors", "h-protocol")
def test_a_reply_of_an_emulator_counts_only_where_the_station_said_so() -> None:
    """Its zeros mean nothing: no temperature, and no other field than the first may be anything else."""
    raw = frame("hproto-unchecked-zero")
    with pytest.raises(FrameRejected) as error:
        h.replies(raw)
    assert reason(error) == "unchecked"
    (reply,) = h.replies(raw, unchecked=True)
    assert (reply.data, reply.temperature_tenths, reply.check) == ("001234", None, h.Check.NONE)
    with pytest.raises(FrameRejected) as error:
        h.replies(raw.replace(b"1234@0", b"1234@7"), unchecked=True)
    assert reason(error) == "checksum"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"#012345@0012@+215@+000@10@0@17\r", "checksum"),
        (b"#012345@0012@+215@+000@10@0@1", "truncated"),
        (b"#012345@0012@+215@+000@10@16\r", "layout"),
        (b"#01x345@0012@+215@+000@10@0@16\r", "layout"),
        (b"hello\r", "noise"),
    ],
)
def test_what_is_no_reply_is_refused_with_its_reason(raw: bytes, why: str) -> None:
    """So that the counters say what is wrong with a line."""
    with pytest.raises(FrameRejected) as error:
        h.replies(raw)
    assert reason(error) == why


@pytest.mark.proves("vectors", "aoke-pd3")
def test_the_one_question_is_that_of_the_example() -> None:
    """All alarms of all tanks, with its CRC."""
    assert frame("pd3-request-all-alarms") == pd3.QUESTION


@pytest.mark.proves("vectors", "aoke-pd3")
@pytest.mark.parametrize("name", ["pd3-two-alarms", "pd3-no-alarm"])
def test_records_are_those_of_the_example(name: str) -> None:
    """Ten bytes each; none at all is an answer too."""
    (reply,) = pd3.replies(frame(name))
    told = [{"tank": record.tank, "time": record.time, "code": record.code} for record in reply.records]
    assert told == VECTORS[name]["expect"]["records"]
    assert {record.text for record in reply.records} <= {"high-water alarm"}


def test_records_of_nine_bytes_are_known_by_their_length_and_crc() -> None:
    """The year in one byte; the longer form is tried first."""
    raw = pd3.sealed(bytes.fromhex("010302 02050A060A1C01000E 01050A060A1D0B000F"))
    (reply,) = pd3.replies(raw)
    assert reply.stride == 9
    assert [record.time for record in reply.records] == ["2005-10-06T10:28:01", "2005-10-06T10:29:11"]


def test_a_time_that_is_no_date_is_shown_as_its_bytes() -> None:
    """The record itself is not thrown away, nor is a code that nobody knows."""
    (reply,) = pd3.replies(pd3.sealed(bytes.fromhex("010301 02 07D5 0D 20 0A1C01 0042")))
    (record,) = reply.records
    assert (record.time, record.is_dated, record.text) == ("07D50D200A1C01", False, "code 0042")


@pytest.mark.parametrize(("raw", "why"), [("0103020207D5", "crc"), ("010301", "crc"), ("FFFF", "noise")])
def test_bytes_without_a_right_crc_are_no_records(raw: str, why: str) -> None:
    """Not even where the count would fit."""
    with pytest.raises(FrameRejected) as error:
        pd3.replies(bytes.fromhex(raw))
    assert reason(error) == why


@pytest.mark.proves("vectors", "sens-pmp")
def test_question_and_parameter_are_those_of_the_examples() -> None:
    """The sum counts everything behind the first byte; three bytes are the upper part of a float."""
    assert sens.encode(1) == frame("sens-read-address-1")
    raw = frame("sens-parameter-temperature")
    assert (raw[0], sens.number(raw[1:])) == (sens.Parameter.TEMPERATURE, 21.5)
    assert sens.number(bytes(3)) == 0.0
    assert sens.number(bytes.fromhex("00807F")) is None


def test_unknown_parameters_are_skipped_and_missing_ones_are_not_told() -> None:
    """A missing value is unknown, never zero."""
    body = bytes.fromhex("01 02 00AC41 63 000000".replace(" ", ""))
    raw = b"\xb5\x01\x0d\x01" + body[1:]
    raw += bytes((sum(raw[1:]) & 0xFF,))
    (reply,) = sens.replies(raw)
    assert reply.value(sens.Parameter.TEMPERATURE) == 21.5
    assert reply.value(sens.Parameter.VOLUME) is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda raw: raw[:-1], "truncated"),
        (lambda raw: raw + b"\x00", "truncated"),
        (lambda raw: raw[:-1] + bytes((raw[-1] ^ 1,)), "checksum"),
        (lambda raw: b"\x00" + raw, "noise"),
    ],
)
def test_anything_but_a_whole_reply_is_refused(change: object, why: str) -> None:
    """A sum of eight bits is too weak to look for a reply inside other bytes."""
    raw = Stand("sens-pmp").gauge.receive(sens.encode(2))
    assert callable(change)
    with pytest.raises(FrameRejected) as error:
        sens.replies(change(raw))
    assert reason(error) == why


KITS = {"h-protocol": H_KIT, "aoke-pd3": PD3_KIT, "sens-pmp": SENS_KIT}


@pytest.mark.parametrize("protocol", KITS)
def test_both_sides_of_a_wire_are_told_apart_for_a_person(protocol: str) -> None:
    """Question, reply and noise between them, each a piece; the checksum of each frame is right."""
    stand = Stand(protocol)
    stand.tanks[2].water_um = 60_000
    stand.next(TankReading)
    kit = KITS[protocol]
    question = stand.port.sent[0][1]
    reply = stand.gauge.receive(question)
    pieces = kit.dissect(question + b"\xff" + reply, None)
    sides: list[Direction] = [piece.direction for piece in pieces]
    assert sides == ["to_device", None, "from_device"]
    assert pieces[2].check == "ok"
    assert pieces[2].confidence >= 60
    assert [piece.problem for piece in pieces if piece.direction] == ["", ""]
    assert kit.dissect(reply, "to_device")[0].problem


def test_a_person_sees_values_with_their_units() -> None:
    """Of each protocol one line."""
    (volume, told) = H_KIT.dissect(frame("hproto-volume-request") + frame("hproto-reply"), None)
    assert "volume" in volume.summary
    assert "volume 012345; water 0012; temperature +215" in told.summary
    (records,) = PD3_KIT.dissect(frame("pd3-two-alarms"), None)
    assert "tank 2; time 2005-10-06T10:28:01; code high-water alarm" in records.summary
    for kilograms, unit in ((False, "t/m3"), (True, "kg/m3")):
        raw = Stand("sens-pmp", kilograms=kilograms).gauge.receive(sens.encode(1))
        density = next(field for field in SENS_KIT.dissect(raw, None)[0].fields if field.name == "density")
        assert density.unit == unit


@pytest.mark.parametrize("protocol", KITS)
def test_the_questions_of_a_search_are_those_of_the_driver(protocol: str) -> None:
    """Nothing else is ever sent to find a gauge."""
    stand = Stand(protocol)
    for address in list(KITS[protocol].addresses)[:3]:
        for probe in KITS[protocol].probes(address or 1):
            stand.gauge.silence()
            stand.gauge.receive(probe)
    names = [entry.name for entry in stand.log.entries]
    assert names[0] == "INQUIRY"
    assert set(names) <= {"INQUIRY", "UNKNOWN"} if protocol == "h-protocol" else {"INQUIRY"}
