"""A card laid on a reader: what it proves, whose it is, and that its counter only rises.

Ids, messages and keys live only inside ``tapped``; what is kept is the keyed index of an id, a counter, an outcome.
"""

from __future__ import annotations

from agent.domain import identity
from agent.domain import link_records as links
from agent.domain.answers import Outcome
from agent.domain.identity import AuthLevel, IndexKind
from agent.pipeline.step import Step
from drivers.readings import CardTap

RANDOM_UID_BYTES, RANDOM_UID_FIRST = 4, 0x08


def tapped(step: Step, tap: CardTap, index_key: bytes, *, attendant: str | None) -> links.MemberScanned:
    """Return the event that a tap is for linking; what must be kept of it is written into the open transaction."""
    scan_id = step.new_id()
    who = _by_uid(step, tap, index_key, scan_id, attendant)
    refused = None if who is not None else Outcome.UNKNOWN_CARD
    digest = identity.text_digest(f"{(tap.uid or tap.ndef or b'').hex()} {refused}")
    return links.MemberScanned(scan_id, tap.reader, digest, who, refused)


def _by_uid(step: Step, tap: CardTap, index_key: bytes, scan_id: str, attendant: str | None) -> links.Credential | None:
    """Return whose id the reader saw, where this station takes an id for a name; a random one names nobody."""
    if not step.settings.loyalty.uid_cards or not tap.uid or _is_random(tap.uid):
        return None
    member = step.tx.members.by_index(identity.blind_index(index_key, IndexKind.UID, tap.uid.hex().upper()))
    if member is None:
        return None
    suspect = step.stamp.clock in ("floor", "unknown")
    return links.Credential(
        scan_id, tap.reader, attendant, member["id"], AuthLevel.UID, clock_suspect=suspect, member_known=True
    )


def _is_random(uid: bytes) -> bool:
    return len(uid) == RANDOM_UID_BYTES and uid[0] == RANDOM_UID_FIRST
