"""The keys of contactless cards on their way from head office to a station: what a member's ``card_key`` holds.

Pure: the cipher comes in as a function. Knows the form of the envelope and of the key file; no table and no chip.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

KEY_BYTES, TRANSPORT_BYTES, ID_BYTES, NONCE_BYTES = 16, 32, 16, 12
MAX_CLEARANCE = 127
MAX_CARDS = 16
"""Cards of one member: their envelope has at most 743 characters."""

Cipher = Callable[[bytes, bytes, bytes, bytes], bytes]
"""AES-256-GCM one way: (key of 32 bytes, nonce of 12, data, associated data) -> data; ValueError for a wrong tag."""

_ENVELOPE = "ck1."
_ENTRY_BYTES = 1 + ID_BYTES + KEY_BYTES
_HEX = re.compile(r"[0-9A-Fa-f]+")


class CardKeysError(ValueError):
    """A key file or an envelope that is none; the message never shows what it held."""


@dataclass(frozen=True, slots=True)
class CardKeys:
    """What a group's stations share, from the file ``cards.json``: ``transport`` opens envelopes (32 bytes),
    ``meta_read`` what chips encrypt their id with (16 bytes). Neither makes a card.
    """

    transport: bytes = field(repr=False)
    meta_read: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> CardKeys:
        """Read the file. Raises CardKeysError."""
        try:
            told = json.loads(text)
        except ValueError as failure:
            raise CardKeysError("it is no JSON") from failure
        if not isinstance(told, dict) or set(told) != {"transport", "meta_read"}:
            raise CardKeysError("an object with transport and meta_read is expected")
        return cls(_key(told, "transport", TRANSPORT_BYTES), _key(told, "meta_read", KEY_BYTES))

    def text(self) -> str:
        """Return the file."""
        return json.dumps({"transport": self.transport.hex(), "meta_read": self.meta_read.hex()})


@dataclass(frozen=True, slots=True)
class CardEntry:
    """One card of a member. ``card``: what it is known by (``card_id``); ``key``: its file key; ``random_uid``: its
    chip shows random ids. ``clearance``: how often head office has looked into it and found it in order, 0 to 127.
    """

    card: bytes
    key: bytes = field(repr=False)
    random_uid: bool = False
    clearance: int = 0

    def __post_init__(self) -> None:
        if (len(self.card), len(self.key)) != (ID_BYTES, KEY_BYTES) or not 0 <= self.clearance <= MAX_CLEARANCE:
            raise CardKeysError(f"a card has an id and a key of 16 bytes, and was cleared 0 to {MAX_CLEARANCE} times")

    def packed(self) -> bytes:
        """Return its 33 bytes: clearance and kind of uid, id, key."""
        return bytes((self.clearance << 1 | int(self.random_uid),)) + self.card + self.key


def card_id(transport: bytes, uid: str) -> bytes:
    """Return what a card is known by at every station of a group, whatever key members are recognised by: 16 bytes.

    ``uid``: upper-case hex. It is keyed, because an id of a chip is soon guessed.
    """
    return hmac.digest(_derived(transport, b"id"), uid.encode(), hashlib.sha256)[:ID_BYTES]


def seal(member: str, cards: Sequence[CardEntry], transport: bytes, encrypt: Cipher) -> str:
    """Return the envelope of a member's cards. The same cards give the same text: a file may be imported twice.

    Raises CardKeysError for more than MAX_CARDS.
    """
    if not 0 < len(cards) <= MAX_CARDS:
        raise CardKeysError(f"{len(cards)} cards of one member, 1 to {MAX_CARDS} can travel")
    plain = b"".join(card.packed() for card in cards)
    # a nonce must never come twice for two texts: this one is drawn from the text itself, by a key of its own
    nonce = hmac.digest(_derived(transport, b"nonce"), member.encode() + plain, hashlib.sha256)[:NONCE_BYTES]
    sealed = encrypt(_derived(transport, b"seal"), nonce, plain, _about(member))
    return _ENVELOPE + base64.urlsafe_b64encode(nonce + sealed).decode("ascii")


def unseal(member: str, envelope: str, transport: bytes, decrypt: Cipher) -> tuple[CardEntry, ...]:
    """Return the cards of a member. Raises CardKeysError: another key, another member's envelope, or no envelope."""
    if not envelope.startswith(_ENVELOPE):
        raise CardKeysError("the envelope is of another version")
    try:
        data = base64.b64decode(envelope.removeprefix(_ENVELOPE), altchars=b"-_", validate=True)
        plain = decrypt(_derived(transport, b"seal"), data[:NONCE_BYTES], data[NONCE_BYTES:], _about(member))
    except (binascii.Error, ValueError) as failure:
        raise CardKeysError("the envelope does not open with this station's key") from failure
    entries = [plain[at : at + _ENTRY_BYTES] for at in range(0, len(plain), _ENTRY_BYTES)]
    if not entries or len(entries[-1]) != _ENTRY_BYTES:
        raise CardKeysError("the envelope holds no list of cards")
    return tuple(_entry(entry) for entry in entries)


def _entry(entry: bytes) -> CardEntry:
    return CardEntry(entry[1 : 1 + ID_BYTES], entry[1 + ID_BYTES :], bool(entry[0] & 1), entry[0] >> 1)


def _about(member: str) -> bytes:
    return f"fc-card1|{member}".encode()


def _derived(transport: bytes, purpose: bytes) -> bytes:
    return hmac.digest(transport, b"fc-card1|" + purpose, hashlib.sha256)


def _key(told: dict[str, object], name: str, size: int) -> bytes:
    text = told[name]
    if not isinstance(text, str) or len(text) != 2 * size or _HEX.fullmatch(text) is None:
        raise CardKeysError(f"{name} must have {size} bytes in hexadecimal")
    return bytes.fromhex(text)
