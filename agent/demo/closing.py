"""The closing count: what the pumps counted, what the station recorded, what head office has, sale by sale.

Reads the simulator's truth and both databases, read-only, with SQL of its own: it trusts nobody's memory or sums.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.store.verify import verify

TRUTH_UNIT_ML = 10
"""The simulator's counters resolve 10 ml."""
MAX_PROBLEMS = 50
"""The first ones tell; thousands would help nobody."""


@dataclass(frozen=True, slots=True)
class Counted:
    """One sale as one side has it. ``start`` and ``end``: the totalizer in ml, ``None`` where unknown."""

    id: str
    point: int
    nozzle: int
    start: int | None
    end: int | None
    volume_ml: int
    amount_minor: int
    covers_several: bool = False

    @property
    def place(self) -> tuple[int, int, int | None]:
        """What names a sale on every side: point, nozzle and where the totalizer stood after it."""
        return (self.point, self.nozzle, self.end)

    def __str__(self) -> str:
        return f"sale {self.id} (point {self.point} nozzle {self.nozzle}, totalizer {self.end} ml)"


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settlement gave. ``member``: the opaque id, ``None`` for nobody."""

    discount_minor: int
    points: int
    net_minor: int
    member: str | None


@dataclass(frozen=True, slots=True)
class Books:
    """One side's database: its sales, settlements by sale, linked sales, tank alerts raised.

    ``replaced``: (point, nozzle) whose meter was replaced while the demo ran.
    """

    sales: tuple[Counted, ...]
    settled: dict[str, Settled]
    linked: frozenset[str]
    tank_alerts: int
    replaced: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Count:
    """The result. ``figures`` in the order of the documented JSON object; ``problems`` empty = everything agrees."""

    figures: dict[str, int]
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the documented object."""
        return {**self.figures, "verified": not self.problems, "problems": list(self.problems)}


def count(truth: Path, station: Path, head_office: Path, more_problems: Iterable[str] = ()) -> Count:
    """Count all sides and compare. ``more_problems``: what else did not hold. Raises sqlite3.Error, OSError."""
    pumps, ours, theirs = read_truth(truth), station_books(station), head_office_books(head_office)
    nothing = [] if pumps else ["the pumps made no sale, so nothing is proven: let the demo run longer"]
    problems = [
        *nothing,
        *compare_pumps(pumps, ours.sales, ours.replaced),
        *compare_head_office(ours, theirs),
        *(f"the station's database: {finding.where}: {finding.problem}" for finding in verify(station).findings),
        *more_problems,
    ]
    figures = {
        "sales_at_pumps": len(pumps),
        "sales_recorded": len(ours.sales),
        "sales_at_head_office": len(theirs.sales),
        "volume_at_pumps_ml": _volume_ml(pumps),
        "volume_recorded_ml": _volume_ml(ours.sales),
        "volume_at_head_office_ml": _volume_ml(theirs.sales),
        "sales_linked_to_members": len(ours.linked),
        "points_issued": sum(one.points for one in ours.settled.values()),
        "discount_minor": sum(one.discount_minor for one in ours.settled.values()),
        "tank_alerts_raised": ours.tank_alerts,
        "tank_alerts_at_head_office": theirs.tank_alerts,
    }
    return Count(figures, tuple(problems[:MAX_PROBLEMS]))


def _volume_ml(sales: Iterable[Counted]) -> int:
    return sum(sale.volume_ml for sale in sales)


# --- reading ----------------------------------------------------------------------------------------------------------


def read_truth(path: Path) -> tuple[Counted, ...]:
    """Return the sales that the simulator's pumps made, in their order; a last line cut short is no sale yet."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        fact = json.loads(line)
        if fact["kind"] == "sale":
            end = fact["totalizer_end"] * TRUTH_UNIT_ML
            name = f"no. {fact['n']} of the pumps"
            found.append(
                Counted(name, fact["point"], fact["nozzle"], None, end, fact["volume_ml"], fact["amount_minor"])
            )
    return tuple(found)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    connection.row_factory = sqlite3.Row
    return connection


def station_books(path: Path) -> Books:
    """Return what the station's database says."""
    with closing(_open(path)) as db:
        units = {(row[0], row[1]): int(row[2]) for row in db.execute(_UNITS)}
        sales = tuple(
            Counted(
                row["id"],
                row["fuelling_point"],
                row["nozzle"],
                _times(row["start_raw"], units[row["fuelling_point"], row["nozzle"]]),
                _times(row["end_raw"], units[row["fuelling_point"], row["nozzle"]]),
                row["volume_ml"],
                row["amount_minor"],
                "covers_several" in row["flags"].split(),
            )
            for row in db.execute("SELECT * FROM sale ORDER BY journal_seq")
        )
        linked = frozenset(row[0] for row in db.execute("SELECT DISTINCT sale FROM link WHERE active = 1"))
        alerts = [json.loads(row[0]) for row in db.execute("SELECT body FROM journal WHERE type = 'fc.tank.alert.v1'")]
        settled = {row["sale"]: _settled(row) for row in db.execute(_STATION_SETTLED)}
        replaced = frozenset((row[0], row[1]) for row in db.execute(_REPLACED))
    return Books(sales, settled, linked, sum(record["data"]["state"] == "raised" for record in alerts), replaced)


def head_office_books(path: Path) -> Books:
    """Return what head office's database says."""
    with closing(_open(path)) as db:
        units = {(row[0], row[1]): int(row[2]) for row in db.execute(_HEAD_OFFICE_UNITS)}
        sales = tuple(
            Counted(
                row["sale"],
                row["fuelling_point"],
                row["nozzle"],
                _times(_raw(row["totalizer_start"]), units[row["fuelling_point"], row["nozzle"]]),
                _times(_raw(row["totalizer_end"]), units[row["fuelling_point"], row["nozzle"]]),
                row["volume_ml"],
                row["amount_minor"],
            )
            for row in db.execute("SELECT * FROM sale ORDER BY record")
        )
        linked = frozenset(row[0] for row in db.execute("SELECT DISTINCT sale FROM sale_link"))
        alerts = db.execute(
            "SELECT count(*) FROM alert WHERE type = 'fc.tank.alert.v1' AND state = 'raised'"
        ).fetchone()[0]
        settled = {row["sale"]: _settled(row) for row in db.execute(_HEAD_OFFICE_SETTLED)}
    return Books(sales, settled, linked, int(alerts))


_UNITS = "SELECT fuelling_point, nozzle, max(unit_ml) FROM baseline GROUP BY 1, 2"
_REPLACED = "SELECT fuelling_point, nozzle FROM baseline GROUP BY 1, 2 HAVING count(*) > 1"
_HEAD_OFFICE_UNITS = "SELECT fuelling_point, nozzle, max(totalizer_unit_ml) FROM baseline GROUP BY 1, 2"
_STATION_SETTLED = """
SELECT t.sale, t.discount_minor, t.points_earned, t.net_minor, m.id AS member
FROM settlement t LEFT JOIN member m ON m.ref = t.member_ref
"""
_HEAD_OFFICE_SETTLED = "SELECT sale, discount_minor, points_earned, net_minor, member FROM settlement"


def _settled(row: sqlite3.Row) -> Settled:
    return Settled(row["discount_minor"], row["points_earned"], row["net_minor"], row["member"])


def _raw(totalizer: str | None) -> int | None:
    return None if totalizer is None else int(totalizer.partition(":")[2])


def _times(raw: int | None, unit_ml: int) -> int | None:
    return None if raw is None else raw * unit_ml


# --- comparing --------------------------------------------------------------------------------------------------------


def compare_pumps(
    pumps: Sequence[Counted], recorded: Sequence[Counted], replaced: frozenset[tuple[int, int]] = frozenset()
) -> list[str]:
    """Say what the station lost, doubled or changed of what the pumps counted; names every sale.

    A sale that was read out over a new meter ends at that meter's total: at nozzles ``replaced`` it is known by its
    volume and amount instead.
    """
    problems: list[str] = []
    known: defaultdict[tuple[int, int, int | None], list[Counted]] = defaultdict(list)
    for sale in recorded:
        known[sale.place].append(sale)
    missing: list[Counted] = []
    for real in pumps:
        found = known.get(real.place)
        if not found:
            missing.append(real)
            continue
        ours = found.pop(0)
        if not ours.covers_several:
            problems += _differences(ours, real, ours, ("at the pump", "the station"))
    extra = [sale for sales in known.values() for sale in sales]
    missing, extra = _without_replaced(missing, extra, replaced)
    merged = [sale for sale in recorded if sale.covers_several]
    for real in missing:
        if not any(_covers(several, real) for several in merged):
            problems.append(f"{real}: {real.volume_ml} ml at the pump, not recorded at the station")
    problems += [f"{sale}: recorded at the station, but no pump made it" for sale in extra]
    if merged and _volume_ml(pumps) != _volume_ml(recorded):
        names = ", ".join(sale.id for sale in merged)
        problems.append(f"sales {names} cover several fuellings, and the millilitres do not add up")
    return problems


def _without_replaced(
    missing: Sequence[Counted], extra: Sequence[Counted], replaced: frozenset[tuple[int, int]]
) -> tuple[list[Counted], list[Counted]]:
    """Return both without the pairs that are one sale over a replaced meter."""
    left, unknown = list(extra), []
    for real in missing:
        same = (sale for sale in left if _worth(sale) == _worth(real))
        twin = next(same, None) if (real.point, real.nozzle) in replaced else None
        if twin is None:
            unknown.append(real)
        else:
            left.remove(twin)
    return unknown, left


def _worth(sale: Counted) -> tuple[int, int, int, int]:
    return (sale.point, sale.nozzle, sale.volume_ml, sale.amount_minor)


def _covers(several: Counted, real: Counted) -> bool:
    if (several.point, several.nozzle) != (real.point, real.nozzle):
        return False
    return several.start is not None and several.end is not None and several.start < (real.end or 0) <= several.end


def compare_head_office(ours: Books, theirs: Books) -> list[str]:
    """Say what head office lacks, has twice or has otherwise than the station; names every sale."""
    problems: list[str] = []
    there = {sale.id: sale for sale in theirs.sales}
    times = Counter(sale.place for sale in theirs.sales if sale.end is not None and sale.volume_ml)
    own = Counter(sale.place for sale in ours.sales if sale.end is not None and sale.volume_ml)
    for sale in ours.sales:
        found = there.pop(sale.id, None)
        if found is None:
            problems.append(f"{sale}: {sale.volume_ml} ml at the station, missing at head office")
            continue
        problems += _differences(sale, sale, found, ("at the station", "head office"))
        problems += _settlement_differences(sale, ours, theirs)
    for sale in there.values():
        twice = times[sale.place] > max(1, own[sale.place])
        word = "is at head office a second time" if twice else "is at head office and not at the station"
        first = next((one.id for one in ours.sales if one.place == sale.place), None)
        problems.append(f"{sale} {word}{f': it repeats sale {first}' if first else ''}")
    if ours.tank_alerts != theirs.tank_alerts:
        problems.append(f"{ours.tank_alerts} tank alerts raised, {theirs.tank_alerts} at head office")
    return problems


def _differences(named: Counted, first: Counted, second: Counted, between: tuple[str, str]) -> list[str]:
    problems = []
    before, where = between
    if first.volume_ml != second.volume_ml:
        problems.append(f"{named}: {first.volume_ml} ml {before}, {second.volume_ml} ml at {where}")
    if first.amount_minor != second.amount_minor:
        problems.append(f"{named}: amount {first.amount_minor} {before}, {second.amount_minor} at {where}")
    return problems


def _settlement_differences(sale: Counted, ours: Books, theirs: Books) -> list[str]:
    here, there = ours.settled.get(sale.id), theirs.settled.get(sale.id)
    problems = []
    if here is None:
        problems.append(f"{sale}: not settled")
    elif there is None:
        problems.append(f"{sale}: settled at the station, its settlement is missing at head office")
    elif here != there:
        problems.append(f"{sale}: settled as {here} at the station, as {there} at head office")
    if sale.id in ours.linked and sale.id not in theirs.linked:
        problems.append(f"{sale}: linked to a member at the station, not at head office")
    return problems
