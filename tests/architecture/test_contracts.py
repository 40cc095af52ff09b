"""The tools that `make check` runs: each fails on a planted violation and names the module and the line."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.checks.source import PACKAGES

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

# contract -> (module that gets the line, the line, what the report says)
PLANTS: dict[str, tuple[str, str, str]] = {
    "drivers-know-nothing-of-ours": (
        "drivers/checks.py",
        "import sync.topics",
        "drivers.checks -> sync.topics (l.{line})",
    ),
    "sync-knows-nothing-of-ours": (
        "sync/topics.py",
        "import drivers.checks",
        "sync.topics -> drivers.checks (l.{line})",
    ),
    "agent-does-not-know-head-office": (
        "agent/ids.py",
        "import headoffice.errors",
        "agent.ids -> headoffice.errors (l.{line})",
    ),
    "head-office-shares-one-engine": (
        "headoffice/keys.py",
        "import agent.settings",
        "headoffice.keys -> agent.settings (l.{line})",
    ),
    "agent-layers": (
        "agent/store/alerts.py",
        "import agent.schedule",
        "agent.store.alerts -> agent.schedule (l.{line})",
    ),
    "domain-sees-readings-and-commands": (
        "agent/domain/sale.py",
        "import drivers.errors",
        "agent.domain.sale -> drivers.errors (l.{line})",
    ),
    "money-never-commands-a-pump": (
        "agent/domain/settlement.py",
        "import agent.domain.point_control",
        "agent.domain.settlement -> agent.domain.point_control (l.{line})",
    ),
    "domain-is-pure": ("agent/domain/member.py", "import sqlite3", "agent.domain.member -> sqlite3 (l.{line})"),
    "wire-contract-is-pure": ("sync/judging.py", "import sync.client", "sync.judging -> sync.client (l.{line})"),
    "codecs-are-sans-io": (
        "drivers/dart/codec.py",
        "import drivers.port",
        "drivers.dart.codec -> drivers.port (l.{line})",
    ),
    "simulator-writes-its-own-encoders": (
        "drivers/simulator/dart_frames.py",
        "import drivers.dart.codec",
        "drivers.simulator.dart_frames -> drivers.dart.codec (l.{line})",
    ),
    "database-stays-in-the-stores": ("agent/answers.py", "import sqlmodel", "agent.answers -> sqlmodel (l.{line})"),
    "one-importing-file-each": ("drivers/line.py", "import serial", "drivers.line -> serial (l.{line})"),
    "no-programs-started": ("agent/control.py", "import subprocess", "agent.control -> subprocess (l.{line})"),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the packages with the project's own tool configuration."""
    root = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".importlinter", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    return root


def run(root: Path, *command: str) -> tuple[int, str]:
    """Run a tool of this environment in a tree; return its exit code and everything it said."""
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=root,
        env={"PATH": str(BIN), "COLUMNS": "200", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("contract", PLANTS)
def test_a_planted_import_breaks_its_contract(copy: Path, contract: str) -> None:
    """One import against the arrow is reported with the importing module, the imported one and the line."""
    file, line, expected = PLANTS[contract]
    path = copy / file
    before = path.read_text(encoding="utf-8")
    path.write_text(before + f"{line}\n", encoding="utf-8")
    try:
        code, said = run(copy, "lint-imports", "--contract", contract)
    finally:
        path.write_text(before, encoding="utf-8")
    assert code == 1, said
    assert expected.format(line=before.count("\n") + 1) in said


def test_every_contract_has_a_plant() -> None:
    """A contract that nobody has seen broken is not a contract."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter", encoding="utf-8")
    assert PLANTS.keys() == {name.split(":")[-1] for name in contracts.sections() if ":contract:" in name}


def test_a_room_without_a_place_in_the_layers_is_refused(copy: Path) -> None:
    """A new module of agent/ has to be given its layer before the contracts hold again."""
    attic = copy / "agent" / "attic.py"
    attic.write_text('"""Knows nothing."""\n')
    try:
        code, said = run(copy, "lint-imports", "--contract", "agent-layers")
    finally:
        attic.unlink()
    assert code == 1
    assert "agent.attic" in said


@pytest.mark.parametrize(
    ("command", "text", "expected"),
    [
        (["ruff", "format", "--check", "--diff"], '"""Knows nothing."""\n\nX = {  1 }\n', "-X = {  1 }"),
        (["ruff", "check", "--output-format=concise"], '"""Knows nothing."""\n\nimport os\n', "planted.py:3:8: F401"),
        (
            ["mypy", "--no-error-summary", "--cache-dir=.mypy_planted"],
            '"""Knows nothing."""\n\n\ndef f(x):\n    return x\n',
            "planted.py:4: error: Function is missing a type annotation",
        ),
    ],
    ids=["format", "lint", "types"],
)
def test_a_planted_fault_of_style_or_type_is_named(copy: Path, command: list[str], text: str, expected: str) -> None:
    """Formatter, linter and type checker work with the project's own settings and say where the fault is."""
    planted = copy / "planted.py"
    planted.write_text(text)
    try:
        code, said = run(copy, *command, "planted.py")
    finally:
        planted.unlink()
    assert code == 1, said
    assert expected in said
    assert "planted.py" in said
