"""Every check fails where it should: one planted violation each, and the finding names the file and the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.checks import pages, proof
from tests.architecture.checks.all import CHECKS

OPENING = '"""Knows nothing."""\n'
WORDS = {
    "sleep": "time.sl" + "eep(1)",
    "left": "# TO" + "DO: later",
    "stub": "NotImplemented" + "Error",
    "path": "/wo" + "rk/main/x",
}
IGNORE = "# type: ign" + "ore"

# check -> (file, text, what the finding starts with)
PLANTS: dict[str, tuple[str, str, str]] = {
    "long-functions": (
        "agent/x.py",
        OPENING + "def f():\n" + "    f()\n" * 70,
        "agent/x.py:2: f has 71 lines",
    ),
    "long-files": ("sync/x.py", OPENING + "X = 1\n" * 500, "sync/x.py:501: 501 lines"),
    "openings": ("drivers/x.py", "X = 1\n", "drivers/x.py:1: the file does not open"),
    "domain-imports": (
        "agent/domain/x.py",
        OPENING + "import os\nfrom drivers import readings\nimport pydantic\n",
        "agent/domain/x.py:4: the domain imports pydantic",
    ),
    "clock-reads": (
        "agent/domain/x.py",
        OPENING + "import datetime\nNOW = datetime.datetime.now(datetime.UTC)\n",
        "agent/domain/x.py:3: datetime.datetime.now() reads the clock",
    ),
    "floats": (
        "agent/store/x.py",
        OPENING + "def half(amount_minor: int) -> int:\n    return int(amount_minor / 2)\n",
        "agent/store/x.py:3: true division",
    ),
    "single-importers": (
        "drivers/dart/x.py",
        OPENING + "def f():\n    import serial.tools\n",
        "drivers/dart/x.py:3: imports serial, which belongs to drivers/port.py",
    ),
    "programs": ("agent/x.py", OPENING + "import os\nos.system('ls')\n", "agent/x.py:3: os.system() starts a program"),
    "hidden-imports": (
        "sync/x.py",
        OPENING + "import importlib\nimportlib.import_module('agent.store')\n",
        "sync/x.py:3: importlib.import_module() hides",
    ),
    "unlisted-linking": ("agent/domain/link_x.py", OPENING, "agent/domain/link_x.py:1: not named in the contract"),
    "broad-excepts": (
        "headoffice/x.py",
        OPENING + "try:\n    X = 1\nexcept (ValueError, Exception):\n    X = 2\n",
        "headoffice/x.py:4: catches everything",
    ),
    "machine-paths": ("docs/x.md", f"See\n{WORDS['path']}\n", "docs/x.md:2: names a path of one machine"),
    "leftovers": ("agent/x.py", OPENING + WORDS["left"] + "\n", "agent/x.py:2: something left to do"),
    "stubs": ("agent/x.py", OPENING + f"raise {WORDS['stub']}\n", "agent/x.py:2: a stub"),
    "blanket-ignores": ("agent/x.py", OPENING + f"X: int = ''  {IGNORE}\n", "agent/x.py:2: an ignore without a code"),
    "loose-pins": (
        "requirements/x.txt",
        "rich==15.0.0 \\\n    --hash=sha256:00\ntyper>=0.16\n",
        "requirements/x.txt:3: neither a pinned requirement nor a hash",
    ),
    "silent-tests": (
        "tests/test_x.py",
        OPENING + "def test_x():\n    assert 1 + 1 == 2\n",
        "tests/test_x.py:2: test_x does not say",
    ),
    "toothless-tests": (
        "tests/test_x.py",
        OPENING + 'def test_x():\n    """It works."""\n    len("")\n',
        "tests/test_x.py:2: test_x asserts nothing",
    ),
    "sleeps": (
        "tests/test_x.py",
        OPENING + f"import time\n{WORDS['sleep']}\n",
        "tests/test_x.py:3: sleeps",
    ),
    "skips": (
        "tests/test_x.py",
        OPENING + "import pytest\n@pytest.mark.xfail\ndef test_x():\n    assert False\n",
        "tests/test_x.py:3: xfail: every test runs everywhere",
    ),
    "unproved-failpoints": (
        "agent/failpoints.py",
        OPENING + 'NAMES: dict[str, str] = {\n    "a.b": "nobody comes here",\n}\n',
        "agent/failpoints.py:3: no test names the failpoint a.b",
    ),
    "unknown-commands": (
        "docs/x.md",
        "`forecourt sales show 01J` and\n`forecourt sales burn`\n",
        "docs/x.md:2: shows `forecourt sales burn`, and there is no command 'burn'",
    ),
    "unnamed-rooms": ("agent/attic.py", OPENING, "agent/attic.py:1: docs/ARCHITECTURE.md does not name the room"),
    "broken-links": ("docs/x.md", "# X\n\n[there](nowhere.md)\n", "docs/x.md:3: links to nowhere.md"),
}
CONTRACTS = "[importlinter:contract:money-never-commands-a-pump]\nsource_modules =\n    agent.domain.linking\n"


def planted(root: Path, file: str, text: str) -> Path:
    """Write one file of a tree that is otherwise empty but for the import contracts."""
    (root / ".importlinter").write_text(CONTRACTS)
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return root


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_violation_is_named_by_file_and_line(name: str, tmp_path: Path) -> None:
    """The check finds exactly what was planted, and says where it is."""
    file, text, expected = PLANTS[name]
    found = CHECKS[name](planted(tmp_path, file, text))
    assert [finding for finding in found if finding.startswith(expected)], found


def test_a_wire_sentence_that_no_docstring_names_is_listed(tmp_path: Path) -> None:
    """An id that only a comment names is not proved; the one that a docstring names is."""
    text = OPENING + 'def test_x():\n    """[W-01] Three streams."""\n    assert len("ab") == 2  # [W-02]\n'
    found = proof.unproved_wire_ids(planted(tmp_path, "tests/unit/test_x.py", text))
    assert "tests:1: no test docstring names [W-02]" in found
    assert "tests:1: no test docstring names [W-01]" not in found


def test_a_command_that_the_page_does_not_show_is_listed_with_its_place(tmp_path: Path) -> None:
    """`forecourt sales show` does not stand for `forecourt sales`, nor the other way round."""
    found = pages.undocumented_commands(
        planted(tmp_path, "docs/cli.md", "`forecourt sales show SALE`, `forecourt run`\n")
    )
    missing = {finding.split("`")[1] for finding in found}
    assert {"forecourt sales", "forecourt status", "forecourt-hq verify"} <= missing
    assert missing.isdisjoint({"forecourt sales show", "forecourt run"})
    assert all(finding.startswith(("agent/", "headoffice/")) for finding in found)


def test_a_missing_type_marker_is_named(tmp_path: Path) -> None:
    """A package without py.typed is found."""
    assert "sync/py.typed:1: missing" in CHECKS["markers"](planted(tmp_path, "agent/py.typed", ""))


def test_every_check_has_a_plant() -> None:
    """A check that nobody has seen fail is not a check."""
    apart = {"unproved-wire-ids", "undocumented-commands", "markers"}
    assert CHECKS.keys() == PLANTS.keys() | apart
