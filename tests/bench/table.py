"""One measured row, and how a run of them is shown: as text, as JSON and inside docs/performance.md.

Knows no bench. A bench is a module ``tests/bench/p*.py`` with ``measure() -> list[Row]``.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

KEPT = "FORECOURT_BENCH_FOLDER"
"""Environment: a folder of this run in which large databases wait for the next bench."""

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


@dataclass(frozen=True)
class Row:
    """One figure: ours in ``unit``, a peer's in the same unit and run, their ratio (ours / peer), and the target."""

    id: str
    what: str
    ours: float
    unit: str
    peer: float | None
    peer_name: str
    ratio: float | None
    target: str
    met: bool
    note: str = ""


def against(id: str, what: str, ours: float, peer: float, *, unit: str, peer_name: str, at_most: float) -> Row:  # noqa: A002
    """Return a row whose target is a ratio to the peer of the same run: lower is better."""
    ratio = ours / peer
    return Row(id, what, ours, unit, peer, peer_name, ratio, f"<= {at_most:g}x", ratio <= at_most)


def reaching(id: str, what: str, ours: float, peer: float, *, unit: str, peer_name: str, at_least: float) -> Row:  # noqa: A002
    """Return a row whose target is a share of the peer: higher is better."""
    ratio = ours / peer
    return Row(id, what, ours, unit, peer, peer_name, ratio, f">= {at_least:g}x", ratio >= at_least)


def within(id: str, what: str, ours: float, *, unit: str, at_most: float, limit: str = "limit") -> Row:  # noqa: A002
    """Return a row whose target is a figure in its own unit: lower is better."""
    return Row(id, what, ours, unit, at_most, limit, ours / at_most, f"<= {at_most:g} {unit}", ours <= at_most)


def above(id: str, what: str, ours: float, *, unit: str, at_least: float, limit: str = "limit") -> Row:  # noqa: A002
    """Return a row whose target is a figure in its own unit: higher is better."""
    return Row(id, what, ours, unit, at_least, limit, ours / at_least, f">= {at_least:g} {unit}", ours >= at_least)


def missing(id: str, what: str, why: str) -> Row:  # noqa: A002
    """Return the row of a bench that gave no figure, so that its absence is seen."""
    return Row(id, what, 0.0, "", None, "", None, "", False, why)


def figure(value: float) -> str:
    """Return a number with three significant digits, thousands separated."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _cells(row: Row) -> tuple[str, ...]:
    peer = "-" if row.peer is None else f"{figure(row.peer)} {row.unit} ({row.peer_name})"
    ratio = "-" if row.ratio is None else f"{row.ratio:.3f}" if 0.9 < row.ratio < 1.1 else f"{row.ratio:.2f}"
    return (row.id, row.what, f"{figure(row.ours)} {row.unit}", peer, ratio, row.target, "ok" if row.met else "short")


HEADINGS = ("", "what", "ours", "peer or limit of the same run", "ratio", "target", "")


def as_text(rows: Sequence[Row]) -> str:
    """Return the table for a terminal, notes below it."""
    lines = [HEADINGS, *map(_cells, rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(HEADINGS))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*table, *(f"{row.id} {row.what}: {row.note}." for row in rows if row.note)])


def as_markdown(rows: Sequence[Row], date: str, machine: str) -> str:
    """Return the generated part of docs/performance.md without its markers."""
    lines = [("|".join(("", *(f" {cell.replace('|', '/')} " for cell in _cells(row)), ""))) for row in rows]
    head = f"| {' | '.join(HEADINGS)} |".replace("|  |", "| |")
    notes = [f"- {row.id}, {row.what}: {row.note}." for row in rows if row.note]
    return "\n".join([f"Measured {date} on: {machine}.", "", head, "|---" * len(HEADINGS) + "|", *lines, "", *notes])


def written_into(page: str, generated: str) -> str:
    """Return the page with what stands between the markers replaced. Raises ValueError where it has none."""
    pattern = re.compile(re.escape(BEGIN) + ".*" + re.escape(END), re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"the page has no part between {BEGIN} and {END}")
    return pattern.sub(lambda _: f"{BEGIN}\n{generated.rstrip()}\n{END}", page)


def machine() -> str:
    """Return what the figures depend on: versions, kernel, processor."""
    libraries = ("sqlalchemy", "paho-mqtt", "pydantic", "pyserial", "typer", "rich")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in libraries]
    return ", ".join(
        [
            f"Python {platform.python_version()}",
            f"SQLite {sqlite3.sqlite_version}",
            *versions,
            _mosquitto(),
            f"Linux {platform.release()}",
            f"{_processor()} ({os.cpu_count()} cores)",
        ]
    )


def _mosquitto() -> str:
    try:
        told = subprocess.run(["mosquitto", "-h"], capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return "no mosquitto"
    return (told.stdout.splitlines() or ["mosquitto"])[0].replace("version ", "")


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return found.group(1) if found else platform.machine()
