"""``python -m agent.demo.embedded_broker PORT``: an MQTT 3.1.1 broker on loopback for machines without mosquitto.

The only file that imports amqtt. It drops an MQTT 5 CONNECT without an answer, which costs a client ten seconds; so a
door in front of it says "unsupported protocol version" as MQTT 5 wants it said, and lets everybody else through.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys

from amqtt.broker import Broker

from agent.demo.broker import free_port

UNSUPPORTED = bytes.fromhex("2003008400")
"""CONNACK of MQTT 5 with reason 0x84 and no properties (OASIS MQTT 5, 3.2)."""
NAME = b"\x00\x04MQTT"
MAX_HEAD_BYTES = 5 + len(NAME) + 1
"""Packet type, up to four bytes of length, protocol name, level."""
HEAD_S = 5.0
CHUNK_BYTES = 65_536


class Door:
    """Looks at the first bytes of each connection and forwards it to the broker on ``port``."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        with contextlib.suppress(OSError, TimeoutError):
            head = await asyncio.wait_for(_head(reader), HEAD_S)
            if head[-1:] == b"\x05":
                writer.write(UNSUPPORTED)
                await writer.drain()
            else:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
                far_writer.write(head)
                await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        writer.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    """Read up to and including the protocol level of a CONNECT; of anything else what came first."""
    head = b""
    while len(head) < MAX_HEAD_BYTES and NAME not in head[:-1]:
        byte = await reader.read(1)
        if not byte:
            break
        head += byte
    return head


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()


async def serve(port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    inner = free_port()
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{inner}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    async with await asyncio.start_server(Door(inner).enter, "127.0.0.1", port):
        await stop.wait()
        await broker.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(serve(int(sys.argv[1])))
