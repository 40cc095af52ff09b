"""The PC/SC library as it is: a handful of its functions by ctypes, Linux only. The only file that loads it.

Knows sizes and return codes of pcsc-lite. Knows no loop and nothing about what a card says.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping
from ctypes import byref, c_char_p, c_long, c_ubyte, c_ulong, c_void_p

from drivers.errors import WiringError

LIBRARY = "libpcsclite.so.1"

SCOPE_SYSTEM = 2
SHARE_SHARED = 2
T0_OR_T1 = 3
LEAVE_CARD = 0
STATE_CHANGED = 0x02

SUCCESS = 0
E_INVALID_HANDLE = 0x80100003
E_UNKNOWN_READER = 0x80100009
E_TIMEOUT = 0x8010000A
E_SHARING_VIOLATION = 0x8010000B
E_NO_SMARTCARD = 0x8010000C
F_COMM_ERROR = 0x80100013
E_READER_UNAVAILABLE = 0x80100017
E_NO_SERVICE = 0x8010001D
E_SERVICE_STOPPED = 0x8010001E
E_NO_READERS_AVAILABLE = 0x8010002E
W_UNRESPONSIVE_CARD = 0x80100066
W_UNPOWERED_CARD = 0x80100067
W_RESET_CARD = 0x80100068
W_REMOVED_CARD = 0x80100069
W_SECURITY_VIOLATION = 0x8010006A

MAX_READERS = 16
MAX_NAME_BYTES = 128
MAX_ANSWER_BYTES = 4096
"""Far more than a card says to one of our commands (240 bytes and a status word)."""


class WinscardError(Exception):
    """A function of the library did not succeed; ``code`` is its return code as unsigned 32 bits."""

    def __init__(self, function: str, code: int) -> None:
        super().__init__(f"{function}: 0x{code:08X}")
        self.code = code


class ReaderState(ctypes.Structure):
    """``SCARD_READERSTATE``, 80 bytes: pcsc-lite on 64-bit Linux has a DWORD of 8 bytes."""

    _fields_ = (
        ("reader", c_char_p),
        ("user_data", c_void_p),
        ("current", c_ulong),
        ("event", c_ulong),
        ("atr_size", c_ulong),
        ("atr", c_ubyte * 33),
    )


class IoRequest(ctypes.Structure):
    """``SCARD_IO_REQUEST``, 16 bytes: the negotiated protocol and the size of this structure."""

    _fields_ = (("protocol", c_ulong), ("size", c_ulong))


def establish() -> int:
    """Return a new context. Raises ``WinscardError``, and ``WiringError`` where the library is not installed."""
    context = c_long()
    _call("SCardEstablishContext", c_ulong(SCOPE_SYSTEM), None, None, byref(context))
    return context.value


def release(context: int) -> None:
    """Give a context back. Raises ``WinscardError`` when the service has gone; the context is gone either way."""
    _call("SCardReleaseContext", c_long(context))


def readers(context: int) -> tuple[str, ...]:
    """Return the names of the readers that are plugged in. Raises ``WinscardError``."""
    size = c_ulong(MAX_READERS * MAX_NAME_BYTES)
    names = ctypes.create_string_buffer(size.value)
    try:
        _call("SCardListReaders", c_long(context), None, names, byref(size))
    except WinscardError as error:
        if error.code == E_NO_READERS_AVAILABLE:
            return ()
        raise
    return tuple(name.decode("utf-8", "surrogateescape") for name in names.raw[: size.value].split(b"\0") if name)


def changes(context: int, known: Mapping[str, int], wait_ms: int) -> dict[str, int]:
    """Wait until a reader's state differs from ``known`` and return the new states of those; empty after ``wait_ms``.

    A state is the whole value, its counter in the upper 16 bits, without the bit "changed". Raises ``WinscardError``.
    """
    states = (ReaderState * len(known))()
    for state, (name, current) in zip(states, known.items(), strict=True):
        state.reader = name.encode("utf-8", "surrogateescape")
        state.current = current
    try:
        _call("SCardGetStatusChange", c_long(context), c_ulong(wait_ms), states, c_ulong(len(known)))
    except WinscardError as error:
        if error.code == E_TIMEOUT:
            return {}
        raise
    return {
        name: int(state.event) & ~STATE_CHANGED
        for name, state in zip(known, states, strict=True)
        if int(state.event) & STATE_CHANGED
    }


def connect(context: int, reader: str) -> tuple[int, int]:
    """Return handle and negotiated protocol of the card on ``reader``, shared with others. Raises ``WinscardError``."""
    handle, protocol = c_long(), c_ulong()
    name = reader.encode("utf-8", "surrogateescape")
    shared = c_ulong(SHARE_SHARED)
    _call("SCardConnect", c_long(context), name, shared, c_ulong(T0_OR_T1), byref(handle), byref(protocol))
    return handle.value, protocol.value


def transmit(handle: int, protocol: int, apdu: bytes) -> bytes:
    """Return what the card answers: data and status word. Raises ``WinscardError``."""
    request = IoRequest(protocol, ctypes.sizeof(IoRequest))
    answer = ctypes.create_string_buffer(MAX_ANSWER_BYTES)
    size = c_ulong(MAX_ANSWER_BYTES)
    _call("SCardTransmit", c_long(handle), byref(request), apdu, c_ulong(len(apdu)), None, answer, byref(size))
    return answer.raw[: size.value]


def disconnect(handle: int) -> None:
    """Leave the card as it is. Raises ``WinscardError``, as for a card that has gone."""
    _call("SCardDisconnect", c_long(handle), c_ulong(LEAVE_CARD))


def _call(function: str, *arguments: object) -> None:
    code = getattr(_library(), function)(*arguments) & 0xFFFFFFFF
    if code != SUCCESS:
        raise WinscardError(function, code)


@functools.cache
def _library() -> ctypes.CDLL:
    return load(LIBRARY)


def load(name: str) -> ctypes.CDLL:
    """Load the library. Raises ``WiringError`` where it is not installed."""
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        raise WiringError(
            f"the PC/SC library {name} cannot be loaded: {error}",
            hint="install the packages libpcsclite1 and pcscd",
        ) from error
    for function in (
        "SCardEstablishContext",
        "SCardReleaseContext",
        "SCardListReaders",
        "SCardGetStatusChange",
        "SCardConnect",
        "SCardTransmit",
        "SCardDisconnect",
    ):
        getattr(library, function).restype = c_long
    return library
