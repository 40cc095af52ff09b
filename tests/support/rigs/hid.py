"""The contract suite's knowledge of a scanner that types: events of a simulated keyboard, over a pipe where the wire is real.

A pipe is what can be had everywhere; that a real input device is grabbed, ``tests/unit/test_port_input.py`` proves.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drivers.config import LineConfig
from drivers.port import EVDEV
from drivers.simulator.keyboard import Keyboard
from tests.support.rigs.base import Rig, VirtualRig
from tests.support.rigs.kinds import ReaderSubject

READER = "till"
CODE = "a7"
ENTER_UP = 3 * 24
REPORT = 24


class PipePlug:
    """A pipe in the place of the input device; whoever reads it sees its end when the cable is pulled."""

    stand = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self.port = f"{EVDEV}{path}"
        self._descriptor = -1

    def plug(self) -> None:
        os.mkfifo(self._path)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK)

    def pull(self) -> None:
        if self._descriptor >= 0:
            self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = -1

    def arrive(self, data: bytes) -> None:
        os.write(self._descriptor, data)


class HidSubject(ReaderSubject):
    """One keyboard."""

    protocol = "hid"
    wires = ("pipe",)
    # up to the moment at which ENTER goes down: what comes behind it belongs to no code
    shown = Keyboard().type_text(CODE)[: -ENTER_UP - REPORT]

    def is_true(self, reading: Any) -> bool:
        return bool(reading.text == CODE)

    def line_config(self, port: str = f"{EVDEV}virtual", *, control: bool = True, points: int = 4) -> LineConfig:
        return LineConfig(READER, port if port.startswith(EVDEV) else f"{EVDEV}{port}", self.protocol, reader=READER)

    def stand(self, seed: int, points: int = 4) -> None:
        return None

    def answer(self, rig: VirtualRig, data: bytes) -> bytes:
        raise AssertionError(f"nothing may be written to a keyboard: {data!r} ({rig.subject})")

    def heard(self, rig: Rig, point: int | None = None) -> list[str]:
        assert isinstance(rig, VirtualRig)
        return [repr(data) for _, data in rig.port.sent if point is None]

    @contextmanager
    def plugged(self, wire: str, state_dir: Path) -> Iterator[PipePlug]:
        assert wire == "pipe"
        plug = PipePlug(state_dir / "keyboard")
        plug.plug()
        try:
            yield plug
        finally:
            plug.pull()


SUBJECT = HidSubject()
