"""Habits that text or syntax shows: broad excepts, blanket ignores, things left to do, machine paths, open pins."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

from tests.architecture.checks.source import PACKAGES, Source, dotted, sources, texts

MAY_CATCH_ALL = "agent/supervisor.py"
BROAD = {"Exception", "BaseException"}

# A letter in brackets keeps these patterns from finding themselves.
MACHINE_PATH = re.compile(
    r"(?<![\w/.])/(?:[w]ork|[r]oot|[f]arm)/|/tmp/[b]ash_jobs|(?<![\w/])[s]hared/(?:design|protocols|vectors|hooks)\b"
)
LEFT_TO_DO = re.compile(r"\b(?:[T]ODO|[F]IXME|[X]XX|[H]ACK)\b")
STUB = re.compile(r"[N]otImplementedError")
BLANKET = re.compile(
    r"#\s*(?:type:\s*[i]gnore(?!\[)|[n]oqa(?!: ?[A-Z]+\d+)|pyright:\s*[i]gnore(?!\[)"
    r"|mypy:\s*[i]gnore-errors|ruff:\s*[n]oqa)"
)
PIN = re.compile(r"^[A-Za-z0-9_.-]+==\S+( ; [^\\]+)? \\$")


def broad_excepts(root: Path) -> list[str]:
    """Handlers that catch everything, outside the one file that may."""
    return [
        source.at(
            line, "catches everything; name what the world can do wrong (agent/supervisor.py is the one exception)"
        )
        for source in sources(root, *PACKAGES, "tests")
        if source.path != MAY_CATCH_ALL
        for line in _catching(source)
    ]


def _catching(source: Source) -> list[int]:
    lines = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(kind is None or dotted(kind).rpartition(".")[2] in BROAD for kind in kinds):
                lines.append(node.lineno)
        elif (
            isinstance(node, ast.Call)
            and dotted(node.func).rpartition(".")[2] == "suppress"
            and any(dotted(argument).rpartition(".")[2] in BROAD for argument in node.args)
        ):
            lines.append(node.lineno)
    return lines


def machine_paths(root: Path) -> list[str]:
    """Words that belong to one machine and not to the project."""
    return _lines(root, MACHINE_PATH, "names a path of one machine", lambda path: True)


def leftovers(root: Path) -> list[str]:
    """Things left to do."""
    return _lines(
        root, LEFT_TO_DO, "something left to do", lambda path: not path.startswith(("LICENSE", "requirements/"))
    )


def stubs(root: Path) -> list[str]:
    """Code that pretends: it stands where something should be."""
    return _lines(root, STUB, "a stub", lambda path: path.endswith(".py"))


def blanket_ignores(root: Path) -> list[str]:
    """Silenced checks that do not say which."""
    return _lines(root, BLANKET, "an ignore without a code", lambda path: path.endswith(".py"))


def _lines(root: Path, pattern: re.Pattern[str], what: str, wanted: Callable[[str], bool]) -> list[str]:
    return [
        f"{path}:{number}: {what}: {hit.group()}"
        for path, text in texts(root)
        if wanted(path)
        for number, line in enumerate(text.splitlines(), 1)
        if (hit := pattern.search(line))
    ]


def loose_pins(root: Path) -> list[str]:
    """Requirements without a version and hashes, index addresses, and two files that pin different versions."""
    found = []
    pinned: dict[str, str] = {}
    for path in sorted((root / "requirements").glob("*.txt")):
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            where = f"requirements/{path.name}:{number}"
            if not line.strip() or line.lstrip().startswith(("#", "--hash=sha256:")):
                continue
            if not PIN.match(line):
                found.append(f"{where}: neither a pinned requirement nor a hash: {line}")
                continue
            if number == len(lines) or "--hash=sha256:" not in lines[number]:
                found.append(f"{where}: no hash: {line}")
            name, version = line.split(" ")[0].split("==")
            if pinned.setdefault(name, version) != version:
                found.append(f"{where}: {name} is {version} here and {pinned[name]} in another file")
    return found
