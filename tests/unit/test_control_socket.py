"""The local control socket: who asks is told by the kernel, bad questions are answered, many may ask at once."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.control import MAX_CONNECTIONS, MAX_REQUEST_BYTES, ControlError, ControlServer, ask, person_of
from agent.inbox import Person, success

ME = pwd.getpwuid(os.geteuid()).pw_name


class Daemon:
    """A control server in threads, answering with who asked what; questions called ``wait`` wait for ``go``."""

    def __init__(self, path: Path, supervisors: frozenset[str] = frozenset({ME})) -> None:
        self.path = path
        self.go = threading.Event()
        self.inside = threading.Semaphore(0)
        self._server = ControlServer(path, supervisors, self._answer)
        self._server.open()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            self._server.serve_once()

    def _answer(self, op: str, args: dict[str, Any], person: Person) -> dict[str, Any]:
        if op == "wait":
            self.inside.release()
            assert self.go.wait(90)
        return success({"op": op, "args": args, "name": person.name, "role": person.role})

    def close(self) -> None:
        self.go.set()
        self._stop.set()
        with socket.socket(socket.AF_UNIX) as waker, contextlib.suppress(OSError):
            waker.connect(str(self.path))
        self._thread.join()
        self._server.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A running one."""
    running = Daemon(tmp_path / "control.sock")
    yield running
    running.close()


def raw(path: Path, data: bytes, lines: int = 1) -> list[dict[str, Any]]:
    """Answers to bytes as they are; fewer where the server hangs up."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(path))
        connection.sendall(data)
        with connection.makefile("rb") as answers:
            found = [answers.readline() for _ in range(lines)]
    return [json.loads(line) for line in found if line]


def test_the_kernel_says_who_asks(daemon: Daemon, tmp_path: Path) -> None:
    """The name is that of this process's user, whatever the question claims; the role comes from the configuration."""
    value = ask(daemon.path, "who", {"name": "somebody else", "role": "supervisor"})
    assert (value["name"], value["role"]) == (ME, "supervisor")
    other = Daemon(tmp_path / "other.sock", frozenset({"manager"}))
    try:
        assert ask(other.path, "who")["role"] == "attendant"
    finally:
        other.close()


def test_a_user_without_a_name_is_told_by_number() -> None:
    """Peer credentials of this process, looked up or not."""
    left, right = socket.socketpair(socket.AF_UNIX)
    with left, right:
        assert person_of(left, frozenset()) == Person(ME, "attendant")


def test_only_owner_and_group_may_connect(daemon: Daemon) -> None:
    """Mode 0660; the folder decides the rest."""
    assert stat.S_IMODE(daemon.path.stat().st_mode) == 0o660


@pytest.mark.parametrize(
    "question",
    [
        b"\n",
        b"hello\n",
        b"[]\n",
        b"{}\n",
        b'{"op": 1}\n',
        b'{"op": "x", "args": []}\n',
        b"\xff\n",
        b"[" * 60_000 + b"\n",
    ],
)
def test_a_malformed_question_is_answered_and_the_next_one_too(daemon: Daemon, question: bytes) -> None:
    """Exit code 2 and what a question looks like; the connection goes on."""
    bad, good = raw(daemon.path, question + b'{"op": "x"}\n', lines=2)
    assert (bad["ok"], bad["exit"]) == (False, 2)
    assert "one JSON object" in bad["hint"]
    assert good["ok"] is True


def test_an_oversized_question_is_refused_once_and_the_connection_ends(daemon: Daemon) -> None:
    """Its rest is not taken for further questions, and others are served as before."""
    huge = json.dumps({"op": "x", "args": {"text": "y" * 3 * MAX_REQUEST_BYTES}}).encode() + b"\n"
    try:
        answers = raw(daemon.path, huge, lines=3)
    except (BrokenPipeError, ConnectionResetError):
        answers = []  # the server hung up while we were still sending
    assert [answer["ok"] for answer in answers] in ([], [False])
    assert ask(daemon.path, "x")["op"] == "x"


def test_a_question_of_just_the_right_size_is_answered(daemon: Daemon) -> None:
    """The limit is a limit of length only."""
    empty = len(json.dumps({"op": "x", "args": {"text": ""}})) + 1
    text = "y" * (MAX_REQUEST_BYTES - empty)
    assert len(ask(daemon.path, "x", {"text": text})["args"]["text"]) == len(text)


def test_many_may_ask_at_once_and_one_more_waits(daemon: Daemon) -> None:
    """All slots taken by slow questions: the next asker is not turned away but answered when one is free."""
    answers: list[Any] = []
    slow = [threading.Thread(target=lambda: answers.append(ask(daemon.path, "wait"))) for _ in range(MAX_CONNECTIONS)]
    for thread in slow:
        thread.start()
    for _ in slow:
        assert daemon.inside.acquire(timeout=60)
    ninth = threading.Thread(target=lambda: answers.append(ask(daemon.path, "late")))
    ninth.start()
    daemon.go.set()
    for thread in [*slow, ninth]:
        thread.join(60)
    assert sorted(answer["op"] for answer in answers) == ["late", *["wait"] * MAX_CONNECTIONS]


def test_an_asker_who_leaves_costs_nothing(daemon: Daemon) -> None:
    """Hang up in the middle of a question, more often than there are slots; the next is answered."""
    for _ in range(3 * MAX_CONNECTIONS):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(daemon.path))
            connection.sendall(b'{"op": ')
    assert ask(daemon.path, "x")["op"] == "x"


def test_a_stale_socket_file_is_replaced_and_removed_at_the_end(tmp_path: Path) -> None:
    """What a crash left behind is no obstacle; an orderly end leaves nothing."""
    path = tmp_path / "folder" / "control.sock"
    first = Daemon(path)
    first._server._path = tmp_path / "elsewhere"
    first.close()
    assert path.exists()
    second = Daemon(path)
    assert ask(path, "x")["op"] == "x"
    second.close()
    assert not path.exists()


def test_nobody_there_is_exit_three(tmp_path: Path) -> None:
    """With the path and what to do."""
    with pytest.raises(ControlError) as caught:
        ask(tmp_path / "none.sock", "status")
    assert caught.value.exit_code == 3
    assert "none.sock" in str(caught.value)
    assert caught.value.hint
