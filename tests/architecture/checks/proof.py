"""What tests must be: they say what they prove, assert something, wait for nothing, skip nothing, and name every promise."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.checks.source import Source, dotted, sources

FAILPOINTS = "agent/failpoints.py"
# The sentences of the wire contract that are kept today; a delivered sentence is added here with its test.
WIRE_IDS = tuple(
    f"W-{number:02d}"
    for number in (
        *range(1, 6),
        *range(10, 15),
        *range(20, 28),
        *range(30, 35),
        *range(40, 46),
        *range(50, 53),
        60,
        61,
    )
)
WIRE_ID = re.compile(r"\[(W-\d\d)\]")
ASSERTING = {"raises", "fail", "run_state_machine_as_test"}
SLEEPS = {"time.sleep", "asyncio.sleep", "sleep"}
SKIPS = {"skip", "skipif", "xfail", "importorskip", "skipTest", "skipIf", "skipUnless", "expectedFailure"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _outside(root: Path) -> Iterator[Source]:
    return (source for source in sources(root, "tests") if not source.path.startswith("tests/architecture/"))


def _tests(root: Path) -> Iterator[tuple[Source, Function]]:
    for source in sources(root, "tests"):
        for node in ast.walk(source.tree):
            if isinstance(node, Function) and node.name.startswith("test_"):
                yield source, node


def silent_tests(root: Path) -> list[str]:
    """Tests without a sentence on the behaviour."""
    return [
        source.at(node.lineno, f"{node.name} does not say in a docstring what it proves")
        for source, node in _tests(root)
        if not (ast.get_docstring(node) or "").strip()
    ]


def toothless_tests(root: Path) -> list[str]:
    """Tests that assert nothing, neither themselves nor through a helper of tests/ that does."""
    helpers = {
        node.name
        for source in sources(root, "tests")
        for node in ast.walk(source.tree)
        if isinstance(node, Function) and not node.name.startswith("test_") and _asserts(node, frozenset())
    }
    return [
        source.at(node.lineno, f"{node.name} asserts nothing")
        for source, node in _tests(root)
        if not _asserts(node, frozenset(helpers))
    ]


def _asserts(function: ast.AST, helpers: frozenset[str]) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Assert) or (isinstance(node, ast.Raise) and "AssertionError" in ast.dump(node)):
            return True
        if isinstance(node, ast.Call):
            last = dotted(node.func).rpartition(".")[2] or getattr(node.func, "attr", "")
            if last in ASSERTING or last in helpers:
                return True
    return False


def sleeps(root: Path) -> list[str]:
    """Calls of sleep under tests/: a test waits on a condition with a deadline, or on the virtual clock."""
    return [
        source.at(node.lineno, "sleeps; wait on a condition with a deadline")
        for source in sources(root, "tests")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and dotted(node.func) in SLEEPS
    ]


def skips(root: Path) -> list[str]:
    """Tests that may not run: skip, skipif, xfail, importorskip."""
    found = []
    for source in sources(root, "tests"):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and node.attr in SKIPS:
                owner = dotted(node.value).split(".")[0]
                if owner in {"pytest", "unittest", "self", "mark"}:
                    found.append(source.at(node.lineno, f"{node.attr}: every test runs everywhere"))
    return found


def unproved_wire_ids(root: Path) -> list[str]:
    """Sentences of the wire contract that no test docstring names."""
    named = {
        wire_id
        for source in _outside(root)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Module | ast.ClassDef | Function)
        for wire_id in WIRE_ID.findall(ast.get_docstring(node) or "")
    }
    return [f"tests:1: no test docstring names [{wire_id}]" for wire_id in WIRE_IDS if wire_id not in named]


def unproved_failpoints(root: Path) -> list[str]:
    """Failpoints that no test names, or that no code passes."""
    strings = {
        node.value
        for source in _outside(root)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    passed = {
        node.value
        for source in sources(root)
        if source.path != FAILPOINTS
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant)
    }
    found = []
    for name, line in _failpoint_names(root):
        if not any(name in text for text in strings):
            found.append(f"{FAILPOINTS}:{line}: no test names the failpoint {name}")
        if name not in passed:
            found.append(f"{FAILPOINTS}:{line}: no code passes the failpoint {name}")
    return found


def _failpoint_names(root: Path) -> list[tuple[str, int]]:
    for source in sources(root, FAILPOINTS):
        for node in source.tree.body:
            if isinstance(node, ast.AnnAssign) and dotted(node.target) == "NAMES" and isinstance(node.value, ast.Dict):
                return [(str(key.value), key.lineno) for key in node.value.keys if isinstance(key, ast.Constant)]
    return []
