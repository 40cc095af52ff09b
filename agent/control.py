"""The local control interface: one Unix socket, one JSON object per line each way, who asks told by the kernel.

Knows sockets and peer credentials. What an operation does is the business of the function it is given.
"""

from __future__ import annotations

import contextlib
import json
import pwd
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.inbox import Person

MAX_REQUEST_BYTES = 65_536
"""The longest question is a few hundred bytes."""
MAX_CONNECTIONS = 8
"""People and their screens; a ninth waits in the socket's queue."""
MAX_WAITING = 64
"""Connections in the socket's queue; with a full queue the system refuses at once instead of letting people wait."""
QUESTION_TIMEOUT_S = 10.0
ACCEPT_TIMEOUT_S = 0.5
ANSWER_TIMEOUT_S = 30.0

Answer = Callable[[str, dict[str, Any], "Person"], dict[str, Any]]


class ControlError(Exception):
    """The daemon cannot be asked, or said no. ``exit_code`` as in the command conventions, ``hint``: what to do."""

    def __init__(self, message: str, *, hint: str, exit_code: int) -> None:
        super().__init__(message)
        self.hint = hint
        self.exit_code = exit_code


def person_of(connection: socket.socket, supervisors: frozenset[str]) -> Person:
    """Return who is at the other end, as the kernel knows it: the user name and a role."""
    from agent.inbox import Person  # only the daemon needs it: who merely asks does not load readings and their like

    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid-{uid}"
    return Person(name, "supervisor" if name in supervisors else "attendant")


class ControlServer:
    """Listens on ``path`` (mode 0660) and answers each line with ``answer``."""

    def __init__(self, path: Path, supervisors: frozenset[str], answer: Answer) -> None:
        self._path = path
        self._supervisors = supervisors
        self._answer = answer
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Bind the socket, taking the place of a stale one; the instance lock guarantees that nobody listens there."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self._path))
        self._path.chmod(0o660)
        listener.listen(MAX_WAITING)
        listener.settimeout(ACCEPT_TIMEOUT_S)
        self._socket = listener

    def serve_once(self) -> None:
        """Accept at most one connection and answer it in a thread of its own."""
        assert self._socket is not None
        if not self._slots.acquire(timeout=ACCEPT_TIMEOUT_S):
            return
        try:
            connection, _ = self._socket.accept()
        except TimeoutError:
            self._slots.release()
            return
        except OSError:
            self._slots.release()
            raise
        threading.Thread(target=self._talk, args=(connection,), name="control-talk", daemon=True).start()

    def close(self) -> None:
        """Stop listening and remove the socket file."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    def _talk(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as questions:
                connection.settimeout(QUESTION_TIMEOUT_S)
                person = person_of(connection, self._supervisors)
                while line := questions.readline(MAX_REQUEST_BYTES + 1):
                    connection.sendall(self._line(line, person))
                    if len(line) > MAX_REQUEST_BYTES:
                        break  # the rest of it is no question of its own
        except OSError:
            pass  # the asker has gone; what was asked has been answered or not begun
        finally:
            self._slots.release()

    def _line(self, line: bytes, person: Person) -> bytes:
        from agent.inbox import refusal

        value = self._parse(line)
        if value is None:
            answer = refusal("not a question", "send one JSON object with op and args per line, at most 64 KiB", 2)
        else:
            answer = self._answer(value[0], value[1], person)
        return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n"

    @staticmethod
    def _parse(line: bytes) -> tuple[str, dict[str, Any]] | None:
        if len(line) > MAX_REQUEST_BYTES:
            return None
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict) or not isinstance(value.get("op"), str):
            return None
        args = value.get("args", {})
        return (value["op"], args) if isinstance(args, dict) else None


def ask(path: Path, op: str, args: dict[str, Any] | None = None, *, timeout_s: float = ANSWER_TIMEOUT_S) -> Any:
    """Ask the daemon behind ``path`` and return its data. Raises ControlError with exit code and hint."""
    question = json.dumps({"op": op, "args": args or {}}).encode("utf-8") + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(question)
            with connection.makefile("rb") as answers:
                line = answers.readline()
    except OSError as failure:
        reason = "no answer in time" if isinstance(failure, TimeoutError) else failure.strerror or str(failure)
        raise ControlError(
            f"the daemon does not answer at {path}: {reason}",
            hint="is it running? systemctl status forecourt; or name its configuration with --config",
            exit_code=3,
        ) from failure
    if not line:
        raise ControlError("the daemon closed the connection", hint="look at its log", exit_code=3)
    try:
        answer = json.loads(line)
        refused = None if answer["ok"] else ControlError(answer["error"], hint=answer["hint"], exit_code=answer["exit"])
    except (ValueError, TypeError, KeyError) as failure:
        raise ControlError(
            f"what listens at {path} is no forecourt daemon", hint="name its socket with --socket", exit_code=3
        ) from failure
    if refused is not None:
        raise refused
    return answer["data"]
