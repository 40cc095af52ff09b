"""The worked sequences of linking, one test each, through the real pipeline and a real database: what readers and
handhelds are answered, and whose sale it is in the end.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from agent.clock import read
from agent.crypto import public_ed25519, sign_ed25519
from agent.domain import link_records as links
from agent.domain.codes import fm1, token
from agent.failpoints import SimulatedCrash, armed
from agent.inbox import FromLine
from agent.pipeline import scanning
from agent.store.verify import verify
from drivers.readings import CodeScan
from tests.support import template
from tests.support.head_office_says import key_set
from tests.support.till import EARN, MEMBER, OTHER, Till

PHONE = bytes(range(100, 132))
M1, M2 = MEMBER, OTHER
FIXED = "reader-1"
ISLAND_2 = "reader-2"
Answer = dict[str, Any]


class Island(Till):
    """A till whose readers and nozzles move: reader-1 and reader-2 each serve one point, handhelds all of them."""

    codes = 0

    def at(self, seconds: float) -> None:
        """It is so many seconds after the beginning of the sequence."""
        self.wait(self.began_s + seconds - self.clock.now_s)

    def begin(self) -> None:
        """The sequence begins now."""
        self.began_s = self.clock.now_s

    def fresh(self, member: str) -> str:
        """A code that a member's phone shows now, valid for 110 seconds."""
        self.codes += 1
        exp_s = self.clock.wall_ms() // 1000 + 110
        claims = token.Claims(token.EDDSA, b"\x01", int(member, 16), exp_s, self.codes.to_bytes(4, "big"))
        return fm1.issue(claims, partial(sign_ed25519, PHONE))

    def scan(self, text: str, reader: str = FIXED) -> Answer:
        """A reader sees a text; returns what it is answered."""
        before = len(self.pipeline._live.answers)
        self.pipeline.handle(FromLine(reader, CodeScan(reader, text), read(self.clock)))
        assert len(self.pipeline._live.answers) in (before + 1, before)  # the board keeps the newest ones only
        return dict(self.pipeline._live.answers[-1])

    def lift(self, point: int = 1) -> None:
        """The next nozzle is lifted."""
        self.do(lambda step: scanning.tell(step, links.NozzleLifted(point, 1, f"0:{1_000 + self.booked}")))

    def hang(self, point: int = 1) -> None:
        """It is hung, and nothing flowed."""
        self.do(lambda step: scanning.tell(step, links.HungZero(point, 1)))

    def fuel(self, litres: int = 20, point: int = 1) -> str:
        """A whole fuelling that ends now."""
        self.lift(point)
        return self.sale(litres * 1_000, point=point)

    def holder(self, sale: str) -> list[tuple[str, int]]:
        """(member, delay) of the active link of a sale."""
        rows = self.rows(
            "SELECT m.id, l.delay_s FROM link l JOIN member m ON m.ref = l.member_ref"
            f" WHERE l.sale = '{sale}' AND l.active = 1"
        )
        return [(row["id"], row["delay_s"]) for row in rows]

    def signs(self) -> list[str]:
        """The rules that saw something."""
        return sorted({row["rule"] for row in self.rows("SELECT rule FROM fraud_alert")})


@pytest.fixture
def island() -> Iterator[Island]:
    """A station with the keys of phone codes and two members; whatever happened, the books add up."""
    folder = template.new_folder()
    template.copy_to(folder)
    made = Island(folder)
    made.rules(EARN)
    made.member(M1, op=1, mask="张**", tier="gold")
    made.member(M2, op=2, mask="李*")
    made.pipeline.handle(key_set(1, ("01", public_ed25519(PHONE), "dynamic")))
    made.begin()
    yield made
    report = verify(made.store.path)
    made.close()
    shutil.rmtree(folder)
    assert report.findings == ()


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
    assert island.scan(code, "reader-roaming")["outcome"] == "CHOOSE_POINT"
    island.at(61)
    assert island.scan(code, "reader-roaming")["outcome"] == "REPLAYED"
    assert "R8" not in island.signs()
    assert island.scan(island.fresh(M1), "reader-roaming")["outcome"] == "CHOOSE_POINT"
    assert island.scan("FP:3", "reader-roaming")["outcome"] == "WAITING_FOR_NOZZLE"


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
