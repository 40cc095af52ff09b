"""A coupon's life: issued, reserved for a quoted sale, used once (or until its balance is spent), given back.

Knows the claims of its token as data, no signature and no table. What a coupon gives is a rule's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Any

from agent.domain.rules.facts import PresentedCoupon

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OFFER = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_MEMBER = re.compile(r"[0-9a-f]{16}")
_STATION = re.compile(r"[A-Za-z0-9_-]{1,32}")


class CouponError(ValueError):
    """A coupon that cannot be read or taken; the message says why. Nothing has changed."""


class CouponState(StrEnum):
    """Where a coupon is in its life; a coupon given back is ISSUED again."""

    ISSUED = "issued"
    RESERVED = "reserved"
    USED = "used"


@dataclass(frozen=True, slots=True)
class Claims:
    """What the signed token of a coupon says. ``member`` and ``station``: ``None`` for whoever and wherever.

    ``expires_on``: last local day, inclusive. ``balance_minor``: what earlier uses left on it, ``None`` for the whole.
    """

    code: str
    offer: str
    member: str | None = None
    station: str | None = None
    expires_on: date | None = None
    balance_minor: int | None = None

    def record(self) -> dict[str, Any]:
        """Return the claims as the token carries them."""
        return {
            "code": self.code,
            "offer": self.offer,
            "member": self.member,
            "station": self.station,
            "expires_on": None if self.expires_on is None else self.expires_on.isoformat(),
            "balance_minor": self.balance_minor,
        }


def claims_of(record: Mapping[str, Any]) -> Claims:
    """Return the claims a token carries; members beyond these are left alone. Raises CouponError: what is wrong."""
    texts = {"code": _CODE, "offer": _OFFER, "member": _MEMBER, "station": _STATION}
    for name, pattern in texts.items():
        value = record.get(name)
        optional = name in ("member", "station")
        if not (value is None and optional) and not (isinstance(value, str) and pattern.fullmatch(value)):
            raise CouponError(f"a coupon's {name} cannot be {value!r}")
    balance = record.get("balance_minor")
    if balance is not None and (type(balance) is not int or balance <= 0):
        raise CouponError(f"a coupon's balance_minor cannot be {balance!r}: an integer above 0, or null for the whole")
    return Claims(record["code"], record["offer"], record.get("member"), record.get("station"), _day(record), balance)


def _day(record: Mapping[str, Any]) -> date | None:
    text = record.get("expires_on")
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        raise CouponError(f"a coupon's expires_on cannot be {text!r}: a day as YYYY-MM-DD") from None


@dataclass(frozen=True, slots=True)
class CouponUsed:
    """One use: the sale, what it was worth, and what it left on the coupon (``None``: nothing is kept)."""

    sale: str
    value_minor: int
    left_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon with its uses, oldest first. ``reserved_for``: the quoted sale that holds it, until an instant."""

    claims: Claims
    uses: tuple[CouponUsed, ...] = ()
    reserved_for: str | None = None
    reserved_until_ms: int = 0

    @property
    def balance_minor(self) -> int | None:
        """What is left on it; ``None`` for the whole."""
        return self.uses[-1].left_minor if self.uses else self.claims.balance_minor

    @property
    def used(self) -> bool:
        """Whether nothing is left to use."""
        return bool(self.uses) and not self.uses[-1].left_minor

    def presented(self, *, confirmed: bool = False) -> PresentedCoupon:
        """Return the coupon as the engine looks at it. ``confirmed``: head office keeps it for this sale."""
        claims = self.claims
        return PresentedCoupon(
            code=claims.code,
            offer=claims.offer,
            member=claims.member,
            expires_on=claims.expires_on,
            used=self.used,
            balance_minor=self.balance_minor,
            station=claims.station,
            confirmed=confirmed,
        )

    @property
    def state(self) -> CouponState:
        """Where it is in its life."""
        if self.used:
            return CouponState.USED
        return CouponState.ISSUED if self.reserved_for is None else CouponState.RESERVED


def reserve(coupon: Coupon, sale: str, now_ms: int, until_ms: int) -> Coupon:
    """Return the coupon kept for a quoted sale; a repeat for the same sale moves the instant.

    Raises CouponError where it is used up, or another sale holds it.
    """
    coupon = timed_out(coupon, now_ms)
    if coupon.used:
        raise CouponError(f"coupon {coupon.claims.code} was used on sale {coupon.uses[-1].sale}")
    if coupon.reserved_for not in (None, sale):
        raise CouponError(f"coupon {coupon.claims.code} is held by sale {coupon.reserved_for}, which is being paid")
    return replace(coupon, reserved_for=sale, reserved_until_ms=until_ms)


def release(coupon: Coupon, sale: str) -> Coupon:
    """Return the coupon without the reservation of a sale; there may be none."""
    return replace(coupon, reserved_for=None, reserved_until_ms=0) if coupon.reserved_for == sale else coupon


def timed_out(coupon: Coupon, now_ms: int) -> Coupon:
    """Return the coupon without a reservation whose time is over."""
    over = coupon.reserved_for is not None and coupon.reserved_until_ms <= now_ms
    return replace(coupon, reserved_for=None, reserved_until_ms=0) if over else coupon


def use(coupon: Coupon, used: CouponUsed) -> Coupon:
    """Return the coupon after a sale was settled with it; a repeat of the same use changes nothing.

    Raises CouponError where it is used up, another sale holds it, or the sale used it with another value.
    """
    for known in coupon.uses:
        if known.sale == used.sale:
            if known == used:
                return coupon
            raise CouponError(f"coupon {coupon.claims.code}: sale {used.sale} used {known.value_minor} of it already")
    if coupon.used:
        raise CouponError(f"coupon {coupon.claims.code} was used on sale {coupon.uses[-1].sale}")
    if coupon.reserved_for not in (None, used.sale):
        raise CouponError(f"coupon {coupon.claims.code} is held by sale {coupon.reserved_for}, which is being paid")
    return release(replace(coupon, uses=(*coupon.uses, used)), used.sale)


def give_back(coupon: Coupon, sale: str) -> Coupon:
    """Return the coupon after the full refund of a sale: its use is undone, what later uses left grows by its value."""
    gone = [used for used in coupon.uses if used.sale == sale]
    if not gone:
        return coupon
    place = coupon.uses.index(gone[0])
    later = tuple(
        replace(used, left_minor=(used.left_minor or 0) + gone[0].value_minor) for used in coupon.uses[place + 1 :]
    )
    return replace(coupon, uses=(*coupon.uses[:place], *later))
