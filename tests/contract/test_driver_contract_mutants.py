"""The contract of every codec with a check in its frames: a damaged frame is never taken for another one."""

from __future__ import annotations

import pytest

from tests.support.mutation import judge
from tests.support.rigs.base import Subject

pytestmark = pytest.mark.long

MUTANTS = 10_000


def test_ten_thousand_damaged_frames_are_refused_or_right_by_chance(checked: Subject) -> None:
    """An oracle written apart reads the same bytes: nothing comes out that it does not find there with a right check."""
    wording = checked.wording
    assert wording is not None
    tally = judge(wording, MUTANTS, seed=20)
    assert tally.wrong == [], f"{checked}: {tally}"
    assert tally.counts["rejected"] > MUTANTS // 2
