"""Keys of contactless cards in the pipeline: from a member's envelope into the table, closed, and out for one tap.

A plain key lives between two lines here, or for one check of a tap. What cannot be kept is said, and asked for again.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from agent.crypto import NONCE_BYTES, FieldKeys, gcm_decrypt
from agent.domain.codes.card_keys import CardEntry, CardKeysError, unseal
from agent.pipeline import alerting
from agent.pipeline.step import Step

SUBJECT = "cards"
NOT_KEPT = "CARD_KEYS_NOT_KEPT"
MISSED = "card_keys_missed"
"""Fact about the database: with which keys at hand a card could not be kept; with others it is asked for again."""

_MARK_BYTES = 16


def told(step: Step, puts: Sequence[Mapping[str, Any]]) -> None:
    """Take in the cards of members that head office has just put: what it does not name any more is erased."""
    named = [op for op in {op["member"]: op for op in puts}.values() if op.get("card_key")]
    if not puts or (not named and step.tx.cards.is_empty()):
        return
    step.tx.cards.erase_keys([op["member"] for op in puts], step.stamp.wall_ms)
    for op in named:
        _keep(step, op["member"], op["card_key"])


def go_on(step: Step) -> None:
    """At the start: where the keys at hand are others than those that cards were missed or closed with, ask head office
    for every member again.
    """
    missed, mark = step.tx.memory.meta(MISSED), step.keys.mark()
    if not mark or ((missed is None or missed == mark) and not _is_closed_by_another(step)):
        return
    step.tx.memory.forget_meta(MISSED)
    step.tx.buckets.forget_states()
    step.tx.memory.set_meta("member_op", "0")
    alerting.device(step, SUBJECT, NOT_KEPT, standing=False)
    step.audit("agent", "agent", "members_asked_again", "members", reason="card keys can be kept now")


def opened(step: Step, row: Mapping[str, Any]) -> bytes | None:
    """Return a card's key, ``None`` where there is none or it does not open; then that is said."""
    if row["sealed_key"] is None or step.keys.field is None:
        return None
    key = _open(step.keys.field, row)
    if key is None:
        _missed(step, "", "a card's key does not open: another field key closed it; start again to get it anew")
    return key


def _is_closed_by_another(step: Step) -> bool:
    """Whether the field key is another one than before: on a new PC, or made anew after it was lost."""
    row = step.tx.cards.any_closed()
    return row is not None and step.keys.field is not None and _open(step.keys.field, row) is None


def _open(keys: FieldKeys, row: Mapping[str, Any]) -> bytes | None:
    try:
        return keys.open(_place(row["card_id"]), row["sealed_key"])
    except ValueError:
        return None


def _keep(step: Step, member: str, envelope: str) -> None:
    keys = step.keys
    if keys.cards is None or keys.field is None:
        lacking = "card-keys" if keys.cards is None else "field-key"
        _missed(step, "", f"head office has cards that sign, but this station has no {lacking}")
        return
    try:
        cards = unseal(member, envelope, keys.cards.transport, gcm_decrypt)
    except CardKeysError as failure:
        _missed(step, keys.mark(), str(failure))
        return
    row = step.tx.members.by_id(member)
    assert row is not None, "a member that was just put is there"
    for card in cards:
        _keep_card(step, int(row["ref"]), card)


def _keep_card(step: Step, ref: int, card: CardEntry) -> None:
    """Close a key and store it. A counter belongs to a key: with another one the chip was written anew."""
    assert step.keys.field is not None
    nonce = step.random_bits(8 * NONCE_BYTES).to_bytes(NONCE_BYTES, "big")
    mark = hmac.digest(card.key, b"fc-card-mark|" + card.card, hashlib.sha256)[:_MARK_BYTES]
    values: dict[str, Any] = {
        "member_ref": ref,
        "sealed_key": step.keys.field.seal(_place(card.card), card.key, nonce),
        "key_mark": mark,
        "random_uid": int(card.random_uid),
        "clearance": card.clearance,
        "gone_ms": None,
    }
    known = step.tx.cards.by_id(card.card)
    if known is not None and known["key_mark"] != mark:
        values |= {"counter": None, "held": 0}
    elif known is not None and card.clearance > known["clearance"]:
        values |= {"held": 0}
    step.tx.cards.put(card.card, values)


def _missed(step: Step, mark: str, detail: str) -> None:
    step.tx.memory.set_meta(MISSED, mark)
    alerting.device(step, SUBJECT, NOT_KEPT, standing=True, detail=detail)


def _place(card: bytes) -> str:
    return f"card|sealed_key|{card.hex()}"
