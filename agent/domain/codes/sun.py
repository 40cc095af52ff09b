"""SUN messages of NTAG 424 DNA chips (SDM, AES mode; AN12196): one link, one card key -> exactly one outcome.

Pure: AES comes in as functions, keys and counters as arguments. Whether the counter was seen is compared here and
written by the caller, in the transaction of the link. Never logs or returns keys, PICC data or MACs.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import itemgetter
from typing import Protocol

BLOCK = 16
UID_BYTES = 7
RANDOM_UID_BYTES, RANDOM_UID_FIRST = 4, 0x08
JUMP_TOLD = 200
"""A counter that leaps further than this is told: any phone that reads a card counts, but not that often."""

_PICC_TAG = 0xC7
_SV1, _SV2 = b"\xc3\x3c\x00\x01\x00\x80", b"\x3c\xc3\x00\x01\x00\x80"
_MAC_DIGITS, _PICC_DIGITS, _LRP_DIGITS = 16, 32, 48
_HEX = re.compile(r"[0-9A-F]+")
_DIVERSIFY = b"\x01"


class Aes(Protocol):
    """AES-128 as this room needs it; keys and blocks of 16 bytes."""

    def cbc_decrypt(self, key: bytes, iv: bytes, data: bytes) -> bytes:
        """Return the plain text of whole blocks, nothing unpadded."""
        ...

    def ecb_encrypt(self, key: bytes, block: bytes) -> bytes:
        """Return one encrypted block."""
        ...

    def cmac(self, key: bytes, message: bytes) -> bytes:
        """Return the 16 bytes of CMAC (NIST SP 800-38B)."""
        ...


class Outcome(StrEnum):
    """What a tap came to, in the order of the checks."""

    MALFORMED = "MALFORMED"
    UNSUPPORTED_VERSION = "UNSUPPORTED_VERSION"
    UNKNOWN_CARD = "UNKNOWN_CARD"
    KEY_REFUSED = "KEY_REFUSED"
    BAD_MAC = "BAD_MAC"
    UID_MISMATCH = "UID_MISMATCH"
    COUNTER_REPLAYED = "COUNTER_REPLAYED"
    ACCEPTED = "ACCEPTED"


@dataclass(frozen=True, slots=True)
class Profile:
    """Names of the link's parameters. ``enc``: encrypted file data, where the chip writes some. Without ``mac`` the
    last 16 characters of ``enc`` are the MAC.
    """

    picc: str
    mac: str | None = None
    enc: str | None = None


KNOWN_TO_ALL = frozenset({bytes(BLOCK)})
"""Keys that prove nothing: chips leave the factory with zeros."""

PUBLISHED = KNOWN_TO_ALL | {
    bytes.fromhex("00112233445566778899AABBCCDDEEFF"),
    bytes.fromhex("A8DD63A3B89D54B37CA802473FDA9175"),
}
"""Those, and the keys of the examples in AN10922: whoever read it can make such a card."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a chain's cards write their links. ``meta_key``: 16 bytes common to all cards (the uid is not known before it
    is used; not in the repr). ``refused_keys``: keys of a card that are never believed.
    """

    profile: Profile
    meta_key: bytes = field(repr=False)
    refused_keys: frozenset[bytes] = field(default=KNOWN_TO_ALL, repr=False)


@dataclass(frozen=True, slots=True)
class CardKey:
    """What the station knows of a card: its file key (16 bytes, not in the repr), the last counter seen (``None``:
    never), and whether its chip shows random ids.
    """

    key: bytes = field(repr=False)
    last_counter: int | None = None
    random_uid: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer. ``uid``: upper-case hex once it could be read; it is proven only from UID_MISMATCH on. ``last``: the
    counter stored before. ``jumped``: the counter leapt further than JUMP_TOLD.
    """

    outcome: Outcome
    uid: str | None = None
    counter: int | None = None
    last: int | None = None
    file_data: bytes | None = None

    @property
    def jumped(self) -> bool:
        """Whether an accepted counter is worth telling."""
        moved = self.outcome is Outcome.ACCEPTED and self.last is not None and self.counter is not None
        return moved and (self.counter or 0) - (self.last or 0) > JUMP_TOLD


@dataclass(frozen=True, slots=True)
class Message:
    """The parts of a link that count, as the chip wrote them. ``signed``: the text under the MAC."""

    picc: bytes
    mac: bytes
    signed: bytes
    enc: bytes | None = None


def profile_of(text: str, profiles: Sequence[Profile]) -> Profile | None:
    """Return the profile that a link is written by, ``None`` where it is no message: without a ``picc`` of any.

    Of several the one of which most is there; a link that lacks a part is still meant as a message.
    """
    there = _parameters(text).keys()
    meant = [(_present(profile, there), profile) for profile in profiles if profile.picc in there]
    return max(meant, key=itemgetter(0))[1] if meant else None


def _present(profile: Profile, there: Collection[str]) -> int:
    names = [name for name in (profile.picc, profile.mac, profile.enc) if name is not None]
    found = sum(name in there for name in names)
    return found if found == len(names) else found - len(names)


def parts(text: str, profile: Profile) -> Message | Outcome:
    """Return the parts of a link, or the outcome for another text: strict hex, exact lengths, none twice."""
    where = _parameters(text)
    picc = where.get(profile.picc)
    if where.get("") is not None or picc is None or _HEX.fullmatch(picc[1]) is None:
        return Outcome.MALFORMED
    if len(picc[1]) == _LRP_DIGITS:
        return Outcome.UNSUPPORTED_VERSION
    found = _mac_and_data(where, profile)
    if len(picc[1]) != _PICC_DIGITS or found is None:
        return Outcome.MALFORMED
    mac_at, mac, enc_at, enc = found
    signed = b"" if enc_at is None else text[enc_at:mac_at].encode("ascii")
    return Message(bytes.fromhex(picc[1]), bytes.fromhex(mac), signed, None if enc is None else bytes.fromhex(enc))


def read(message: Message, meta_key: bytes, aes: Aes) -> tuple[bytes, int] | None:
    """Return (uid, counter) that the chip encrypted, ``None`` where they are not both there; nothing is proven yet."""
    plain = aes.cbc_decrypt(meta_key, bytes(BLOCK), message.picc)
    if plain[0] != _PICC_TAG:
        return None
    return plain[1 : 1 + UID_BYTES], int.from_bytes(plain[1 + UID_BYTES : 4 + UID_BYTES], "little")


def check(
    text: str, rf_uid: bytes | None, scheme: Scheme, card_of: Callable[[str], CardKey | None], aes: Aes
) -> Checked:
    """Return what a tap comes to.

    ``rf_uid``: the id that the reader saw, ``None`` where it cannot tell; ``card_of``: the card of an upper-case hex
    uid, ``None`` where none is known here.
    """
    message = parts(text, scheme.profile)
    if isinstance(message, Outcome):
        return Checked(message)
    shown = read(message, scheme.meta_key, aes)
    if shown is None:
        return Checked(Outcome.MALFORMED)
    uid, counter = shown
    name = uid.hex().upper()
    card = card_of(name)
    if card is None:
        return Checked(Outcome.UNKNOWN_CARD, name)
    if card.key in scheme.refused_keys:
        return Checked(Outcome.KEY_REFUSED, name)
    context = uid + counter.to_bytes(3, "little")
    if not hmac.compare_digest(mac_of(aes, card.key, context, message.signed), message.mac):
        return Checked(Outcome.BAD_MAC)
    if rf_uid is not None and rf_uid != uid and not (card.random_uid and is_random(rf_uid)):
        return Checked(Outcome.UID_MISMATCH, name)
    if card.last_counter is not None and counter <= card.last_counter:
        return Checked(Outcome.COUNTER_REPLAYED, name, counter, card.last_counter)
    data = None if message.enc is None else file_data(aes, card.key, context, message.enc)
    return Checked(Outcome.ACCEPTED, name, counter, card.last_counter, data)


def mac_of(aes: Aes, key: bytes, context: bytes, signed: bytes) -> bytes:
    """Return the 8 bytes of a MAC: every second one of CMAC under the session key of ``context``: uid, counter."""
    session = aes.cmac(key, (_SV2 + context).ljust(BLOCK, b"\x00"))
    return aes.cmac(session, signed)[1::2]


def file_data(aes: Aes, key: bytes, context: bytes, enc: bytes) -> bytes:
    """Return the file data that the chip encrypted under the session key of ``context``."""
    session = aes.cmac(key, (_SV1 + context).ljust(BLOCK, b"\x00"))
    counter = context[UID_BYTES:]
    return aes.cbc_decrypt(session, aes.ecb_encrypt(session, counter.ljust(BLOCK, b"\x00")), enc)


def is_random(rf_uid: bytes) -> bool:
    """Return whether an id that a reader saw is one that the chip made up for this tap: it names nobody."""
    return len(rf_uid) == RANDOM_UID_BYTES and rf_uid[0] == RANDOM_UID_FIRST


def diversified(aes: Aes, master: bytes, uid: bytes, application: bytes, system: bytes) -> bytes:
    """Return a card's key from a master (AN10922, AES-128): head office alone does this.

    Raises ValueError outside 16 to 31 bytes of input, where the standard's padding and plain CMAC part.
    """
    seed = uid + application + system
    if not BLOCK <= len(seed) < 2 * BLOCK:
        raise ValueError(f"{len(seed)} bytes of uid, application and system text: choose 16 to 31")
    return aes.cmac(master, _DIVERSIFY + seed)


def _parameters(text: str) -> dict[str, tuple[int, str]]:
    """Return where each parameter's value begins, and the value; a doubled name is noted under the empty one."""
    before, mark, query = text.partition("?")
    at = len(before) + len(mark)
    found: dict[str, tuple[int, str]] = {}
    for part in query.split("&") if mark and text.isascii() else ():
        name, equals, value = part.partition("=")
        found["" if name in found or not equals else name] = (at + len(name) + len(equals), value)
        at += len(part) + 1
    return found


def _mac_and_data(
    where: Mapping[str, tuple[int, str]], profile: Profile
) -> tuple[int, str, int | None, str | None] | None:
    """Return where the MAC begins, the MAC, where the encrypted data begin, and those; ``None`` for a wrong form."""
    enc_at, enc = where.get(profile.enc or "", (None, None)) if profile.enc else (None, None)
    if profile.enc and enc is None:
        return None
    if profile.mac is not None:
        mac_at, mac = where.get(profile.mac, (0, ""))
    elif enc_at is not None and enc is not None and len(enc) > _MAC_DIGITS:
        mac_at, mac, enc = enc_at + len(enc) - _MAC_DIGITS, enc[-_MAC_DIGITS:], enc[:-_MAC_DIGITS]
    else:
        return None
    sound = len(mac) == _MAC_DIGITS and _HEX.fullmatch(mac) is not None and (enc_at is None or enc_at < mac_at)
    if enc is not None:
        sound = sound and len(enc) % _PICC_DIGITS == 0 and _HEX.fullmatch(enc) is not None
    return (mac_at, mac, enc_at, enc) if sound else None
