"""Aoke PD-3: the one question and its records. It looks like Modbus RTU and is none. No clock, no port.

Rests on a single source, which says nine bytes for a record and shows ten: length and CRC decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from drivers.checks import crc16_modbus
from drivers.errors import FrameRejected

HEAD = b"\x01\x03"
LONG, SHORT = 10, 9  # bytes of a record: the year in two bytes or in one
FIRST_CENTURY = 2000

CODES = {
    0x000A: "high-level alarm",
    0x000B: "high-level warning",
    0x000C: "low-level warning",
    0x000D: "low-level alarm",
    0x000E: "high-water alarm",
    0x000F: "leak test failed",
}


@dataclass(frozen=True, slots=True)
class Record:
    """One entry. ``time``: the gauge's own clock as ``2005-10-06T10:28:01``, or its bytes if not ``is_dated``."""

    tank: int
    time: str
    code: int
    is_dated: bool = True

    @property
    def text(self) -> str:
        """What happened, in words."""
        return CODES.get(self.code, f"code {self.code:04X}")


@dataclass(frozen=True, slots=True)
class Reply:
    """All records the gauge tells, in its order. ``stride``: bytes of one record."""

    records: tuple[Record, ...]
    stride: int


def sealed(data: bytes) -> bytes:
    """``data`` with its CRC, low byte first."""
    return data + crc16_modbus(data).to_bytes(2, "little")


QUESTION = sealed(HEAD + b"\x00\x04\x00\x00")
"""All alarms of all tanks."""


def replies(data: bytes) -> list[Reply]:
    """Every intact reply in ``data``, in order. Raises ``FrameRejected`` when there is none."""
    found: list[Reply] = []
    at = 0
    while (at := data.find(HEAD, at)) >= 0:
        raw, stride = frame_at(data, at)
        if raw:
            found.append(Reply(tuple(_records(raw[3:-2], stride)), stride))
        at += len(raw) or 1
    if not found:
        reason = "crc" if HEAD in data else "noise"
        raise FrameRejected(
            "no reply with a right CRC", reason=reason, hint="check the line settings (9600 8N1) and the cable"
        )
    return found


def frame_at(data: bytes, at: int) -> tuple[bytes, int]:
    """The reply that begins at ``at`` and the bytes of its records; empty when its CRC is wrong or it is cut off."""
    count = data[at + 2] if at + 2 < len(data) else 0
    for stride in (LONG, SHORT):
        raw = data[at : at + 5 + stride * count]
        if len(raw) == 5 + stride * count and sealed(raw[:-2]) == raw:
            return raw, stride
    return b"", LONG


def _records(body: bytes, stride: int) -> Iterator[Record]:
    for at in range(0, len(body), stride):
        raw = body[at : at + stride]
        time, is_dated = _time(raw[1:-2])
        yield Record(raw[0], time, int.from_bytes(raw[-2:], "big"), is_dated)


def _time(raw: bytes) -> tuple[str, bool]:
    year = int.from_bytes(raw[:-5], "big") + (0 if len(raw) == LONG - 3 else FIRST_CENTURY)
    month, day, hour, minute, second = raw[-5:]
    try:
        # The gauge's own clock: nobody knows its zone.
        return datetime(year, month, day, hour, minute, second).isoformat(), True  # noqa: DTZ001
    except ValueError:
        return raw.hex().upper(), False
