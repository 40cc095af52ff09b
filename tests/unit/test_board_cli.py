"""``forecourt device pair``, ``paired`` and ``unpair``: what they print for people and for programs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.cli import application
from agent.control import ControlServer
from agent.inbox import Person, refusal, success

CODE = {"handheld": "H07", "code": "012345", "until": "2026-11-21T07:05:00.000Z", "listen": "127.0.0.1:8443"}
ROW = {
    "handheld": "H07",
    "kind": "page",
    "paired": "2026-11-21T07:00:00.000Z",
    "paired_by": "wang",
    "count": None,
    "seen": None,
}


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[tuple[list[str], list[tuple[str, dict[str, Any]]]]]:
    """The option that names a control socket which answers, and what it was asked."""
    seen: list[tuple[str, dict[str, Any]]] = []

    def answer(op: str, args: dict[str, Any], _person: Person) -> dict[str, Any]:
        seen.append((op, args))
        if args.get("name") == "H99":
            return refusal("'H99' is not paired", "forecourt device paired lists them")
        return success({"device.pair": CODE, "device.paired": [ROW], "device.unpair": {"handheld": "H07"}}[op])

    server = ControlServer(tmp_path / "s", frozenset(), answer)
    server.open()
    ends = threading.Event()

    def serve() -> None:
        while not ends.is_set():
            server.serve_once()

    thread = threading.Thread(target=serve)
    thread.start()
    yield ["--socket", str(tmp_path / "s")], seen
    ends.set()
    thread.join()
    server.close()


def test_the_three_commands_for_people(asked: tuple[list[str], list[tuple[str, dict[str, Any]]]]) -> None:
    """A code to type and until when; a table; a sentence."""
    option, seen = asked
    run = CliRunner().invoke
    assert "H07: type 012345 at the handheld before " in run(application(), ["device", "pair", *option]).stdout
    assert "H07       page  11-2" in run(application(), ["device", "paired", *option]).stdout
    assert run(application(), ["device", "unpair", "H07", *option]).stdout == "H07 is not paired any more\n"
    assert seen == [("device.pair", {"name": None}), ("device.paired", {}), ("device.unpair", {"name": "H07"})]


def test_the_three_commands_for_programs(asked: tuple[list[str], list[tuple[str, dict[str, Any]]]]) -> None:
    """With --json exactly what the daemon says."""
    option, _ = asked
    typed = (["pair", "--name", "H07"], ["paired"], ["unpair", "H07"])
    told = [CliRunner().invoke(application(), ["device", *words, "--json", *option]).stdout for words in typed]
    assert [json.loads(text) for text in told] == [CODE, [ROW], {"handheld": "H07"}]


def test_a_no_of_the_daemon_is_told_with_what_to_do(asked: tuple[list[str], list[tuple[str, dict[str, Any]]]]) -> None:
    """Exit 1, two lines, no traceback."""
    option, _ = asked
    done = CliRunner().invoke(application(), ["device", "unpair", "H99", *option])
    assert done.exit_code == 1
    assert "forecourt device paired lists them" in done.stderr
