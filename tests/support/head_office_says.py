"""What head office hands a station of the tests, as it arrives in the inbox: rule sets and the members of its cards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from agent.crypto import FieldKeys, gcm_encrypt
from agent.domain.codes.card_keys import CardEntry, CardKeys, card_id, seal
from agent.domain.identity import IndexKind, blind_index
from agent.inbox import FromHeadOffice
from agent.keyring import Keyring
from sync import ports
from sync.signing import new_key
from tests.support.station_settings import RULES

SIGNING_KEY = new_key("ho-1")
"""What head office signs with, and stations of the tests have pinned."""

INDEX_KEY = b"scenario-index-key-of-32-bytes!!"
CARDS = CardKeys(bytes(range(32)), bytes(range(15, -1, -1)))
KEYS = Keyring(field=FieldKeys({1: bytes(range(1, 33))}), cards=CARDS)
"""What a station of the tests holds: the key of its fields, and its group's keys of cards that sign."""


def member_of(number: int) -> str:
    """The id of the member of the ``number``-th card, from 1."""
    return f"{number:016x}"


def rule_set(version: int, *offers: dict[str, Any]) -> FromHeadOffice:
    """A rule set as it arrives; with ``offers`` in the place of the usual ones."""
    body = json.dumps({**RULES, "version": version, "offer": offers or RULES["offer"]}).encode()
    return FromHeadOffice(ports.DocumentArrived("rules", version, sha256(body).digest(), body))


def members_of(cards: Sequence[str]) -> FromHeadOffice:
    """The members of all cards, one each."""
    operations: list[dict[str, Any]] = [
        {
            "op": number,
            "kind": "PUT",
            "member": member_of(number),
            "indexes": [blind_index(INDEX_KEY, IndexKind.CARD, card).hex()],
            "tier": "",
            "growth": 0,
            "mask": f"****{card[-4:]}",
        }
        for number, card in enumerate(cards, 1)
    ]
    return FromHeadOffice(ports.MembersPage(0, tuple(operations)))


def key_set(version: int, *keys: tuple[str, bytes, str], revoked: Sequence[tuple[str, str]] = ()) -> FromHeadOffice:
    """A key set as it arrives: (kid, public key, purpose) each, and withdrawn cards as (kid, cti)."""
    document = {
        "type": "fc.keyset.v1",
        "version": version,
        "keys": [
            {
                "kid": kid,
                "alg": -8,
                "public": public.hex(),
                "purpose": purpose,
                "not_before": 0,
                "not_after": 2**32 - 1,
                "status": "active",
            }
            for kid, public, purpose in keys
        ],
        "revoked_cards": [{"kid": kid, "cti": cti} for kid, cti in revoked],
    }
    body = json.dumps(document).encode()
    return FromHeadOffice(ports.DocumentArrived("keys", version, sha256(body).digest(), body))


def uid_index(uid: str) -> str:
    """The keyed index of an id."""
    return blind_index(INDEX_KEY, IndexKind.UID, uid).hex()


def card_entry(uid: str, key: bytes, *, random_uid: bool = False, clearance: int = 0) -> CardEntry:
    """One card that signs, as head office tells it."""
    return CardEntry(card_id(CARDS.transport, uid), key, random_uid, clearance)


def member_with(
    op: int, member: int, *cards: CardEntry, uids: Sequence[str] = (), transport: bytes = CARDS.transport
) -> FromHeadOffice:
    """A member with signing cards, and with other cards that are known by their id."""
    told: dict[str, Any] = {
        "op": op,
        "kind": "PUT",
        "member": member_of(member),
        "indexes": [uid_index(uid) for uid in uids],
        "tier": "gold",
        "growth": 0,
        "mask": f"****{member:04}",
        "card_key": seal(member_of(member), cards, transport, gcm_encrypt) if cards else None,
    }
    return FromHeadOffice(ports.MembersPage(op - 1, (told,)))


def member_gone(op: int, member: int) -> FromHeadOffice:
    """A member who is deleted everywhere."""
    return FromHeadOffice(ports.MembersPage(op - 1, ({"op": op, "kind": "DEL", "member": member_of(member)},)))
