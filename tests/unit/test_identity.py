"""What a scanned text is: the order of the tests, layouts, phones, blind index, masks and levels."""

import json
from pathlib import Path

import pytest

from agent.domain.check_digits import damm_holds, luhn_digit, luhn_holds, verhoeff_holds
from agent.domain.identity import (
    AuthLevel,
    CardLayout,
    Classified,
    IndexKind,
    Kind,
    PaymentRule,
    blind_index,
    classify,
    earn_only,
    layout_problems,
    mask_card,
    mask_member,
    mask_name,
    mask_phone,
    mask_plate,
    normalise_phone,
    normalise_plate,
    strength,
    stronger,
    text_digest,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "member_code.json").read_text(encoding="utf-8"))
PLAIN = [code for code in VECTORS["codes"] if not code["text"].startswith("FM1:")]
INDEX_KEY = bytes(range(32))


@pytest.mark.parametrize("code", PLAIN, ids=[code["name"] for code in PLAIN])
def test_vector_texts_that_are_no_token(code):
    """Every vector text outside FM1 gets the outcome of its vector."""
    assert classify(code["text"]).kind.value == code["expect"]["outcome"]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("100000000000000000", Kind.PAYMENT_CODE, None),
        ("159999999999999999", Kind.PAYMENT_CODE, None),
        ("161234567890123456", Kind.NOT_A_MEMBER_CODE, None),
        ("2512345678901234", Kind.PAYMENT_CODE, None),
        ("301234567890123456789012", Kind.PAYMENT_CODE, None),
        ("251234567890123", Kind.NOT_A_MEMBER_CODE, None),
        ("]Q1134651829037465120\r\n", Kind.PAYMENT_CODE, None),
        ("9156000012345677  \r\n", Kind.CARD_NUMBER, "9156000012345677"),
        ("]C09156000012345677", Kind.CARD_NUMBER, "9156000012345677"),
        ("9165000012345677", Kind.CARD_NUMBER_TYPO, None),
        ("4111111111111112", Kind.NOT_A_MEMBER_CODE, None),
        ("FM1:ABC", Kind.MEMBER_TOKEN, "FM1:ABC"),
        ("]q1fm9:abc", Kind.UNSUPPORTED_VERSION, None),
        ("FMX:ABC", Kind.NOT_A_MEMBER_CODE, None),
        ("FP:3", Kind.POINT, "3"),
        ("]C0fp:12\r", Kind.POINT, "12"),
        ("FP:0", Kind.NOT_A_MEMBER_CODE, None),
        ("FP:03", Kind.NOT_A_MEMBER_CODE, None),
        ("FP:1000", Kind.NOT_A_MEMBER_CODE, None),
        ("FP:", Kind.NOT_A_MEMBER_CODE, None),
        ("cancel", Kind.CANCEL, None),
        ("CANCEL ME", Kind.NOT_A_MEMBER_CODE, None),
        (" CANCEL", Kind.NOT_A_MEMBER_CODE, None),
        ("FM1:\x1d", Kind.NOT_A_MEMBER_CODE, None),
        ("FM1:A\nB", Kind.NOT_A_MEMBER_CODE, None),
        ("１３４６５１８２９０３７４６５１２０", Kind.NOT_A_MEMBER_CODE, None),
        ("cancel\u0131", Kind.NOT_A_MEMBER_CODE, None),
        ("F" * 513, Kind.NOT_A_MEMBER_CODE, None),
        ("FM1:" + "A" * 508, Kind.MEMBER_TOKEN, "FM1:" + "A" * 508),
        ("FM1:" + "A" * 509, Kind.NOT_A_MEMBER_CODE, None),
        ("\ud800", Kind.NOT_A_MEMBER_CODE, None),
    ],
)
def test_classification_table(text, kind, value):
    """Cleaning, order and edges of each kind of text."""
    found = classify(text)
    assert (found.kind, found.value) == (kind, value)


def test_symbology_is_kept_and_decides_nothing():
    """The AIM id is reported and taken off once only."""
    assert classify("]Q1FP:3") == Classified(Kind.POINT, "3", "]Q1")
    assert classify("]Q1]Q1FP:3").kind is Kind.NOT_A_MEMBER_CODE


def test_classified_repr_shows_no_card_number():
    """A card number cannot reach a log by way of the repr."""
    assert "9156" not in repr(classify("9156000012345677"))


def test_layout_without_check_and_further_payment_schemes():
    """Layouts and payment rules are data."""
    layout = CardLayout("88", 10, "none")
    assert classify("8812345678", (layout,)).kind is Kind.CARD_NUMBER
    scheme = PaymentRule("other", "88", "88", (10,))
    assert classify("8812345678", (layout,), (scheme,)).kind is Kind.PAYMENT_CODE


@pytest.mark.parametrize(
    ("layout", "word"),
    [
        (CardLayout("13", 18, "luhn"), "wechat"),
        (CardLayout("1", 18, "luhn"), "wechat"),
        (CardLayout("1399", 18, "luhn"), "wechat"),
        (CardLayout("2", 20, "luhn"), "alipay"),
        (CardLayout("621", 19, "luhn"), "unionpay"),
        (CardLayout("9x", 16, "luhn"), "digits"),
        (CardLayout("9", 16, "crc"), "unknown"),
        (CardLayout("99", 2, "luhn"), "length"),
        (CardLayout("9", 33, "luhn"), "length"),
    ],
)
def test_bad_layouts_are_refused_at_load_time(layout, word):
    """A layout that meets payment codes, or is no layout, is a configuration error in words."""
    problems = layout_problems((layout,))
    assert len(problems) == 1
    assert word in problems[0]


def test_sound_layouts_have_no_problems_and_two_of_one_number_do():
    """Neighbouring prefixes are fine, overlapping ones are not."""
    assert (
        layout_problems((CardLayout("9", 16, "luhn"), CardLayout("16", 18, "none"), CardLayout("9", 15, "damm"))) == []
    )
    assert len(layout_problems((CardLayout("9", 16, "luhn"), CardLayout("91", 16, "damm")))) == 1


def test_check_digits():
    """Check values of Luhn, Damm and Verhoeff; Luhn misses 09 and 90."""
    assert luhn_digit("7992739871") == "3"
    assert luhn_digit("915600001234567") == "7"
    assert damm_holds("5724")
    assert not damm_holds("5274")
    assert verhoeff_holds("2363")
    assert not verhoeff_holds("3263")
    assert luhn_holds("9156000012345677")
    missed = "109" + luhn_digit("109")
    assert luhn_holds(missed)
    assert luhn_holds(missed.replace("09", "90"))


@pytest.mark.parametrize(
    "text",
    [
        "13812345678",
        "138 1234 5678",
        "138-1234-5678",
        "+86 138 1234 5678",
        "0086-13812345678",
        "8613812345678",
        "013812345678",
        "１３８１２３４５６７８",
        "+86 (138) 1234.5678",
    ],
)
def test_phones_that_are_one_number(text):
    """All ways of writing a mobile number give the same E.164."""
    assert normalise_phone(text) == "+8613812345678"


@pytest.mark.parametrize("text", ["19912345678", "14712345678", "17012345678"])
def test_new_ranges_are_valid(text):
    """Only 1[3-9] is checked: assigned ranges change."""
    assert normalise_phone(text) == "+86" + text


@pytest.mark.parametrize(
    "text",
    [
        "12812345678",
        "1381234567",
        "138123456789",
        "10649123456789",
        "02081234567",
        "4008001234",
        "138a2345678",
        "",
        "+",
        "13812345678+",
        "٠١٣٨١٢٣٤٥٦٧٨",
        "+85298765432",
        "1" * 1000,
    ],
)
def test_texts_that_are_no_phone(text):
    """Anything else is INVALID_PHONE."""
    assert normalise_phone(text) is None


def test_other_countries_need_a_plus_and_a_setting():
    """A foreign number counts only with its country code listed."""
    assert normalise_phone("+852 9876 5432", {"852"}) == "+85298765432"
    assert normalise_phone("85298765432", {"852"}) is None
    assert normalise_phone("+852 98", {"852"}) is None
    assert normalise_phone("+86 20 8123 4567", {"86"}) is None


@pytest.mark.parametrize(
    ("kind", "value", "index"),
    [
        (IndexKind.PHONE, "+8613812345678", "74BECD2453193CB138216A722DD3F9AF"),
        (IndexKind.PHONE, "+8619912345678", "7E5CDEDA7DC2945DA3A5DDA4453906FA"),
        (IndexKind.CARD, "9156000012345677", "606C77A7AD2DBB64FBFBFF84D4B2684C"),
        (IndexKind.UID, "04DE5F1EACC040", "0ABE623BADB96718AADFC4A456B2A17C"),
        (IndexKind.PLATE, "粤B12345", "80145293F9DB2EA366C6EB134F87E63E"),
    ],
)
def test_blind_index_check_values(kind, value, index):
    """The keyed index gives the sheet's values, and the kind is part of it."""
    assert blind_index(INDEX_KEY, kind, value).hex().upper() == index


def test_blind_index_uses_the_function_passed_in_and_refuses_short_keys():
    """Crypto comes in as a function; a short key is a clear error."""
    seen = []

    def mac(key: bytes, message: bytes) -> bytes:
        seen.append((key, message))
        return bytes(32)

    assert blind_index(INDEX_KEY, IndexKind.CARD, "12", mac) == bytes(16)
    assert seen == [(INDEX_KEY, b"fc-idx1|card|12")]
    with pytest.raises(ValueError, match="32 bytes"):
        blind_index(b"short", IndexKind.CARD, "12")


def test_plates_are_normalised_before_indexing():
    """Separators, case and full width do not make another plate."""
    assert normalise_plate("粤b·１２ 3-45") == "粤B12345"


def test_masks():
    """Masks show what the attendant reads aloud and never more."""
    assert mask_phone("+8613812345678") == "138****5678"
    assert mask_phone("+85298765123", {"852"}) == "+852****123"
    assert mask_phone("+85298765123") == "****"
    assert [mask_name(name) for name in ("张三", "张三丰", "欧阳小明", "Smith", "张", "", "Öz")] == [
        "张*",
        "张**",
        "欧**",
        "S**",
        "****",
        "****",
        "Ö**",
    ]
    assert mask_plate("粤B12345") == "粤B***45"
    assert mask_plate("粤B12") == "****"
    assert mask_card("9156000012345677") == "9156********5677"
    assert mask_card("12345678") == "****"
    assert mask_member("001620c519e2a71a") == "0016.."


def test_levels_in_order_of_strength():
    """In this order: sun = fm1_dynamic > fm1_printed > number = phone = uid > plate; only the first two may spend."""
    ranks = [strength(level) for level in AuthLevel]
    assert ranks == [3, 3, 2, 1, 1, 1, 0]
    assert [earn_only(level) for level in AuthLevel] == [False, False, True, True, True, True, True]
    assert stronger(AuthLevel.NUMBER, AuthLevel.SUN) is AuthLevel.SUN
    assert stronger(AuthLevel.SUN, AuthLevel.FM1_DYNAMIC) is AuthLevel.SUN
    assert stronger(AuthLevel.FM1_DYNAMIC, AuthLevel.UID) is AuthLevel.FM1_DYNAMIC


def test_digest_is_that_of_the_cleaned_text():
    """The same code with another terminator, case or AIM id has the same digest."""
    assert text_digest("]Q1fp:3\r\n") == text_digest("FP:3")
    assert text_digest("FP:3") != text_digest("FP:4")
    assert len(text_digest("\ud800会员卡")) == 64
