"""Signs of misuse in the pipeline: which rules see a link, a refusal or a reversal, and what that does to points.

Never stops a sale, never answers an attendant. What the rules say is pure (``agent.domain.fraud``).
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.domain.answers import Outcome
from agent.domain.fraud import Effect
from agent.pipeline.step import Step


@dataclass(frozen=True, slots=True)
class Refusal:
    """A scan that was refused. ``code``: the one-time code it showed, ``member``: whom it would have named."""

    outcome: Outcome
    reader: str
    attendant: str | None = None
    member: str | None = None
    code: str | None = None


def after_link(step: Step, sale: str) -> None:
    """Look at a sale that was just linked: call it once its link stands in the transaction."""


def after_refusal(step: Step, refusal: Refusal) -> None:
    """Look at a scan that was refused: a code shown twice, a counter that fell back, a card of another chip."""


def after_counter(step: Step, member: str, jump: int) -> None:
    """Look at an accepted counter; ``jump``: how far it is above the last one (1 is the usual)."""


def after_reversal(step: Step, sale: str) -> None:
    """Look at a refund or void: call it once it stands in the transaction, before it is forgotten who was linked."""


def touched(step: Step, sale: str) -> frozenset[str]:
    """Return the rules ("R1") that touched a sale and were not reviewed as harmless."""
    return step.tx.fraud.touching(sale)


def is_held(step: Step, sale: str) -> bool:
    """Return whether the points of a sale wait for a review."""
    return Effect.HOLD.value in step.tx.fraud.effects(sale)


def earns_nothing(step: Step, sale: str) -> bool:
    """Return whether a sale gives no points: more fuel on a card of the staff than is allowed."""
    return Effect.NO_POINTS.value in step.tx.fraud.effects(sale)
