"""A TCP proxy of our own between a client and a server on this machine, which does to the bytes what bad networks do.

One thread with an asyncio loop of its own. Knows no protocol. Bytes are counted per direction over all connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Self

from tests.support.ports import KeptPort

READ_SIZE = 16_384
READY_WITHIN_S = 60.0
SLICE_S = 0.02
"""Of a slow direction: so often some bytes go on."""


@dataclass
class Direction:
    """What happens to bytes of one direction: all of it may be changed while they flow.

    ``stalled``: nothing goes on and nothing is read. ``bytes_per_s``, ``delay_s``: 0 = as fast as it can. ``flip_at``:
    the n-th byte from now, counted from 0, has one bit turned. ``cut_at``: the connections end in front of that byte.
    ``swallows_end``: an end of the sender is not told to the receiver, which goes on talking to nobody.
    """

    stalled: bool = False
    bytes_per_s: int = 0
    delay_s: float = 0.0
    flip_at: int | None = None
    cut_at: int | None = None
    swallows_end: bool = False
    carried: int = 0


@dataclass(eq=False)
class _Pair:
    """One client and its connection to the server, which is made after the client was taken."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Proxy:
    """Listens on ``port``, which stays the same, and carries to ``target_port``. ``up``: client to server; ``down``: back.

    Use as a context manager. ``cut`` resets every connection, ``close`` and ``open`` refuse and take new ones.
    """

    def __init__(self, target_port: int) -> None:
        self.up = Direction()
        self.down = Direction()
        self.accepted = 0
        self._target_port = target_port
        self._held = KeptPort()
        self.port = self._held.number
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._pairs: set[_Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._serving: socket.socket | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._serve())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(READY_WITHIN_S)
        self._loop.close()
        self._held.close()

    @property
    def connections(self) -> int:
        """How many clients are connected now, as far as we know."""
        return len(self._pairs)

    def cut(self) -> None:
        """Every connection is reset, both ways."""
        self._do(self._cut_all())

    def close(self) -> None:
        """Every connection is reset and new ones are refused."""
        self._do(self._refuse())

    def open(self) -> None:
        """New connections are taken again, at the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._do(self._serve())

    # --- inside the loop ----------------------------------------------------------------------------------------------

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(READY_WITHIN_S)

    async def _serve(self) -> None:
        listener = self._serving = self._listener
        self._server = await asyncio.start_server(lambda *ends: self._accept(listener, *ends), sock=listener)

    async def _refuse(self) -> None:
        self._serving = None
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut_all()

    async def _end(self) -> None:
        tasks = [task for pair in self._pairs for task in pair.tasks]
        await self._refuse()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _cut_all(self) -> None:
        for pair in list(self._pairs):
            self._drop(pair)

    async def _accept(
        self, listener: socket.socket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.accepted += 1
        pair = _Pair(writer)
        self._pairs.add(pair)
        if listener is not self._serving:  # taken just before we were closed
            self._drop(pair)
            return
        try:
            far_reader, pair.far = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            self._pairs.discard(pair)
            writer.transport.abort()
            return
        if pair not in self._pairs:  # cut meanwhile
            _reset(pair.far)
            return
        for source, sink, direction in ((reader, pair.far, self.up), (far_reader, writer, self.down)):
            pair.tasks.append(asyncio.create_task(self._carry(pair, source, sink, direction)))

    async def _carry(
        self, pair: _Pair, source: asyncio.StreamReader, sink: asyncio.StreamWriter, direction: Direction
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await self._read(source, direction):
                head, is_cut = _spoiled(data, direction)
                if direction.delay_s:
                    await _pause(direction.delay_s)
                sink.write(head)
                await sink.drain()
                if is_cut:
                    break
        if not direction.swallows_end:
            self._drop(pair)

    async def _read(self, source: asyncio.StreamReader, direction: Direction) -> bytes:
        await _until(lambda: not direction.stalled)
        size = READ_SIZE
        if direction.bytes_per_s:
            await _pause(SLICE_S)
            size = max(1, round(direction.bytes_per_s * SLICE_S))
        data = await source.read(size)
        await _until(lambda: not direction.stalled)
        return data

    def _drop(self, pair: _Pair) -> None:
        """Reset both ends: what was written and not sent is gone, as with a pulled cable."""
        if pair not in self._pairs:
            return
        self._pairs.discard(pair)
        for writer in (pair.near, pair.far):
            if writer is not None:
                _reset(writer)
        for task in pair.tasks:
            task.cancel()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _spoiled(data: bytes, direction: Direction) -> tuple[bytes, bool]:
    """What of a piece goes on, and whether the connection ends behind it; the marks count down as bytes go by."""
    is_cut = False
    if direction.cut_at is not None:
        is_cut = direction.cut_at < len(data)
        data, direction.cut_at = data[: direction.cut_at], None if is_cut else direction.cut_at - len(data)
    if direction.flip_at is not None:
        at = direction.flip_at
        if at < len(data):
            data = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        direction.flip_at = None if at < len(data) else at - len(data)
    direction.carried += len(data)
    return data, is_cut


async def _until(met: Callable[[], bool]) -> None:
    while not met():
        await _pause(SLICE_S)


async def _pause(seconds: float) -> None:
    """What slow is made of: nobody waits for anybody here."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end() -> None:
        if not over.done():
            over.set_result(None)

    asyncio.get_running_loop().call_later(seconds, end)
    await over
