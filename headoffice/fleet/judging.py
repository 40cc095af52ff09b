"""What a run came to: what is missing or doubled at head office, how long acknowledgements took, how fast it went.

Pure but for the clock's figures it is given; what is at head office comes in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headoffice.fleet.run import FleetPlan, Progress
from headoffice.fleet.station import LightStation
from headoffice.store.arrivals import Arrival

NOTHING = Arrival()


def outcome(
    plan: FleetPlan, progress: Progress, stations: Sequence[LightStation], there: Mapping[str, Arrival] | None
) -> dict[str, Any]:
    """The run in figures, units in the names. ``there``: by station what head office's database has, None: not asked.

    ``missing_at_head_office`` and ``doubled_at_head_office`` count sales; ``other_at_head_office`` counts stations
    whose litres, settlements or chain are not what was sent.
    """
    sales = [wait for station in stations for wait in station.sale_waits_s]
    batches = [wait for station in stations for wait in station.batch_waits_s]
    records = sum(station.journal.last_seq for station in stations)
    told: dict[str, Any] = {
        "name": plan.name,
        "stations": plan.stations,
        "sales": progress.sold,
        "acknowledged": sum(station.acked_sales for station in stations),
        "records": records,
        "wall_ms": round(progress.wall_s * 1000),
        "records_per_s": round(records / progress.wall_s) if progress.wall_s else 0,
        "connects": progress.connects,
        "connections_lost": progress.lost,
        "storm_back_ms": None if progress.storm_back_s is None else round(progress.storm_back_s * 1000),
        "sale_acked_p50_ms": percentile_ms(sales, 50),
        "sale_acked_p99_ms": percentile_ms(sales, 99),
        "batch_acked_p50_ms": percentile_ms(batches, 50),
        "batch_acked_p99_ms": percentile_ms(batches, 99),
        "stopped": len(progress.stopped),
        "missing_at_head_office": None,
        "doubled_at_head_office": None,
        "other_at_head_office": None,
    }
    if there is not None:
        told |= _counted(stations, there)
    told["passed"] = passed(told)
    return told


def passed(told: Mapping[str, Any]) -> bool:
    """Whether everything was acknowledged, and what was counted at head office is exactly that."""
    wrong = ("missing_at_head_office", "doubled_at_head_office", "other_at_head_office", "stopped")
    return told["sales"] == told["acknowledged"] > 0 and not any(told[name] for name in wrong)


def percentile_ms(waits_s: Iterable[float], percent: int) -> int | None:
    """The nearest rank; None of nothing."""
    ordered = sorted(waits_s)
    return round(ordered[max(0, -(-len(ordered) * percent // 100) - 1)] * 1000) if ordered else None


def _counted(stations: Sequence[LightStation], there: Mapping[str, Arrival]) -> dict[str, int]:
    missing = doubled = other = 0
    for station in stations:
        journal, found = station.journal, there.get(station.name, NOTHING)
        missing += max(0, journal.sales - found.sales)
        doubled += max(0, found.sales - journal.sales)
        last = journal.hash_at("L", journal.last_seq) or b""
        settled = journal.sales if journal.is_settled else 0
        wanted = Arrival(journal.sales, journal.volume_ml, settled, journal.last_seq, last.hex())
        other += found != wanted
    return {"missing_at_head_office": missing, "doubled_at_head_office": doubled, "other_at_head_office": other}
