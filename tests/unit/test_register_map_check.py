"""``forecourt device check-map``: its exit codes, its JSON, and the examples of the documentation, which are run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.cli import application
from drivers.modbus import shelf
from drivers.modbus.load import load
from tests.support.register_maps import TEST_ONLY, VALUES, read, text_of

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "devices" / "register-maps.md").read_text(encoding="utf-8")


def check_map(*words: str) -> tuple[int, str, str]:
    """Exit code, output and errors of one command."""
    done = CliRunner().invoke(application(), ["device", "check-map", *words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def answer(*words: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = check_map(*words, "--json")
    return code, json.loads(out)


def given(map_id: str) -> list[str]:
    return [word for name in read(map_id).requires for word in ("--value", f"{name}={VALUES[name]}")]


@pytest.mark.parametrize("map_id", shelf.shipped_ids())
def test_a_shipped_map_is_ready_with_its_values_and_only_then(map_id: str) -> None:
    """Each opens with what it is, its verdict and what is uncertain; each stands on the page for installers."""
    text = text_of(map_id).decode()
    opening = text.split("[map]")[0]
    assert opening.startswith("# ")
    assert "# Verdict: ship" in opening
    assert "# Uncertain: " in opening
    assert f"| `{map_id}` |" in PAGE
    assert load("x", text.encode()).id == map_id
    code, value = answer(map_id, *given(map_id))
    assert (code, value["verdict"], value["problems"]) == (0, "ready", [])
    assert value["reads"]
    assert len(value["sha256"]) == 64
    needed = [one["name"] for one in value["values"]]
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{map_id}` |"))
    assert all(f"`{name}`" in row for name in needed)
    code, value = answer(map_id)
    assert (code, value["verdict"]) == ((1, "values-required") if needed else (0, "ready"))


def test_maps_of_tests_are_not_offered_to_a_station() -> None:
    """What only proves the language is not on the shelf."""
    assert not set(TEST_ONLY) & set(shelf.shipped_ids())
    for map_id in TEST_ONLY:
        assert check_map(map_id)[0] == 2


@pytest.mark.parametrize(
    ("page", "name"), [("devices/register-maps.md", "acme-meter.toml"), ("cli.md", "seneca-z10-d-in")]
)
def test_the_examples_of_the_pages_are_what_the_command_prints(
    page: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The map on the page is written to a file, checked, and printed as the page shows it."""
    monkeypatch.chdir(tmp_path)
    text = (DOCS / page).read_text(encoding="utf-8")
    example = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    Path("acme-meter.toml").write_text(example[1], encoding="utf-8")
    shown = re.search(rf"```\n\$ forecourt device check-map ({re.escape(name)}.*?)\n(.*?)```", text, re.DOTALL)
    assert shown is not None
    code, out, _ = check_map(*shown[1].split())
    assert code == 0
    assert re.sub(r"(sha256 [0-9a-f]{4})[0-9a-f]{60}", r"\1", out) == shown[2]


def test_a_dispenser_with_everything_it_reads_and_writes() -> None:
    """Requests, record, acknowledgement, commands with their proof."""
    code, value = answer("reference-dispenser")
    assert code == 0
    (one,) = value["reads"]
    assert (one["function"], one["address"], one["count"], one["reply_bytes"]) == (3, 0, 30, 65)
    assert value["record"]["acknowledge"]["value_from"] == "id"
    commands = {command["command"]: command for command in value["commands"]}
    assert commands["stop"]["repeated"]
    assert not commands["authorise"]["repeated"]
    assert commands["authorise"]["confirmed_by"] == "state"
    assert "01 06 00 64 00 01 09 D5" in check_map("reference-dispenser")[1]


def test_a_gauge_shows_each_tank_and_a_destroying_command_is_never_sent() -> None:
    """Tanks are read one by one; reset_total is named and marked."""
    code, value = answer("pneumercator-tms", "--value", "units=us", "--tanks", "1,12")
    assert code == 0
    assert [(one["address"], one["count"], one["tanks"]) for one in value["reads"]] == [(0, 17, [1]), (177, 16, [12])]
    code, value = answer("micro-motion-lng", *given("micro-motion-lng"))
    assert [(one["command"], one["sent"]) for one in value["commands"]] == [("reset_total", False)]
    assert [one["verify"] for one in value["setup"]] == [True] * 5
    assert "NEVER SENT" in check_map("micro-motion-lng", *given("micro-motion-lng"))[1]


def test_a_select_stands_before_its_read(tmp_path: Path) -> None:
    """The write that chooses a tank is shown with the read that belongs to it."""
    own = tmp_path / "own.toml"
    own.write_bytes(text_of("strela"))
    code, value = answer(str(own), *given("strela"), "--tanks", "1,2")
    assert code == 0
    assert [one["select"][:17] for one in value["reads"]] == ["01 06 00 00 00 01", "01 06 00 00 00 02"]
    assert "then 01 04 00 03 00 2A" in check_map(str(own), *given("strela"))[1]


def test_a_wrong_map_tells_all_its_problems(tmp_path: Path) -> None:
    """With file, line and key, for people and as JSON; the check failed."""
    own = tmp_path / "own.toml"
    own.write_bytes(text_of("seneca-z10-d-in").replace(b"u32", b"u33").replace(b"address = 10", b"address = 99999"))
    code, value = answer(str(own))
    assert (code, value["verdict"]) == (1, "refused")
    assert [problem["key"] for problem in value["problems"]] == ["field.pulses.address", "field.pulses.type"]
    code, out, _ = check_map(str(own))
    assert code == 1
    assert f"{own}:{value['problems'][0]['line']}: field.pulses.address" in out
    assert out.endswith("verdict: refused, 2 problems\n")


def test_missing_indices_and_orders_are_shown_as_assumed(tmp_path: Path) -> None:
    """Without values the requests are shown with a stand-in, and the verdict says that values are required."""
    own = tmp_path / "own.toml"
    own.write_bytes(text_of("toptech-multiload"))
    code, value = answer(str(own))
    assert (code, value["verdict"]) == (1, "values-required")
    assert value["assumed"] == {"preset": 0, "additive": 0, "word_order": "ABCD"}
    assert "shown below with preset = 0" in check_map(str(own))[1]


@pytest.mark.parametrize(
    "words",
    [
        ["nowhere.toml"],
        ["seneca"],
        ["seneca-z10-d-in", "--value", "k_factor"],
        ["pneumercator-tms", "--tanks", "0"],
        ["pneumercator-tms", "--tanks", "one"],
    ],
)
def test_wrong_usage_ends_with_two_in_two_lines(words: list[str]) -> None:
    """A person's mistake is told with what to do, never with a traceback."""
    code, out, err = check_map(*words)
    assert (code, out) == (2, "")
    assert 1 <= len(err.splitlines()) <= 2


def test_a_wrong_value_is_a_problem_of_the_check() -> None:
    """A value that the map does not know, or that is no number, is told like any other problem."""
    code, value = answer("seneca-z10-d-in", "--value", "k_factor=many", "--value", "k=1")
    assert code == 1
    assert {problem["key"] for problem in value["problems"]} == {"k_factor", "k"}
