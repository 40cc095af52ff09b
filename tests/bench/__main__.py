"""`make bench`: runs every tests/bench/p*.py and prints one table. Missed targets are `short`; the run never fails.

Each bench runs in a process of its own, so that none warms or burdens another.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.bench.table import KEPT, Row, as_markdown, as_text, machine, missing, written_into

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run what was asked for and show it."""
    wanted = _arguments()
    if wanted.measure:
        print(json.dumps([asdict(row) for row in importlib.import_module(f"tests.bench.{wanted.measure}").measure()]))
        return
    with tempfile.TemporaryDirectory(prefix="forecourt-bench-") as kept:
        os.environ[KEPT] = kept
        _show(wanted)


def _show(wanted: argparse.Namespace) -> None:
    only = {name.strip().upper() for name in wanted.only.split(",") if name.strip()}
    rows = [row for name in _benches() if not only or _id(name) in only for row in _measured(name)]
    about = machine()
    if wanted.json:
        print(json.dumps({"machine": about, "rows": [asdict(row) for row in rows]}, indent=2))
    else:
        print(f"\n{as_text(rows)}\n\n{about}")
    if wanted.write is not None:
        today = dt.datetime.now(dt.UTC).date().isoformat()
        page = wanted.write.read_text(encoding="utf-8")
        wanted.write.write_text(written_into(page, as_markdown(rows, today, about)), encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", default="", help="ids to run, such as P1,P2")
    parser.add_argument("--json", action="store_true", help="the rows as JSON")
    parser.add_argument("--write", type=Path, help="a page whose table is to be replaced, such as docs/performance.md")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    return parser.parse_args()


def _id(name: str) -> str:
    return name.partition("_")[0].upper()


def _benches() -> list[str]:
    """Return the modules in the order of their ids."""
    return sorted((path.stem for path in HERE.glob("p[0-9]*.py")), key=lambda name: (int(_id(name)[1:]), name))


def _measured(name: str) -> list[Row]:
    begun = time.monotonic()
    command = [sys.executable, "-m", "tests.bench", "--measure", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=HERE.parents[1])
    print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    if done.returncode != 0:
        return [missing(_id(name), name, f"the bench ended with status {done.returncode}")]
    return [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])]


if __name__ == "__main__":
    main()
