"""Hostile input at every door of a station: refused with a word, and nothing is changed by it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.__main__ import DOORS, verdict

ROOT = Path(__file__).resolve().parents[2]
FEW = {"token": 1_250, "scanner": 250, "handheld": 250, "card": 250}
MANY = dict.fromkeys(DOORS, 50_000)


@pytest.mark.parametrize("counts", [FEW, pytest.param(MANY, marks=pytest.mark.long)], ids=["2000", "50000 each"])
def test_hostile_input_is_refused_and_changes_nothing(counts: dict[str, int]) -> None:
    """Noise, other scripts, SQL, forged log lines, near misses, CBOR bombs, cards that lie, a megabyte now and then.

    No exception, one short line of log for each answer, no input in it, memory bounded, and the same members, links,
    spent codes, ledger and journal as before.
    """
    doors = [f"--door={name}:{count}" for name, count in counts.items()]
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile", *doors],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout, done.stderr[-3_000:]
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["wrong"] == [], report
    assert {name: door["inputs"] for name, door in report["doors"].items()} == counts
    assert all(len(report["doors"][name]["outcomes"]) >= 4 for name in ("token", "scanner", "handheld"))


def test_the_verdict_sees_what_must_not_be() -> None:
    """An accepted input, a changed table, a long line, a shown input and a leak each have their sentence."""
    door = {"accepted": 1, "answers": 1, "log_lines": 2}
    report = {
        "doors": {"token": door},
        "changed_tables": ["posting"],
        "longest_line_bytes": 10_000,
        "inputs_in_log": 1,
        "memory_grew_mb": 500,
    }
    assert len(verdict(report)) == 6
