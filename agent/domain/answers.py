"""What the attendant sees and hears: one tone and one sentence per outcome, in the station's language.

Knows the wording only: no sale, no member. Masks and tiers come in as parameters. Nothing accuses the customer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Tone(StrEnum):
    """One tone per class of answer."""

    GOOD = "good"
    ASK = "ask"
    BAD = "bad"


class Outcome(StrEnum):
    """Every answer a scan, a tap on a tile or a correction can get."""

    LINKED = "LINKED"
    LINKED_MEMBER_UNKNOWN = "LINKED_MEMBER_UNKNOWN"
    LINKED_EARN_ONLY = "LINKED_EARN_ONLY"
    LINKED_AFTER_LOCK = "LINKED_AFTER_LOCK"
    WAITING_FOR_NOZZLE = "WAITING_FOR_NOZZLE"
    CHOOSE_POINT = "CHOOSE_POINT"
    FINISH_FIRST = "FINISH_FIRST"
    SCAN_NOW = "SCAN_NOW"
    MOVE_OFFER = "MOVE_OFFER"
    MOVED = "MOVED"
    REPEAT = "REPEAT"
    CANCELLED = "CANCELLED"
    NOTHING_TO_CANCEL = "NOTHING_TO_CANCEL"
    CORRECTED = "CORRECTED"
    REMOVED = "REMOVED"
    ALREADY_LINKED = "ALREADY_LINKED"
    POINT_TAKEN = "POINT_TAKEN"
    POINT_NOT_SERVED = "POINT_NOT_SERVED"
    READER_UNKNOWN = "READER_UNKNOWN"
    SALE_UNKNOWN = "SALE_UNKNOWN"
    SALE_GONE = "SALE_GONE"
    TOO_LATE = "TOO_LATE"
    REASON_MISSING = "REASON_MISSING"
    NOT_ALLOWED = "NOT_ALLOWED"
    CORRECTION_LIMIT = "CORRECTION_LIMIT"
    NOTHING_TO_CORRECT = "NOTHING_TO_CORRECT"
    CLAIMED = "CLAIMED"
    RELEASED = "RELEASED"
    NOT_CLAIMED = "NOT_CLAIMED"
    IN_USE = "IN_USE"
    BEING_PAID = "BEING_PAID"
    UNDONE = "UNDONE"
    EXPIRED = "EXPIRED"
    TTL_TOO_LONG = "TTL_TOO_LONG"
    REPLAYED = "REPLAYED"
    BAD_SIGNATURE = "BAD_SIGNATURE"
    MALFORMED = "MALFORMED"
    BAD_MAC = "BAD_MAC"
    KEY_REFUSED = "KEY_REFUSED"
    UNKNOWN_KEY = "UNKNOWN_KEY"
    UNKNOWN_CARD = "UNKNOWN_CARD"
    REVOKED = "REVOKED"
    KEY_NOT_VALID = "KEY_NOT_VALID"
    UID_MISMATCH = "UID_MISMATCH"
    COUNTER_REPLAYED = "COUNTER_REPLAYED"
    PAYMENT_CODE = "PAYMENT_CODE"
    BANK_CARD = "BANK_CARD"
    CARD_NUMBER_TYPO = "CARD_NUMBER_TYPO"
    NOT_A_MEMBER_CODE = "NOT_A_MEMBER_CODE"
    UNSUPPORTED_VERSION = "UNSUPPORTED_VERSION"
    SIGNED_IN = "SIGNED_IN"


@dataclass(frozen=True, slots=True)
class Wording:
    """One row of the table; ``{point}``, ``{mask}``, ``{tier}`` and ``{terminal}`` are filled in."""

    tone: Tone
    zh: str
    en: str


_G, _A, _B = Tone.GOOD, Tone.ASK, Tone.BAD
_INVALID = Wording(_B, "无效会员码", "Not a valid code")
_UNCHECKED = Wording(_A, "本站暂无法验证,请用手机号", "Cannot be checked here yet, use the phone number")
_WITHDRAWN = Wording(_B, "卡已停用", "Card withdrawn")
_REFUSED = Wording(_B, "此卡不可用,请联系站长", "Card refused, call the supervisor")

TABLE: Mapping[Outcome, Wording] = {
    Outcome.LINKED: Wording(_G, "已关联 {point}号枪 {mask} {tier}", "Point {point} linked: {mask} {tier}"),
    Outcome.LINKED_MEMBER_UNKNOWN: Wording(_G, "已关联,权益稍后到账", "Linked, benefits follow"),
    Outcome.LINKED_EARN_ONLY: Wording(_G, "已关联,不可兑换", "Linked, no redeeming"),
    Outcome.LINKED_AFTER_LOCK: Wording(_G, "已关联,仅可积分", "Linked, points only"),
    Outcome.WAITING_FOR_NOZZLE: Wording(
        _G, "{point}号枪 请提枪 {mask} {tier}", "Point {point}: lift the nozzle, {mask} {tier}"
    ),
    Outcome.CHOOSE_POINT: Wording(_A, "请选择油枪", "Choose a point"),
    Outcome.FINISH_FIRST: Wording(_A, "请先为上一位会员选择油枪", "Choose the point of the last code first"),
    Outcome.SCAN_NOW: Wording(_A, "请扫会员码", "Scan the member code"),
    Outcome.MOVE_OFFER: Wording(_A, "改到{point}号枪?再扫一次确认", "Move to point {point}? Scan again to confirm"),
    Outcome.MOVED: Wording(_G, "已改到{point}号枪", "Moved to point {point}"),
    Outcome.REPEAT: Wording(_G, "已关联,无需再扫", "Already linked"),
    Outcome.CANCELLED: Wording(_G, "已取消", "Cancelled"),
    Outcome.NOTHING_TO_CANCEL: Wording(_A, "没有可取消的扫码", "Nothing to cancel"),
    Outcome.CORRECTED: Wording(_G, "已更正 {mask} {tier}", "Corrected: {mask} {tier}"),
    Outcome.REMOVED: Wording(_G, "已解除关联", "Link removed"),
    Outcome.ALREADY_LINKED: Wording(_B, "该笔已关联 {mask}", "Already linked to {mask}"),
    Outcome.POINT_TAKEN: Wording(_B, "{point}号枪已占用", "Point {point} is taken"),
    Outcome.POINT_NOT_SERVED: Wording(_B, "此扫码器不服务{point}号枪", "This reader does not serve point {point}"),
    Outcome.READER_UNKNOWN: Wording(_B, "扫码器未配置", "This reader is not in the configuration"),
    Outcome.SALE_UNKNOWN: Wording(_B, "没有这笔交易", "No such sale here"),
    Outcome.SALE_GONE: Wording(_B, "该笔已结清或超时", "This sale is paid or its time is over"),
    Outcome.TOO_LATE: Wording(_B, "已超时,请联系站长", "Too late, call the supervisor"),
    Outcome.REASON_MISSING: Wording(_A, "请选择原因", "Give a reason"),
    Outcome.NOT_ALLOWED: Wording(_B, "请联系站长", "Call the supervisor"),
    Outcome.CORRECTION_LIMIT: Wording(_B, "已更正两次,请联系总部", "Corrected twice already: head office only"),
    Outcome.NOTHING_TO_CORRECT: Wording(_B, "该笔未关联会员", "This sale has no member"),
    Outcome.CLAIMED: Wording(_G, "{point}号枪 已占用", "Point {point}: yours"),
    Outcome.RELEASED: Wording(_G, "{point}号枪 已放开", "Point {point}: let go"),
    Outcome.NOT_CLAIMED: Wording(_A, "该笔无人占用", "Nobody has this sale"),
    Outcome.IN_USE: Wording(_B, "{terminal} 正在处理该笔", "In use at {terminal}"),
    Outcome.BEING_PAID: Wording(_B, "该笔正在付款 {terminal}", "This sale is being paid: {terminal}"),
    Outcome.UNDONE: Wording(_G, "{point}号枪 已撤销,请重新扫码", "Point {point} undone: scan a fresh code"),
    Outcome.EXPIRED: Wording(_B, "会员码已过期,请刷新", "Code expired, ask for a fresh one"),
    Outcome.TTL_TOO_LONG: Wording(_B, "会员码尚未生效,请刷新", "Code not valid yet, refresh"),
    Outcome.REPLAYED: Wording(_B, "会员码已使用,请刷新", "Code already used, refresh"),
    Outcome.BAD_SIGNATURE: _INVALID,
    Outcome.MALFORMED: _INVALID,
    Outcome.BAD_MAC: _INVALID,
    Outcome.KEY_REFUSED: _INVALID,
    Outcome.UNKNOWN_KEY: _UNCHECKED,
    Outcome.UNKNOWN_CARD: _UNCHECKED,
    Outcome.REVOKED: _WITHDRAWN,
    Outcome.KEY_NOT_VALID: _WITHDRAWN,
    Outcome.UID_MISMATCH: _REFUSED,
    Outcome.COUNTER_REPLAYED: _REFUSED,
    Outcome.PAYMENT_CODE: Wording(_B, "这是付款码,请出示会员码", "Payment code: ask for the member code"),
    Outcome.BANK_CARD: Wording(_B, "这是银行卡号", "Bank card number, not stored"),
    Outcome.CARD_NUMBER_TYPO: Wording(_B, "卡号有误,请重输", "Number mistyped"),
    Outcome.NOT_A_MEMBER_CODE: Wording(_B, "不是会员码", "Not a member code"),
    Outcome.UNSUPPORTED_VERSION: Wording(_A, "系统需升级", "Update needed"),
    Outcome.SIGNED_IN: Wording(_G, "已签到", "Signed in"),
}
"""One row per outcome; a table test holds it complete."""

LANGUAGES = ("zh-CN", "en")


def tone_of(outcome: Outcome) -> Tone:
    """Return the tone of an outcome."""
    return TABLE[outcome].tone


def sentence(
    outcome: Outcome,
    language: str,
    *,
    point: int | None = None,
    mask: str | None = None,
    tier: str | None = None,
    terminal: str | None = None,
) -> str:
    """Return the sentence for the attendant; what is not known is left out. ``language``: ``zh-CN``, else English."""
    wording = TABLE[outcome]
    pattern = wording.zh if language.startswith("zh") else wording.en
    named = {"mask": mask or "", "tier": tier or "", "terminal": terminal or ""}
    shown = pattern.format(point="?" if point is None else point, **named)
    return " ".join(shown.split()).rstrip(" :,")
