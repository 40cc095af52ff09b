"""Recording a live line: listening without ever writing, or standing in the middle and passing every byte on unchanged.

Knows ports and the recording. Knows no protocol; who wants to see the bytes gets each chunk as it comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event as Flag
from threading import Lock, Thread
from typing import Protocol

from agent.field.recording import Chunk, Event, Recorder, Side
from agent.field.traffic import in_use
from drivers.config import LineConfig, SerialSettings
from drivers.errors import DriverError, PortLost
from drivers.marks import Marks
from drivers.port import Port, open_port
from drivers.served import Served

READ_S = 0.2
REOPEN_S = 1.0
READ_BYTES = 4096

Heard = Callable[[Chunk], None]


class Ear(Protocol):
    """A port that can only be listened to: this file's listeners have no way to write."""

    def read(self, size: int, timeout_s: float) -> bytes:
        """As ``drivers.port.Port.read``."""
        ...

    def close(self) -> None:
        """As ``drivers.port.Port.close``."""
        ...


@dataclass(slots=True)
class Tape:
    """Where everything that is heard goes: stamped with one clock, into the recording and to whoever looks."""

    recorder: Recorder
    heard: Heard
    began_s: float
    lock: Lock

    @classmethod
    def start(cls, recorder: Recorder, heard: Heard = lambda _chunk: None) -> Tape:
        """Begin at zero now."""
        return cls(recorder, heard, time.monotonic(), Lock())

    def take(self, side: Side, data: bytes, damaged: tuple[int, ...] = ()) -> None:
        """Record what came on ``side``."""
        with self.lock:
            chunk = Chunk(self._now_us(), side, data, damaged)
            self.recorder.chunk(chunk)
            self.heard(chunk)

    def note(self, side: Side, name: str, detail: str = "") -> None:
        """Record an event of the wire."""
        with self.lock:
            self.recorder.event(Event(self._now_us(), name, side, detail))

    def _now_us(self) -> int:
        return int((time.monotonic() - self.began_s) * 1_000_000)


def listen(sources: Mapping[Side, LineConfig], defaults: SerialSettings, tape: Tape, stop: Flag) -> None:
    """Record ``sources`` until ``stop``; a port that vanishes is noted and opened again.

    Raises ``PortLost`` or ``WiringError`` when a port cannot be opened at the start.
    """
    opened: list[tuple[Side, LineConfig, Marks, Ear]] = []
    try:
        for side, config in sources.items():
            marks = Marks()
            opened.append((side, config, marks, _ear(config, defaults, marks)))
    except DriverError:
        for *_, ear in opened:
            ear.close()
        raise
    threads = [Thread(target=_listen, args=(one, defaults, tape, stop), daemon=True) for one in opened]
    for thread in threads:
        thread.start()
    while not stop.wait(REOPEN_S):
        tape.recorder.flush()
    for thread in threads:
        thread.join()


def _ear(config: LineConfig, defaults: SerialSettings, marks: Marks) -> Ear:
    try:
        return open_port(config, defaults, marks, listen_only=True)
    except PortLost as error:
        raise in_use(config.port, error) from error


def _listen(one: tuple[Side, LineConfig, Marks, Ear], defaults: SerialSettings, tape: Tape, stop: Flag) -> None:
    side, config, marks, first = one
    ear: Ear | None = first
    while not stop.is_set():
        try:
            if ear is None:
                ear = _ear(config, defaults, marks)
                tape.note(side, "port-back")
            data = ear.read(READ_BYTES, READ_S)
            if data:
                tape.take(side, data, marks.take())
        except DriverError as error:
            if ear is not None:
                tape.note(side, "port-lost", str(error))
                ear.close()
                ear = None
            stop.wait(REOPEN_S)
    if ear is not None:
        ear.close()


def between(master: Served, device: LineConfig, defaults: SerialSettings, tape: Tape, stop: Flag) -> None:
    """Stand between a master that connects to ``master`` and ``device``; every byte goes on as it came.

    The connection of a master ends with that of the device, and the other way round, as if nobody stood between.
    Raises ``PortLost`` or ``WiringError`` when the device cannot be reached at the start.
    """
    far: Port | None = _far(device, defaults, marks := Marks())
    try:
        while not stop.is_set():
            near = master.connect(READ_S)
            if near is None:
                continue
            try:
                far = far or _far(device, defaults, marks)
            except DriverError as error:
                tape.note("b", "port-lost", str(error))
                _hang_up(master, near)
                stop.wait(REOPEN_S)
                continue
            _carry(near, far, marks, tape, stop)
            _hang_up(master, near)
            far.close()
            far = None
    finally:
        if far is not None:
            far.close()


def _far(device: LineConfig, defaults: SerialSettings, marks: Marks) -> Port:
    try:
        return open_port(device, defaults, marks)
    except PortLost as error:
        raise in_use(device.port, error) from error


def _hang_up(master: Served, near: Port) -> None:
    """A pseudo terminal has no connection to end: its other side would not come back."""
    if master.name.startswith("socket://"):
        near.close()


def _carry(near: Port, far: Port, marks: Marks, tape: Tape, stop: Flag) -> None:
    """Carry bytes both ways until one end has gone or ``stop``."""
    over = Flag()
    down = _Way("a", "b", near, far, None)
    up = _Way("b", "a", far, near, marks)
    thread = Thread(target=up.run, args=(tape, over, stop), daemon=True)
    thread.start()
    down.run(tape, over, stop)
    thread.join()


@dataclass(frozen=True, slots=True)
class _Way:
    """One direction of a carried wire."""

    side: Side
    other: Side
    source: Port
    target: Port
    marks: Marks | None

    def run(self, tape: Tape, over: Flag, stop: Flag) -> None:
        """Carry until ``over`` (the other direction has ended) or ``stop``; what came is recorded before it goes on."""
        while not over.is_set() and not stop.is_set():
            end = self.side
            try:
                data = self.source.read(READ_BYTES, READ_S / 4)
                if data:
                    tape.take(self.side, data, self.marks.take() if self.marks else ())
                    end = self.other
                    self.target.write(data)
            except PortLost as error:
                if not over.is_set():
                    over.set()
                    tape.note(end, "closed", str(error))
