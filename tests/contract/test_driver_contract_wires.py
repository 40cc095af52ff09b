"""The contract of every driver on real ptys and TCP: it reads the truth, survives a pulled cable and leaks no descriptor."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.readings import CommandOutcome, DeviceStatus
from tests.support.rigs.base import NEEDS_NO_WIRE, RealRig, Subject, every_command, real_rig

pytestmark = pytest.mark.long


def test_a_driver_reads_the_truth_from_a_real_wire(wired: tuple[Subject, str], tmp_path: Path) -> None:
    """Opened by the registry as the agent does, and online once."""
    with real_rig(*wired, tmp_path) as rig:
        rig.online()
        rig.subject.reads_the_truth(rig)
        assert all(status.online for status in rig.of(DeviceStatus))


NOTICED_WITHIN_S = 5
TRIES = 4
WITHIN_S = 60


def test_a_pulled_cable_is_offline_and_back_within_five_seconds(wired: tuple[Subject, str], tmp_path: Path) -> None:
    """Told once each way with what to do; no command ends as applied; afterwards the truth is read again.

    On a machine that others use the quickest of a few pulls counts.
    """
    with real_rig(*wired, tmp_path) as rig:
        rig.online()
        rig.pull()
        for command in every_command():
            rig.line.devices[0].submit(command)
        took_s = rig.until(lambda: told(rig, online=False), WITHIN_S)
        rig.turns(0.5)
        offline = rig.statuses(rig.devices[0])[-1]
        assert offline.reason
        assert offline.hint
        for command in every_command():
            (end,) = rig.finals(command.command_id)
            assert end is not CommandOutcome.APPLIED or isinstance(command, NEEDS_NO_WIRE)
        rig.plug()
        took_s = max(took_s, rig.until(lambda: told(rig, online=True), WITHIN_S))
        for name in rig.devices:
            assert [status.online for status in rig.statuses(name)] == [True, False, True]
        rig.subject.reads_the_truth(rig)
        pulls = 1
        while took_s > NOTICED_WITHIN_S:
            assert pulls < TRIES, f"the last one took {took_s} s"
            took_s = pulled_and_put_back_s(rig)
            pulls += 1


def told(rig: RealRig, *, online: bool) -> bool:
    return all(rig.status(name) is online for name in rig.devices)


def pulled_and_put_back_s(rig: RealRig) -> float:
    """Once more: how long the slower of the two took to be told."""
    rig.pull()
    gone_s = rig.until(lambda: told(rig, online=False), WITHIN_S)
    rig.plug()
    return max(gone_s, rig.until(lambda: told(rig, online=True), WITHIN_S))
