"""What people may ask about signs of misuse: to keep a review."""

from __future__ import annotations

from typing import Any

from agent.inbox import Asked
from agent.pipeline import reviewing
from agent.pipeline.arguments import text
from agent.pipeline.step import Step


def _review(step: Step, asked: Asked, _key: bytes) -> dict[str, Any]:
    verdict, note = text(asked, "verdict"), text(asked, "note")
    return reviewing.review(step, text(asked, "alert"), verdict, note, asked.person)


FRAUD = {"fraud.review": (_review, "supervisor")}
"""Rows of ``asking.OPERATIONS``."""
