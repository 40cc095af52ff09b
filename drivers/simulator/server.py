"""The forecourt on real wires: one thread that serves ptys and TCP, moves the world and writes the files.

``endpoints.json`` is written when everything is ready; ``commands.jsonl`` gets what masters said apart from polls.
"""

from __future__ import annotations

import dataclasses
import json
import os
import selectors
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from drivers.simulator.buses import Bus, Reply
from drivers.simulator.config import ForecourtConfig
from drivers.simulator.forecourt import Forecourt
from drivers.simulator.tls_frames import QuestionReader
from drivers.simulator.truth import write_atomically
from drivers.simulator.wallet import Wallet
from drivers.simulator.wires import PtyWire, TcpConnection, TcpWire

# the rhythm of the world on the wall clock; replies go out at once and do not wait for it
BEAT_S = 0.01
# a master's frame is written in one go; a gap this long means that its rest will not come
SILENCE_S = 0.2
# replies that wait for their delay; a bus has one master with one question, so this is never reached
MAX_WAITING = 1_000
BITS_PER_CHARACTER = 11


@dataclasses.dataclass(slots=True)
class _Waiting:
    due_s: float
    wire: PtyWire | TcpConnection
    data: bytes


class ForecourtServer:
    """``start`` and ``stop`` it; ``inject``, ``clear``, ``close`` and the getters may be called from any thread.

    ``clock`` is monotonic real time in seconds; the simulated clock runs ``speed`` times as fast from ``start`` on.
    """

    def __init__(
        self,
        config: ForecourtConfig,
        *,
        seed: int = 1,
        speed: float = 1.0,
        faults: tuple[str, ...] = (),
        epoch: datetime | None = None,
        clock: Callable[[], float] = time.monotonic,
        wallet: Wallet | None = None,
    ) -> None:
        self.state_dir = Path(config.state_dir)
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.forecourt = Forecourt(
            config,
            seed=seed,
            speed=speed,
            faults=faults,
            epoch=datetime.now(UTC) if epoch is None else epoch,
            truth_dir=self.state_dir,
            wallet=wallet,
        )
        self.lock = threading.RLock()
        self._clock = clock
        self._speed = speed
        self._started_s = 0.0
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._selector = selectors.DefaultSelector()
        ports = self.state_dir / "ports"
        self._lines = {line.name: PtyWire(ports / line.name) for line in config.lines if not line.tcp}
        self._tcp_lines = {line.name: TcpWire() for line in config.lines if line.tcp}
        self._masters: dict[TcpConnection, str] = {}
        self._readers = {reader.name: PtyWire(ports / reader.name) for reader in config.readers}
        self._gauge_pty = PtyWire(ports / config.console.name) if config.console.pty else None
        self._gauge_tcp = TcpWire() if config.console.tcp else None
        self._connections: dict[TcpConnection, QuestionReader] = {}
        self._waiting: list[_Waiting] = []
        self._heard_s: dict[str, float] = {}
        self._pace = {line.name: line.pace_baud for line in config.lines}
        self._commands: TextIO | None = None
        if config.command_file:
            self._commands = (self.state_dir / "commands.jsonl").open("w", encoding="utf-8")

    # --- for others ------------------------------------------------------------------------------------------------
    def start(self) -> ForecourtServer:
        """Plug everything in, begin to serve, write ``endpoints.json``."""
        assert self._thread is None
        for name, wire in self._lines.items():
            self._plug(wire, self._line_handler(name))
        for name, listener in self._tcp_lines.items():
            self._selector.register(listener, selectors.EVENT_READ, partial(self._accept_master, name, listener))
        for name, wire in self._readers.items():
            self._plug(wire, self._reader_handler(name))
        if self._gauge_pty is not None:
            self._plug(self._gauge_pty, self._gauge_handler(self._gauge_pty, self.forecourt.console.reader()))
        if self._gauge_tcp is not None:
            self._selector.register(self._gauge_tcp, selectors.EVENT_READ, self._accept)
        self._started_s = self._clock()
        self._thread = threading.Thread(target=self._serve, name="forecourt-simulator", daemon=True)
        self._thread.start()
        write_atomically(self.state_dir / "endpoints.json", self.endpoints())
        return self

    def stop(self) -> None:
        """Unplug everything; the truth files are complete afterwards."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._selector.close()
        for wire in (*self._lines.values(), *self._readers.values()):
            wire.unplug()
        if self._gauge_pty is not None:
            self._gauge_pty.unplug()
        for connection in (*self._connections, *self._masters):
            connection.close()
        for listener in self._tcp_lines.values():
            listener.close()
        if self._gauge_tcp is not None:
            self._gauge_tcp.close()
        self._write_commands()
        self.forecourt.world.write_summary()
        self.forecourt.truth.close()
        if self._commands is not None:
            self._commands.close()

    def endpoints(self) -> dict[str, Any]:
        """Where everything is, as in ``endpoints.json``."""
        gauge: dict[str, Any] = {}
        if self._gauge_tcp is not None:
            gauge |= {
                "host": "127.0.0.1",
                "port": self._gauge_tcp.port,
                "tcp": f"socket://127.0.0.1:{self._gauge_tcp.port}",
            }
        if self._gauge_pty is not None:
            gauge["pty"] = str(self._gauge_pty.link)
        return {
            "pid": os.getpid(),
            "seed": self.forecourt.seed,
            "speed": self._speed,
            "faults": list(self.forecourt.faults),
            "lines": {name: str(wire.link) for name, wire in self._lines.items()}
            | {name: f"socket://127.0.0.1:{wire.port}" for name, wire in self._tcp_lines.items()},
            "gauge": gauge,
            "readers": {name: str(wire.link) for name, wire in self._readers.items()},
            "truth": str(self.state_dir / "truth.jsonl"),
            "truth_summary": str(self.state_dir / "truth.json"),
            "commands": str(self.state_dir / "commands.jsonl") if self._commands is not None else None,
        }

    def inject(self, name: str, **target: Any) -> None:
        """As ``Forecourt.inject``."""
        with self.lock:
            self.forecourt.inject(name, **target)

    def clear(self, name: str | None = None) -> None:
        """As ``Forecourt.clear``."""
        with self.lock:
            self.forecourt.clear(name)

    def let_in(self) -> None:
        """Opening time, as ``Forecourt.let_in``."""
        with self.lock:
            self.forecourt.let_in()

    def close(self) -> None:
        """Closing time, as ``Forecourt.close``."""
        with self.lock:
            self.forecourt.close()

    @property
    def quiet(self) -> bool:
        """Closed, everybody gone."""
        with self.lock:
            return self.forecourt.quiet

    # --- the thread ------------------------------------------------------------------------------------------------
    def _serve(self) -> None:
        while not self._stopping.is_set():
            ready = self._selector.select(self._pause_s())
            with self.lock:
                for key, _ in ready:
                    if key.fileobj in self._selector.get_map():
                        key.data()
                self._send_due()
                self.forecourt.step(int((self._clock() - self._started_s) * 1000 * self._speed))
                self._cables()
                for scan in self.forecourt.world.take_scans():
                    for chunk in self.forecourt.type_scan(scan):
                        self._readers[scan.reader].write(chunk)
                self._write_commands()

    def _pause_s(self) -> float:
        if not self._waiting:
            return BEAT_S
        return max(0.0, min(BEAT_S, min(w.due_s for w in self._waiting) - time.monotonic()))

    def _plug(self, wire: PtyWire, handler: Callable[[], object]) -> None:
        """Plug in, also under another name while still plugged."""
        if wire.plugged:
            self._selector.unregister(wire.fileno())
        wire.plug()
        self._selector.register(wire.fileno(), selectors.EVENT_READ, handler)

    def _cables(self) -> None:
        """Faults that make a port vanish, come back or change its name."""
        board = self.forecourt.board
        for name, wire in self._lines.items():
            self._cable(wire, self._line_handler(name), pulled=board.active("cable-pulled", name))
            if wire.plugged and board.hit("cable-renamed", name):
                self._plug(wire, self._line_handler(name))
        for name, wire in self._readers.items():
            self._cable(wire, self._reader_handler(name), pulled=board.active("scanner-unplugged", name))

    def _cable(self, wire: PtyWire, handler: Callable[[], object], *, pulled: bool) -> None:
        if pulled and wire.plugged:
            self._selector.unregister(wire.fileno())
            wire.unplug()
        elif not pulled and not wire.plugged:
            self._plug(wire, handler)

    def _reader_handler(self, name: str) -> Callable[[], object]:
        """What happens when something is said to a reader: a scanner listens to nobody, a card reader answers."""
        wire, place = self._readers[name], self.forecourt.tap_places.get(name)
        return wire.read if place is None else lambda: wire.write(place.receive(wire.read()))

    # --- dispensers ------------------------------------------------------------------------------------------------
    def _line_handler(self, name: str) -> Callable[[], None]:
        bus, wire = self.forecourt.bus(name), self._lines[name]
        return lambda: self._line_input(bus, wire)

    def _accept_master(self, name: str, listener: TcpWire) -> None:
        connection = listener.accept()
        if connection is None:
            return
        self._masters[connection] = name
        bus = self.forecourt.bus(name)
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._line_input(bus, connection))

    def _line_input(self, bus: Bus, wire: PtyWire | TcpConnection) -> None:
        now_s = time.monotonic()
        data = wire.read()
        if now_s - self._heard_s.get(bus.name, now_s) > SILENCE_S:
            bus.silence()
        self._heard_s[bus.name] = now_s
        for reply in bus.exchange(data):
            delay_s = self._delay_s(bus.name, reply)
            if delay_s == 0:
                wire.write(reply.data)
            else:
                assert len(self._waiting) < MAX_WAITING
                self._waiting.append(_Waiting(now_s + delay_s, wire, reply.data))
        if isinstance(wire, TcpConnection) and wire.gone:
            self._selector.unregister(wire)
            del self._masters[wire]
            wire.close()

    def _delay_s(self, name: str, reply: Reply) -> float:
        baud = self._pace[name]
        return reply.delay_ms / 1000 + (len(reply.data) * BITS_PER_CHARACTER / baud if baud else 0)

    def _send_due(self) -> None:
        now_s = time.monotonic()
        due = [w for w in self._waiting if w.due_s <= now_s]
        self._waiting = [w for w in self._waiting if w.due_s > now_s]
        for waiting in sorted(due, key=lambda w: w.due_s):
            if isinstance(waiting.wire, PtyWire) or waiting.wire in self._masters:
                waiting.wire.write(waiting.data)

    # --- gauge -----------------------------------------------------------------------------------------------------
    def _gauge_handler(self, wire: PtyWire, reader: QuestionReader) -> Callable[[], None]:
        def handle() -> None:
            for question in reader.feed(wire.read()):
                wire.write(self.forecourt.console.answer(question))

        return handle

    def _accept(self) -> None:
        assert self._gauge_tcp is not None
        connection = self._gauge_tcp.accept()
        if connection is not None:
            self._connections[connection] = self.forecourt.console.reader()
            self._selector.register(connection, selectors.EVENT_READ, lambda: self._tcp_input(connection))

    def _tcp_input(self, connection: TcpConnection) -> None:
        answered = False
        for question in self._connections[connection].feed(connection.read()):
            answer = self.forecourt.console.answer(question)
            if answer:
                connection.write(answer)
                answered = True
        if connection.gone or (answered and self.forecourt.config.console.closes_after_reply):
            self._selector.unregister(connection)
            del self._connections[connection]
            connection.close()

    # --- files -----------------------------------------------------------------------------------------------------
    def _write_commands(self) -> None:
        fresh = self.forecourt.log.fresh
        while fresh:
            entry = fresh.popleft()
            if self._commands is not None:
                self._commands.write(json.dumps(dataclasses.asdict(entry)) + "\n")
                self._commands.flush()
