"""Sentences for people about an evaluation, in Chinese and English: what each offer gave, or what was missing.

Knows the verdicts, decides nothing. Nothing accuses the customer.
"""

from __future__ import annotations

from agent.domain.rules.model import (
    AmountOff,
    BonusPoints,
    FixedPrice,
    GiftItem,
    Kind,
    Multiplier,
    Offer,
    Percent,
    PerLitre,
    SpendThreshold,
)
from agent.domain.rules.verdict import Code, Evaluation, OfferVerdict, Verdict

LANGUAGES = ("zh-CN", "en")

_TEXTS: dict[Code, tuple[str, str]] = {
    Code.NOT_MEMBER: ("仅限会员", "for members only"),
    Code.NOT_REQUESTED: ("未要求使用", "was not asked for"),
    Code.NOT_IN_AUDIENCE: ("不在活动对象内({detail})", "is for other customers ({detail})"),
    Code.WRONG_GRADE: ("不适用于该油品", "is for another grade"),
    Code.WRONG_STATION: ("不适用于本站", "is for another station"),
    Code.OUTSIDE_WINDOW: ("不在活动时段({detail})", "does not run at this time ({detail})"),
    Code.NOT_STARTED: ("活动{needed}开始", "starts on {needed}"),
    Code.ENDED: ("活动已于{needed}结束", "ended on {needed}"),
    Code.DAILY_LIMIT: ("已用{actual}次,上限{needed}次({detail})", "was used {actual} of {needed} times ({detail})"),
    Code.BUDGET_EXHAUSTED: ("活动预算不足", "has no budget left for it"),
    Code.LEASE_EXPIRED: ("活动额度已过期", "has an expired budget lease"),
    Code.OFFLINE_NOT_ALLOWED: ("离线时不可用", "cannot be given offline"),
    Code.GROUP_TAKEN: ("同组已享 {by}", "gave way to {by} of the same group"),
    Code.EXCLUDED_BY: ("与 {by} 不可同享", "cannot be combined with {by}"),
    Code.BEATEN_BY: ("另一组合更优惠:{by}", "saves less than {by}"),
    Code.COUPON_USED: ("优惠券已使用", "was already used"),
    Code.COUPON_EXPIRED: ("优惠券已过期", "has expired"),
    Code.COUPON_NOT_HOLDER: ("优惠券不属于该会员", "belongs to somebody else"),
    Code.TOO_LATE_FOR_ROLLBACK: ("提枪后不可改价", "came after the nozzle was lifted"),
    Code.POINTS_STEP: ("积分不足:需{needed},可用{actual}", "needs at least {needed} points, {actual} can be used"),
    Code.BALANCE_STALE: ("离线时无法使用积分", "cannot use points while offline"),
    Code.HOLDOUT: ("本次未参与活动", "does not include this member"),
    Code.AUTH_TOO_WEAK: ("请出示动态会员码或会员卡", "needs a phone code or a card tap"),
}

_DETAILS = {
    "tier": "会员等级",
    "tag": "会员标签",
    "birthday": "生日",
    "first fill": "首次加油",
    "visits": "到店次数",
    "purpose": "非客户加油",
    "weekday": "星期",
    "time": "时段",
    "offer": "单笔上限",
    "share": "比例上限",
    "payable": "应付金额",
    "program": "总优惠上限",
    "MEMBER": "会员",
    "STATION": "本站",
    "DAY": "每日",
    "WEEK": "每周",
    "MONTH": "每月",
    "LIFE": "累计",
}
"""What a reason's detail is called in Chinese; a limit is named by two words, subject and window."""


def money(amount_minor: int, exponent: int) -> str:
    """Return an amount with its decimals, e.g. ``12.40`` for 1240 with exponent 2."""
    return decimal(amount_minor, exponent)


def decimal(value: int, places: int) -> str:
    """Return an integer of 10**-places units as a decimal text."""
    if places == 0:
        return str(value)
    whole, part = divmod(abs(value), 10**places)
    return f"{'-' if value < 0 else ''}{whole}.{part:0{places}d}"


def explain(evaluation: Evaluation, language: str) -> list[str]:
    """Return one sentence per offer and one on the sums; raises ValueError for a language other than LANGUAGES."""
    if language not in LANGUAGES:
        raise ValueError(f"no texts in {language!r}: use one of {', '.join(LANGUAGES)}")
    sentences = [line_text(evaluation, verdict, language) for verdict in evaluation.verdicts]
    exponent = evaluation.sale.exponent
    gross, off, net = (
        money(amount, exponent) for amount in (evaluation.gross_minor, evaluation.discount_minor, evaluation.net_minor)
    )
    points = evaluation.points_earned + evaluation.bonus_points
    if language == "en":
        sentences.append(f"Charged {gross}, off {off}, to pay {net}; {points} points earned.")
        if evaluation.greedy:
            sentences.append(
                f"Too many combinations: {evaluation.plans_compared} compared, the rest searched greedily."
            )
        if not evaluation.instant.lift_seen:
            sentences.append("The nozzle lift was not seen: the end of the sale decided which offers run.")
        return sentences
    sentences.append(f"应收 {gross},优惠 {off},实付 {net};获得 {points} 积分。")
    if evaluation.greedy:
        sentences.append(f"组合过多:已比较 {evaluation.plans_compared} 种,其余按贪心选择。")
    if not evaluation.instant.lift_seen:
        sentences.append("未检测到提枪:以加油结束时间判断活动。")
    return sentences


def line_text(evaluation: Evaluation, verdict: OfferVerdict, language: str) -> str:
    """Return the sentence on one offer, in one of LANGUAGES."""
    offer = evaluation.rules.offer(verdict.offer)
    english = language == "en"
    if verdict.verdict is Verdict.REJECTED:
        said = _refused(evaluation, offer, verdict, english)
    else:
        said = _given(evaluation, offer, verdict, english)
    return f"{offer.name}: {said}." if english else f"{offer.name}:{said}。"


def _given(evaluation: Evaluation, offer: Offer, verdict: OfferVerdict, english: bool) -> str:
    exponent = evaluation.sale.exponent
    if isinstance(offer.terms, GiftItem):
        return f"{offer.terms.quantity} x {offer.terms.item}"
    if isinstance(offer.terms, Multiplier):
        return (
            f"points x {decimal(offer.terms.factor_pct, 2)}"
            if english
            else f"积分 {decimal(offer.terms.factor_pct, 2)} 倍"
        )
    if offer.kind in (Kind.EARN, Kind.BONUS_POINTS):
        got, wanted = str(verdict.points), str(verdict.desired_points)
        said = f"{got} points" if english else f"{got} 积分"
    else:
        got, wanted = money(verdict.value_minor, exponent), money(verdict.desired_minor, exponent)
        said = f"{got} off" if english else f"优惠 {got}"
    if verdict.verdict is Verdict.CAPPED:
        detail = f" ({verdict.code}" + (
            f", {_detail(verdict.reason.detail, english)})" if verdict.reason.detail else ")"
        )
        said += f", capped from {wanted}{detail}" if english else f",原为 {wanted},已封顶{detail}"
    return said


def _refused(evaluation: Evaluation, offer: Offer, verdict: OfferVerdict, english: bool) -> str:
    reason, exponent = verdict.reason, evaluation.sale.exponent
    if reason.code is Code.THRESHOLD_NOT_MET:
        short, gift = money(reason.short or 0, exponent), _promise(offer, exponent, english)
        return f"{short} more gets {gift}" if english else f"再加 {short} 可享{gift}"
    if reason.code is Code.MIN_VOLUME:
        short, gift = decimal(reason.short or 0, 3), _promise(offer, exponent, english)
        return f"{short} L more gets {gift}" if english else f"再加 {short} 升可享{gift}"
    if reason.code in (Code.CAPPED_VOLUME, Code.CAPPED_AMOUNT, Code.CAPPED_MONTH):
        where = _detail(reason.detail, english)
        if reason.detail == "no value":
            return "gives nothing on this sale" if english else "本次无优惠"
        return f"its cap leaves nothing ({where})" if english else f"已达上限({where})"
    chinese, text = _TEXTS[reason.code]
    days = reason.code in (Code.NOT_STARTED, Code.ENDED)
    needed = _day(reason.needed) if days and reason.needed is not None else reason.needed
    return (text if english else chinese).format(
        needed=needed, actual=reason.actual, detail=_detail(reason.detail, english), by=reason.by or "-"
    )


def _detail(detail: str | None, english: bool) -> str:
    if detail is None or english:
        return detail or ""
    return _DETAILS.get(detail) or "".join(_DETAILS.get(word, word) for word in detail.split(" "))


def _day(yyyymmdd: int) -> str:
    return f"{yyyymmdd // 10_000:04d}-{yyyymmdd // 100 % 100:02d}-{yyyymmdd % 100:02d}"


def _promise(offer: Offer, exponent: int, english: bool) -> str:
    """What the customer would get, in a few words."""
    terms = offer.terms
    if isinstance(terms, SpendThreshold | AmountOff):
        return f"{money(terms.off_minor, exponent)} off" if english else f"减 {money(terms.off_minor, exponent)}"
    if isinstance(terms, Percent):
        return f"{decimal(terms.share_bp, 2)} % off" if english else f"减 {decimal(terms.share_bp, 2)} %"
    if isinstance(terms, PerLitre):
        return f"{decimal(terms.off_milli, 3)} off per litre" if english else f"每升减 {decimal(terms.off_milli, 3)}"
    if isinstance(terms, FixedPrice):
        return f"a price of {decimal(terms.price_milli, 3)}" if english else f"每升 {decimal(terms.price_milli, 3)}"
    if isinstance(terms, BonusPoints):
        return f"{terms.points} points" if english else f" {terms.points} 积分"
    if isinstance(terms, GiftItem):
        return f"{terms.quantity} x {terms.item}"
    return "it" if english else "该优惠"
