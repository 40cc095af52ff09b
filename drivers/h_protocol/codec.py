"""H-protocol: questions of one tank to bytes, replies out of whatever came. No clock, no port, no units.

Rests on a single source; what is uncertain in it is an argument here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from operator import xor

from drivers.errors import FrameRejected

_REPLY = re.compile(
    rb"#(?P<data>\d{1,9})@(?P<water>\d{1,6})@(?P<temperature>[+-]\d{1,4}|0)@(?P<offset>[+-]?\d{1,6})"
    rb"@(?P<version>[0-9A-Za-z.]{1,8})@(?P<error>\d{1,4})@(?P<check>[0-9A-F]{2}|0)\r"
)
_EMPTY = "0"


class Asks(StrEnum):
    """What a question asks of a tank."""

    LEVEL = "A"
    VOLUME = "B"
    ULLAGE = "C"


class Check(StrEnum):
    """Which checksum a reply had. ``WITH``: the five ``@`` between the fields are in it."""

    WITHOUT = "without_at"
    WITH = "with_at"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: digits as they came. ``temperature_tenths`` in tenths of a degree C; ``None`` where there is none.

    It names neither the tank nor the question. Unchecked replies of emulators carry nothing but ``data``.
    """

    data: str
    water: str
    temperature_tenths: int | None
    offset: str
    version: str
    error: str
    check: Check

    @property
    def has_error(self) -> bool:
        """Whether the gauge says that something is wrong with this tank."""
        return int(self.error) != 0


def encode(asks: Asks, tank: int, digits: int = 2) -> bytes:
    """The question. Raises ``FrameRejected`` for a tank number of more than ``digits`` digits."""
    number = f"{tank:0{digits}d}"
    if tank < 1 or len(number) > digits:
        hint = "number the tanks 1 to 99, or 1 to 9 with id_digits = 1"
        raise FrameRejected(f"tank {tank} does not fit {digits} digits", reason="range", hint=hint)
    return f"${asks}{number}\r\n".encode("ascii")


def replies(data: bytes, *, unchecked: bool = False) -> list[Reply]:
    """Every intact reply in ``data``, in order. ``unchecked``: also those without checksum.

    Raises ``FrameRejected`` when there is none: ``truncated``, ``layout``, ``checksum`` or ``unchecked``.
    """
    found, reason = [], "truncated" if b"#" in data else "noise"
    for text in re.findall(rb"#[^#\r]*\r", data):
        reply, why = _reply(text)
        if reply is None or (reply.check is Check.NONE and not unchecked):
            reason = why or "unchecked"
        else:
            found.append(reply)
    if not found:
        hint = "check baud rate, data bits and parity, and that no second host talks on this line"
        raise FrameRejected("no intact reply", reason=reason, hint=hint)
    return found


def checksums(fields: bytes) -> tuple[str, str]:
    """XOR of ``#`` and the fields as two hex digits: without the ``@`` between them, and with. ``fields``: as sent."""
    without = reduce(xor, fields.replace(b"@", b""), ord("#"))
    return f"{without:02X}", f"{reduce(xor, fields, ord('#')):02X}"


def _reply(text: bytes) -> tuple[Reply | None, str]:
    match = _REPLY.fullmatch(text)
    if match is None:
        return None, "layout"
    given = match["check"].decode("ascii")
    without, with_at = checksums(text[1 : match.start("check") - 1])
    if given == _EMPTY:
        others = [match[name] for name in ("water", "temperature", "offset", "version", "error")]
        if any(value.decode("ascii") != _EMPTY for value in others):
            return None, "checksum"
        return _built(match, Check.NONE), ""
    if given not in (without, with_at):
        return None, "checksum"
    return _built(match, Check.WITHOUT if given == without else Check.WITH), ""


def _built(match: re.Match[bytes], check: Check) -> Reply:
    def text(name: str) -> str:
        return match[name].decode("ascii")

    temperature = None if check is Check.NONE else int(text("temperature"))
    return Reply(text("data"), text("water"), temperature, text("offset"), text("version"), text("error"), check)
