"""Random rule documents, sales and members from dice, as the plain tables that the model reads.

Dice are cheap to throw: a whole document costs hypothesis two numbers. The plainest choice always stands first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import TypeVar
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from tests.support.loyalty_model.days import period
from tests.support.loyalty_model.numbers import half_up, money_of
from tests.support.loyalty_model.words import Counts, Table

T = TypeVar("T")
MEMBER = "567014f1b3c2a9de"
TIERS = [
    {"id": "silver", "name": "Silver", "threshold": 300_000},
    {"id": "gold", "name": "Gold", "threshold": 1_000_000},
]
MOMENTS = (
    ("Asia/Shanghai", "2026-11-21T16:00"),
    ("Asia/Shanghai", "2027-02-28T23:59"),
    ("Asia/Shanghai", "2028-02-28T00:00"),
    ("Asia/Shanghai", "2028-02-29T12:00"),
    ("Asia/Shanghai", "2027-01-01T06:00"),
    ("Europe/Berlin", "2026-10-25T02:30"),
    ("Europe/Berlin", "2026-03-29T03:00"),
)
BYTES = 560


class Dice:
    """Choices one or two bytes each, from a seed; past ``length`` bytes every choice is the first one."""

    def __init__(self, seed: int, length: int = BYTES) -> None:
        self.seed = seed
        self.length = length
        self._bytes = Random(seed).randbytes(BYTES)[:length]
        self._place = 0

    def __repr__(self) -> str:
        return f"Dice({self.seed}, {self.length})"

    def byte(self) -> int:
        """The next byte."""
        place, self._place = self._place, self._place + 1
        return self._bytes[place] if place < len(self._bytes) else 0

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.byte() % len(options)]

    def number(self, least: int, most: int) -> int:
        """A number of a range of at most 65,536."""
        return least + (self.byte() * 256 + self.byte()) % (most - least + 1)

    def one_in(self, count: int) -> bool:
        """True once in ``count`` times."""
        return self.byte() % count == count - 1


def dice() -> st.SearchStrategy[Dice]:
    """A strategy for dice; three of four are of full length, and a failure is tried with shorter ones."""
    return st.builds(Dice, st.integers(0, 2**48), st.integers(0, 4 * BYTES).map(lambda length: min(length, BYTES)))


# --- rule documents ---------------------------------------------------------------------------------------------------


def document(roll: Dice, discounts: int = 5) -> Table:
    """A rule document that may be published."""
    names = [f"d{number}" for number in range(roll.pick(range(1, discounts + 1)))]
    offers = [_discount(roll, name, names) for name in names]
    offers += [_coupon(roll, f"c{number}", names) for number in range(roll.pick((0, 0, 1, 2)))]
    offers += [_rollback(roll, f"b{number}", names) for number in range(roll.pick((0, 0, 0, 1)))]
    offers += [_reward(roll, f"r{number}") for number in range(roll.pick((1, 2, 3, 4, 0)))]
    offers += [_payment(roll, f"p{number}") for number in range(roll.pick((1, 2, 0)))]
    return {
        "version": 12,
        "effective_from": "2026-01-01T00:00:00+08:00",
        "program": _program(roll),
        "tier": TIERS,
        "group": _groups(offers),
        "offer": offers,
    }


def _groups(offers: list[Table]) -> list[Table]:
    names = sorted({offer["group"] for offer in offers if "group" in offer} | {"best", "first", "stack"})
    return [{"id": name, "mode": name.partition("-")[0].upper()} for name in names]


def _program(roll: Dice) -> Table:
    currency, exponent = roll.pick((("CNY", 2), ("CNY", 2), ("JPY", 0), ("KWD", 3)))
    made: Table = {"currency": currency, "exponent": exponent}
    for key, values in (
        ("earn_rounding", ("FLOOR", "HALF_UP")),
        ("earn_base", ("NET", "BEFORE_POINTS")),
        ("step_points", (100, 50, 1)),
        ("step_minor", (100, 30)),
        ("min_points", (0, 250)),
        ("multipliers", ("ADDITIVE", "MAX", "PRODUCT")),
    ):
        made[key] = roll.pick(values)
    if roll.one_in(4):
        made["multiplier_cap_pct"] = roll.pick((150, 100))
    if roll.one_in(4):
        made["discount_cap_minor"] = roll.pick((900, 0))
    if roll.one_in(4):
        made["discount_cap_bp"] = roll.pick((2_500, 333))
    return made


def terms(roll: Dice, kind: str) -> Table:
    """What an offer of a kind gives."""
    if kind == "PER_LITRE":
        return {"off_milli": roll.pick((300, 150, 1, 899))}
    if kind == "FIXED_PRICE":
        return {"price_milli": roll.pick((7_500, 8_000, 9_000))}
    if kind == "PERCENT":
        share = roll.pick((500, 1_000, 1, 6_000, 10_000))
        return {"share_bp": share, "basis": roll.pick(("RUNNING", "GROSS")), "scope": roll.pick(("ORDER", "LINE"))}
    if kind == "AMOUNT_OFF":
        return {"off_minor": roll.pick((500, 5_000, 1, 33_333))}
    if kind == "SPEND_THRESHOLD":
        per, basis = roll.pick((20_000, 5_000, 28_000)), roll.pick(("GROSS", "RUNNING"))
        return {"off_minor": roll.pick((2_000, 1)), "per_minor": per, "repeat": roll.pick((1, 2, 9)), "basis": basis}
    if kind == "EARN":
        return {"points": roll.pick((1, 3)), **roll.pick(({"per_minor": 100}, {"per_minor": 200}, {"per_ml": 1_000}))}
    if kind == "MULTIPLIER":
        return {"factor_pct": roll.pick((120, 150, 10, 50))}
    if kind == "BONUS_POINTS":
        return {"points": roll.pick((200, 1))}
    return {"item": "water", "quantity": roll.pick((1, 2))}


_DISCOUNT_KINDS = ("PER_LITRE", "PERCENT", "AMOUNT_OFF", "SPEND_THRESHOLD", "FIXED_PRICE")
_REWARD_KINDS = ("EARN", "MULTIPLIER", "BONUS_POINTS", "GIFT_ITEM")


def _coupon(roll: Dice, name: str, names: list[str]) -> Table:
    kind = roll.pick(
        ("AMOUNT_OFF", "AMOUNT_OFF", "PERCENT", "PER_LITRE", "SPEND_THRESHOLD", "BONUS_POINTS", "GIFT_ITEM")
    )
    offer: Table = {"id": name, "kind": "COUPON", "gives": kind, **terms(roll, kind), "priority": roll.pick((1, 2))}
    offer["checking"] = roll.pick(("OFFLINE_WITH_RISK", "OFFLINE_WITH_RISK", "SITE_BOUND", "ONLINE_ONLY"))
    if offer["checking"] == "OFFLINE_WITH_RISK":
        worth = offer.get("off_minor", 60)
        offer["risk_up_to_minor"] = roll.pick((100_000, worth, 100_000, max(1, worth - 1)))
    if kind in ("BONUS_POINTS", "GIFT_ITEM"):
        if roll.one_in(4):
            offer["group"] = f"{roll.pick(('best', 'first'))}-{kind.lower()}"
        if kind == "BONUS_POINTS" and roll.one_in(4):
            offer["limit"] = [_limit(roll, "points")]
        return offer
    offer["trimmed"] = roll.pick(("SPEND", "KEEP_BALANCE", "KEEP_COUPON"))
    return _among(roll, offer, kind, names)


def _rollback(roll: Dice, name: str, names: list[str]) -> Table:
    price = roll.pick(({"off_milli": 300}, {"price_milli": 7_500}))
    offer: Table = {"id": name, "kind": "PUMP_ROLLBACK", **price, "priority": roll.pick((1, 2))}
    offer["late"] = roll.pick(("CONVERT", "REJECT"))
    offer = _among(roll, offer, "PUMP_ROLLBACK", names)
    offer.pop("budget", None)
    return offer


def _discount(roll: Dice, name: str, names: list[str]) -> Table:
    kind = roll.pick(_DISCOUNT_KINDS)
    return _among(roll, {"id": name, "kind": kind, **terms(roll, kind), "priority": roll.pick((1, 2))}, kind, names)


def _among(roll: Dice, offer: Table, kind: str, names: list[str]) -> Table:
    """The discount with its place among the others: group, exclusive, joint, conditions, caps."""
    group = roll.pick((None, "best", "first", "stack", "first", "best"))
    if group is not None:
        offer["group"] = group
    if roll.one_in(4):
        offer["exclusive"] = True
    if roll.one_in(4):
        offer["joint"] = [roll.pick(names)]
    when = _when(roll)
    if roll.one_in(3):
        when["tiers"] = roll.pick((["gold"], ["silver", "gold"]))
    if when:
        offer["when"] = when
    offer |= discount_caps(roll, kind)
    return offer


def discount_caps(roll: Dice, kind: str) -> Table:
    """Caps, limits over time and a budget of a discount."""
    made: Table = {}
    if kind == "PUMP_ROLLBACK":  # the price is given before the amount is known: no cap on money fits it
        return {"cap": {"volume_ml": 30_000}} if roll.one_in(3) else {"limit": [_limit(roll, None)]}
    if roll.one_in(3):
        caps: Table = roll.pick(
            ({"amount_minor": 1_000}, {"share_bp": 777}, {"volume_ml": 30_000}, {"amount_minor": 1})
        )
        if not ("volume_ml" in caps and kind in ("AMOUNT_OFF", "SPEND_THRESHOLD")):
            made["cap"] = caps
    if roll.one_in(3):
        made["limit"] = [_limit(roll, "amount_minor") for _ in range(roll.pick((1, 2)))]
    if roll.one_in(4):
        campaign, mode = roll.pick(("c", "c", "elsewhere")), roll.pick(("PARTIAL", "ALL_OR_NOTHING"))
        made["budget"] = {"campaign": campaign, "mode": mode}
    return made


def _limit(roll: Dice, amount: str | None) -> Table:
    made: Table = {
        "window": roll.pick(("DAY", "WEEK", "MONTH", "LIFE")),
        "per": roll.pick(("MEMBER", "MEMBER", "STATION")),
    }
    if amount is None or roll.one_in(2):
        made["uses"] = roll.pick((2, 1, 3))
    else:
        made[amount] = roll.pick((700, 100, 3_000))
    return made


def _when(roll: Dice) -> Table:
    when: Table = {}
    if roll.one_in(4):
        when["anyone"] = True
    for _ in range(roll.pick((0, 0, 0, 1, 1, 2))):
        when |= roll.pick(_CONDITIONS)
    visits = [key for key in when if key.startswith("visit_")]
    return {key: value for key, value in when.items() if key not in visits[1:]}


_CONDITIONS: tuple[Table, ...] = (
    {"grades": ["92"]},
    {"grades": ["95", "0"]},
    {"product_groups": ["petrol"]},
    {"product_groups": ["diesel"]},
    {"stations": ["SH-0421"]},
    {"stations": ["SH-0001"]},
    {"weekdays": ["sat", "sun"]},
    {"weekdays": ["mon", "tue"]},
    {"window": [{"from": "16:00", "to": "17:00"}]},
    {"window": [{"from": "22:00", "to": "06:00"}]},
    {"window": [{"from": "02:00", "to": "03:00"}, {"from": "15:00", "to": "16:00"}]},
    {"starts_on": "2026-11-21"},
    {"ends_on": "2027-02-28"},
    {"min_amount_minor": 20_000},
    {"min_volume_ml": 38_217},
    {"min_level": "fm1_printed"},
    {"min_level": "sun"},
    {"holdout_bp": 5_000},
    {"holdout_bp": 9_999},
    {"tags": ["taxi"]},
    {"birthday": "DAY"},
    {"birthday": "MONTH"},
    {"first_fill": True},
    {"visit_at": 3},
    {"visit_every": 2},
    {"visit_from": 2},
)


def _reward(roll: Dice, name: str) -> Table:
    kind = roll.pick(_REWARD_KINDS)
    offer: Table = {"id": name, "kind": kind, **terms(roll, kind), "priority": roll.pick((1, 2))}
    group = roll.pick((None, "best", "first", "best", "stack"))
    if group is not None:
        offer["group"] = f"{group}-{kind.lower()}"
    when = _when(roll)
    if roll.one_in(4):
        when["tiers"] = roll.pick((["silver"], ["gold"], ["silver", "gold"]))
    if when:
        offer["when"] = when
    if kind in ("EARN", "BONUS_POINTS") and roll.one_in(4):
        offer["cap"] = {"points": roll.pick((150, 1))}
    if roll.one_in(3):
        offer["limit"] = [_limit(roll, "points" if kind in ("EARN", "BONUS_POINTS") else None)]
    return offer


def _payment(roll: Dice, name: str) -> Table:
    offer: Table = {"id": name, "kind": "POINTS_AS_MONEY", "share_bp": roll.pick((3_000, 10_000, 7_777))}
    offer["priority"] = roll.pick((1, 2))
    when = _when(roll)
    if when:
        offer["when"] = when
    if roll.one_in(4):
        offer["limit"] = [_limit(roll, "amount_minor")]
    return offer


# --- cases ------------------------------------------------------------------------------------------------------------


def case(roll: Dice, rules: Table) -> Table:
    """A sale, what was presented, a member or nobody, leases and counts, at one of the moments."""
    zone, text = roll.pick(MOMENTS)
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=roll.pick((0, 1)))
    exponent = rules["program"]["exponent"]
    made = {
        "zone": zone,
        "unix_ms": int(local.timestamp()) * 1000,
        "day": local.date(),
        "minute": local.hour * 60 + local.minute,
        "station": "SH-0421",
        "exponent": exponent,
        "lines": [_line(roll, exponent) for _ in range(roll.pick((1, 1, 1, 2, 3)))],
        "level": roll.pick(("sun", "fm1_dynamic", "fm1_printed", "phone", "plate", None, "sun", "sun")),
        "clock_suspect": roll.one_in(8),
        "points": roll.pick((300, None, 10**6, 0, 5_230)),
        "usable": roll.pick((5_230, None, 99, 99_999, 0)),
        "purpose": "drive-off" if roll.one_in(40) else None,
        "leases": _leases(roll),
        "member": None if roll.one_in(8) else _member(roll, rules, local.date()),
    }
    if roll.one_in(30):
        made["lines"] = [line | {"volume_ml": 0} for line in made["lines"]]
    made |= {"coupons": _presented(roll, rules, local.date()), "rollback": _price_set(roll, rules)}
    return made | {"station_uses": _uses(roll, rules, local.date())}


def _presented(roll: Dice, rules: Table, day: date) -> list[Table]:
    coupons: list[Table] = []
    for offer in rules["offer"]:
        if offer["kind"] == "COUPON":
            coupons += [_one(roll, f"{offer['id']}-{n}", offer["id"], day) for n in range(roll.pick((1, 1, 2, 0)))]
    return coupons


def _one(roll: Dice, code: str, offer: str, day: date) -> Table:
    return {
        "code": code,
        "offer": offer,
        "member": roll.pick((None, None, MEMBER, "00000000000000aa")),
        "expires_on": roll.pick((None, day, day + timedelta(days=9), day - timedelta(days=1))),
        "used": roll.one_in(8),
        "balance_minor": roll.pick((None, None, 700, 20, 0)),
        "station": roll.pick((None, "SH-0421", "SH-0421", "SH-0001")),
        "confirmed": roll.pick((True, False)),
    }


def _price_set(roll: Dice, rules: Table) -> Table | None:
    names = [offer["id"] for offer in rules["offer"] if offer["kind"] == "PUMP_ROLLBACK"]
    if not names or roll.one_in(2):
        return None
    return {"offer": roll.pick((*names, "gone")), "list_price_milli": roll.pick((8_360, 7_850, 9_100))}


def _line(roll: Dice, exponent: int) -> Table:
    grade, group = roll.pick((("92", "petrol"), ("95", "petrol"), ("0", "diesel"), ("92", None)))
    volume_ml = roll.pick((38_217, 42_500, 10_100, 1, 12_300, roll.number(1, 65_000)))
    price = roll.pick((7_850, 8_360, 6_900))
    amount = half_up(money_of(volume_ml, price, exponent))
    if roll.one_in(6):
        amount = roll.number(0, 50_000)
    return {
        "grade": grade,
        "product_group": group,
        "volume_ml": volume_ml,
        "unit_price_milli": price,
        "amount_minor": amount,
    }


def _leases(roll: Dice) -> Table:
    if roll.one_in(6):
        return {}
    left, live = roll.pick((3_000, 700, 0, 1, 100_000)), not roll.one_in(6)
    return {"c": {"lease": "lease-1", "left": left, "live": live}}


def _member(roll: Dice, rules: Table, day: date) -> Table:
    return {
        "id": roll.pick((MEMBER, "00000000000000aa", "0123456789abcdef")),
        "tier": roll.pick(("gold", "silver", None)),
        "tags": roll.pick(((), ("taxi",), ("night", "taxi"))),
        "birthday": roll.pick((None, "02-29", "11-21", "02-28", "11-01")),
        "visits": roll.pick((2, 0, 1, 3, None)),
        "first_fill_used": roll.one_in(5),
        "uses": _uses(roll, rules, day),
    }


def _uses(roll: Dice, rules: Table, day: date) -> Counts:
    """Counts of the limits of some offers, in the period of the day or in another one."""
    found: Counts = {}
    for offer in rules["offer"]:
        limits = offer.get("limit", [])
        if not limits and not offer.get("when", {}).get("first_fill"):
            continue
        for window in sorted({"LIFE", *(limit["window"] for limit in limits)}):
            uses = roll.pick((0, 1, 2, 3))
            if uses:
                key = period(window, day) if not roll.one_in(5) else period(window, date(2025, 1, 1))
                found[offer["id"], window, key] = (uses, roll.pick((50, 100, 650, 700, 2_999)))
    return found


def instant_of(made: Table) -> datetime:
    """The moment of a case in UTC."""
    return datetime.fromtimestamp(made["unix_ms"] / 1000, UTC)
