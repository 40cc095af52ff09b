"""Points of a sale that is settled already: held for a review, let go after it, or made to wait longer.

Money is never touched, and what was spent meanwhile stays spent. Knows no rule: the caller says why.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent.domain import ledger, once, settlement
from agent.pipeline import limits, rulebook, settling, wallets
from agent.pipeline.step import Step
from agent.store.sales import Row


def hold(step: Step, sale: str) -> int:
    """Hold what is left of the points of a settled sale; returns how many. Of an unsettled one nothing: it will be."""
    found = _lot(step, sale)
    if found is None or found[1].usable_from_ms is None:
        return 0
    holder, lot = found
    held, postings = ledger.hold_back(holder["member"], lot)
    _record(step, holder, held, postings, once.held_fact(_times_held(step, sale) + 1))
    return lot.points


def release(step: Step, sale: str) -> int:
    """Let held points of a settled sale go, usable when they would have been; returns how many."""
    found = _lot(step, sale)
    if found is None or found[1].usable_from_ms is not None:
        return 0
    holder, lot = found
    freed, postings = ledger.release(holder["member"], lot, _usable_from(step, sale, weak=False))
    _record(step, holder, freed, postings, once.released_fact(_times_held(step, sale)))
    return lot.points


def postpone(step: Step, sale: str) -> None:
    """Let the points of a settled sale wait as long as those of a weak link, where they would be usable before."""
    found = _lot(step, sale)
    if found is None:
        return
    holder, lot = found
    later_ms = _usable_from(step, sale, weak=True)
    if lot.usable_from_ms is not None and lot.usable_from_ms < later_ms:
        _record(step, holder, replace(lot, usable_from_ms=later_ms), (), "")


def _lot(step: Step, sale: str) -> tuple[Row, ledger.Lot] | None:
    """Return who holds the points of a sale and what is left of its lot, ``None`` where nothing is."""
    holder = step.tx.sales.holder(sale)
    if holder is None:
        return None
    lots = wallets.lots_of(step, holder["member_ref"])
    return next(((holder, lot) for lot in lots if lot.id == sale and lot.points > 0), None)


def _usable_from(step: Step, sale: str, *, weak: bool) -> int:
    row, settled = step.tx.sales.row(sale), step.tx.sales.settlement(sale)
    assert row is not None
    assert settled is not None, "who holds points holds those of a settled sale"
    program = rulebook.of_version(step, settled["rule_version"]).program
    hours = program.pending_weak_hours if weak else program.pending_hours
    return int(row["ended_ms"]) + max(hours * settlement.HOUR_MS, limits.least_ms(step, weak=weak))


def _times_held(step: Step, sale: str) -> int:
    facts = {str(row["rule"]) for row in step.tx.sales.postings_of(sale)}
    return sum(1 for fact in facts if fact.startswith("held:"))


def _record(step: Step, holder: Row, lot: ledger.Lot, postings: tuple[ledger.Posting, ...], fact: str) -> None:
    data: dict[str, Any] = {
        "member": holder["member"],
        "why": "adjust",
        "postings": settlement.posting_records(postings),
        "lots": [settling.lot_record(lot)],
    }
    written = step.journal("fc.points.v1", data)
    settling.post(step, written, holder["sale"], postings, fact)
    step.tx.sales.set_usable_from(lot.id, holder["member_ref"], lot.usable_from_ms)
