"""A scripted TLS console behind a port on a virtual clock: for tests of the driver, knows a few metric tanks."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TypeVar

from drivers.config import LineConfig
from drivers.errors import PortLost
from drivers.readings import Reading, TankReading
from drivers.veeder_root.codec import checksum
from drivers.veeder_root.driver import TlsGauge

T = TypeVar("T")

CLOCK = "2611211530"
NOT_KNOWN = b"\x019999FF1B\x03"


def f(value: float) -> str:
    """A float field."""
    return struct.pack(">f", value).hex().upper()


def reply(echo: str, data: str) -> bytes:
    """A computer reply with clock and checksum."""
    raw = f"\x01{echo}{CLOCK}{data}&&".encode()
    return raw + checksum(raw).encode() + b"\x03"


def inventory(tank: int, volume: float, status: int = 0, ullage: float | None = None) -> str:
    """A 201 record of a tank of 20,000 L."""
    rest = 20000 - volume if ullage is None else ullage
    values = (volume, volume * 0.99, rest, 1000, 0, 15, 0)
    return f"{tank:02d}1{status:04X}07" + "".join(f(value) for value in values)


class ConsolePort:
    """A console that answers from a table, on a clock that only reading and pausing move."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked: list[str] = []
        self.raw: list[bytes] = []
        self.answers: dict[str, bytes] = {
            "i51700": reply("i51700", "215"),
            "i10100": reply("i10100", "000000"),
            "i20500": reply("i20500", "01000200"),
            "i60400": reply("i60400", f"01{f(20000)}02{f(20000)}"),
            "i60700": reply("i60700", f"01{f(2000)}02{f(2000)}"),
            "i60200": reply("i60200", "01" + "SUPER".ljust(20) + "02" + "DIESEL".ljust(20)),
            "i62100": reply("i62100", f"01{f(1000)}02{f(1500)}"),
            "i62700": reply("i62700", f"01{f(50)}"),
        }
        self.volumes(5000, 6000)
        self.default: bytes = NOT_KNOWN
        self.script: Callable[[str], bytes | None] = lambda _question: None
        self.delay = 0.05
        self.lost = False
        self._coming: list[tuple[float, bytes]] = []

    def volumes(self, one: float, two: float, *, status: int = 0) -> None:
        self.answers["i20100"] = reply("i20100", inventory(1, one, status) + inventory(2, two))

    def write(self, data: bytes) -> None:
        if self.lost:
            raise PortLost("gone")
        self.raw.append(data)
        if data == b"\x1b":
            return
        question = data.strip(b"\x01\r\n").decode()
        self.asked.append(question)
        scripted = self.script(question)
        answer = self.answers.get(question, self.default) if scripted is None else scripted
        if answer:
            self._coming.append((self.now + self.delay, answer))

    def late(self, seconds: float, data: bytes) -> None:
        self._coming.append((self.now + seconds, data))

    def read(self, size: int, timeout_s: float) -> bytes:
        if self.lost:
            raise PortLost("gone")
        self._coming.sort()
        if self._coming and self._coming[0][0] <= self.now + timeout_s:
            at, data = self._coming.pop(0)
            self.now = max(self.now, at)
            if len(data) > size:
                self._coming.insert(0, (self.now, data[size:]))
            return data[:size]
        self.now += timeout_s
        return b""

    def discard(self) -> int:
        before = len(self._coming)
        self._coming = [item for item in self._coming if item[0] > self.now]
        return before - len(self._coming)

    def monotonic(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def close(self) -> None:
        self.lost = True


def gauge(**options: object) -> TlsGauge:
    """A gauge on line "tanks" with tanks 1 and 2."""
    return TlsGauge(LineConfig("tanks", "x", "veeder-root", options=options, tanks=(1, 2)))


def run(device: TlsGauge, port: ConsolePort, seconds: float) -> list[Reading]:
    """Turn for ``seconds`` of the virtual clock, as a line would."""
    readings: list[Reading] = []
    until = port.now + seconds
    while port.now < until:
        readings += device.turn(port)
        port.now += max(0.001, min(device.due_in_s(), until - port.now))
    return readings


def of(kind: type[T], readings: Sequence[Reading]) -> list[T]:
    """The readings of one kind."""
    return [reading for reading in readings if isinstance(reading, kind)]


def tank(readings: Sequence[Reading], number: int = 1) -> TankReading:
    """The last reading of one tank."""
    return [r for r in of(TankReading, readings) if r.gauge_index == number][-1]
