"""Fixture helpers: a simulated forecourt in-process, a minimal master for it on a virtual clock, and reading its files.

The master here is a toy that speaks with the simulator's own frames; drivers are tested against the simulator elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drivers.simulator import dart_frames as dart
from drivers.simulator.config import CustomerConfig, ForecourtConfig, default_config
from drivers.simulator.dart_pump import DartPump
from drivers.simulator.forecourt import Forecourt
from drivers.simulator.pump_head import State
from drivers.simulator.server import ForecourtServer

RESET = b"\x01\x01\x05"
AUTHORIZE = b"\x01\x01\x06"
STATUS = b"\x01\x01\x00"
# blocks that one pump may have waiting; a real master bounds this too
MAX_BLOCKS = 8
ENOUGH_S = 60.0
"""A bound against hanging, for a machine that runs us when it pleases."""


class ToyMaster:
    """Polls one pump, acknowledges everything, remembers the transactions told (as (kind, data))."""

    def __init__(self, pump: DartPump, send: Callable[[bytes], bytes] | None = None) -> None:
        self.pump = pump
        self.told: list[tuple[int, bytes]] = []
        self.blocks: list[bytes] = []
        self._send = pump.receive if send is None else send
        self._tx = 0

    def command(self, data: bytes) -> bytes:
        """One DATA block with the next block number; returns the raw answer."""
        answer = self._send(dart.encode_data(self.pump.address, self._tx, data))
        self._tx = 1 if self._tx == 15 else self._tx + 1
        return answer

    def poll(self) -> bytes:
        """One poll; an intact block is acknowledged and remembered; returns the raw answer."""
        answer = self._send(dart.encode_short(self.pump.address, dart.POLL))
        for frame in dart.FrameReader().feed(answer):
            if frame.control == dart.DATA and frame.intact and frame.address == self.pump.address:
                self.blocks.append(frame.data)
                self.told += dart.transactions(frame.data) or []
                self._send(dart.encode_short(self.pump.address, dart.ACK, frame.tx))
        return answer

    def drain(self) -> list[tuple[int, bytes]]:
        """Poll until EOT; the transactions told meanwhile."""
        before = len(self.told)
        for _ in range(MAX_BLOCKS):
            if self.poll() == dart.encode_short(self.pump.address, dart.EOT):
                break
        return self.told[before:]

    def total(self, nozzle: int) -> int | None:
        """The volume total as the pump tells it; ``None`` when it does not."""
        self.command(bytes((0x65, 0x01, nozzle)))
        for kind, data in self.drain():
            if kind == 0x65:
                return dart.from_bcd(data[1:6] if len(data) == 16 else data[2:7])
        return None


def attend(forecourt: Forecourt) -> None:
    """What a station in mode auto does, straight at the heads: answer every lifted nozzle."""
    for head in forecourt.world.heads.values():
        head.contacted = True
        if head.nozzle_out and head.state is State.NOT_PROGRAMMED:
            head.set_prices([7_000] * len(head.nozzles))
        if head.nozzle_out and head.state is State.COMPLETED and head.volume == 0:
            head.command(0x05)
        if head.nozzle_out and head.state is State.RESET:
            head.command(0x06)
        if not head.nozzle_out and head.state is State.COMPLETED:
            head.command(0x05)


def run_attended(forecourt: Forecourt, seconds: int, *, step_ms: int = 500) -> None:
    """Run for simulated ``seconds`` with every customer served."""
    end_ms = forecourt.world.now_ms + seconds * 1_000
    for now_ms in range(forecourt.world.now_ms + step_ms, end_ms + 1, step_ms):
        forecourt.step(now_ms)
        attend(forecourt)


def run_out(forecourt: Forecourt, *, limit_s: int = 1_200) -> None:
    """Closing time, then run until everybody is gone."""
    forecourt.close()
    end_ms = forecourt.world.now_ms + limit_s * 1_000
    while not forecourt.quiet:
        assert forecourt.world.now_ms < end_ms, "customers never left"
        run_attended(forecourt, 1)


def nobody(config: ForecourtConfig) -> ForecourtConfig:
    """The same station where no customer ever comes: the test moves nozzles itself."""
    return dataclasses.replace(config, customers=CustomerConfig(gap_mean_ms=10**9, gap_max_ms=10**9))


@contextmanager
def running_forecourt(
    state_dir: Path, *, config: ForecourtConfig | None = None, **options: Any
) -> Iterator[ForecourtServer]:
    """A forecourt on ptys and TCP, stopped at the end."""
    chosen = default_config(state_dir) if config is None else config
    server = ForecourtServer(dataclasses.replace(chosen, state_dir=str(state_dir)), **options).start()
    try:
        yield server
    finally:
        server.stop()


def wait_for(condition: Callable[[], bool], what: str, *, deadline_s: float = ENOUGH_S) -> None:
    """Wait on a condition; fails naming it."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {deadline_s} s: {what}"
        select.select([], [], [], 0.01)


def open_port(path: str | Path) -> int:
    """Open a serial device raw, for reading and writing."""
    return os.open(path, os.O_RDWR | os.O_NOCTTY)


def ask(descriptor: int, data: bytes, *, size: int, deadline_s: float = ENOUGH_S) -> bytes:
    """Write, then read ``size`` bytes (fewer at the deadline)."""
    os.write(descriptor, data)
    return read_bytes(descriptor, size, deadline_s=deadline_s)


def read_bytes(descriptor: int, size: int, *, deadline_s: float = ENOUGH_S) -> bytes:
    """Exactly ``size`` bytes, fewer at the deadline."""
    end_s = time.monotonic() + deadline_s
    got = b""
    while len(got) < size and time.monotonic() < end_s:
        if select.select([descriptor], [], [], 0.05)[0]:
            got += os.read(descriptor, size - len(got))
    return got


def truth_lines(state_dir: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """The lines of ``truth.jsonl``, of one kind or all."""
    lines = [json.loads(line) for line in (state_dir / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if kind is None or line["kind"] == kind]
