"""The contract suite's knowledge of Lanfeng: four panels with one hose each on one line of the simulator."""

from __future__ import annotations

from collections.abc import Hashable

from drivers.lanfeng.codec import Decoder
from tests.support.mutation import Wording
from tests.support.rigs.simulated import SingleHoses

FRAME = 12


class LanfengSubject(SingleHoses):
    """Panels 1, 2, ..."""

    protocol = "lanfeng"
    answers_name_the_asked = True
    totals_modulus = 10**12
    changes_nothing = frozenset({"TOTALS"})

    @property
    def wording(self) -> Wording:
        frames = ("01000725008947001234417D", "01000725001450000200C2AC", "0100AD000000000123456783")
        return Wording(tuple(bytes.fromhex(frame) for frame in frames), decode, oracle)

    def is_poll(self, data: bytes, point: int) -> bool:
        return len(data) == FRAME and data[0] == point and data[2] == 0xB8


def decode(data: bytes) -> list[Hashable]:
    """The frames that the driver accepts."""
    return [(f.panel, f.body) for f in Decoder().feed(data)]


def oracle(data: bytes) -> set[Hashable]:
    """Every twelve bytes of which the last eleven sum up to nothing and the first names a panel."""
    found: set[Hashable] = set()
    for at in range(len(data) - FRAME + 1):
        frame = data[at : at + FRAME]
        if frame[0] % 16 and sum(frame[1:]) % 256 == 0:
            found.add((frame[0] % 16, frame[1:11]))
    return found


SUBJECT = LanfengSubject()
