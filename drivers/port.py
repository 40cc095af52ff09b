"""The only file here that opens a serial port or socket (pyserial URLs, so ``socket://`` and ``loop://`` work).

Knows descriptors and time-outs. Knows no protocol and never opens a port again by itself: the line decides that.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import select
import socket
import stat
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

import serial

from drivers.config import LineConfig, SerialSettings
from drivers.errors import PortLost, WiringError
from drivers.marks import Marks


class Port(Protocol):
    """A byte pipe to one wire. All methods raise ``PortLost`` when the wire itself has gone."""

    def write(self, data: bytes) -> None:
        """Send all of ``data`` and wait until the system has taken it."""
        ...

    def read(self, size: int, timeout_s: float) -> bytes:
        """Return between 0 and ``size`` bytes: as soon as any are there, or empty after ``timeout_s`` without one."""
        ...

    def discard(self) -> int:
        """Throw away what has arrived unread; returns how many bytes."""
        ...

    def monotonic(self) -> float:
        """The clock of the wire in seconds (real time in production, virtual in scenario tests)."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait for ``seconds`` on the clock of the wire (turn-around times of the protocol)."""
        ...

    def close(self) -> None:
        """Release the descriptor; never raises."""
        ...


@runtime_checkable
class Cancellable(Protocol):
    """A port whose waiting read another thread may end."""

    def cancel(self) -> None:
        """Make the read that waits, and every later one that would wait, raise ``PortLost`` soon."""
        ...


CONNECT_TIMEOUT_S = 1.5  # a line tries again at least every 2 s, so an attempt must end before that
WRITE_TIMEOUT_S = 2.0  # frames are short: a wire that takes none for so long is stuck
UNANSWERED_TIMEOUT_MS = 4000  # TCP tunnel whose peer vanished: noticed within the 5 s a lost port may take
CANCEL_SLICE_MS = 200  # a wait for an answer looks this often whether the line is being ended
DISCARD_LIMIT = 65536  # a wire that babbles faster than we read must not hold the turn
PTY_MAJORS = range(136, 144)  # Linux: the device numbers of pseudo terminals
PCSC = "pcsc:"
"""How a port begins that is a card reader of the system's PC/SC service; a part of the reader's name may follow."""
EVDEV = "evdev:"
"""How a port begins that is an input device of the system, such as a scanner that types; its path follows."""
GRAB = 0x40044590
"""The request EVIOCGRAB: from now on nobody else gets the events of this device."""
GENERIC = SerialSettings(9600, 8, "none", 1)  # used where neither the line nor its protocol says otherwise
PARITIES = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}


def open_port(
    config: LineConfig, defaults: SerialSettings, marks: Marks | None = None, *, listen_only: bool = False
) -> Port:
    """Open ``config.port``: a device path (exclusively), a pty, ``socket://host:port``, ``pcsc:``, ``evdev:PATH``, or a
    pyserial URL.

    ``defaults`` are the protocol's serial settings, used where ``config.serial`` says ``None``; sockets ignore both.
    ``marks`` counts the characters that a serial port received damaged (parity, framing); they arrive all the same.
    ``listen_only`` leaves RTS and DTR low, so that an adapter which drives its wire by them stays quiet.
    Raises ``PortLost`` when it is not there, taken or forbidden; ``WiringError`` when it can never be opened so.
    """
    if config.port.startswith("socket://"):
        return _open_socket(config.port)
    if config.port.startswith(PCSC):
        if listen_only:
            raise WiringError(f"{config.port} is no wire to listen to", hint="forecourt device read --protocol pcsc")
        from drivers.pcsc.port import PcscPort  # only where a station has such a reader

        return PcscPort(config.port)
    if config.port.startswith(EVDEV):
        return _open_input(config.port.removeprefix(EVDEV))
    settings = _merged(config.serial, defaults)
    try:
        try:
            return _open_serial(config.port, settings, marks, quiet=listen_only)
        except (termios.error, OSError) as error:
            # Some systems refuse parity on a pseudo terminal, which has no wire to put a parity bit on.
            if error.args[:1] != (errno.EINVAL,) or settings.parity == "none" or not _is_pty(config.port):
                raise
            plain = SerialSettings(settings.baudrate, settings.data_bits, "none", settings.stop_bits)
            return _open_serial(config.port, plain, marks, quiet=listen_only)
    except (termios.error, OSError) as error:
        raise _not_opened(config.port, error) from error
    except ValueError as error:
        raise WiringError(
            f"{config.port} cannot be opened: {error}",
            hint="write a device path such as /dev/serial/by-id/... or socket://host:port, and legal serial settings",
        ) from error


class DescriptorPort:
    """A port behind a non-blocking descriptor: serial device, pseudo terminal or socket."""

    monotonic = staticmethod(time.monotonic)  # asked several times in every poll

    def __init__(self, name: str, descriptor: int, release: Callable[[], object], marks: Marks | None = None) -> None:
        self._name = name
        self._descriptor = descriptor
        self._marks = marks
        self._release = release
        self._open = True
        self._cancelled = False
        self._readable = select.poll()
        self._readable.register(descriptor, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(descriptor, select.POLLOUT)

    def write(self, data: bytes) -> None:
        """As ``Port.write``; a wire that takes nothing for ``WRITE_TIMEOUT_S`` counts as lost."""
        self._check_open()
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                if not self._writable.poll(WRITE_TIMEOUT_S * 1000):
                    raise self._lost("takes no bytes", "check the adapter, then plug it in again") from None
            except OSError as error:
                raise self._lost(error.strerror, "check the cable and the adapter") from error

    def read(self, size: int, timeout_s: float) -> bytes:
        """As ``Port.read``. End of file means that the other end has hung up: ``PortLost``."""
        self._check_open()
        left_ms = math.ceil(max(0.0, timeout_s) * 1000)
        while True:
            if self._readable.poll(min(left_ms, CANCEL_SLICE_MS)):
                data = self._take(size)
                if data or self._marks is None:  # else the beginning of a mark has come, and no character yet
                    return data
            if self._cancelled:
                raise self._lost("the line is being ended", "")
            left_ms -= CANCEL_SLICE_MS
            if left_ms <= 0:
                return b""

    def cancel(self) -> None:
        """As ``Cancellable.cancel``."""
        self._cancelled = True

    def discard(self) -> int:
        """As ``Port.discard``; at most ``DISCARD_LIMIT`` bytes."""
        self._check_open()
        thrown = 0
        while thrown < DISCARD_LIMIT and self._readable.poll(0):
            taken = len(self._take(4096))
            if not taken:
                break
            thrown += taken
        return thrown

    def pause(self, seconds: float) -> None:
        """As ``Port.pause``."""
        time.sleep(max(0.0, seconds))

    def close(self) -> None:
        """As ``Port.close``; may be repeated."""
        if self._open:
            self._open = False
            try:
                self._release()
            except (OSError, termios.error):
                pass  # the descriptor is gone either way, and there is nobody to tell

    def _take(self, size: int) -> bytes:
        try:
            data = os.read(self._descriptor, size)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._lost(error.strerror, "check the cable and the adapter") from error
        if not data:
            raise self._lost("the other end has hung up", "check the cable, the adapter or the TCP tunnel")
        return data if self._marks is None else self._marks.feed(data)

    def _check_open(self) -> None:
        if not self._open:
            raise self._lost("it is closed", "open it again")

    def _lost(self, what: str | None, hint: str) -> PortLost:
        return PortLost(f"{self._name}: {what or 'input/output error'}", hint=hint)


class UrlPort:
    """A port behind a pyserial object that has no descriptor, such as ``loop://`` or ``rfc2217://``."""

    def __init__(self, name: str, handle: Any) -> None:
        self._name = name
        self._handle = handle

    def write(self, data: bytes) -> None:
        """As ``Port.write``."""
        try:
            self._handle.write(data)
        except OSError as error:
            raise self._lost(error) from error

    def read(self, size: int, timeout_s: float) -> bytes:
        """As ``Port.read``."""
        try:
            self._handle.timeout = max(0.0, timeout_s)
            data = bytes(self._handle.read(1))
            more = min(int(self._handle.in_waiting), size - 1)
            return data + bytes(self._handle.read(more)) if data and more > 0 else data
        except OSError as error:
            raise self._lost(error) from error

    def discard(self) -> int:
        """As ``Port.discard``."""
        try:
            waiting = min(int(self._handle.in_waiting), DISCARD_LIMIT)
            return len(self._handle.read(waiting)) if waiting else 0
        except OSError as error:
            raise self._lost(error) from error

    def monotonic(self) -> float:
        """As ``Port.monotonic``."""
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        """As ``Port.pause``."""
        time.sleep(max(0.0, seconds))

    def close(self) -> None:
        """As ``Port.close``."""
        try:
            self._handle.close()
        except OSError:
            pass  # the handle is gone either way, and there is nobody to tell

    def _lost(self, error: OSError) -> PortLost:
        return PortLost(f"{self._name}: {error}", hint="check that the other end of this address is running")


def _open_serial(name: str, settings: SerialSettings, marks: Marks | None, *, quiet: bool) -> Port:
    handle = serial.serial_for_url(
        name,
        do_not_open=quiet,
        baudrate=settings.baudrate,
        bytesize=settings.data_bits,
        parity=PARITIES.get(str(settings.parity), settings.parity),
        stopbits=settings.stop_bits,
        timeout=0,
        write_timeout=WRITE_TIMEOUT_S,
        exclusive=None if "://" in name else True,
    )
    if quiet:
        handle.rts = handle.dtr = False
        handle.open()
    if "://" in name:
        return UrlPort(name, handle)
    if marks is not None:
        _mark_errors(handle.fileno())
    return DescriptorPort(name, handle.fileno(), handle.close, marks)


def _mark_errors(descriptor: int) -> None:
    """Let the system announce each damaged character as FF 00, and send each real FF twice."""
    attributes = termios.tcgetattr(descriptor)
    attributes[0] = (attributes[0] | termios.PARMRK | termios.INPCK) & ~(termios.IGNPAR | termios.ISTRIP)
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)


def _open_input(path: str) -> Port:
    """Open an input device for us alone; a pipe, into which another program writes events, is nobody's keyboard."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise _not_opened(path, error, INPUT_HINTS) from error
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            fcntl.ioctl(descriptor, GRAB, 1)
    except OSError as error:
        os.close(descriptor)
        hint = "write the scanner's name below /dev/input/by-id, and stop whatever else reads this device"
        raise WiringError(
            f"{path} cannot be had alone ({error.strerror}): it would type into consoles", hint=hint
        ) from error
    return DescriptorPort(path, descriptor, lambda: os.close(descriptor))


def _open_socket(url: str) -> Port:
    try:
        parts = urlsplit(url)
        host, number = parts.hostname, parts.port
    except ValueError as error:
        raise WiringError(f"{url}: {error}", hint="write socket://host:port") from error
    if not host or not number:
        raise WiringError(f"{url} names no host and port", hint="write socket://host:port")
    try:
        connection = socket.create_connection((host, number), timeout=CONNECT_TIMEOUT_S)
    except OSError as error:
        hint = f"check that the serial server at {host} listens on port {number} and can be reached"
        raise PortLost(f"{url}: {error}", hint=hint) from error
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_TIMEOUT_MS)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setblocking(False)
    except OSError as error:
        connection.close()
        raise PortLost(f"{url}: {error}", hint="check the serial server") from error
    return DescriptorPort(url, connection.fileno(), connection.close)


def _merged(given: SerialSettings, defaults: SerialSettings) -> SerialSettings:
    def pick(name: str) -> Any:
        for settings in (given, defaults, GENERIC):
            value = getattr(settings, name)
            if value is not None:
                return value
        return None

    return SerialSettings(pick("baudrate"), pick("data_bits"), pick("parity"), pick("stop_bits"))


def _is_pty(name: str) -> bool:
    try:
        status = Path(name).stat()
    except OSError:
        return False
    return stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) in PTY_MAJORS


OPEN_HINTS: Mapping[int, str] = {
    errno.ENOENT: "plug the adapter in, or correct the port of this line",
    errno.ENODEV: "plug the adapter in, or correct the port of this line",
    errno.ENXIO: "plug the adapter in, or correct the port of this line",
    errno.EACCES: "add the user to group forecourt, or install the udev rule of the package",
    errno.EPERM: "add the user to group forecourt, or install the udev rule of the package",
    errno.EBUSY: "stop the other program that uses this port",
    errno.EAGAIN: "stop the other program that uses this port",
}
INPUT_HINTS: Mapping[int, str] = {
    errno.ENOENT: "plug the scanner in, or correct the port of this reader",
    errno.ENODEV: "plug the scanner in, or correct the port of this reader",
    errno.EACCES: "add a udev rule for this scanner, see docs/installer.md",
}


def _not_opened(name: str, error: Exception, hints: Mapping[int, str] = OPEN_HINTS) -> PortLost:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else None
    words = os.strerror(number) if number is not None else str(error)
    hint = hints.get(number, "check the adapter and the serial settings") if number is not None else ""
    return PortLost(f"{name}: {words}", hint=hint or "check the adapter and the serial settings")
