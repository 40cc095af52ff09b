"""The quality scale: levels follow from evidence that passed, nothing else; a claim that means nothing is refused."""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Literal

import pytest

from tests.support.quality import EVIDENCE, LEVELS, Scale

BRONZE = ("vectors", "every-split", "silence")
SILVER = (*BRONZE, "crash-window", "replugs", "noise")
ROOT = Path(__file__).parents[2]


def scale(*evidence: str, failed: str = "", outcome: Literal["failed", "skipped"] = "failed") -> Scale:
    """A scale after one passed test of each evidence, and one more of ``failed`` that did not."""
    made = Scale()
    for name in evidence:
        made.pytest_runtest_logreport(report(name, "passed"))
    if failed:
        made.pytest_runtest_logreport(report(failed, outcome))
    return made


def report(evidence: str, outcome: Literal["passed", "failed", "skipped"]) -> pytest.TestReport:
    """One phase of one test."""
    claim = [("proves", f"x {evidence}")]
    return pytest.TestReport(f"t.py::{evidence}", ("t.py", 1, "t"), {}, outcome, None, "call", user_properties=claim)


@pytest.mark.parametrize(
    ("evidence", "level", "missing"),
    [
        ((), "none", ["vectors", "every-split", "silence"]),
        (("vectors", "silence"), "none", ["every-split"]),
        (BRONZE, "bronze", ["crash-window", "replugs", "noise"]),
        ((*BRONZE, "independent-peer", "real-capture"), "bronze", ["crash-window", "replugs", "noise"]),
        (SILVER, "silver", ["independent-peer or real-capture"]),
        ((*SILVER, "independent-peer"), "gold", []),
        ((*SILVER, "real-capture"), "gold", []),
    ],
)
def test_a_level_needs_its_evidence_and_that_of_the_levels_before(
    evidence: tuple[str, ...], level: str, missing: list[str]
) -> None:
    """Gold without silver is nothing; what is missing is said for the next level only."""
    (row,) = scale(*evidence).as_json(["x"])["drivers"]
    assert (row["level"], row["missing"]) == (level, missing)


@pytest.mark.parametrize(("evidence", "outcome"), list(product(SILVER, ("failed", "skipped"))))
def test_one_test_that_did_not_pass_denies_its_evidence(evidence: str, outcome: Literal["failed", "skipped"]) -> None:
    """However many others of the same evidence passed; the table says which test."""
    made = scale(*SILVER, "real-capture", failed=evidence, outcome=outcome)
    (row,) = made.as_json(["x"])["drivers"]
    assert row["level"] == ("none" if evidence in BRONZE else "bronze")
    assert row["failed"] == {evidence: [f"t.py::{evidence}"]}
    assert "FAILED" in made.as_table(["x"])
    assert f"not proved, t.py::{evidence}" in made.as_table(["x"])


def test_a_driver_without_any_test_stands_in_the_table() -> None:
    """Nobody is left out because nothing was proved."""
    assert "new-thing" in scale(*BRONZE).as_table(["x", "new-thing"])
    assert [row["level"] for row in scale(*BRONZE).as_json(["x", "new-thing"])["drivers"]] == ["none", "bronze"]


def test_every_evidence_counts_for_some_level() -> None:
    """And every level asks for evidence that exists."""
    assert {name for _, needs in LEVELS for need in needs for name in need} == set(EVIDENCE)


@pytest.mark.parametrize(
    ("marker", "words"),
    [('"beauty", "dart"', "proves 'beauty'; known are vectors"), ('"vectors"', "of no protocol")],
)
def test_a_claim_that_means_nothing_stops_the_run(marker: str, words: str, tmp_path: Path) -> None:
    """A misspelt evidence or a test without a protocol is told before any test runs."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import *  # noqa: F403\n", encoding="utf-8")
    code = f"import pytest\n\n@pytest.mark.proves({marker})\ndef test_x():\n    pass\n"
    (tmp_path / "test_claim.py").write_text(code, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        f"--rootdir={tmp_path}",
        "-c",
        "/dev/null",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run([*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert words in done.stdout + done.stderr
