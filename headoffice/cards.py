"""Signing cards at head office: their key files, and what the columns of a member file come to.

Ids and keys exist only between the line of the file and the envelope that travels; they are not stored. The master that
cards are written with never leaves this folder.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.crypto import Aes, gcm_encrypt
from agent.domain.codes import sun
from agent.domain.codes.card_keys import (
    KEY_BYTES,
    TRANSPORT_BYTES,
    CardEntry,
    CardKeys,
    CardKeysError,
    card_id,
    seal,
)
from agent.domain.identity import IndexKind, blind_index
from headoffice.errors import ImportProblem, KeyProblem
from headoffice.keys import read_private, write_private

CARDS_FILE = "cards.json"
"""What stations need to judge cards; it goes into their bundles as ``card-keys``."""

MASTER_FILE = "card-master.json"
"""What cards are written with: a card's key is drawn from it and the card's id (AN10922)."""

UID, KEY = "card_uid", "card_key"
DIVERSIFIED, NONE, RANDOM, CLEARED = "diversified", "-", "random", "cleared="
UID_SIZES = (4, 7, 10)
APPLICATION, SYSTEM = b"FC1", b"forecourt-card"

_HEX = re.compile(r"[0-9A-Fa-f]+")
_AES = Aes()


@dataclass(frozen=True, slots=True)
class Master:
    """Where keys of cards are drawn from: 16 bytes, and what is mixed in beside the id of the card."""

    key: bytes = field(repr=False)
    application: bytes = APPLICATION
    system: bytes = SYSTEM

    def key_of(self, uid: bytes) -> bytes:
        """Return a card's key."""
        return sun.diversified(_AES, self.key, uid, self.application, self.system)


@dataclass(frozen=True, slots=True)
class CardMaker:
    """Turns the columns of a row into what stations may know. ``keys`` None: the folder is older than signing cards."""

    index_key: bytes = field(repr=False)
    keys: CardKeys | None = None
    master: Master | None = None

    def read(self, row: Mapping[str, Any], member: str, where: str) -> tuple[list[str], str | None]:
        """Return (keyed indexes, envelope of the keys or ``None``) of a member's cards. Raises ImportProblem."""
        uids = [_uid(text, where) for text in row.get(UID, ())]
        told = row.get(KEY, [NONE] * len(uids))
        if len(told) != len(uids):
            raise ImportProblem(f"{where}: {KEY} must name one key for each {UID}", hint=f"write {NONE} for none")
        indexes = [blind_index(self.index_key, IndexKind.UID, uid.hex().upper()) for uid in uids]
        cards = [
            entry for uid, key in zip(uids, told, strict=True) if (entry := self._card(uid, key, where)) is not None
        ]
        envelope = seal(member, cards, self._transport(where), gcm_encrypt) if cards else None
        return [index.hex() for index in indexes], envelope

    def _transport(self, where: str) -> bytes:
        if self.keys is None:
            hint = "run forecourt-hq keys"
            raise ImportProblem(f"{where}: there is no {CARDS_FILE} to close card keys with", hint=hint)
        return self.keys.transport

    def _card(self, uid: bytes, told: str, where: str) -> CardEntry | None:
        word, *more = told.split()
        if word == NONE and not more:
            return None
        if len(uid) != sun.UID_BYTES:
            raise ImportProblem(f"{where}: a card that signs has an id of {sun.UID_BYTES} bytes")
        try:
            card = card_id(self._transport(where), uid.hex().upper())
            entry = CardEntry(card, self._key(uid, word, where), RANDOM in more, _cleared(more))
        except (CardKeysError, ValueError) as failure:
            raise ImportProblem(f"{where}: {KEY}: {failure}") from failure
        unknown = [one for one in more if one != RANDOM and not one.startswith(CLEARED)]
        if unknown:
            hint = f"behind a key may stand {RANDOM} and {CLEARED}N"
            raise ImportProblem(f"{where}: {KEY}: {unknown[0]!r} means nothing", hint=hint)
        return entry

    def _key(self, uid: bytes, word: str, where: str) -> bytes:
        if word == DIVERSIFIED:
            if self.master is None:
                raise ImportProblem(
                    f"{where}: there is no {MASTER_FILE} to draw keys from", hint="run forecourt-hq keys"
                )
            return self.master.key_of(uid)
        if len(word) != 2 * KEY_BYTES or _HEX.fullmatch(word) is None:
            hint = f"{2 * KEY_BYTES} hex digits, {DIVERSIFIED}, or {NONE} for a card that signs nothing"
            raise ImportProblem(f"{where}: {KEY} is no key", hint=hint)
        key = bytes.fromhex(word)
        if key in sun.PUBLISHED:
            raise ImportProblem(f"{where}: {KEY} is a key that everybody knows", hint="write the card with another one")
        return key


def make_files(folder: Path) -> None:
    """Make what is missing of the keys of cards; what is there is never replaced. Raises OSError."""
    if not (folder / CARDS_FILE).exists():
        keys = CardKeys(secrets.token_bytes(TRANSPORT_BYTES), secrets.token_bytes(KEY_BYTES))
        write_private(folder / CARDS_FILE, keys.text().encode() + b"\n")
    if not (folder / MASTER_FILE).exists():
        told = {"master": secrets.token_hex(KEY_BYTES), "application": APPLICATION.hex(), "system": SYSTEM.hex()}
        write_private(folder / MASTER_FILE, json.dumps(told).encode() + b"\n")


def load(folder: Path, index_key: bytes) -> CardMaker:
    """Return the keys of cards of a folder; what is not there is ``None``. Raises KeyProblem."""
    keys = master = None
    try:
        if (folder / CARDS_FILE).exists():
            keys = CardKeys.parse(read_private(folder / CARDS_FILE))
        if (folder / MASTER_FILE).exists():
            told = json.loads(read_private(folder / MASTER_FILE))
            parts = [bytes.fromhex(told[name]) for name in ("master", "application", "system")]
            master = Master(*parts)
            master.key_of(bytes(sun.UID_BYTES))
    except (ValueError, KeyError, TypeError) as failure:
        hint = "restore it from your backup"
        raise KeyProblem(f"a file of card keys in {folder} is damaged: {failure}", hint=hint) from failure
    return CardMaker(index_key, keys, master)


def bundled(folder: Path) -> Path | None:
    """Return the file that stations get, ``None`` where there is none."""
    return folder / CARDS_FILE if (folder / CARDS_FILE).exists() else None


def _uid(text: str, where: str) -> bytes:
    if _HEX.fullmatch(text) is None or len(text) not in [2 * size for size in UID_SIZES]:
        raise ImportProblem(f"{where}: {UID} must be 8, 14 or 20 hex digits")
    uid = bytes.fromhex(text)
    if sun.is_random(uid):
        hint = "give the id that is written in it, and the word random behind its key"
        raise ImportProblem(f"{where}: an id of 4 bytes that begins with 08 is another one at every tap", hint=hint)
    return uid


def _cleared(words: Sequence[str]) -> int:
    return max((int(word.removeprefix(CLEARED)) for word in words if word.startswith(CLEARED)), default=0)
