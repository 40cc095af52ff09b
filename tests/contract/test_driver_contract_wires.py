"""The contract of every driver on real ptys and TCP: it reads the truth, survives a pulled cable and leaks no descriptor."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.commands import ReadSale
from drivers.readings import CodeScan, CommandOutcome, CompletedSale, DeviceStatus, TankReading
from tests.support.driver_rig import NEEDS_NO_WIRE, WIRES, RealRig, descriptors, every_command, real_rig
from tests.support.simulated import wait_for

PULLS = 50
FAST = 40
"""Hastens only the line's own waits between attempts to open the port, so that fifty pulls take seconds."""


def reads_the_truth(rig: RealRig) -> None:
    """One fact of each kind of device, as it is at the simulator now."""
    if rig.protocol == "dart":
        rig.line.submit(ReadSale("s", 2, (1, 2, 3)))
        rig.until(lambda: bool(rig.finals("s")))
        assert rig.finals("s") == [CommandOutcome.APPLIED]
        totals = {reading.nozzle: reading.raw for reading in rig.of(CompletedSale)[-1].after}
        assert totals == rig.forecourt.world.heads[2].totals
    elif rig.protocol == "veeder-root":
        rig.until(lambda: {reading.gauge_index for reading in rig.of(TankReading)} == {1, 2, 3})
        for number, tank in rig.forecourt.world.tanks.items():
            told = [reading.volume_ml or 0 for reading in rig.of(TankReading) if reading.gauge_index == number][-1]
            assert abs(told - tank.volume_ml) <= 1_000
    else:
        with rig.server.lock:
            rig.server._readers["reader-1"].write(b"9156000000000017\r\n")
        rig.until(lambda: bool(rig.of(CodeScan)))
        assert rig.of(CodeScan)[-1].text == "9156000000000017"


@pytest.mark.parametrize("wire", WIRES)
def test_a_driver_reads_the_truth_from_a_real_wire(wire: str, tmp_path: Path) -> None:
    """Opened by the registry as the agent does, and online once."""
    with real_rig(wire, tmp_path) as rig:
        rig.online()
        reads_the_truth(rig)
        assert all(status.online for status in rig.of(DeviceStatus))


@pytest.mark.parametrize("wire", WIRES)
def test_a_pulled_cable_is_offline_and_back_within_five_seconds(wire: str, tmp_path: Path) -> None:
    """Told once each way with what to do; no command ends as applied; afterwards the truth is read again."""
    with real_rig(wire, tmp_path) as rig:
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
        reads_the_truth(rig)


@pytest.mark.parametrize("wire", WIRES)
def test_fifty_pulled_cables_leak_no_descriptor(wire: str, tmp_path: Path) -> None:
    """However often the wire goes and comes: as many open descriptors as before, and the device still online."""
    with real_rig(wire, tmp_path, speed=FAST) as rig:
        rig.online()
        before = descriptors()
        for _ in range(PULLS):
            rig.pull()
            rig.until(lambda: not rig.line.is_open, 10)
            rig.plug()
            rig.until(lambda: rig.line.is_open, 10)
        rig.online()
        wait_for(lambda: descriptors() <= before, "the descriptors of the dropped connections to close")
        assert descriptors() == before
        assert rig.line.counters()["port_lost"] >= PULLS
