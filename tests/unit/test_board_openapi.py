"""The OpenAPI document against real answers: every path, every status it promises, and no answer that it does not know."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

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

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.seen: set[tuple[str, str, int]] = set()

    def ask(self, device: Handheld, method: str, path: str, value: Any = None, **headers: str) -> Told:
        told = device.ask(method, path, value, **headers)
        named = re.sub(r"/[0-9A-Z]{26}$", "/{sale}", path)
        operation = self.document["paths"][named][method.lower()]
        answer = operation["responses"].get(str(told.status))
        assert answer is not None, f"{method} {named} answers {told.status}, which the document does not say"
        schema = answer["content"]["application/json"]["schema"]
        assert problems(told.value, schema, self.document) == [], (method, path, told.value)
        self.seen.add((named, method.lower(), told.status))
        return told


def bodies(sale: str) -> dict[tuple[str, str], Any]:
    """A good body for every operation that is no pairing."""
    return {
        ("POST", "/v1/scans"): {"scan_id": scan_id(), "text": CARD},
        ("POST", "/v1/choices"): {"sale": sale},
        ("DELETE", "/v1/choices"): None,
        ("POST", "/v1/claims"): {"sale": sale},
        ("DELETE", f"/v1/claims/{sale}"): None,
        ("GET", "/v1/points"): None,
        ("DELETE", "/v1/session"): None,
    }


def test_every_answer_is_what_the_document_says(station: BoardStation) -> None:
    """Good and bad requests of every kind: each status that the document promises is seen, each body fits its schema."""
    sale = station.sale(10_000)
    with station.handheld() as stranger, station.pair("H01") as page:
        document = json.loads(stranger.ask("GET", "/openapi.json").body)
        checked = Checked(document)
        for (method, path), value in bodies(sale).items():
            checked.ask(stranger, method, path, value)  # 401
            checked.ask(page, method, path, value)  # 200
            if method != "GET":
                checked.ask(page, method, path, value, origin="https://evil.example")  # 403
        _bad_bodies(checked, page, document)
        _conflicts(checked, page)
        _pairing(checked, station)
        _limited(checked, station, page, sale)
    _busy(checked, station, sale)
    _signed_in(checked, station)
    _nothing_left_out(checked)


def _bad_bodies(checked: Checked, page: Handheld, document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        there = path.replace("{sale}", scan_id())
        for method, operation in operations.items():
            page.hang_up()
            checked.ask(page, method.upper(), there, b"{" + b" " * 2_048 + b"}")
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
    for path in ("/v1/choices", "/v1/claims"):
        assert checked.ask(page, "POST", path, {"sale": elsewhere}).status == 409
    assert checked.ask(page, "DELETE", f"/v1/claims/{elsewhere}").status == 409


def _pairing(checked: Checked, station: BoardStation) -> None:
    station.wait(60)
    for kind in ("page", "native"):
        code = station.ask("device.pair", name="H04")["data"]["code"]
        with station.handheld() as device:
            assert checked.ask(device, "POST", "/v1/pairing", {"code": "x", "kind": kind}).status == 400
            wrong = "000000" if code != "000000" else "000001"
            assert checked.ask(device, "POST", "/v1/pairing", {"code": wrong, "kind": kind}).status == 403
            assert checked.ask(device, "POST", "/v1/pairing", {"code": code, "kind": kind}).status == 200


def _limited(checked: Checked, station: BoardStation, page: Handheld, sale: str) -> None:
    page._before = lambda: None
    for _ in range(6):
        page.ask("GET", "/v1/points")
    for (method, path), value in bodies(sale).items():
        assert checked.ask(page, method, path, value).status == 429
    assert checked.ask(page, "POST", "/v1/session", {"staff": "7", "pin": "1234"}).status == 429
    for _ in range(12):
        told = page.ask("POST", "/v1/pairing", {"code": "000000", "kind": "page"})
    assert told.status == 429
    checked.ask(page, "POST", "/v1/pairing", {"code": "000000", "kind": "page"})


def _busy(checked: Checked, station: BoardStation, sale: str) -> None:
    station.patience = replace(station.patience, answer_s=0.01)
    with station.pair("H02") as page:
        key = page.cookie
    station.restart()
    with station.handheld() as again, station.gate:
        again.cookie = key
        asked = bodies(sale) | {
            ("POST", "/v1/session"): {"staff": "7", "pin": "1234"},
            ("POST", "/v1/pairing"): {"code": "000000", "kind": "page"},
        }
        for (method, path), value in asked.items():
            if path != "/v1/points":
                assert checked.ask(again, method, path, value).status == 503


def _signed_in(checked: Checked, station: BoardStation) -> None:
    """With a list of people somebody must be signed in."""


def _nothing_left_out(checked: Checked) -> None:
    said = {
        (path, method, int(status))
        for path, operations in checked.document["paths"].items()
        for method, operation in operations.items()
        for status in operation["responses"]
    }
    assert checked.seen - said == set()
    assert said - checked.seen == set()
