"""Signed member codes in the pipeline: the key set in force, what a code comes to, and that a one-time code is spent.

The code's text is looked at here and forgotten; what is kept are its signed fields.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from agent.domain import link_records as links
from agent.domain.answers import Outcome
from agent.domain.codes import fm1
from agent.domain.codes.keyset import EMPTY, KeySet, KeySetError, Purpose, check_successor, parse
from agent.pipeline import alerting
from agent.pipeline.step import Step
from agent.store.store import Tx

KIND = "keys"
SUN = "sun:"
"""How the code of a chip's message begins: ``sun:<keyed index of its id>:<counter>``."""

SUBJECT = "codes"
REFUSED, AGED = "KEY_SET_REFUSED", "KEY_SET_OLD"
OLD_AFTER_MS = 30 * 86_400_000
_TRUST = {"ntp": fm1.Trust.NORMAL, "rtc": fm1.Trust.STALE}
_REASON_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Judged:
    """What a signed code came to: who it names, or why it is refused. ``spent``: it was accepted before."""

    who: links.Credential | None
    refused: Outcome | None = None
    spent: bool = False


def load_active(tx: Tx, *, testing: bool) -> KeySet:
    """Return the key set in force as the database has it; EMPTY where head office has sent none."""
    found = tx.memory.active_document(KIND)
    return EMPTY if found is None else parse(json.loads(found[2]), testing=testing)


def arrived(step: Step, version: int, digest: str, body: bytes) -> None:
    """Put a verified key set in force at once: a revocation may not wait. One that cannot be used is audited."""
    try:
        keys = parse(json.loads(body), testing=is_testing(step))
        if keys.version != version:
            raise KeySetError(f"the document says version {keys.version}, its envelope {version}")
        check_successor(step.memory.keys, keys)
    except ValueError as failure:
        reason = str(failure)[:_REASON_CHARACTERS]
        step.audit("head-office", "head_office", "keys_refused", f"version {version}", reason=reason, result="refused")
        alerting.device(step, SUBJECT, REFUSED, standing=True, detail=reason)
        return
    if step.tx.memory.add_document(KIND, version, digest, body, 0):
        step.tx.memory.activate_document(KIND, version, step.stamp.wall_ms)
        step.memory.keys = keys
        step.audit("head-office", "head_office", "keys_activated", f"version {version}", reason=digest)
        alerting.device(step, SUBJECT, REFUSED, standing=False)
        step.passed.append("keys")


def is_testing(step: Step) -> bool:
    """Return whether keys of published test vectors may be used: never where a sale is real."""
    return step.settings.station.mode == "training"


def judge(step: Step, text: str, *, scan_id: str, reader: str, attendant: str | None) -> Judged:
    """Return what the cleaned text of an FM1 code comes to here and now."""
    from agent.crypto import verify_ed25519

    at = fm1.Instant(step.stamp.wall_ms // 1000, _TRUST.get(step.stamp.clock, fm1.Trust.FLOOR))
    checked = fm1.check(text, step.memory.keys, at, verify_ed25519)
    level, claims = checked.level, checked.claims
    if level is None or claims is None:
        return Judged(None, Outcome(checked.outcome.value))
    once = checked.purpose is Purpose.DYNAMIC
    row = step.tx.members.by_id(claims.member_hex)  # or the member that the code's was merged into since
    who = links.Credential(
        scan_id,
        reader,
        attendant,
        claims.member_hex if row is None else row["id"],
        level,
        code=f"{':'.join(claims.replay_key)}:{claims.exp_s}" if once else None,
        clock_suspect=checked.clock_suspect,
        member_known=row is not None and bool(row["known"]),
        shown=f"{claims.kid.hex()}:{claims.member_hex[:4]}:{claims.cti.hex()}",
    )
    return Judged(who, spent=once and step.tx.codes.is_spent(claims.replay_key))


def spend(step: Step, effect: links.SpendCode, reader: str) -> None:
    """Note in the transaction of its link that a one-time code is spent. A chip's is by its counter, written before."""
    if effect.code.startswith(SUN):
        return
    *key, expires_s = effect.code.split(":")
    step.tx.codes.spend(key, expires_s=int(expires_s), seen_ms=step.stamp.wall_ms, reader=reader, scan=effect.scan_id)
