"""The handheld's page in a real browser, over real TLS, at a real station: what the stand-in elements of Node cannot show.

Run by ``make browser``; pictures of what was seen lie in ``build/browser/`` afterwards.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.browser.chromium import Chromium
from tests.support.board_station import CARD, BoardStation, attended_station
from tests.support.processes import eventually

PICTURES = Path(__file__).resolve().parents[2] / "build" / "browser"
WITHIN_S = 30


@pytest.fixture
def station() -> Iterator[BoardStation]:
    """An English-speaking station with one person."""
    with attended_station() as made:
        yield made


@pytest.fixture
def browser(station: BoardStation, tmp_path: Path) -> Iterator[Chromium]:
    """A telephone's browser that trusts the station's certificate and no other."""
    assert station.tls is not None
    key = x509.load_pem_x509_certificate(station.tls.certificate.read_bytes()).public_key()
    spki = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    with Chromium(tmp_path / "profile", spki=base64.b64encode(spki).decode()) as opened:
        yield opened


def seen(browser: Chromium, selector: str) -> str:
    """What an element shows; nothing while it is hidden."""
    found: str = browser.value(
        f"(() => {{const e = document.querySelector('{selector}'); return e && e.offsetParent ? e.innerText : ''}})()"
    )
    return found or ""


def until(browser: Chromium, expression: str, what: str) -> None:
    eventually(lambda: browser.value(f"!!({expression})"), WITHIN_S, what)


def focus_is(browser: Chromium, name: str) -> None:
    until(browser, f"document.activeElement.id === '{name}'", f"the focus is on {name}")


def picture(browser: Chromium, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    browser.picture(PICTURES / f"{name}.png")


def sign_in(browser: Chromium, station: BoardStation) -> None:
    """From an unknown device to tiles, by keys alone."""
    browser.open(f"https://127.0.0.1:{station.board.port}/")
    focus_is(browser, "code")
    picture(browser, "1-pairing")
    browser.type(station.ask("device.pair", name="H01")["data"]["code"])
    browser.enter()
    focus_is(browser, "staff")
    browser.type("7")
    browser.enter()
    focus_is(browser, "pin")
    browser.type("2580")
    browser.enter()
    focus_is(browser, "scan")


def test_an_attendant_works_with_keys_and_a_finger(station: BoardStation, browser: Chromium) -> None:
    """Pair, sign in, scan, tap the sale, remove the link, come back after a reload; the browser complains of nothing."""
    sale = station.sale(12_340)
    sign_in(browser, station)
    until(browser, "document.querySelector('#tiles').innerText.includes('12.34 L')", "the sale has a tile")
    picture(browser, "2-tiles")
    browser.type(CARD)
    browser.enter()
    until(browser, "document.querySelector('#answer').className === 'good'", "it is linked")
    assert "张** gold" in seen(browser, "#answer")
    assert CARD not in browser.value("document.documentElement.outerHTML + document.querySelector('#scan').value")
    picture(browser, "3-linked")
    until(browser, "document.querySelector('#tiles .linked')", "its tile turns green")
    assert station.links() == [(sale, "7")]
    browser.tap("#tiles .linked")
    until(browser, "document.querySelector('#change').offsetParent", "it asks why")
    browser.tap("#reasons button:nth-child(3)")
    picture(browser, "4-change")
    browser.tap("#remove")
    until(browser, "document.querySelector('#answer').innerText.includes('Link removed')", "the link is taken away")
    assert [told["reason"] for told in station.records("fc.sale.corrected.v1")] == ["customer_request"]
    browser.open(f"https://127.0.0.1:{station.board.port}/")
    focus_is(browser, "scan")
    assert browser.complaints == []


def test_nothing_is_wider_than_the_screen_and_buttons_fit_a_finger(station: BoardStation, browser: Chromium) -> None:
    """390 by 780 points: no sideways scrolling, and whatever is tapped is at least 40 points high."""
    for volume_ml in (12_340, 4_560, 7_890):
        station.sale(volume_ml)
    sign_in(browser, station)
    until(browser, "document.querySelectorAll('#tiles > *').length > 2", "there are tiles")
    assert browser.value("document.documentElement.scrollWidth <= window.innerWidth")
    heights = browser.value(
        "[...document.querySelectorAll('button, #tiles > *')].filter(e => e.offsetParent).map(e => e.offsetHeight)"
    )
    assert heights
    assert min(heights) >= 40, heights


def test_a_code_of_another_page_runs_nowhere(station: BoardStation, browser: Chromium) -> None:
    """A scan that is a script is shown to nobody and run by nobody; the policy turns every foreign script away."""
    sign_in(browser, station)
    browser.type("<img src=x onerror=document.title='owned'>")
    browser.enter()
    until(browser, "document.querySelector('#answer').className === 'bad'", "it is refused")
    assert browser.value("document.title") == "Forecourt"
    browser.value("document.body.appendChild(document.createElement('script')).textContent = 'document.title = 1'")
    assert browser.value("document.title") == "Forecourt"
    eventually(lambda: browser.value("1") and browser.complaints, WITHIN_S, "the browser tells of the policy")
    assert "Content Security Policy" in browser.complaints[0]
