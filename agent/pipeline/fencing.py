"""The fence: head office takes this PC for a copy of another one, so it redeems nothing until a person says so (W-33).

Knows the welcome and what is stored of it. Selling, earning and delivering go on; who redeems asks here first.
"""

from __future__ import annotations

from agent.logs import get_logger
from agent.pipeline import alerting
from agent.pipeline.step import Step
from agent.store.store import Tx
from sync.messages import Welcome

_log = get_logger("sync")

FENCED = "fenced_ms"
"""Fact about a database: since when it may redeem nothing; it outlives restarts and new incarnations."""

ALERT = "FENCED"


def fenced(step: Step) -> bool:
    """Whether points, coupons, leases and budgets may not be spent here."""
    return step.memory.fenced_ms is not None


def at_start(tx: Tx) -> int | None:
    """Return since when the fence stands, as the database has it."""
    stored = tx.memory.meta(FENCED)
    return None if stored is None else int(stored)


def welcomed(step: Step, welcome: Welcome) -> None:
    """Head office says with every welcome whether the fence stands."""
    if welcome.fenced and not fenced(step):
        _put(step)
    elif not welcome.fenced:
        lift(step, "head-office", "the welcome says so")


def lift(step: Step, by: str, reason: str) -> bool:
    """A person at head office has decided for this PC: it redeems again. Returns whether a fence stood."""
    if not fenced(step):
        return False
    step.memory.fenced_ms = None
    step.tx.memory.forget_meta(FENCED)
    step.audit(by, "head_office", "fence_lifted", "station", reason=reason)
    alerting.device(step, alerting.SYNC_SUBJECT, ALERT, standing=False)
    step.after.append(lambda: _log.info("the fence is lifted", by=by))
    return True


def _put(step: Step) -> None:
    step.memory.fenced_ms = step.stamp.wall_ms
    step.tx.memory.set_meta(FENCED, str(step.stamp.wall_ms))
    detail = "head office hears another PC as this station: no points, coupons or budgets are redeemed here"
    step.audit("head-office", "head_office", "fenced", "station", reason=detail)
    alerting.device(step, alerting.SYNC_SUBJECT, ALERT, standing=True, detail=detail)
    step.after.append(
        lambda: _log.warning("fenced as a copy of another PC", hint="docs/supervisor.md, the clone alarm")
    )
