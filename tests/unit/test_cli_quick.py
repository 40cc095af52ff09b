"""Plain looks at the station: answered without the command-line library, with the same words and exit codes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from agent.cli.quick import answered
from agent.control import ControlServer
from agent.inbox import Person, success
from agent.launch import started
from tests.support.station_file import STATION

SYNC = {
    "broker": "mqtt://hq",
    "online": True,
    "protocol": "1.0",
    "stopped": None,
    "fenced_since": None,
    "streams": {},
    "dead_letters": [],
    "credit": {"window": 4, "records_per_s": 0, "pause_ms": 0},
    "requests": [],
    "last_command": None,
    "awaits_ends": False,
    "members": {"op": 0, "waits_for_manifest": False, "audited_at": None, "filling": None},
}


@pytest.fixture
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A control socket that answers ``sync`` and refuses everything else."""
    path = tmp_path_factory.mktemp("s") / "c.sock"

    def answer(op: str, _args: dict[str, Any], _person: Person) -> dict[str, Any]:
        return success(SYNC) if op == "sync" else success([])

    server = ControlServer(path, frozenset(), answer)
    server.open()
    over = Event()

    def serve() -> None:
        while not over.is_set():
            server.serve_once()

    thread = Thread(target=serve)
    thread.start()
    yield path
    over.set()
    thread.join()
    server.close()


def whole(*words: str) -> subprocess.CompletedProcess[str]:
    """The same command through the whole command line."""
    program = "from agent.main import entry; entry()"
    return subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.parametrize("form", [lambda path: ["--socket", path], lambda path: [f"--socket={path}", "--json"]])
def test_a_plain_look_says_what_the_whole_command_line_says(
    socket: Path, capsys: pytest.CaptureFixture[str], form: Callable[[str], list[str]]
) -> None:
    """The same text, byte for byte, as a table and as JSON."""
    words = ["sync", *form(str(socket))]
    assert answered(words)
    assert capsys.readouterr().out == whole(*words).stdout


def test_the_environment_names_the_socket_too(
    socket: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FORECOURT_SOCKET stands for --socket, as it does everywhere."""
    monkeypatch.setenv("FORECOURT_SOCKET", str(socket))
    assert answered(["pumps"])
    assert "Fuelling points: none" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--help"],
        ["status", "--help"],
        ["status", "--watch"],
        ["pumps", "show", "1"],
        ["sync", "--socket"],
        ["sales"],
    ],
)
def test_everything_else_is_left_to_the_whole_command_line(words: list[str]) -> None:
    """Help, other options, commands below a command and mistakes are not guessed at."""
    assert not answered(words)


def test_a_daemon_that_is_not_there_is_code_3_with_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two lines on stderr, nothing on stdout."""
    with pytest.raises(SystemExit) as ended:
        answered(["status", "--socket", str(tmp_path / "none")])
    told = capsys.readouterr()
    assert (ended.value.code, told.out, len(told.err.splitlines())) == (3, "", 2)


def test_a_look_loads_neither_the_command_line_library_nor_the_store() -> None:
    """What makes a look quick stays out of it."""
    program = (
        "import sys\nsys.argv = ['forecourt', 'status', '--socket', '/none']\n"
        "from agent.__main__ import entry\ntry:\n    entry()\nexcept SystemExit:\n    pass\n"
        "print(*sorted({'typer', 'rich', 'sqlalchemy', 'pydantic', 'agent.inbox'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout == "\n", done.stdout + done.stderr


def test_the_daemon_loads_no_library_it_never_uses(tmp_path: Path) -> None:
    """``run`` comes as far as its store and pipeline without the command line's library, an ORM or the archive's."""
    config = tmp_path / "station.toml"
    places = f'[store]\npath = "{tmp_path}/station.db"\nmark = "{tmp_path}/mark/mark.json"\n'
    config.write_text(STATION + places, encoding="utf-8")
    unwanted = "{'typer', 'click', 'rich', 'sqlmodel', 'sqlalchemy.orm', 'alembic', 'amqtt'}"
    program = (
        f"import sys\nsys.argv = ['forecourt', 'run', '--config', {str(config)!r}]\n"
        "from agent.__main__ import entry\ntry:\n    entry()\nexcept SystemExit as end:\n    code = end.code\n"
        f"print(code, 'agent.pipeline.core' in sys.modules, *sorted({unwanted} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout == "2 True\n", done.stdout + done.stderr
    assert "index-key" in done.stderr


@pytest.mark.parametrize(
    "words", [[], ["run", "--help"], ["run", "--config"], ["run", "now"], ["run", "--json"], ["demo"]]
)
def test_other_forms_of_run_are_left_to_the_whole_command_line(words: list[str]) -> None:
    """Help and mistakes are answered by what knows every option."""
    assert not started(words)


@pytest.mark.parametrize("by", ["option", "environment"])
def test_run_ends_as_the_whole_command_line_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """A configuration with a fault is code 2 with the same words, named by option or by environment."""
    config = tmp_path / "none.toml"
    if by == "environment":
        monkeypatch.setenv("FORECOURT_CONFIG", str(config))
    words = ["run", "--config", str(config)] if by == "option" else ["run"]
    with pytest.raises(SystemExit) as ended:
        started(words)
    there = whole(*words)
    assert (ended.value.code, capsys.readouterr().err) == (there.returncode, there.stderr)
    assert there.returncode == 2
