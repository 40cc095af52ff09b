"""A TCP proxy of the demo's own between agent and broker: it delays, goes deaf and cuts. One thread with its own loop.

Knows bytes; knows nothing of MQTT.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass

CHUNK_BYTES = 65_536
OPEN_S = 30.0
LOOK_S = 0.05


@dataclass(slots=True)
class Weather:
    """What happens to every byte. Changed by any thread, read by the proxy's."""

    delay_s: float = 0.0
    deaf: bool = False


class Proxy:
    """Listens on loopback and forwards to ``target``. ``port`` is known after ``start``."""

    def __init__(self, target: int) -> None:
        self.weather = Weather()
        self.port = 0
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._run, name="demo-proxy", daemon=True)

    def start(self) -> None:
        """Listen; returns when the port is known."""
        self._thread.start()
        self._ready.wait(OPEN_S)
        assert self.port, "a listening socket on loopback has a port"

    def stop(self) -> None:
        """Cut everything and end the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(OPEN_S)

    def cut(self) -> None:
        """Close every connection at once, without a word."""
        self._loop.call_soon_threadsafe(self._abort)

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = int(server.sockets[0].getsockname()[1])
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._abort()
        self._loop.run_until_complete(_cancel_all())
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = {writer}
        self._writers |= pair
        try:
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
                pair.add(far_writer)
                self._writers |= pair
                if not writer.transport.is_closing():  # it may have been cut while it was being made
                    await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self._writers -= pair
            for one in pair:
                one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if self.weather.delay_s:
                    await asyncio.sleep(self.weather.delay_s)
                while self.weather.deaf:
                    await asyncio.sleep(LOOK_S)
                writer.write(data)
                await writer.drain()
        if not writer.is_closing():
            writer.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
