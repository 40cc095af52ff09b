"""The quality scale of drivers, computed from tests that ran: a pytest plugin that collects what marked tests have proved.

A test says ``@pytest.mark.proves("vectors", "dart")``; without a protocol it is that of its parameter (a rig). Evidence
exists where every test of it that was collected ran and passed. No level can be written down anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.rigs.base import Subject

EVIDENCE: Mapping[str, str] = {
    "vectors": "published or worked examples of the protocol, byte for byte",
    "every-split": "the same bytes cut at every place give the same frames",
    "silence": "a device that falls silent or babbles is told once, and its return is a gap",
    "crash-window": "the agent's side killed at every frame of a sale or a reading: afterwards the truth is told",
    "replugs": "a hundred pulled cables on a real wire, no descriptor lost",
    "noise": "noise, half frames, echo, strays, late answers, wrong addresses: nothing wrong is told",
    "independent-peer": "spoken with an implementation that nobody of this project wrote",
    "real-capture": "bytes recorded from a real device are understood",
}
"""What a test may prove, in words."""

LEVELS: tuple[tuple[str, tuple[frozenset[str], ...]], ...] = (
    ("bronze", (frozenset({"vectors"}), frozenset({"every-split"}), frozenset({"silence"}))),
    ("silver", (frozenset({"crash-window"}), frozenset({"replugs"}), frozenset({"noise"}))),
    ("gold", (frozenset({"independent-peer", "real-capture"}),)),
)
"""Each level needs the levels before it, and one of each of its sets."""

NONE = "none"


@dataclass(slots=True)
class Record:
    """Tests of one protocol by what they prove: how many passed, and the names of those that did not."""

    passed: dict[str, int] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)

    def evidence(self) -> frozenset[str]:
        """What is proved: something passed and nothing failed."""
        return frozenset(name for name in self.passed if name not in self.failed)

    def level(self) -> str:
        """The highest level reached."""
        reached = NONE
        for name, needs in LEVELS:
            if not all(need & self.evidence() for need in needs):
                break
            reached = name
        return reached

    def missing(self) -> tuple[str, list[str]]:
        """The next level and what it lacks, alternatives joined by "or"; ``("", [])`` at the top."""
        for name, needs in LEVELS:
            lacking = [" or ".join(sorted(need)) for need in needs if not need & self.evidence()]
            if lacking:
                return name, lacking
        return "", []


class Scale:
    """The collector. ``records``: by protocol, filled while the tests run, in this process or in its workers."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one phase of one test: evidence is a passed call; anything else that is no pass denies it."""
        for name, claim in report.user_properties:
            if name != "proves":
                continue
            assert isinstance(claim, str)
            protocol, _, evidence = claim.partition(" ")
            record = self.records.setdefault(protocol, Record())
            if not report.passed:
                record.failed.setdefault(evidence, []).append(report.nodeid)
            elif report.when == "call":
                record.passed[evidence] = record.passed.get(evidence, 0) + 1

    def as_json(self, protocols: Iterable[str]) -> dict[str, Any]:
        """The whole scale with stable names."""
        return {"levels": [name for name, _ in LEVELS], "drivers": [self._row(name) for name in sorted(protocols)]}

    def as_table(self, protocols: Iterable[str]) -> str:
        """The scale as people read it."""
        rows = [self._row(name) for name in sorted(protocols)]
        columns = list(EVIDENCE)
        wide = max(len("protocol"), *(len(row["protocol"]) for row in rows))
        head = f"{'protocol':{wide}}  " + "  ".join(columns) + "  level"
        lines = [head]
        for row in rows:
            marks = "  ".join(_mark(row, name).center(len(name)) for name in columns)
            lines.append(f"{row['protocol']:{wide}}  {marks}  {row['level']}")
        for row in rows:
            if row["next_level"]:
                lines.append(f"{row['protocol']}: {row['next_level']} needs {', '.join(row['missing'])}")
            lines += [f"{row['protocol']}: not proved, {test}" for tests in row["failed"].values() for test in tests]
        return "\n".join(lines)

    def _row(self, protocol: str) -> dict[str, Any]:
        record = self.records.get(protocol, Record())
        following, lacking = record.missing()
        return {
            "protocol": protocol,
            "level": record.level(),
            "tests_passed": dict(sorted(record.passed.items())),
            "failed": dict(sorted(record.failed.items())),
            "next_level": following,
            "missing": lacking,
        }


def note_claims(items: Iterable[pytest.Item]) -> None:
    """Write down beside each test what it proves, so that it travels with its report."""
    for item in items:
        item.user_properties += [("proves", claim) for claim in claims(item)]


def proves(item: pytest.Item) -> bool:
    """Whether a test says that it proves something of a driver."""
    return next(item.iter_markers("proves"), None) is not None


def claims(item: pytest.Item) -> list[str]:
    """What a test says it proves, as "protocol evidence". Raises ``pytest.UsageError`` for a claim that means nothing."""
    found = []
    for marker in item.iter_markers("proves"):
        evidence, *protocols = marker.args
        if evidence not in EVIDENCE:
            raise pytest.UsageError(f"{item.nodeid} proves {evidence!r}; known are {', '.join(EVIDENCE)}")
        protocols = protocols or _of_parameters(item)
        if not protocols:
            raise pytest.UsageError(f"{item.nodeid} proves {evidence!r} of no protocol: name it, or take a rig")
        found += [f"{protocol} {evidence}" for protocol in protocols]
    return found


def _of_parameters(item: pytest.Item) -> list[str]:
    values = item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
    flat = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
    return [part.protocol for part in flat if isinstance(part, Subject)]


def _mark(row: Mapping[str, Any], evidence: str) -> str:
    if evidence in row["failed"]:
        return "FAILED"
    passed = row["tests_passed"].get(evidence, 0)
    return str(passed) if passed else "-"


def dump(scale: Mapping[str, Any]) -> str:
    """JSON as ``--json`` prints it."""
    return json.dumps(scale, indent=2, ensure_ascii=False)
