"""The contract suite's knowledge of Zhengxing: four panels with one hose each, and a queue of stored sales."""

from __future__ import annotations

from collections.abc import Hashable

from drivers.zhengxing.codec import Decoder
from tests.support.mutation import Wording
from tests.support.rigs.simulated import SingleHoses

LENGTHS = {
    **dict.fromkeys((0x01, 0x02, 0x03), (6,)),
    **dict.fromkeys((0x05, 0x06, 0x08, 0x0D, 0x17), (5,)),
    0x0C: (17,),
    0x12: (18,),
    0x13: (36,),
    0x15: (36,),
    0x16: (4, 5),
    0x18: (13,),
}


class ZhengxingSubject(SingleHoses):
    """Panels 1, 2, ..."""

    protocol = "zhengxing"
    answers_name_the_asked = True
    totals_modulus = 2**32
    changes_nothing = frozenset({"TOTALS", "RETURN_PRICES", "RETURN_FILLING_INFO", "LIVE"})
    forgets = frozenset({"ACKNOWLEDGE"})

    @property
    def wording(self) -> Wording:
        frames = (
            "FC0D01131F",
            "FC0C0100000DA8550012D68700000000BE",
            "FC1801080012340089470000F9",
            "FC1501130000022F3004D2000000000000000007250000000100000000000000000000EF",
            "FC17010315",
        )
        return Wording(tuple(bytes.fromhex(frame) for frame in frames), decode, oracle)

    def is_poll(self, data: bytes, point: int) -> bool:
        return data[:3] == bytes((0xFC, 0x0D, point))


def decode(data: bytes) -> list[Hashable]:
    """The frames that the driver accepts."""
    return [frame.raw for frame in Decoder().feed(data)]


def oracle(data: bytes) -> set[Hashable]:
    """From every start byte, as many bytes as the command has, if their exclusive or is nothing."""
    found: set[Hashable] = set()
    for at in range(len(data) - 3):
        if data[at] != 0xFC or data[at + 2] == 0:
            continue
        for length in LENGTHS.get(data[at + 1], ()):
            frame = data[at : at + length]
            check = 0
            for byte in frame[1:]:
                check ^= byte
            if len(frame) == length and not check:
                found.add(frame)
    return found


SUBJECT = ZhengxingSubject()
