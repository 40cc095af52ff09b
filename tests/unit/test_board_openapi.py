"""The OpenAPI document against real answers: every path, every status it promises, and no answer that it does not know."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from agent.domain.pins import hash_pin
from agent.settings.model import StaffSettings
from tests.support import template
from tests.support.board_station import CARD, BoardStation
from tests.support.handheld import Handheld, Told, scan_id
from tests.support.json_schema import problems, resolved
from tests.support.tls_files import make


@pytest.fixture
def station() -> Iterator[BoardStation]:
    """A station with handhelds over TLS."""
    folder = template.new_folder()
    template.copy_to(folder)
    made = BoardStation(folder, make(folder))
    yield made
    made.close()
    shutil.rmtree(folder)


class Checked:
    """Asks, and holds every answer against the document."""

    def __init__(self, document: dict[str, Any], station: BoardStation) -> None:
        self.document = document
        self.station = station
        self.seen: set[tuple[str, str, int]] = set()

    def ask(self, device: Handheld, method: str, path: str, value: Any = None, **headers: str) -> Told:
        """One answer, which the document must know."""
        told = device.ask(method, path, value, **headers)
        named = re.sub(r"/[0-9A-Z]{26}$", "/{sale}", path)
        answer = self.document["paths"][named][method.lower()]["responses"].get(str(told.status))
        assert answer is not None, (
            f"{method} {named} answers {told.status}, which the document does not say: {told.value}"
        )
        schema = answer["content"]["application/json"]["schema"]
        assert problems(told.value, schema, self.document) == [], (method, path, told.value)
        self.seen.add((named, method.lower(), told.status))
        return told

    def wait(self) -> None:
        """Nobody has asked for a while."""
        with self.station.moving:
            self.station.clock.now_s += 10


def bodies(sale: str) -> dict[tuple[str, str], Any]:
    """A good body for every operation that is no pairing."""
    return {
        ("POST", "/v1/scans"): {"scan_id": scan_id(), "text": CARD},
        ("POST", "/v1/choices"): {"sale": sale},
        ("DELETE", "/v1/choices"): None,
        ("POST", "/v1/changes"): {"scan_id": scan_id(), "sale": sale, "reason": "wrong_member"},
        ("POST", "/v1/enrolments"): {"request": scan_id(), "phone": "13812345678", "sale": sale},
        ("POST", "/v1/claims"): {"sale": sale},
        ("DELETE", f"/v1/claims/{sale}"): None,
        ("GET", "/v1/points"): None,
        ("POST", "/v1/session"): {"staff": "7", "pin": "1234"},
        ("DELETE", "/v1/session"): None,
    }


def everything(sale: str) -> dict[tuple[str, str], Any]:
    """The same, and what has its own steps below."""
    return bodies(sale) | {
        ("POST", "/v1/pairing"): {"code": "000000", "kind": "page"},
    }


def test_every_answer_is_what_the_document_says(station: BoardStation) -> None:
    """Good and bad requests of every kind: each status that the document promises is seen, each body fits its schema."""
    sale = station.sale(10_000)
    readers = station.settings.reader
    narrow = tuple(r.model_copy(update={"fuelling_points": (2,)}) if r.id == "H02" else r for r in readers)
    station.settings = station.settings.model_copy(update={"reader": narrow})
    station.restart()
    with station.handheld() as stranger, station.pair("H01") as page, station.pair("H02") as other:
        checked = Checked(json.loads(stranger.ask("GET", "/openapi.json").body), station)
        for (method, path), value in bodies(sale).items():
            checked.ask(stranger, method, path, value, origin="")  # 401
            checked.ask(page, method, path, value)  # 200
            checked.ask(page, method, path, value, origin="https://evil.example")  # 403
        _bad_bodies(checked, page)
        _conflicts(checked, other, sale)
        _pairing(checked)
        _session(checked)
        _limited(checked, page, sale)
    _database_gone(checked)
    _busy(checked, sale)
    _nothing_left_out(checked)


def _bad_bodies(checked: Checked, page: Handheld) -> None:
    document = checked.document
    for path, operations in document["paths"].items():
        there = path.replace("{sale}", scan_id())
        for method, operation in operations.items():
            page.hang_up()
            assert checked.ask(page, method.upper(), there, b"{" + b" " * 2_048 + b"}").status == 413
            page.hang_up()
            checked.ask(page, method.upper(), there, {"more": 1})
            if method == "post":
                name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
                _bad_texts(checked, page, path, resolved(name, document))


def _bad_texts(checked: Checked, page: Handheld, path: str, schema: Mapping[str, Any]) -> None:
    checked.ask(page, "POST", path, {"a": 1}, content_type="text/plain")
    page.hang_up()
    surrogate = json.dumps(dict.fromkeys(schema["properties"], "\ud800")).encode()
    many = b"[" * 1_500
    for bad in (b"{", b"[]", b"null", b"\xff", surrogate, b"9" * 2_000, many, b'{"a": NaN}'):
        checked.wait()
        assert checked.ask(page, "POST", path, bad).status == 400
    complete = dict.fromkeys(schema["properties"], None) | {"more": 1}
    assert checked.ask(page, "POST", path, complete).status == 400


def _conflicts(checked: Checked, page: Handheld, elsewhere: str) -> None:
    body = {"scan_id": scan_id(), "text": "one"}
    assert checked.ask(page, "POST", "/v1/scans", body).status == 200
    assert checked.ask(page, "POST", "/v1/scans", {**body, "text": "two"}).status == 409
    change = {"scan_id": scan_id(), "sale": elsewhere, "reason": "wrong_sale"}
    assert checked.ask(page, "POST", "/v1/changes", change).status == 409
    wish = {"request": scan_id(), "phone": "13812345678", "sale": elsewhere}
    assert checked.ask(page, "POST", "/v1/enrolments", wish).status == 409
    for path in ("/v1/choices", "/v1/claims"):
        assert checked.ask(page, "POST", path, {"sale": elsewhere}).status == 409
    assert checked.ask(page, "DELETE", f"/v1/claims/{elsewhere}").status == 409


def _pairing(checked: Checked) -> None:
    for kind in ("page", "native"):
        checked.wait()
        code = checked.station.ask("device.pair", name="H04")["data"]["code"]
        wrong = "000000" if code != "000000" else "000001"
        with checked.station.handheld() as device:
            assert checked.ask(device, "POST", "/v1/pairing", {"code": wrong, "kind": kind}).status == 403
            assert checked.ask(device, "POST", "/v1/pairing", {"code": code, "kind": kind}).status == 200


def _session(checked: Checked) -> None:
    """Where the station has a list of its people somebody must be signed in."""
    station = checked.station
    person = StaffSettings(id="7", name="李雷", pin_hash=hash_pin("2580", bytes(16)))
    station.settings = station.settings.model_copy(update={"staff": (person,)})
    station.restart()
    with station.pair("H03") as page:
        assert checked.ask(page, "GET", "/v1/points").value["needs_sign_in"] is True
        told = checked.ask(page, "POST", "/v1/scans", {"scan_id": scan_id(), "text": CARD})
        assert (told.status, told.value["error"]) == (403, "NOT_SIGNED_IN")
        for wrong in ({"staff": "7", "pin": "2581"}, {"staff": "8", "pin": "2580"}, {"badge": "12345678"}, {}):
            assert checked.ask(page, "POST", "/v1/session", wrong).status == 403
        assert station.one("SELECT failed FROM staff_lock WHERE staff = '7'") == 1
        told = checked.ask(page, "POST", "/v1/session", {"staff": "7", "pin": "2580"})
        assert told.value == {"device": "H03", "attendant": {"id": "7", "name": "李雷"}}
        assert checked.ask(page, "GET", "/v1/points").value["attendant"] == {"id": "7", "name": "李雷"}
        assert checked.ask(page, "POST", "/v1/scans", {"scan_id": scan_id(), "text": CARD}).status == 200
        with station.pair("H03") as new:
            assert checked.ask(new, "GET", "/v1/points").value["attendant"] is None
            checked.ask(new, "POST", "/v1/session", {"staff": "7", "pin": "2580"})
            assert checked.ask(new, "DELETE", "/v1/session").value == {"device": "H03", "attendant": None}
    assert station.one("SELECT count(*) FROM attendance WHERE terminal = 'H03' AND until_ms IS NOT NULL") == 2


def _limited(checked: Checked, page: Handheld, sale: str) -> None:
    """More than a device may, and more than all strangers together may."""
    page.move_to(checked.station.board.port)
    page._before = lambda: None
    told = [page.ask("GET", "/v1/points").status for _ in range(8)]
    assert told[-1] == 429
    for (method, path), value in everything(sale).items():
        checked.ask(page, method, path, value)
    pairing = {"code": "000000", "kind": "page"}
    assert 429 in [checked.ask(page, "POST", "/v1/pairing", pairing).status for _ in range(12)]


def _database_gone(checked: Checked) -> None:
    station = checked.station
    with station.pair("H01") as page:
        hidden = station.settings.store.path.with_name("hidden.db")
        station.settings.store.path.rename(hidden)
        told = checked.ask(page, "GET", "/v1/points")
        hidden.rename(station.settings.store.path)
    assert (told.status, told.value["error"]) == (503, "TRY_AGAIN")


def _busy(checked: Checked, sale: str) -> None:
    """The pipeline has no time: whatever is asked of it is to be asked again."""
    station = checked.station
    station.patience = replace(station.patience, answer_s=0.01)
    with station.pair("H02") as page:
        cookie = page.cookie
    station.restart()
    with station.handheld() as again, station.gate:
        again.cookie = cookie
        for (method, path), value in everything(sale).items():
            if path != "/v1/points":
                checked.wait()
                assert checked.ask(again, method, path, value).status == 503


def _nothing_left_out(checked: Checked) -> None:
    said = {
        (path, method, int(status))
        for path, operations in checked.document["paths"].items()
        for method, operation in operations.items()
        for status in operation["responses"]
    }
    assert sorted(said - checked.seen) == []
