"""A quote that is stored is read back as it was told; head office's lots are read into lots that can be spent."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import date
from typing import Any

import pytest

from agent.domain.holdings import HEAD_OFFICE, base_lots
from agent.domain.ledger import Lot
from agent.domain.member import UseCount, UseWindow
from agent.domain.quoted import QuoteDamaged, from_plain, to_plain
from agent.domain.rules.facts import BudgetView, CampaignBudget, Presented, PresentedCoupon, SaleFacts, SaleLine
from agent.domain.rules.verdict import Evaluation
from tests.support.loyalty import EARN, SALE, SHANGHAI, member, rules, run, sale
from tests.support.till import CAMPAIGN, PAY, TEN

RULES = rules(*EARN, PAY, CAMPAIGN, TEN, {"id": "litre", "kind": "PER_LITRE", "off_milli": 150})


def told() -> Evaluation:
    """A quote with everything in it: lines, coupon, points, budget, counts, a member with tags and uses."""
    coupon = PresentedCoupon("C-1", "ten", member().member, date(2026, 12, 31), balance_minor=900, station="SH-0421")
    line = SaleLine("92", "petrol", 38_217, 7_850, 30_000, 10)
    facts = SaleFacts(SALE, "SH-0421", "CNY", 2, (line,), Presented("fm1_dynamic", points=5_230, coupons=(coupon,)))
    who = member(tier="gold", tags=frozenset({"b", "a"}), uses=(UseCount("litre", UseWindow.LIFE, "life", 1, 99),))
    view = BudgetView((CampaignBudget("autumn", "B1", 700),), 5_230)
    return run(RULES, facts, who, budgets=view)


@pytest.mark.parametrize("evaluation", [told(), run(RULES, sale(), None)])
def test_a_stored_quote_is_the_quote(evaluation: Evaluation) -> None:
    """Through JSON and back every field is equal: verdicts, exact fractions, days, sets, counts."""
    stored = json.loads(json.dumps(to_plain(evaluation)))
    assert from_plain(stored, RULES, SHANGHAI) == evaluation
    assert {entry.name for entry in fields(Evaluation)} - set(stored) == {"rules"}


@pytest.mark.parametrize(
    "damage",
    [
        {"net_minor": "12"},
        {"net_minor": None},
        {"sale": {}},
        {"earned": [["x"]]},
        {"instant": {"unix_ms": 1}},
        {"verdicts": [{"offer": "x"}]},
    ],
)
def test_a_quote_that_cannot_be_read_is_never_guessed(damage: dict[str, Any]) -> None:
    """A missing or foreign value is refused as a whole."""
    with pytest.raises(QuoteDamaged):
        from_plain({**to_plain(told()), **damage}, RULES, SHANGHAI)


def test_lots_of_head_office_are_spent_by_their_own_dates() -> None:
    """Equal dates are one lot, a lot with a name keeps it, and one whose dates make no sense waits for ever."""
    lots = base_lots(
        [
            [10, None, "2026-09-30"],
            [5, None, "2026-09-30"],
            [7, "2026-01-05T06:00:00.000Z", None],
            [3, None, "2026-09-30", "sale-1"],
            [2, "soon", None],
            [1, "2026-01-05T06:00:00", None],
            [0, None, None],
            [-4, None, None],
        ]
    )
    assert lots == (
        Lot("base:2026-09-30", 15, 0, 0, date(2026, 9, 30), HEAD_OFFICE),
        Lot("base:never:2026-01-05T06:00:00.000Z", 7, 0, 1_767_592_800_000, None, HEAD_OFFICE),
        Lot("sale-1", 3, 0, 0, date(2026, 9, 30), HEAD_OFFICE),
        Lot("base:never:soon", 2, 0, None, None, HEAD_OFFICE),
        Lot("base:never:2026-01-05T06:00:00", 1, 0, None, None, HEAD_OFFICE),
    )
