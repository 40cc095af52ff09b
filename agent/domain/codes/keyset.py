"""The key set that member codes are checked by: a document from head office, read strictly.

Knows no signature of its own envelope (signing is another room's) and no clock. The keys of published test vectors are
refused unless somebody says that this is a test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.domain.codes.token import CTI_SIZES, EDDSA, KID_SIZES

TYPE = "fc.keyset.v1"
MAX_KEYS = 256
MAX_REVOKED = 1_000_000
_HEX = re.compile(r"(?:[0-9a-f]{2})+")
_PUBLIC_BYTES = 32

TEST_KEYS = frozenset(
    {
        "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
        "29acbae141bccaf0b22e1a94d34d0bc7361e526d0bfe12c89794bc9322966dd7",
        "2543b92ff1095511476adc8369db6ddc933665a11978dda1404ee1066ca9559d",
    }
)
"""Public keys whose seeds are printed in test vectors: whoever reads those could sign codes for anybody."""


class KeySetError(ValueError):
    """A key set that must not be used; the message names the entry and what is wrong with it."""


class Purpose(StrEnum):
    """What a key signs. DYNAMIC: codes on a phone, once and within minutes. PRINTED: cards that last for years."""

    DYNAMIC = "dynamic"
    PRINTED = "printed"


class Status(StrEnum):
    """ACTIVE: head office signs with it. RETIRED: no longer, its dates decide. REVOKED: nothing by it is believed."""

    ACTIVE = "active"
    RETIRED = "retired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Key:
    """One public key. Times are Unix seconds; ``not_after_s`` is the first second after its life."""

    kid: bytes
    alg: int
    public: bytes
    purpose: Purpose
    not_before_s: int
    not_after_s: int
    status: Status


@dataclass(frozen=True, slots=True)
class KeySet:
    """All keys by their id, and the printed cards that are withdrawn, as (kid, cti)."""

    version: int
    keys: Mapping[bytes, Key] = field(default_factory=dict)
    revoked_cards: frozenset[tuple[bytes, bytes]] = frozenset()

    def key(self, kid: bytes) -> Key | None:
        """Return the key of an id, ``None`` where this set has none."""
        return self.keys.get(kid)


EMPTY = KeySet(0)
"""What a station knows before head office has sent a key set: every code is one it cannot check yet."""


def parse(document: Mapping[str, Any], *, testing: bool = False) -> KeySet:
    """Return the key set a document describes; ``testing`` also takes the keys of published vectors.

    Raises KeySetError: unknown members, another type, a doubled id, values of a wrong form, test keys.
    """
    entries = document.get("keys")
    revoked = document.get("revoked_cards", [])
    unknown = set(document) - {"type", "version", "keys", "revoked_cards"}
    if unknown:
        raise KeySetError(f"unknown members {', '.join(sorted(unknown))}")
    if document.get("type") != TYPE:
        raise KeySetError(f"type is {document.get('type')!r}, not {TYPE!r}")
    version = _integer(document, "version", "the key set")
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise KeySetError(f"keys is no list of at most {MAX_KEYS}")
    if not isinstance(revoked, list) or len(revoked) > MAX_REVOKED:
        raise KeySetError(f"revoked_cards is no list of at most {MAX_REVOKED}")
    keys: dict[bytes, Key] = {}
    for place, entry in enumerate(entries):
        key = _key(entry, f"keys[{place}]", testing=testing)
        if key.kid in keys:
            raise KeySetError(f"keys[{place}]: kid {key.kid.hex()} is given twice")
        keys[key.kid] = key
    cards = frozenset(_card(card, f"revoked_cards[{place}]") for place, card in enumerate(revoked))
    return KeySet(version, keys, cards)


def document_of(keys: KeySet) -> dict[str, Any]:
    """Return the document that ``parse`` reads as this set: keys by age, cards in order."""
    entries = sorted(keys.keys.values(), key=lambda key: (key.not_before_s, key.kid))
    return {
        "type": TYPE,
        "version": keys.version,
        "keys": [
            {
                "kid": key.kid.hex(),
                "alg": key.alg,
                "public": key.public.hex(),
                "purpose": key.purpose.value,
                "not_before": key.not_before_s,
                "not_after": key.not_after_s,
                "status": key.status.value,
            }
            for key in entries
        ],
        "revoked_cards": [{"kid": kid.hex(), "cti": cti.hex()} for kid, cti in sorted(keys.revoked_cards)],
    }


def check_successor(old: KeySet, new: KeySet) -> None:
    """Check that a set may follow another. Raises KeySetError: an older version, or a kid with another key."""
    if new.version < old.version:
        raise KeySetError(f"version {new.version} is older than {old.version}, which is in force")
    for kid, key in new.keys.items():
        known = old.key(kid)
        if known is not None and (known.public, known.alg, known.purpose) != (key.public, key.alg, key.purpose):
            raise KeySetError(f"kid {kid.hex()} names another key than before: a kid is never used again")


def _key(entry: object, place: str, *, testing: bool) -> Key:
    if not isinstance(entry, Mapping):
        raise KeySetError(f"{place} is no object")
    unknown = set(entry) - {"kid", "alg", "public", "purpose", "not_before", "not_after", "status"}
    if unknown:
        raise KeySetError(f"{place}: unknown members {', '.join(sorted(unknown))}")
    alg = _integer(entry, "alg", place)
    if alg != EDDSA:
        raise KeySetError(f"{place}: alg {alg} is not known here, only {EDDSA}: this station needs an update")
    public = _bytes(entry, "public", place, range(_PUBLIC_BYTES, _PUBLIC_BYTES + 1))
    if public.hex() in TEST_KEYS and not testing:
        raise KeySetError(f"{place}: a key of published test vectors; anybody can sign with it")
    not_before_s, not_after_s = _integer(entry, "not_before", place), _integer(entry, "not_after", place)
    if not_after_s <= not_before_s:
        raise KeySetError(f"{place}: not_after is not behind not_before")
    try:
        purpose, status = Purpose(str(entry.get("purpose"))), Status(str(entry.get("status")))
    except ValueError as failure:
        raise KeySetError(f"{place}: {failure}") from failure
    return Key(_bytes(entry, "kid", place, KID_SIZES), alg, public, purpose, not_before_s, not_after_s, status)


def _card(card: object, place: str) -> tuple[bytes, bytes]:
    if not isinstance(card, Mapping) or set(card) != {"kid", "cti"}:
        raise KeySetError(f"{place} is no object of kid and cti")
    return _bytes(card, "kid", place, KID_SIZES), _bytes(card, "cti", place, CTI_SIZES)


def _integer(entry: Mapping[str, Any], name: str, place: str) -> int:
    value = entry.get(name)
    if type(value) is not int:
        raise KeySetError(f"{place}: {name} is no integer")
    return value


def _bytes(entry: Mapping[str, Any], name: str, place: str, sizes: range) -> bytes:
    value = entry.get(name)
    text = value.lower() if isinstance(value, str) else ""
    if _HEX.fullmatch(text) is None or len(text) // 2 not in sizes:
        raise KeySetError(f"{place}: {name} is no hexadecimal text of {sizes.start} to {sizes.stop - 1} bytes")
    return bytes.fromhex(text)
