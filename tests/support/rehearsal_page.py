"""The examples of a page: files in TOML blocks that begin with their name, commands with what they print below.

``python -m tests.support.rehearsal_page docs/rehearsal.md`` writes what is printed now into the page.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from agent.cli.rules import rules

FENCE = re.compile(r"^```(toml|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"# ([a-z-]+\.toml)\n")


@dataclass(frozen=True, slots=True)
class Example:
    """One block of commands: what the page shows below them, and what they print."""

    shown: str
    printed: str


def examples(page: Path) -> list[Example]:
    """Write the page's files into the working folder and run its blocks of commands, in the order of the page."""
    found = []
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "console":
            found.append(Example(block, _typed(block)))
        elif name := NAME.match(block):
            Path(name[1]).write_text(block, encoding="utf-8")
    return found


def _typed(block: str) -> str:
    """What a terminal would show of the commands of a block."""
    told, code = "", 0
    for line in block.splitlines():
        if not line.startswith("$ "):
            continue
        words = shlex.split(line.removeprefix("$ "))
        told += f"{line}\n"
        if words == ["echo", "$?"]:
            told += f"{code}\n"
            continue
        text = words[1] if words[0] == "echo" else None
        rest = words[words.index("forecourt") :]
        assert rest[:2] == ["forecourt", "rules"]
        done = CliRunner().invoke(rules, rest[2:], input=text)
        told, code = told + done.output, done.exit_code
    return told


def rewrite(page: Path) -> None:
    """Write what the commands of a page print now into it."""
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for example in examples(page):
            text = text.replace(f"```console\n{example.shown}```", f"```console\n{example.printed}```")
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    rewrite(Path(sys.argv[1]).resolve())
