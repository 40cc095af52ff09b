"""Properties of classification, phones and redaction: nothing raises, nothing leaks."""

from hypothesis import given
from hypothesis import strategies as st

from agent.domain.check_digits import luhn_digit
from agent.domain.identity import (
    DEFAULT_LAYOUTS,
    PAYMENT_RULES,
    CardLayout,
    Kind,
    classify,
    layout_problems,
    mask_name,
    normalise_phone,
    text_digest,
)
from agent.domain.redaction import redact, redact_mapping

TEXTS = st.text(alphabet=st.characters(), max_size=600) | st.text(alphabet="0123456789FMP:CANEL]Q ", max_size=40)
DIGITS = st.text(alphabet="0123456789", min_size=1, max_size=30)


@given(TEXTS)
def test_no_text_raises(text):
    """Any text gets one kind, a digest and a redaction."""
    assert classify(text).kind in Kind
    assert len(text_digest(text)) == 64
    assert isinstance(redact(text), str)
    normalise_phone(text)
    mask_name(text)


@given(DIGITS)
def test_digits_keep_their_kind_behind_aim_ids_and_terminators(digits):
    """What stands around a number never changes what it is, and money never comes back as a value."""
    bare = classify(digits)
    dressed = classify(f"]C1{digits} \r\n")
    assert (bare.kind, bare.value) == (dressed.kind, dressed.value)
    if any(rule.matches(digits) for rule in PAYMENT_RULES):
        assert (bare.kind, bare.value) == (Kind.PAYMENT_CODE, None)


@given(st.text(alphabet="0123456789", min_size=1, max_size=6), st.integers(8, 24), st.data())
def test_a_layout_without_problems_holds_no_payment_code(prefix, length, data):
    """The load-time proof is a proof: no number of an accepted layout is ever a payment code."""
    layout = CardLayout(prefix, length, "none")
    if layout_problems((layout,)):
        return
    rest = data.draw(st.text(alphabet="0123456789", min_size=length - len(prefix), max_size=length - len(prefix)))
    assert classify(prefix + rest, (layout,)).kind is Kind.CARD_NUMBER


@given(st.text(alphabet="0123456789", min_size=14, max_size=14), st.integers(0, 14), st.integers(1, 9))
def test_one_wrong_digit_is_always_a_typo(middle, place, change):
    """Luhn sees every single wrong digit of a card number."""
    body = "9" + middle
    number = body + luhn_digit(body)
    wrong = number[: place + 1] + str((int(number[place + 1]) + change) % 10) + number[place + 2 :]
    assert classify(number, DEFAULT_LAYOUTS).kind is Kind.CARD_NUMBER
    assert classify(wrong, DEFAULT_LAYOUTS).kind is Kind.CARD_NUMBER_TYPO


@given(st.text(max_size=20), st.from_regex(r"\A1[3-9][0-9]{9}\Z"), st.text(max_size=20))
def test_a_phone_between_other_text_is_never_shown_whole(before, phone, after):
    """A mobile number set off by spaces loses its middle, whatever surrounds it."""
    assert phone not in redact(f"{before} {phone} {after}")


@given(
    st.recursive(
        TEXTS | st.integers() | st.none(), lambda inner: st.dictionaries(st.text(max_size=5), inner), max_leaves=9
    )
)
def test_redacting_twice_changes_nothing_more(value):
    """Redaction is stable: its output holds nothing that it would redact."""
    once = redact_mapping({"value": value})
    assert redact_mapping(once) == once
