"""Named places where tests kill the process or crash the step; free while nobody asks for it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent import failpoints
from agent.failpoints import NAMES, SimulatedCrash, armed, failpoint, hits

ROOT = Path(__file__).parents[2]


def run(program: str, value: str) -> subprocess.CompletedProcess[str]:
    """A process of its own with the failpoint set."""
    environment = {**os.environ, failpoints.ENVIRONMENT_NAME: value}
    return subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_passing_an_unarmed_failpoint_only_counts() -> None:
    """Nothing happens, and tests can see that the place was reached."""
    before = hits()["sale.before_commit"]
    failpoint("sale.before_commit")
    assert hits()["sale.before_commit"] == before + 1


def test_an_armed_failpoint_crashes_at_the_time_asked_for() -> None:
    """The third passing, counted from the arming; others pass; afterwards it is harmless again."""
    failpoint("link.after_commit")
    with armed("link.after_commit", 3):
        failpoint("link.after_commit")
        failpoint("link.before_commit")
        failpoint("link.after_commit")
        with pytest.raises(SimulatedCrash, match=r"link\.after_commit:3"):
            failpoint("link.after_commit")
    failpoint("link.after_commit")


def test_a_simulated_crash_is_caught_by_nothing_that_catches_errors() -> None:
    """It is no Exception, as a killed process is none."""
    assert not issubclass(SimulatedCrash, Exception)


def test_unknown_names_are_bugs_of_ours() -> None:
    """A misspelt failpoint would never be reached."""
    with pytest.raises(AssertionError):
        failpoint("sale.befor_commit")
    with pytest.raises(AssertionError), armed("no.such", 1):
        pass


def test_the_environment_kills_the_process_at_the_nth_passing() -> None:
    """SIGKILL: nothing is flushed, nothing is tidied up."""
    program = "from agent.failpoints import failpoint\nfor n in (1, 2, 3):\n    print(n, flush=True)\n    failpoint('sync.before_publish')"
    killed = run(program, "sync.before_publish:2")
    assert killed.returncode == -signal.SIGKILL
    assert killed.stdout == "1\n2\n"
    assert run(program, "sync.after_puback:1").returncode == 0


@pytest.mark.parametrize("value", ["nonsense:1", "sale.before_commit", "sale.before_commit:0", "sale.before_commit:x"])
def test_a_malformed_environment_is_refused_with_the_names(value: str) -> None:
    """A test that kills nothing would prove nothing."""
    refused = run("import agent.failpoints", value)
    assert refused.returncode == 1
    assert "sale.totals_read" in refused.stderr


def test_every_listed_failpoint_is_passed_somewhere_and_none_other() -> None:
    """The list is the truth about the code of both ends."""
    found: set[str] = set()
    for folder in ("agent", "headoffice", "sync"):
        for file in (ROOT / folder).rglob("*.py"):
            found |= set(re.findall(r"failpoint\(\s*f?\"([a-z_.]+)\"", file.read_text(encoding="utf-8")))
    assert found - set(NAMES) == set()
    assert all(description for description in NAMES.values())
