"""The contract suite's knowledge of the PN532: a simulated chip on which a card is laid and taken away again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from drivers.config import LineConfig
from drivers.pn532 import codec
from drivers.readings import CardTap
from drivers.simulator.card import Card, link_message
from drivers.simulator.pn532_chip import Chip
from tests.support.rigs.base import Rig, Subject, VirtualRig
from tests.support.rigs.served import PtyPlug
from tests.support.wire import VirtualPort

READER = "till"
UID = bytes.fromhex("04782E21801D80")
MESSAGE = link_message("https://m.example.cn/n?c=000001")
LOOKS = 4
"""So many looks the card lies there, and so many it does not."""

ASKED = {
    codec.FIRMWARE: "firmware",
    codec.NORMAL_MODE: "normal mode",
    codec.AUTOMATIC_RATS: "automatic RATS",
    codec.FEW_RETRIES: "few retries",
    codec.LIST_ONE_CARD: "list",
    codec.RELEASE_ALL: "release",
}


class Handled:
    """A chip and somebody who lays the card down and takes it away."""

    def __init__(self) -> None:
        self.chip = Chip()
        self._card = Card(UID, lambda _count: MESSAGE)
        self._looks = 0

    def receive(self, data: bytes) -> bytes:
        """What the chip answers."""
        before = len(self.chip.asked)
        answer = self.chip.receive(data)
        if codec.LIST_ONE_CARD in self.chip.asked[before:]:
            self._looks += 1
            self.chip.card = self._card if self._looks // LOOKS % 2 else None
        return answer


class Pn532Subject(Subject):
    """One reader and one card."""

    protocol = "pn532"
    changes_nothing = frozenset({*ASKED.values(), "exchange"})

    def told(self, rig: Rig) -> list[CardTap]:
        """The cards told so far."""
        return rig.of(CardTap)

    def lies(self, rig: Rig) -> list[str]:
        return [f"{tap.uid!r} {tap.ndef!r}" for tap in self.told(rig) if (tap.uid, tap.ndef) != (UID, MESSAGE)]

    def reads_the_truth(self, rig: Rig) -> None:
        before = len(self.told(rig))
        rig.until(lambda: len(self.told(rig)) > before)
        assert self.lies(rig) == []

    def virtual_port(self, peer: Callable[[bytes], bytes]) -> VirtualPort:
        return VirtualPort(peer, baudrate=115_200)

    def line_config(self, port: str = "virtual", *, control: bool = True, points: int = 4) -> LineConfig:
        options: Mapping[str, object] = {"poll_interval": "50ms"}
        return LineConfig(READER, port, self.protocol, reader=READER, options=options)

    def stand(self, seed: int, points: int = 4) -> Handled:
        return Handled()

    def answer(self, rig: VirtualRig, data: bytes) -> bytes:
        handled: Handled = rig.stand
        return handled.receive(data)

    def heard(self, rig: Rig, point: int | None = None) -> list[str]:
        handled: Handled = rig.stand
        return (
            []
            if point
            else [ASKED.get(body, "exchange" if body[:1] == b"\x40" else "?") for body in handled.chip.asked]
        )

    @contextmanager
    def plugged(self, wire: str, state_dir: Path) -> Iterator[PtyPlug]:
        assert wire == "pty"
        handled = Handled()
        with PtyPlug(state_dir / "reader", handled, handled.receive) as plug:
            yield plug


SUBJECT = Pn532Subject()
