"""A gate before a broker that turns MQTT 5 away, as brokers of MQTT 3.1.1 do; everything else goes through byte by byte.

Knows the first packet of a connection and nothing after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading

TOO_NEW = b"\x20\x02\x00\x01"
"""CONNACK of MQTT 3.1.1: unacceptable protocol version."""

FIVE = b"\x00\x04MQTT\x05"
CHUNK = 65_536
READY_WITHIN_S = 60.0


class OldGate:
    """Listens at ``port`` of loopback and hands what is MQTT 3.1.1 on to ``inner``. ``turned_away``: how much was not."""

    def __init__(self, port: int, inner: int) -> None:
        self.turned_away = 0
        self._port = port
        self._inner = inner
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Open it; every start after a stop is a new gate at the same port."""
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._loop, ready))
        self._thread.start()
        assert ready.wait(READY_WITHIN_S), "the gate does not open"

    def stop(self) -> None:
        """Close it and cut every connection."""
        loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(READY_WITHIN_S)
            loop.close()

    def _run(self, loop: asyncio.AbstractEventLoop, ready: threading.Event) -> None:
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(asyncio.start_server(self._connected, "127.0.0.1", self._port))
        ready.set()
        loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.CancelledError):
            first = await reader.read(CHUNK)
            if FIVE in first[:16]:
                self.turned_away += 1
                writer.write(TOO_NEW)
                await writer.drain()
                return
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._inner)
            with contextlib.closing(inner_writer):
                inner_writer.write(first)
                ways = [asyncio.ensure_future(_pass(*way)) for way in ((reader, inner_writer), (inner_reader, writer))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
