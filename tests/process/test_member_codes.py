"""Member codes from head office to the pump with real processes: a key set over the broker, a code, its withdrawal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agent.cli.codes import codes
from drivers.simulator.wires import PtyWire
from headoffice.cli.codes import codes as hq_codes
from tests.support.processes import Site, eventually

MEMBER = f"{1:016x}"
CARD = "9156000012345677"
WITHIN_S = 40


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as opened:
        yield opened


def test_a_station_takes_what_head_office_signs_until_it_is_revoked(site: Site) -> None:
    """Published over the broker, a code from `codes issue` is taken at a scanner; revoked, it is refused there.

    What is longer than any code is no scan, and is told once however often it comes.
    """
    site.import_members((CARD,))
    at_head_office(site, "rotate", "--purpose", "printed")
    site.start_hq()
    reader = site.forecourt.readers[0].name
    wire = PtyWire(site.folder / "scanner")
    wire.plug()
    site.write_config({**site.no_devices(), "readers": {reader: str(site.folder / "scanner")}})
    agent = site.start_agent()
    eventually(lambda: keys_in_force(site) == [1], WITHIN_S, "the key set is in force")
    eventually(lambda: online(site, f"reader:{reader}"), WITHIN_S, "the scanner is listened to")
    for _ in range(2):
        wire.write(b"x" * 600 + b"\r")
    text = issued(site)
    checked = at_station(site, "check", text, "--config", str(site.config), "--json")
    assert json.loads(checked.stdout)["outcome"] == "ACCEPTED", checked.output
    assert outcomes(site) == [], "looking at a code is no scan"
    wire.write(f"]Q1{text}\r\n".encode())
    assert eventually(lambda: outcomes(site), WITHIN_S, "the scan is answered")[0] not in {"UNKNOWN_KEY", "MALFORMED"}
    assert site.at_station("SELECT level FROM scan_event") == [("fm1_printed",)]
    at_head_office(site, "revoke", "01")
    eventually(lambda: keys_in_force(site) == [1, 2], WITHIN_S, "the revocation is in force")
    other = issued(site)
    wire.write(f"]Q1{other}\r\n".encode())
    eventually(lambda: outcomes(site)[1:] == ["KEY_NOT_VALID"], WITHIN_S, "the code is refused")
    assert at_station(site, "check", other, "--config", str(site.config)).exit_code == 1
    dropped = [json.loads(line) for line in agent.text.splitlines() if '"reader drops codes"' in line]
    assert [(line["reason"], bool(line["hint"])) for line in dropped] == [("frames_rejected.too_long", True)]
    wire.unplug()


def issued(site: Site) -> str:
    """A printed code that `codes issue` signs now with the key file of head office."""
    key = str(site.hq / "keys" / "codes" / "01.json")
    made = at_station(site, "issue", "--key", key, "--member", MEMBER, "--json")
    text: str = json.loads(made.stdout)["text"]
    return text


def at_station(site: Site, *words: str) -> Result:
    """A command of the station's, in this process."""
    return CliRunner().invoke(codes, words, env=site.environment)


def at_head_office(site: Site, *words: str) -> None:
    """A command of head office's, in this process; it must succeed."""
    done = CliRunner().invoke(hq_codes, words, env=site.environment)
    assert done.exit_code == 0, done.output


def online(site: Site, device: str) -> bool:
    """Whether a device is reachable."""
    return any(found["device"] == device and found["online"] for found in site.ask("status")["devices"])


def keys_in_force(site: Site) -> list[int]:
    """Versions of the key sets that the station has taken."""
    rows = site.at_station("SELECT version FROM document WHERE kind = 'keys' AND activated_ms > 0 ORDER BY version")
    return [version for (version,) in rows]


def outcomes(site: Site) -> list[str]:
    """What the readers were answered, in order."""
    return [outcome for (outcome,) in site.at_station("SELECT outcome FROM scan_event ORDER BY at_ms, id")]
