"""What people read of a rehearsal: the explanation of a case or an event, and the accounts after it, line by line.

Knows answers as plain data; decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.domain.rules.explain import decimal, money
from agent.rehearsal.trying import Tried

Answer = dict[str, Any]


def tried(one: Tried) -> Iterator[str]:
    """Yield what one case gave: the sale, a sentence on each offer, the sums, and what was expected otherwise."""
    told = one.answer
    yield f"{told['case']}"
    yield f"  {told['instant']} {one.case.zone_name}, {told['station']}, {_who(one)}, rules {told['rule_version']}"
    yield from (f"  {text}" for text in sale(told))
    for difference in one.differences:
        yield f"  DIFFERENT {difference}"


def _who(one: Tried) -> str:
    member = one.case.member
    if member is None:
        return "no member"
    return f"member {member.member}" + (f", tier {member.tier}" if member.tier else "")


def sale(told: Answer) -> Iterator[str]:
    """Yield the lines of a sale, the sentence on each offer and the sums."""
    exponent = told["exponent"]
    for line in told["lines"]:
        litres, price = decimal(line["volume_ml"], 3), decimal(line["unit_price_milli"], 3)
        yield f"{line['grade']}: {litres} L x {price} = {money(line['amount_minor'], exponent)} {told['currency']}"
    for offer in told["offers"]:
        yield f"{offer['verdict']:8}  {offer['text']}  [{_numbers(offer)}]"
    for coupon in told["coupons"]:
        left = "" if coupon["left_minor"] is None else f", {money(coupon['left_minor'], exponent)} stays on it"
        yield f"coupon {coupon['coupon']}: {money(coupon['value_minor'], exponent)}{left}"
    if told["rollback_minor"]:
        yield f"rolled back at the pump: {money(told['rollback_minor'], exponent)}"
    if told["flags"]:
        yield f"flags: {', '.join(told['flags'])}"
    yield from told["text"]


def _numbers(offer: Answer) -> str:
    if offer["needed"] is None and offer["actual"] is None:
        return str(offer["code"])
    return f"{offer['code']} needed {offer['needed']}, actual {offer['actual']}"
