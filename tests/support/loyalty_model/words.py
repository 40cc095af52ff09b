"""Words of the model: the list of codes in their order, the stages, and reading a rule document with its defaults.

A rule document, a sale and a member are plain dictionaries here; nothing of the engine is known.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Table: TypeAlias = dict[str, Any]
Counts: TypeAlias = dict[tuple[str, str, str], tuple[int, int]]
"""Uses and amount by (offer, window, period)."""

CODES = [
    "OK",
    "NOT_MEMBER",
    "NOT_REQUESTED",
    "NOT_IN_AUDIENCE",
    "WRONG_GRADE",
    "WRONG_STATION",
    "OUTSIDE_WINDOW",
    "NOT_STARTED",
    "ENDED",
    "THRESHOLD_NOT_MET",
    "MIN_VOLUME",
    "DAILY_LIMIT",
    "CAPPED_VOLUME",
    "CAPPED_AMOUNT",
    "CAPPED_MONTH",
    "BUDGET_EXHAUSTED",
    "LEASE_EXPIRED",
    "OFFLINE_NOT_ALLOWED",
    "GROUP_TAKEN",
    "EXCLUDED_BY",
    "BEATEN_BY",
    "COUPON_USED",
    "COUPON_EXPIRED",
    "COUPON_NOT_HOLDER",
    "TOO_LATE_FOR_ROLLBACK",
    "POINTS_STEP",
    "BALANCE_STALE",
    "HOLDOUT",
    "AUTH_TOO_WEAK",
]

LINE_STAGE, THRESHOLD_STAGE, COUPON_STAGE = 1, 2, 3
STAGES = {
    "PUMP_ROLLBACK": LINE_STAGE,  # only one that came too late takes part: as a discount per litre
    "PER_LITRE": LINE_STAGE,
    "FIXED_PRICE": LINE_STAGE,
    "PERCENT": LINE_STAGE,
    "SPEND_THRESHOLD": THRESHOLD_STAGE,
    "AMOUNT_OFF": THRESHOLD_STAGE,
    "COUPON": COUPON_STAGE,
}
"""Stages of the discounts; every other kind is a payment in points or a reward."""

STRENGTH = {"sun": 3, "fm1_dynamic": 3, "fm1_printed": 2, "number": 1, "phone": 1, "uid": 1, "plate": 0, None: 0}
SPENDING_STRENGTH = 3
REWARDS = ("EARN", "BONUS_POINTS", "MULTIPLIER", "GIFT_ITEM")


def order(offer: Table) -> tuple[int, str]:
    """The key that makes the order of the file irrelevant."""
    return (offer.get("priority", 100), offer["id"])


def gives(offer: Table) -> str:
    """The kind whose value an offer has: a coupon wraps another kind, a late roll-back is a discount per litre."""
    if offer["kind"] == "PUMP_ROLLBACK":
        return "PER_LITRE" if "off_milli" in offer else "FIXED_PRICE"
    return str(offer["gives"] if offer["kind"] == "COUPON" else offer["kind"])


def is_discount(offer: Table) -> bool:
    """Whether the offer lowers what is paid in money."""
    return offer["kind"] in STAGES and gives(offer) not in REWARDS


def is_reward(offer: Table) -> bool:
    """Whether the offer gives points, a factor on points or an article."""
    return gives(offer) in REWARDS


def mode(document: Table, offer: Table) -> str:
    """How the group of an offer chooses; without a group all stand together."""
    modes = {group["id"]: group["mode"] for group in document.get("group", [])}
    return str(modes.get(offer.get("group"), "STACK"))


def program(document: Table, key: str) -> Any:
    """A setting of the program with its default."""
    defaults = {
        "earn_rounding": "FLOOR",
        "earn_base": "NET",
        "step_points": 100,
        "step_minor": 100,
        "min_points": 0,
        "multipliers": "ADDITIVE",
        "pending_hours": 24,
        "pending_weak_hours": 48,
        "growth_base": "NET",
        "reversal": "WITHIN_BALANCE",
        "returned_lot_grace_days": 30,
    }
    return document["program"].get(key, defaults.get(key))


def first(reasons: list[Table]) -> Table | None:
    """The reason whose code stands first in the list."""
    return min(reasons, key=lambda reason: CODES.index(reason["code"]), default=None)


def reason(code: str, needed: int | None = None, actual: int | None = None) -> Table:
    """A code with the two numbers compared."""
    return {"code": code, "needed": needed, "actual": actual}
