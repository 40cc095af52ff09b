"""``python -m tests.hostile --count N``: N hostile inputs at each door of a station; prints what came of them as JSON.

Every input must be refused without an exception, with at most one short line in the log for each scan, in bounded memory,
and with nothing changed but the note that there was one. Exit code 1 where something else happened.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import quantiles
from typing import Any

from agent.logs import configure
from tests.hostile.entries import TokenDoor, Watched
from tests.hostile.inputs import messages, texts

REFUSALS = {
    "MALFORMED", "UNKNOWN_KEY", "BAD_SIGNATURE", "EXPIRED", "TTL_TOO_LONG", "KEY_NOT_VALID", "PAYMENT_CODE", "BANK_CARD",
    "CARD_NUMBER_TYPO", "CARD_NUMBER", "UNKNOWN_CARD", "NOT_A_MEMBER_CODE", "UNSUPPORTED_VERSION", "BAD_MAC",
}  # fmt: skip
MAX_LINE_BYTES = 300
MAX_GROWTH_MB = 48
"""Inputs of a megabyte are there in a few copies; what stays of them is nothing."""

DOORS = ("token", "scanner", "handheld", "card")
SHOWN_FROM = 24
"""So many characters of an input in a log line are no accident."""


class Log(io.StringIO):
    """The log's stream: counts lines, keeps the longest, and looks for the input that is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = self.longest = self.leaks = 0
        self.under_way = ""

    def write(self, text: str) -> int:
        self.lines += text.count("\n")
        self.longest = max(self.longest, *(len(line.encode()) for line in text.split("\n")))
        self.leaks += len(self.under_way) >= SHOWN_FROM and self.under_way[:SHOWN_FROM] in text
        return len(text)


def tried(door: Callable[[Any], list[str]], inputs: Iterable[Any], log: Log) -> dict[str, Any]:
    """Return what came of all inputs at one door: outcomes, lines of the log, our own time of each in milliseconds."""
    outcomes: Counter[str] = Counter()
    took: list[float] = []
    lines, scans = log.lines, 0
    for one in inputs:
        log.under_way = one if isinstance(one, str) else ""
        began = time.thread_time_ns()
        answers = door(one)
        took.append((time.thread_time_ns() - began) / 1e6)
        outcomes.update(answers)
        scans += len(answers)
    return {
        "inputs": len(took),
        "answers": scans,
        "outcomes": dict(sorted(outcomes.items())),
        "accepted": sum(count for name, count in outcomes.items() if name not in REFUSALS),
        "log_lines": log.lines - lines,
        "p50_ms": quantiles(took, n=100)[49],
        "p99_ms": quantiles(took, n=100)[98],
        "longest_ms": max(took),
    }


def run(doors: Mapping[str, int], seed: int) -> dict[str, Any]:
    """Return the report of all doors, so many inputs at each."""
    log = Log()
    configure(stream=log, readable=False)
    with tempfile.TemporaryDirectory(prefix="hostile-", dir="/dev/shm") as folder:
        watched = Watched(Path(folder))
        ways: dict[str, Callable[[int], dict[str, Any]]] = {
            "token": lambda count: tried(TokenDoor(), texts(count, seed, watched.code), log),
            "scanner": lambda count: tried(watched.scanner, texts(count, seed + 1, watched.code), log),
            "handheld": lambda count: tried(watched.handheld, texts(count, seed + 2, watched.code), log),
            "card": lambda count: tried(watched.card, messages(count, seed + 3, watched.code), log),
        }
        before, resident = watched.state(), _resident_mb()
        found = {name: ways[name](count) for name, count in doors.items()}
        after = watched.state()
        watched.station.close()
    return {
        "doors": found,
        "changed_tables": sorted(name for name in after if after[name] != before.get(name)),
        "longest_line_bytes": log.longest,
        "inputs_in_log": log.leaks,
        "memory_grew_mb": _resident_mb() - resident,
    }


def verdict(report: dict[str, Any]) -> list[str]:
    """Return what must not be, one sentence each."""
    wrong = [f"{name}: accepted {door['accepted']}" for name, door in report["doors"].items() if door["accepted"]]
    wrong += [
        f"{name}: {door['log_lines']} lines of log for {door['answers']} answers"
        for name, door in report["doors"].items()
        if door["log_lines"] > door["answers"]
    ]
    if report["changed_tables"]:
        wrong.append(f"changed: {', '.join(report['changed_tables'])}")
    if report["longest_line_bytes"] > MAX_LINE_BYTES:
        wrong.append(f"a line of log has {report['longest_line_bytes']} bytes")
    if report["memory_grew_mb"] > MAX_GROWTH_MB:
        wrong.append(f"memory grew by {report['memory_grew_mb']} MB")
    if report["inputs_in_log"]:
        wrong.append(f"{report['inputs_in_log']} lines of log show an input")
    return wrong


def _resident_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description="hostile inputs at every door")
    parser.add_argument("--count", type=int, default=2_000, help="inputs at each door")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--door", action="append", metavar="NAME:COUNT", help=f"only these of {', '.join(DOORS)}")
    wanted = parser.parse_args()
    chosen = wanted.door or [f"{name}:{wanted.count}" for name in DOORS]
    report = run({name: int(count) for name, _, count in (one.partition(":") for one in chosen)}, wanted.seed)
    wrong = verdict(report)
    print(json.dumps({**report, "wrong": wrong}, indent=2))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
