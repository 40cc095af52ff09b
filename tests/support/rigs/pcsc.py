"""The contract suite's knowledge of PC/SC readers: a virtual service on a virtual clock, and a real one with virtual readers.

What arrives at such a reader is the file of a card, whole or not, and the card is taken away when it has been read.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drivers.config import LineConfig
from drivers.pcsc.loop import STATE_PRESENT, Exchange
from drivers.readings import CardTap
from drivers.simulator.card import APPLICATION, FILE, GET_UID, OK, WRONG, link_message
from tests.support.pcsc_readers import VirtualReaders
from tests.support.rigs.base import Rig, VirtualRig
from tests.support.rigs.kinds import ReaderSubject
from tests.support.wire import VirtualPort

READER = "till"
NAME = "Virtual PCD 00 00"
UID = bytes.fromhex("04782E21801D80")
MESSAGE = link_message("https://m.example.cn/n?c=000001")
STATE_EMPTY = 0x10


def says(file: bytes, apdu: bytes) -> bytes:
    """What a card with that file answers; of what the file lacks, nothing."""
    if apdu == GET_UID:
        return UID + OK
    if apdu in (APPLICATION, FILE):
        return OK
    offset = int.from_bytes(apdu[2:4], "big")
    return file[offset : offset + apdu[4]] + OK if offset < len(file) else WRONG


class VirtualService(VirtualPort):
    """A PC/SC service with one reader. Cards that arrive lie there one after the other, each until the next look."""

    def __init__(self, peer: Callable[[bytes], bytes]) -> None:
        super().__init__(peer)
        self._files: list[bytes] = []
        self._lies = b""
        self._state = STATE_EMPTY

    def arrive(self, data: bytes) -> None:
        self._files.append(data)

    def readers(self) -> Sequence[str]:
        self._check()
        return (NAME,)

    def changes(self, known: Mapping[str, int], wait_s: float) -> Mapping[str, int]:
        self._check()
        if self._files:
            self._lies = self._files.pop(0)
            self._state = (self._state & ~0xFFFF) + (2 << 16) | STATE_PRESENT
        elif self._state & STATE_PRESENT:
            self._state = (self._state & ~0xFFFF) + (1 << 16) | STATE_EMPTY
        if known.get(NAME) in (self._state, None):
            self.now_s += wait_s
            return {}
        return {NAME: self._state}

    @contextmanager
    def card(self, reader: str) -> Iterator[Exchange]:
        assert reader == NAME
        self._check()
        yield functools.partial(says, self._lies)


class PcscPlug:
    """The service is the cable: without it there is no reader."""

    port = VirtualReaders.port

    def __init__(self, readers: VirtualReaders) -> None:
        self.stand = readers

    def pull(self) -> None:
        self.stand.kill()

    def plug(self) -> None:
        self.stand.start()

    def arrive(self, data: bytes) -> None:
        self.stand.lay(functools.partial(says, data))


class PcscSubject(ReaderSubject):
    """One reader and cards with a link."""

    protocol = "pcsc"
    wires = ("pcscd",)
    shown = len(MESSAGE).to_bytes(2, "big") + MESSAGE

    def told(self, rig: Rig) -> list[Any]:
        return list(rig.of(CardTap))

    def is_true(self, reading: Any) -> bool:
        return bool((reading.uid, reading.ndef) == (UID, MESSAGE))

    def virtual_port(self, peer: Callable[[bytes], bytes]) -> VirtualPort:
        return VirtualService(peer)

    def line_config(self, port: str = "virtual", *, control: bool = True, points: int = 4) -> LineConfig:
        return LineConfig(READER, port if port == VirtualReaders.port else "pcsc:", self.protocol, reader=READER)

    def stand(self, seed: int, points: int = 4) -> None:
        return None

    def answer(self, rig: VirtualRig, data: bytes) -> bytes:
        raise AssertionError(f"no bytes go to a PC/SC reader: {data!r} ({rig.subject})")

    def heard(self, rig: Rig, point: int | None = None) -> list[str]:
        return []

    @contextmanager
    def plugged(self, wire: str, state_dir: Path) -> Iterator[PcscPlug]:
        assert wire == "pcscd"
        with VirtualReaders() as readers:
            yield PcscPlug(readers)


SUBJECT = PcscSubject()
