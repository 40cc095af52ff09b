"""What holds for every rule set, sale and member: the invariants of the loyalty rules, asked of the engine alone."""

from __future__ import annotations

from random import Random

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from agent.domain.rules.fields import RuleSetError
from agent.domain.rules.load import parse
from agent.domain.rules.verdict import Evaluation, Verdict
from tests.support.examples import tries
from tests.support.loyalty import document as plain_document
from tests.support.loyalty_cases import Dice, case, dice, document
from tests.support.loyalty_facts import evaluated, told
from tests.support.loyalty_model.numbers import half_up, money_of
from tests.support.loyalty_model.words import Table, is_discount

EXAMPLES = tries(500)


def saved(result: Evaluation) -> int:
    """What the discounts save in money; points are a payment."""
    return result.discount_minor - result.points_money_minor


@given(dice())
@settings(max_examples=EXAMPLES)
def test_sums_caps_and_verdicts(roll):
    """Net and discounts make the gross, no cap, budget or balance is exceeded, and each offer has one verdict."""
    rules = document(roll)
    sold = case(roll, rules)
    result = evaluated(parse(rules), sold)
    assert result.gross_minor == sum(line["amount_minor"] for line in sold["lines"])
    assert 0 <= result.discount_minor <= result.gross_minor
    assert result.net_minor + result.discount_minor == result.gross_minor
    assert sum(result.line_nets_minor) == result.net_minor
    assert min(result.line_nets_minor) >= 0
    assert sorted(found.offer for found in result.verdicts) == sorted(offer["id"] for offer in rules["offer"])
    given_back = sold["rollback"] and sold["rollback"]["offer"]
    values = [found.value_minor for found in result.verdicts if found.offer != given_back]
    assert sum(values) == result.discount_minor or any(
        o["kind"] != "PUMP_ROLLBACK" for o in rules["offer"] if o["id"] == given_back
    )
    for use in result.budgets:
        assert 0 < use.amount_minor <= sold["leases"][use.campaign]["left"]
    _within_program(result, rules, sold)
    for found in result.verdicts:
        assert (found.code.value == "OK") == (found.verdict is Verdict.APPLIED)
        assert found.verdict is not Verdict.CAPPED or found.value_minor + found.points > 0
        assert found.verdict is not Verdict.REJECTED or found.value_minor == found.points == 0
        assert (found.value_minor, found.points) <= (found.desired_minor, found.desired_points)


def _within_program(result: Evaluation, rules: Table, sold: Table) -> None:
    program = rules["program"]
    assert result.points_redeemed <= min(sold["usable"] or 0, sold["points"] or 0)
    assert result.points_money_minor * program["step_points"] == result.points_redeemed * program["step_minor"]
    assert saved(result) <= program.get("discount_cap_minor", saved(result))
    if "discount_cap_bp" in program:
        assert saved(result) <= (result.gross_minor * program["discount_cap_bp"] + 5_000) // 10_000
    assert {use.code for use in result.coupons} <= {coupon["code"] for coupon in sold["coupons"]}
    assert len({use.offer for use in result.coupons}) == len(result.coupons)


def shuffled(table: Table, random: Random) -> Table:
    """The same rule document with everything that is a list in another order."""
    made: Table = {}
    for key in random.sample(list(table), len(table)):
        value = table[key]
        if isinstance(value, dict):
            value = shuffled(value, random)
        elif isinstance(value, list):
            value = [shuffled(item, random) if isinstance(item, dict) else item for item in value]
            random.shuffle(value)
        made[key] = value
    return made


@given(dice())
@settings(max_examples=EXAMPLES)
def test_order_and_repetition_change_nothing(roll):
    """Shuffling offers, groups, tiers, limits, coupons and counts gives the same answer, and so does asking again."""
    rules, random = document(roll), Random(roll.seed)
    sold = case(roll, rules)
    first = evaluated(parse(rules), sold)
    assert evaluated(parse(rules), sold) == first
    turned = dict(sold)
    for key in ("station_uses", "leases"):
        turned[key] = dict(random.sample(list(sold[key].items()), len(sold[key])))
    turned["coupons"] = random.sample(sold["coupons"], len(sold["coupons"]))
    if sold["member"] is not None:
        counts = list(sold["member"]["uses"].items())
        turned["member"] = {**sold["member"], "uses": dict(random.sample(counts, len(counts)))}
    again = evaluated(parse(shuffled(rules, random)), turned)
    assert again.verdicts == first.verdicts
    assert told(again) == told(first)


@given(dice())
@settings(max_examples=EXAMPLES)
def test_better_tier_never_pays_more(roll):
    """The discounts of a gold member are worth no less than those of a silver one, and those no less than a plain one's."""
    rules = document(roll)
    sold = case(roll, rules)
    assume(sold["member"] is not None)
    parsed = parse(rules)
    found = [
        saved(evaluated(parsed, sold | {"member": sold["member"] | {"tier": t}})) for t in (None, "silver", "gold")
    ]
    event("the tier mattered" if found[0] < found[2] else "the tier gave nothing more")
    assert found == sorted(found)


@given(dice())
@settings(max_examples=EXAMPLES)
def test_a_coupon_never_makes_a_sale_dearer(roll):
    """Each coupon shown beside the others leaves the sale as it was or makes it cheaper."""
    rules = document(roll)
    rules["offer"] += [coupon(roll, f"c{number}") for number in range(7, 9)]
    sold = case(roll, rules)
    parsed, shown = parse(rules), sold["coupons"]
    found = [saved(evaluated(parsed, sold | {"coupons": shown[:count]})) for count in range(len(shown) + 1)]
    event("a coupon mattered" if found[0] < found[-1] else "no coupon gave more")
    assert found == sorted(found)


def coupon(roll: Dice, name: str) -> Table:
    """A coupon that is taken unchecked, alone or beside others."""
    effect: Table = roll.pick(({"gives": "AMOUNT_OFF", "off_minor": 900}, {"gives": "PERCENT", "share_bp": 2_000}))
    offer: Table = {"id": name, "kind": "COUPON", **effect, "checking": "OFFLINE_WITH_RISK", "risk_up_to_minor": 90_000}
    offer["trimmed"] = roll.pick(("SPEND", "KEEP_COUPON", "KEEP_BALANCE"))
    offer["priority"] = roll.pick((1, 2))
    offer["exclusive"] = roll.one_in(3)
    offer["group"] = roll.pick(("stack", "best", "first"))
    return offer


@given(dice())
@settings(max_examples=tries(150))
def test_not_even_a_greedy_search_makes_a_better_tier_or_a_coupon_dearer(roll):
    """Where more plans are allowed than are compared, a tier or a coupon still takes nothing away, and it is said."""
    rules = document(roll, discounts=9)
    for offer in rules["offer"]:
        if is_discount(offer) and offer["kind"] != "PUMP_ROLLBACK":
            offer.pop("when", None)
            if roll.one_in(2):
                offer["when"] = {"tiers": roll.pick((["gold"], ["silver", "gold"]))}
            if offer.get("group") == "first":
                offer["group"] = "stack"
    rules["offer"] += [coupon(roll, f"c{number}") for number in range(6, 9)]
    sold = case(roll, rules) | {"level": "sun", "clock_suspect": False, "purpose": None}
    assume(sold["member"] is not None)
    parsed = parse(rules)
    results = [evaluated(parsed, sold | {"member": sold["member"] | {"tier": t}}) for t in (None, "silver", "gold")]
    results.insert(0, evaluated(parsed, sold | {"member": sold["member"] | {"tier": None}, "coupons": []}))
    event("greedy" if results[-1].greedy else "all plans compared")
    found = [saved(result) for result in results]
    assert found == sorted(found)


@given(dice())
@settings(max_examples=EXAMPLES)
def test_more_litres_never_lower_a_per_litre_saving(roll):
    """A longer fill saves at least as much, whatever caps, limits, leases and other per-litre offers there are."""
    offers = []
    for name in ("a", "b", "c")[: roll.pick((1, 2, 3))]:
        offer: Table = {
            "id": name,
            "kind": "PER_LITRE",
            "off_milli": roll.number(1, 900),
            "priority": roll.pick((1, 2)),
        }
        offer |= roll.pick(({}, {"group": "best"}, {"group": "first"}, {"exclusive": True}))
        caps: tuple[Table, ...] = (
            {},
            {"volume_ml": roll.number(1, 60_000)},
            {"amount_minor": roll.number(1, 3_000)},
            {"share_bp": 300},
        )
        cap = roll.pick(caps)
        offer |= {"cap": cap} if cap else {}
        offer |= roll.pick(({}, {"budget": {"campaign": "c", "mode": "PARTIAL"}}))
        offer |= roll.pick(({}, {"limit": [{"window": "MONTH", "amount_minor": 2_000}]}))
        offer |= roll.pick(({}, {"when": {"min_volume_ml": 20_000}}, {"when": {"min_amount_minor": 9_000}}))
        offers.append(offer)
    rules = plain_document(*offers, groups=[("best", "BEST"), ("first", "FIRST")])
    if roll.one_in(3):
        rules["program"]["discount_cap_bp"] = 300
    assume(
        not any(offer.get("group") == "first" for offer in offers) or len({o.get("cap") is None for o in offers}) < 3
    )
    sold = case(roll, rules) | {"leases": {"c": {"lease": "l", "left": 1_500, "live": True}}}
    volume_ml, more_ml, price = roll.number(1, 60_000), roll.number(0, 9_000), 7_850
    found, parsed = [], parse(rules)
    for litres in (volume_ml, volume_ml + more_ml):
        amount = half_up(money_of(litres, price, sold["exponent"]))
        line = sold["lines"][0] | {"volume_ml": litres, "unit_price_milli": price, "amount_minor": amount}
        found.append(saved(evaluated(parsed, sold | {"lines": [line]})))
    assert found[0] <= found[1]


values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-5, 50_000), st.text(max_size=6), st.sampled_from(["EARN", "BEST"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=8,
)
KEYS = ("version", "effective_from", "program", "tier", "group", "offer", "x")


@given(
    st.dictionaries(st.sampled_from(KEYS), values),
    st.dictionaries(st.sampled_from(["when", "cap", "limit", "kind"]), values),
)
@settings(max_examples=tries(200))
def test_any_document_is_a_rule_set_or_a_list_of_problems(broken, in_offer):
    """Whatever the document holds, reading it ends in a rule set or in RuleSetError with at least one problem."""
    good = plain_document({"id": "x", "kind": "BONUS_POINTS", "points": 1, **in_offer})
    try:
        found = parse(good | broken).version
    except RuleSetError as error:
        found = len(error.problems)
    assert found >= 1
