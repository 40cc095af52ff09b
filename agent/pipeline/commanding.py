"""Commands of head office in the pipeline: signed, for us, in time and new; then done once, and answered (W-45).

Knows the order of the judgements and the first results. What a command does is ``ordered``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.domain.redaction import redact
from agent.failpoints import failpoint
from agent.pipeline import alerting, ordered
from agent.pipeline.step import RequestRefused, Step
from sync.commands import KINDS, MAX_RESULT_BYTES, CommandClaims, args_defect, open_command
from sync.messages import MessageError
from sync.notices import Result
from sync.records import parse_time
from sync.signing import SignatureRefused

REFUSED = "COMMAND_REFUSED"
AUDIT_EVERY_MS = 3_600_000
"""W-22: what is refused before anybody is known to have ordered it is audited at most so often, by reason."""

MAX_TRIES = 3
"""So often a command is begun; one that has ended this process each time is given up, or it would end it for ever."""

ROLE = "head_office"
_NOT_KEPT = frozenset({"member", "name"})
"""Args that may name a member; when the link they made is forgotten, nothing here may remember it."""


@dataclass(frozen=True, slots=True)
class Order:
    """A command that is to be done now."""

    claims: CommandClaims
    who: str


def received(step: Step, jws: str) -> Order | None:
    """Judge what came; returns what is to be done, ``None`` where it was refused or answered already."""
    try:
        claims = _opened(step, jws)
    except (SignatureRefused, MessageError) as error:
        _audited_refusal(step, error.reason if isinstance(error, SignatureRefused) else "malformed")
        return None
    if claims.station != step.settings.station.id:
        _audited_refusal(step, "wrong_station")
        return None
    known = step.tx.commands.one(claims.cmd_id)
    if known is not None and known["digest"] != claims.digest:
        _audited_refusal(step, "other_content")
        step.publish("up/result", Result(claims.cmd_id, "refused", "other_content"))
        return None
    if known is not None and known["status"] is not None:
        step.publish("up/result", _first_result(known))
        return None
    return _to_be_done(step, claims, tries=0 if known is None else known["tries"], is_new=known is None)


def _to_be_done(step: Step, claims: CommandClaims, *, tries: int, is_new: bool) -> Order | None:
    order = Order(claims, f"head-office:{claims.by}")
    late = claims.untimely(_known_time(step), is_floor=step.stamp.clock == "floor") if tries == 0 else None
    if late == "not_yet_valid":  # nothing is kept: the next repeat may come in time
        _audited_refusal(step, late)
        step.publish("up/result", Result(claims.cmd_id, "refused", late))
        return None
    alerting.device(step, "sync", REFUSED, standing=False)
    if is_new:
        values = {
            "cmd_id": claims.cmd_id,
            "kind": claims.kind,
            "by": claims.by,
            "digest": claims.digest,
            "not_after_ms": parse_time(claims.not_after),
            "received_ms": step.stamp.wall_ms,
        }
        step.tx.commands.add(values, {k: v for k, v in claims.args.items() if k not in _NOT_KEPT})
    wrong = late or _unknown(claims)
    if wrong is not None:
        reason, _, detail = wrong.partition(": ")
        _answer(step, order, "refused", reason, {"detail": detail} if detail else {})
        return None
    if tries >= MAX_TRIES:
        _answer(step, order, "failed", "crashed", {"tries": tries})
        return None
    step.tx.commands.begun(claims.cmd_id)
    step.passed.append("begun")
    return order


def obey(step: Step, order: Order) -> None:
    """Do what was ordered, in one transaction with its result. Raises RequestRefused as a person's wish would."""
    data = ordered.act(step, order.claims, order.who)
    _answer(step, order, "done", None, data)


def refuse(step: Step, order: Order, refused: RequestRefused) -> None:
    """Nothing was done: keep that, and why."""
    _answer(step, order, "refused", redact(str(refused)), {"hint": redact(refused.hint)})


def _answer(step: Step, order: Order, status: str, reason: str | None, data: Mapping[str, Any]) -> None:
    """The first result of a command: kept, audited and told; a repeat is told the same."""
    told = dict(data)
    if len(json.dumps(told)) > MAX_RESULT_BYTES:
        told = {"too_large": True}
    reason = None if reason is None else reason[:500]
    claims = order.claims
    step.tx.commands.answer(claims.cmd_id, status=status, reason=reason, data=told, at_ms=step.stamp.wall_ms)
    step.audit(order.who, ROLE, claims.kind, f"command:{claims.cmd_id}", reason=reason or "", result=status)
    step.publish("up/result", Result(claims.cmd_id, status, reason, told))
    failpoint("command.before_commit")
    step.passed.append("command")


def _opened(step: Step, jws: str) -> CommandClaims:
    if step.pinned is None:
        raise SignatureRefused("unknown_key", "this station has no key of head office")
    return open_command(jws, step.pinned)


def _known_time(step: Step) -> int | None:
    return None if step.stamp.clock == "unknown" else step.stamp.wall_ms


def _unknown(claims: CommandClaims) -> str | None:
    if claims.kind not in KINDS:
        return f"unknown_kind: {claims.kind}"
    wrong = args_defect(claims.kind, claims.args)
    return None if wrong is None else f"bad_args: {wrong}"


def _first_result(known: Mapping[str, Any]) -> Result:
    return Result(known["cmd_id"], known["status"], known["reason"], json.loads(known["data"]))


def _audited_refusal(step: Step, reason: str) -> None:
    """Somebody sends what is no order for us: on record, and seen by people, but never so often that it does harm."""
    key = f"command:{reason}"
    told_ms = step.memory.refused_ms.get(key)
    if told_ms is not None and step.now.mono_ms < told_ms + AUDIT_EVERY_MS:
        return
    step.memory.refused_ms[key] = step.now.mono_ms
    step.audit("head-office", ROLE, "command_refused", "command", reason=reason, result="refused")
    alerting.device(step, "sync", REFUSED, standing=True, detail=reason)
