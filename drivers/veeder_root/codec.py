"""Framing of the TLS interface: questions to bytes, bytes to replies. Sans-IO: no clock, no port, no log.

Knows SOH, the checksum, the two reply formats and the echo. Does not know what the data of a reply means (layouts.py).
The encoder can emit only the inquiry letters ``i`` and ``I``: the codes come from the fixed table in tables.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from drivers.errors import WiringError
from drivers.veeder_root.tables import INQUIRIES

SOH = 0x01
ESC = b"\x1b"
MAX_REPLY_BYTES = 256 * 1024  # the longest sensible reply is a 20F of 999 records, about 200 KB
MAX_STRAY_BYTES = 16 * 1024  # text before any SOH: one page of a server that sends none, else noise
TERMINATORS = {"CRLF": b"\r\n", "CR": b"\r", "": b""}

_NOT_KNOWN = b"9999FF1B"
_ECHO = re.compile(rb"[Ii][0-9A-Z]{3}[0-9]{2}")
_HEX4 = re.compile(rb"[0-9A-Fa-f]{4}")
_PAIR = re.compile(rb"&&[0-9A-Fa-f]{4}")
_SECURITY_CODE = re.compile(r"[\x20-\x7e]{6}")
_FUNCTION = re.compile(r"[0-9A-Z]{3}")
_CONTROL = frozenset(range(0x20)) - {0x00, 0x01, 0x0A, 0x0D}


class Kind(Enum):
    """What a reply is: a checked computer reply, display text, or "function not known" (9999)."""

    COMPUTER = "computer"
    DISPLAY = "display"
    NOT_KNOWN = "not_known"


@dataclass(frozen=True, slots=True)
class Reply:
    """One intact reply. ``function``/``device``: of its echo, empty for NOT_KNOWN.

    ``data``: for COMPUTER everything between echo and ``&&``; for DISPLAY the whole text, echo line included, no NULs.
    """

    kind: Kind
    function: str = ""
    device: str = ""
    data: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Bytes that looked like a reply and were refused; nothing of them is used.

    ``reason``: truncated | checksum | echo | layout | too_long.
    """

    reason: str


def checksum(body: bytes) -> str:
    """Four upper-case hex digits: two's complement of the 16-bit sum of ``body`` (SOH to the second ``&``)."""
    return f"{-sum(body) & 0xFFFF:04X}"


def encode(
    code: str,
    device: int = 0,
    *,
    display: bool = False,
    data: str = "",
    security_code: str = "",
    terminator: str = "CRLF",
) -> bytes:
    """Bytes of one question: SOH, security code if any, letter, function ``code``, device number, ``data``, terminator.

    Raises ``WiringError`` for a code that is not in the inquiry table, a device outside 0..99, data that is not exactly
    what the table allows, or an unusable security code: no byte is produced then.
    """
    inquiry = INQUIRIES.get(code)
    if inquiry is None or not _FUNCTION.fullmatch(code):
        raise WiringError(f"{code!r} is not an inquiry of the TLS table", hint="this driver only reads")
    if not 0 <= device <= 99:
        raise WiringError(f"TLS device number {device} is not 0..99", hint="tanks are numbered 1..99, 0 asks for all")
    if not re.fullmatch(inquiry.question, data):
        raise WiringError(f"question data of function {code} does not fit", hint="see the inquiry table")
    if terminator not in TERMINATORS:
        raise WiringError("unknown terminator", hint='use "CRLF", "CR" or ""')
    if security_code:
        problem = security_code_problem(security_code)
        if problem:
            raise WiringError(problem, hint="set the six characters that the console shows for this port")
    letter = "I" if display else "i"
    text = f"{security_code}{letter}{code}{device:02d}{data}"
    return bytes((SOH,)) + text.encode("ascii") + TERMINATORS[terminator]


def security_code_problem(code: str) -> str:
    """Say why ``code`` cannot be used, or nothing.

    A code that starts with S or s is refused: a console without a security code would read it as a *set* function.
    """
    if not _SECURITY_CODE.fullmatch(code):
        return "the security code is not six printable characters"
    if code[0] in "Ss":
        return "a security code must not begin with S: a console that wants none would take it for a set function"
    return ""


class ReplyDecoder:
    """Bytes in, replies out; any cut of the same bytes gives the same events.

    ``seven_bit``: mask parity out of bit 7 first. ``end_of_message``: what the console sends after a reply, a hint.
    ``expected``: the six characters asked; an intact frame with another echo comes out as ``Rejected("echo")``.
    """

    def __init__(self, *, seven_bit: bool = False, end_of_message: bytes = b"\x03") -> None:
        self._mask = 0x7F if seven_bit else 0xFF
        # An end made of printable text or line ends also occurs inside replies: then only idle or a checksum ends one.
        self._end = end_of_message if end_of_message and set(end_of_message) <= _CONTROL else b""
        self.expected = ""
        self._stray = bytearray()
        self._frame = bytearray()
        self._sum = 0
        self._dropping = False

    def reset(self, expected: str = "") -> None:
        """Forget all pending bytes; from now on wait for the answer to ``expected`` (empty: accept any echo)."""
        self.expected = expected
        self._stray.clear()
        self._start()
        self._frame.clear()

    @property
    def partial(self) -> bool:
        """Whether something that may become a reply is pending: then the idle time counts, not the first-byte time."""
        return bool(self._frame) or self._dropping or bool(self._stray.strip(b"\r\n\x00 "))

    def feed(self, data: bytes) -> list[Reply | Rejected]:
        """Take ``data`` as it arrived and return what it completed, in order. Never raises."""
        events: list[Reply | Rejected] = []
        for raw in data:
            event = self._byte(raw & self._mask)
            if event is not None:
                events.append(event)
        return events

    def idle(self) -> list[Reply | Rejected]:
        """Nothing has come for the idle time: decide about what is pending and return it."""
        frame, stray = bytes(self._frame), bytes(self._stray)
        self.reset(self.expected)
        if frame:
            return [self._without_checksum(frame[1:], idle=True)] if len(frame) > 1 else []
        reply = self._text_reply(stray)
        return [reply] if reply is not None else []

    def _start(self) -> None:
        self._frame = bytearray((SOH,))
        self._sum = SOH
        self._dropping = False

    def _byte(self, byte: int) -> Reply | Rejected | None:
        if byte == SOH:
            cut = len(self._frame) > 1
            self._stray.clear()
            self._start()
            return Rejected("truncated") if cut else None
        if self._dropping:
            return None
        if not self._frame:
            return self._outside(byte)
        self._frame.append(byte)
        self._sum += byte
        if self._verified():
            return self._finish(self._checked(bytes(self._frame[1:-6])))
        if self._end and self._frame.endswith(self._end):
            return self._finish(self._without_checksum(bytes(self._frame[1 : -len(self._end)]), idle=False))
        if len(self._frame) > MAX_REPLY_BYTES:
            self._frame.clear()
            self._dropping = True
            return Rejected("too_long")
        return None

    def _finish(self, event: Reply | Rejected) -> Reply | Rejected:
        self._frame.clear()
        return event

    def _outside(self, byte: int) -> Reply | Rejected | None:
        if byte == 0x0A and self._stray.strip(b"\r\n\x00 \x03") == _NOT_KNOWN:
            self._stray.clear()
            return Reply(Kind.NOT_KNOWN)
        if len(self._stray) < MAX_STRAY_BYTES:
            self._stray.append(byte)
        return None

    def _verified(self) -> bool:
        frame = self._frame
        if frame[-6:-4] != b"&&":
            return False
        digits = bytes(frame[-4:])
        if not _HEX4.fullmatch(digits):
            return False
        return (self._sum - sum(digits) + int(digits, 16)) % 0x10000 == 0

    def _checked(self, body: bytes) -> Reply | Rejected:
        if body == b"9999":
            return Reply(Kind.NOT_KNOWN)
        echo = body[:6].decode("latin-1")
        if not _ECHO.fullmatch(body[:6]) or not self._is_answer(echo):
            return Rejected("echo")
        if any(not 0x20 <= byte <= 0x7E for byte in body):
            return Rejected("layout")
        return Reply(Kind.COMPUTER, echo[1:4], echo[4:], body[6:].decode("ascii"))

    def _is_answer(self, echo: str) -> bool:
        return not self.expected or (echo[0] in "iI" and echo[1:] == self.expected[1:])

    def _without_checksum(self, body: bytes, *, idle: bool) -> Reply | Rejected:
        if not _PAIR.search(body):
            reply = self._text_reply(body)
            if reply is not None:
                return reply
            if idle:
                return Rejected("truncated")
        return Rejected("checksum")

    def _text_reply(self, text: bytes) -> Reply | Rejected | None:
        """Read text without a checksum as 9999 or a display reply; ``None`` when it is neither."""
        clean = text.replace(b"\x00", b"")
        if clean.strip(b"\r\n \x03") == _NOT_KNOWN:
            return Reply(Kind.NOT_KNOWN)
        lines = [line.strip() for line in re.split(rb"[\r\n]+", clean)]
        first = next((line for line in lines if line), b"")
        if not _ECHO.fullmatch(first):
            return None
        echo = first.decode("ascii")
        if not self._is_answer(echo) or sum(map(bool, lines)) == 1:
            return Rejected("echo")  # nothing below the echo: our own question come back through the cable
        return Reply(Kind.DISPLAY, echo[1:4], echo[4:], clean.decode("latin-1"))
