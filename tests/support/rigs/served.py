"""A function of bytes behind a real pseudo terminal whose cable can be pulled, for rigs that bring devices of their own."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from drivers.simulator.wires import PtyWire

BEAT_S = 0.02


class PtyPlug:
    """As ``base.Plug``: ``port`` is a link that vanishes with the cable. One thread answers."""

    def __init__(self, link: Path, stand: Any, answer: Callable[[bytes], bytes]) -> None:
        self.stand = stand
        self.port = str(link)
        self._wire = PtyWire(link)
        self._answer = answer
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="device", daemon=True)

    def __enter__(self) -> Self:
        self._wire.plug()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._wire.unplug()

    def pull(self) -> None:
        """The cable is out."""
        with self._lock:
            self._wire.unplug()

    def plug(self) -> None:
        """The cable is in again."""
        with self._lock:
            self._wire.plug()

    def arrive(self, data: bytes) -> None:
        """Bytes come without a question."""
        with self._lock:
            self._wire.write(data)

    def _serve(self) -> None:
        while not self._stop.is_set():
            if not self._wire.plugged:
                self._stop.wait(BEAT_S)
                continue
            with self._lock:
                if self._wire.plugged and select.select([self._wire], [], [], 0)[0]:
                    self._wire.write(self._answer(self._wire.read()))
                    continue
            self._stop.wait(BEAT_S / 10)
