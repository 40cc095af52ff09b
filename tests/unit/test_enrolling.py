"""Members are enrolled and found by phone at the pump: once each, offline, and never by a number that is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from agent.domain.identity import AuthLevel, IndexKind, blind_index
from agent.failpoints import SimulatedCrash, armed
from agent.store.member_queries import MemberQueries
from agent.store.verify import verify
from sync.sealing import new_sealing_key, open_sealed
from sync.signing import PinnedKeys, public_jwks
from tests.support import template
from tests.support.head_office_says import INDEX_KEY
from tests.support.till import EARN, MEMBER, SOME_KEY, Till

PHONE, OTHER_PHONE, MASK = "13812345678", "19912345678", "138****5678"
CONTACT = new_sealing_key("contact-1")
WELCOME = {"id": "welcome", "kind": "BONUS_POINTS", "points": 200, "when": {"first_fill": True}}
FIRST = {"id": "first", "kind": "AMOUNT_OFF", "off_minor": 1_000, "when": {"first_fill": True}}


@pytest.fixture
def till() -> Iterator[Till]:
    """A till that earns and welcomes, with head office's keys; verify finds nothing afterwards, and no number."""
    folder = template.new_folder()
    template.copy_to(folder)
    till = Till(folder, pinned=PinnedKeys.from_jwks(public_jwks(SOME_KEY, CONTACT)))
    till.rules(EARN, WELCOME, FIRST)
    yield till
    report = verify(till.store.path)
    till.close()
    written = b"".join(path.read_bytes() for path in folder.glob("station.db*"))
    shutil.rmtree(folder)
    assert report.findings == ()
    assert not [number for number in (PHONE, OTHER_PHONE) if number[3:].encode() in written]


def enrol(till: Till, phone: str = PHONE, *, person: str = "wang", **more: Any) -> dict[str, Any]:
    """Enrol as an attendant; the data of the answer, or the refusal."""
    answer = till.ask("members.enrol", role="attendant", person=person, phone=phone, **more)
    return dict(answer["data"]) if answer["ok"] else answer


def test_a_new_member_earns_at_once_with_the_welcome_offline(till: Till) -> None:
    """Keyed in at the pump, the member's own sale gives points, welcome and first-fill discount before any sync."""
    sale = till.sale(20_000)
    told = enrol(till, sale=sale[:20])
    assert (told["outcome"], told["message"]) == ("ENROLLED", f"Enrolled {MASK}: points from this fill on")
    assert (told["member"], told["link"]["sale"]) == ({"mask": MASK, "tier": None}, sale)
    settled = till.settle(sale)
    assert (settled["discount_minor"], settled["points_earned"]) == (1_000, 147 + 200)
    assert till.settle(till.fuelled(member=told["member_id"]))["points_earned"] == 157


def test_the_record_tells_indexes_and_mask_and_the_number_to_head_office_alone(till: Till) -> None:
    """fc.member.enrolled.v1 holds keyed indexes, the mask, and the number sealed to head office's key."""
    told = enrol(till, plate="粤b 12345")
    (record,) = till.records("fc.member.enrolled.v1")
    assert record["member"] == told["member_id"]
    assert record["indexes"] == [blind_index(INDEX_KEY, IndexKind.PHONE, "+86" + PHONE).hex()]
    assert record["plate_index"] == blind_index(INDEX_KEY, IndexKind.PLATE, "粤B12345").hex()
    assert (record["mask"], record["by"], record["welcome"]) == (MASK, "wang", True)
    assert open_sealed(record["contact"], CONTACT) == "+86" + PHONE
    assert told["contact"] is True


def test_without_a_key_of_head_office_nobody_gets_the_number(till: Till) -> None:
    """A station that cannot seal says so and sends no contact: the number is forgotten."""
    till.pinned = PinnedKeys.from_jwks(public_jwks(SOME_KEY))
    till.restart()
    assert enrol(till)["contact"] is False
    assert till.records("fc.member.enrolled.v1")[0]["contact"] is None


def test_the_same_phone_or_request_again_is_the_same_member(till: Till) -> None:
    """Said again by request the first answer comes; by phone, in any writing, "already a member" with the mask."""
    first = enrol(till, request="h07-1")
    again = enrol(till, request="h07-1")
    other = enrol(till, "+86 138-1234-5678", request="h07-2")
    assert (again["outcome"], again["repeat"], other["outcome"]) == ("ENROLLED", True, "ALREADY_MEMBER")
    assert {first["member_id"], again["member_id"], other["member_id"]} == {first["member_id"]}
    assert len(till.records("fc.member.enrolled.v1")) == 1


def test_a_member_of_head_office_is_recognised(till: Till) -> None:
    """Nobody is enrolled twice: the cache knows the phone by its index."""
    digest = blind_index(INDEX_KEY, IndexKind.PHONE, "+86" + PHONE).hex()
    till.member(indexes=[digest], mask="张** 138****5678", tier="gold")
    told = enrol(till)
    assert (told["outcome"], told["member_id"], told["member"]["tier"]) == ("ALREADY_MEMBER", MEMBER, "gold")
    assert till.records("fc.member.enrolled.v1") == []


def test_what_is_no_number_is_refused_with_nothing_written(till: Till) -> None:
    """A land line, a plate of three signs: a refusal with what to do, exit code 2, and no trace."""
    before = till.rows("SELECT count(*) FROM journal")
    for wanted in ({"phone": "02081234567"}, {"phone": ""}, {"phone": PHONE, "plate": "粤B1"}):
        answer = till.ask("members.enrol", role="attendant", **wanted)
        assert (answer["ok"], answer["exit"]) == (False, 2)
        assert PHONE not in json.dumps(answer)
    assert till.rows("SELECT count(*) FROM journal") == before


def test_an_enrolment_stands_where_its_sale_cannot_be_linked(till: Till) -> None:
    """The sale is somebody else's already: the member is enrolled all the same, and the answer says what is not."""
    till.member()
    sale = till.fuelled()
    told = enrol(till, sale=sale)
    assert (told["outcome"], told["link"]["outcome"]) == ("ENROLLED", None)
    assert "ALREADY_LINKED" in told["link"]["message"]


def test_an_enrolment_takes_no_sale_from_another_member(till: Till) -> None:
    """Not even a supervisor's: a change of member is a correction, asked for as one."""
    sale = till.fuelled(member=MEMBER)
    answer = till.ask("members.enrol", role="supervisor", person="wang", phone=PHONE, sale=sale)
    assert answer["data"]["outcome"] == "ENROLLED"
    assert "ALREADY_LINKED" in answer["data"]["link"]["message"]
    (link,) = till.rows("SELECT m.id FROM link l JOIN member m ON m.ref = l.member_ref WHERE l.active = 1")
    assert link["id"] == MEMBER


@pytest.mark.parametrize("place", ["enrol.before_commit", "enrol.after_commit"])
def test_a_crash_enrols_once(till: Till, place: str) -> None:
    """Killed before or after the commit and asked again, there is one member and one record."""
    with armed(place, 1), pytest.raises(SimulatedCrash):
        enrol(till, request="h07-1")
    till.restart()
    assert enrol(till, request="h07-1")["outcome"] == "ENROLLED"
    assert len(till.records("fc.member.enrolled.v1")) == 1
    assert len(till.rows("SELECT * FROM member")) == 1


# --- looking up -------------------------------------------------------------------------------------------------------


def test_a_sale_is_linked_by_phone_with_the_mask_read_back(till: Till) -> None:
    """The weakest way to be recognised earns, and who linked it, how and when is on record without the number."""
    enrol(till)
    sale = till.sale()
    told = till.ask("sales.link", role="attendant", sale=sale, phone=PHONE)["data"]
    assert told["outcome"].startswith("LINKED")
    assert told["member"] == {"mask": MASK, "tier": None}
    (link,) = till.records("fc.sale.linked.v1")
    assert (link["level"], link["by"]) == (AuthLevel.PHONE.value, "wang")
    (audit,) = [found for found in till.records("fc.audit.v1") if found["action"] == "looked_up"]
    assert (audit["who"], audit["object"], audit["result"]) == ("wang", "phone", "hit")


def test_a_miss_is_refused_and_still_counted(till: Till) -> None:
    """Who tries numbers leaves a trace for each: the refusal does not take it back."""
    answer = till.ask("members.find", role="attendant", phone=OTHER_PHONE)
    assert (answer["ok"], answer["exit"]) == (False, 1)
    assert [row["hit"] for row in till.rows("SELECT hit FROM lookup")] == [0]
    assert [found["result"] for found in till.records("fc.audit.v1") if found["action"] == "looked_up"] == ["miss"]


def test_five_look_ups_a_minute_and_thirty_a_shift(till: Till) -> None:
    """The sixth within a minute waits, the thirty-first of a shift is refused; another person has their own."""
    for turn in range(30):
        found = till.ask("members.find", role="attendant", plate="粤B12345")
        assert "no member" in found["error"]
        if turn % 5 == 4:
            assert "within a minute" in till.ask("members.find", role="attendant", phone=PHONE)["error"]
            till.wait(61)
    assert "in this shift" in till.ask("sales.link", role="attendant", sale=till.sale(), phone=PHONE)["error"]
    assert "no member" in till.ask("members.find", role="attendant", person="li", phone=PHONE)["error"]
    till.wait(86_400)
    assert "no member" in till.ask("members.find", role="attendant", phone=PHONE)["error"]


def test_a_plate_finds_whom_it_may_be_and_links_nothing(till: Till) -> None:
    """A plate only says who it may be; of two members with one car the first keeps it."""
    first = enrol(till, plate="粤B12345")
    enrol(till, OTHER_PHONE, plate="粤B12345")
    found = till.ask("members.find", role="attendant", plate="粤b·12345")["data"]
    assert found == {"member": first["member_id"], "mask": MASK, "tier": None}
    assert till.rows("SELECT * FROM link") == []


def test_who_fuelled_what_is_told_by_mask(till: Till) -> None:
    """A member's page: enrolled by whom, every fuelling with its level, who linked it and what it earned."""
    sale = till.sale()
    told = enrol(till, sale=sale)
    till.settle(sale)
    shown = MemberQueries(till.store.path).member(told["member_id"])
    assert (shown["mask"], shown["enrolled"]["by"], shown["points_available"]) == (MASK, "wang", 347)
    (fuelling,) = shown["fuellings"]
    assert (fuelling["sale"], fuelling["level"], fuelling["by"]) == (sale, "phone", "wang")
    assert (fuelling["late"], fuelling["corrects"], fuelling["active"]) == (False, False, True)
    assert MemberQueries(till.store.path).member_of(sale) == told["member_id"]
