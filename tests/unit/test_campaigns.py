"""What may be said of an offer beside its hold-out group: exact means, and silence where the numbers are too small."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain.campaigns import MIN_MEMBERS, Difference, Group, Said, difference, effect, side

MEMBERS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 90_000), st.integers(1, 90_000)), max_size=40)


def group_of(members: list[tuple[int, int, int]]) -> Group:
    """A group of members with their fuellings, net and litres."""
    group = Group()
    for member in members:
        group.count(*member)
    return group


def sums(values: list[int]) -> tuple[int, int, int]:
    """Members, sum and sum of squares."""
    return len(values), sum(values), sum(value * value for value in values)


def test_means_are_per_member_and_rounded_half_up() -> None:
    """3 members with 100 in all have 33 each, 2 with 101 have 51 (50.5), and the difference is -34.65 %."""
    found = difference((3, 100, 0), (2, 102, 0))
    assert found == Difference(33, 51, -3_464, Said.TOO_FEW)
    assert difference((2, 101, 0), (2, 100, 0)).treated == 51


def test_an_empty_group_has_no_mean_and_no_difference() -> None:
    """Nobody held out: unknown is not zero."""
    found = effect(group_of([(1, 5_000, 20_000)]), Group())
    assert found.net == Difference(5_000, None, None, Said.TOO_FEW)


def test_a_held_out_group_that_bought_nothing_gives_no_share() -> None:
    """A share of nothing is not a number."""
    assert difference((1, 10, 100), (1, 0, 0)).difference_bp is None


@pytest.mark.parametrize("members", [MIN_MEMBERS - 1, MIN_MEMBERS])
def test_under_thirty_members_in_a_group_nothing_is_said(members: int) -> None:
    """However large the difference is."""
    large, small = sums([1_000, 1_001] * 40), sums([10 + n % 2 for n in range(members)])
    expected = Said.TOO_FEW if members < MIN_MEMBERS else Said.MORE
    assert difference(large, small).said is expected


def test_a_difference_within_two_standard_errors_is_chance() -> None:
    """Two groups of 50 with spread 500 have a standard error of about 100: 150 apart is chance, 250 is not."""
    base = [1_000 + (500 if n % 2 else -500) for n in range(50)]
    for shift, said in ((0, Said.WITHIN_CHANCE), (150, Said.WITHIN_CHANCE), (250, Said.MORE), (-250, Said.LESS)):
        assert difference(sums([value + shift for value in base]), sums(base)).said is said


def test_equal_members_without_any_spread_differ_or_not() -> None:
    """A spread of zero needs no chance: the same is the same, one more is more."""
    assert difference(sums([5] * 30), sums([5] * 30)).said is Said.WITHIN_CHANCE
    assert difference(sums([6] * 30), sums([5] * 30)).said is Said.MORE


@given(MEMBERS, MEMBERS, st.integers(0, 40))
def test_groups_counted_in_parts_say_the_same(
    one: list[tuple[int, int, int]], other: list[tuple[int, int, int]], cut: int
) -> None:
    """However the members were cut into parts, and in whatever order the parts come."""
    whole = effect(group_of(one), group_of(other))
    joined = group_of(one[cut:])
    joined.add(group_of(one[:cut]))
    assert effect(joined, group_of(other[::-1])) == whole
    if one:
        exact = Fraction(sum(net for _, net, _ in one), len(one))
        assert whole.net.treated is not None
        assert abs(whole.net.treated - exact) <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("bucket", "shares", "expected"),
    [
        (0, (1_000,), True),
        (999, (1_000,), True),
        (1_000, (1_000,), False),
        (500, (0, 1_000), None),
        (2_000, (0, 1_000), False),
    ],
)
def test_a_member_belongs_to_a_group_only_where_every_rule_version_says_so(
    bucket: int, shares: tuple[int, ...], expected: bool | None
) -> None:
    """Whoever was held out for a part of the time is in neither group."""
    assert side(bucket, shares) is expected


SLOW = """
from agent.cli.loyalty import progress
with progress(3, shown=True, patience_s={patience}) as advance:
    for _ in range(3):
        advance()
"""


@pytest.mark.parametrize(("patience", "expected"), [(-1, True), (3_600, False)])
def test_a_bar_appears_on_a_terminal_only_where_counting_takes_long(patience: int, expected: bool) -> None:
    """Who has waited long enough sees how far it has come; a quick answer comes without flicker."""
    reader, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen(
        [sys.executable, "-c", SLOW.format(patience=patience)], stderr=terminal, env=environment
    ) as counting:
        assert counting.wait(60) == 0
    os.write(terminal, b"end")
    seen = b""
    while not seen.endswith(b"end"):  # a terminal may hand over in pieces what was written in pieces
        seen += os.read(reader, 65_536)
    os.close(terminal)
    os.close(reader)
    assert (b"counting sales" in seen) is expected
