"""The keys that a station holds: read once from the files the configuration names, or from the unit's credentials.

Knows files and their forms, and what is said where one is missing. Knows no database, and logs nothing.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from agent.crypto import FIELD_KEY_BYTES, FieldKeys
from agent.domain.codes.card_keys import CardKeys, CardKeysError
from agent.settings import Settings
from sync.signing import PinnedKeys

INDEX_KEY_BYTES = 32
MARK_DIGITS = 16


class SecretMissing(Exception):
    """A secret named by the configuration cannot be used. ``hint``: what to do."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Keyring:
    """``field``: what stands encrypted in the database; ``cards``: head office's keys of contactless cards. ``None``:
    this station has none, and does without.
    """

    field: FieldKeys | None = None
    cards: CardKeys | None = None

    def mark(self) -> str:
        """Return a short text that changes with the keys and tells nothing of them; empty where either is missing."""
        if self.field is None or self.cards is None:
            return ""
        told = f"{self.field.version}|".encode() + self.cards.transport + self.cards.meta_read
        return hashlib.sha256(told).hexdigest()[:MARK_DIGITS]


NO_KEYS = Keyring()


def load(settings: Settings) -> Keyring:
    """Return the keys that a station may do without. Raises SecretMissing for one that is there and no key."""
    return Keyring(field=_field_keys(settings), cards=_card_keys(settings))


def secret(named: Path | None, credential: str) -> str:
    """Return the text of a secret: from the file named, else from ``$CREDENTIALS_DIRECTORY/credential``.

    Raises SecretMissing.
    """
    path = _place(named, credential)
    hint = "forecourt-hq keys makes it; the installer's page says where it goes"
    if path is None:
        raise SecretMissing(f"no file is named for the {credential}", hint=hint)
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as failure:
        raise SecretMissing(f"{path} ({credential}) cannot be read: {failure}", hint=hint) from failure
    if not text:  # what the unit hands over in place of a file that is not there
        raise SecretMissing(f"the {credential} is empty or missing", hint=hint)
    return text


def index_key(settings: Settings) -> bytes:
    """Return the group's key of the blind indexes. Raises SecretMissing."""
    text = secret(settings.head_office.index_key_file, "index-key")
    try:
        key = bytes.fromhex(text)
    except ValueError as failure:
        raise SecretMissing("the index key is not hexadecimal", hint="copy it again from head office") from failure
    if len(key) != INDEX_KEY_BYTES:
        raise SecretMissing(f"the index key has {len(key)} bytes, not {INDEX_KEY_BYTES}", hint="copy it again")
    return key


def pinned_keys(settings: Settings) -> PinnedKeys:
    """Return the head-office keys this station trusts. Raises SecretMissing."""
    text = secret(settings.head_office.keys_file, "pinned-keys")
    try:
        return PinnedKeys.from_jwks(text)
    except ValueError as failure:
        raise SecretMissing(f"the pinned keys cannot be used: {failure}", hint="copy them again") from failure


def _field_keys(settings: Settings) -> FieldKeys | None:
    text = _optional(settings.privacy.field_key_file, "field-key")
    if text is None:
        return None
    try:
        pairs = [line.partition(":") for line in text.split()]
        keys = {int(version): bytes.fromhex(key) for version, _, key in pairs}
        return FieldKeys(keys)
    except ValueError as failure:
        raise SecretMissing(
            f"the field key is no list of VERSION:KEY with {FIELD_KEY_BYTES} bytes in hexadecimal each",
            hint="put back the file that forecourt init made; a new one does not open what the old one closed",
        ) from failure


def _card_keys(settings: Settings) -> CardKeys | None:
    text = _optional(settings.head_office.card_keys_file, "card-keys")
    if text is None:
        return None
    try:
        return CardKeys.parse(text)
    except CardKeysError as failure:
        hint = "copy cards.json again from head office's keys"
        raise SecretMissing(f"the card keys cannot be used: {failure}", hint=hint) from failure


def _optional(named: Path | None, credential: str) -> str | None:
    """Return the text of a secret that a station may do without; one that is named has to be there."""
    path = _place(named, credential)
    if named is None and (path is None or not path.exists() or not path.read_bytes().strip()):
        return None
    return secret(named, credential)


def _place(named: Path | None, credential: str) -> Path | None:
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return named if named is not None else (Path(directory) / credential if directory else None)
