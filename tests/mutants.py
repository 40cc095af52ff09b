"""``make mutants``: changes the loyalty engine in thousands of small ways and counts how many the fast tests notice.

mutmut makes and runs the mutants (``[tool.mutmut]`` of pyproject.toml says of which files and by which tests); this file
counts them per module, shows what survived, and gives the reasons of ``tests/mutants.toml``. Exit code 1: fewer than the
share wanted were killed; 2: they could not be run.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import re
import subprocess
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "mutants"
LOG = ROOT / "build" / "mutants.log"
REASONS = Path(__file__).with_suffix(".toml")
WANTED_PERCENT = 85
SURVIVED, NO_TESTS, NOT_RUN = 0, 33, None
NO_REASON = "no reason known: a test is missing"
_NAME = re.compile(r"(?P<function>.+)__mutmut_(?P<number>\d+)")


@dataclass(frozen=True)
class Survivor:
    """One mutant that no test noticed: where it is and which lines it changed."""

    module: str
    function: str
    number: str
    change: str

    def __str__(self) -> str:
        return f"{self.module}: {self.function} #{self.number}\n{self.change}"


@dataclass(frozen=True)
class Reason:
    """Why some survivors are no gap: ``function`` and ``change`` are searched in a survivor's."""

    reason: str
    function: re.Pattern[str]
    change: re.Pattern[str]

    def fits(self, survivor: Survivor) -> bool:
        """Whether it speaks of this one."""
        where = f"{survivor.module}.{survivor.function}"
        return bool(self.function.search(where) and self.change.search(survivor.change))


def main(arguments: Sequence[str]) -> int:
    """Run, count, print."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--processes", default="2", help="mutants tried at a time")
    parser.add_argument("--only-report", action="store_true", help="of the last run, which is not repeated")
    chosen = parser.parse_args(arguments)
    began_s = time.monotonic()
    if not chosen.only_report and not run(chosen.processes):
        print(f"mutmut could not run them; it says why in {LOG.relative_to(ROOT)}", file=sys.stderr)
        return 2
    outcomes = read()
    if not outcomes:
        print("there are no mutants: see [tool.mutmut] in pyproject.toml", file=sys.stderr)
        return 2
    survivors = [survivor for module, codes in outcomes.items() for survivor in survived(module, codes)]
    show_reasons(survivors)
    percent = show_table(outcomes)
    print(f"{percent:.1f} % killed, {WANTED_PERCENT} % wanted, {time.monotonic() - began_s:.0f} s")
    return 0 if percent >= WANTED_PERCENT else 1


def run(processes: str) -> bool:
    """Make all mutants anew and try each; mutmut's own words go to a file."""
    LOG.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", processes]
    with LOG.open("w", encoding="utf-8") as log:
        return subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False).returncode == 0


def read() -> dict[str, dict[str, int | None]]:
    """Per module the exit code of the tests with each mutant; 0 says that they passed."""
    found = {}
    for meta in sorted(WORK.glob("agent/**/*.meta")):
        codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        if codes:
            found[str(meta.relative_to(WORK).with_suffix(""))] = codes
    return found


def survived(module: str, codes: dict[str, int | None]) -> Iterator[Survivor]:
    """What no test noticed, with what was changed."""
    texts = sources(WORK / module)
    for key, code in codes.items():
        parts = _NAME.fullmatch(key.rpartition(".")[2])
        if code in {SURVIVED, NO_TESTS} and parts is not None:
            function, number = parts["function"], parts["number"]
            before = texts.get(f"{function}__mutmut_orig", "").splitlines()
            after = texts.get(f"{function}__mutmut_{number}", "").splitlines()
            lines = [line for line in difflib.unified_diff(before, after, n=0, lineterm="") if line[:3] not in MARKS]
            shown = "\n".join(f"  {line[0]} {line[1:].strip()}" for line in lines if "__mutmut_" not in line)
            yield Survivor(module, function.replace("ǁ", ".").removeprefix("x").lstrip("_."), number, shown)


MARKS = frozenset({"---", "+++", "@@ "})


def sources(path: Path) -> dict[str, str]:
    """The text of each function of a file full of mutants, by its name."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    return {node.name: "\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in found}


def reasons() -> list[Reason]:
    """What ``tests/mutants.toml`` says, in its order: the first that fits counts."""
    entries = tomllib.loads(REASONS.read_text(encoding="utf-8"))["reason"]
    return [
        Reason(one["why"], re.compile(one.get("function", "")), re.compile(one.get("change", ""))) for one in entries
    ]


def show_reasons(survivors: Sequence[Survivor]) -> None:
    """Survivors by reason; those without one in full."""
    known = reasons()
    grouped: defaultdict[str, list[Survivor]] = defaultdict(list)
    for survivor in survivors:
        grouped[next((reason.reason for reason in known if reason.fits(survivor)), NO_REASON)].append(survivor)
    for survivor in grouped.pop(NO_REASON, []):
        print(survivor)
    for reason, group in sorted(grouped.items(), key=lambda item: -len(item[1])):
        print(f"{len(group):4} survivors: {reason}")


def show_table(outcomes: dict[str, dict[str, int | None]]) -> float:
    """One line per module; returns the share of killed mutants in per cent. One that was not run is not killed."""
    killed_in_all = all_in_all = 0
    print(f"{'module':45} {'mutants':>7} {'killed':>7} {'alive':>6} {'untested':>8} {'%':>6}")
    for module, codes in outcomes.items():
        kinds = Counter(codes.values())
        untested = kinds[NO_TESTS] + kinds[NOT_RUN]
        killed = len(codes) - kinds[SURVIVED] - untested
        print(
            f"{module:45} {len(codes):7} {killed:7} {kinds[SURVIVED]:6} {untested:8} {100 * killed / len(codes):6.1f}"
        )
        killed_in_all, all_in_all = killed_in_all + killed, all_in_all + len(codes)
    return 100 * killed_in_all / all_in_all


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
