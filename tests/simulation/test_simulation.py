"""The simulation itself: one seed is one day, a failure can be replayed, and planted bugs are found."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from agent.domain import booking, point_reset
from agent.failpoints import SimulatedCrash
from agent.store.memory import MemoryTable
from headoffice import ingest
from sync.messages import Ack
from tests.simulation.day import run_day
from tests.simulation.days import DAYS, FIRST_SEED, lived
from tests.simulation.plan import draw, kinds
from tests.simulation.report import around_faults, story

WITHIN = 3
"""So many days with the right fault are enough to find a planted bug."""


def _seeds(kind: str) -> Iterator[int]:
    every = kinds()
    yield from (every.index(kind) + round_n * len(every) for round_n in range(WITHIN))


def _first_complaint(kind: str, invariant: str) -> str:
    for seed in _seeds(kind):
        day = run_day(seed)
        found = [complaint for complaint in day.complaints if complaint.startswith(invariant)]
        if found:
            return story(day)
    raise AssertionError(f"{WITHIN} days of {kind} went by and no {invariant} was broken")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["crash-loop", "broker-reorders"])
def test_the_same_seed_twice_is_the_same_day(kind: str) -> None:
    """Every event in order, and every byte journalled, are equal when a seed is lived through again."""
    seed = next(_seeds(kind))
    assert run_day(seed).digest == lived(seed).digest


def test_every_kind_of_fault_comes_in_the_days_of_a_run() -> None:
    """No kind of fault and no failpoint is left to luck; each day complains itself about what it drew and did not see."""
    seeds = range(FIRST_SEED, FIRST_SEED + max(DAYS, len(kinds())))
    drawn = {strike.kind for seed in seeds for strike in draw(seed).strikes}
    assert drawn == set(kinds())


def test_other_seeds_are_other_days() -> None:
    """The hash of events tells days apart."""
    assert lived(next(_seeds("kill"))).digest != lived(next(_seeds("crash-loop"))).digest


@pytest.mark.long
def test_a_day_is_the_same_in_another_process_with_another_hash_seed() -> None:
    """Nothing in a day hangs on the order of sets, and the replay command prints the hash."""
    seed = next(_seeds("power-cut"))
    replay = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seed", str(seed)],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert lived(seed).digest[:12] in replay.stdout


@pytest.mark.long
def test_a_sale_without_a_display_that_is_not_booked_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: where the pump lost its display the totalizer is not asked. Litres go missing."""
    honest = booking._decide

    def careless(case: Any) -> booking.Comparison:
        if case.held_ml == 0:
            return booking.Comparison(booking.Verdict.NOTHING, case.meter_after())
        return honest(case)

    monkeypatch.setattr(booking, "_decide", careless)
    told = _first_complaint("pump-restart", "I1")
    assert "python -m tests.simulation --seed" in told


@pytest.mark.long
def test_a_sale_over_a_replaced_meter_that_is_not_kept_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: only a base is laid when the meter is confirmed. A gap record alone excuses no missing fuelling."""
    honest = point_reset.follow

    def careless(*args: Any) -> point_reset.Followed:
        followed = honest(*args)
        return replace(followed, reset=replace(followed.reset, sales=()))

    monkeypatch.setattr("agent.domain.point_account.follow", careless)
    assert _first_complaint("meter-replaced", "I1")


def test_an_end_total_outside_the_sales_transaction_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a sale is committed and its end total is not. The restart would book it twice, and never gets up again."""
    honest = MemoryTable.save_point

    def careless(self: MemoryTable, number: int, memory: Any) -> None:
        if memory.get("open") is not None:
            honest(self, number, memory)

    monkeypatch.setattr(MemoryTable, "save_point", careless)
    assert _first_complaint("crash:sale.after_commit", "the day broke")


@pytest.mark.long
def test_an_ack_before_the_commit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: head office acknowledges a batch whose transaction dies. The station believes it is delivered."""
    honest_take, honest = ingest._take, ingest.ingest
    said: list[Ack] = []

    def take(*args: Any) -> Ack:
        said.append(honest_take(*args))
        return said[-1]

    def careless(*args: Any) -> Ack | None:
        try:
            return honest(*args)
        except SimulatedCrash:
            return said[-1]

    monkeypatch.setattr(ingest, "_take", take)
    monkeypatch.setattr("tests.support.virtual_link.ingest", careless)
    assert _first_complaint("crash:hq.before_commit", "")


@pytest.mark.long
def test_a_record_acknowledged_and_not_stored_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: head office keeps the hash of every tenth record and not the record."""
    honest = ingest.keep

    def careless(connection: Any, arrival: Any) -> tuple[str, Any]:
        return ("fact", None) if arrival.record.seq % 10 == 0 else honest(connection, arrival)

    monkeypatch.setattr(ingest, "keep", careless)
    assert _first_complaint("kill", "I3")


def test_a_failure_shows_the_events_around_its_faults() -> None:
    """Who replays a day reads what happened before and after each fault, not ten thousand polls."""
    day = run_day(next(_seeds("kill")), kept=None)
    shown = around_faults(day)
    assert any("fault: kill" in text for text in shown)
    assert any("the agent dies: killed" in text for text in shown)
    assert len(shown) < len(day.lines)
