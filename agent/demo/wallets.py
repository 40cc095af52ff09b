"""What the demo's members carry: card numbers, phones that show signed codes, chips that sign what a reader reads.

Knows head office's key files, as an app's server and a card printer would. Keys stay in the simulator's process.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

from agent.clock import Clock
from agent.crypto import Aes, sign_ed25519
from agent.demo.people import PHONE, Person
from agent.domain.codes import fm1, issuing, sun
from agent.domain.codes.card_keys import CardKeys
from agent.domain.codes.issuing import CodeKey
from drivers.simulator.card import Card, link_message
from drivers.simulator.wallet import CHIP

CODE_LIFE_S = 100
SERIAL_BYTES = 4
LINK = "https://m.example.cn/n?e={picc}&c={mac}"
_AES = Aes()
_TAG = b"\xc7"


class DemoWallet:
    """``drivers.simulator.wallet.Wallet`` of these people; key files are read at the first use."""

    def __init__(self, people: Sequence[Person], keys: Path, clock: Clock) -> None:
        self._members = {person.shows: person for person in people}
        self._keys = keys
        self._clock = clock
        self._chips: dict[str, Card] = {}
        self._serial = 0

    def text(self, card: str) -> str:
        """What a code reader sees now: the number of a card, or a fresh code on a phone."""
        if not card.startswith(PHONE):
            return card
        now_s = self._clock.wall_ms() // 1000
        self._serial += 1
        cti = self._serial.to_bytes(SERIAL_BYTES, "big")
        member, key = self._members[card].member, self._code_key
        claims = issuing.claims_of(key, member, cti, now_s=max(now_s, key.not_before_s), exp_s=now_s + CODE_LIFE_S)
        return fm1.issue(claims, partial(sign_ed25519, key.seed))

    def chip(self, card: str) -> Card:
        """The chip of a member."""
        person = self._members[card]
        uid = bytes.fromhex(card.removeprefix(CHIP))
        return self._chips.setdefault(card, Card(uid, lambda count: link_message(self._link(uid, person.key, count))))

    def _link(self, uid: bytes, key: bytes, counter: int) -> str:
        context = uid + counter.to_bytes(3, "little")
        plain = (_TAG + context).ljust(sun.BLOCK, b"\x00")
        picc = _AES.cbc_encrypt(self._card_keys.meta_read, bytes(sun.BLOCK), plain)
        mac = sun.mac_of(_AES, key, context, b"")
        return LINK.format(picc=picc.hex().upper(), mac=mac.hex().upper())

    @cached_property
    def _code_key(self) -> CodeKey:
        (file,) = sorted((self._keys / "codes").glob("*.json"))
        return issuing.read_key(json.loads(file.read_text(encoding="utf-8")))

    @cached_property
    def _card_keys(self) -> CardKeys:
        return CardKeys.parse((self._keys / "cards.json").read_text(encoding="utf-8"))
