"""A station that head office takes for a copy: it sells and earns, and redeems nothing until a person lifts the fence."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.inbox import FromHeadOffice
from sync import ports
from sync.messages import STREAMS, StreamWelcome, Welcome
from tests.support.till import Till, asked, lend, loyal_till, token


@pytest.fixture
def till() -> Iterator[Till]:
    yield from loyal_till()


def welcome(till: Till, *, fenced: bool) -> None:
    """Head office's word on the fence."""
    nothing = {name: StreamWelcome(0, bytes(32), False) for name in STREAMS}
    told = Welcome("a" * 32, 1, till.store.incarnation, "2026-11-21T08:00:00.000Z", nothing, fenced=fenced)
    till.pipeline.handle(FromHeadOffice(ports.WelcomeSeen(told)))


def alerts(till: Till) -> list[str]:
    """What stands."""
    return [row["name"] for row in till.rows("SELECT name FROM alert WHERE cleared_ms IS NULL")]


def test_a_fenced_station_earns_and_redeems_nothing(till: Till) -> None:
    """[W-33] Points, budgets and coupons are refused with a word for the customer; the sale and its points go on."""
    lend(till, "P1", "points", 400)
    lend(till, "B1", "budget", 5_000)
    welcome(till, fenced=True)
    sale = till.fuelled()
    answer = till.quote(sale, points=400)
    assert asked(answer) == [("REJECTED", "BALANCE_STALE", 0)]
    assert answer["discount_minor"] == 0, "the campaign's budget is not touched"
    refused = till.settle(sale, coupons=[token("C1", "ten")])
    assert "no coupons now" in refused["error"]
    assert till.settle(sale)["points_earned"] > 0
    assert alerts(till) == ["FENCED"]
    assert [entry["alert"] for entry in till.records("fc.sync.alert.v1")] == ["FENCED"]


def test_a_price_held_with_points_is_let_go_when_the_fence_comes(till: Till) -> None:
    """[W-33] What was promised and not yet paid is not redeemed; a held price without points stands."""
    lend(till, "P1", "points", 400)
    with_points, without = till.fuelled(), till.fuelled()
    assert till.quote(with_points, points=400, lock=True)["points_redeemed"] == 400
    till.quote(without, lock=True)
    welcome(till, fenced=True)
    till.wait(1)
    assert [row["sale"] for row in till.rows("SELECT sale FROM quote")] == [without]
    assert till.settle(with_points, points=400, accept=True)["points_redeemed"] == 0


def test_the_fence_outlives_a_restart_and_a_new_incarnation(till: Till) -> None:
    """[W-33] Only a welcome that says otherwise lifts it, once; leases of this incarnation are worth something again."""
    welcome(till, fenced=True)
    till.restart()
    till.reborn()
    welcome(till, fenced=True)
    lend(till, "P1", "points", 400)
    sale = till.fuelled()
    assert till.quote(sale, points=400)["points_redeemed"] == 0
    welcome(till, fenced=False)
    assert till.quote(sale, points=400)["points_redeemed"] == 400
    assert alerts(till) == []
    actions = [entry["action"] for entry in till.records("fc.audit.v1") if "fence" in entry["action"]]
    assert list(dict.fromkeys(actions)) == ["fenced", "fence_lifted"]
