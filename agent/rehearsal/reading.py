"""What cases and scripts have in common: moments, days, sale lines, what was presented, members, counts already used.

Reads tables key by key and notes every problem with its place; evaluates nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent.domain.member import AUTH_STRENGTH, MemberFacts, UseCount, UseWindow, period_of
from agent.domain.rules.facts import Presented, PresentedCoupon, Purpose, RollbackGiven, SaleLine
from agent.domain.rules.fields import Fields
from agent.domain.rules.model import Kind, RuleSet, Subject
from agent.domain.units import MILLI_LITRES_TIMES_MILLI_PRICE, amount_of, half_up

DEFAULT_ZONE = "Asia/Shanghai"
DEFAULT_STATION = "SH-0001"
DEFAULT_MEMBER = "567014f1b3c2a9de"
MEMBER_ID = r"[0-9a-f]{16}"
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
KEY = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}"
MAX_LINES = 32
"""Lines of one sale: more than any till shows, few enough to explain."""

YEARS = range(1980, 2200)
"""Years of moments: all that a programme lives through, far from where calendars end."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENT_HINT = 'write "2026-11-21T16:00:00+08:00", or a wall-clock time of the zone such as "2026-11-21T16:00"'


class Level(StrEnum):
    """How the member was linked, strongest first."""

    SUN = "sun"
    FM1_DYNAMIC = "fm1_dynamic"
    FM1_PRINTED = "fm1_printed"
    NUMBER = "number"
    PHONE = "phone"
    UID = "uid"
    PLATE = "plate"


assert {level.value for level in Level} == set(AUTH_STRENGTH), "every level of a link can be written in a case"


@dataclass(frozen=True, slots=True)
class Grade:
    """What a line of this grade is where it does not say so itself."""

    product_group: str | None
    unit_price_milli: int | None


@dataclass(frozen=True, slots=True)
class Setting:
    """What holds for a whole case or script: rules, zone, station, and the grades sold."""

    rules: RuleSet
    zone: tzinfo
    station: str
    grades: dict[str, Grade]


def setting(fields: Fields, data: Mapping[str, Any], rules: RuleSet) -> Setting:
    """Return the setting a document opens with: ``timezone``, ``station`` and ``[grades.NAME]``."""
    zone = _zone(fields)
    station = fields.text("station", DEFAULT_STATION, NAME)
    grades = {}
    table, given = fields.table("grades"), data.get("grades")
    for name in given if isinstance(given, Mapping) else ():
        grade = table.table(name)
        price = grade.optional_integer("unit_price_milli", least=1)
        grades[name] = Grade(grade.optional_text("product_group"), price)
        grade.finish()
    return Setting(rules, zone, station, grades)


def _zone(fields: Fields) -> tzinfo:
    name = fields.text("timezone", DEFAULT_ZONE)
    try:
        return ZoneInfo(name or DEFAULT_ZONE)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fields.problem("timezone", f"is {name!r}", 'write a zone of the tz database such as "Asia/Shanghai"')
        return UTC


def moment(fields: Fields, key: str, zone: tzinfo, default_ms: int | None = None) -> int:
    """Return Unix milliseconds of an RFC 3339 time with its offset, or of a wall-clock time of the zone."""
    if not fields.has(key) and default_ms is not None:
        return default_ms
    text = fields.text(key)
    if not text:
        return default_ms or 0
    found, problem = parse_moment(text, zone)
    if problem:
        fields.problem(key, f"is {text!r}, {problem}", MOMENT_HINT)
    return found


def parse_moment(text: str, zone: tzinfo) -> tuple[int, str]:
    """Return Unix milliseconds and what is wrong with the text, empty where nothing is; a day is its midnight."""
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        return 0, "which is no time"
    if told.year not in YEARS:
        return 0, f"which lies outside {YEARS.start} to {YEARS.stop - 1}"
    if told.tzinfo is None:
        local = told.replace(tzinfo=zone)
        if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != told:
            return 0, "which the clocks leap over on that day"
        if local.utcoffset() != local.replace(fold=1).utcoffset():
            return 0, "which comes twice on that day: add the offset"
        told = local
    return (told - _EPOCH) // timedelta(milliseconds=1), ""


def lines(fields: Fields, at: Setting) -> tuple[SaleLine, ...]:
    """Return the lines of a sale: ``[[line]]`` tables, or the keys of a single line written directly."""
    if not fields.has("line"):
        return (_line(fields, at),)
    tables = fields.tables("line")
    if not 1 <= len(tables) <= MAX_LINES:
        fields.problem("line", f"has {len(tables)} lines", f"a sale has 1 to {MAX_LINES}")
    found = []
    for table in tables[:MAX_LINES]:
        found.append(_line(table, at))
        table.finish()
    return tuple(found)


def _line(fields: Fields, at: Setting) -> SaleLine:
    name = fields.text("grade")
    grade = at.grades.get(name, Grade(None, None))
    group = fields.optional_text("product_group") or grade.product_group
    price = fields.optional_integer("unit_price_milli", least=1) or grade.unit_price_milli
    volume, amount = fields.optional_integer("volume_ml"), fields.optional_integer("amount_minor")
    resolution = fields.optional_integer("volume_resolution_ml", least=1)
    if price is None:
        fields.problem("unit_price_milli", "is missing", "give it here, or for all lines in [grades.NAME]")
        price = 1
    exponent = at.rules.program.exponent
    if volume is None and amount is None:
        fields.problem("volume_ml", "is missing, and so is amount_minor", "give one; the price gives the other")
    if volume is None:
        volume = half_up((amount or 0) * MILLI_LITRES_TIMES_MILLI_PRICE, price * 10**exponent)
    if amount is None:
        amount = amount_of(volume, price, exponent)
    return SaleLine(name, group, volume, price, amount, resolution)


def presented(fields: Fields, coupons: tuple[PresentedCoupon, ...], *, linked: bool) -> Presented:
    """Return what came with the member: ``level``, ``clock_suspect``, ``points``; the coupons come read."""
    level = fields.choice("level", Level, Level.FM1_DYNAMIC)
    suspect, points = fields.flag("clock_suspect"), fields.optional_integer("points")
    codes = [coupon.code for coupon in coupons]
    if len(set(codes)) != len(codes):
        fields.problem("coupon", "is presented twice", "present each code once")
        coupons = ()
    return Presented(level.value if linked else None, suspect, points, coupons)


def purpose(fields: Fields) -> Purpose | None:
    """Return what fuel without a customer is booked to."""
    return fields.choice("purpose", Purpose) if fields.has("purpose") else None


def rollback(fields: Fields, at: Setting) -> RollbackGiven | None:
    """Return the price that was set at the pump before the lift."""
    if not fields.has("rollback"):
        return None
    table = fields.table("rollback")
    offer = offer_id(table, "offer", at.rules, Kind.PUMP_ROLLBACK)
    given = RollbackGiven(offer, table.integer("list_price_milli", least=1))
    table.finish()
    return given


def coupon(fields: Fields, at: Setting) -> PresentedCoupon:
    """Return a coupon as it is known when it is presented."""
    found = PresentedCoupon(
        code=fields.text("code", pattern=NAME) or "-",
        offer=offer_id(fields, "offer", at.rules, Kind.COUPON),
        member=fields.text("member", pattern=MEMBER_ID) if fields.has("member") else None,
        expires_on=fields.day("expires_on"),
        used=fields.flag("used"),
        balance_minor=fields.optional_integer("balance_minor", least=1),
        station=fields.text("station", pattern=NAME) if fields.has("station") else None,
        confirmed=fields.flag("confirmed"),
    )
    fields.finish()
    return found


def offer_id(fields: Fields, key: str, rules: RuleSet, kind: Kind | None = None) -> str:
    """Return the id of an offer that the rules have, of one kind where that is asked."""
    name = fields.text(key)
    known = [offer.id for offer in rules.offers if kind is None or offer.kind is kind]
    if name and name not in known:
        what = "offer" if kind is None else f"{kind} offer"
        hint = f"use one of: {', '.join(known)}" if known else "add it to the rules"
        fields.problem(key, f"names no {what} of the rules: {name!r}", hint)
    return name


def campaign(fields: Fields, rules: RuleSet) -> str:
    """Return the id of a campaign that an offer of the rules spends."""
    name = fields.text("campaign")
    known = sorted({offer.budget.campaign for offer in rules.offers if offer.budget is not None})
    if name and name not in known:
        hint = f"use one of: {', '.join(known)}" if known else "no offer has a [offer.budget]: leave it out"
        fields.problem("campaign", f"is spent by no offer of the rules: {name!r}", hint)
    return name


def member(fields: Fields, rules: RuleSet, key: str, default: str | None) -> MemberFacts:
    """Return what the engine may know of a member, whose id stands at ``key``; ``used`` counts are read beside it."""
    return MemberFacts(
        member=fields.text(key, default, MEMBER_ID) or DEFAULT_MEMBER,
        tier=tier_id(fields, "tier", rules),
        growth=fields.integer("growth", 0),
        tags=frozenset(fields.words("tags")),
        birthday_md=birthday(fields),
        visits=fields.integer("visits", 0),
        first_fill_used=fields.flag("first_fill_used"),
    )


def tier_id(fields: Fields, key: str, rules: RuleSet) -> str | None:
    """Return the id of a tier that the rules have, or ``None`` where the key is absent."""
    if not fields.has(key):
        return None
    name = fields.text(key)
    if name and name not in {tier.id for tier in rules.tiers}:
        known = ", ".join(tier.id for tier in rules.tiers)
        hint = f"use one of: {known}" if known else "the rules have no tiers: leave it out"
        fields.problem(key, f"names no tier of the rules: {name!r}", hint)
    return name


def birthday(fields: Fields) -> str | None:
    """Return a birthday as ``MM-DD``, 29 February included."""
    if not fields.has("birthday_md"):
        return None
    text = fields.text("birthday_md")
    try:
        day = date.fromisoformat(f"2000-{text}")
    except ValueError:
        fields.problem("birthday_md", f"is {text!r}", 'write month and day of a birthday as "MM-DD"')
        return None
    return f"{day.month:02d}-{day.day:02d}"


def used(fields: Fields, at: Setting, day: date) -> tuple[Subject, UseCount]:
    """Return what was counted before for an offer: by whom, and the count in the period ``day`` lies in."""
    offer = offer_id(fields, "offer", at.rules)
    subject = fields.choice("per", Subject, Subject.MEMBER)
    window = fields.choice("window", UseWindow)
    on = fields.day("on") or day
    uses = fields.integer("uses", 1)
    amounts = [fields.optional_integer(key) for key in ("amount_minor", "points")]
    amount = next((found for found in amounts if found is not None), 0)
    fields.finish()
    return subject, UseCount(offer, window, period_of(window, on), uses, amount)
