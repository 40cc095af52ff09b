"""Where lint finds no bigger sale that is dearer, there is none: scanned sale by sale with the engine."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.rules.lint import Lint, lint
from agent.domain.units import half_up
from tests.support.examples import tries
from tests.support.loyalty import Table, document, member, rules, run, sale

PRICE_MILLI = 7_850
LEAST_MINOR = (10_000, 10_500, 20_000, 21_000, 25_000)
LITRES_ML = (20_000, 30_000)
SIZES_MINOR = sorted(
    {amount + step for amount in LEAST_MINOR for step in (-1, 0)}
    | {half_up(volume_ml * PRICE_MILLI, 10_000) + step for volume_ml in LITRES_ML for step in (-1, 0, 1)}
    | set(range(5_000, 45_000, 1_013))
)
ROUNDING_MINOR = 4
"""Each of at most four offers is rounded once: a fall of so little is no threshold."""


@st.composite
def offers(draw: st.DrawFn) -> list[Table]:
    """Two to four discounts with thresholds in money or litres, in groups, with caps, tiers and exclusive ones."""
    some = st.sampled_from
    terms: dict[str, Any] = {
        "PERCENT": {"share_bp": some((300, 500, 2_000)), "basis": some(("RUNNING", "GROSS"))},
        "AMOUNT_OFF": {"off_minor": some((500, 1_500, 3_000))},
        "SPEND_THRESHOLD": {
            "off_minor": some((1_000, 2_000)), "per_minor": some((10_000, 20_000)),
            "repeat": some((1, 3)), "basis": some(("RUNNING", "GROSS")),
        },
        "PER_LITRE": {"off_milli": some((100, 300))},
    }  # fmt: skip
    made = []
    for number in range(draw(st.integers(2, 4))):
        kind = draw(some(sorted(terms)))
        offer = {"id": f"o{number}", "kind": kind, "priority": draw(st.integers(1, 3))}
        offer |= {key: draw(value) for key, value in terms[kind].items()}
        when = draw(
            st.one_of(
                st.just({}),
                st.builds(lambda amount: {"min_amount_minor": amount}, some(LEAST_MINOR)),
                st.builds(lambda volume: {"min_volume_ml": volume}, some(LITRES_ML)),
            )
        )
        offer["when"] = when | draw(some(({}, {}, {}, {"tiers": ["gold"]})))
        offer |= draw(some(({}, {"group": "b"}, {"group": "f"}, {"exclusive": True})))
        offer |= draw(some(({}, {}, {"cap": {"amount_minor": 2_500}})))
        made.append(offer)
    return made


@settings(max_examples=tries(60), deadline=None)
@given(offers())
def test_no_finding_means_that_a_bigger_sale_never_costs_more_than_its_fuel(made: list[Table]) -> None:
    """The saving of gold and plain members never falls from one size to the next, but for rounding."""
    groups = [("b", "BEST"), ("f", "FIRST")]
    if any(found.code is Lint.DEARER for found in lint(document(*made, groups=groups))):
        return
    rule_set = rules(*made, groups=groups)
    for who in (member(), member(tier="gold")):
        savings = [
            run(
                rule_set, sale(a, volume_ml=half_up(a * 10_000, PRICE_MILLI), price_milli=PRICE_MILLI), who
            ).discount_minor
            for a in SIZES_MINOR
        ]
        falls = [
            (size, before - after)
            for size, before, after in zip(SIZES_MINOR[1:], savings, savings[1:], strict=False)
            if before - after > ROUNDING_MINOR
        ]
        assert falls == []
