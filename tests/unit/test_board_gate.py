"""Who may ask a station's web server: pairing codes, cookies, signatures, Host and Origin, and how often."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from agent.domain.handheld import Signed, device_key, open_pairing, scan_mac, tried
from agent.domain.instant import Now
from tests.support import template
from tests.support.board_station import CARD, BoardStation
from tests.support.handheld import Handheld, scan_id
from tests.support.tls_files import make


@pytest.fixture(scope="module")
def station() -> Iterator[BoardStation]:
    """A station with six handhelds in its file; each test pairs one of its own."""
    folder = template.new_folder()
    template.copy_to(folder)
    made = BoardStation(folder, make(folder), handhelds=6)
    yield made
    made.close()
    shutil.rmtree(folder)


def scan(text: str = "not a code") -> dict[str, str]:
    """The body of a scan."""
    return {"scan_id": scan_id(), "text": text}


# --- pairing ----------------------------------------------------------------------------------------------------------


def test_a_code_has_six_digits_and_every_one_is_as_likely() -> None:
    """Twenty random bits beyond a million are thrown again; leading zeros stay."""
    drawn = iter([1_048_575, 1_000_000, 42])
    assert open_pairing("H01", "wang", Now(0, 0), lambda _bits: next(drawn)).code == "000042"


def test_a_code_opens_once_within_five_minutes_and_five_tries() -> None:
    """Used, out of time, or guessed at five times: it opens nothing any more."""
    fresh = open_pairing("H01", "wang", Now(0, 1_000), lambda _bits: 123_456)
    assert tried(fresh, "123456", Now(0, 300_999)) == (None, fresh)
    assert tried(fresh, "123456", Now(0, 301_000)) == (None, None)
    left, opened = fresh, None
    for _ in range(4):
        left, opened = tried(left, "000000", Now(0, 2_000))  # type: ignore[assignment]
        assert (left is None, opened) == (False, None)
    assert tried(left, "000000", Now(0, 2_000)) == (None, None)


def test_a_used_code_pairs_no_second_device(station: BoardStation) -> None:
    """Who reads a code over somebody's shoulder comes too late."""
    code = station.ask("device.pair", name="H01")["data"]["code"]
    with station.handheld() as one, station.handheld() as other:
        assert one.pair(code).status == 200
        told = other.pair(code)
    assert (told.status, told.value["error"]) == (403, "WRONG_CODE")
    assert told.headers["set-cookie"] is None


def test_five_wrong_codes_end_a_pairing_and_the_audit_tells(station: BoardStation) -> None:
    """Guessing stops after five tries: then the right code pairs nothing either."""
    code = station.ask("device.pair", name="H01")["data"]["code"]
    wrong = "000000" if code != "000000" else "000001"
    with station.handheld() as device:
        told = [device.pair(wrong).status for _ in range(5)]
        told.append(device.pair(code).status)
    assert told == [403] * 6
    assert [r["result"] for r in station.records("fc.audit.v1") if r["action"] == "pair"][-1] == "refused"


def test_pairing_needs_a_supervisor_and_a_handheld_of_the_station_file(station: BoardStation) -> None:
    """Neither an attendant nor a device that nobody has configured gets a code; what to do is said."""
    attendant = station.ask("device.pair", role="attendant", name="H01")
    unknown = station.ask("device.pair", name="H99")
    unnamed = station.ask("device.pair")
    assert not attendant["ok"]
    assert (unknown["exit"], "H01, H02" in unknown["hint"]) == (2, True)
    assert (unnamed["exit"], "--name" in unnamed["hint"]) == (2, True)


def test_an_unpaired_device_may_not_ask_any_more(station: BoardStation) -> None:
    """A lost handheld is unpaired at the command line: its next request is refused, and it is in no list."""
    with station.pair("H02") as page:
        assert page.insist("GET", "/v1/points").status == 200
        assert station.ask("device.unpair", name="H02")["ok"]
        told = page.insist("POST", "/v1/scans", scan())
    assert (told.status, told.value["error"]) == (401, "UNPAIRED")
    assert not station.ask("device.unpair", name="H02")["ok"]


def test_a_device_paired_anew_takes_the_place_of_the_old_one(station: BoardStation) -> None:
    """One name is one device: the cookie of before is worth nothing."""
    with station.pair("H02") as old, station.pair("H02") as new:
        assert old.insist("GET", "/v1/points").status == 401
        assert new.insist("GET", "/v1/points").status == 200


def test_neither_cookie_nor_key_is_in_the_database(station: BoardStation) -> None:
    """Who steals a database or a backup of it cannot ask as a handheld."""
    with station.pair("H03") as page, station.pair("H04", "native") as native:
        assert page.scan("x").status == native.scan("x").status == 200
    key, token = native.key or b"", page.cookie.partition("=")[2]
    path = station.store.path
    stored = path.read_bytes() + path.with_name(f"{path.name}-wal").read_bytes()
    assert len(key) == 32
    assert token.encode() not in stored
    assert key not in stored
    assert key.hex().encode() not in stored
    secret = path.with_name("handhelds.key")
    assert secret.stat().st_mode & 0o777 == 0o600
    assert secret.read_bytes() not in stored


def test_a_cookie_is_for_this_host_over_tls_only_and_no_script_reads_it(station: BoardStation) -> None:
    """The attributes that keep a cookie from other sites, other hosts and scripts."""
    with station.handheld() as page:
        told = page.pair(station.ask("device.pair", name="H02")["data"]["code"])
    name, *attributes = (told.headers["set-cookie"] or "").split("; ")
    assert name.startswith("__Host-forecourt=")
    assert {"Path=/", "HttpOnly", "Secure", "SameSite=Strict"} <= set(attributes)
    assert told.value == {"device": "H02", "key": None}


# --- signatures -------------------------------------------------------------------------------------------------------


def test_the_signature_is_the_one_of_the_sheet() -> None:
    """The worked example for scanners: key 00 to 1F, device H07, time 1795305600, count 42."""
    body = b'{"scan_id":"01JD8ZK3Q4X5Y6Z7A8B9C0D1E2","text":"FM1:TEST","fuelling_point":3}'
    mac = scan_mac(bytes(range(32)), Signed("H07", 1_795_305_600, 42, body))
    assert mac.hex().upper() == "A2801EBA34D70F40C06F756BE6892EC155AA94DF85A3EB6628DF2F555D9DA9BB"


def test_keys_of_two_pairings_differ() -> None:
    """Another salt, another device, another station: another key."""
    keys = {
        device_key(b"a" * 32, "H01", b"1"),
        device_key(b"a" * 32, "H01", b"2"),
        device_key(b"a" * 32, "H02", b"1"),
        device_key(b"b" * 32, "H01", b"1"),
    }
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("what", "word"),
    [
        ({"forecourt_mac": "00" * 32}, "BAD_SIGNATURE"),
        ({"forecourt_mac": "é"}, "BAD_SIGNATURE"),
        ({"forecourt_mac": ""}, "BAD_SIGNATURE"),
        ({"forecourt_device": "H99"}, "BAD_SIGNATURE"),
        ({"forecourt_time": "12"}, "BAD_SIGNATURE"),
        ({"forecourt_time": "-1"}, "BAD_SIGNATURE"),
        ({"forecourt_count": "007"}, "BAD_SIGNATURE"),
        ({"forecourt_count": "9" * 30}, "BAD_SIGNATURE"),
        ({"forecourt_count": ""}, "BAD_SIGNATURE"),
    ],
)
def test_a_signature_that_does_not_hold_is_refused(station: BoardStation, what: dict[str, str], word: str) -> None:
    """Any changed, missing or strange header: 401, told in one word, and nothing has happened."""
    before = len(station.outcomes())
    with native(station) as device:
        told = device.ask("POST", "/v1/scans", scan(), **what)
    assert (told.status, told.value["error"]) == (401, word)
    assert len(station.outcomes()) == before


def test_a_signature_is_for_its_body_its_time_and_one_use(station: BoardStation) -> None:
    """Another body, a clock 121 s away, or the same request again is refused; 120 s and a gap in the count are not."""
    with native(station) as device:
        body = b'{"scan_id":"%s","text":"x"}' % scan_id().encode()
        headers = {name.replace("-", "_"): text for name, text in device.signature("POST", "/v1/scans", body).items()}
        assert device.ask("POST", "/v1/scans", body.replace(b"x", b"y"), **headers).status == 401
        assert device.ask("POST", "/v1/scans", body, **headers).status == 200
        again = device.ask("POST", "/v1/scans", body, **headers)
        assert (again.status, again.value["error"]) == (401, "COUNT_NOT_NEW")
        device.count += 1_000
        real = device._now_s
        for ahead, status in ((118, 200), (-118, 200), (122, 401), (-125, 401)):
            device._now_s = lambda ahead=ahead: real() + ahead  # type: ignore[misc]
            told = device.ask("POST", "/v1/scans", scan())
            assert told.status == status, (ahead, told.value)
        assert "the station's clock says" in told.value["hint"]


def test_a_count_is_remembered_over_a_restart_also_of_what_was_refused(station: BoardStation) -> None:
    """What was said once cannot be said again by whoever has heard it, whatever it came to."""
    named = scan_id()
    with native(station) as device:
        device.scan("x", named=named)
        refused = device.insist("POST", "/v1/scans", {"scan_id": named, "text": "y"})
        assert refused.status == 409
    assert station.one("SELECT count FROM handheld WHERE id = 'H05'") == device.count


def test_a_call_that_is_no_scan_is_signed_with_its_method_and_path(station: BoardStation) -> None:
    """The signature of one request opens no other one."""
    with native(station) as device:
        assert device.insist("GET", "/v1/points").status == 200
        headers = {n.replace("-", "_"): text for n, text in device.signature("GET", "/v1/points", b"").items()}
        told = device.ask("DELETE", "/v1/choices", **headers)
    assert (told.status, told.value["error"]) == (401, "BAD_SIGNATURE")


def test_a_page_cannot_be_used_by_signature_nor_a_native_key_by_cookie(station: BoardStation) -> None:
    """How a device proves itself was decided when it was paired."""
    with station.pair("H06") as page:
        page.key = bytes(32)
        told = page.ask("POST", "/v1/scans", scan())
    with station.handheld() as stranger:
        stranger.cookie = f"__Host-forecourt={'A' * 43}"
        other = stranger.ask("POST", "/v1/scans", scan())
    assert (told.value["error"], other.value["error"]) == ("BAD_SIGNATURE", "UNPAIRED")


# --- from where, and how often ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "word"),
    [
        ({"host": "evil.example"}, 421, "WRONG_HOST"),
        ({"host": "127.0.0.1"}, 421, "WRONG_HOST"),
        ({"origin": "https://evil.example"}, 403, "WRONG_ORIGIN"),
        ({"origin": "null"}, 403, "WRONG_ORIGIN"),
        ({"origin": ""}, 403, "WRONG_ORIGIN"),
        ({"content_type": "text/plain"}, 415, "NOT_JSON"),
        ({"content_type": ""}, 415, "NOT_JSON"),
        ({"cookie": ""}, 401, "UNPAIRED"),
        ({"cookie": "__Host-forecourt=wrong"}, 401, "UNPAIRED"),
        ({"cookie": '__Host-forecourt="\\777'}, 401, "UNPAIRED"),
    ],
)
def test_what_a_page_of_somebody_else_sends_is_refused(
    station: BoardStation, headers: dict[str, str], status: int, word: str
) -> None:
    """A foreign Host (rebinding), a foreign or missing Origin, a form's content type, a bad cookie: nothing happens."""
    before = len(station.outcomes())
    with station.pair("H06") as page:
        told = page.ask("POST", "/v1/scans", scan(CARD), **headers)
    assert (told.status, told.value["error"]) == (status, word)
    assert len(station.outcomes()) == before


def test_every_name_of_the_certificate_is_this_station(station: BoardStation) -> None:
    """Where the certificate names a host, its page is served under that name, with that name's origin."""
    with station.pair("H06") as page:
        page.host = f"station.test:{page.port}"
        assert page.insist("POST", "/v1/scans", scan()).status == 200


def test_a_device_may_ask_five_times_a_second(station: BoardStation) -> None:
    """Five at once, then one for each fifth of a second; another device has its own five."""
    with station.pair("H06") as page, station.pair("H05") as other:
        station.pass_time()
        page._before = other._before = lambda: None
        told = [page.ask("GET", "/v1/points").status for _ in range(6)]
        assert told == [200] * 5 + [429]
        assert other.ask("GET", "/v1/points").status == 200
        station.clock.now_s += 0.2
        assert [page.ask("GET", "/v1/points").status for _ in range(2)] == [200, 429]


def test_strangers_do_not_use_up_the_pipeline(station: BoardStation) -> None:
    """Pairing tries of a flood end at the web server: at most ten at once reach the pipeline."""
    with station.handheld() as device:
        station.pass_time()
        device._before = lambda: None
        told = [device.ask("POST", "/v1/pairing", {"code": "000000", "kind": "native"}).status for _ in range(14)]
    assert 429 in told
    assert told.count(403) <= 10


def native(station: BoardStation) -> Handheld:
    """A paired application that signs."""
    return station.pair("H05", "native")
