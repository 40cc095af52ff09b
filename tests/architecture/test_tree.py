"""The project itself against every rule of its own: sizes, purity, imports, habits, proofs, pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.checks.all import CHECKS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", CHECKS)
def test_the_tree_keeps_the_rule(name: str) -> None:
    """No file of the project violates the rule; a violation is named by file and line."""
    found = CHECKS[name](ROOT)
    assert not found, "\n".join([f"{len(found)} violations of {name}", *found])
