"""The worked sequences of linking, one test each, through the real pipeline and a real database: what readers and
handhelds are answered, and whose sale it is in the end.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.failpoints import SimulatedCrash, armed
from agent.pipeline import scanning
from tests.support.island import FIXED, ISLAND_2, M1, M2, ROAMING, Island, open_island


@pytest.fixture
def island() -> Iterator[Island]:
    """A station with two members and codes of both."""
    yield from open_island()


def test_1_scan_then_fuel(island: Island) -> None:
    """Scan M1 at the reader of the point, lift 40 s later, 38.217 L, hang: linked at completion with delay 0."""
    assert island.scan(island.fresh(M1))["outcome"] == "WAITING_FOR_NOZZLE"
    island.at(40)
    island.lift()
    island.at(100)
    sale = island.sale(38_220)
    assert island.holder(sale) == [(M1, 0)]


def test_2_no_lift_for_180_seconds(island: Island) -> None:
    """Lifted at 181 s the sale is nobody's; a fresh code links it within its 600 s."""
    island.scan(island.fresh(M1))
    island.at(181)
    sale = island.fuel()
    assert island.holder(sale) == []
    island.at(240)
    assert island.scan(island.fresh(M1))["outcome"] == "LINKED"
    assert island.holder(sale) == [(M1, 59)]


def test_3_fuel_then_scan(island: Island) -> None:
    """Scan at +95 s with one unpaid sale: linked, delay 95."""
    sale = island.fuel()
    island.at(95)
    answer = island.scan(island.fresh(M1))
    assert (answer["outcome"], answer["message"]) == ("LINKED", "Point 1 linked: 张** gold")
    assert island.holder(sale) == [(M1, 95)]


def test_4_hung_at_zero_and_lifted_again(island: Island) -> None:
    """The link waits for the fuelling that gives fuel."""
    island.scan(island.fresh(M1))
    island.at(10)
    island.lift()
    island.at(15)
    island.hang()
    island.at(35)
    assert island.holder(island.fuel(10)) == [(M1, 0)]


def test_5_the_wrong_member_is_changed(island: Island) -> None:
    """M2 for M1's sale is ALREADY_LINKED; changed within 180 s the points move, and the change is on record."""
    sale = island.fuel()
    island.scan(island.fresh(M1))
    refused = island.scan(island.fresh(M2))
    assert (refused["outcome"], refused["message"]) == ("ALREADY_LINKED", "Already linked to 张**")
    island.at(179)
    wrong = scanning.TerminalScan(island.do(lambda step: step.new_id()), FIXED, None, island.fresh(M2), sale=sale)
    changed = island.do(lambda step: scanning.changed(step, wrong, "wrong_member", b"k" * 32))
    assert changed["outcome"] == "CORRECTED"
    assert island.holder(sale) == [(M2, 179)]
    (record,) = island.records("fc.sale.corrected.v1")
    assert (record["old"], record["new"], record["reason"], record["delay_s"]) == (
        {"member": M1},
        {"member": M2},
        "wrong_member",
        179,
    )
    settled = island.settle(sale)
    assert (settled["member"], settled["points_earned"]) == (M2, 157)


def test_6_an_older_sale_is_no_candidate_once_a_newer_one_is_paid(island: Island) -> None:
    """14:00 unpaid, 14:06 paid, scan at 14:08: it waits for the next fuelling; the supervisor may link the old one."""
    old = island.fuel()
    island.at(360)
    island.settle(island.fuel())
    island.at(480)
    assert island.scan(island.fresh(M1))["outcome"] == "WAITING_FOR_NOZZLE"
    code = island.fresh(M2)
    assert "SALE_GONE" in island.ask("sales.link", role="attendant", person="li", sale=old, code=code)["error"]
    late = island.ask("sales.link", sale=old, code=code, reason="receipt 4711")
    assert late["data"]["outcome"] == "LINKED"
    assert island.holder(old) == [(M2, 480)]


def test_7_two_handhelds_tap_one_tile(island: Island) -> None:
    """The first claims, the second reads where the sale is in use, also after a restart."""
    sale = island.fuel()
    assert island.do(lambda step: scanning.chosen(step, "H07", "A1", sale=sale))["outcome"] == "SCAN_NOW"
    island.restart(20)
    second = island.do(lambda step: scanning.chosen(step, "H08", "A2", sale=sale))
    assert (second["outcome"], second["tone"], second["message"]) == ("IN_USE", "bad", "In use at H07")


def test_8_killed_between_commit_and_answer(island: Island) -> None:
    """The same code again gets the first answer as a repeat, and there is one link."""
    sale = island.fuel()
    code = island.fresh(M1)
    with armed("link.after_commit", 1), pytest.raises(SimulatedCrash):
        island.scan(code)
    island.restart(3)
    again = island.scan(code)
    assert (again["outcome"], again["repeat"]) == ("REPEAT", True)
    assert island.holder(sale) == [(M1, 0)]


def test_9_a_scan_while_the_sale_is_being_paid(island: Island) -> None:
    """It earns and only earns: what was told to the customer is what is paid."""
    sale = island.fuel()
    net_minor = island.quote(sale, lock=True)["net_minor"]
    island.at(20)
    assert island.scan(island.fresh(M1))["outcome"] == "LINKED_AFTER_LOCK"
    settled = island.settle(sale)
    assert (settled["net_minor"], settled["discount_minor"]) == (net_minor, 0)
    assert island.one("SELECT sum(points) FROM posting WHERE account = 'member:available'") == 157


def test_10_one_member_with_two_cars(island: Island) -> None:
    """Two fresh codes at two points make two links; R1 takes note and nothing stops."""
    for point, reader in ((1, FIXED), (2, ISLAND_2)):
        assert island.scan(island.fresh(M1), reader)["outcome"] == "WAITING_FOR_NOZZLE"
        island.lift(point)
        island.at(point * 30)
        assert island.holder(island.sale(20_000, point=point)) == [(M1, 0)]
    assert island.signs() == ["R1"]
    assert island.rows("SELECT * FROM alert") == []


def test_11_a_code_that_ran_out_unused(island: Island) -> None:
    """Refused as used when it is shown again, with no R8; a fresh code links."""
    code = island.fresh(M1)
    assert island.scan(code, ROAMING)["outcome"] == "CHOOSE_POINT"
    island.at(61)
    assert island.scan(code, ROAMING)["outcome"] == "REPLAYED"
    assert "R8" not in island.signs()
    assert island.scan(island.fresh(M1), ROAMING)["outcome"] == "CHOOSE_POINT"
    assert island.scan("FP:3", ROAMING)["outcome"] == "WAITING_FOR_NOZZLE"


def test_12_a_refund_of_a_linked_sale(island: Island) -> None:
    """Its points are taken back in the same transaction, and R11 takes note."""
    sale = island.fuel()
    island.scan(island.fresh(M1))
    island.settle(sale)
    assert island.ask("sales.void", sale=sale, reason="wrong nozzle")["ok"]
    assert island.one("SELECT sum(points) FROM posting WHERE member_ref IS NOT NULL") == 0
    (record,) = island.records("fc.sale.corrected.v1")
    assert sum(leg["points"] for leg in record["postings"] if leg["account"].startswith("member:")) == -157
    assert "R11" in island.signs()
