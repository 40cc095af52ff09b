"""The commands ``forecourt device``: exit codes, one or two lines for every mistake, documented JSON, a light start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.cli import application
from agent.cli.device_show import masked
from tests.support.field import Peer, quiet_forecourt
from tests.support.processes import eventually

SCAN_EVERY_S = 0.2
PATIENTLY = ("--timeout", "120s")
"""A reading is over as soon as it has what it wants."""

FRAME = "513A02080000000000000000030400117501010105602703FA"


def forecourt(*words: str, text: str | None = None) -> tuple[int, str, str]:
    """Exit code, output and errors of one command."""
    done = CliRunner().invoke(application(), ["device", *words], input=text)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with quiet_forecourt(tmp_path_factory.mktemp("station")) as endpoints:
        yield endpoints


def test_a_dispenser_as_json_with_raw_digits_and_decimals(station: dict[str, Any], tmp_path: Path) -> None:
    """Integers with units in the key names; without decimals only what travelled; the recording decodes."""
    port, tape = station["lines"]["island-1"], tmp_path / "line.jsonl"
    words = ["read", "--protocol", "dart", "--port", port, "--address", "0x51", "--json", *PATIENTLY]
    code, out, _ = forecourt(*words, "--decimals", "2,2,3", "--record", str(tape))
    value = json.loads(out)
    assert (code, value["ok"], value["state"], value["unit_price_milli"]) == (0, True, "Idle", 7850)
    total = value["totals"][0]
    assert total["volume_ml"] == 10 * total["volume_raw"]
    code, out, _ = forecourt("decode", str(tape), "--json")
    decoded = json.loads(out)
    assert (code, decoded["protocol"]) == (0, "dart")
    assert {frame["direction"] for frame in decoded["frames"]} == {"to_device", "from_device"}
    assert all(frame["problem"] is None for frame in decoded["frames"])


def test_tanks_for_people_in_our_units_and_in_the_consoles(station: dict[str, Any]) -> None:
    """Both stand there, so that a wrong unit shows."""
    code, out, _ = forecourt("read", "--protocol", "veeder-root", "--port", station["gauge"]["tcp"], *PATIENTLY)
    assert code == 0
    assert "units metric" in out
    assert "18400.00" in out
    assert "volume 18400 L" in out


@contextmanager
def scanning(peer: Peer, code: bytes) -> Iterator[None]:
    """Somebody scans the same code again and again, because nobody can see when the port is open."""
    done = threading.Event()

    def scan() -> None:
        while not done.wait(SCAN_EVERY_S):
            peer.say(code)

    scanner = threading.Thread(target=scan)
    scanner.start()
    try:
        yield
    finally:
        done.set()
        scanner.join()


def test_a_scanned_code_is_masked() -> None:
    """Member codes, card numbers and phones never stand in full on the screen."""
    with Peer(lambda _data: b"") as peer, scanning(peer, b"]C19156000000000017\r\n"):
        code, out, _ = forecourt("read", "--protocol", "serial-scanner", "--port", peer.port, "--json", *PATIENTLY)
    value = json.loads(out)
    assert (code, value["code"]["characters"], value["code"]["symbology"]) == (0, 16, "]C1")
    assert "9156000000000017" not in out
    assert [masked(text) for text in ("FP:3", "CANCEL", "FM1:ABC", "12345678")] == [
        "FP:3",
        "CANCEL",
        "FM1:[redacted]",
        "1234****",
    ]


def test_a_device_that_does_not_answer_ends_with_3_and_the_cause() -> None:
    """On stderr for people, on stdout as JSON for programs."""
    with Peer(lambda data: data) as peer:
        words = ["read", "--protocol", "dart", "--port", peer.port, "--address", "0x50", "--timeout"]
        code, out, err = forecourt(*words, "500ms")
        assert (code, out) == (3, "")
        assert len(err.strip().splitlines()) == 2
        for timeout in ("500ms", "5s", "60s"):  # where the peer was held up for all of a time, it is given a longer one
            code, out, err = forecourt(*words, timeout, "--json")
            if json.loads(out)["evidence"]["echoes"]:
                break
    assert (code, json.loads(out)["cause"], err) == (3, "echo", "")


MISTAKES: dict[str, tuple[list[str], int, str]] = {
    "no-port": (["read", "--protocol", "dart", "--port", "/dev/ttyNONE", "--address", "0x50"], 3, "No such file"),
    "no-driver": (["read", "--protocol", "darts", "--port", "x"], 2, "did you mean 'dart'"),
    "no-address": (["read", "--protocol", "dart", "--port", "x"], 2, "needs its address"),
    "address": (["read", "--protocol", "dart", "--port", "/dev/null", "--address", "zz"], 2, "like 0x50"),
    "no-tty": (["read", "--protocol", "dart", "--port", "/dev/null", "--address", "0x50"], 3, "/dev/null"),
    "option": (["read", "--protocol", "veeder-root", "--port", "x", "--option", "unit=2"], 2, "did you mean 'units'"),
    "no-value": (["read", "--protocol", "veeder-root", "--port", "x", "--option", "units"], 2, "KEY=VALUE"),
    "timeout": (["read", "--protocol", "veeder-root", "--port", "x", "--timeout", "soon"], 2, "no duration"),
    "parity": (["read", "--protocol", "dart", "--port", "x", "--address", "80", "--parity", "mark"], 2, "none, even"),
    "decimals": (
        ["read", "--protocol", "dart", "--port", "x", "--address", "80", "--decimals", "2,2"],
        2,
        "three numbers",
    ),
    "nothing": (["decode"], 2, "nothing to decode"),
    "odd-hex": (["decode", "--hex", "51 2"], 2, "odd number of digits"),
    "no-hex": (["decode", "--hex", "hello"], 2, "is no hex"),
    "unknown-bytes": (["decode", "--hex", "00 11 22"], 1, "look like no known protocol"),
    "no-file": (["decode", "/none"], 2, "cannot be read"),
    "direction": (["decode", "--hex", "51", "--direction", "up"], 2, "master or device"),
    "no-way": (["tap", "--out", "/tmp/x"], 2, "give --port"),
    "reader": (
        ["tap", "--out", "/tmp/x", "--port", "/dev/null", "--protocol", "serial-scanner"],
        2,
        "--with-member-codes",
    ),
    "half-a-pair": (["tap", "--out", "/tmp/x", "--port-a", "x"], 2, "--port-b"),
    "out": (["tap", "--out", "/none/x", "--port", "/dev/null"], 2, "cannot be written"),
    "no-place": (["replay", "/none", "--port", "udp"], 2, "cannot be read"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_or_two_lines(mistake: str) -> None:
    """With its exit code and what to do; never a traceback."""
    words, expected, part = MISTAKES[mistake]
    code, out, err = forecourt(*words)
    assert (code, out) == (expected, ""), err
    assert part in err
    assert 1 <= len(err.strip().splitlines()) <= 2


def test_a_file_that_is_no_recording_or_no_text_is_refused(tmp_path: Path) -> None:
    """With what would be one."""
    binary, cut = tmp_path / "a.bin", tmp_path / "b.jsonl"
    binary.write_bytes(b"\xff\xfe\x00")
    cut.write_text('{"format":"forecourt-recording","version":9}\n', encoding="ascii")
    assert forecourt("decode", str(binary))[0] == 2
    assert "xxd" in forecourt("decode", str(binary))[2]
    assert "version 9" in forecourt("decode", str(cut))[2]
    assert "version 9" in forecourt("replay", str(cut))[2]
    existing = forecourt("tap", "--out", str(cut), "--port", "/dev/null")
    assert (existing[0], "File exists" in existing[2]) == (2, True)


def test_bytes_from_the_standard_input_are_decoded_for_people() -> None:
    """Offsets, bytes, names, meanings; the checksum as given and as computed."""
    code, out, _ = forecourt("decode", "-", text=FRAME)
    assert code == 0
    assert "given 2760, computed 2760" in out
    assert "nozzle 1, in" in out
    code, out, _ = forecourt("decode", "--hex", FRAME, "--json", "--direction", "device")
    (frame,) = json.loads(out)["frames"]
    assert "".join(field["bytes"] for field in frame["fields"]).replace(" ", "") == FRAME


def test_a_security_code_is_not_printed() -> None:
    """It is a secret of the site, whoever recorded it."""
    question = b"\x01654321i20100\r\n".hex()
    for words in ([], ["--json"]):
        _, out, _ = forecourt("decode", "--hex", question, *words)
        assert "36 35 34 33 32 31" not in out
        assert "654321" not in out
        assert "** ** ** ** ** **" in out


def test_ctrl_c_ends_a_recording_with_a_summary(tmp_path: Path) -> None:
    """Code 0, a complete file, what was heard from where; codes of a scanner are masked on the screen."""
    out = tmp_path / "line.jsonl"
    with Peer(lambda _data: b"") as peer:
        command = [sys.executable, "-m", "agent", "device", "tap", "--port", peer.port, "--out", str(out)]
        process = subprocess.Popen(
            [*command, "--protocol", "serial-scanner", "--with-member-codes"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        eventually(lambda: out.exists() and peer.say(b"FM1:SECRET\r\n") and b'"hex"' in out.read_bytes(), 30, "a tape")
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert said.rstrip().splitlines()[-1].startswith(f"{out}: ")
    assert "FM1:[redacted]" in said
    assert "SECRET" not in said
    assert out.read_text(encoding="ascii").splitlines()[-1].find('"event":"end"') > 0


def test_the_port_of_a_reader_is_known_by_the_station_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a protocol too, and by another name of the same device; a line of dispensers is recorded as ever."""
    (tmp_path / "scanner").touch()
    (tmp_path / "link").symlink_to(tmp_path / "scanner")
    config = tmp_path / "station.toml"
    config.write_text(f'[[reader]]\nid = "r"\nport = "{tmp_path}/scanner"\n', encoding="utf-8")
    monkeypatch.setenv("FORECOURT_CONFIG", str(config))
    code, _, err = forecourt("tap", "--out", str(tmp_path / "x"), "--port", str(tmp_path / "link"))
    assert (code, "--with-member-codes" in err, (tmp_path / "x").exists()) == (2, True, False)
    code, _, err = forecourt("tap", "--out", "/none/x", "--port", "/dev/null")
    assert (code, "cannot be written" in err) == (2, True)


def test_help_loads_no_heavy_library() -> None:
    """No serial port, no driver, no table printer for a look at the options."""
    script = (
        "import sys; from agent.cli import application\n"
        "try: application()(['device', 'read', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'serial', 'drivers.registry', 'agent.field', 'rich.table', 'sqlite3'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**os.environ}, timeout=240
    )
    assert done.stdout.splitlines()[-1] == "[]"
