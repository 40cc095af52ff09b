"""Signs of misuse under chance: no order of facts matters, thresholds are monotone, a repeated story says the same."""

from __future__ import annotations

from dataclasses import fields, replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.fraud import DEFAULTS, Finding, Limits
from agent.domain.fraud_link import Fuelling, Linked, at_link, most_within
from agent.domain.fraud_night import Share, Span, corrected, late, weak
from agent.domain.identity import AuthLevel
from tests.support.examples import tries

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SPAN = Span("2026-01-05", 0, DAY_MS)


@st.composite
def fuellings(draw: st.DrawFn) -> tuple[Fuelling, ...]:
    """Up to eight fuellings of one member within some days."""
    count = draw(st.integers(1, 8))
    found = []
    for number in range(count):
        ended_ms = draw(st.integers(0, 9 * 24)) * HOUR_MS // draw(st.sampled_from([1, 3])) + number
        found.append(
            Fuelling(
                sale=f"S{number:02d}",
                day=str(ended_ms // DAY_MS),
                ended_ms=ended_ms,
                product=draw(st.sampled_from(["petrol", "diesel", "lpg", None])),
                volume_ml=draw(st.sampled_from([5_000, 60_000, 121_000])),
                level=draw(st.sampled_from(list(AuthLevel))),
                by=draw(st.sampled_from(["a", "b"])),
                delay_s=draw(st.sampled_from([0, 480, 481])),
            )
        )
    return tuple(found)


@st.composite
def linked(draw: st.DrawFn) -> Linked:
    """One of them is linked now."""
    first, *others = draw(fuellings())
    return Linked(
        "m",
        first,
        first.day,
        tuple(others),
        tank_ml=draw(st.sampled_from([None, 50_000])),
        is_staff=draw(st.booleans()),
        own=draw(st.booleans()),
        late=draw(st.booleans()),
    )


@settings(max_examples=tries(80))
@given(facts=linked(), seed=st.integers(0, 99))
def test_the_order_of_facts_does_not_matter(facts: Linked, seed: int) -> None:
    """The same fuellings in another order are the same findings."""
    others = list(facts.others)
    Random(seed).shuffle(others)
    assert at_link(replace(facts, others=tuple(others)), DEFAULTS) == at_link(facts, DEFAULTS)


@settings(max_examples=tries(80))
@given(facts=linked())
def test_what_is_found_is_what_was_compared(facts: Linked) -> None:
    """One finding per rule; observed reaches its threshold; every sale named is one of the facts, once."""
    findings = at_link(facts, DEFAULTS)
    known = {one.sale for one in facts.all}
    assert len({found.rule for found in findings}) == len(findings)
    for found in findings:
        named = [sale for sale, _ in found.sales]
        assert found.observed >= found.threshold or facts.late
        assert found.from_ms <= found.to_ms
        assert set(named) <= known
        assert len(named) == len(set(named))


def rank(findings: tuple[Finding, ...]) -> dict[str, int]:
    """Which rules found something, and how heavily."""
    return {found.rule.value: found.severity.value == "alert" for found in findings}


@settings(max_examples=tries(80))
@given(facts=linked(), name=st.sampled_from([field.name for field in fields(Limits)]))
def test_a_higher_threshold_never_finds_more(facts: Linked, name: str) -> None:
    """Raising any one count or amount of the rules at a link takes findings away, or makes them milder."""
    spans = ("velocity_ms", "staff_ms")
    higher = replace(DEFAULTS, **{name: getattr(DEFAULTS, name) * (1 if name in spans else 2)})
    before, after = rank(at_link(facts, DEFAULTS)), rank(at_link(facts, higher))
    assert all(after[rule] <= before.get(rule, -1) for rule in after)


@settings(max_examples=tries(60))
@given(
    told=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=7),
    seed=st.integers(0, 99),
    more=st.integers(1, 3),
)
def test_attendants_are_compared_whatever_their_order(told: list[tuple[int, int]], seed: int, more: int) -> None:
    """R4, R6, R7: shares in another order accuse the same; a higher share asked for accuses nobody else."""
    shares = [Share(f"s{number}", max(pair), min(pair)) for number, pair in enumerate(told)]
    mixed = list(shares)
    Random(seed).shuffle(mixed)
    stricter = replace(DEFAULTS, late_pct=25 + more, weak_pct=40 + more, corrections_pct=5 + more)
    for judge in (late, weak, corrected):
        found = judge(shares, SPAN, DEFAULTS)
        assert judge(mixed, SPAN, DEFAULTS) == found
        accused = {one.subject.id for one in found}
        assert {one.subject.id for one in judge(shares, SPAN, stricter)} <= accused


@settings(max_examples=tries(60))
@given(times=st.lists(st.integers(0, 50), min_size=1, max_size=12), width=st.integers(0, 20), data=st.data())
def test_the_fullest_span_is_that_of_a_plain_search(times: list[int], width: int, data: st.DataObject) -> None:
    """As if every span that holds the instant were counted by hand."""
    at = data.draw(st.sampled_from(times))
    by_hand = max(sum(start <= one <= start + width for one in times) for start in range(at - width, at + 1))
    assert most_within(times, at, width) == by_hand
