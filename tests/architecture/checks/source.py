"""Which files a check looks at, and how a finding is written. Knows no rule."""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

PACKAGES = ("agent", "drivers", "sync", "headoffice")
NOT_OURS = {"__pycache__", "build", "dist", "node_modules"}
TEXT_SUFFIXES = {
    "",
    ".cfg",
    ".conf",
    ".in",
    ".ini",
    ".json",
    ".md",
    ".py",
    ".rules",
    ".service",
    ".sh",
    ".sql",
    ".svg",
} | {
    ".toml",
    ".txt",
    ".yaml",
    ".yml",
}


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file. ``path``: relative to the root, with forward slashes."""

    path: str
    text: str
    tree: ast.Module

    def at(self, line: int, what: str) -> str:
        """Write one finding."""
        return f"{self.path}:{line}: {what}"


@lru_cache(maxsize=4096)
def _parsed(path: str, _mtime_ns: int, _size: int) -> tuple[str, ast.Module]:
    text = Path(path).read_text(encoding="utf-8")
    return text, ast.parse(text, filename=path)


def sources(root: Path, *folders: str) -> Iterator[Source]:
    """Yield the Python files under the folders of ``root`` (default: the packages), in a stable order."""
    for folder in folders or PACKAGES:
        for path in sorted(_files(root / folder)):
            if path.suffix == ".py":
                found = path.stat()
                text, tree = _parsed(str(path), found.st_mtime_ns, found.st_size)
                yield Source(path.relative_to(root).as_posix(), text, tree)


def texts(root: Path) -> Iterator[tuple[str, str]]:
    """Yield (path, text) of every text file of the project: what git tracks or would track, else the whole tree."""
    for path in _tracked(root) if (root / ".git").exists() else sorted(_files(root)):
        if path.suffix in TEXT_SUFFIXES and path.is_file():
            yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")


def _tracked(root: Path) -> list[Path]:
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={root}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return [root / name for name in sorted(set(listing.stdout.split("\0"))) if name]


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_file():
        yield folder
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in NOT_OURS and (not name.startswith(".") or name == ".ci")]
        yield from (Path(where) / name for name in names)


def imported(node: ast.AST) -> list[str]:
    """Return the full names an import statement may load: ``from a import b`` gives ``a`` and ``a.b``."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def dotted(node: ast.AST) -> str:
    """Return ``a.b.c`` for a chain of names, else the empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""


def under(path: str, places: tuple[str, ...]) -> bool:
    """Whether a path is one of the files named, or inside one of the folders named (those end with a slash)."""
    return any(path == place or (place.endswith("/") and path.startswith(place)) for place in places)
