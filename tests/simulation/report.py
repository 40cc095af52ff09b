"""What people read of simulated days: a line per day, the story of a failure, what was hit and what never was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tests.simulation.day import SALES, DayResult
from tests.simulation.plan import STEPS, kinds

AROUND = 12
"""Lines of the event log shown before and after each fault, death and start."""

MARKS = ("fault: ", "dies: ", "the agent starts")


def line(day: DayResult) -> str:
    """One day in one line."""
    verdict = "ok" if day.ok else f"{len(day.complaints)} COMPLAINTS"
    died = f", died at {' '.join(day.crashes)}" if day.crashes else ""
    return f"seed {day.seed:5}  {day.sales} sales  {day.digest[:12]}  {verdict}  {' '.join(day.faults)}{died}"


def held(day: DayResult) -> bool:
    """Whether the day was a whole one and everything held."""
    return day.ok and not _lacking(day)


def _lacking(day: DayResult) -> list[str]:
    few = [] if day.sales >= SALES else [f"only {day.sales} sales"]
    few += [] if day.deliveries else ["no tank delivery"]
    return few if day.faults else [*few, "no fault struck"]


def story(day: DayResult) -> str:
    """Why a day failed and the command that lives through it again."""
    return "\n".join(
        [
            line(day),
            *(f"  {complaint}" for complaint in (*_lacking(day), *day.complaints)),
            f"  again: python -m tests.simulation --seed {day.seed}   (or make simulate ARGS='--seed {day.seed}')",
        ]
    )


def around_faults(day: DayResult) -> list[str]:
    """The event log around every fault, death and start, and its end."""
    lines = list(day.lines)
    marked = [at for at, text in enumerate(lines) if any(mark in text for mark in MARKS)]
    wanted = {at + near for at in (*marked, len(lines)) for near in range(-AROUND, AROUND + 1)}
    shown: list[str] = []
    for at, text in enumerate(lines):
        if at in wanted:
            shown.append(text)
        elif at - 1 in wanted:
            shown.append("        ...")
    return shown


def hit(days: Iterable[DayResult]) -> tuple[Counter[str], Counter[str]]:
    """How often each kind of fault struck, and at which failpoint somebody died."""
    struck: Counter[str] = Counter()
    died: Counter[str] = Counter()
    for day in days:
        struck.update(day.faults)
        died.update(crash.partition(":")[0] for crash in day.crashes)
    return struck, died


def table(days: list[DayResult]) -> str:
    """What was hit how often, and what never was."""
    struck, died = hit(days)
    rows = [f"{struck[kind]:6}  {kind}" for kind in sorted(kinds(), key=lambda kind: (-struck[kind], kind))]
    rows += ["", "deaths at failpoints"]
    rows += [f"{died[name]:6}  {name}" for name in sorted(STEPS, key=lambda name: (-died[name], name))]
    return "\n".join([f"faults in {len(days)} days", *rows])
