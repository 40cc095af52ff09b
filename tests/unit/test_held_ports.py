"""Ports of the tests' own servers: nobody else gets them, neither before the server listens nor while it is away."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.broker import free_port
from tests.support.proxy import Proxy
from tests.support.tcp_cable import TcpCable

WITHIN_S = 60.0


def nobody_else_gets(port: int) -> None:
    """Somebody who wants the port for himself alone is refused it."""
    with socket.socket() as other, pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)):
        other.bind(("127.0.0.1", port))


@contextmanager
def listening(port: int) -> Iterator[None]:
    """A server as asyncio, mosquitto and PostgreSQL make them."""
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(WITHIN_S)
        with socket.create_connection(("127.0.0.1", port), WITHIN_S), server.accept()[0]:
            yield


def test_a_port_is_held_before_during_and_after_a_server() -> None:
    """A client is refused while no server listens, not left waiting; the same port is served again and again."""
    port = free_port()
    for _ in range(2):
        nobody_else_gets(port)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), WITHIN_S)
        with listening(port):
            nobody_else_gets(port)


def test_a_proxy_keeps_its_port_while_it_is_closed() -> None:
    """It opens at the same port, whoever has asked for one meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as target, Proxy(target.getsockname()[1]) as proxy:
        proxy.close()
        nobody_else_gets(proxy.port)
        proxy.open()
        socket.create_connection(("127.0.0.1", proxy.port), WITHIN_S).close()


def test_a_pulled_cable_keeps_its_port_and_a_server_that_has_gone_ends_the_connection() -> None:
    """Plugged in again it is the same address; nobody behind it is an end for the client, not for the cable."""
    cable = TcpCable(free_port())
    port = int(cable.url.rpartition(":")[2])
    try:
        for _ in range(2):
            cable.pull()
            nobody_else_gets(port)
            cable.plug()
            with socket.create_connection(("127.0.0.1", port), WITHIN_S) as client:
                assert client.recv(1) == b""
    finally:
        cable.close()
