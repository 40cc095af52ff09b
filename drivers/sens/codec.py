"""SENS PMP probes: the question to one probe, and the parameters of its reply. No clock, no port.

Rests on a single source that is unsure of the reply's length byte, so the silence after a reply ends it.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from drivers.errors import FrameRejected

START = 0xB5
HEAD, PARAMETER = 4, 4  # bytes before the first parameter, and of each
MAX_PARAMETERS = 62


class Parameter(IntEnum):
    """What a probe can tell; others are skipped."""

    LEVEL = 1
    TEMPERATURE = 2
    FILL = 3
    TOTAL_VOLUME = 4
    MASS = 5
    DENSITY = 6
    VOLUME = 7
    WATER_LEVEL = 8


class Length(StrEnum):
    """What the third byte of a reply counts."""

    ANY = "any"
    WHOLE = "whole"
    AFTER = "after"
    PARAMETERS = "parameters"


@dataclass(frozen=True, slots=True)
class Reply:
    """What one probe tells: (id, value) in its order; ``None`` where the value is no number."""

    address: int
    values: tuple[tuple[int, float | None], ...]

    def value(self, parameter: Parameter) -> float | None:
        """One value in the probe's own unit; ``None`` when it was not told."""
        return dict(self.values).get(parameter)


def encode(address: int) -> bytes:
    """The question for all parameters of a probe."""
    body = bytes((address, 1, 1, 0))
    return bytes((START, *body, sum(body) & 0xFF))


def number(raw: bytes) -> float | None:
    """Three upper bytes of a little-endian float; ``None`` for infinities and what is no number."""
    (value,) = struct.unpack("<f", b"\x00" + raw)
    return value if math.isfinite(value) else None


def replies(data: bytes, *, length: Length = Length.ANY) -> list[Reply]:
    """The one reply that ``data`` is, from its first byte to its last: the sum is too weak to look for it elsewhere.

    Raises ``FrameRejected``: ``noise``, ``truncated``, ``length``, ``checksum`` or ``layout``.
    """
    reason = problem(data, length)
    if reason:
        hint = "check the line settings (19200 8N2), the address and the cable, and the option length"
        raise FrameRejected("no intact reply of a probe", reason=reason, hint=hint)
    body = data[HEAD:-1]
    parts = [body[at : at + PARAMETER] for at in range(0, len(body), PARAMETER)]
    return [Reply(data[1], tuple((part[0], number(part[1:])) for part in parts))]


def problem(data: bytes, length: Length = Length.ANY) -> str:
    """Why ``data`` is no whole reply, as a short word; empty when it is one."""
    if not data or data[0] != START:
        return "noise"
    count, rest = divmod(len(data) - HEAD - 1, PARAMETER)
    if rest or not 1 <= count <= MAX_PARAMETERS:
        return "truncated"
    if sum(data[1:-1]) & 0xFF != data[-1]:
        return "checksum"
    counted = {Length.WHOLE: len(data), Length.AFTER: len(data) - 3, Length.PARAMETERS: count}
    if length is not Length.ANY and data[2] != counted[length]:
        return "length"
    ids = data[HEAD:-1:PARAMETER]
    return "" if len(set(ids)) == len(ids) and 0 not in ids else "layout"
