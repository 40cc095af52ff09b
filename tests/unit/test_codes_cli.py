"""``forecourt codes``: what the published examples come to through the command, and codes that it signs and draws."""

from __future__ import annotations

import json
import sqlite3
import struct
import zlib
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from typer.testing import CliRunner, Result

from agent.cli.codes import codes
from agent.domain.codes import issuing
from agent.domain.codes.issuing import CodeKey, IssueError
from agent.domain.codes.keyset import Purpose, document_of, parse
from agent.qr import PIXELS_PER_MODULE, NotDrawable, draw
from tests.support import template

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "member_code.json").read_text("utf-8"))
KEY_SET = {
    "type": "fc.keyset.v1",
    "version": 17,
    "keys": [{name: key[name] for name in key if name != "test_seed"} for key in VECTORS["key_set"]],
    "revoked_cards": VECTORS["revoked_printed"],
}
GOLDEN: dict[str, Any] = VECTORS["codes"][0]
MEMBER = "001620c519e2a71a"


def run(*arguments: str | Path, text: str | None = None) -> Result:
    """The command in this process."""
    return CliRunner().invoke(codes, [*map(str, arguments)], input=text)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The published key set as a file."""
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(KEY_SET), encoding="utf-8")
    return file


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A key file for phone codes, good in this century."""
    key = CodeKey(b"\x01", Purpose.DYNAMIC, bytes(range(32)), 0, 2**32 - 1)
    file = tmp_path / "key.json"
    file.write_text(json.dumps(issuing.key_document(key)), encoding="utf-8")
    file.chmod(0o600)
    return file


def moment(seconds: int) -> str:
    """Unix seconds as the option --at takes them."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@pytest.mark.parametrize("vector", VECTORS["codes"], ids=lambda vector: vector["name"])
def test_every_published_example_comes_to_its_outcome_through_the_command(vector: dict[str, Any], keys: Path) -> None:
    """Outcome, level, claims and the doubtful clock, and neither the text nor the whole member id is printed."""
    clock = vector.get("clock", {"quality": "ntp"})["quality"]
    wanted = vector["expect"]
    options = ("--keys", keys, "--training", "--at", moment(vector["now"]), "--clock", clock, "--json")
    done = run("check", "-", *options, text=vector["text"])
    told = json.loads(done.stdout)
    assert told["outcome"] == wanted["outcome"]
    assert done.exit_code == (0 if wanted["outcome"] in {"ACCEPTED", "CARD_NUMBER"} else 1)
    if "sub" in wanted:
        claims = told["claims"]
        assert (claims["kid"], claims["serial"]) == (wanted["kid"].lower(), wanted["cti"].lower())
        assert (claims["left_s"], told["key"]["purpose"]) == (wanted["exp"] - vector["now"], wanted["purpose"])
        assert claims["member"] == f"{wanted['sub'][:4].lower()}.."
    if "auth_level" in wanted:
        assert told["level"] == wanted["auth_level"]
        assert told["earn_only"] == (wanted["clock_suspect"] or wanted["auth_level"] == "fm1_printed")
    shown = done.output + run("check", vector["text"], *options[:-1]).output
    assert MEMBER not in shown.lower()
    assert len(vector["text"]) < 5 or vector["text"] not in shown


def test_without_keys_a_code_is_not_called_false(tmp_path: Path) -> None:
    """A station that has no key set yet says that it cannot check, and that nobody has proven the claims."""
    folder = tmp_path / "station"
    folder.mkdir()
    template.copy_to(folder)
    told = json.loads(run("check", GOLDEN["text"], "--database", folder / "station.db", "--json").stdout)
    assert (told["outcome"], told["key"], told["claims"]["proven"]) == ("UNKNOWN_KEY", None, False)


def test_the_stations_own_database_judges_and_is_not_written(tmp_path: Path, keys: Path) -> None:
    """Key set, replay table and newest time come from the file; a spent code is told as REPLAYED."""
    template.copy_to(tmp_path)
    database = tmp_path / "station.db"
    row = ("keys", 17, "", json.dumps(KEY_SET).encode(), 0, 1)
    with closing(sqlite3.connect(database)) as db, db:
        db.execute(
            "INSERT INTO document (kind, version, hash, body, effective_from_ms, activated_ms) VALUES (?,?,?,?,?,?)",
            row,
        )
    before = database.read_bytes()
    options = ("--database", database, "--training", "--at", moment(GOLDEN["now"]), "--json")
    assert json.loads(run("check", GOLDEN["text"], *options).stdout)["spent"] is False
    assert database.read_bytes() == before
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("INSERT INTO spent_code VALUES ('01', ?, 'a1b2c3d4', 1, 1, 'r', 's')", (MEMBER,))
    done = run("check", GOLDEN["text"], *options)
    told = json.loads(done.stdout)
    assert (done.exit_code, told["outcome"], told["spent"], told["level"]) == (1, "REPLAYED", True, None)


def test_a_database_of_other_software_is_told_in_two_lines(tmp_path: Path, keys: Path) -> None:
    """A table that is not there, whichever: no traceback."""
    template.copy_to(tmp_path)
    database = tmp_path / "station.db"
    with closing(sqlite3.connect(database)) as db, db:
        db.execute("DROP TABLE spent_code")
    options = ("--keys", keys, "--database", database, "--training", "--at", moment(GOLDEN["now"]))
    done = run("check", GOLDEN["text"], *options)
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (2, "", 2)


def test_a_code_that_it_signs_is_read_from_its_picture_and_accepted(tmp_path: Path, key_file: Path, keys: Path) -> None:
    """A foreign decoder reads the PNG as QR 6-M, and what it read is accepted."""
    picture, drawing = tmp_path / "code.png", tmp_path / "code.svg"
    done = run("issue", "--key", key_file, "--member", MEMBER, "--png", picture, "--svg", drawing, "--json")
    made = json.loads(done.stdout)
    assert made["qr"] == {"designator": "6-M", "mode": "alphanumeric"}
    assert len(made["text"]) == 153
    text, level, version = decoded(picture.read_bytes())
    assert (text, level, version) == (made["text"], "M", 6)
    assert b'width="19.6mm"' in drawing.read_bytes()
    told = json.loads(run("check", "-", "--keys", keys, "--training", "--json", text=text + "\r\n").stdout)
    assert (told["outcome"], told["level"]) == ("ACCEPTED", "fm1_dynamic")
    assert 0 < told["claims"]["left_s"] <= 120


def decoded(png: bytes) -> tuple[str, str, int]:
    """Text, error level and version of the code in a PNG of one bit per pixel, as an independent decoder reads them."""
    width, height, depth, colours = struct.unpack(">IIBB", png[16:26])
    assert (depth, colours) == (1, 0)
    chunks = png.split(b"IDAT")[1:]
    rows = zlib.decompress(b"".join(chunk[:-4] for chunk in chunks))
    wide = (width + 7) // 8 + 1
    image, above = bytearray(), bytes(wide - 1)
    for at in range(0, len(rows), wide):
        assert rows[at] in (0, 2), "as it is, or what differs from the row above"
        row = rows[at + 1 : at + wide]
        above = row if rows[at] == 0 else bytes((one + two) & 0xFF for one, two in zip(row, above, strict=True))
        image += bytes(255 * int(bit) for bit in "".join(f"{byte:08b}" for byte in above)[:width])
    (found,) = zxingcpp.read_barcodes(memoryview(bytes(image)).cast("B", (height, width)))
    return found.text, found.ec_level, (width // PIXELS_PER_MODULE - 8 - 17) // 4


def test_on_a_terminal_the_code_is_drawn_dark_on_light_with_its_quiet_zone() -> None:
    """Colours are set, four modules are light on every side, two rows share a line."""
    lines = draw(GOLDEN["text"]).blocks().splitlines()
    assert len(lines) == (41 + 8 + 1) // 2
    assert all(line.startswith("\x1b[97;40m████") and line.endswith("████\x1b[0m") for line in lines[:-1])
    assert draw(GOLDEN["text"]).blocks(colours=False).splitlines()[0] == "█" * 49


def test_what_is_too_long_for_a_symbol_is_refused_with_a_hint() -> None:
    """No traceback of the library."""
    with pytest.raises(NotDrawable) as refused:
        draw("x" * 5_000)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--member", "12"), "16 hex digits"),
        (("--member", MEMBER, "--life", "3min"), "live longer"),
        (("--member", MEMBER, "--life", "soon"), "is no time"),
        (("--member", MEMBER, "--serial", "beef"), "4 to 8 bytes"),
        (("--member", MEMBER, "--serial", "xy"), "no hexadecimal"),
        (("--member", "0" * 16), "zero"),
    ],
)
def test_a_code_that_no_station_would_take_is_not_signed(key_file: Path, options: tuple[str, ...], said: str) -> None:
    """Exit code 2, what is wrong, what to do, and no text."""
    done = run("issue", "--key", key_file, *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": "00"}, "seed"),
        ({"kid": ""}, "kid"),
        ({"not_after": 0}, "dates"),
        ({"purpose": "x"}, "x"),
        ({"y": 1}, "y"),
    ],
)
def test_a_damaged_key_file_is_refused_and_never_shown(key_file: Path, change: dict[str, Any], said: str) -> None:
    """The member is named, no value is."""
    document = json.loads(key_file.read_text(encoding="utf-8"))
    with pytest.raises(IssueError, match=said):
        issuing.read_key({**document, **change})
    key_file.chmod(0o644)
    done = run("issue", "--key", key_file, "--member", MEMBER)
    assert (done.exit_code, "can be read by others" in done.stderr) == (2, True)
    assert document["seed"] not in done.output


@pytest.mark.parametrize(
    "options",
    [
        ("--clock", "gps"),
        ("--at", "noon"),
        ("--at", "2026-11-22T00:00:00"),
        ("--keys", "/nowhere"),
        ("--database", "/nowhere"),
    ],
)
def test_a_question_that_cannot_be_answered_is_exit_two(keys: Path, options: tuple[str, ...]) -> None:
    """One or two lines, whatever was wrong."""
    ground = () if "--keys" in options or "--database" in options else ("--keys", str(keys), "--training")
    done = run("check", "FM1:", *ground, *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert 1 <= len(done.stderr.splitlines()) <= 2


def test_a_published_set_is_written_as_it_is_read() -> None:
    """Keys and withdrawn cards survive the way through a document."""
    found = parse(KEY_SET, testing=True)
    assert parse(document_of(found), testing=True) == found
