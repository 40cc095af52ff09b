"""The attendant's answers: complete, in both languages, with the tones of the table."""

import pytest

from agent.domain.answers import TABLE, Outcome, Tone, sentence, tone_of
from agent.domain.identity import Kind


def test_every_outcome_has_a_row_in_both_languages():
    """No outcome can be shown as an empty line."""
    assert set(TABLE) == set(Outcome)
    for outcome in Outcome:
        for language in ("zh-CN", "en"):
            assert sentence(outcome, language, point=3, mask="张**", tier="金卡").strip()


@pytest.mark.parametrize(
    ("outcome", "tone", "zh", "en"),
    [
        (Outcome.LINKED, Tone.GOOD, "已关联 3号枪 张** 金卡", "Point 3 linked: 张** 金卡"),
        (Outcome.ALREADY_LINKED, Tone.BAD, "该笔已关联 张**", "Already linked to 张**"),
        (Outcome.CHOOSE_POINT, Tone.ASK, "请选择油枪", "Choose a point"),
        (Outcome.REPEAT, Tone.GOOD, "已关联,无需再扫", "Already linked"),
        (Outcome.PAYMENT_CODE, Tone.BAD, "这是付款码,请出示会员码", "Payment code: ask for the member code"),
        (Outcome.UNSUPPORTED_VERSION, Tone.ASK, "系统需升级", "Update needed"),
        (Outcome.LINKED_AFTER_LOCK, Tone.GOOD, "已关联,仅可积分", "Linked, points only"),
        (
            Outcome.UNKNOWN_KEY,
            Tone.ASK,
            "本站暂无法验证,请用手机号",
            "Cannot be checked here yet, use the phone number",
        ),
    ],
)
def test_texts_and_tones_of_the_table(outcome, tone, zh, en):
    """Sentences and tones are those of the table."""
    assert tone_of(outcome) is tone
    assert sentence(outcome, "zh-CN", point=3, mask="张**", tier="金卡") == zh
    assert sentence(outcome, "en", point=3, mask="张**", tier="金卡") == en


def test_unknown_mask_and_tier_are_left_out():
    """A member without a cached mask leaves no gap, no None and no colon behind."""
    assert sentence(Outcome.LINKED, "en", point=3) == "Point 3 linked"
    assert sentence(Outcome.LINKED, "zh-CN", point=3) == "已关联 3号枪"


def test_every_refused_kind_of_text_has_an_answer():
    """What classification refuses, the attendant hears about under the same word."""
    refused = set(Kind) - {Kind.MEMBER_TOKEN, Kind.CARD_NUMBER, Kind.POINT, Kind.CANCEL}
    assert {Outcome(kind.value) for kind in refused} <= set(TABLE)
