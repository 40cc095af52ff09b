"""The contract of every driver about a cable that goes and comes a hundred times: it leaks nothing and is online again."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from tests.support.rigs.base import Subject, descriptors, real_rig
from tests.support.simulated import wait_for

pytestmark = pytest.mark.long

PULLS, FEW_PULLS = 100, 10
"""A hundred are the proof, in ``make drivers``; a few tell whoever changes a driver."""

WITHIN_S = 60.0
FAST = 40
"""Hastens only the line's own waits between attempts to open the port, so that a hundred pulls take seconds."""


@pytest.mark.proves("replugs")
def test_a_hundred_pulled_cables_leak_no_descriptor(
    wired: tuple[Subject, str], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """However often the wire goes and comes: no more open descriptors than before, and the device still online."""
    pulls = PULLS if pytestconfig.getoption("proofs") else FEW_PULLS
    with real_rig(*wired, tmp_path, speed=FAST) as rig:
        rig.online()
        gc.collect()
        before = descriptors()
        for _ in range(pulls):
            rig.pull()
            rig.until(lambda: not rig.line.is_open, WITHIN_S)
            rig.plug()
            rig.until(lambda: rig.line.is_open, WITHIN_S)
        rig.online()
        # fewer than before is no leak: what others left in this process may have been collected meanwhile
        wait_for(
            lambda: descriptors() <= before, "the descriptors of the dropped connections to close", deadline_s=WITHIN_S
        )
        assert rig.line.counters()["port_lost"] >= pulls
