"""What the contract suite must know of the Dipstick. Loaded by tests only."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path

from drivers.config import LineConfig
from tests.support.mutation import Wording, substrings
from tests.support.rigs.base import Rig, VirtualRig
from tests.support.rigs.kinds import GaugeSubject
from tests.support.rigs.served import PtyPlug

from .codec import Decoder
from .stand import Stand, crc, framed


class DipstickSubject(GaugeSubject):
    """One gauge with three tanks on a wire of its own."""

    protocol = "dipstick"
    changes_nothing = frozenset({"ASK"})
    confirms_units = False

    def line_config(self, port: str = "virtual", *, control: bool = True, points: int = 4) -> LineConfig:
        return LineConfig("tanks", port, self.protocol, tanks=self.tanks)

    def stand(self, seed: int, points: int = 4) -> Stand:
        return Stand()

    def answer(self, rig: VirtualRig, data: bytes) -> bytes:
        answer: bytes = rig.stand.answer(data)
        return answer

    def heard(self, rig: Rig, point: int | None = None) -> list[str]:
        return list(rig.stand.heard)

    @contextmanager
    def plugged(self, wire: str, state_dir: Path) -> Iterator[PtyPlug]:
        stand = Stand()
        with PtyPlug(state_dir / "gauge", stand, stand.answer) as plug:
            yield plug

    def true_volume_ml(self, rig: Rig, tank: int) -> int:
        volume_ml: int = 1_000 * rig.stand.volumes_l[tank]
        return volume_ml

    @property
    def wording(self) -> Wording:
        return Wording((framed(b"V1:018400:004"), framed(b"V2:000000:999")), decode, oracle)


def decode(data: bytes) -> list[Hashable]:
    """What the driver accepts."""
    return [(answer.tank, answer.volume_l, answer.water_mm) for answer in Decoder().feed(data)]


def oracle(data: bytes) -> set[Hashable]:
    """Every frame that stands in the bytes with a right check, found without the driver's code."""
    found: set[Hashable] = set()
    for frame in substrings(data, 19, 19):
        text, check = frame[:13], frame[13:]
        if check == b"*%04X\r" % crc(text) and text[:1] == b"V" and text[2:3] == text[9:10] == b":":
            digits = text[1:2] + text[3:9] + text[10:]
            if digits.isdigit():
                found.add((int(text[1:2]), int(text[3:9]), int(text[10:])))
    return found


SUBJECT = DipstickSubject()
