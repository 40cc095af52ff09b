"""What can happen in a script: one record per kind of event, and how each is read from its table.

Knows no ledger: what an event does is in the rooms' play. Events that name things of the script (a sale, a coupon) are
not checked here: what is not there when its time comes is refused then, as a station would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from agent.domain.member import MemberFacts
from agent.domain.rules.facts import Presented, Purpose, RollbackGiven, SaleLine
from agent.domain.rules.fields import Fields
from agent.domain.rules.model import Kind
from agent.rehearsal import reading
from agent.rehearsal.reading import KEY, MEMBER_ID, NAME, Level, Setting

FAR_FUTURE_MS = 253_402_300_799_000
"""The end of the year 9999: a lease that was given no end."""

QUOTE_HELD_MS = 900_000
"""How long a quote keeps what it reserved: a quarter of an hour, unless the event says otherwise."""


class EventKind(StrEnum):
    """The kinds of events."""

    MEMBER = "member"
    DAY = "day"
    SALE = "sale"
    SETTLE = "settle"
    VOID = "void"
    REFUND = "refund"
    RELINK = "relink"
    LATE_LINK = "late_link"
    RELEASE = "release"
    GRANT = "grant"
    EXPIRE = "expire"
    TIER_EVALUATION = "tier_evaluation"
    BUDGET = "budget"
    LEASE = "lease"
    REINCARNATION = "reincarnation"
    REPEAT = "repeat"


@dataclass(frozen=True, slots=True)
class Enrol:
    """A member joins, or head office changes what is known of them; its growth counts on that day."""

    member: MemberFacts


@dataclass(frozen=True, slots=True)
class Day:
    """Nothing but time passes."""


@dataclass(frozen=True, slots=True)
class Sell:
    """A fuelling: quoted, and settled at once unless ``quote_only``. ``coupons`` are codes granted before."""

    sale: str
    station: str
    lines: tuple[SaleLine, ...]
    member: str | None
    presented: Presented
    coupons: tuple[str, ...]
    purpose: Purpose | None
    rollback: RollbackGiven | None
    lift_seen: bool
    ended_ms: int | None
    offline: bool
    quote_only: bool
    held: bool
    hold_ms: int


@dataclass(frozen=True, slots=True)
class OfSale:
    """Settle, void or release: one sale."""

    sale: str


@dataclass(frozen=True, slots=True)
class GiveBack:
    """A part of the net is given back."""

    sale: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Link:
    """A settled sale is linked late, or to another member; ``None``: to nobody."""

    sale: str
    member: str | None
    level: str


@dataclass(frozen=True, slots=True)
class GrantPoints:
    """Points for a reason other than a sale; ``key`` makes them once-only. ``tier``: a gift for reaching it, which is
    due once per growth window.
    """

    member: str
    key: str
    points: int
    tier: str | None
    usable_from_ms: int | None
    expires_on: date | None


@dataclass(frozen=True, slots=True)
class GrantCoupon:
    """A coupon is issued."""

    code: str
    offer: str
    member: str | None
    station: str | None
    expires_on: date | None
    balance_minor: int | None


@dataclass(frozen=True, slots=True)
class Today:
    """Expiry or tier evaluation on the local day of the clock; ``member``: for this one only."""

    member: str | None


@dataclass(frozen=True, slots=True)
class Budget:
    """A campaign's budget is raised (or, below 0, lowered) by an amount."""

    campaign: str
    amount_minor: int


class LeaseAction(StrEnum):
    """What happens to a lease."""

    GRANT = "grant"
    CLOSE_OUT = "close_out"


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease of a member's points or of a campaign's money: granted to a station, or closed out."""

    action: LeaseAction
    lease: str
    station: str
    campaign: str | None
    member: str | None
    amount: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Reborn:
    """A station's database ends and a new incarnation begins."""

    station: str


@dataclass(frozen=True, slots=True)
class Again:
    """The same message once more: the event with this id."""

    of: str


What = (
    Enrol | Day | Sell | OfSale | GiveBack | Link | GrantPoints | GrantCoupon | Today | Budget | Lease | Reborn | Again
)


@dataclass(frozen=True, slots=True)
class Event:
    """One event: ``at_ms`` is ``None`` where the clock stands still. ``id`` names it, ``number`` counts from 1."""

    number: int
    id: str
    kind: EventKind
    at_ms: int | None
    what: What
    expect: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Told:
    """The table of one event, the setting of its script, and its id."""

    fields: Fields
    at: Setting
    id: str


def read_what(kind: EventKind, fields: Fields, at: Setting, event_id: str) -> What:
    """Return what an event of a kind says; problems are noted."""
    return _READERS[kind](_Told(fields, at, event_id))


def _enrol(told: _Told) -> Enrol:
    return Enrol(reading.member(told.fields, told.at.rules, "member", None))


def _sell(told: _Told) -> Sell:
    member = _member(told, "member") if told.fields.has("member") else None
    hold_s = told.fields.integer("hold_s", QUOTE_HELD_MS // 1000, least=1)
    return Sell(
        sale=told.fields.text("sale", told.id, NAME),
        station=told.fields.text("station", told.at.station, NAME),
        lines=reading.lines(told.fields, told.at),
        member=member,
        presented=reading.presented(told.fields, (), linked=member is not None),
        coupons=told.fields.words("coupons"),
        purpose=reading.purpose(told.fields),
        rollback=reading.rollback(told.fields, told.at),
        lift_seen=told.fields.flag("lift_seen") if told.fields.has("lift_seen") else True,
        ended_ms=reading.moment(told.fields, "ended_at", told.at.zone) if told.fields.has("ended_at") else None,
        offline=told.fields.flag("offline"),
        quote_only=told.fields.flag("quote_only"),
        held=told.fields.flag("held"),
        hold_ms=hold_s * 1000,
    )


def _member(told: _Told, key: str) -> str:
    return told.fields.text(key, pattern=MEMBER_ID)


def _of_sale(told: _Told) -> OfSale:
    return OfSale(told.fields.text("sale", pattern=NAME))


def _give_back(told: _Told) -> GiveBack:
    return GiveBack(told.fields.text("sale", pattern=NAME), told.fields.integer("amount_minor"))


def _link(told: _Told) -> Link:
    member = _member(told, "member") if told.fields.has("member") else None
    return Link(told.fields.text("sale", pattern=NAME), member, told.fields.choice("level", Level, Level.NUMBER).value)


def _late_link(told: _Told) -> Link:
    if not told.fields.has("member"):
        told.fields.problem("member", "is missing", "name the member the sale is linked to")
    return _link(told)


def _grant(told: _Told) -> GrantPoints | GrantCoupon:
    if told.fields.has("coupon") == told.fields.has("points"):
        told.fields.problem("points", "must be given, or coupon, not both", "grant points, or a coupon by its code")
    if not told.fields.has("coupon"):
        return GrantPoints(
            member=_member(told, "member"),
            key=told.fields.text("key", told.id, KEY),
            points=told.fields.integer("points", least=1),
            tier=reading.tier_id(told.fields, "tier", told.at.rules),
            usable_from_ms=reading.moment(told.fields, "usable_from", told.at.zone)
            if told.fields.has("usable_from")
            else None,
            expires_on=told.fields.day("expires_on"),
        )
    return GrantCoupon(
        code=told.fields.text("coupon", pattern=NAME),
        offer=reading.offer_id(told.fields, "offer", told.at.rules, Kind.COUPON),
        member=_member(told, "member") if told.fields.has("member") else None,
        station=told.fields.text("station", pattern=NAME) if told.fields.has("station") else None,
        expires_on=told.fields.day("expires_on"),
        balance_minor=told.fields.optional_integer("balance_minor", least=1),
    )


def _today(told: _Told) -> Today:
    return Today(_member(told, "member") if told.fields.has("member") else None)


def _budget(told: _Told) -> Budget:
    return Budget(reading.campaign(told.fields, told.at.rules), told.fields.integer("amount_minor", least=-(2**53) + 1))


def _lease(told: _Told) -> Lease:
    action = told.fields.choice("action", LeaseAction, LeaseAction.GRANT)
    lease, station = told.fields.text("lease", told.id, NAME), told.fields.text("station", told.at.station, NAME)
    if action is LeaseAction.CLOSE_OUT:
        return Lease(action, lease, station, None, None, 0, 0)
    if told.fields.has("campaign") == told.fields.has("member"):
        told.fields.problem(
            "campaign", "must be given, or member, not both", "lend a campaign's money or a member's points"
        )
    of_campaign = told.fields.has("campaign")
    return Lease(
        action,
        lease,
        station,
        reading.campaign(told.fields, told.at.rules) if of_campaign else None,
        None if of_campaign else _member(told, "member"),
        told.fields.integer("amount_minor" if of_campaign else "points", least=1),
        reading.moment(told.fields, "expires_at", told.at.zone, FAR_FUTURE_MS),
    )


_READERS: dict[EventKind, Callable[[_Told], What]] = {
    EventKind.MEMBER: _enrol,
    EventKind.DAY: lambda _: Day(),
    EventKind.SALE: _sell,
    EventKind.SETTLE: _of_sale,
    EventKind.VOID: _of_sale,
    EventKind.REFUND: _give_back,
    EventKind.RELINK: _link,
    EventKind.LATE_LINK: _late_link,
    EventKind.RELEASE: _of_sale,
    EventKind.GRANT: _grant,
    EventKind.EXPIRE: _today,
    EventKind.TIER_EVALUATION: _today,
    EventKind.BUDGET: _budget,
    EventKind.LEASE: _lease,
    EventKind.REINCARNATION: lambda told: Reborn(told.fields.text("station", told.at.station, NAME)),
    EventKind.REPEAT: lambda told: Again(told.fields.text("of", pattern=NAME)),
}
