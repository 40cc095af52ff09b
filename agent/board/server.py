"""Sockets, TLS and threads of the station's web server: bounded connections, and an end to everything slow.

Knows no path and no device: each request goes to the function it was given. A client can only spoil its own connection.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Protocol

from agent.board.limits import Buckets, Rate
from agent.board.wire import Conversation, Malformed, Request, Response

REFUSED_S = 0.02
"""After a connection that was refused: so many a second cost nothing, whatever comes."""

CHUNK_BYTES = 4_096
LINGER_S, LINGER_CHUNKS = 1.0, 16
"""How long, and for how much, a connection that is over is still read."""

BACKLOG = 32


NEW = Rate(10, 20)
"""New connections of one address: a handshake costs milliseconds of a processor that pumps share."""


class Answers(Protocol):
    """Who knows what a request means."""

    def answer(self, request: Request, address: str) -> Response:
        """Return the answer to a request from ``address``. Raises Malformed."""
        ...

    def refusal(self, status: int, message: str) -> Response:
        """Return the answer to what is no request."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """What a client may take: connections at once, new ones a second, seconds for each step, requests in a row.

    ``answer_s``: a device has its answer, or is told to ask again, within a second.
    """

    connections: int = 32
    from_one_address: int = 8
    new: Rate = NEW
    accept_s: float = 0.5
    handshake_s: float = 5.0
    request_s: float = 5.0
    idle_s: float = 30.0
    send_s: float = 5.0
    answer_s: float = 0.9
    requests: int = 1_000


class Server:
    """Listens at ``address``. ``tls`` None: plain, which only loopback may be."""

    def __init__(
        self, address: tuple[str, int], tls: ssl.SSLContext | None, networks: Sequence[str], patience: Patience
    ) -> None:
        """``networks``: who may come; this machine always may."""
        self._networks = [ip_network(network) for network in (*networks, "127.0.0.0/8", "::1/128")]
        self._address = address
        self._tls = tls
        self._patience = patience
        self._slots = threading.BoundedSemaphore(patience.connections)
        self._new = Buckets(patience.new)
        self._lock = threading.Lock()
        self._by_address: Counter[str] = Counter()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None

    def open(self) -> int:
        """Listen; returns the port. Raises OSError."""
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        self._listener = socket.create_server(self._address, family=family, backlog=BACKLOG)
        self._listener.settimeout(self._patience.accept_s)
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Stop listening and end every connection."""
        if self._listener is not None:
            self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def serve_once(self, answers: Answers) -> None:
        """Accept at most one connection and talk with it in a thread of its own."""
        assert self._listener is not None
        if not self._slots.acquire(timeout=self._patience.accept_s):
            return
        try:
            connection, peer = self._listener.accept()
        except TimeoutError:
            self._slots.release()
            return
        except OSError:
            self._slots.release()
            raise
        host = str(peer[0]).partition("%")[0]
        if not self._may_come(host):
            connection.close()
            self._slots.release()
            time.sleep(REFUSED_S)
            return
        threading.Thread(target=self._talk, args=(connection, host, answers), name="board-talk", daemon=True).start()

    def _may_come(self, host: str) -> bool:
        if not any(ip_address(host) in network for network in self._networks):
            return False
        if not self._new.take(host, round(time.monotonic() * 1000)):
            return False
        with self._lock:
            if self._by_address[host] >= self._patience.from_one_address:
                return False
            self._by_address[host] += 1
            return True

    def _talk(self, plain: socket.socket, host: str, answers: Answers) -> None:
        connection = plain
        try:
            connection = self._secured(plain)
            with self._lock:
                self._open.add(connection)
            self._converse(connection, host, answers)
        except OSError:
            pass  # the client has gone, or was too slow, or speaks no TLS; it can come again
        finally:
            with self._lock:
                self._open.discard(connection)
                self._by_address[host] -= 1
                if not self._by_address[host]:
                    del self._by_address[host]
            connection.close()
            self._slots.release()

    def _secured(self, plain: socket.socket) -> socket.socket:
        plain.settimeout(self._patience.handshake_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is None:
            return plain
        try:
            return self._tls.wrap_socket(plain, server_side=True)
        except OSError:
            plain.close()
            raise

    def _converse(self, connection: socket.socket, host: str, answers: Answers) -> None:
        talk = Conversation()
        for left in range(self._patience.requests, 0, -1):
            try:
                request = self._next(connection, talk)
                if request is None:
                    return
                response = answers.answer(request, host)
            except Malformed as problem:
                if not talk.may_answer:
                    return
                response = answers.refusal(problem.status, str(problem))
            connection.settimeout(self._patience.send_s)
            connection.sendall(talk.answer(response, is_last=left == 1))
            if talk.is_over:
                self._linger(connection)
                return

    def _linger(self, connection: socket.socket) -> None:
        """Let the last answer arrive: closed on bytes that nobody read, the system would take it back."""
        connection.shutdown(socket.SHUT_WR)
        ends = time.monotonic() + LINGER_S
        for _ in range(LINGER_CHUNKS):
            left = ends - time.monotonic()
            if left <= 0:
                return
            connection.settimeout(left)
            if not connection.recv(CHUNK_BYTES):
                return

    def _next(self, connection: socket.socket, talk: Conversation) -> Request | None:
        """Return the next request, ``None`` when the client has said goodbye. Raises TimeoutError, Malformed."""
        ends = time.monotonic() + self._patience.idle_s
        timed = False
        while (request := talk.request()) is None:
            if talk.has_begun and not timed:
                ends, timed = time.monotonic() + self._patience.request_s, True
            left = ends - time.monotonic()
            if left <= 0:
                raise TimeoutError
            connection.settimeout(left)
            data = connection.recv(CHUNK_BYTES)
            if not data and not talk.has_begun:
                return None
            talk.feed(data)
        return request
