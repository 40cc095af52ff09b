"""What must hold once a station that was born again has spoken to head office; reads both databases and the pumps' truth."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from agent.store.verify import verify
from headoffice.store.verify import verify as verify_head_office
from tests.support.station import VirtualStation
from tests.support.station_checks import rows, true_sales

Litres = dict[tuple[int, int], int]


def at_head_office(station: VirtualStation, sql: str) -> list[dict[str, Any]]:
    """Rows of head office's database."""
    return rows(station.directory / "hq.db", sql)


def litres_at_head_office(station: VirtualStation) -> Litres:
    """Millilitres per nozzle in the accepted sales."""
    found = at_head_office(
        station, "SELECT fuelling_point AS p, nozzle AS n, sum(volume_ml) AS ml FROM sale GROUP BY 1, 2"
    )
    return {(row["p"], row["n"]): row["ml"] for row in found}


def pumped(station: VirtualStation) -> Litres:
    """Millilitres per nozzle as the pumps counted them."""
    return {nozzle: sum(volumes) for nozzle, volumes in true_sales(station).items() if sum(volumes)}


def first_records(station: VirtualStation) -> dict[str, dict[str, Any]]:
    """The first record of every incarnation head office has, by incarnation."""
    found = at_head_office(
        station, "SELECT incarnation, raw FROM record JOIN record_bytes USING (number) WHERE stream = 'L' AND seq = 1"
    )
    return {row["incarnation"]: json.loads(row["raw"]) for row in found}


def check_every_litre_once(station: VirtualStation, *, overlaps: int | None = 0) -> None:
    """I1, I3 and I5 across incarnations: head office has what the pumps counted, once; both sides verify.

    ``overlaps``: dead letters that the story must give, because an old copy had booked what head office knew; ``None``
    where chance decides how many.
    """
    complaints = [
        f"station {finding.where}: {finding.problem}" for finding in verify(station.settings.store.path).findings
    ]
    assert station.head_office is not None
    complaints += [f"head office: {finding}" for finding in verify_head_office(station.head_office.database).findings]
    if litres_at_head_office(station) != pumped(station):
        complaints.append(f"pumped {pumped(station)}, at head office {litres_at_head_office(station)}")
    dead = Counter(row["reason"] for row in at_head_office(station, "SELECT reason FROM dead_letter"))
    if overlaps is None:
        overlaps = dead["overlap"]
    if dead != Counter({"overlap": overlaps} if overlaps else {}):
        complaints.append(f"dead letters {dict(dead)}")
    here = {row["id"] for row in station.rows("SELECT id FROM sale WHERE id NOT IN (SELECT sale FROM superseded)")}
    there = {row["sale"] for row in at_head_office(station, "SELECT sale FROM sale")}
    complaints += [f"sale {sale} is not at head office" for sale in sorted(here - there)]
    complaints += [
        f"settlement of {row['sale']} came twice"
        for row in at_head_office(station, "SELECT sale FROM settlement GROUP BY sale HAVING count(*) > 1")
    ]
    assert not complaints, f"seed {station.seed}, {station.crashes}:\n" + "\n".join(complaints)
