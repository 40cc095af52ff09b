"""Who a sale belongs to and who works on it, asked by people at the computer, by handhelds and by head office."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from agent.domain.identity import AuthLevel
from agent.pipeline import relinking, scanning
from tests.support.head_office_says import INDEX_KEY
from tests.support.island import FIXED, M1, M2, ROAMING, Island, open_island


@pytest.fixture
def island() -> Iterator[Island]:
    """A station with two members and codes of both."""
    yield from open_island()


def link(island: Island, sale: str, member: str, **more: Any) -> dict[str, Any]:
    """``sales link --code``, by an attendant where nothing else is said."""
    asked = {"role": "attendant", "person": "li", **more}
    answer = island.ask("sales.link", sale=sale, code=island.fresh(member), **asked)
    return dict(answer["data"]) if answer["ok"] else answer


def refused(answer: dict[str, Any]) -> str:
    """The outcome that a person reads first."""
    return str(answer["error"]).split(":")[0]


def test_a_person_links_and_changes_by_the_members_code(island: Island) -> None:
    """--code links as a scan does; the same person changes within three minutes and gives a reason of the list."""
    sale = island.fuel()
    assert link(island, sale, M1)["outcome"] == "LINKED"
    assert refused(link(island, sale, M2)) == "REASON_MISSING"
    assert refused(link(island, sale, M2, reason="he said so")) == "REASON_MISSING"
    assert refused(link(island, sale, M2, reason="wrong_member", person="wang")) == "NOT_ALLOWED"
    assert link(island, sale, M2, reason="wrong_member")["outcome"] == "CORRECTED"
    assert island.holder(sale) == [(M2, 0)]
    island.at(181)
    assert refused(link(island, sale, M1, reason="wrong_member")) == "TOO_LATE"


def test_a_code_is_used_once_at_the_computer_too(island: Island) -> None:
    """What a reader has seen is refused at the command line, and a text that is no code ends with 2."""
    sale, code = island.fuel(), island.fresh(M1)
    island.scan(code, ROAMING)
    again = island.ask("sales.link", sale=sale, code=code)
    assert (refused(again), again["exit"]) == ("REPLAYED", 1)
    for text in ("", "hello", "x" * 2_000):
        assert island.ask("sales.link", sale=sale, code=text)["exit"] == 2
    assert island.holder(sale) == []


def test_the_third_correction_is_head_offices(island: Island) -> None:
    """Two changes at the station, then a signed command; each is a record of its own."""
    sale = island.fuel()
    link(island, sale, M1)
    for member in (M2, M1):
        assert link(island, sale, member, role="supervisor", reason="receipt 12")["outcome"] == "CORRECTED"
    assert refused(link(island, sale, M2, role="supervisor", reason="receipt 12")) == "CORRECTION_LIMIT"
    ordered = island.do(lambda step: relinking.by_head_office(step, sale, M2, "claim 4711"))
    assert ordered["outcome"] == "CORRECTED"
    roles = [record["role"] for record in island.records("fc.sale.corrected.v1")]
    assert roles == ["supervisor", "supervisor", "head_office"]


def test_head_office_links_a_sale_of_nobody_and_takes_a_link_off_at_any_time(island: Island) -> None:
    """Days later, and for a member whom this station has never seen."""
    sale = island.fuel()
    island.settle(sale)
    island.at(3 * 86_400)
    stranger = "00000000000000bb"
    island.do(lambda step: relinking.by_head_office(step, sale, stranger, "claim 1"))
    assert [member for member, _ in island.holder(sale)] == [stranger]
    island.do(lambda step: relinking.by_head_office(step, sale, None, "claim 2"))
    assert island.holder(sale) == []
    assert island.one("SELECT sum(points) FROM posting WHERE member_ref IS NOT NULL") == 0


def test_a_corrected_settled_sale_waits_as_its_new_code_is_worth(island: Island) -> None:
    """The points go back and come again with the terms of the code that was scanned for the change."""
    sale = island.fuel()
    island.link(sale, M1, AuthLevel.NUMBER)
    island.settle(sale)
    island.at(60)
    assert link(island, sale, M2, role="supervisor", reason="receipt 5")["outcome"] == "CORRECTED"
    (lot,) = island.rows(
        "SELECT l.usable_from_ms - s.ended_ms AS waits FROM lot l JOIN sale s ON s.id = l.id"
        f" JOIN member m ON m.ref = l.member_ref WHERE m.id = '{M2}'"
    )
    assert lot["waits"] == 24 * 3_600_000
    sums = island.rows(
        "SELECT m.id, sum(p.points) AS points FROM posting p JOIN member m ON m.ref = p.member_ref GROUP BY 1"
    )
    assert {row["id"]: row["points"] for row in sums} == {M1: 0, M2: 157}


def test_claims_at_the_computer_keep_others_off_and_a_supervisor_lets_go(island: Island) -> None:
    """Claim, refusal with the terminal's name, release by force; the record says who took it from whom."""
    sale = island.fuel()
    assert island.ask("sales.claim", sale=sale, terminal="H07", role="attendant")["data"]["terminal"] == "H07"
    assert island.ask("sales.claim", sale=sale, role="attendant")["error"] == "IN_USE: In use at H07"
    assert refused(link(island, sale, M1)) == "IN_USE"
    assert not island.ask("sales.release", sale=sale, force=True, role="attendant")["ok"]
    assert island.ask("sales.release", sale=sale, force=True)["data"]["outcome"] == "RELEASED"
    assert link(island, sale, M1)["outcome"] == "LINKED"
    assert "release_claim" in [record["action"] for record in island.records("fc.audit.v1")]
    assert island.ask("sales.claim", sale=sale, terminal="no terminal")["exit"] == 2


def test_a_claim_survives_a_restart_and_dies_by_time(island: Island) -> None:
    """The rest of its time goes on, also where the clock has gone back in between."""
    sale = island.fuel()
    island.ask("sales.claim", sale=sale, terminal="H07")
    island.restart(60)
    assert island.rows("SELECT terminal, person FROM claim") == [{"terminal": "H07", "person": "wang"}]
    assert refused(island.ask("sales.claim", sale=sale)) == "IN_USE"
    island.clock.offset_ms = -3_600_000
    island.restart()
    island.wait(121)
    assert island.rows("SELECT * FROM claim") == []
    assert island.ask("sales.claim", sale=sale)["ok"]


def test_a_price_held_at_a_terminal_keeps_scans_elsewhere_off(island: Island) -> None:
    """Being paid at H07: a scan at the reader reads that, one at H07 earns; unlocked, the claim is timed again."""
    sale = island.fuel()
    island.ask("sales.claim", sale=sale, terminal="H08")
    assert "in use at H08" in island.quote(sale, lock=True, terminal="H07")["error"]
    island.ask("sales.release", sale=sale, terminal="H08")
    island.quote(sale, lock=True, terminal="H07")
    answer = island.scan(island.fresh(M1), FIXED)
    assert (answer["outcome"], answer["message"]) == ("BEING_PAID", "This sale is being paid: H07")
    assert island.rows("SELECT until_ms FROM claim") == [{"until_ms": None}]
    scan = scanning.TerminalScan(island.do(lambda step: step.new_id()), "H07", None, island.fresh(M1), sale=sale)
    assert island.do(lambda step: scanning.from_terminal(step, scan, INDEX_KEY))["outcome"] == "LINKED_AFTER_LOCK"
    island.ask("sales.unlock", sale=sale)
    assert island.rows("SELECT until_ms FROM claim") != [{"until_ms": None}]


def test_tiles_tell_one_car_from_another_and_who_works_on_it(island: Island) -> None:
    """Point, grade, litres, amount, seconds since hang-up, newest first; of a member nothing but mask and tier."""
    first = island.fuel(10, point=3)
    island.at(30)
    second = island.fuel(20, point=4)
    island.ask("sales.claim", sale=first, terminal="H07")
    answer = island.scan(island.fresh(M1), ROAMING)
    assert answer["member"] == {"mask": "张**", "tier": "gold"}
    keys = ("sale", "fuelling_point", "grade", "volume_ml", "amount_minor", "age_s", "claimed_by")
    assert [tuple(tile[key] for key in keys) for tile in answer["choices"]] == [
        (second, 4, "92", 20_000, 15_700, 0, None),
        (first, 3, "92", 10_000, 7_850, 30, "H07"),
    ]


def test_what_a_scan_was_is_kept_without_its_text(island: Island) -> None:
    """Reader, outcome, level, member, sale; a link names its scan."""
    sale = island.fuel()
    island.scan(island.fresh(M1), FIXED)
    (event,) = island.rows("SELECT id, reader, outcome, level, sale, attendant, clock_suspect FROM scan_event")
    assert (event["reader"], event["outcome"], event["level"], event["sale"]) == (FIXED, "LINKED", "fm1_dynamic", sale)
    assert island.one("SELECT scan FROM link") == event["id"]


def test_a_person_of_the_list_signs_with_the_own_pin(island: Island) -> None:
    """Who linked is then the person of the list; a wrong PIN changes nothing and counts."""
    assert island.ask("staff.add", staff="s1", name="Sun", pin="482915")["ok"]
    sale, signed = island.fuel(), {"staff": "s1", "pin": "482915", "reason": "wrong_member"}
    link(island, sale, M1, **signed)
    assert island.one("SELECT by FROM link") == "s1"
    assert "PIN" in link(island, sale, M2, **{**signed, "pin": "111222"})["error"]
    assert "PIN" in link(island, sale, M2, staff="s1", reason="wrong_member")["error"]
    assert refused(link(island, sale, M2, reason="wrong_member")) == "NOT_ALLOWED"
    assert link(island, sale, M2, **signed)["outcome"] == "CORRECTED"
