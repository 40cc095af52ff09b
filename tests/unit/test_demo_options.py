"""The command line of the demo: what is refused, with which words, and what the options mean."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.demo.faults import FAULTS, Kind
from agent.demo.options import MARKER, DemoRefused, demo_options


def options(**changes: Any) -> Any:
    words: dict[str, Any] = {"duration": "40s", "speed": 10, "seed": 1, "state": None, "faults": [], "as_json": True}
    return demo_options(**{**words, **changes})


@pytest.mark.parametrize(("text", "seconds"), [("40s", 40.0), ("1500ms", 1.5), ("5min", 300.0), ("2h", 7200.0)])
def test_durations_carry_their_unit(text: str, seconds: float) -> None:
    """A number and a unit, in real seconds."""
    assert options(duration=text).duration_s == seconds


@pytest.mark.parametrize("text", ["40", "s", "-1s", "1.5s", "0s", "999999h", "", "４０s"])
def test_anything_else_is_no_duration(text: str) -> None:
    """The refusal says how to write one."""
    with pytest.raises(DemoRefused) as refused:
        options(duration=text)
    assert "40s" in refused.value.hint


def test_an_unknown_fault_is_refused_with_the_list() -> None:
    """The nearest name is offered and every name is listed."""
    with pytest.raises(DemoRefused) as refused:
        options(faults=["agent-kiled"])
    assert "did you mean 'agent-killed'" in refused.value.hint
    assert all(name in refused.value.hint for name in FAULTS)


def test_the_word_list_describes_every_fault() -> None:
    """`--fault list` is how people find out."""
    with pytest.raises(DemoRefused) as refused:
        options(faults=["list"])
    assert all(fault.description in refused.value.hint for fault in FAULTS.values())


def test_a_fault_named_twice_counts_once_and_keeps_its_order() -> None:
    """Repeating a name changes nothing."""
    chosen = options(faults=["slow-link", "drop-record", "slow-link"])
    assert chosen.faults == ("slow-link", "drop-record")
    assert chosen.of_kind(Kind.PLANTED) == ("drop-record",)


def test_a_directory_with_foreign_files_is_refused(tmp_path: Path) -> None:
    """Only a new, an empty or a demo's own directory is written to."""
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DemoRefused, match="no demo made"):
        options(state=tmp_path)
    (tmp_path / MARKER).write_text("{}")
    assert options(state=tmp_path).state == tmp_path


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    """A path that is a file is refused before anything is written."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DemoRefused, match="not a directory"):
        options(state=tmp_path / "file")


def test_the_command_ends_with_code_2_and_no_traceback_for_a_wrong_word() -> None:
    """The command line as a person meets it."""
    words = [sys.executable, "-m", "agent", "demo", "--fault", "nonsense"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("forecourt: there is no fault 'nonsense'")
    assert len(done.stderr.splitlines()) == 2
