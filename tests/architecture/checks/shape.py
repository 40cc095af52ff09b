"""The size and the opening of files and functions (STYLE: read in one go, split along nouns)."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.architecture.checks.source import PACKAGES, sources

LONGEST_FUNCTION_LINES = 70
LONGEST_FILE_LINES = 500
LONGEST_OPENING_LINES = 5
DRAWS_A_TREE = "errors.py"  # its opening draws the tree of its errors, who is at fault and whether to retry

EVERYWHERE = (*PACKAGES, "tests")


def long_functions(root: Path) -> list[str]:
    """Functions over 70 lines, decorators not counted."""
    found = []
    for source in sources(root, *EVERYWHERE):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION_LINES:
                    found.append(
                        source.at(node.lineno, f"{node.name} has {lines} lines, {LONGEST_FUNCTION_LINES} at most")
                    )
    return found


def long_files(root: Path) -> list[str]:
    """Files over 500 lines."""
    return [
        source.at(LONGEST_FILE_LINES + 1, f"{lines} lines, {LONGEST_FILE_LINES} at most: split along its nouns")
        for source in sources(root, *EVERYWHERE)
        if (lines := source.text.count("\n")) > LONGEST_FILE_LINES
    ]


def openings(root: Path) -> list[str]:
    """Files that do not open with one to five lines on what they know."""
    found = []
    for source in sources(root, *EVERYWHERE):
        first = source.tree.body[0] if source.tree.body else None
        text = ast.get_docstring(source.tree)
        if first is None or not text:
            found.append(source.at(1, "the file does not open with what it knows and must not know"))
        elif (lines := text.count("\n") + 1) > LONGEST_OPENING_LINES and not source.path.endswith(f"/{DRAWS_A_TREE}"):
            found.append(source.at(1, f"the opening has {lines} lines, {LONGEST_OPENING_LINES} at most"))
    return found
