"""What the documentation must name: every command, every room, and only pages that exist."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

from tests.architecture.checks.source import PACKAGES, texts

COMMANDS_PAGE = "docs/cli.md"
ROOMS_PAGE = "docs/ARCHITECTURE.md"
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)\s#]+)(?:#[^)]*)?\)")
TYPED = re.compile(r"(?:`|^\$? ?)(forecourt(?:-hq)?)((?: [a-z][a-z-]*)+)")
HERE = Path(__file__).resolve().parents[3]


def applications() -> dict[str, typer.Typer]:
    """Return both command lines by the name people type."""
    from agent.main import app as station  # with run and demo beside the commands of agent.cli
    from headoffice.cli.app import app as head_office

    return {"forecourt": station, "forecourt-hq": head_office}


def undocumented_commands(root: Path) -> list[str]:
    """Commands of ``forecourt`` and ``forecourt-hq`` that docs/cli.md does not show as people type them."""
    page = root / COMMANDS_PAGE
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    return [
        f"{_place(callback)}: `{typed}` is not described in {COMMANDS_PAGE}"
        for name, application in applications().items()
        for typed, callback, below in _commands(name, typer.main.get_command(application))
        if not re.search(_shown(typed, below), text)
    ]


def unknown_commands(root: Path) -> list[str]:
    """Commands that a page shows and that do not exist."""
    commands = {name: typer.main.get_command(application) for name, application in applications().items()}
    return [
        f"{path}:{number}: shows `{name}{words}`, and there is no command {unknown!r}"
        for path, text in texts(root)
        if path.endswith(".md")
        for number, line in enumerate(text.splitlines(), 1)
        for name, words in TYPED.findall(line)
        if (unknown := _unknown(commands[name], words.split()))
    ]


def _unknown(command: Any, words: list[str]) -> str | None:
    """Return the first word that names no command; words behind a command without commands are its arguments."""
    for word in words:
        below: dict[str, Any] = getattr(command, "commands", {})
        if not below:
            return None
        if word not in below:
            return word
        command = below[word]
    return None


def _shown(typed: str, below: list[str]) -> str:
    others = "|".join(map(re.escape, below))
    return re.escape(typed) + r"(?![\w-])" + (rf"(?! (?:{others})(?![\w-]))" if below else "")


def _commands(typed: str, command: Any) -> Iterator[tuple[str, Callable[..., Any], list[str]]]:
    """Yield (what is typed, the function behind it, names of the commands below it)."""
    below: dict[str, Any] = getattr(command, "commands", {})
    if command.callback is not None and (not below or command.invoke_without_command) and not command.hidden:
        yield typed, command.callback, sorted(below)
    for name, child in sorted(below.items()):
        yield from _commands(f"{typed} {name}", child)


def _place(callback: Callable[..., Any]) -> str:
    code = inspect.unwrap(callback).__code__
    path = Path(code.co_filename)
    return f"{path.relative_to(HERE).as_posix() if path.is_relative_to(HERE) else path}:{code.co_firstlineno}"


def unnamed_rooms(root: Path) -> list[str]:
    """Modules and packages directly inside a house that docs/ARCHITECTURE.md does not name."""
    page = root / ROOMS_PAGE
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    found = []
    for package in PACKAGES:
        for path in sorted((root / package).glob("*")):
            room = f"{path.name}/" if path.is_dir() else path.name
            if (path.suffix == ".py" or path.is_dir()) and not room.startswith("__") and room not in text:
                found.append(f"{package}/{room.rstrip('/')}:1: {ROOMS_PAGE} does not name the room {room}")
    return found


def broken_links(root: Path) -> list[str]:
    """Links of a page to a file that does not exist."""
    return [
        f"{path}:{number}: links to {target}, which does not exist"
        for path, text in texts(root)
        if path.endswith(".md")
        for number, line in enumerate(text.splitlines(), 1)
        for target in LINK.findall(line)
        if not ((root / path).parent / target).exists()
    ]
