"""Reads a rule document (the shape shared by JSON and TOML) into a RuleSet, or refuses it with every problem at once.

Knows no file, no signature and no clock. The reference of the document is docs/rules.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from agent.domain.member import AUTH_STRENGTH, UseWindow
from agent.domain.rules.checks import check_offers
from agent.domain.rules.contradictions import contradictions
from agent.domain.rules.fields import Fields, Problem, RuleSetError
from agent.domain.rules.model import (
    WEEKDAYS,
    AmountOff,
    Basis,
    Birthday,
    BonusPoints,
    Budget,
    BudgetMode,
    Caps,
    Checking,
    Combine,
    Conditions,
    Coupon,
    Downgrade,
    Earn,
    EarnBase,
    FixedPrice,
    GiftItem,
    Group,
    GroupMode,
    GrowthBase,
    GrowthWindow,
    Kind,
    Late,
    Limit,
    Multiplier,
    Offer,
    Percent,
    PerLitre,
    PointsAsMoney,
    Program,
    PumpRollback,
    ReversalPolicy,
    Rounding,
    RuleSet,
    Scope,
    SpendThreshold,
    Subject,
    Terms,
    Tier,
    TimeWindow,
    Trimmed,
)

IDENTIFIER = r"[a-z0-9][a-z0-9._-]{0,39}"
"""Ids of offers, tiers and groups: ASCII, because the hold-out hashes them."""

MAX_OFFERS = 500
"""Offers of one rule set: each is asked on every sale, and what a sale says of them is kept with it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse(document: Mapping[str, object], *, kept: bool = False) -> RuleSet:
    """Return the rule set a document describes.

    ``kept``: it was accepted before and has priced sales, so contradictions that are refused today do not matter.

    Raises RuleSetError with all problems: unknown keys, wrong types, kinds that do not exist, names that point nowhere,
    conditions that can never hold together, and tier lists of a discount that are not upward-closed.
    """
    problems: list[Problem] = []
    fields = Fields(document, "", problems)
    version = fields.integer("version", least=1)
    effective = _instant(fields, "effective_from")
    program = _program(fields.table("program"))
    tiers = tuple(_tier(table) for table in fields.tables("tier"))
    groups = tuple(_group(table) for table in fields.tables("group"))
    tables = fields.tables("offer")
    if len(tables) > MAX_OFFERS:
        fields.problem("offer", f"has {len(tables)} offers", f"keep at most {MAX_OFFERS}; end old ones")
    offers = [(table.path, _offer(table)) for table in tables[:MAX_OFFERS]]
    fields.finish()
    known = [(path, offer) for path, offer in offers if offer is not None]
    problems += check_offers(known, tiers, groups)
    if not kept:
        problems += [problem for path, offer in known for problem in contradictions(path, offer)]
    if problems:
        raise RuleSetError(tuple(problems))
    ordered = tuple(sorted((offer for _, offer in known), key=lambda offer: offer.order))
    return RuleSet(version, effective, program, tuple(sorted(tiers, key=lambda tier: tier.threshold)), groups, ordered)


def empty(currency: str, exponent: int) -> RuleSet:
    """Return the rule set of a station that never got one: version 0, no offers, no points."""
    program = {"currency": currency, "exponent": exponent}
    return replace(parse({"version": 1, "effective_from": "1970-01-01T00:00:00Z", "program": program}), version=0)


def _instant(fields: Fields, key: str) -> int:
    """Return Unix milliseconds of an RFC 3339 text with an offset."""
    text = fields.text(key)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        if text:
            fields.problem(key, f"is {text!r}", 'write a time with its offset, e.g. "2026-11-01T00:00:00+08:00"')
        return 0
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _program(fields: Fields) -> Program:
    program = Program(
        currency=fields.text("currency", pattern=r"[A-Z]{3}"),
        exponent=fields.integer("exponent", most=4),
        earn_rounding=fields.choice("earn_rounding", Rounding, Rounding.FLOOR),
        earn_base=fields.choice("earn_base", EarnBase, EarnBase.NET),
        validity_months=fields.optional_integer("validity_months", least=1, most=600),
        step_points=fields.integer("step_points", 100, least=1),
        step_minor=fields.integer("step_minor", 100, least=1),
        min_points=fields.integer("min_points", 0),
        combine=fields.choice("multipliers", Combine, Combine.ADDITIVE),
        multiplier_cap_pct=fields.optional_integer("multiplier_cap_pct", least=100, most=100_000),
        discount_cap_minor=fields.optional_integer("discount_cap_minor"),
        discount_cap_bp=fields.optional_integer("discount_cap_bp", most=10_000),
        pending_hours=fields.integer("pending_hours", 24, most=24 * 365),
        pending_weak_hours=fields.integer("pending_weak_hours", 48, most=24 * 365),
        growth_base=fields.choice("growth_base", GrowthBase, GrowthBase.NET),
        reversal=fields.choice("reversal", ReversalPolicy, ReversalPolicy.WITHIN_BALANCE),
        returned_lot_grace_days=fields.integer("returned_lot_grace_days", 30, most=3_650),
        growth_window=fields.choice("growth_window", GrowthWindow, GrowthWindow.ROLLING_MONTHS),
        growth_length=fields.integer("growth_length", 12, least=1, most=3_650),
        downgrade=fields.choice("downgrade", Downgrade, Downgrade.ONE_DOWN),
        downgrade_grace_days=fields.integer("downgrade_grace_days", 30, most=3_650),
    )
    if program.pending_weak_hours < program.pending_hours:
        fields.problem("pending_weak_hours", "is shorter than pending_hours", "a weak link never waits less")
    fields.finish()
    return program


def _tier(fields: Fields) -> Tier:
    tier = Tier(fields.text("id", pattern=IDENTIFIER), fields.text("name"), fields.integer("threshold"))
    fields.finish()
    return tier


def _group(fields: Fields) -> Group:
    group = Group(fields.text("id", pattern=IDENTIFIER), fields.choice("mode", GroupMode))
    fields.finish()
    return group


def _offer(fields: Fields) -> Offer | None:
    """Return an offer, or ``None`` where its kind is not known: the problem is noted."""
    kind = _kind(fields, "kind", tuple(_TERMS))
    if kind is None:
        return None
    offer_id = fields.text("id", pattern=IDENTIFIER)
    terms = _TERMS[kind](fields)
    gives = terms.gives if isinstance(terms, Coupon) else kind
    offer = Offer(
        id=offer_id,
        name=fields.text("name", offer_id),
        kind=kind,
        terms=terms,
        priority=fields.integer("priority", 100),
        group=fields.optional_text("group"),
        exclusive=fields.flag("exclusive"),
        joint=frozenset(fields.words("joint")),
        when=_conditions(fields.table("when")),
        caps=_caps(fields, points_offer=gives in (Kind.EARN, Kind.BONUS_POINTS)),
        budget=_budget(fields.table("budget")) if fields.has("budget") else None,
    )
    fields.finish()
    return offer


def _kind(fields: Fields, key: str, kinds: tuple[Kind, ...]) -> Kind | None:
    """Return one of some kinds, or ``None`` with the problem noted: nothing else of the table can be read then."""
    hint = f"use one of: {', '.join(sorted(kinds))}"
    if not fields.has(key):
        fields.problem(key, "is missing", hint)
        return None
    kind = fields.choice(key, Kind, Kind.EARN)
    if kind not in kinds and fields.text(key, "") == kind:
        fields.problem(key, f"is {kind}", hint)
    return kind if kind in kinds else None


def _earn(fields: Fields) -> Terms:
    per_minor, per_ml = fields.optional_integer("per_minor", least=1), fields.optional_integer("per_ml", least=1)
    if (per_minor is None) == (per_ml is None):
        fields.problem("per_minor", "must be given, or per_ml, not both", "say what one helping of points costs")
    return Earn(fields.integer("points", least=1), per_minor, per_ml)


def _threshold(fields: Fields) -> Terms:
    return SpendThreshold(
        fields.integer("off_minor", least=1),
        fields.integer("per_minor", least=1),
        fields.integer("repeat", 1, least=1),
        fields.choice("basis", Basis, Basis.GROSS),
    )


def _rollback(fields: Fields) -> Terms:
    off, price = fields.optional_integer("off_milli", least=1), fields.optional_integer("price_milli", least=1)
    if (off is None) == (price is None):
        fields.problem(
            "off_milli", "must be given, or price_milli, not both", "say how far the price goes down, or to what"
        )
    late = fields.choice("late", Late, Late.CONVERT)
    return PumpRollback(off, price, late) if (off is None) != (price is None) else PumpRollback(1, None, late)


def _coupon(fields: Fields) -> Terms:
    gives = _kind(fields, "gives", COUPON_GIVES)
    money = gives in COUPON_MONEY
    checking = fields.choice("checking", Checking, Checking.ONLINE_ONLY)
    risk_minor = fields.optional_integer("risk_up_to_minor", least=1)
    if (checking is Checking.OFFLINE_WITH_RISK) != (risk_minor is not None):
        hint = "say up to which value a coupon is taken unchecked; the other ways of checking take no risk"
        fields.problem("risk_up_to_minor", f"does not fit checking = {checking}", hint)
    if fields.has("trimmed") and gives is not None and not money:
        fields.problem("trimmed", f"has no meaning for {gives}", "it is given whole or not at all")
    trimmed = fields.choice("trimmed", Trimmed, Trimmed.SPEND)
    terms = AmountOff(1) if gives is None else _TERMS[gives](fields)
    return Coupon(Kind.AMOUNT_OFF if gives is None else gives, terms, checking, risk_minor or 0, trimmed)


COUPON_MONEY = (Kind.PER_LITRE, Kind.FIXED_PRICE, Kind.PERCENT, Kind.SPEND_THRESHOLD, Kind.AMOUNT_OFF)
COUPON_GIVES = (*COUPON_MONEY, Kind.GIFT_ITEM, Kind.BONUS_POINTS)
"""What a coupon may stand for."""

_TERMS: dict[Kind, Callable[[Fields], Terms]] = {
    Kind.PUMP_ROLLBACK: _rollback,
    Kind.COUPON: _coupon,
    Kind.PER_LITRE: lambda fields: PerLitre(fields.integer("off_milli", least=1)),
    Kind.FIXED_PRICE: lambda fields: FixedPrice(fields.integer("price_milli", least=1)),
    Kind.PERCENT: lambda fields: Percent(
        fields.integer("share_bp", least=1, most=10_000),
        fields.choice("basis", Basis, Basis.RUNNING),
        fields.choice("scope", Scope, Scope.ORDER),
    ),
    Kind.AMOUNT_OFF: lambda fields: AmountOff(fields.integer("off_minor", least=1)),
    Kind.SPEND_THRESHOLD: _threshold,
    Kind.POINTS_AS_MONEY: lambda fields: PointsAsMoney(fields.integer("share_bp", 10_000, least=1, most=10_000)),
    Kind.GIFT_ITEM: lambda fields: GiftItem(fields.text("item"), fields.integer("quantity", 1, least=1)),
    Kind.EARN: _earn,
    Kind.MULTIPLIER: lambda fields: Multiplier(fields.integer("factor_pct", least=1, most=100_000)),
    Kind.BONUS_POINTS: lambda fields: BonusPoints(fields.integer("points", least=1)),
}
"""How the keys of each kind are read."""


def _conditions(fields: Fields) -> Conditions:
    days = fields.words("weekdays")
    if not set(days) <= set(WEEKDAYS):
        fields.problem("weekdays", f"has {', '.join(sorted(set(days) - set(WEEKDAYS)))}", f"use {', '.join(WEEKDAYS)}")
    level = fields.optional_text("min_level")
    if level and level not in AUTH_STRENGTH:
        fields.problem("min_level", f"is {level!r}", f"use one of: {', '.join(AUTH_STRENGTH)}")
        level = None
    conditions = Conditions(
        anyone=fields.flag("anyone"),
        tiers=frozenset(fields.words("tiers")),
        tags=frozenset(fields.words("tags")),
        birthday=fields.choice("birthday", Birthday) if fields.has("birthday") else None,
        first_fill=fields.flag("first_fill"),
        visit_at=fields.optional_integer("visit_at", least=1),
        visit_every=fields.optional_integer("visit_every", least=1),
        visit_from=fields.optional_integer("visit_from", least=1),
        grades=frozenset(fields.words("grades")),
        product_groups=frozenset(fields.words("product_groups")),
        stations=frozenset(fields.words("stations")),
        weekdays=frozenset(WEEKDAYS.index(day) for day in days if day in WEEKDAYS),
        windows=tuple(_window(table) for table in fields.tables("window")),
        starts_on=fields.day("starts_on"),
        ends_on=fields.day("ends_on"),
        min_amount_minor=fields.optional_integer("min_amount_minor", least=1),
        min_volume_ml=fields.optional_integer("min_volume_ml", least=1),
        min_level=level,
        holdout_bp=fields.integer("holdout_bp", 0, most=10_000),
    )
    if conditions.starts_on and conditions.ends_on and conditions.ends_on < conditions.starts_on:
        fields.problem("ends_on", "is before starts_on", "the last day is inclusive")
    fields.finish()
    return conditions


def _window(fields: Fields) -> TimeWindow:
    window = TimeWindow(fields.minute("from"), fields.minute("to"))
    if window.start_min == window.end_min:
        fields.problem("to", "equals from", "leave the window out for the whole day")
    fields.finish()
    return window


def _caps(fields: Fields, *, points_offer: bool) -> Caps:
    table = fields.table("cap")
    if points_offer:
        caps = Caps(points=table.optional_integer("points", least=1))
    else:
        caps = Caps(
            amount_minor=table.optional_integer("amount_minor", least=1),
            volume_ml=table.optional_integer("volume_ml", least=1),
            share_bp=table.optional_integer("share_bp", least=1, most=10_000),
        )
    table.finish()
    limits = [_limit(limit, "points" if points_offer else "amount_minor") for limit in fields.tables("limit")]
    limits.sort(key=_limit_order)
    return Caps(caps.amount_minor, caps.volume_ml, caps.share_bp, caps.points, tuple(limits))


def _limit_order(limit: Limit) -> tuple[bool, str, str, int, int]:
    """The key that makes the order of the file irrelevant; months last, as their code stands in the list."""
    return (limit.window is UseWindow.MONTH, limit.subject, limit.window, limit.uses or 0, limit.amount or 0)


def _limit(fields: Fields, amount_key: str) -> Limit:
    uses, amount = fields.optional_integer("uses", least=1), fields.optional_integer(amount_key, least=1)
    if uses is None and amount is None:
        fields.problem("uses", f"is missing, and so is {amount_key}", "a limit says how often or how much")
    limit = Limit(fields.choice("per", Subject, Subject.MEMBER), fields.choice("window", UseWindow), uses, amount)
    fields.finish()
    return limit


def _budget(fields: Fields) -> Budget:
    budget = Budget(
        fields.text("campaign", pattern=IDENTIFIER), fields.choice("mode", BudgetMode, BudgetMode.ALL_OR_NOTHING)
    )
    fields.finish()
    return budget
