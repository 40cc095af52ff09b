"""A recording served as a device: waits for what the master sent then, answers what the device answered then.

Knows sequence and time. Knows no protocol: a kit, where there is one, only splits what the master sends into frames.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event as Flag

from agent.field.decoding import decode
from agent.field.recording import Chunk, NotARecording, Recording
from drivers.dissection import FieldKit
from drivers.errors import PortLost
from drivers.port import Port
from drivers.served import Served

READ_S = 0.1
READ_BYTES = 4096
QUIET_S = 0.25  # in loose mode bytes that are no known request are given up after so much silence
LONGEST_REPLY_WAIT_S = 30.0
MOST_UNMATCHED = 100  # told one by one; whoever has more has another recording


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes of the device, ``after_us`` what came before them."""

    after_us: int
    data: bytes


@dataclass(slots=True)
class Exchange:
    """What the master sent and what came back; ``offset``: of the request in everything the master sent.

    ``closes``: the device hung up after it. A device that speaks without being asked has an empty request.
    """

    request: bytes
    offset: int
    replies: list[Reply] = field(default_factory=list)
    closes: bool = False


@dataclass(slots=True)
class Report:
    """How far it went. ``mismatch``: words for the first byte that was not as recorded; empty when all were."""

    exchanges: int
    served: int = 0
    mismatch: str = ""
    unmatched: list[str] = field(default_factory=list)


def script(recording: Recording, kit: FieldKit | None, *, split: bool) -> list[Exchange]:
    """The exchanges of a recording. ``split``: each frame of the master is a request of its own (loose mode).

    Raises ``NotARecording`` when both sides are on one wire and nothing tells them apart, or nothing was recorded.
    """
    chunks = _sides(recording.chunks, kit)
    if split:
        chunks = [part for chunk in chunks for part in _frames(chunk, kit)]
    closings = [event.t_us for event in recording.events if event.name == "closed" and event.side == "b"]
    exchanges: list[Exchange] = []
    offset = last_us = 0
    for chunk in chunks:
        if chunk.side == "a":
            fresh = split or not exchanges or exchanges[-1].replies or exchanges[-1].closes
            if fresh:
                exchanges.append(Exchange(b"", offset))
            exchanges[-1].request += chunk.data
            offset += len(chunk.data)
        else:
            if not exchanges:
                exchanges.append(Exchange(b"", 0))
            exchanges[-1].replies.append(Reply(max(0, chunk.t_us - last_us), chunk.data))
        last_us = chunk.t_us
        following = [t_us for t_us in closings if t_us >= chunk.t_us]
        if following and not any(chunk.t_us < other.t_us <= following[0] for other in chunks):
            exchanges[-1].closes = True
    if not exchanges:
        raise NotARecording("nothing was recorded in it")
    return exchanges


def _sides(chunks: Sequence[Chunk], kit: FieldKit | None) -> list[Chunk]:
    """Sides as recorded; on one shared wire those that the frames tell."""
    if not any(chunk.side == "?" for chunk in chunks):
        return list(chunks)
    if kit is None:
        raise NotARecording("both sides were recorded on one wire", "name the --protocol, it tells them apart")
    sorted_out: list[Chunk] = []
    for told in decode(chunks, kit):
        side = {"to_device": "a", "from_device": "b"}.get(told.piece.direction or "")
        side = side or (sorted_out[-1].side if sorted_out else "b")
        sorted_out.append(Chunk(told.t_us, "a" if side == "a" else "b", told.piece.raw))
    return sorted_out


def _frames(chunk: Chunk, kit: FieldKit | None) -> list[Chunk]:
    if kit is None or chunk.side != "a":
        return [chunk]
    return [Chunk(chunk.t_us, "a", piece.raw) for piece in kit.dissect(chunk.data, "to_device")]


class Player:
    """Plays ``exchanges`` to whoever connects to ``served``. ``speed``: how much faster than recorded.

    ``kit``: tells where an unknown request ends, so that a known one behind it is still answered.
    """

    def __init__(
        self, served: Served, exchanges: Sequence[Exchange], speed: float, stop: Flag, kit: FieldKit | None = None
    ) -> None:
        self._kit = kit
        self.report = Report(len(exchanges))
        self._served = served
        self._exchanges = exchanges
        self._speed = speed
        self._stop = stop
        self._buffer = bytearray()
        self._port: Port | None = None
        self._seen = 0  # bytes of the master answered so far

    def in_order(self) -> Report:
        """Play in the recorded order, and end at the first byte that differs or after the last reply was taken."""
        for exchange in self._exchanges:
            if not self._await(exchange):
                return self.report
            self._answer(exchange)
            self.report.served += 1
        self._linger()
        return self.report

    def by_request(self) -> Report:
        """Answer each known request with its next recorded reply, the last one for ever; until ``stop``."""
        known: dict[bytes, list[int]] = {}
        for index, exchange in enumerate(self._exchanges):
            known.setdefault(exchange.request, []).append(index)
        places = known.pop(b"", [])
        at = -1
        for index in places:
            self._answer(self._exchanges[index])
        quiet_since = time.monotonic()
        while not self._stop.is_set():
            if self._more():
                quiet_since = time.monotonic()
            request = self._first_known(known)
            if request:
                later = [index for index in known[request] if index > at]
                at = later[0] if later else known[request][-1]
                del self._buffer[: len(request)]
                self._seen += len(request)
                self._answer(self._exchanges[at])
                self.report.served += 1
            elif size := self._unknown(known, quiet=time.monotonic() - quiet_since >= QUIET_S):
                self._give_up(size)
        return self.report

    def _first_known(self, known: dict[bytes, list[int]]) -> bytes:
        """The longest known request that the buffer begins with; empty while a longer one may still be coming."""
        data = bytes(self._buffer)
        fits = [request for request in known if data.startswith(request)]
        return max(fits, key=len, default=b"")

    def _unknown(self, known: dict[bytes, list[int]], *, quiet: bool) -> int:
        """How many bytes at the front will never be a known request: a whole frame, or after silence all of them."""
        data = bytes(self._buffer)
        pieces = self._kit.dissect(data, "to_device") if data and self._kit else []
        if pieces and not pieces[0].problem and not any(one.startswith(pieces[0].raw) for one in known):
            return len(pieces[0].raw)
        return len(data) if quiet else 0

    def _give_up(self, size: int) -> None:
        """Say which bytes have no answer in the recording, and go on without them."""
        if len(self.report.unmatched) < MOST_UNMATCHED:
            shown = bytes(self._buffer[: min(size, 32)]).hex(" ").upper()
            self.report.unmatched.append(f"offset {self._seen}: no recorded answer to {shown}")
        self._seen += size
        del self._buffer[:size]

    def _await(self, exchange: Exchange) -> bool:
        """Wait for the whole request; ``False`` at the first byte that differs, or at ``stop``."""
        want = exchange.request
        while not self._stop.is_set():
            got = bytes(self._buffer[: len(want)])
            if got != want[: len(got)]:
                at = next(n for n, pair in enumerate(zip(got, want, strict=False)) if pair[0] != pair[1])
                self.report.mismatch = (
                    f"exchange {self.report.served + 1}, offset {exchange.offset + at}: "
                    f"expected {want[at : at + 16].hex(' ').upper()}, got {got[at : at + 16].hex(' ').upper()}"
                )
                return False
            if len(got) == len(want):
                del self._buffer[: len(want)]
                return True
            self._more()
        left = want[len(self._buffer) :][:16].hex(" ").upper()
        self.report.mismatch = f"exchange {self.report.served + 1}: ended while waiting for {left}"
        return False

    def _more(self) -> bool:
        """Take what the master has sent, or wait for a master; whether anything came."""
        if self._port is None:
            self._port = self._served.connect(READ_S)
            return False
        try:
            data = self._port.read(READ_BYTES, READ_S)
        except PortLost:
            self._hang_up()
            return False
        self._buffer += data
        return bool(data)

    def _answer(self, exchange: Exchange) -> None:
        for reply in exchange.replies:
            wait_s = min(LONGEST_REPLY_WAIT_S, reply.after_us / 1_000_000 / self._speed)
            if self._stop.wait(wait_s):
                return
            while self._port is None and not self._stop.is_set():
                self._port = self._served.connect(READ_S)
            try:
                if self._port is not None:
                    self._port.write(reply.data)
            except PortLost:
                self._hang_up()
        if exchange.closes:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._port is not None and self._served.name.startswith("socket://"):
            self._port.close()
            self._port = None
        self._buffer.clear()

    def _linger(self) -> None:
        """Keep the wire until the master has had time to take the last reply: closing a terminal throws it away."""
        until = time.monotonic() + 1.0
        while time.monotonic() < until and not self._stop.is_set():
            self._more()
