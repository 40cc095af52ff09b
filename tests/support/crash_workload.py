"""An hour of a whole virtual station in a minute, recorded: what its writer says to a new database from the first table on.

Migration, rules, members, sales, links, settlements, points, alerts, telemetry, tank readings, acknowledgements of head
office and a restart. The station is the real pipeline on the real store; the trace is checked against what it believes.
"""

from __future__ import annotations

from pathlib import Path

from agent.inbox import Ticked
from tests.support.crash_trace import CLOSE, Trace
from tests.support.station import VirtualStation
from tests.support.station_checks import check_invariants
from tests.support.station_plans import busy

STATION_SEED = 1
TABLES = ("sale", "link", "settlement", "tender", "posting", "alert", "tank_level", "scan_event")


def recorded_station(folder: Path) -> Trace:
    """Let the station run in ``folder`` and return its trace; the station itself must have lost nothing."""
    trace = Trace()
    with trace.recording(folder / "station.db"):
        station = VirtualStation(STATION_SEED, folder, busy(has_head_office=True))
        station.publish_rules_and_members()
        station.run_for(14)
        station.forecourt.inject("cable-pulled", line="island-1")
        station.run_for(12)
        station.handle(Ticked("minute"))
        _restart(station, trace)
        station.run_for(12)
        station.run_out()
    check_invariants(station)
    empty = [name for name in TABLES if station.rows(f"SELECT count(*) AS n FROM {name}")[0]["n"] == 0]
    assert not empty, f"the trace would prove nothing about {empty}"
    assert all(row["acked"] for row in station.rows("SELECT acked FROM stream_head")), (
        "head office acknowledged nothing"
    )
    heads = {name: head for name, head in station.store.heads().items() if head[0]}
    station.close()
    assert trace.promised().heads == heads, "the trace is not what the station believes it has written"
    return trace


def _restart(station: VirtualStation, trace: Trace) -> None:
    assert station.link is not None
    station.link.close()
    station.store.close()
    station.is_up = False
    trace.note(CLOSE)
    station.restart(1.0)
