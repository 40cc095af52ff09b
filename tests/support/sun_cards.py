"""Chips that sign their links (NTAG 424 DNA, SUN), written from the maker's note once more: id, counter, keys -> message."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from drivers.readings import CardTap
from drivers.simulator.card import Card, link_message


@dataclass(frozen=True)
class Chip:
    """A card of a member. ``meta``: the key common to all cards."""

    uid: bytes
    key: bytes = field(repr=False)
    meta: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """Its id as head office writes it."""
        return self.uid.hex().upper()

    def link(self, counter: int) -> str:
        """The link that it shows at a count."""
        head = self.uid + counter.to_bytes(3, "little")
        plain = b"\xc7" + head + bytes((counter % 251,)) * 5
        machine = Cipher(algorithms.AES128(self.meta), modes.CBC(bytes(16))).encryptor()
        picc = machine.update(plain) + machine.finalize()
        session = _cmac(self.key, b"\x3c\xc3\x00\x01\x00\x80" + head)
        mac = _cmac(session, b"")[1::2]
        return f"https://m.example.cn/n?p={picc.hex().upper()}&m={mac.hex().upper()}"

    def tap(self, reader: str, counter: int, *, rf_uid: bytes | None = None) -> CardTap:
        """The tap that a reader tells; ``rf_uid``: what its radio layer shows instead of the id."""
        return CardTap(reader, self.uid if rf_uid is None else rf_uid, link_message(self.link(counter)))

    def card(self, counter: int = 0) -> Card:
        """The same as a thing that answers a reader; it counts by itself."""
        return Card(self.uid, lambda count: link_message(self.link(count)), counter)


def _cmac(key: bytes, message: bytes) -> bytes:
    machine = CMAC(algorithms.AES128(key))
    machine.update(message)
    return machine.finalize()
