"""Recordings of a line: JSON Lines with a header, then what came when from where. docs/driver-author.md has the format.

Knows files and the shape of their lines. Knows no protocol and no port; time is handed in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import IO, Any, Literal

from agent import __version__

FORMAT = "forecourt-recording"
VERSION = 1
FLUSH_EVERY_US = 1_000_000
MAX_LINE = 1 << 20  # one read of a port is far smaller; a longer line is no recording

Side = Literal["a", "b", "?"]
"""``a``: the master's side, ``b``: the device's, ``?``: both on one wire."""


class NotARecording(ValueError):
    """The file is no recording, or damaged. ``hint`` says what to do."""

    def __init__(self, message: str, hint: str = "make recordings with forecourt device tap") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes as they arrived together. ``damaged``: positions in ``data`` with parity or framing errors."""

    t_us: int
    side: Side
    data: bytes
    damaged: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to the wire itself, such as ``port-lost``."""

    t_us: int
    name: str
    side: Side
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Recording:
    """A whole recording; ``protocol`` is empty where nobody said it. ``cut``: its last line is incomplete."""

    header: Mapping[str, Any]
    chunks: tuple[Chunk, ...]
    events: tuple[Event, ...] = ()
    cut: bool = False

    @property
    def protocol(self) -> str:
        """Protocol named when it was made."""
        return str(self.header.get("protocol") or "")


def header(ports: Mapping[str, str], protocol: str, serial: Mapping[str, Any], started: str) -> dict[str, Any]:
    """Return a header. ``ports`` by side, ``started``: wall time in UTC, for people only."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "ports": dict(ports),
        "protocol": protocol,
        "serial": dict(serial),
        "started": started,
        "software": f"forecourt {__version__}",
    }


class Recorder:
    """Writes a new recording, readable by its owner only: codes of members may be in it. Callable from any thread.

    Refuses a file that exists. Flushes at least once in each second in which something came.
    """

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file: IO[str] = os.fdopen(descriptor, "w", encoding="ascii")
        self._lock = Lock()
        self._flushed_us = 0
        self.bytes: dict[str, int] = {}
        self._put(head)
        self._file.flush()

    def chunk(self, chunk: Chunk) -> None:
        """Write what arrived."""
        line: dict[str, Any] = {"t_us": chunk.t_us, "dir": chunk.side, "hex": chunk.data.hex()}
        if chunk.damaged:
            line["damaged"] = list(chunk.damaged)
        with self._lock:
            self.bytes[chunk.side] = self.bytes.get(chunk.side, 0) + len(chunk.data)
            self._put(line)
            if chunk.t_us - self._flushed_us >= FLUSH_EVERY_US:
                self._file.flush()
                self._flushed_us = chunk.t_us

    def event(self, event: Event) -> None:
        """Write what happened, and flush."""
        with self._lock:
            self._put({"t_us": event.t_us, "event": event.name, "dir": event.side, "detail": event.detail})
            self._file.flush()

    def flush(self) -> None:
        """Bring what was written to the file."""
        with self._lock:
            self._file.flush()

    def close(self) -> None:
        """Complete the file."""
        with self._lock:
            self._file.close()

    def _put(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")


def looks_like(text: str) -> bool:
    """Whether ``text`` begins like a recording."""
    return text.lstrip()[:1] == "{" and FORMAT in text[:400]


def load(text: str) -> Recording:
    """Read a recording. Raises ``NotARecording`` naming the line; an incomplete last line is only noted."""
    lines = text.splitlines()
    head = _object(lines[0] if lines else "", 1)
    if head.get("format") != FORMAT:
        raise NotARecording("line 1 is not the header of a recording")
    if head.get("version") != VERSION:
        raise NotARecording(f"version {head.get('version')!r} is not known", "use the software that made it, or newer")
    chunks: list[Chunk] = []
    events: list[Event] = []
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        try:
            value = _object(line, number)
            _take(value, number, chunks, events)
        except NotARecording:
            if number == len(lines) and not text.endswith("\n"):
                return Recording(head, tuple(chunks), tuple(events), cut=True)
            raise
    return Recording(head, tuple(chunks), tuple(events))


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line) if len(line) <= MAX_LINE else None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise NotARecording(f"line {number} is not a JSON object")
    return value


def _take(value: Mapping[str, Any], number: int, chunks: list[Chunk], events: list[Event]) -> None:
    t_us, side = value.get("t_us"), value.get("dir", "?")
    if isinstance(t_us, bool) or not isinstance(t_us, int) or side not in ("a", "b", "?"):
        raise NotARecording(f"line {number}: t_us must be an integer and dir one of a, b, ?")
    if "event" in value:
        events.append(Event(t_us, str(value["event"]), side, str(value.get("detail", ""))))
        return
    try:
        data = bytes.fromhex(str(value.get("hex", "-")))
    except ValueError as error:
        raise NotARecording(f"line {number}: hex is no hex") from error
    damaged = value.get("damaged", [])
    if not isinstance(damaged, Sequence) or not all(isinstance(at, int) and 0 <= at < len(data) for at in damaged):
        raise NotARecording(f"line {number}: damaged must be positions in hex")
    chunks.append(Chunk(t_us, side, data, tuple(damaged)))
