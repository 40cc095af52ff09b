"""The contract suite's knowledge of Veeder-Root: the simulator's console, on TCP and on a serial cable."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path

from drivers.config import LineConfig
from drivers.simulator.forecourt import Forecourt
from drivers.simulator.server import ForecourtServer
from drivers.simulator.tls_frames import QuestionReader
from drivers.veeder_root.codec import Reply, ReplyDecoder
from tests.support.mutation import Wording
from tests.support.rigs.base import Rig, VirtualRig
from tests.support.rigs.kinds import GaugeSubject
from tests.support.rigs.simulated import settle, station
from tests.support.simulated import running_forecourt
from tests.support.tcp_cable import TcpCable


class SerialConsole:
    """The console's serial port."""

    def __init__(self, server: ForecourtServer) -> None:
        self.stand = server.forecourt
        self.port: str = server.endpoints()["gauge"]["pty"]
        self._server = server

    def pull(self) -> None:
        self._cable(pulled=True)

    def plug(self) -> None:
        self._cable(pulled=False)

    def arrive(self, data: bytes) -> None:
        raise AssertionError(f"a console types nothing: {data!r}")

    def _cable(self, *, pulled: bool) -> None:
        wire = self._server._gauge_pty
        assert wire is not None
        with self._server.lock:
            handler = self._server._gauge_handler(wire, self._server.forecourt.console.reader())
            self._server._cable(wire, handler, pulled=pulled)


class NetworkConsole(TcpCable):
    """The console's network card, with a cable that can be pulled."""

    def __init__(self, server: ForecourtServer) -> None:
        super().__init__(server.endpoints()["gauge"]["port"])
        self.stand = server.forecourt
        self.port = self.url

    def arrive(self, data: bytes) -> None:
        raise AssertionError(f"a console types nothing: {data!r}")


class Console(Forecourt):
    """The forecourt with the reader of questions that a connection to its console has."""

    questions: QuestionReader


class VeederRootSubject(GaugeSubject):
    """One console with three tanks."""

    protocol = "veeder-root"
    wires = ("TCP", "pty")
    answers_name_the_asked = True
    changes_nothing = frozenset({"INQUIRY"})

    @property
    def wording(self) -> Wording:
        clock = "9601221506"
        record = (
            "01100000" + "07" + "".join(f"{value:08X}" for value in (0x461C4000, 0x4623D000, 0, 0x42C80000, 0, 1, 2))
        )
        texts = (f"i20100{clock}{record}", f"i10100{clock}020301", f"i51700{clock}2")
        return Wording(tuple(self._reply(text) for text in texts), decode, oracle)

    def _reply(self, text: str) -> bytes:
        body = f"\x01{text}&&".encode()
        return body + f"{-sum(body) & 0xFFFF:04X}".encode() + b"\x03"

    def line_config(self, port: str = "virtual", *, control: bool = True, points: int = 4) -> LineConfig:
        return LineConfig("tanks", port, self.protocol, tanks=self.tanks)

    def stand(self, seed: int, points: int = 4) -> Console:
        console = Console(station(points), seed=seed)
        console.questions = console.console.reader()
        return console

    def answer(self, rig: VirtualRig, data: bytes) -> bytes:
        settle(rig)
        console = rig.stand
        assert isinstance(console, Console)
        return b"".join(console.console.answer(question) for question in console.questions.feed(data))

    def heard(self, rig: Rig, point: int | None = None) -> list[str]:
        return [entry.name for entry in rig.forecourt.log.entries if point is None]

    @contextmanager
    def plugged(self, wire: str, state_dir: Path) -> Iterator[SerialConsole | NetworkConsole]:
        with running_forecourt(state_dir, config=station()) as server:
            if wire == "pty":
                yield SerialConsole(server)
                return
            cable = NetworkConsole(server)
            try:
                yield cable
            finally:
                cable.close()

    def is_question(self, data: bytes) -> bool:
        return len(data) > 1  # a lone ESC wakes the console and calls for nothing

    def true_volume_ml(self, rig: Rig, tank: int) -> int:
        return rig.forecourt.world.tanks[tank].volume_ml


def decode(data: bytes) -> list[Hashable]:
    """The replies that the driver accepts; what is without a checksum by design included."""
    decoder = ReplyDecoder()
    replies = [event for event in (*decoder.feed(data), *decoder.idle()) if isinstance(event, Reply)]
    return [(reply.kind.value, reply.function, reply.device, reply.data) for reply in replies]


def oracle(data: bytes) -> set[Hashable]:
    """Every reply that stands in ``data``: SOH, echo, data, ``&&`` and the two's complement of the sum so far, in hex.

    "Not known" is 9999 with the checksum FF1B; a display reply is an echo alone on its line with text below.
    """
    found: set[Hashable] = set()
    for start in (at for at, byte in enumerate(data) if byte == 0x01):
        for end in range(start + 8, len(data) - 4):
            body, digits = data[start : end - 1], data[end + 1 : end + 5]
            if data[end - 1 : end + 1] != b"&&" or not re.fullmatch(b"[0-9A-Fa-f]{4}", digits):
                continue
            if (sum(body) + 2 * ord("&") + int(digits, 16)) & 0xFFFF == 0:
                text = body[1:].decode("latin-1")
                found.add(("computer", text[1:4], text[4:6], text[6:]))
    if b"9999FF1B" in data.replace(b"\x00", b""):
        found.add(("not_known", "", "", ""))
    return found | set(displays(data))


def displays(data: bytes) -> Iterator[Hashable]:
    """Display replies: no check at all, only a form."""
    for part in re.split(rb"[\x01\x03]", data):
        clean = part.replace(b"\x00", b"")
        lines = [line.strip() for line in re.split(rb"[\r\n]+", clean) if line.strip()]
        if len(lines) > 1 and re.fullmatch(rb"[Ii][0-9A-Z]{3}[0-9]{2}", lines[0]):
            echo = lines[0].decode()
            yield ("display", echo[1:4], echo[4:], clean.decode("latin-1"))


SUBJECT = VeederRootSubject()
