"""The proxy of the chaos tests does to bytes what it says, and nothing else, so that a test knows which fault it made."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest

from tests.support.processes import eventually
from tests.support.proxy import Proxy

WITHIN_S = 20.0


class Peer:
    """A server that keeps what it reads and says what it is told to; one connection at a time."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.got = b""
        self.ended = threading.Event()
        self.accepted = threading.Event()
        self.connection: socket.socket | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                self.connection, _ = self._listener.accept()
                self.accepted.set()
                with suppress(OSError):
                    while data := self.connection.recv(4096):
                        self.got += data
                self.ended.set()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes whoever waits in accept; closing alone does not
        self._listener.close()
        if self.connection is not None:
            self.connection.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    with closing(Peer()) as opened:
        yield opened


@pytest.fixture
def proxy(peer: Peer) -> Iterator[Proxy]:
    with Proxy(peer.port) as opened:
        yield opened


@pytest.fixture
def client(proxy: Proxy, peer: Peer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=WITHIN_S) as connection:
        assert peer.accepted.wait(WITHIN_S)
        yield connection


def read_to_end(connection: socket.socket) -> bytes:
    """What comes until the end; a reset is an end, too."""
    data = b""
    with suppress(ConnectionError):
        while more := connection.recv(4096):
            data += more
    return data


def test_bytes_go_both_ways_unchanged(proxy: Proxy, peer: Peer, client: socket.socket) -> None:
    """Without a fault a proxy is a wire, and counts what it carries."""
    client.sendall(b"question")
    eventually(lambda: peer.got == b"question", WITHIN_S, "the question arrives")
    assert peer.connection is not None
    peer.connection.sendall(b"answer!")
    assert client.recv(100) == b"answer!"
    assert (proxy.up.carried, proxy.down.carried, proxy.accepted, proxy.connections) == (8, 7, 1, 1)


def test_a_cut_in_mid_packet_ends_both_ends_behind_the_byte(proxy: Proxy, peer: Peer, client: socket.socket) -> None:
    """The receiver has the bytes in front of the cut and an end; the sender is reset."""
    proxy.up.cut_at = 5
    client.sendall(b"half a packet")
    assert peer.ended.wait(WITHIN_S)
    assert len(peer.got) <= 5
    assert b"half a packet".startswith(peer.got)
    assert read_to_end(client) == b""
    eventually(lambda: proxy.connections == 0, WITHIN_S, "both ends are gone")


def test_a_stalled_direction_holds_its_bytes_and_the_other_goes_on(
    proxy: Proxy, peer: Peer, client: socket.socket
) -> None:
    """Nothing is lost by a stall: what was held goes on when it ends."""
    proxy.up.stalled = True
    client.sendall(b"later")
    assert peer.connection is not None
    peer.connection.sendall(b"now")
    assert client.recv(100) == b"now"
    assert peer.got == b""
    proxy.up.stalled = False
    eventually(lambda: peer.got == b"later", WITHIN_S, "what was held arrives")


def test_a_half_open_connection_hides_the_end_from_the_other_side(
    proxy: Proxy, peer: Peer, client: socket.socket
) -> None:
    """The client is gone, the server is not told and goes on writing to nobody."""
    proxy.up.swallows_end = True
    client.sendall(b"bye")
    client.shutdown(socket.SHUT_WR)
    eventually(lambda: peer.got == b"bye", WITHIN_S, "the last word arrives")
    assert peer.connection is not None
    peer.connection.sendall(b"are you there")
    assert client.recv(100) == b"are you there"
    assert not peer.ended.is_set()


def test_one_bit_of_the_wanted_byte_is_turned(proxy: Proxy, peer: Peer, client: socket.socket) -> None:
    """Exactly one byte differs, counted from when it was asked for, over as many pieces as it takes."""
    client.sendall(b"aaaa")
    eventually(lambda: peer.got == b"aaaa", WITHIN_S, "the first piece")
    proxy.up.flip_at = 6
    client.sendall(b"bbbb")
    eventually(lambda: len(peer.got) == 8, WITHIN_S, "the second piece")
    client.sendall(b"cccc")
    eventually(lambda: len(peer.got) == 12, WITHIN_S, "the third piece")
    assert peer.got == b"aaaabbbbcc" + bytes([ord("c") ^ 0x10]) + b"c"


def test_a_slow_or_late_direction_loses_nothing(proxy: Proxy, peer: Peer, client: socket.socket) -> None:
    """Everything comes in the end, in order, in small pieces."""
    proxy.up.bytes_per_s, proxy.up.delay_s = 5_000, 0.001
    text = bytes(range(256)) * 4
    client.sendall(text)
    eventually(lambda: peer.got == text, WITHIN_S, "everything arrives")


def test_a_closed_proxy_refuses_and_an_opened_one_takes_at_the_same_port(
    proxy: Proxy, peer: Peer, client: socket.socket
) -> None:
    """Connections are reset, new ones refused; then taken again where the client looks for them."""
    proxy.close()
    assert read_to_end(client) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=WITHIN_S)
    peer.accepted.clear()
    proxy.open()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=WITHIN_S) as again:
        assert peer.accepted.wait(WITHIN_S)
        again.sendall(b"back")
        eventually(lambda: peer.got.endswith(b"back"), WITHIN_S, "it carries again")
    assert proxy.accepted == 2


@pytest.mark.parametrize("fault", [Proxy.cut, Proxy.close])
def test_a_fault_reaches_a_connection_that_is_still_being_made(
    proxy: Proxy, peer: Peer, fault: Callable[[Proxy], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client was taken and the way on to the server is not there yet: it is reset all the same, both ways."""
    connect, go_on = asyncio.open_connection, threading.Event()

    async def slowly(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        await asyncio.to_thread(go_on.wait, WITHIN_S)
        return await connect(host, port)

    monkeypatch.setattr(asyncio, "open_connection", slowly)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=WITHIN_S) as early:
        eventually(lambda: proxy.accepted == 1, WITHIN_S, "the client is taken")
        fault(proxy)
        assert read_to_end(early) == b""
        go_on.set()
        assert peer.ended.wait(WITHIN_S)
    assert (peer.got, proxy.connections) == (b"", 0)
