"""Veeder-Root TLS on the console's side: questions cut from a stream, replies with checksum, field forms.

Written from the TLS sheet sections 2, 3 and 6 without a look at any driver. Knows no tank and no clock.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import datetime

SOH, ETX, ESC, CR, LF = 0x01, 0x03, 0x1B, 0x0D, 0x0A
NOT_KNOWN = b"\x019999FF1B\x03"
# a console buffers at most 128 characters of a question
MAX_QUESTION = 128
# functions whose question has more than the six characters of the function code
WITH_DATA = frozenset({"211", "20F", "C01"})
CODE_LENGTH = 6


@dataclass(frozen=True, slots=True)
class Question:
    """``letter`` i or I (s and S are set functions); ``device`` two digits, ``00`` = all; ``code``: security code
    sent.
    """

    letter: str
    function: str
    device: str
    code: str = ""
    data: str = ""

    @property
    def text(self) -> str:
        """The six characters that a reply echoes."""
        return self.letter + self.function + self.device


class QuestionReader:
    """Finds questions in a byte stream. ``answers_after``: "length", "CR" or "LF" says when one counts as complete."""

    def __init__(self, *, security_code: str = "", answers_after: str = "length", seven_bits: bool = False) -> None:
        self._expects_code = bool(security_code)
        self._end = {"CR": CR, "LF": LF}.get(answers_after)
        self._mask = 0x7F if seven_bits else 0xFF
        self._buffer: bytearray | None = None
        self.escapes = 0

    def feed(self, data: bytes) -> list[Question]:
        """All questions completed by ``data``."""
        found = []
        for raw in data:
            byte = raw & self._mask
            if byte == ESC:
                self.escapes += 1
                self._buffer = None
            elif byte == SOH:
                self._buffer = bytearray()
            elif self._buffer is not None:
                question = self._take(byte)
                if question is not None:
                    found.append(question)
                    self._buffer = None
        return found

    def _take(self, byte: int) -> Question | None:
        assert self._buffer is not None
        if byte == self._end or (byte in {CR, ETX} and self._end is None):
            return self._question()
        if byte not in {CR, LF}:
            self._buffer.append(byte)
        if len(self._buffer) > MAX_QUESTION:
            self._buffer = None
            return None
        return self._question() if self._end is None and self._complete() else None

    def _complete(self) -> bool:
        assert self._buffer is not None
        text = self._buffer.decode("latin-1")
        starts = CODE_LENGTH if self._has_code(text) else 0
        if len(text) < starts + 6:
            return False
        return text[starts + 1 : starts + 4] not in WITH_DATA

    def _has_code(self, text: str) -> bool:
        """A code stands before the letter: expected, or the first character is no function letter."""
        return self._expects_code or (bool(text) and text[0] not in "iIsSrR")

    def _question(self) -> Question | None:
        assert self._buffer is not None
        text = self._buffer.decode("latin-1")
        if len(text) == 6:
            code = ""
        else:
            code = text[:CODE_LENGTH] if self._has_code(text) else ""
        body = text[len(code) :]
        if len(body) < 6:
            self._buffer = None
            return None
        return Question(body[0], body[1:4], body[4:6], code, body[6:])


def checksum(body: bytes) -> str:
    """Two's complement of the 16-bit sum of every byte from SOH to the second ``&``, four upper-case hex digits."""
    return f"{-sum(body) & 0xFFFF:04X}"


def reply(echo: str, data: str, end: str = "\x03") -> bytes:
    """A computer-format reply: SOH, the echoed six characters, data, ``&&``, checksum, end character."""
    body = f"\x01{echo}{data}&&".encode("latin-1")
    return body + checksum(body).encode() + end.encode("latin-1")


def display(lines: list[str]) -> bytes:
    """A display-format reply: every line ends in CR LF and six NULs; a blank line first and last; no checksum."""
    ends = "\r\n" + "\x00" * 6
    return ("\x01" + "".join(line + ends for line in ["", *lines, ""]) + "\x03").encode("latin-1", "replace")


def with_even_parity(data: bytes) -> bytes:
    """Seven data bits and even parity seen as eight bits."""
    return bytes(b | 0x80 if (b & 0x7F).bit_count() % 2 else b & 0x7F for b in data)


def float_field(value: float) -> str:
    """Big-endian IEEE-754 single as eight hex digits: 10000.0 is 461C4000."""
    return struct.pack(">f", value).hex().upper()


def float_value(digits: str) -> float | None:
    """The number in eight hex digits; ``None`` where they are none."""
    if len(digits) != 8 or any(char not in "0123456789ABCDEFabcdef" for char in digits):
        return None
    value: float = struct.unpack(">f", bytes.fromhex(digits))[0]
    return value


def clock_field(now: datetime) -> str:
    """``YYMMDDHHmm``."""
    return now.strftime("%y%m%d%H%M")


def clock_words(now: datetime) -> str:
    """``JAN 22, 1996  3:06 PM``, independent of the process's locale."""
    months = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
    hour = now.hour % 12 or 12
    return (
        f"{months[now.month - 1]} {now.day}, {now.year} {hour:2d}:{now.minute:02d} {'PM' if now.hour >= 12 else 'AM'}"
    )


def label_field(text: str) -> str:
    """Exactly twenty printable characters, padded with spaces."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:20].ljust(20)


def inventory_record(number: int, code: str, status: int, values: list[float] | int) -> str:
    """One tank of a 201 reply: TT p ssss NN F..; a count instead of values = no reading, every digit ``?``."""
    if isinstance(values, int):
        return f"{number:02d}{code}{status:04X}{values:02X}" + "?" * 8 * values
    return f"{number:02d}{code}{status:04X}{len(values):02X}" + "".join(float_field(value) for value in values)
