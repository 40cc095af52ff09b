"""How survivors of mutation testing are told: what was changed, and which reason fits."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests import mutants
from tests.mutants import Reason, Survivor

MUTATED = """
def x_half__mutmut_orig(value):
    if value < 0:
        raise ValueError("below zero")
    return value // 2

def x_half__mutmut_1(value):
    if value <= 0:
        raise ValueError("below zero")
    return value // 2

def x_half__mutmut_2(value):
    if value < 0:
        raise ValueError("XXbelow zeroXX")
    return value // 2

class Purse:
    def xǁPurseǁspend__mutmut_orig(self):
        return 1

    def xǁPurseǁspend__mutmut_1(self):
        return 2
"""
CODES: dict[str, int | None] = {
    "agent.domain.purse.x_half__mutmut_1": 1,
    "agent.domain.purse.x_half__mutmut_2": 0,
    "agent.domain.purse.xǁPurseǁspend__mutmut_1": 33,
}


def found(tmp_path: Path) -> list[Survivor]:
    """The survivors of the module above."""
    path = tmp_path / "agent" / "domain" / "purse.py"
    path.parent.mkdir(parents=True)
    path.write_text(MUTATED, encoding="utf-8")
    return list(mutants.survived(str(path), CODES))


def test_a_survivor_tells_what_was_changed(tmp_path: Path) -> None:
    """What the tests killed is not told; the changed lines are, before and after."""
    half, spend = found(tmp_path)
    assert (half.function, half.number) == ("half", "2")
    assert half.change == '  - raise ValueError("below zero")\n  + raise ValueError("XXbelow zeroXX")'
    assert (spend.function, spend.change) == ("Purse.spend", "  - return 1\n  + return 2")


def test_a_reason_fits_by_place_and_change(tmp_path: Path) -> None:
    """Both must be found; the reasons of the project read as they are written."""
    half, spend = found(tmp_path)
    words = Reason("words", re.compile("half"), re.compile("raise"))
    assert [words.fits(survivor) for survivor in (half, spend)] == [True, False]
    assert mutants.reasons()[0].fits(half)


def test_the_share_counts_what_was_not_tried_as_alive(capsys) -> None:
    """A mutant without a test, and one that was never run, are not killed."""
    percent = mutants.show_table({"agent/domain/purse.py": {"a": 1, "b": 0, "c": 33, "d": None, "e": -24}})
    assert percent == 40.0
    assert "agent/domain/purse.py" in capsys.readouterr().out


def test_every_fast_test_of_the_engine_is_asked() -> None:
    """A test file that mutmut is not told of would let its mutants live."""
    told = tomllib.loads((mutants.ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    folder = mutants.ROOT / "tests" / "unit"
    there = [path for name in ("rules_", "ledger", "settlement") for path in folder.glob(f"test_{name}*.py")]
    there = [path for path in there if "lint" not in path.name]  # lint is not mutated
    assert sorted(told["pytest_add_cli_args_test_selection"]) == sorted(f"tests/unit/{path.name}" for path in there)
