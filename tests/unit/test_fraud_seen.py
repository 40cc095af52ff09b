"""What the rules see in a refused scan, a counter and a refund: R8, R12, R11; each number just below and at it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.domain.fraud import DEFAULTS, Effect, Severity, Unit, member
from agent.domain.fraud_seen import Reversal, Seen, counted, refused, replayed, reversed_money

SEEN = Seen(member("m"), 1_000, "2026-01-05", sales=("S1",))


def test_one_replay_holds_the_points_of_the_first_use() -> None:
    """R8: the first time already is an alert, and what the code was used for waits for a review."""
    finding = replayed(SEEN, DEFAULTS)
    assert (finding.severity, finding.observed, finding.threshold) == (Severity.ALERT, 1, 1)
    assert finding.sales == (("S1", Effect.HOLD),)


@pytest.mark.parametrize(("before", "severity"), [(0, Severity.INFO), (1, Severity.ALERT)])
def test_a_station_may_ask_for_more_than_one(before: int, severity: Severity) -> None:
    """R8 and R12: below the threshold it is only noted, and so the next one is counted."""
    limits = replace(DEFAULTS, replays=2, counter_refusals=2)
    for rule in (replayed, refused):
        finding = rule(replace(SEEN, before=before), limits)
        assert (finding.severity, finding.observed) == (severity, before + 1)


def test_a_refused_chip_is_an_alert() -> None:
    """R12: a counter that fell back, or another chip's number, is an alert at once."""
    finding = refused(SEEN, DEFAULTS)
    assert (finding.severity, finding.unit) == (Severity.ALERT, Unit.REFUSALS)


@pytest.mark.parametrize(("jump", "seen"), [(1, False), (200, False), (201, True)])
def test_a_counter_that_jumps_is_noted(jump: int, seen: bool) -> None:
    """R12: a counter more than 200 above the last one was read elsewhere."""
    finding = counted(SEEN, jump, DEFAULTS)
    assert (finding is not None) is seen
    if finding is not None:
        assert (finding.severity, finding.sales) == (Severity.INFO, (("S1", Effect.NONE),))


def reversal(sale: str, whose: str = "m", by: str = "S07") -> Reversal:
    """Money given back on a sale."""
    return Reversal(sale, whose, by, 1_000)


@pytest.mark.parametrize(
    ("of_member", "of_attendant", "told"),
    [
        ([], [], [("m", Severity.INFO, 1)]),
        (["S1"], [], [("m", Severity.INFO, 1)]),
        (["S2"], [], [("m", Severity.ALERT, 2)]),
        ([], ["S2"], [("m", Severity.INFO, 1)]),
        ([], ["S2", "S3"], [("m", Severity.INFO, 1), ("S07", Severity.ALERT, 3)]),
        (["S2"], ["S2", "S3"], [("m", Severity.ALERT, 2), ("S07", Severity.ALERT, 3)]),
    ],
)
def test_reversals(of_member: list[str], of_attendant: list[str], told: list[tuple[str, Severity, int]]) -> None:
    """R11: each is noted; two sales of a member or three of an attendant are an alert; parts of one sale are one."""
    findings = reversed_money(
        reversal("S1"),
        tuple(reversal(sale) for sale in of_member),
        tuple(reversal(sale, "other") for sale in of_attendant),
        "2026-01-05",
        DEFAULTS,
    )
    assert [(found.subject.id, found.severity, found.observed) for found in findings] == told
