"""What people may ask about personal data: what is kept, what is due, and to delete that now."""

from __future__ import annotations

from typing import Any

from agent.inbox import Asked
from agent.pipeline import retention
from agent.pipeline.step import RequestRefused, Step

FORGET = "members.forget"
"""The operation, and the action of its audit record, by which head office knows the wish."""

MAX_REASON = 200


def _status(step: Step, _asked: Asked, _key: bytes) -> dict[str, Any]:
    return retention.status(step)


def _run(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    if asked.args.get("dry_run") is True:
        return retention.status(step)
    step.audit(asked.person.name, asked.person.role, "privacy.run", "retention")
    return retention.run_now(step)


def _forget(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    """Pass a member's wish on: head office alone deletes, or its next change of the member would bring it back."""
    member, reason = str(asked.args.get("member", "")).lower(), str(asked.args.get("reason", "")).strip()
    if step.tx.members.by_id(member) is None:
        hint = "forecourt members lists the ids; one that is not here head office can still delete"
        raise RequestRefused(f"there is no member {member[:16]!r} here", hint=hint)
    if not 0 < len(reason) <= MAX_REASON or not reason.isprintable():
        raise RequestRefused("a reason is missing or too long", hint="--reason in up to 200 characters", exit_code=2)
    step.audit(asked.person.name, asked.person.role, FORGET, member, reason=reason)
    return {"member": member, "asked": True}


PRIVACY = {
    "privacy.status": (_status, "attendant"),
    "privacy.run": (_run, "supervisor"),
    FORGET: (_forget, "supervisor"),
}
"""Rows of ``asking.OPERATIONS``."""
