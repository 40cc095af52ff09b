"""The handheld's page: its own script, in Node on stand-in elements, at a real station over real TLS."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from tests.support.board_station import CARD, BoardStation, attended_station
from tests.support.processes import eventually

STAND = Path(__file__).parents[1] / "support" / "page_stand.js"
LOOK_S = 30


class Page:
    """A page that is open; a context manager that closes it."""

    def __init__(self, station: BoardStation, cookie: str = "") -> None:
        """``cookie``: of a device that is paired."""
        assert station.tls is not None
        address = f"https://127.0.0.1:{station.board.port}"
        self._node = subprocess.Popen(
            ["node", str(STAND), address, str(station.tls.ca), cookie],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._node.stdin is not None
        self._node.stdin.close()
        assert self._node.wait(90) == 0

    def do(self, what: str, **more: Any) -> dict[str, Any]:
        """Do one thing and return what is seen then."""
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.stdin.write(json.dumps({"do": what, **more}) + "\n")
        self._node.stdin.flush()
        found: dict[str, Any] = json.loads(self._node.stdout.readline())
        return found

    def until(self, wanted: Callable[[dict[str, Any]], object], what: str) -> dict[str, Any]:
        """Look until something is seen."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [self.do("look")]
            return bool(wanted(found[0]))

        eventually(look, LOOK_S, what)
        return found[0]

    def scan(self, text: str) -> None:
        """What a scanner types, ENTER last."""
        self.do("type", id="scan", text=text)
        self.do("enter")


@pytest.fixture
def station() -> Iterator[BoardStation]:
    """An English-speaking station with one person, whose clock runs by itself."""
    with attended_station() as made:
        yield made


def test_an_attendant_pairs_signs_in_scans_and_taps(station: BoardStation) -> None:
    """From an unknown device to a linked sale by keystrokes and ENTER; the answer shows whom, in colour and by shaking."""
    sale = station.sale(12_340)
    with Page(station) as page:
        page.until(lambda seen: seen["part"] == "pairing" and seen["focus"] == "code", "it asks for a code")
        page.do("type", id="code", text=station.ask("device.pair", name="H01")["data"]["code"])
        page.do("submit", id="pairing")
        page.until(lambda seen: seen["part"] == "session", "it asks who works with it")
        page.do("type", id="staff", text="7")
        assert page.do("type", id="pin", text="2580")["focus"] == "pin"
        page.do("submit", id="session")
        seen = page.until(lambda seen: seen["part"] == "tiles" and len(seen["tiles"]) > 1, "it shows tiles")
        assert (seen["device"], seen["who"], seen["focus"]) == ("H01", "Li Lei", "scan")
        assert [tile["text"].split("\n")[:3] for tile in seen["tiles"] if tile["kind"] == "sale"] == [
            ["Point 1 #92", "12.34 L", "96.87 CNY"]
        ]
        page.scan(CARD)
        seen = page.until(lambda seen: seen["tone"] == "good", "it is linked")
        assert "张** gold" in seen["answer"]
        assert (seen["left"], seen["shakes"][-1]) == ("", [60])
        linked = seen["answer"]
        page.until(lambda seen: any(t["kind"] == "linked" for t in seen["tiles"]), "its tile turns green")
        green = [number for number, t in enumerate(page.do("look")["tiles"]) if t["kind"] == "linked"]
        page.do("tap", id="tiles", number=green[0])
        page.do("tap", id="reasons", number=2)
        page.do("press", id="remove")
        page.until(lambda seen: "Link removed" in seen["answer"], "the link is taken away again")
        page.do("press", id="undo")
        page.until(lambda seen: seen["answer"] != linked, "it says whether that can be undone")
        page.do("press", id="leave")
        page.until(lambda seen: seen["part"] == "session", "he is signed out")
    assert station.links() == [(sale, "7")]
    assert [told["reason"] for told in station.records("fc.sale.corrected.v1")] == ["customer_request"]


def test_a_phone_number_takes_the_place_of_a_code(station: BoardStation) -> None:
    """Tile, phone number, ENTER: the customer is a member, and the sale whose tile was tapped is theirs."""
    sale = station.sale(12_340)
    with station.pair() as paired:
        cookie = paired.cookie
    station.settings = station.settings.model_copy(update={"staff": ()})
    station.restart()
    with Page(station, cookie) as page:
        seen = page.until(lambda seen: any(t["kind"] == "sale" for t in seen["tiles"]), "it shows the sale")
        page.do("tap", id="tiles", number=[tile["kind"] for tile in seen["tiles"]].index("sale"))
        page.until(lambda seen: seen["tone"] == "ask", "it asks for a code")
        assert page.do("press", id="by-phone")["focus"] == "phone"
        page.do("type", id="phone", text="13812345678")
        page.do("submit", id="enrolment")
        seen = page.until(lambda seen: seen["tone"] == "good", "the customer is a member")
        assert "138****5678" in seen["answer"]
        assert page.do("look")["focus"] == "scan"
    assert station.links() == [(sale, "H01")]


def test_the_page_asks_again_with_the_same_scan(station: BoardStation) -> None:
    """A station without time is asked until it answers; the scan happens once, and the attendant sees each step."""
    with station.pair() as paired:
        cookie = paired.cookie
    station.patience = replace(station.patience, answer_s=0.05)
    station.settings = station.settings.model_copy(update={"staff": ()})
    station.restart()
    with Page(station, cookie) as page:
        page.until(lambda seen: seen["part"] == "tiles", "it shows tiles")
        with station.gate:
            page.scan("not a code")
            page.until(lambda seen: "trying again" in seen["answer"], "it says that it tries again")
        seen = page.until(lambda seen: seen["tone"] == "bad", "it is answered")
    assert seen["answer"] == "Not a member code"
    assert station.outcomes() == ["NOT_A_MEMBER_CODE"]
