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
from agent.domain.rules.verdict import Code, Evaluation, OfferVerdict, Reason, Verdict

LANGUAGES = ("zh-CN", "en")

_TEXTS: dict[Code, tuple[str, str]] = {
    Code.NOT_MEMBER: ("仅限会员", "for members only"),
    Code.NOT_REQUESTED: ("未要求使用", "was not asked for"),
    Code.NOT_IN_AUDIENCE: ("不在活动对象内({detail})", "is for other customers ({detail})"),
    Code.WRONG_GRADE: ("不适用于该油品", "is for another grade"),
    Code.WRONG_STATION: ("不适用于本站", "is for another station"),
    Code.OUTSIDE_WINDOW: ("不在活动时段:{needed}起", "does not run now: it runs from {needed}"),
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
    Code.COUPON_EXPIRED: ("优惠券已于{needed}过期", "expired on {needed}"),
    Code.COUPON_NOT_HOLDER: ("优惠券不属于该会员", "belongs to somebody else"),
    Code.TOO_LATE_FOR_ROLLBACK: ("提枪后不可改价", "came after the nozzle was lifted"),
    Code.POINTS_STEP: ("积分不足:需{needed},可用{actual}", "needs at least {needed} points, {actual} can be used"),
    Code.BALANCE_STALE: ("离线时无法使用积分", "cannot use points while offline"),
    Code.HOLDOUT: ("本次未参与活动", "does not include this member"),
    Code.AUTH_TOO_WEAK: ("请出示动态会员码或会员卡", "needs a phone code or a card tap"),
}

_CHECKED_ONLINE = ("优惠券须联网核验", "is for coupons that head office must check first")
_RISK = (
    "未核验的优惠券最多 {needed},此券 {actual}",
    "is taken unchecked up to {needed}, this coupon is worth {actual}",
)
_NO_COUPON = ("未出示优惠券", "needs a coupon, none was presented")
_WEEKDAYS = (
    ("周一", "Monday"),
    ("周二", "Tuesday"),
    ("周三", "Wednesday"),
    ("周四", "Thursday"),
    ("周五", "Friday"),
    ("周六", "Saturday"),
    ("周日", "Sunday"),
)

_DETAILS = {
    "tier": "会员等级",
    "tag": "会员标签",
    "birthday": "生日",
    "first fill": "首次加油",
    "visits": "到店次数",
    "purpose": "非客户加油",
    "level sales": "该卡每日次数",
    "level volume": "该卡每日升数",
    "redeem day": "每日积分抵现",
    "staff cards": "员工卡",
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
    return [*sentences, *_sums(evaluation, 1 if language == "en" else 0)]


def _sums(evaluation: Evaluation, word: int) -> list[str]:
    """The sentences on the whole sale; ``word``: 0 Chinese, 1 English."""
    exponent = evaluation.sale.exponent
    gross, off, net, pumped = (
        money(amount, exponent)
        for amount in (
            evaluation.gross_minor,
            evaluation.discount_minor,
            evaluation.net_minor,
            evaluation.rollback_minor,
        )
    )
    points = evaluation.points_earned + evaluation.bonus_points
    said = [
        (
            f"应收 {gross},优惠 {off},实付 {net};获得 {points} 积分。",
            f"Charged {gross}, off {off}, to pay {net}; {points} points earned.",
        )
    ]
    if evaluation.rollback_minor:
        said.append(
            (f"油枪降价已省 {pumped},已含在应收中。", f"The lower price at the pump had saved {pumped} already.")
        )
    said += [
        (f"优惠券 {code} 不属于任何现行活动。", f"Coupon {code} is for no offer of these rules.")
        for code in evaluation.coupons_unknown
    ]
    if evaluation.greedy:
        compared = evaluation.plans_compared
        said.append(
            (
                f"组合过多:已比较 {compared} 种,其余按贪心选择。",
                f"Too many combinations: {compared} compared, the rest searched greedily.",
            )
        )
    if not evaluation.instant.lift_seen:
        said.append(
            (
                "未检测到提枪:以加油结束时间判断活动。",
                "The nozzle lift was not seen: the end of the sale decided which offers run.",
            )
        )
    return [pair[word] for pair in said]


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
    exponent, rollback = evaluation.sale.exponent, evaluation.sale.rollback
    if isinstance(offer.effect, GiftItem):
        return f"{offer.effect.quantity} x {offer.effect.item}" + _coupon(evaluation, offer, english)
    if isinstance(offer.effect, Multiplier):
        factor = decimal(offer.effect.factor_pct, 2)
        return f"points x {factor}" if english else f"积分 {factor} 倍"
    if rollback is not None and rollback.offer == offer.id:
        was, saved = decimal(rollback.list_price_milli, 3), money(verdict.value_minor, exponent)
        return f"{saved} saved at the pump, list price {was}" if english else f"油枪降价已省 {saved},原价 {was}"
    if offer.gives in (Kind.EARN, Kind.BONUS_POINTS):
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
    return said + _coupon(evaluation, offer, english)


def _coupon(evaluation: Evaluation, offer: Offer, english: bool) -> str:
    """Which coupon an offer used, and what stays on it."""
    for use in evaluation.coupons:
        if use.offer == offer.id:
            said = f", coupon {use.code}" if english else f",券 {use.code}"
            if use.left_minor is not None:
                left = money(use.left_minor, evaluation.sale.exponent)
                said += f", {left} stays on it" if english else f",券余 {left}"
            return said
    return ""


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
    pair = _TEXTS[reason.code]
    needed, actual = _compared(reason, exponent, english)
    if reason.code is Code.NOT_REQUESTED and offer.kind is Kind.COUPON:
        pair = _NO_COUPON
    elif reason.code is Code.OFFLINE_NOT_ALLOWED and offer.kind is Kind.COUPON and reason.by is None:
        pair = _RISK if reason.detail == "risk" else _CHECKED_ONLINE
    return pair[1 if english else 0].format(
        needed=needed, actual=actual, detail=_detail(reason.detail, english), by=reason.by or "-"
    )


def _compared(reason: Reason, exponent: int, english: bool) -> tuple[object, object]:
    """The two numbers of a reason as people write them."""
    needed, actual = reason.needed, reason.actual
    if needed is None:
        return needed, actual
    if reason.code in (Code.NOT_STARTED, Code.ENDED, Code.COUPON_EXPIRED):
        return _day(needed), actual
    if reason.code is Code.OUTSIDE_WINDOW:
        if reason.detail == "weekday":
            return _WEEKDAYS[needed][1 if english else 0], actual
        return f"{needed // 60:02d}:{needed % 60:02d}", actual
    if reason.detail == "risk":
        return money(needed, exponent), money(actual or 0, exponent)
    return needed, actual


def _detail(detail: str | None, english: bool) -> str:
    if detail is None or english:
        return detail or ""
    return _DETAILS.get(detail) or "".join(_DETAILS.get(word, word) for word in detail.split(" "))


def _day(yyyymmdd: int) -> str:
    return f"{yyyymmdd // 10_000:04d}-{yyyymmdd // 100 % 100:02d}-{yyyymmdd % 100:02d}"


def _promise(offer: Offer, exponent: int, english: bool) -> str:
    """What the customer would get, in a few words."""
    terms = offer.effect
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
    if isinstance(terms, Multiplier):
        factor = decimal(terms.factor_pct, 2)
        return f"points x {factor}" if english else f"积分 {factor} 倍"
    return "it" if english else "该优惠"
