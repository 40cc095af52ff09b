"""Hostile and broken clients of the web server: each ends with an answer or a closed connection, and nobody else notices."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from random import Random

import pytest

from agent.board.limits import MOST, Buckets, Rate
from agent.board.wire import Conversation, Malformed, Response
from tests.support import template
from tests.support.board_station import GENEROUS, BoardStation
from tests.support.processes import eventually
from tests.support.tls_files import make

WITHIN_S = 20.0
GOOD = b"GET /openapi.json HTTP/1.1\r\nHost: %s\r\n\r\n"


def made(**patience: float) -> Iterator[BoardStation]:
    """A station on loopback without TLS; ``patience``: of its web server."""
    folder = template.new_folder()
    template.copy_to(folder)
    station = BoardStation(folder, patience=replace(GENEROUS, **patience))  # type: ignore[arg-type]
    yield station
    station.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def shared() -> Iterator[BoardStation]:
    """It waits as long as a busy machine needs, and has few connections."""
    yield from made(connections=6, from_one_address=4, requests=3)


@pytest.fixture
def station(shared: BoardStation) -> BoardStation:
    """The same for all tests; connections of the test before, whose end came before the server was done, are over."""
    eventually(lambda: not talks(), WITHIN_S, "nobody talks with the server")
    return shared


def talks() -> list[threading.Thread]:
    """Conversations of servers that are not over."""
    return [thread for thread in threading.enumerate() if thread.name == "board-talk"]


@pytest.fixture(scope="module")
def hasty() -> Iterator[BoardStation]:
    """It waits for nobody."""
    yield from made(request_s=0.1, idle_s=0.2)


def dialled(station: BoardStation) -> socket.socket:
    """A connection to the web server."""
    assert station.board.port is not None
    return socket.create_connection(("127.0.0.1", station.board.port), timeout=60)


def everything(connection: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    found = b""
    try:
        while data := connection.recv(65_536):
            found += data
    except ConnectionError:
        pass  # what it had not read when it closed
    return found


def said(station: BoardStation, text: bytes) -> bytes:
    """What the server says to a text and nothing more."""
    with closing(dialled(station)) as connection:
        with suppress(OSError):
            connection.sendall(text)
            connection.shutdown(socket.SHUT_WR)
        return everything(connection)


def hung_up(connection: socket.socket) -> bool:
    """Whether the server has ended a connection on which it has nothing to say."""
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def is_well(station: BoardStation) -> bool:
    """Whether a good request is answered."""
    host = f"127.0.0.1:{station.board.port}".encode()
    return said(station, GOOD % host).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
        (b"\x00" * 100 + b"\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", b"421"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"431"),
        (b"POST /v1/scans HTTP/1.1\r\nHost: a\r\nContent-Length: 2049\r\n\r\n", b"413"),
        (b"POST /v1/scans HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n", b"400"),
        (b"POST /v1/scans HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"421"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n" + b"x" * 4_095, b"413"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", b"501"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", b"421"),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", b"421"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX\x00: b\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", b"421"),
    ],
)
def test_what_is_no_request_of_ours_is_refused(station: BoardStation, text: bytes, status: bytes) -> None:
    """Wrong protocols, smuggling, endless headers and bodies: a status, JSON that says why, and the next one is served."""
    told = said(station, text)
    assert told.startswith(b"HTTP/1.1 " + status), told[:200]
    assert b'"hint"' in told
    assert is_well(station)


def test_no_bytes_whatsoever_raise_anything_but_malformed() -> None:
    """Fifteen hundred requests with bytes changed, cut and repeated: a request, nothing yet, or Malformed."""
    random = Random(8443)
    seeds = (
        b"POST /v1/scans HTTP/1.1\r\nHost: a:1\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n12345",
        b"POST /v1/claims HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: a=b\r\n\r\n",
    )
    requests = refused = 0
    for _ in range(1_500):
        text = bytearray(random.choice(seeds))
        for _ in range(random.randrange(4)):
            at = random.randrange(len(text))
            text[at : at + random.randrange(3)] = random.randbytes(random.randrange(4))
        talk = Conversation()
        try:
            talk.feed(bytes(text))
            if talk.request() is not None:
                requests += 1
                assert talk.answer(Response(200, (), b"x")).startswith(b"HTTP/1.1 200")
        except Malformed:
            refused += 1
        if talk.may_answer:
            assert talk.answer(Response(400, (), b"")).startswith(b"HTTP/1.1 400")
    assert requests > 400
    assert refused > 300


def test_a_client_that_dribbles_is_hung_up_on(hasty: BoardStation) -> None:
    """A byte now and then (slowloris) buys no time: the whole request has 0.1 s here, 5 s in earnest."""
    sent = 0
    with closing(dialled(hasty)) as connection:
        connection.settimeout(0.01)
        while sent == 0 or (not hung_up(connection) and sent < 4_000):
            with suppress(ConnectionError):
                connection.sendall(b"GET / HTTP/1.1\r\nX: "[sent : sent + 1] or b"x")
            sent += 1
    assert 0 < sent < 4_000
    eventually(lambda: is_well(hasty), 60, "another is served")


def test_a_client_that_says_nothing_is_hung_up_on(hasty: BoardStation) -> None:
    """An open connection without a request ends by itself."""
    with closing(dialled(hasty)) as connection:
        assert everything(connection) == b""


def test_a_body_that_never_comes_is_not_waited_for(hasty: BoardStation) -> None:
    """Headers announce a body and nothing follows: the connection ends within the time of a request."""
    with closing(dialled(hasty)) as connection:
        connection.sendall(b"POST /v1/scans HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        assert everything(connection) == b""


def test_a_connection_carries_several_requests_and_not_without_end(station: BoardStation) -> None:
    """Requests one behind the other are answered in order; after the third one here the connection ends."""
    host = f"127.0.0.1:{station.board.port}".encode()
    told = said(station, GOOD % host * 5)
    assert told.count(b"HTTP/1.1 200 ") == 3
    assert told.lower().count(b"connection: close") == 1


def test_connections_of_one_address_are_bounded_and_free_again(station: BoardStation) -> None:
    """Four idle connections use up one address; the fifth is hung up on at once, and later there is room again."""
    idle = [dialled(station) for _ in range(4)]
    host = f"127.0.0.1:{station.board.port}".encode()
    for connection in idle:
        connection.sendall((GOOD % host)[:-2])
    eventually(lambda: len(talks()) == len(idle), WITHIN_S, "each has its conversation")
    with closing(dialled(station)) as fifth:
        assert everything(fifth) == b""
    for connection in idle:
        connection.close()
    eventually(lambda: is_well(station), 20, "there is room for a connection again")


def test_every_answer_forbids_what_a_page_does_not_need(station: BoardStation) -> None:
    """No script, style, frame or connection from elsewhere, nothing kept, nothing guessed; page and refusals alike."""
    for target in (b"/", b"/page.js", b"/v1/points", b"/nothing"):
        host = f"127.0.0.1:{station.board.port}".encode()
        told = said(station, b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").lower()
        assert b"content-security-policy: default-src 'none'; script-src 'self'; " in told
        for header in (b"x-content-type-options: nosniff", b"cache-control: no-store", b"x-frame-options: deny"):
            assert header in told
        assert b"server:" not in told


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_text(station: BoardStation) -> None:
    """Its three files name no other address, and no answer ever becomes markup or code."""
    with station.handheld() as device:
        files = [device.ask("GET", path).body.decode() for path in ("/", "/page.css", "/page.js")]
        assert device.ask("POST", "/", {}).status == 405
        assert device.ask("GET", "/page.html").status == 404
    text = "".join(files)
    for word in ("http:", "https:", "//cdn", "innerHTML", "outerHTML", "document.write", "eval(", "localStorage"):
        assert word not in text
    assert "<script>" not in files[0]
    assert " style=" not in files[0]


def test_plain_text_and_silence_at_a_tls_port_are_hung_up_on() -> None:
    """Who does not finish a handshake is gone soon, and the next one is served."""
    folder = template.new_folder()
    template.copy_to(folder)
    station = BoardStation(folder, make(folder), replace(GENEROUS, handshake_s=1.0))
    try:
        with closing(dialled(station)) as plain:
            plain.sendall(GOOD % b"127.0.0.1")
            assert b"200" not in everything(plain)
        with closing(dialled(station)) as silent:
            assert everything(silent) == b""
        with station.handheld() as device:
            assert device.insist("GET", "/openapi.json").status == 200
    finally:
        station.close()
        shutil.rmtree(folder)


def test_buckets_fill_with_time_and_forget_the_oldest() -> None:
    """Two at once, one a second; a clock that goes back gives nothing; memory is bounded whatever keys come."""
    buckets = Buckets(Rate(1, 2))
    assert [buckets.take("a", 0) for _ in range(3)] == [True, True, False]
    assert (buckets.take("a", 999), buckets.take("a", 500), buckets.take("a", 1_500)) == (False, False, True)
    for key in range(2 * MOST):
        buckets.take(key, 0)
    assert len(buckets._levels) == MOST
