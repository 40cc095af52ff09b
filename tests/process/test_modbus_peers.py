"""The Modbus driver with servers that nobody of this project wrote: two of npm over TCP, libmodbus over a serial line."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.asked import Heard
from drivers.commands import Acknowledge, Authorise, Preset, ReadSale, SetPrices, Stop
from drivers.config import LineConfig, PointConfig, SerialSettings
from drivers.modbus.codec import Function, ReadRequest, Reply
from drivers.modbus.link import Channel, ReadingWire, Timing, serial_timing
from drivers.modbus.options import TCP
from drivers.port import open_port
from drivers.readings import CommandOutcome, CompletedSale, FuellingPointReading, PointState
from drivers.registry import make_line
from tests.support.processes import eventually
from tests.support.rigs.base import Rig
from tests.support.rigs.modbus import SUBJECT

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build" / "peers"
SERVERS = {
    "modbus-serial": ["node", "tests/peers/modbus_serial_server.js", str(BUILT / "node_modules")],
    "jsmodbus": ["node", "tests/peers/jsmodbus_server.js", str(BUILT / "node_modules")],
    "libmodbus": [str(BUILT / "libmodbus_server")],
}
REPLY_MS = 10_000
"""A peer answers at once; on a machine that tests for many its process may have to wait for its turn."""

WITHIN_S = 20.0

APPLIED, REFUSED = CommandOutcome.APPLIED, CommandOutcome.REFUSED

pytestmark = pytest.mark.proves("independent-peer", "modbus")


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    """The peers are there, at their pinned versions."""
    subprocess.run([ROOT / ".ci" / "peers"], check=True, timeout=170)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> str:
    """The name of a peer."""
    return str(request.param)


@pytest.fixture
def config(server: str) -> Iterator[LineConfig]:
    """The peer at work and the line that reaches it."""
    process = subprocess.Popen(SERVERS[server], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        where = process.stdout.readline().strip()
        serial = where.startswith("/dev/")
        options: dict[str, object] = {"map": "reference-dispenser", "reply_timeout": REPLY_MS}
        options |= {} if serial else {"transport": TCP}
        port = where if serial else f"socket://127.0.0.1:{int(where)}"
        yield LineConfig("peer", port, "modbus", options=options, points=(PointConfig(1, 1, (1,)),))
    finally:
        process.kill()
        process.communicate()


class PeerRig(Rig):
    """The line of a peer."""

    def __init__(self, config: LineConfig) -> None:
        super().__init__(SUBJECT)
        self.line = make_line(config)

    def now_s(self) -> float:
        return time.monotonic()


def test_a_sale_is_read_acknowledged_and_the_next_authorised(config: LineConfig) -> None:
    """Values of 16, 32 and 64 bits are read; single and multiple registers are written and seen to be applied."""
    rig = PeerRig(config)
    rig.online()
    level = rig.of(FuellingPointReading)[-1]
    assert (level.state, level.nozzle, level.volume_ml, level.amount_minor) == (PointState.CALLING, 1, 12_340, 9_687)
    assert rig.run(ReadSale("s", 1, (1,))) is APPLIED
    (bundle,) = rig.of(CompletedSale)
    assert bundle.before == bundle.after
    assert (bundle.after[0].raw, bundle.after[0].amount_raw) == (123_456_789_012, 98_765_432_101)
    assert bundle.held is not None
    assert (bundle.held.token, bundle.held.volume_ml, bundle.held.unit_price_milli) == ("7", 12_340, 7_850)
    assert rig.run(Authorise("early", 1)) is REFUSED
    assert rig.run(Acknowledge("k", 1, "7")) is APPLIED
    assert rig.run(SetPrices("p", 1, ((1, 8_360),))) is APPLIED
    assert rig.run(Preset("l", 1, volume_ml=20_000)) is APPLIED
    assert rig.run(Authorise("a", 1)) is APPLIED
    rig.until(lambda: rig.of(FuellingPointReading)[-1].state is PointState.AUTHORISED)
    assert rig.of(FuellingPointReading)[-1].unit_price_milli == 8_360
    assert rig.run(Stop("x", 1)) is APPLIED
    assert [status.online for status in rig.statuses("point:1")] == [True]
    rig.line.close()


def test_a_register_that_is_not_there_is_never_a_value(config: LineConfig, server: str) -> None:
    """Exception 2 is told as such; jsmodbus answers with no registers at all, which is no reply."""
    port = open_port(config, SerialSettings())
    tcp = config.options.get("transport") == TCP
    channel = Channel("tcp", Timing(0.5)) if tcp else Channel("rtu", serial_timing(0.5, 9_600, 10))
    wire = ReadingWire(channel, 1)

    def said(address: int) -> Reply | Heard:
        """What comes back; a peer that was too slow to say anything is asked again."""

        def heard() -> Reply | Heard | None:
            answer = wire.read(port, ReadRequest(Function.READ_HOLDING, address, 2))
            return None if answer is Heard.NOTHING else answer

        answer = eventually(heard, WITHIN_S, "the peer says something")
        assert answer is not None
        return answer

    try:
        assert said(0) == Reply((1, 4))
        beyond = said(5_000)
        assert beyond == Reply(exception=2) or (beyond is Heard.NOISE and "jsmodbus" in server)
    finally:
        port.close()
