"""What people read of a rehearsal: the explanation of a case or an event, and the accounts after it, line by line.

Knows answers as plain data; decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.domain.rules.explain import decimal, money
from agent.rehearsal.play import Played
from agent.rehearsal.trying import Tried

Answer = dict[str, Any]


def tried(one: Tried, *, brief: bool) -> Iterator[str]:
    """Yield what one case gave: the sale, a sentence on each offer, the sums, and what was expected otherwise.

    ``brief``: of a case that is as expected, its name says enough.
    """
    told = one.answer
    if brief and one.case.expect is not None and not one.differences:
        yield f"as expected: {told['case']}"
        return
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


def played(one: Played, exponent: int) -> Iterator[str]:
    """Yield one event: what happened, what was answered, the accounts after it, and whether the books agree."""
    told = one.told
    yield f"{told['event']}. {told['kind']} {told['id']}, {told['at']}"
    if told["refused"]:
        yield f"  REFUSED {told['refusal']['problem']}"
        yield f"    {told['refusal']['hint']}"
    elif told["kind"] == "repeat":
        yield "  the same message once more" + (": nothing has changed" if one.sound else "")
    else:
        yield from (f"  {text}" for text in _answered(told["answer"]))
    yield from (f"    {text}" for text in state(told["state"], exponent))
    proof = told["check"]
    yield "    books: " + ("agree" if proof["agrees"] else f"DO NOT AGREE: {'; '.join(proof['problems'])}")
    for difference in one.differences:
        yield f"  DIFFERENT {difference}"


def _answered(answer: Answer) -> Iterator[str]:
    if "offers" in answer:
        yield from sale(answer)
        yield answer["state"]
    else:
        plain = {key: value for key, value in answer.items() if not isinstance(value, list)}
        yield ", ".join(f"{key} {_word(value)}" for key, value in plain.items())
        yield from (
            ", ".join(f"{key} {_word(value)}" for key, value in row.items()) for row in answer.get("members", [])
        )
    for leg in answer.get("postings", []):
        whose = leg["account"] if leg["member"] is None else f"{leg['account']} of {leg['member']}"
        yield f"{leg['points']:+d} {whose}, lot {leg['lot']}"


def state(told: Answer, exponent: int) -> Iterator[str]:
    """Yield the state after an event, a line for each member, lot, coupon, budget and lease."""
    for member in told["members"]:
        yield from _member(member)
    program = ", ".join(f"{name} {points}" for name, points in told["program"].items() if points)
    yield f"programme: {program or 'nothing posted'}"
    for coupon in told["coupons"]:
        left = "" if coupon["balance_minor"] is None else f", {money(coupon['balance_minor'], exponent)} on it"
        yield f"coupon {coupon['coupon']}: {coupon['state']}{left}"
    for over in told["overruns"]:
        worth = f"{money(over['value_minor'], exponent)} and {over['points']} points"
        yield f"overrun: {over['benefit']} once more on sale {over['sale']}, {worth} borne by the programme"
    for budget in told["budgets"]:
        balance, free = money(budget["balance_minor"], exponent), money(budget["free_minor"], exponent)
        yield f"budget {budget['campaign']}: {balance}, of it {free} free"
    for lease in told["leases"]:
        sums = ", ".join(_sum(key, value, exponent) for key, value in lease.items() if key.endswith(UNITS))
        yield f"lease {lease['lease']} of {lease['subject']} at {lease['station']}: {lease['state']}, {sums}"


UNITS = ("_minor", "_points")


def _sum(key: str, value: int, exponent: int) -> str:
    """Return a sum as people read it: points as they are, money with its decimals."""
    word, _, unit = key.rpartition("_")
    return f"{word} {money(value, exponent) if unit == 'minor' else value}"


def _member(told: Answer) -> Iterator[str]:
    tier = told["tier"] or "no tier"
    if told["falls_on"]:
        tier += f" (from {told['falls_on']} on {told['falls_to'] or 'none'})"
    debt = f", owes {told['debt_points']}" if told["debt_points"] else ""
    held = f", {told['held_points']} held" if told["held_points"] else ""
    yield (
        f"member {told['member']}: {told['available_points']} points, {told['usable_points']} usable{held}{debt};"
        f" {tier}, growth {told['growth']}, visits {told['visits']}"
    )
    for lot in told["lots"]:
        ends = f"to {lot['expires_on']}" if lot["expires_on"] else "without end"
        begins = "held" if lot["held"] else f"from {lot['usable_from']}"
        yield f"  lot {lot['lot']}: {lot['points']} points, {begins} {ends}{', ended' if lot['expired'] else ''}"


def _word(value: Any) -> str:
    return "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
