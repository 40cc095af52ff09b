"""The contract of every driver on real ptys and TCP: it reads the truth, survives a pulled cable and leaks no descriptor."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.readings import CommandOutcome, DeviceStatus
from tests.support.rigs.base import NEEDS_NO_WIRE, Subject, every_command, real_rig

pytestmark = pytest.mark.long


def test_a_driver_reads_the_truth_from_a_real_wire(wired: tuple[Subject, str], tmp_path: Path) -> None:
    """Opened by the registry as the agent does, and online once."""
    with real_rig(*wired, tmp_path) as rig:
        rig.online()
        rig.subject.reads_the_truth(rig)
        assert all(status.online for status in rig.of(DeviceStatus))


def test_a_pulled_cable_is_offline_and_back_within_five_seconds(wired: tuple[Subject, str], tmp_path: Path) -> None:
    """Told once each way with what to do; no command ends as applied; afterwards the truth is read again."""
    with real_rig(*wired, tmp_path) as rig:
        rig.online()
        rig.pull()
        for command in every_command():
            rig.line.devices[0].submit(command)
        assert rig.until(lambda: all(rig.status(name) is False for name in rig.devices), 5) <= 5
        rig.turns(0.5)
        offline = rig.statuses(rig.devices[0])[-1]
        assert offline.reason
        assert offline.hint
        for command in every_command():
            (end,) = rig.finals(command.command_id)
            assert end is not CommandOutcome.APPLIED or isinstance(command, NEEDS_NO_WIRE)
        rig.plug()
        assert rig.until(lambda: all(rig.status(name) is True for name in rig.devices), 5) <= 5
        for name in rig.devices:
            assert [status.online for status in rig.statuses(name)] == [True, False, True]
        rig.subject.reads_the_truth(rig)
