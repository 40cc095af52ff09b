"""Real pseudo terminals and sockets: what is read when, and how a lost wire shows."""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import socket
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import serial

from drivers import port as port_module
from drivers.config import LineConfig, SerialSettings
from drivers.errors import PortLost, WiringError
from drivers.port import Cancellable, DescriptorPort, Port, open_port

DART_LIKE = SerialSettings(9600, 8, "odd", 1)
WITHIN_S = 60.0


def line(name: str) -> LineConfig:
    """A line on ``name``."""
    return LineConfig(id="a", port=name, protocol="dart")


def open_descriptors() -> set[tuple[str, str]]:
    """What this process has open, each with its number; what goes away meanwhile may be another test's."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add((path.name, os.readlink(path)))
    return {(number, name) for number, name in found if not name.startswith("/proc/")}


class Terminal:
    """Both ends of a pseudo terminal; the slave end is only a name."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        self.name = os.ttyname(slave)
        os.close(slave)

    def close(self) -> None:
        """Pull the cable."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A pseudo terminal."""
    made = Terminal()
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A listening TCP socket on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def until_lost(port: Port, limit_s: float = 30.0) -> PortLost:
    """Read until ``PortLost``; fails after ``limit_s``."""
    end_s = time.monotonic() + limit_s
    while time.monotonic() < end_s:
        try:
            port.read(16, 0.05)
        except PortLost as error:
            return error
    raise AssertionError("the lost port was never noticed")


def test_pty_carries_bytes_both_ways_with_odd_parity_asked(terminal: Terminal) -> None:
    """A pseudo terminal opens although it knows no parity, and passes all byte values unchanged."""
    port = open_port(line(terminal.name), DART_LIKE)
    everything = bytes(range(256))
    port.write(everything)
    received = b""
    while len(received) < 256:
        received += os.read(terminal.master, 256)
    assert received == everything
    os.write(terminal.master, everything)
    back = b""
    while len(back) < 256:
        got = port.read(256, WITHIN_S)
        assert got
        back += got
    assert back == everything
    port.close()


def test_pty_that_refuses_parity_is_opened_without(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a system whose pseudo terminals refuse parity, the port opens with none."""
    real = termios.tcsetattr

    def strict(descriptor: int, when: int, attributes: list[object]) -> None:
        if int(attributes[2]) & termios.PARENB:  # type: ignore[call-overload]
            raise termios.error(errno.EINVAL, "Invalid argument")
        real(descriptor, when, attributes)  # type: ignore[arg-type]

    monkeypatch.setattr(termios, "tcsetattr", strict)
    before = open_descriptors()
    port = open_port(line(terminal.name), DART_LIKE)
    port.write(b"x")
    assert os.read(terminal.master, 1) == b"x"
    port.close()
    assert open_descriptors() <= before


def test_read_returns_as_soon_as_anything_is_there(terminal: Terminal) -> None:
    """Three bytes come back at once although many more were allowed and the time-out is long."""
    port = open_port(line(terminal.name), DART_LIKE)
    os.write(terminal.master, b"abc")
    began_s = time.monotonic()
    assert port.read(100, 60.0) == b"abc"
    assert time.monotonic() - began_s < 30.0
    assert port.read(100, 0.0) == b""
    port.close()


def test_read_waits_no_longer_than_it_may(terminal: Terminal) -> None:
    """A silent wire gives empty bytes after the time-out, not before."""
    port = open_port(line(terminal.name), DART_LIKE)
    began_s = time.monotonic()
    assert port.read(100, 0.05) == b""
    assert time.monotonic() - began_s >= 0.045
    port.close()


def test_discard_throws_away_what_arrived(terminal: Terminal) -> None:
    """Discard counts the unread bytes, and a new read sees only what came later."""
    port = open_port(line(terminal.name), DART_LIKE)
    os.write(terminal.master, b"old bytes")
    assert port.read(1, WITHIN_S) == b"o"
    assert port.discard() == 8
    assert port.discard() == 0
    os.write(terminal.master, b"new")
    assert port.read(10, WITHIN_S) == b"new"
    port.close()


def test_vanished_pty_is_noticed_by_reading_and_by_writing(terminal: Terminal) -> None:
    """Closing the master end is PortLost, with a hint, on read, discard and write."""
    port = open_port(line(terminal.name), DART_LIKE)
    terminal.close()
    assert until_lost(port).hint
    with pytest.raises(PortLost):
        port.write(b"x")
    with pytest.raises(PortLost):
        port.discard()
    port.close()
    port.close()
    with pytest.raises(PortLost):
        port.read(1, 0.0)


def test_second_opening_is_refused_as_taken(terminal: Terminal) -> None:
    """A device is opened exclusively: the second agent is told that it is in use."""
    port = open_port(line(terminal.name), DART_LIKE)
    with pytest.raises(PortLost) as caught:
        open_port(line(terminal.name), DART_LIKE)
    assert "other program" in caught.value.hint
    port.close()
    open_port(line(terminal.name), DART_LIKE).close()


def test_missing_device_says_so(tmp_path: Path) -> None:
    """A device file that is not there is PortLost with the hint to plug it in."""
    with pytest.raises(PortLost) as caught:
        open_port(line(str(tmp_path / "ttyUSB9")), DART_LIKE)
    assert "plug" in caught.value.hint


def test_forbidden_device_names_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that may not be opened is PortLost with the group to join."""

    def forbidden(*_arguments: object, **_options: object) -> object:
        raise serial.SerialException(errno.EACCES, "could not open port")

    monkeypatch.setattr(serial, "serial_for_url", forbidden)
    with pytest.raises(PortLost) as caught:
        open_port(line("/dev/ttyUSB0"), DART_LIKE)
    assert "group forecourt" in caught.value.hint


@pytest.mark.parametrize("name", ["socket://", "socket://host", "socket://host:99999999", "nonsense://x"])
def test_impossible_address_is_a_wiring_error(name: str) -> None:
    """An address that can never work is told apart from one that is down."""
    with pytest.raises(WiringError) as caught:
        open_port(line(name), DART_LIKE)
    assert caught.value.hint


def test_illegal_serial_settings_are_a_wiring_error(terminal: Terminal) -> None:
    """A parity that does not exist is the configuration's fault."""
    config = replace(line(terminal.name), serial=SerialSettings(parity="sometimes"))
    with pytest.raises(WiringError):
        open_port(config, DART_LIKE)


def test_file_that_is_no_terminal_cannot_be_opened(tmp_path: Path) -> None:
    """An ordinary file in place of a device is PortLost and not something else."""
    plain = tmp_path / "plain"
    plain.write_text("")
    with pytest.raises(PortLost):
        open_port(line(str(plain)), DART_LIKE)


def test_failed_openings_leak_no_descriptor(tmp_path: Path, terminal: Terminal) -> None:
    """Missing, taken and refused ports opened again and again leave no descriptor behind."""
    holder = open_port(line(terminal.name), DART_LIKE)
    with socket.socket() as taken:  # bound, so that nobody else gets the number, and not listening
        taken.bind(("127.0.0.1", 0))
        names = [str(tmp_path / "none"), terminal.name, f"socket://127.0.0.1:{taken.getsockname()[1]}"]
        before = open_descriptors()
        for name in names * 20:
            with pytest.raises(PortLost):
                open_port(line(name), DART_LIKE)
        assert open_descriptors() <= before
    holder.close()


def test_socket_carries_bytes_without_delay(server: socket.socket) -> None:
    """A TCP tunnel carries bytes both ways and has Nagle's delay switched off."""
    port = open_port(line(f"socket://127.0.0.1:{server.getsockname()[1]}"), DART_LIKE)
    peer, _ = server.accept()
    with peer:
        port.write(b"ask")
        assert peer.recv(10) == b"ask"
        peer.sendall(b"answer")
        assert port.read(100, WITHIN_S) == b"answer"
        duplicate = socket.socket(fileno=os.dup(port._descriptor))  # type: ignore[attr-defined]
        with duplicate:
            assert duplicate.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    port.close()


def test_closed_socket_is_noticed(server: socket.socket) -> None:
    """The peer of the tunnel closing the connection is PortLost."""
    port = open_port(line(f"socket://127.0.0.1:{server.getsockname()[1]}"), DART_LIKE)
    peer, _ = server.accept()
    peer.close()
    assert "hung up" in str(until_lost(port))
    port.close()


def test_peer_that_takes_nothing_is_lost(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tunnel whose buffers are full for longer than the limit counts as lost instead of holding the line."""
    monkeypatch.setattr(port_module, "WRITE_TIMEOUT_S", 0.05)
    port = open_port(line(f"socket://127.0.0.1:{server.getsockname()[1]}"), DART_LIKE)
    peer, _ = server.accept()
    with peer, pytest.raises(PortLost):
        port.write(bytes(256 << 20))
    port.close()


def test_write_waits_for_a_slow_reader(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """More bytes than the system buffers hold are all sent once the peer reads."""
    monkeypatch.setattr(port_module, "WRITE_TIMEOUT_S", WITHIN_S)
    port = open_port(line(f"socket://127.0.0.1:{server.getsockname()[1]}"), DART_LIKE)
    peer, _ = server.accept()
    size = 16 << 20
    received: list[int] = []

    def drain() -> None:
        while sum(received) < size:
            received.append(len(peer.recv(1 << 20)))

    reader = threading.Thread(target=drain)
    reader.start()
    port.write(bytes(size))
    reader.join(60)
    assert sum(received) == size
    port.close()
    peer.close()


def test_loop_url_works() -> None:
    """Other pyserial URLs open too: what is written to loop:// comes back."""
    port = open_port(line("loop://"), DART_LIKE)
    port.write(b"around")
    assert port.read(3, WITHIN_S) == b"aro"
    assert port.discard() == 3
    assert port.read(3, 0.0) == b""
    port.close()


def test_a_waiting_read_ends_soon_when_another_thread_cancels() -> None:
    """At the end of the station nobody waits five seconds for a silent gauge: the read raises PortLost within a slice."""
    ours, theirs = socket.socketpair()
    with theirs:
        port = DescriptorPort("pair", ours.fileno(), ours.close)
        ended: list[float] = []

        def wait() -> None:
            with contextlib.suppress(PortLost):
                port.read(1, 60.0)
            ended.append(time.monotonic())

        waiter = threading.Thread(target=wait)
        waiter.start()
        port.cancel()
        waiter.join(60)
        assert ended
        assert isinstance(port, Cancellable)
        port.close()
