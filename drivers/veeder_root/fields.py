"""Fields of a computer-format reply: positional cuts, counters, floats as exact fractions, the console clock.

Knows widths and bases. Does not know which function has which fields (layouts.py) nor units (units.py).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from fractions import Fraction

from drivers.errors import FrameRejected

_DECIMAL = re.compile(r"[0-9]+")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_FLOAT = re.compile(r"[0-9A-Fa-f?]{8}")
_CLOCK = re.compile(r"[0-9?]{10}")


def layout_error(what: str) -> FrameRejected:
    """Build the error of a frame whose data does not follow the layout of its function."""
    return FrameRejected(what, reason="layout", hint="another console model or version; the display format is tried")


class Cutter:
    """Cuts fields from the left, never stripping or splitting first. All methods raise ``FrameRejected`` ("layout")."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    @property
    def more(self) -> bool:
        """Whether anything is left to cut."""
        return self._at < len(self._text)

    @property
    def left(self) -> int:
        """How many characters are left to cut."""
        return len(self._text) - self._at

    @property
    def at(self) -> int:
        """How many characters have been cut; ``since`` takes it back."""
        return self._at

    def since(self, at: int) -> str:
        """Return what was cut from ``at`` on, as it came."""
        return self._text[at : self._at]

    def take(self, width: int) -> str:
        """Return exactly ``width`` characters as they are."""
        piece = self._text[self._at : self._at + width]
        if len(piece) < width:
            raise layout_error(f"the reply ends inside a field at character {self._at}")
        self._at += width
        return piece

    def rest(self) -> str:
        """Return everything that is left."""
        return self.take(len(self._text) - self._at)

    def decimal(self, width: int) -> int:
        """Return a decimal counter or device number."""
        piece = self.take(width)
        if not _DECIMAL.fullmatch(piece):
            raise layout_error(f"{piece!r} is not a decimal number")
        return int(piece)

    def hexadecimal(self, width: int) -> int:
        """Return a hexadecimal counter; both letter cases are accepted."""
        piece = self.take(width)
        if not _HEX.fullmatch(piece):
            raise layout_error(f"{piece!r} is not a hexadecimal number")
        return int(piece, 16)

    def clock(self) -> str:
        """Return the ten raw digits of a console time; an impossible date is not an error."""
        piece = self.take(10)
        if not _CLOCK.fullmatch(piece):
            raise layout_error("the console clock is not ten digits")
        return piece

    def float32(self) -> Fraction | None:
        """Return the exact value of one float field, ``None`` = no reading."""
        piece = self.take(8)
        if not _FLOAT.fullmatch(piece):
            raise layout_error(f"{piece!r} is not a float field")
        return float32(piece)

    def floats(self, count: int) -> tuple[Fraction | None, ...]:
        """Return ``count`` float fields."""
        return tuple(self.float32() for _ in range(count))


def float32(digits: str) -> Fraction | None:
    """Exact value of 8 hex digits, big-endian IEEE-754 single; ``None`` for ``?``, NaN and infinity. -0.0 is 0."""
    if "?" in digits:
        return None
    bits = int(digits, 16)
    exponent, mantissa = bits >> 23 & 0xFF, bits & 0x7FFFFF
    if exponent == 0xFF:
        return None
    if exponent == 0:
        exponent = 1  # subnormal: no hidden bit
    else:
        mantissa |= 0x800000
    magnitude = Fraction(mantissa) * Fraction(2) ** (exponent - 150)
    return -magnitude if bits >> 31 else magnitude


def console_time(digits: str) -> str:
    """ISO text without zone ("2026-11-21T23:03") of ten clock digits; empty where they are no date.

    Years 80-99 are 19xx, 00-79 are 20xx. The console's own zone is unknown, so none is claimed.
    """
    if not re.fullmatch(r"[0-9]{10}", digits):
        return ""
    year, month, day, hour, minute = (int(digits[at : at + 2]) for at in range(0, 10, 2))
    try:
        moment = datetime(year + (1900 if year >= 80 else 2000), month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return ""
    return moment.replace(tzinfo=None).isoformat(timespec="minutes")
