"""The ledger against the model: the same history of sales, refunds, days and reviews leaves the same lots and accounts."""

from __future__ import annotations

from hypothesis import given, settings

from tests.support.examples import tries
from tests.support.loyalty_cases import dice
from tests.support.loyalty_life import History


@given(dice())
@settings(max_examples=tries(500))
def test_any_history_leaves_the_lots_and_accounts_of_the_model(roll):
    """Sales, partial refunds, expiry, waiting and reviews move the same points of the same lots as the model says."""
    History(roll).live(16)
