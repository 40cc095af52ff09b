"""What people may ask about personal data: what is kept, what is due, and to delete that now."""

from __future__ import annotations

from typing import Any

from agent.inbox import Asked
from agent.pipeline import retention
from agent.pipeline.step import Step


def _status(step: Step, _asked: Asked, _key: bytes) -> dict[str, Any]:
    return retention.status(step)


def _run(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    if asked.args.get("dry_run") is True:
        return retention.status(step)
    step.audit(asked.person.name, asked.person.role, "privacy.run", "retention")
    return retention.run_now(step)


PRIVACY = {"privacy.status": (_status, "attendant"), "privacy.run": (_run, "supervisor")}
"""Rows of ``asking.OPERATIONS``."""
