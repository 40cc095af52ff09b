"""The section [board], readers of kind handheld, and what a certificate must be: what is refused and what is said."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agent.board import certificate as certificates
from agent.board.certificate import CertificateRefused
from agent.board.shell import Board, SecretUnusable, device_secret, place
from agent.commissioning.addresses import address_list
from agent.inbox import AlertFound, Inbox, Item
from agent.live import LiveBoard
from agent.supervisor import Heart
from tests.support.processes import eventually
from tests.support.station import VirtualClock
from tests.support.station_file import STATION, faults, loaded
from tests.support.tls_files import make

LOCAL = '[board]\nlisten = "127.0.0.1:8443"\n'
FILES = 'certificate_file = "/etc/forecourt/tls/board.pem"\nkey_file = "/etc/forecourt/tls/board.key"\n'
OPEN = f'[board]\nlisten = "0.0.0.0:8443"\nnetworks = ["192.168.10.0/24"]\n{FILES}'
HANDHELD = '[[reader]]\nid = "H07"\nkind = "handheld"\nfuelling_points = [1]\n'
WALL_MS = 1_800_000_000_000


def test_a_handheld_is_a_reader_without_a_wire(tmp_path: Path) -> None:
    """No line is made of it, and the web server knows it by its points."""
    settings = loaded(tmp_path, STATION + OPEN + HANDHELD)
    assert [(one.id, one.fuelling_points) for one in settings.handhelds] == [("H07", (1,))]
    assert "H07" not in str(settings.line_configs())
    assert settings.board is not None
    assert settings.board.address == ("0.0.0.0", 8443)


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ('[board]\nlisten = "0.0.0.0:8443"\nnetworks = ["10.0.0.0/8"]\n', "board.listen", "everybody there can listen"),
        (f'[board]\nlisten = "0.0.0.0:8443"\n{FILES}', "board.networks", "is missing"),
        (OPEN.replace("192.168.10.0/24", "192.168.10.1/24"), "board.networks[1]", "is no network"),
        (OPEN.replace("0.0.0.0:8443", "8443"), "board.listen", "pattern"),
        (OPEN.replace(":8443", ":99999"), "board.listen", "99999 is no port"),
        (OPEN.replace(FILES, FILES.splitlines()[0] + "\n"), "board.certificate_file", "useless without key_file"),
        (LOCAL + FILES.splitlines()[1] + "\n", "board.key_file", "useless without certificate_file"),
        (LOCAL + "workers = 9\n", "board.workers", "unknown key"),
        (HANDHELD, "reader[2].kind", "nobody listens"),
        (LOCAL + HANDHELD + 'port = "/dev/x"\n', "reader[2].port", "no meaning for a handheld"),
        (LOCAL + HANDHELD + "[reader.options]\nx = 1\n", "reader[2].options", "no meaning for a handheld"),
        (LOCAL + HANDHELD.replace("[1]", "[7]"), "reader[2].fuelling_points[1]", "no fuelling point 7"),
    ],
)
def test_what_would_be_open_or_useless_is_refused(tmp_path: Path, text: str, key: str, problem: str) -> None:
    """One fault at its key, with what to do."""
    (fault,) = faults(tmp_path, STATION + text)
    assert (fault.key, problem in fault.problem) == (key, True), fault
    assert fault.hint


def test_the_unit_lets_the_handhelds_in(tmp_path: Path) -> None:
    """The addresses that the unit may speak with hold the network of [board]."""
    text, _ = address_list(loaded(tmp_path, STATION + OPEN), lambda _: ["192.0.2.1"], tmp_path / "none")
    assert "IPAddressAllow=192.168.10.0/24\n" in text


def test_a_station_is_reached_by_the_names_of_its_certificate(tmp_path: Path) -> None:
    """Names and addresses with the port; without a port only where browsers leave it out; never by a wildcard."""
    files = make(tmp_path, ("10.0.0.2", "fc.station.test", "2001:db8::1", "*.station.test"))
    found = certificates.load(files.certificate, files.key)
    at = place(found, 8443)
    assert at.hosts == {"10.0.0.2:8443", "fc.station.test:8443", "[2001:db8::1]:8443"}
    assert "10.0.0.2" in place(found, 443).hosts
    assert place(None, 8080).hosts == {"127.0.0.1:8080", "localhost:8080", "[::1]:8080"}
    assert "Secure" not in place(None, 8080).set_cookie("t")


def test_a_certificate_that_cannot_be_used_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Missing, not a certificate, of another key, without a name: each is said; none is a traceback."""
    files = make(tmp_path)
    (tmp_path / "other").mkdir()
    other = make(tmp_path / "other", ())
    for certificate, key in (
        (tmp_path / "none.pem", files.key),
        (files.key, files.key),
        (files.certificate, other.key),
        (other.certificate, other.key),
    ):
        with pytest.raises(CertificateRefused) as refused:
            certificates.load(certificate, key)
        assert refused.value.hint


def test_a_file_of_device_keys_that_is_not_ours_is_not_used(tmp_path: Path) -> None:
    """Written once; what somebody else wrote there is refused instead of being taken for a key."""
    database = tmp_path / "station.db"
    database.touch()
    assert device_secret(database) == device_secret(database)
    (tmp_path / "handhelds.key").write_text("short")
    with pytest.raises(SecretUnusable) as refused:
        device_secret(database)
    assert "pair" in refused.value.hint


def test_a_server_that_cannot_open_is_an_alert_and_a_certificate_near_its_end_too(tmp_path: Path) -> None:
    """The station runs on without it; it is said what is wrong, and that it is over, and 14 days before it ends."""
    settings = loaded(tmp_path, STATION + LOCAL.replace("8443", "0") + HANDHELD)
    database = tmp_path / "station.db"
    database.touch()
    files = make(tmp_path, days=10)
    files.certificate.rename(tmp_path / "away.pem")
    store = settings.store.model_copy(update={"path": database})
    named = {"certificate_file": files.certificate, "key_file": files.key}
    assert settings.board is not None
    wanted = settings.board.model_copy(update=named)
    settings = settings.model_copy(update={"store": store, "board": wanted})
    inbox: Inbox[Item] = Inbox()
    stop = threading.Event()
    clock = VirtualClock()
    board = Board(settings=settings, wanted=wanted, live=LiveBoard(), inbox=inbox, clock=clock, again_s=0.02)
    thread = threading.Thread(target=lambda: board.shell(Heart(stop)), daemon=True)
    thread.start()
    try:
        first = inbox.get(20)
        assert isinstance(first, AlertFound)
        assert (first.alert, first.standing, "station.pem" in first.detail) == ("BOARD_DOWN", True, True)
        (tmp_path / "away.pem").rename(files.certificate)
        eventually(lambda: board.port, 20, "it is opened")
        found = {}
        while "BOARD_CERTIFICATE_ENDS" not in found:
            item = inbox.get(20)
            assert isinstance(item, AlertFound)
            found[item.alert] = item.standing
        assert found["BOARD_DOWN"] is False
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()
