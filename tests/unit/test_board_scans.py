"""Handhelds at a real web server over TLS: paired by a code, scans linked and answered once, tiles without members."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from agent.board import contract
from agent.domain.link_corrections import ATTENDANT_REASONS
from tests.support import template
from tests.support.board_station import CARD, BoardStation
from tests.support.handheld import Handheld, scan_id
from tests.support.tls_files import make

UNKNOWN_SALE = "01JD8ZK3Q4X5Y6Z7A8B9C0D1E2"


@pytest.fixture
def station() -> Iterator[BoardStation]:
    """A station with four handhelds in its file, of which none is paired."""
    folder = template.new_folder()
    template.copy_to(folder)
    made = BoardStation(folder, make(folder))
    yield made
    made.close()
    shutil.rmtree(folder)


def test_a_scan_at_a_paired_page_links_the_only_unpaid_sale(station: BoardStation) -> None:
    """The attendant scans after hanging up: linked, with mask and tier, without the member's id and without the text."""
    sale = station.sale()
    with station.pair() as page:
        told = page.scan(CARD)
    assert told.status == 200
    assert (told.value["outcome"], told.value["tone"], told.value["sale"]) == ("LINKED_EARN_ONLY", "good", sale)
    assert told.value["member"] == {"mask": "张**", "tier": "gold"}
    assert station.links() == [(sale, "H01")]
    everything = told.body.decode() + "".join(map(str, station.rows("SELECT * FROM handheld_answer")))
    assert CARD not in everything
    assert "567014f1b3c2a9de" not in everything


def test_the_same_scan_asked_again_gets_the_first_answer_after_a_restart_too(station: BoardStation) -> None:
    """Bad Wi-Fi: the same id and text bring the stored answer, nothing happens twice, whatever was restarted between."""
    station.sale()
    named = scan_id()
    with station.pair() as page:
        first = page.scan(CARD, named=named)
        again = page.scan(CARD, named=named)
        station.restart(60)
        page.move_to(station.board.port)
        late = page.scan(CARD, named=named)
    assert first.value["outcome"] == "LINKED_EARN_ONLY"
    assert (again.value, late.value) == (first.value, first.value)
    assert station.outcomes() == ["LINKED_EARN_ONLY"]
    assert len(station.links()) == 1


def test_a_phone_number_keyed_in_enrols_once_and_links_the_sale(station: BoardStation) -> None:
    """A new member from that fill on, by mask only; the same wish again is the same member, and a known one is found."""
    sale, later = station.sale(), station.sale()
    wish = {"request": scan_id(), "phone": "138 1234 5678", "plate": None, "sale": sale}
    with station.pair() as page:
        first = page.ask("POST", "/v1/enrolments", wish)
        again = page.ask("POST", "/v1/enrolments", wish)
        found = page.ask("POST", "/v1/enrolments", {**wish, "request": scan_id(), "sale": later})
        no_number = page.ask("POST", "/v1/enrolments", {**wish, "request": scan_id(), "phone": "12"})
    assert (first.status, first.value["outcome"], first.value["sale"]) == (200, "ENROLLED", sale)
    assert first.value["member"] == {"mask": "138****5678", "tier": ""}
    assert (again.value["outcome"], again.value["repeat"]) == ("ENROLLED", True)
    assert (found.value["outcome"], found.value["sale"]) == ("ALREADY_MEMBER", later)
    assert no_number.status == 409
    assert station.links() == [(sale, "H01"), (later, "H01")]
    assert len(station.records("fc.member.enrolled.v1")) == 1
    assert "1234 5678" not in "".join(told.body.decode() for told in (first, again, found, no_number))


def test_a_scan_id_used_for_another_text_is_refused(station: BoardStation) -> None:
    """One id is one scan: another text under it is a mistake of the device, told as such and without effect."""
    named = scan_id()
    with station.pair() as page:
        page.scan("not a code", named=named)
        told = page.scan(CARD, named=named)
    assert (told.status, told.value["error"]) == (409, "SCAN_ID_USED")
    assert station.outcomes() == ["NOT_A_MEMBER_CODE"]


def test_two_devices_may_make_the_same_scan_id(station: BoardStation) -> None:
    """Ids are made by devices: what one has used means nothing for another."""
    named = scan_id()
    with station.pair("H01") as one, station.pair("H02") as other:
        assert one.scan("not a code", named=named).status == 200
        assert other.scan("nor this", named=named).value["outcome"] == "NOT_A_MEMBER_CODE"
    assert len(station.outcomes()) == 2


def test_answers_are_forgotten_after_a_day(station: BoardStation) -> None:
    """A stored answer shows a mask, so it goes as soon as nobody asks for it any more."""
    with station.pair() as page:
        page.scan("not a code")
        station.wait(24 * 3_600 + 60)
        page.scan("nor this")
    assert station.one("SELECT count(*) FROM handheld_answer") == 1


def test_a_station_without_time_says_so_and_the_same_id_is_answered_later(station: BoardStation) -> None:
    """While the pipeline is busy a device is told to ask again; the scan that was taken meanwhile happens once."""
    station.sale()
    asked = {"scan_id": scan_id(), "text": CARD}
    with station.pair() as page:
        station.patience = replace(station.patience, answer_s=0.05)  # too short for pairing on a busy machine
        station.restart()
        page.move_to(station.board.port)
        with station.gate:
            busy = page.ask("POST", "/v1/scans", asked)
        told = page.insist("POST", "/v1/scans", asked)
    assert (busy.status, busy.value["error"]) == (503, "TRY_AGAIN")
    assert "same scan_id" in busy.value["hint"]
    assert told.value["outcome"] == "LINKED_EARN_ONLY"
    assert station.outcomes() == ["LINKED_EARN_ONLY"]


def test_a_tapped_sale_is_claimed_and_the_scan_that_follows_is_for_it(station: BoardStation) -> None:
    """Pump first: of two unpaid sales the tapped one gets the member, and another device sees whose it is meanwhile."""
    first, _second = station.sale(10_000), station.sale(20_000)
    with station.pair("H01") as one, station.pair("H02") as other:
        tapped = one.insist("POST", "/v1/choices", {"sale": first})
        seen = [sale["claimed_by"] for sale in tiles(other)]
        refused = other.insist("POST", "/v1/claims", {"sale": first})
        linked = one.scan(CARD)
        released = one.insist("DELETE", f"/v1/claims/{first}")
    assert (tapped.status, tapped.value["outcome"]) == (200, "SCAN_NOW")
    assert sorted(seen, key=str) == ["H01", None]
    assert refused.value["tone"] == "bad"
    assert "H01" in refused.value["message"]
    assert (linked.value["sale"], released.status) == (first, 200)
    assert [sale for sale, _ in station.links()] == [first]


def test_several_sales_are_asked_about_with_what_tells_them_apart(station: BoardStation) -> None:
    """Scan first with two candidates: nothing is guessed; the tiles tell point, litres, amount and age, no member."""
    older = station.sale(10_000)
    station.wait(40)
    station.sale(20_000)
    with station.pair() as page:
        asked = page.scan(CARD)
        picked = page.insist("POST", "/v1/choices", {"sale": older})
    sales = [choice for choice in asked.value["choices"] if choice["kind"] == "sale"]
    assert asked.value["tone"] == "ask"
    assert {choice["volume_ml"] for choice in sales} == {10_000, 20_000}
    assert max(choice["age_s"] for choice in sales) >= 40
    assert (picked.value["sale"], picked.value["tone"]) == (older, "good")
    assert station.links() == [(older, "H01")]


def test_whoever_linked_corrects_once_for_each_scan_id_and_another_device_does_not(station: BoardStation) -> None:
    """Removed with a reason from the list, asked again the first answer; a link of somebody else is for the supervisor."""
    sale = station.sale()
    body = {"scan_id": scan_id(), "sale": sale, "reason": "scanned_by_mistake"}
    with station.pair("H01") as page, station.pair("H02") as other:
        page.scan(CARD)
        refused = other.insist("POST", "/v1/changes", {**body, "scan_id": scan_id()})
        removed = [page.insist("POST", "/v1/changes", body).value for _ in range(2)]
        again = page.scan(CARD, sale=sale)
    assert refused.value["tone"] == "bad"
    assert [told["outcome"] for told in removed] == ["REMOVED", "REMOVED"]
    assert (again.value["sale"], again.value["tone"]) == (sale, "good")
    assert [told["reason"] for told in station.records("fc.sale.corrected.v1")] == ["scanned_by_mistake"]
    assert set(contract.ChangeRequest.model_json_schema()["properties"]["reason"]["enum"]) == ATTENDANT_REASONS


def test_a_waiting_code_is_forgotten_when_the_attendant_cancels(station: BoardStation) -> None:
    """Cancel at the handheld does what the printed barcode does, and says when there is nothing to cancel."""
    with station.pair() as page:
        assert page.scan(CARD).value["outcome"] == "CHOOSE_POINT"
        told = [page.insist("DELETE", "/v1/choices").value["outcome"] for _ in range(2)]
    assert told == ["CANCELLED", "NOTHING_TO_CANCEL"]


def test_tiles_tell_of_a_linked_sale_only_that_it_is_linked(station: BoardStation) -> None:
    """Another attendant sees state, litres, amount and age of each sale, and nobody's mask."""
    sale = station.sale(12_340)
    station.link(sale)
    station.wait(30)
    with station.pair() as page:
        told = page.insist("GET", "/v1/points")
    assert [sale["linked"] for sale in tiles_of(told.value)] == [True]
    (tile,) = tiles_of(told.value)
    assert (tile["volume_ml"], tile["amount_minor"]) == (12_340, 9_687)
    assert tile["since_hang_up_s"] >= 30
    assert "张" not in told.body.decode()
    assert (told.value["currency"], told.value["exponent"], told.value["device"]) == ("CNY", 2, "H01")


def test_a_handheld_sees_and_serves_its_own_points_only(station: BoardStation) -> None:
    """A device for point 1 has no tile of point 2, and a sale of point 2 is not for it to link."""
    readers = station.settings.reader
    narrowed = tuple(r.model_copy(update={"fuelling_points": (2,)}) if r.id == "H02" else r for r in readers)
    station.settings = station.settings.model_copy(update={"reader": narrowed})
    station.restart()
    sale = station.sale()
    with station.pair("H02") as page:
        assert [point["fuelling_point"] for point in page.insist("GET", "/v1/points").value["points"]] == [2]
        told = page.insist("POST", "/v1/choices", {"fuelling_point": 1})
        scanned = page.scan(CARD, sale=sale)
    assert told.value["outcome"] == "POINT_NOT_SERVED"
    assert (scanned.status, scanned.value["error"]) == (409, "POINT_NOT_SERVED")
    assert station.links() == []


def test_scans_of_four_devices_at_once_each_happen_once(station: BoardStation) -> None:
    """Retries, repeated ids and four devices at a time: every scan is in the records once, whatever its order."""
    devices = [station.pair(f"H{n:02d}", "native" if n % 2 else "page") for n in range(1, 5)]

    def work(device: Handheld) -> set[str]:
        named = [scan_id() for _ in range(4)]
        with device:
            return {device.scan(f"text of {one}", named=one).value["outcome"] for one in [*named, *reversed(named)]}

    with ThreadPoolExecutor(len(devices)) as pool:
        told = set().union(*pool.map(work, devices))
    assert told == {"NOT_A_MEMBER_CODE"}
    assert len(station.outcomes()) == 16


def tiles_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Every sale of all points."""
    return [sale for point in value["points"] for sale in point["sales"]]


def tiles(device: Handheld) -> list[dict[str, Any]]:
    """Every sale that a device sees."""
    return tiles_of(device.insist("GET", "/v1/points").value)
