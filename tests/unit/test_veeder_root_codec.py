"""Framing of TLS replies and the read-only rule of TLS questions."""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from typing import Any

import pytest

from drivers.errors import FrameRejected, WiringError
from drivers.veeder_root.codec import (
    MAX_REPLY_BYTES,
    MAX_STRAY_BYTES,
    TERMINATORS,
    Kind,
    Rejected,
    Reply,
    ReplyDecoder,
    checksum,
    encode,
)
from drivers.veeder_root.fields import Cutter, float32
from drivers.veeder_root.tables import INQUIRIES, alarm_text, parse, tank_alarm_number

FLOAT_ONE = "3F800000"


def new_decoder(**settings: Any) -> Any:
    return ReplyDecoder(**settings)


def parsed(code: str, data: str) -> Any:
    return parse(code, data)


def frame(body: str, end: bytes = b"\x03") -> bytes:
    raw = b"\x01" + body.encode("ascii") + b"&&"
    return raw + checksum(raw).encode("ascii") + end


def test_no_question_of_the_table_has_a_set_letter() -> None:
    """Over every function, device, format, terminator and allowed data the function letter is i or I."""
    data = {"211": "00000000", "20F": "0026110100002611212359050", "C01": "1231"}
    for code, display, device in itertools.product(INQUIRIES, (False, True), range(100)):
        for terminator in TERMINATORS:
            question = encode(code, device, display=display, data=data.get(code, ""), terminator=terminator)
            assert question[1:2] == (b"I" if display else b"i")
            assert question[2:7] == f"{code}{device:02d}"[:5].encode()
            assert not re.search(rb"[sS]", question)


def test_no_function_of_the_table_is_a_set_or_action_code() -> None:
    """Codes that clear, acknowledge or reset are not in the table, and every code is three capitals or digits."""
    assert not {"001", "003", "051", "052", "053"} & set(INQUIRIES)
    assert all(re.fullmatch(r"[0-9A-F]{3}", code) and code >= "101" for code in INQUIRIES)


@pytest.mark.parametrize("data", ["S50100", "i50100", "\r\x01s50100", "0", "3f000000", "3F00000", "3F0000000"])
def test_question_data_that_does_not_fit_gives_no_byte(data: Any) -> None:
    """Data is exactly what the table allows for the function, so that no second command can ride on it."""
    for code in ("201", "211", "C01"):
        with pytest.raises(WiringError):
            encode(code, 1, data=data)


@pytest.mark.parametrize("device", [-1, 100, 1000])
def test_a_device_number_has_two_digits(device: Any) -> None:
    """A number outside 0..99 would shift the function and is refused."""
    with pytest.raises(WiringError):
        encode("201", device)


@pytest.mark.parametrize("code", ["12345", "1234567", "12345\x01", "12345\r", "Ünlock", "S50100", "s50100"])
def test_a_security_code_cannot_become_a_command(code: Any) -> None:
    """Six printable characters only, and none that a console without a code would read as a set function."""
    with pytest.raises(WiringError) as caught:
        encode("201", security_code=code)
    assert code not in str(caught.value)


def test_a_security_code_may_hold_spaces() -> None:
    """Spaces inside the six characters are sent as they are."""
    assert encode("201", security_code="12 4 6", terminator="") == b"\x0112 4 6i20100"


def test_the_checksum_is_compared_modulo_65536() -> None:
    """A frame whose bytes sum to a multiple of 65536 carries 0000 and is accepted."""
    body = "i60200" + "2611211530" + "01" + "z" * 20
    filler = ""
    while True:
        raw = f"\x01{body}{filler}&&".encode()
        missing = -sum(raw) % 0x10000
        if missing == 0:
            break
        filler += (
            "~" if missing > 2 * 0x7E else chr(missing) if missing <= 0x7E and missing > 0x1F else chr(missing // 2)
        )
    assert checksum(raw) == "0000"
    assert [event.kind for event in new_decoder().feed(raw + b"0000\x03")] == [Kind.COMPUTER]


def test_a_lower_case_checksum_is_accepted() -> None:
    """Other makers send lower-case hex digits."""
    data = frame("i50100" + "2611211530" * 2).replace(b"&&F", b"&&f").lower()
    (event,) = new_decoder().feed(data)
    assert event.kind is Kind.COMPUTER


@pytest.mark.parametrize("label", ["A&&B", "AT&&CAFE BAR", "&&&&&&", "FUEL&&0000", "ENDS WITH &&"])
def test_a_label_may_contain_ampersands(label: Any) -> None:
    """A pair of ampersands with hex-looking letters whose sum does not verify is data."""
    data = frame("i602002611211530" + "01" + label.ljust(20))
    (event,) = new_decoder().feed(data)
    assert parsed("602", event.data).records[0].text == label.ljust(20)


def test_a_new_soh_starts_over() -> None:
    """A frame cut in half by the next one is counted as truncated and the next one is used."""
    good = frame("i50100" + "2611211530" * 2)
    events = new_decoder().feed(good[:20] + good)
    assert events[0] == Rejected("truncated")
    assert isinstance(events[1], Reply)


def test_silence_inside_a_frame_truncates_it() -> None:
    """What came before the silence is refused, and a good frame after it is used."""
    good = frame("i50100" + "2611211530" * 2)
    decoder = new_decoder()
    assert decoder.feed(good[:20]) == []
    assert decoder.partial
    assert decoder.idle() == [Rejected("truncated")]
    assert not decoder.partial
    assert len(decoder.feed(good)) == 1


def test_silence_after_a_wrong_checksum_is_a_checksum_fault() -> None:
    """With a pair of ampersands and four digits in, it is the sum that is wrong and not the length."""
    decoder = new_decoder()
    assert decoder.feed(b"\x01i501002611211530&&0000") == []
    assert decoder.idle() == [Rejected("checksum")]


@pytest.mark.parametrize(
    "text", [b"\x019999FF1B\x03", b"\x019999&&FECF\x03", b"9999FF1B\r\n", b"9999FF1B\n", b"\r\n9999FF1B\r\n"]
)
def test_not_known_has_several_forms(text: Any) -> None:
    """With or without control characters and ampersands it is the same answer, at any cut."""
    for cut in range(len(text)):
        decoder = new_decoder()
        decoder.reset("i20100")
        events = decoder.feed(text[:cut]) + decoder.feed(text[cut:])
        assert [event.kind for event in events] == [Kind.NOT_KNOWN]


def test_not_known_without_any_end_is_recognised_after_silence() -> None:
    """A server that sends neither SOH nor line end is understood when it has stopped."""
    decoder = new_decoder()
    assert decoder.feed(b"9999FF1B") == []
    assert [event.kind for event in decoder.idle()] == [Kind.NOT_KNOWN]


def test_our_own_question_come_back_is_an_echo() -> None:
    """An echoing adapter is neither a display page nor an answer."""
    decoder = new_decoder()
    decoder.reset("i20100")
    assert decoder.feed(b"\x01i20100\r\n") == []
    assert decoder.idle() == [Rejected("echo")]


def test_a_reply_beyond_the_cap_is_dropped_once() -> None:
    """Memory stays bounded, one refusal is counted, and the next frame is used."""
    decoder = new_decoder()
    events = decoder.feed(b"\x01i20100" + b"0" * (MAX_REPLY_BYTES + 1000))
    assert events == [Rejected("too_long")]
    assert len(decoder.feed(frame("i50100" + "2611211530" * 2))) == 1


def test_stray_text_is_bounded() -> None:
    """Endless text without SOH is not collected."""
    decoder = new_decoder()
    decoder.feed(b"x" * (MAX_STRAY_BYTES * 2))
    assert len(decoder._stray) == MAX_STRAY_BYTES
    assert decoder.idle() == []


def test_the_echo_letter_may_have_either_case() -> None:
    """A console that answers i with I is still answering."""
    decoder = new_decoder()
    decoder.reset("i23102")
    (event,) = decoder.feed(frame("I23102" + "2611211530"))
    assert event.kind is Kind.COMPUTER


def test_an_end_of_message_made_of_line_ends_does_not_cut_pages() -> None:
    """Where the console's end characters also occur inside a page only silence ends it."""
    decoder = new_decoder(end_of_message=b"\r\n")
    assert decoder.feed(b"\x01\r\nI20100\r\n 1  SUPER  1 2 3 4 5 6\r\n") == []
    assert [event.kind for event in decoder.idle()] == [Kind.DISPLAY]


@pytest.mark.parametrize(
    ("function", "data"),
    [
        ("201", "2611211530011000007" + FLOAT_ONE * 6),  # one counted float is missing
        ("201", "26112115300110000" + "7" + FLOAT_ONE * 7),  # NN with one digit
        ("201", "26112115300A1000007" + FLOAT_ONE * 7),  # a letter in TT
        ("201", "26112115300110000G7" + FLOAT_ONE * 7),
        ("205", "26112115300102"),
        ("101", "26112115300204"),
        ("517", "2611211530415"),  # unit system 4
        ("517", "26112115302150"),  # something is left over
        ("602", "261121153001SHORT"),
        ("604", "261121153001+1234567"),
        ("211", "261121153001000" + "1" + FLOAT_ONE),  # half a pair
        ("501", "26112115"),
        ("501", "26112115XX2611211530"),
    ],
)
def test_a_record_that_does_not_fit_is_a_layout_error(function: Any, data: Any) -> None:
    """Nothing of such a frame is used, and the error names its reason."""
    with pytest.raises(FrameRejected) as caught:
        parsed(function, data)
    assert caught.value.reason == "layout"


def test_surplus_floats_are_kept_and_missing_ones_are_no_reading() -> None:
    """NN of an old console is 06, of a new one more than 07: the count decides."""
    six = parsed("201", "2611211530011000006" + FLOAT_ONE * 6).records[0]
    nine = parsed("201", "2611211530011000009" + FLOAT_ONE * 9).records[0]
    assert (six.value(5), six.value(6)) == (1, None)
    assert len(nine.values) == 9


def test_question_marks_are_no_reading() -> None:
    """One unreadable field is missing alone; an unreadable status or count ends the frame without a reading."""
    one = parsed("201", "2611211530011000001" + "????????").records[0]
    assert one.values == (None,)
    fill = parsed("201", "26112115300810000??" + "?" * 56).records[0]
    assert fill.status is None


def test_no_alarm_at_all_is_also_an_answer() -> None:
    """101 without any record means that nothing stands."""
    assert parsed("101", "2611211530").records == ()


def test_deliveries_of_several_tanks_continue_after_an_empty_one() -> None:
    """A tank without deliveries in the middle does not end the list."""
    record = "2611210900" + "2611210910" + "01" + FLOAT_ONE
    tanks = parsed("202", "2611211530" + "01100" + "02101" + record).records
    assert [(tank.tank, len(tank.records)) for tank in tanks] == [(1, 0), (2, 1)]


def test_a_short_last_record_of_standing_alarms_keeps_the_others() -> None:
    """Beyond the history depth the date is missing: reading stops there and keeps what came before."""
    records = parsed("113", "2611211530" + " " * 80 + "020005022611211015" + "01000100").records
    assert len(records) == 5


@pytest.mark.parametrize("digits", ["7F800000", "FF800000", "7FC00000", "7f800001", "????????"])
def test_what_is_not_a_number_is_no_reading(digits: Any) -> None:
    """Infinity, NaN and question marks are never zero."""
    assert float32(digits) is None


def test_negative_zero_and_subnormals_are_exact() -> None:
    """-0.0 is 0, the smallest number is not."""
    assert float32("80000000") == 0
    assert float32("00000001") == Fraction(1, 2**149)


def test_a_cutter_never_reads_past_the_end() -> None:
    """Cutting more than is left is a layout error."""
    with pytest.raises(FrameRejected):
        Cutter("123").take(4)


def test_alarm_words_are_found_in_both_directions() -> None:
    """Known alarms have words, unknown ones keep their numbers, display words map back."""
    assert alarm_text(2, 5) == "low_product_alarm"
    assert alarm_text(1, 4) == "battery_off"
    assert alarm_text(3, 3) == "liquid_sensor_fuel_alarm"
    assert alarm_text(2, 99) == "category_02_number_99"
    assert tank_alarm_number("HIGH-WATER WARNING") == 10
    assert tank_alarm_number("DELIVERY NEEDED") == 11
    assert tank_alarm_number("SOMETHING NEW") is None
