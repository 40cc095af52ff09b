"""What people find out about an alert: kept, told to head office, and what it does to points that were held.

Two persons: nobody reviews an alert about themselves, or about links they made. Also tells which thresholds changed.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from agent.domain.fraud import DEFAULTS, Effect, Verdict
from agent.domain.fraud_review import Tally
from agent.inbox import Person
from agent.pipeline import alerting, holding, suspicion, watching
from agent.pipeline.step import RequestRefused, Step
from agent.store.sales import Row

THRESHOLDS = "fraud_limits"
NOISY = "FRAUD_RULE_NOISY"
_HOLDING = frozenset({Effect.HOLD.value, Effect.NO_POINTS.value})


def review(step: Step, given: str, verdict: str, note: str, by: Person) -> dict[str, Any]:
    """Keep a review of the alert whose id begins like this. Raises RequestRefused."""
    row = _meant(step, given)
    if verdict not in tuple(Verdict):
        words = ", ".join(word.value for word in Verdict)
        raise RequestRefused(f"{verdict!r} is no verdict", hint=f"give --as one of {words}", exit_code=2)
    sales = step.tx.fraud.sales_of(row["id"])
    _refuse_own(step, row, sales, by)
    step.tx.fraud.add_review(
        {
            "id": step.new_id(),
            "alert": row["id"],
            "verdict": verdict,
            "note": note,
            "by": by.name,
            "role": by.role,
            "at_ms": step.stamp.wall_ms,
        }
    )
    step.tx.fraud.change(row["id"], {"verdict": verdict, "reviewed_ms": step.stamp.wall_ms})
    released, held = _carry(step, sales, Verdict(verdict))
    step.audit(by.name, by.role, "fraud_review", f"fraud:{row['id']}", reason=note, result=verdict)
    if row["severity"] == "alert":
        step.journal(suspicion.RECORD, suspicion.record(step, row, "reviewed", verdict=verdict))
    _watch_noise(step, row["rule"])
    return {
        "alert": row["id"],
        "rule": row["rule"],
        "verdict": verdict,
        "points_released": released,
        "points_held": held,
    }


def _meant(step: Step, given: str) -> Row:
    found = step.tx.fraud.like(given.upper()) if given else []
    if len(found) != 1:
        problem = "no alert" if not found else "more than one alert"
        raise RequestRefused(f"{problem} has an id like {given!r}", hint="forecourt fraud list lists the ids")
    row = step.tx.fraud.by_id(found[0])
    assert row is not None
    return row


def _refuse_own(step: Step, row: Row, sales: dict[str, str], by: Person) -> None:
    """Two persons. Raises RequestRefused."""
    links = (step.tx.sales.active_link(sale) for sale in sales)
    linked = any(link is not None and link["by"] == by.name for link in links)
    if by.name in (row["attendant"], row["other"]) or linked:
        raise RequestRefused(
            f"this alert is about links of {by.name}: two persons must have looked at it",
            hint="another supervisor reviews it; head office has been told of it",
        )


def _carry(step: Step, sales: dict[str, str], verdict: Verdict) -> tuple[int, int]:
    """Let points go that no other alert holds, or hold them; returns how many of each."""
    released = held = 0
    for sale, effect in sales.items():
        if effect not in _HOLDING:
            continue
        if verdict is not Verdict.HARMLESS:
            held += holding.hold(step, sale)
        elif not watching.is_held(step, sale):
            released += holding.release(step, sale)
    return released, held


def _watch_noise(step: Step, rule: str) -> None:
    """Tell about a rule that nearly always cries wolf, and when it does no more."""
    fraud = step.settings.fraud
    tally = Tally(**step.tx.fraud.tally(rule))
    noisy = tally.is_noisy(fraud.noisy_reviews, fraud.noisy_pct)
    detail = f"{tally.confirmed} of {tally.reviewed} reviewed alerts of {rule} were confirmed: see [fraud]"
    alerting.device(step, f"fraud:{rule}", NOISY, standing=noisy, detail=detail)


def tell_thresholds(step: Step) -> None:
    """At the start: each threshold that is not what it was is audited, with the configuration that says so."""
    fraud = step.settings.fraud
    now: dict[str, Any] = {**asdict(fraud.limits()), "off": sorted(fraud.off)}
    stored = step.tx.memory.meta(THRESHOLDS)
    before = {**asdict(DEFAULTS), "off": []} if stored is None else json.loads(stored)
    changed = sorted(name for name in now if now[name] != before.get(name))
    for name in changed:
        reason = f"{before.get(name)} -> {now[name]}, configuration {step.settings.hash}"
        step.audit("agent", "agent", "fraud_threshold", name, reason=reason)
    if changed or stored is None:
        step.tx.memory.set_meta(THRESHOLDS, json.dumps(now, sort_keys=True))
