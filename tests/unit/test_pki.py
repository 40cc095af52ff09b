"""The certificate authority of head office: what it gives out, to whom, what it takes back, and what the commands say."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.commissioning import plan
from headoffice.errors import KeyProblem, UsageError
from headoffice.keys import make_keys
from headoffice.pki import CRL_FILE, FOLDER, Authority, standing
from sync import bundle
from tests.support.headoffice_command import HeadOfficeCommand

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.fixture
def pki(tmp_path: Path) -> Authority:
    """An authority of today."""
    made = Authority(tmp_path / "keys" / FOLDER)
    made.make(NOW)
    return made


@pytest.fixture
def hq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> HeadOfficeCommand:
    """The command on a state folder with keys."""
    make_keys(tmp_path / "keys")
    return HeadOfficeCommand(tmp_path, monkeypatch, capsys)


def _read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _withdrawn(pki: Authority) -> set[int]:
    return {one.serial_number for one in x509.load_pem_x509_crl((pki.folder / CRL_FILE).read_bytes())}


def test_a_station_is_a_client_and_a_broker_a_server(pki: Authority) -> None:
    """The name is the common name; a station's certificate cannot play the broker, nor the broker's a station [W-60]."""
    pki.issue("SH-0001", "station", NOW, group="main")
    pki.issue("broker", "broker", NOW, hosts=["broker.example.net", "10.0.0.5"])
    ca = _read(pki.folder / "ca.pem")
    for name, purpose in (
        ("SH-0001", ExtendedKeyUsageOID.CLIENT_AUTH),
        ("broker", ExtendedKeyUsageOID.SERVER_AUTH),
    ):
        made = _read(pki.certificate(name))
        made.verify_directly_issued_by(ca)
        assert made.subject.rfc4514_string() == f"CN={name}"
        assert list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [purpose]
        assert made.not_valid_before_utc == NOW - timedelta(days=1)
    hosts = _read(pki.certificate("broker")).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert hosts.get_values_for_type(x509.DNSName) == ["broker.example.net"]


def test_nothing_outlives_its_authority(pki: Authority) -> None:
    """A certificate ends with the authority at the latest, and the list of withdrawn ones exactly then: one that ran
    out earlier would lock every station out.
    """
    late = NOW + timedelta(days=3_600)
    pki.issue("SH-0001", "station", late)
    pki.write_crl(late)
    ends = _read(pki.folder / "ca.pem").not_valid_after_utc
    assert _read(pki.certificate("SH-0001")).not_valid_after_utc == ends
    assert x509.load_pem_x509_crl((pki.folder / CRL_FILE).read_bytes()).next_update_utc == ends


def test_renewing_keeps_the_key_and_needs_none(pki: Authority) -> None:
    """The new certificate is for the same key, made although the key is not here any more."""
    pki.issue("SH-0001", "station", NOW, group="east")
    before = _read(pki.certificate("SH-0001"))
    pki.key("SH-0001").unlink()
    later = NOW + timedelta(days=700)
    renewed = pki.renew("SH-0001", later)
    after = _read(pki.certificate("SH-0001"))
    assert after.public_key() == before.public_key()
    assert after.serial_number == int(renewed.serial, 16) != before.serial_number
    assert (renewed.group, after.not_valid_after_utc) == ("east", later + timedelta(days=730))
    assert [state for _, state in standing(pki.issued(), later)] == ["good", "replaced"]


def test_withdrawing_takes_every_certificate_of_a_name(pki: Authority) -> None:
    """After a loss neither the newest nor an older certificate is good; another one has another key."""
    pki.issue("SH-0001", "station", NOW)
    pki.issue("SH-0002", "station", NOW)
    old_key = _read(pki.certificate("SH-0001")).public_key()
    pki.renew("SH-0001", NOW)
    taken = pki.revoke("SH-0001", NOW)
    assert _withdrawn(pki) == {int(one.serial, 16) for one in taken}
    assert len(taken) == 2
    assert not pki.key("SH-0001").exists()
    pki.issue("SH-0001", "station", NOW)
    assert _read(pki.certificate("SH-0001")).public_key() != old_key
    assert len(_withdrawn(pki)) == 2


@pytest.mark.parametrize(
    ("name", "role", "hosts"),
    [
        ("head-office", "station", ()),
        ("head-office-9", "broker", ("h",)),
        ("SH-0001", "head-office", ()),
        ("a b", "station", ()),
        ("#", "station", ()),
        ("SH-0001", "king", ()),
        ("SH-0001", "station", ("h",)),
        ("broker", "broker", ()),
    ],
)
def test_nobody_gets_the_name_of_another(pki: Authority, name: str, role: str, hosts: tuple[str, ...]) -> None:
    """The broker takes the name for the user name: no station is head office, and none has a name with a wildcard [W-60]."""
    with pytest.raises(UsageError):
        pki.issue(name, role, NOW, hosts=hosts)
    assert pki.issued() == []


def test_a_station_may_be_called_like_a_file_of_the_authority(pki: Authority) -> None:
    """What is given out lies in a folder of its own."""
    before = (pki.folder / "ca.pem").read_bytes()
    pki.issue("ca", "station", NOW)
    assert (pki.folder / "ca.pem").read_bytes() == before


def test_what_cannot_be_used_is_said(pki: Authority, tmp_path: Path) -> None:
    """A missing authority, a key that others read, a damaged ledger, a second certificate: each by name, nothing lost."""
    with pytest.raises(KeyProblem, match="no authority"):
        Authority(tmp_path / "nowhere").issued()
    pki.issue("SH-0001", "station", NOW)
    mistakes: tuple[Callable[[], object], ...] = (
        lambda: pki.make(NOW),
        lambda: pki.issue("SH-0001", "station", NOW),
        lambda: pki.renew("SH-0002", NOW),
        lambda: pki.revoke("SH-0002", NOW),
    )
    for mistake in mistakes:
        with pytest.raises(UsageError):
            mistake()
    (pki.folder / "ca.key").chmod(0o644)
    with pytest.raises(KeyProblem, match="read by others"):
        pki.renew("SH-0001", NOW)
    (pki.folder / "ca.key").unlink()
    assert [one.name for one in pki.issued()] == ["SH-0001"]
    with pytest.raises(KeyProblem, match="key is not here"):
        pki.revoke("SH-0001", NOW)
    (pki.folder / "ledger.json").write_text("[{}]")
    with pytest.raises(KeyProblem, match=r"ledger\.json"):
        pki.issued()


def test_from_an_authority_to_a_station(hq: HeadOfficeCommand, tmp_path: Path) -> None:
    """`pki init`, `bundle`: authority, certificate and key are in the bundle and stand in the station's configuration."""
    hq("pki", "init", "--host", "broker.example.net")
    broker = ("--broker", "mqtts://broker.example.net:8883")
    hq("bundle", "SH-0001", "--group", "east", *broker, "--out", str(tmp_path / "one.bundle"))
    hq("bundle", "SH-0001", *broker, "--out", str(tmp_path / "again.bundle"))
    one, again = (bundle.load((tmp_path / f"{name}.bundle").read_bytes()) for name in ("one", "again"))
    assert one.files["station.pem"] == again.files["station.pem"]
    own = x509.load_pem_x509_certificate(one.files["station.pem"].encode())
    own.verify_directly_issued_by(x509.load_pem_x509_certificate(one.files["ca.pem"].encode()))
    text = plan(one)[-1].text
    assert 'certificate_file = "/etc/forecourt/tls/station.pem"' in text
    assert "user SH-0001\ntopic read fc/v1/ho/state\ntopic read fc/v1/g/east/#" in hq("pki", "acl")
    (tmp_path / "keys" / "pki" / "issued" / "SH-0001.key").unlink()
    assert "pki revoke SH-0001" in hq("bundle", "SH-0001", *broker, code=2)
    assert "without --ca" in hq("bundle", "SH-0002", *broker, "--cert", str(tmp_path / "x"), code=2)


def test_the_commands_of_the_authority(hq: HeadOfficeCommand, tmp_path: Path) -> None:
    """List tells state and days, `--ends-within` ends with 1 where somebody should act, revoke and crl name the file."""
    assert "pki init" in hq("pki", "list", code=2)
    hq("pki", "init")
    made = json.loads(hq("pki", "issue", "SH-0001", "--days", "20", "--json"))
    assert made["certificate"].endswith("/issued/SH-0001.pem")
    assert json.loads(hq("pki", "list", "--ends-within", "10", "--json")) == []
    soon = json.loads(hq("pki", "list", "--ends-within", "30", "--json", code=1))
    assert [(row["name"], row["state"], row["days_left"] in (19, 20)) for row in soon] == [("SH-0001", "good", True)]
    hq("pki", "renew", "SH-0001")
    assert hq("pki", "list", "--ends-within", "30") == "no certificates\n"
    revoked = json.loads(hq("pki", "revoke", "SH-0001", "--json"))["revoked"]
    assert made["serial"] in revoked
    assert json.loads(hq("pki", "crl", "--json"))["revoked"] == 2
    states = {row["serial"]: row["state"] for row in json.loads(hq("pki", "list", "--json"))}
    assert states[made["serial"]] == "revoked"
    printed = hq("pki", "acl")
    assert "user SH-0001" not in printed
    assert hq("pki", "acl", "--out", str(tmp_path / "acl")) == ""
    assert (tmp_path / "acl").read_text() == printed
    assert "cannot write" in hq("pki", "acl", "--out", str(tmp_path / "none" / "acl"), code=2)
