"""The contract suite's knowledge of the serial code reader: it types, and nobody answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drivers.config import LineConfig
from drivers.simulator.forecourt import Forecourt
from drivers.simulator.server import ForecourtServer
from tests.support.rigs.base import Rig, VirtualRig
from tests.support.rigs.kinds import ReaderSubject
from tests.support.rigs.simulated import READER, station
from tests.support.simulated import running_forecourt


class ReaderPlug:
    """The reader's serial port."""

    def __init__(self, server: ForecourtServer) -> None:
        self.stand = server.forecourt
        self.port: str = server.endpoints()["readers"][READER]
        self._server = server

    def pull(self) -> None:
        self._server.inject("scanner-unplugged", reader=READER, for_s=0)

    def plug(self) -> None:
        self._server.clear()

    def arrive(self, data: bytes) -> None:
        with self._server.lock:
            self._server._readers[READER].write(data)


class ScannerSubject(ReaderSubject):
    """One reader; a silent one is an ordinary one."""

    protocol = "serial-scanner"

    def line_config(self, port: str = "virtual", *, control: bool = True, points: int = 4) -> LineConfig:
        return LineConfig(READER, port, self.protocol, reader=READER)

    def stand(self, seed: int, points: int = 4) -> Forecourt:
        return Forecourt(station(points), seed=seed)

    def answer(self, rig: VirtualRig, data: bytes) -> bytes:
        raise AssertionError(f"nothing may be written to a reader: {data!r} ({rig.subject})")

    def heard(self, rig: Rig, point: int | None = None) -> list[str]:
        assert isinstance(rig, VirtualRig)
        return [repr(data) for _, data in rig.port.sent if point is None]

    @contextmanager
    def plugged(self, wire: str, state_dir: Path) -> Iterator[ReaderPlug]:
        assert wire == "pty"
        with running_forecourt(state_dir, config=station()) as server:
            yield ReaderPlug(server)


SUBJECT = ScannerSubject()
