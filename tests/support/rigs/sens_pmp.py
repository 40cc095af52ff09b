"""The contract suite's knowledge of SENS PMP probes: three of them on one simulated wire."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from drivers.errors import FrameRejected
from drivers.sens.codec import replies
from tests.support.mutation import Wording, substrings
from tests.support.rigs.gauge_line import GaugeLineSubject

LONGEST = 5 + 4 * 62


class SensSubject(GaugeLineSubject):
    """Probes 1, 2 and 3, their length byte not looked at; the water level in metres."""

    protocol = "sens-pmp"
    answers_name_the_asked = True
    options: Mapping[str, object] = {"experimental": True, "water_unit": "m"}

    @property
    def wording(self) -> Wording:
        bodies = (
            "01 00C03F 02 00AC41 07 009341",
            "01 00803F 02 00A040 04 009341 07 009341 08 80033B",
            "02 00AC41",
        )
        return Wording(tuple(sealed(1 + n, bytes.fromhex(body)) for n, body in enumerate(bodies)), decode, oracle)


def sealed(address: int, body: bytes) -> bytes:
    """A reply whose length byte counts everything."""
    frame = bytes((address, len(body) + 5, 1)) + body
    return b"\xb5" + frame + bytes((sum(frame) % 256,))


def decode(data: bytes) -> list[Hashable]:
    """What the driver's codec takes for a reply; the values as their bytes, whatever the length byte says."""
    try:
        (reply,) = replies(data)
    except FrameRejected:
        return []
    return [(reply.address, reply.values)]


def oracle(data: bytes) -> set[Hashable]:
    """Every reply that stands anywhere in the bytes: B5, a whole number of parameters, the sum."""
    found: set[Hashable] = set()
    for frame in substrings(data, 9, LONGEST):
        if frame[0] == 0xB5 and len(frame) % 4 == 1 and sum(frame[1:-1]) % 256 == frame[-1]:
            parts = [frame[at : at + 4] for at in range(4, len(frame) - 1, 4)]
            found.add((frame[1], tuple((part[0], value(part[1:])) for part in parts)))
    return found


def value(raw: bytes) -> float | None:
    """Three upper bytes of a float, taken apart by hand."""
    bits = int.from_bytes(raw, "little") << 8
    sign, exponent, fraction = bits >> 31, bits >> 23 & 0xFF, bits & 0x7FFFFF
    if exponent == 0xFF:
        return None
    size = (fraction / 2**23 + 1) * 2.0 ** (exponent - 127) if exponent else fraction / 2**23 * 2.0**-126
    return -size if sign else size


SUBJECT = SensSubject()
