"""The contract suite's knowledge of DART: four pumps on one line of the simulator."""

from __future__ import annotations

from collections.abc import Hashable

from drivers.dart.codec import Decoder
from tests.support.mutation import Wording, substrings
from tests.support.rigs.simulated import SimulatedDispenser

MAX_FRAME = 256


class DartSubject(SimulatedDispenser):
    """Pumps at addresses 50, 51, ..."""

    protocol = "dart"
    first_address = 0x50
    answers_name_the_asked = True
    forgets = frozenset({"RESET"})
    changes_nothing = frozenset(
        {
            "RETURN_STATUS",
            "RETURN_PARAMETERS",
            "RETURN_IDENTITY",
            "RETURN_FILLING_INFO",
            "RETURN_PRICES",
            "TOTALS",
            "TOTALS_AMOUNT_S4",
        }
    )

    @property
    def wording(self) -> Wording:
        blocks = (
            "01 01 05",
            "02 08 00001234 00001450",
            "03 04 001175 11 01 01 04",
            "65 10 01 00000426FA 0000000000 0000000000",
        )
        made = [self._block(number, bytes.fromhex(block)) for number, block in enumerate(blocks)]
        return Wording((b"\x51\x70\xfa", b"\x52\xc3\xfa", *made), decode, oracle)

    def _block(self, number: int, data: bytes) -> bytes:
        head = bytes((self.first_address + number, 0x30 | number))
        crc = crc_arc(head + data).to_bytes(2, "little")
        return head + (data + crc).replace(b"\xfa", b"\x10\xfa") + b"\x03\xfa"

    def is_poll(self, data: bytes, point: int) -> bool:
        return data == bytes((self.first_address + point - 1, 0x20, 0xFA))


def decode(data: bytes) -> list[Hashable]:
    """The frames that the driver accepts."""
    return [(f.address, int(f.control), f.tx, f.data) for f in Decoder().feed(data)]


def oracle(data: bytes) -> set[Hashable]:
    """Every frame that stands in ``data``: address, control byte, then FA, or a block, its CRC-16/ARC, 03 and FA.

    A 10 before FA in a block is an escape and not part of it.
    """
    found: set[Hashable] = set()
    for frame in substrings(data, 3, MAX_FRAME):
        address, control = frame[0], frame[1] >> 4
        if frame[-1] != 0xFA or frame[-2] == 0x10 or not 0x50 <= address <= 0xCF:
            continue
        if control in {0x2, 0x5, 0x7, 0xC, 0xE} and len(frame) == 3:
            found.add((address, control, frame[1] & 0x0F, b""))
        if control == 0x3 and len(frame) >= 6 and frame[-2] == 0x03:
            plain = frame[:-2].replace(b"\x10\xfa", b"\xfa")
            if crc_arc(plain[:-2]) == int.from_bytes(plain[-2:], "little"):
                found.add((address, control, frame[1] & 0x0F, plain[2:-2]))
    return found


def crc_arc(data: bytes) -> int:
    """CRC-16/ARC bit by bit."""
    crc = 0
    for bit in (byte >> place & 1 for byte in data for place in range(8)):
        crc = crc >> 1 ^ (0xA001 if (crc ^ bit) & 1 else 0)
    return crc


SUBJECT = DartSubject()
