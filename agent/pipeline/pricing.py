"""The price table in the pipeline, and what takes effect when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.domain.instant import Now
from agent.pipeline import points, rulebook
from agent.pipeline.step import RequestRefused, Step
from agent.settings import Settings
from agent.store.store import Tx

CONFIGURATION = "configuration"
LOOK_EVERY_MS = 60_000
"""The tables are looked at this often even where nothing is expected."""


def at_start(tx: Tx, settings: Settings, now: Now) -> dict[str, int]:
    """Take prices of the configuration into the table where they are new there, and return what is in force."""
    for code, grade in settings.grade.items():
        key = f"configured_price:{code}"
        if tx.memory.meta(key) != str(grade.unit_price):
            tx.memory.set_meta(key, str(grade.unit_price))
            tx.memory.add_price(code, grade.unit_price, now.wall_ms, CONFIGURATION, "")
    prices = tx.memory.prices_at(now.wall_ms)
    return {code: prices.get(code, grade.unit_price) for code, grade in settings.grade.items()}


def refresh(step: Step) -> None:
    """Put prices and rules in force whose time has come; remember when to look again."""
    if step.now.wall_ms < step.memory.look_at_ms:
        return
    prices = {**step.memory.prices, **step.tx.memory.prices_at(step.now.wall_ms)}
    prices = {code: price for code, price in prices.items() if code in step.settings.grade}
    if prices != step.memory.prices:
        step.memory.prices = prices
        points.tell_prices(step)
    rulebook.activate_due(step)
    upcoming = [step.tx.memory.next_price_change(step.now.wall_ms), step.tx.memory.next_document(rulebook.KIND)]
    soonest = [moment for moment in upcoming if moment is not None and moment > step.now.wall_ms]
    step.memory.look_at_ms = min([step.now.wall_ms + LOOK_EVERY_MS, *soonest])


def set_price(step: Step, grade: str, unit_price_milli: int, effective_from_ms: int, person: str) -> dict[str, Any]:
    """``prices set``: a new unit price from an instant on, at once where that is past. Raises RequestRefused."""
    effective = max(effective_from_ms, step.now.wall_ms)
    return _put(step, grade, unit_price_milli, effective, _Source("person", person, "supervisor"))


def order_price(step: Step, grade: str, unit_price_milli: int, effective_from_ms: int, who: str) -> dict[str, Any]:
    """Head office orders a unit price from an instant on. It stands there even where that is past: orders that come
    late or in another order end at the same price, that of the latest instant. Raises RequestRefused.
    """
    return _put(step, grade, unit_price_milli, effective_from_ms, _Source("head-office", who, "head_office"))


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a price comes from, who wanted it, in which role."""

    name: str
    person: str
    role: str


def _put(step: Step, grade: str, unit_price_milli: int, effective: int, source: _Source) -> dict[str, Any]:
    if grade not in step.settings.grade:
        known = ", ".join(sorted(step.settings.grade))
        raise RequestRefused(f"there is no grade {grade!r}", hint=f"the grades are {known}", exit_code=2)
    if not 0 < unit_price_milli < 1_000_000:
        raise RequestRefused("a unit price lies between 0.001 and 999.999", hint='write it like "7.85"', exit_code=2)
    step.tx.memory.add_price(grade, unit_price_milli, effective, source.name, source.person)
    reason = f"{unit_price_milli} from {effective}"
    step.audit(source.person, source.role, "price_set", f"grade {grade}", reason=reason)
    step.memory.look_at_ms = 0
    refresh(step)
    return {"grade": grade, "unit_price_milli": unit_price_milli, "effective_from_ms": effective}
