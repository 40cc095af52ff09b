"""``make drivers``: runs the contract suite and every test that proves something of a driver, then prints the scale.

Exit code 0: all of them passed; 1: some failed (the table says whose evidence is gone); 2: the tests could not be run.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from drivers import registry
from tests.support.quality import Scale, dump
from tests.support.rigs import every

ROOT = Path(__file__).resolve().parents[1]
CONTRACT = "tests/contract"
PROOFS = ("tests/unit", "tests/property", "tests/process")


def main(arguments: Sequence[str]) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(
        prog="make drivers", description="the quality scale of drivers, from tests that ran"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the scale as JSON; the tests speak on standard error"
    )
    parser.add_argument("--rig", action="append", default=[], metavar="MODULE", help="only the driver of this rig")
    parser.add_argument("--processes", default="0", metavar="N", help="spread the tests over so many processes")
    parser.add_argument("-k", default="", metavar="EXPRESSION", help="only these tests, as pytest has it")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="tests of the driver of another package")
    chosen = parser.parse_args(arguments)
    protocols = [every.of_module(name).protocol for name in chosen.rig] or sorted(registry.BUILT_IN)
    own = [] if chosen.rig else [str(ROOT / place) for place in PROOFS]
    options = [f"--rootdir={ROOT}", f"--config-file={ROOT / 'pyproject.toml'}", "--quiet", "--proofs", "-m="]
    options += [f"--rig={name}" for name in chosen.rig] + [f"--numprocesses={chosen.processes}", f"-k={chosen.k}"]
    scale = Scale()
    with contextlib.redirect_stdout(sys.stderr if chosen.json else sys.stdout):
        ended = pytest.main([*options, str(ROOT / CONTRACT), *own, *chosen.paths], plugins=[scale])
    if ended not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        return 2
    print(dump(scale.as_json(protocols)) if chosen.json else "\n" + scale.as_table(protocols))
    if chosen.k:
        print(f"only tests chosen by -k {chosen.k!r} ran: the levels are of that part", file=sys.stderr)
    return 0 if ended == pytest.ExitCode.OK else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
