"""The contract suite's knowledge of the H-protocol: one simulated gauge with three tanks."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping

from drivers.errors import FrameRejected
from drivers.h_protocol.codec import replies
from tests.support.mutation import Wording
from tests.support.rigs.gauge_line import GaugeLineSubject

NUMBERS = (rb"\d{1,9}", rb"\d{1,6}", rb"[+-]\d{1,4}", rb"[+-]?\d{1,6}", rb"[0-9A-Za-z.]{1,8}", rb"\d{1,4}")


class HSubject(GaugeLineSubject):
    """As the page of the protocol has it first; the water in millimetres."""

    protocol = "h-protocol"
    options: Mapping[str, object] = {"experimental": True, "water_unit": "mm", "gap": "30ms", "pause": "20ms"}

    @property
    def wording(self) -> Wording:
        fields = (
            ["012345", "0012", "+215", "+000", "10", "0"],
            ["098765", "0000", "-005", "+000", "10", "0"],
            ["000000", "0000", "+000", "+000", "10", "3"],
        )
        return Wording((*(sealed(one, "") for one in fields), sealed(fields[0], "@")), decode, oracle)


def sealed(fields: list[str], between: str) -> bytes:
    """A reply; ``between``: what stands between the fields for the checksum."""
    summed = ord("#")
    for character in between.join(fields):
        summed ^= ord(character)
    return f"#{'@'.join(fields)}@{summed:02X}\r".encode()


def decode(data: bytes) -> list[Hashable]:
    """What the driver's codec takes for a reply."""
    try:
        found = replies(data)
    except FrameRejected:
        return []
    return [
        (reply.data, reply.water, reply.temperature_tenths, reply.offset, reply.version, reply.error) for reply in found
    ]


def oracle(data: bytes) -> set[Hashable]:
    """Every reply that stands anywhere in the bytes: from a # to the next CR, six fields, an XOR of either kind."""
    found: set[Hashable] = set()
    for start in (at for at, byte in enumerate(data) if byte == ord("#")):
        end = data.find(b"\r", start)
        parts = data[start + 1 : end].split(b"@") if end > 0 else []
        if len(parts) != len(NUMBERS) + 1:
            continue
        whole = all(re.fullmatch(form, part) for form, part in zip(NUMBERS, parts, strict=False))
        fields = [part.decode("latin-1") for part in parts[:-1]]
        sent = data[start : end + 1]
        if whole and sent in (sealed(fields, ""), sealed(fields, "@")):
            found.add((fields[0], fields[1], int(fields[2]), *fields[3:]))
    return found


SUBJECT = HSubject()
