"""The process dies while a price is held, a sale is paid, a refund is given or a lease comes and goes: nothing doubles."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.failpoints import SimulatedCrash, armed
from agent.pipeline import leasing
from agent.store.verify import verify
from tests.support import template
from tests.support.till import OFFERS, Till, lend, token

PASSED = {
    "lease.before_commit": (1, 3),
    "lease.after_commit": (2, 3),
    "quote.before_commit": (1, 2),
    "quote.after_commit": (2, 3),
    "tender.before_commit": (1,),
    "tender.after_commit": (1, 2, 3),
    "refund.before_commit": (1, 2),
    "store.inside_commit": (3, 4, 5, 6, 8, 9),
}
"""Every named step of the story below, and which of its passings is the last one."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a fresh database."""
    made = template.new_folder()
    template.copy_to(made)
    yield made
    shutil.rmtree(made)


def surviving(till: Till, act: Callable[[], Any]) -> Any:
    """Do it; whoever asked asks again after a crash."""
    while True:
        try:
            return act()
        except SimulatedCrash:
            till.restart()


def story(till: Till, first: str, second: str) -> None:
    """A sale is quoted, held, paid, refunded in part and voided; another one is paid; a lease goes back."""
    wish: dict[str, Any] = {"points": 2_000, "coupons": [token("C-1", "ten")]}
    acts: list[Callable[[], Any]] = [
        lambda: lend(till, "L1", "points", 3_000),
        lambda: lend(till, "B1", "budget", 700),
        lambda: till.quote(first, lock=True, **wish),
        lambda: till.settle(first),
        lambda: till.ask("sales.refund", sale=first, amount_minor=1_000, reason="spilled", request="r-1"),
        lambda: till.ask("sales.void", sale=first, reason="wrong pump", request="r-2"),
        lambda: till.quote(second, lock=True, coupons=["C-1"]),
        lambda: till.ask("sales.unlock", sale=second),
        lambda: till.settle(second, coupons=["C-1"]),
        lambda: till.do(lambda step: leasing.close_out(step, "B1")),
    ]
    for act in acts:
        surviving(till, act)


def facts(till: Till) -> dict[str, Any]:
    """What must be the same however often the process died."""
    questions = {
        "settlements": "SELECT net_minor, discount_minor, points_redeemed FROM settlement ORDER BY journal_seq",
        "leases": "SELECT id, spent, state FROM lease ORDER BY id",
        "coupons": "SELECT code, value_minor, used, returned_ms IS NULL AS stands FROM coupon_use ORDER BY at_ms",
        "points": "SELECT account, sum(points) AS points FROM posting GROUP BY account",
        "refunds": "SELECT what, count(*) AS n FROM correction GROUP BY what",
        "held": "SELECT * FROM held",
        "states": "SELECT state, voided, refunded_minor FROM sale ORDER BY id",
        "uses": "SELECT sum(uses) AS uses, sum(amount) AS amount FROM use_count",
        "records": "SELECT type, count(*) AS n FROM journal WHERE type <> 'fc.audit.v1' GROUP BY type",
    }
    return {name: till.rows(question) for name, question in questions.items()}


@pytest.mark.parametrize("name", PASSED)
def test_death_at_any_step_of_a_payment_doubles_and_loses_nothing(folder: Path, name: str) -> None:
    """Whatever passing of a step is the last, points, leases, coupons, money and counts end as without a crash."""
    ends = []
    for n in (None, *PASSED[name]):
        template.copy_to(folder)
        for left in folder.glob("station.db-*"):
            left.unlink()
        till = Till(folder)
        till.rules(*OFFERS)
        till.member(lots=[(5_230, None, "2026-09-30")])
        first, second = till.fuelled(), till.fuelled()
        if n is None:
            story(till, first, second)
        else:
            with armed(name, n):
                story(till, first, second)
            assert till.starts == 2, f"{name}:{n} was never passed"
        ends.append(facts(till))
        assert verify(till.store.path).findings == ()
        till.close()
    assert all(end == ends[0] for end in ends)
