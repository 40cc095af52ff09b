"""What holds for every rule set, sale and member: the invariants of the loyalty specification."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.domain.member import MemberFacts
from agent.domain.rules.conditions import Case, refusal
from agent.domain.rules.engine import evaluate
from agent.domain.rules.facts import BudgetView, CampaignBudget, Presented, SaleFacts
from agent.domain.rules.fields import RuleSetError
from agent.domain.rules.load import parse
from agent.domain.rules.model import GroupMode, Offer, RuleSet
from agent.domain.rules.plan import Plan, may_be_left_out, stand_together
from agent.domain.rules.stages import run_plan
from agent.domain.rules.verdict import Verdict
from tests.support.loyalty import EARN, MEMBER, Table, document, instant, rules, sale

AT = instant()
GROUPS = [("best", "BEST"), ("first", "FIRST"), ("stack", "STACK")]
money = st.integers(1, 4_000)
budgets = st.builds(
    lambda left, points: BudgetView((CampaignBudget("c", "lease", left),), points),
    st.integers(0, 3_000),
    st.one_of(st.none(), st.integers(0, 20_000)),
)


@st.composite
def discounts(draw: st.DrawFn, count: int = 6) -> list[Table]:
    """A list of discounts with groups, exclusive offers, tier conditions, caps and budgets."""
    names = [f"o{index}" for index in range(draw(st.integers(1, count)))]
    made = []
    for name in names:
        kind, terms = draw(
            st.one_of(
                st.builds(lambda off: ("PER_LITRE", {"off_milli": off}), st.integers(1, 900)),
                st.builds(lambda price: ("FIXED_PRICE", {"price_milli": price}), st.integers(6_000, 8_500)),
                st.builds(
                    lambda share, basis, scope: ("PERCENT", {"share_bp": share, "basis": basis, "scope": scope}),
                    st.integers(1, 6_000),
                    st.sampled_from(["GROSS", "RUNNING"]),
                    st.sampled_from(["LINE", "ORDER"]),
                ),
                st.builds(lambda off: ("AMOUNT_OFF", {"off_minor": off}), money),
                st.builds(
                    lambda off, per, basis: ("SPEND_THRESHOLD", {"off_minor": off, "per_minor": per, "basis": basis}),
                    money,
                    st.integers(1_000, 40_000),
                    st.sampled_from(["GROSS", "RUNNING"]),
                ),
            )
        )
        offer = {"id": name, "kind": kind, **terms, "priority": draw(st.integers(0, 3))}
        offer["exclusive"] = draw(st.sampled_from([False, False, True]))
        when: Table = {}
        if draw(st.booleans()):
            offer["group"] = draw(st.sampled_from(["best", "first", "stack"]))
        if draw(st.booleans()):
            when["tiers"] = draw(st.sampled_from([["gold"], ["silver", "gold"]]))
        if draw(st.sampled_from([False, False, True])):
            offer["joint"] = [draw(st.sampled_from(names))]
        if draw(st.sampled_from([False, False, True])):
            offer["budget"] = {"campaign": "c", "mode": draw(st.sampled_from(["PARTIAL", "ALL_OR_NOTHING"]))}
        if draw(st.sampled_from([False, False, True])):
            offer["cap"] = {"amount_minor": draw(money)}
        made.append({**offer, "when": when})
    return made


@st.composite
def sales(draw: st.DrawFn) -> SaleFacts:
    """A sale of one to three lines."""
    line = st.builds(
        lambda volume, amount, grade: replace(sale().lines[0], volume_ml=volume, amount_minor=amount, grade=grade),
        st.integers(1, 80_000),
        st.integers(0, 60_000),
        st.sampled_from(["92", "95"]),
    )
    lines = tuple(draw(st.lists(line, min_size=1, max_size=3)))
    return replace(sale(), lines=lines, presented=Presented("sun", points=draw(st.sampled_from([None, 300, 10**6]))))


members = st.sampled_from([None, "plain", "silver", "gold"])


def who(word: str | None) -> MemberFacts | None:
    """A member of a tier, a plain one, or nobody."""
    return None if word is None else MemberFacts(MEMBER, tier=None if word == "plain" else word)


PAY = {"id": "pay", "kind": "POINTS_AS_MONEY", "share_bp": 7_000}
programs = st.sampled_from([{}, {"discount_cap_bp": 2_500}, {"discount_cap_minor": 900}])


@given(discounts(), sales(), members, budgets, programs, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=100)
def test_sums_verdicts_purity_and_order(offers, sold, word, view, program, random):
    """Net and discounts make the gross, caps and budgets hold, each offer has one verdict, and order changes nothing."""
    every = [*offers, *EARN, PAY]
    rule_set = parse(document(*every, groups=GROUPS, program=program))
    result = evaluate(sold, who(word), rule_set, view, AT)
    assert 0 <= result.discount_minor <= result.gross_minor
    assert result.net_minor + result.discount_minor == result.gross_minor
    assert sum(verdict.value_minor for verdict in result.verdicts) == result.discount_minor
    assert min(result.line_nets_minor) >= 0
    assert sorted(verdict.offer for verdict in result.verdicts) == sorted(offer["id"] for offer in every)
    assert sum(use.amount_minor for use in result.budgets) <= view.campaigns[0].remaining_minor
    assert result.points_redeemed <= (view.points_usable or 0)
    assert result.points_money_minor == result.points_redeemed
    if "discount_cap_minor" in program:
        assert result.discount_minor - result.points_money_minor <= 900
    for verdict in result.verdicts:
        assert (verdict.code.value == "OK") == (verdict.verdict is Verdict.APPLIED)
        assert verdict.verdict is not Verdict.CAPPED or verdict.value_minor + verdict.points > 0
        assert verdict.value_minor <= verdict.desired_minor
    random.shuffle(every)
    assert evaluate(sold, who(word), parse(document(*every, groups=GROUPS, program=program)), view, AT) == result


@given(discounts(), sales(), programs)
@settings(deadline=None, max_examples=100)
def test_better_tier_never_pays_more(offers, sold, program):
    """The same sale costs a gold member no more than a silver one, and a silver one no more than a plain one."""
    rule_set = parse(document(*offers, groups=GROUPS, program=program))
    view = BudgetView((CampaignBudget("c", "lease", 2_000),))
    nets = [evaluate(sold, who(word), rule_set, view, AT).net_minor for word in ("plain", "silver", "gold")]
    assert nets == sorted(nets, reverse=True)


def lawful(plan: Plan, eligible: list[Offer], rule_set: RuleSet) -> bool:
    """Whether a set of offers is a plan by the words of the specification, found without the search."""

    def conflict(one: Offer, other: Offer) -> bool:
        choosy = rule_set.mode_of(one) is not GroupMode.STACK
        return not stand_together(one, other) or (choosy and one.group is not None and one.group == other.group)

    if any(conflict(one, other) for one, other in combinations(plan, 2)):
        return False
    for offer in eligible:
        if offer in plan or may_be_left_out(offer):
            continue
        if not any(conflict(offer, mate) for mate in plan):
            return False
        holders = [mate for mate in plan if mate.group == offer.group and mate.group is not None]
        if rule_set.mode_of(offer) is GroupMode.FIRST and holders and offer.order < holders[0].order:
            others = [mate for mate in plan if mate != holders[0]]
            if all(stand_together(offer, mate) for mate in others):
                return False
    return True


@given(discounts(count=5), sales(), st.sampled_from(["plain", "gold"]))
@settings(deadline=None, max_examples=100)
def test_chosen_plan_saves_as_much_as_any_lawful_one(offers, sold, word):
    """Searching all subsets of the eligible offers by the words of the rules finds no plan that saves more."""
    rule_set = parse(document(*offers, groups=GROUPS))
    view = BudgetView((CampaignBudget("c", "lease", 2_000),))
    case = Case(sold, who(word), rule_set, view, AT)
    eligible = [offer for offer in rule_set.offers if refusal(offer, case) is None]
    subsets = (plan for size in range(len(eligible) + 1) for plan in combinations(eligible, size))
    best = max(run_plan(case, plan).saving for plan in subsets if lawful(plan, eligible, rule_set))
    result = evaluate(sold, who(word), rule_set, view, AT)
    assume(not result.greedy)
    assert result.discount_minor == best


@given(st.integers(1, 900), st.integers(1, 100_000), st.integers(0, 5_000), st.integers(1, 60_000))
def test_more_litres_never_lower_a_per_litre_saving(off, volume_ml, more_ml, cap_ml):
    """With or without a volume cap, a longer fill saves at least as much."""
    offer = {"id": "x", "kind": "PER_LITRE", "off_milli": off, "cap": {"volume_ml": cap_ml}}
    saved = [
        evaluate(sale(volume_ml=volume), who("plain"), rules(offer), BudgetView(), AT).discount_minor
        for volume in (volume_ml, volume_ml + more_ml)
    ]
    assert saved[0] <= saved[1]


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
@settings(deadline=None, max_examples=200)
def test_any_document_is_a_rule_set_or_a_list_of_problems(broken, in_offer):
    """Whatever the document holds, reading it ends in a rule set or in RuleSetError with at least one problem."""
    good = document({"id": "x", "kind": "BONUS_POINTS", "points": 1, **in_offer})
    try:
        found = parse(good | broken).version
    except RuleSetError as error:
        found = len(error.problems)
    assert found >= 1
