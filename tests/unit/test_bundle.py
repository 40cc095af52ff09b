"""The station bundle: made by head office, read by `forecourt init`, refused whole where a part is wrong."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from agent.cli import application
from agent.commissioning import CommissioningRefused, address_list, plan, write_all
from agent.settings import load as load_settings
from headoffice.cards import make_files
from headoffice.cli.app import app as hq_app
from headoffice.keys import make_keys
from sync.bundle import FILES, Bundle, BundleProblem, dump, fingerprint, load, same_fingerprint
from tests.support.station_file import STATION as FILE

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
JWKS = json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": "AAAA"}]})
STATION = {
    "id": "SH-0421",
    "name": 'Example "Road" 一号',
    "timezone": "Asia/Shanghai",
    "currency": "CNY",
    "group": "main",
    "language": "zh-CN",
}
FULL = {
    "index-key": "ab" * 32,
    "pinned-keys": JWKS,
    "broker-password": "s3cret\n",
    "ca.pem": PEM,
    "station.pem": PEM,
    "station.key": PEM,
    "backup-recipients": "# head office\nage1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\n",
    "card-keys": json.dumps({"transport": "ab" * 32, "meta_read": "cd" * 16}),
}
CONFIGURATION = FILE.replace('id = "SH-0001"', 'id = "SH-0421"')


def bundle(**changed: Any) -> Bundle:
    values: dict[str, Any] = {
        "station": STATION,
        "broker": "mqtts://broker.example.net:8883",
        "made_at": "2026-11-22T05:00:00.000Z",
        "files": FULL,
        "configuration": None,
    }
    return Bundle(**{**values, **changed})


def document(**changed: Any) -> bytes:
    """A bundle as JSON with members changed, unchecked."""
    return json.dumps({**json.loads(dump(bundle())), **changed}).encode()


def forecourt(*arguments: str) -> Result:
    return CliRunner().invoke(application(), ["init", *arguments])


def test_what_is_made_is_read_again() -> None:
    """Every part survives, with and without a configuration, and every file kind is named in the table."""
    assert set(FULL) == set(FILES)
    for made in (bundle(), bundle(configuration=CONFIGURATION), bundle(files={k: FULL[k] for k in list(FULL)[:2]})):
        assert load(dump(made).encode()) == made


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"PK\x03\x04", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b" " * 1_048_577, "larger than 1 MiB"),
        (b"{}", '"format" is missing'),
        (document(format="fc-bundle/2"), "reads fc-bundle/1"),
        (document(extra=1), "unknown member 'extra'"),
        (document(head_office={"broker": "http://x"}), "head_office.broker is not mqtt://HOST:PORT"),
        (document(station={**STATION, "id": "a b"}), "station.id"),
        (document(station={**STATION, "name": "a\nb"}), "station.name"),
        (document(station={**STATION, "timezone": "../../etc"}), "station.timezone"),
        (document(station={key: STATION[key] for key in ("id", "name")}), "station lacks timezone"),
        (document(files={"index-key": FULL["index-key"]}), "files lacks pinned-keys"),
        (document(files={**FULL, "index-key": "12"}), "index-key is not 64 hex digits"),
        (document(files={**FULL, "../../evil": "x"}), "unknown member '../../evil'"),
        (document(files={**FULL, "pinned-keys": JWKS.replace('"x"', '"d": "private", "x"')}), "public Ed25519 keys"),
        (document(files={key: text for key, text in FULL.items() if key != "station.key"}), "belong together"),
        (document(files={**FULL, "backup-recipients": "AGE-SECRET-KEY-1"}), "age recipients"),
        (document(files={**FULL, "card-keys": '{"transport": "ab", "meta_read": "cd"}'}), "keys of signing cards"),
        (document(files={**FULL, "card-keys": "[]"}), "keys of signing cards"),
        (document(configuration="[station"), "nor a station.toml"),
        (document(configuration='[station]\nid = "SH-9999"'), "belongs to station 'SH-9999'"),
    ],
)
def test_a_wrong_part_is_named(content: bytes, problem: str) -> None:
    """A file that is no bundle, or whose part cannot be used, is refused as a whole and says why."""
    with pytest.raises(BundleProblem) as refused:
        load(content)
    assert problem in str(refused.value)
    assert refused.value.hint


@given(st.binary(max_size=200), st.integers(0, 1_000))
def test_any_bytes_are_a_bundle_or_a_bundle_problem(noise: bytes, at: int) -> None:
    """Damage anywhere gives a bundle that can be made again, or BundleProblem; nothing else."""
    whole = dump(bundle()).encode()
    for content in (noise, whole[:at] + noise + whole[at:], whole[: -1 - at]):
        try:
            found = load(content)
        except BundleProblem:
            continue
        assert load(dump(found).encode()) == found


def test_two_people_compare_the_fingerprint() -> None:
    """It changes with one byte and does not mind spaces or capitals."""
    one, other = fingerprint(b"bundle"), fingerprint(b"bundlf")
    assert one != other
    assert same_fingerprint(one.replace(" ", "").upper(), one)
    assert not same_fingerprint(other, one)


def test_the_skeleton_is_toml_with_all_that_head_office_knows(tmp_path: Path) -> None:
    """Devices added to it, it passes the check: id, broker and certificate files stand where they were written."""
    files = plan(bundle())
    assert files[-1].path.name == "station.toml"
    devices = CONFIGURATION.split("\n\n", 1)[1].split("[head_office]")[0]
    target = tmp_path / "station.toml"
    target.write_text(files[-1].text + "\n" + devices, encoding="utf-8")
    settings = load_settings(target)
    assert settings.station.name == STATION["name"]
    assert settings.head_office.broker == "mqtts://broker.example.net:8883"
    written = {str(file.path) for file in files}
    assert {str(settings.head_office.ca_file), str(settings.head_office.key_file)} <= written
    assert str(settings.head_office.password_file) in written


def test_only_certificates_are_open_to_everybody(tmp_path: Path) -> None:
    """Secrets and the configuration are closed to others; a second run keeps everything."""
    files = plan(bundle())
    assert {state for _, state in write_all(tmp_path, files, replace=False, stamp="1")} == {"written"}
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    assert {name for name, mode in modes.items() if mode & 0o007} == {"ca.pem", "station.pem"}
    assert {state for _, state in write_all(tmp_path, files, replace=False, stamp="2")} == {"kept"}


def test_what_differs_is_refused_before_anything_is_written_or_kept_beside(tmp_path: Path) -> None:
    """Without --replace nothing changes, with it the old file is kept under its time."""
    write_all(
        tmp_path, plan(bundle(files={k: FULL[k] for k in ("index-key", "pinned-keys")})), replace=False, stamp="1"
    )
    changed = plan(bundle(files={**FULL, "index-key": "cd" * 32}))
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    with pytest.raises(CommissioningRefused, match="index-key"):
        write_all(tmp_path, changed, replace=False, stamp="2")
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before
    write_all(tmp_path, changed, replace=True, stamp="2")
    secrets = tmp_path / "etc/forecourt/secrets"
    assert (secrets / "index-key").read_text() == "cd" * 32
    assert (secrets / "index-key.before-2").read_text() == FULL["index-key"]


def test_the_address_list_holds_broker_and_serial_servers(tmp_path: Path) -> None:
    """Names are resolved and need the name servers; a name nobody knows is told and stands as a comment."""
    config = tmp_path / "station.toml"
    config.write_text(CONFIGURATION.replace("127.0.0.1", "broker.example.net"), encoding="utf-8")
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("# home\nnameserver 10.0.0.1\nsearch example.net\n", encoding="utf-8")
    known = {"broker.example.net": ["192.0.2.7", "2001:db8::7"]}
    drop_in, unknown = address_list(load_settings(config), lambda host: known.get(host, []), resolv)
    allowed = [line.partition("=")[2] for line in drop_in.splitlines() if line.startswith("IPAddressAllow=")]
    assert sorted(allowed) == ["10.0.0.1", "10.0.0.5", "192.0.2.7", "2001:db8::7"]
    assert unknown == ()
    drop_in, unknown = address_list(load_settings(config), lambda _host: [], resolv)
    assert unknown == ("broker.example.net",)
    assert "# broker.example.net had no address" in drop_in


def test_from_head_office_to_a_station(tmp_path: Path) -> None:
    """`forecourt-hq bundle` makes what `forecourt init` takes, once the fingerprint agrees; the station starts with it."""
    keys = make_keys(tmp_path / "hq" / "keys")
    make_files(tmp_path / "hq" / "keys")
    config, made, root = tmp_path / "devices.toml", tmp_path / "SH-0421.bundle", tmp_path / "root"
    config.write_text(CONFIGURATION, encoding="utf-8")
    asked = [
        "bundle",
        "SH-0421",
        "--state",
        str(tmp_path / "hq"),
        "--config",
        str(config),
        "--out",
        str(made),
        "--json",
    ]
    told = CliRunner().invoke(hq_app, asked)
    assert told.exit_code == 0, told.output
    mark = json.loads(told.stdout)["fingerprint"]
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    arguments = ["--bundle", str(made), "--root", str(root)]
    assert forecourt(*arguments).exit_code == 2, "nobody compared the fingerprint"
    assert forecourt(*arguments, "--fingerprint", "0" * 32).exit_code == 1
    assert not root.exists()
    done = forecourt(*arguments, "--fingerprint", mark, "--json")
    assert done.exit_code == 0, done.output
    assert load_settings(root / "etc/forecourt/station.toml").station.id == "SH-0421"
    secrets = root / "etc/forecourt/secrets"
    assert bytes.fromhex((secrets / "index-key").read_text()) == keys.index_key
    assert (secrets / "card-keys").read_text() == (tmp_path / "hq/keys/cards.json").read_text()
    own = (secrets / "field-key").read_text()
    assert (len(own), stat.S_IMODE((secrets / "field-key").stat().st_mode) & 0o007) == (67, 0)
    assert forecourt(*arguments, "--fingerprint", mark).exit_code == 0, "a second run changes nothing"
    assert (secrets / "field-key").read_text() == own
    assert (root / "etc/systemd/system/forecourt.service.d/10-addresses.conf").exists()
    again = CliRunner().invoke(hq_app, asked)
    assert again.exit_code != 0, "a bundle is never overwritten"


def test_wrong_usage_is_two_lines_and_code_two(tmp_path: Path) -> None:
    """No file, not a bundle, both or neither option: code 2 and no traceback."""
    wrong = tmp_path / "wrong.bundle"
    wrong.write_bytes(b"\x00" * 10)
    for arguments in ([], ["--bundle", str(wrong), "--yes"], ["--bundle", str(tmp_path / "none"), "--yes"]):
        told = forecourt(*arguments)
        assert told.exit_code == 2
        assert len(told.stderr.strip().splitlines()) == 2
    assert forecourt("--bundle", str(wrong), "--addresses").exit_code == 2
    assert forecourt("--addresses", "--root", str(tmp_path)).exit_code == 2
