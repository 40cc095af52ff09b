"""The one checker of a station's invariants (I1-I5): the database and head office against the simulator's own truth.

Reads only. Every complaint names the seed that gives it again.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from agent.domain.booking import LIVE_VALUES
from agent.domain.point_reset import WITH_FUELLING
from agent.settings import Settings
from agent.store.verify import verify
from drivers.simulator.buses import MasterCommand
from drivers.simulator.config import ForecourtConfig
from drivers.simulator.forecourt import Forecourt
from drivers.simulator.pump_head import TOTAL_MODULUS, UNIT_ML
from tests.support.station_settings import spoken

SENSITIVE = frozenset(
    {"RESET", "AUTHORIZE", "AUTHORISE", "PRICES", "LEVEL", "PRESET_VOLUME", "PRESET_AMOUNT", "PRESET"}
)
"""What may make a pump forget, deliver or change its prices."""


class CheckedStation(Protocol):
    """What a check needs to know of a station on a virtual clock."""

    seed: int
    directory: Path
    settings: Settings
    config: ForecourtConfig
    forecourt: Forecourt
    commands: list[MasterCommand]
    starts: list[int]
    crashes: list[str]

    @property
    def head_office(self) -> object | None:
        """Head office, where it is simulated as well."""
        ...

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Rows of the station's database."""
        ...


def rows(path: Path, sql: str) -> list[dict[str, Any]]:
    """Rows of a SQLite file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(sql)]


def check_invariants(station: CheckedStation) -> None:
    """Everything that must hold at a quiet moment, all complaints at once."""
    found = complaints(station)
    replay = f"seed {station.seed}, crashes {station.crashes}"
    assert not found, f"{replay}:\n" + "\n".join(found)


def complaints(station: CheckedStation) -> list[str]:
    """What does not hold, as sentences that begin with the invariant."""
    return [
        *_sales(station),
        *_chain(station),
        *_head_office(station),
        *_first_orders(station),
        *_links(station),
    ]


def true_sales(station: CheckedStation) -> dict[tuple[int, int], list[int]]:
    """Per nozzle what its meter counted of every fuelling, in ml and order of time."""
    last: dict[tuple[int, int], int] = {}
    counted: dict[tuple[int, int], list[int]] = {}
    for record in station.forecourt.truth.records:
        if record["kind"] not in ("meter", "sale"):
            continue
        nozzle = (record["point"], record["nozzle"])
        if record["kind"] == "meter":
            last[nozzle] = record["new"]
        else:
            moved = (record["totalizer_end"] - last[nozzle]) % TOTAL_MODULUS
            counted.setdefault(nozzle, []).append(moved * UNIT_ML)
            last[nozzle] = record["totalizer_end"]
    return counted


def sales_of(station: CheckedStation) -> list[dict[str, Any]]:
    """Every booked sale in the order of booking, whatever incarnation booked it."""
    return station.rows("SELECT * FROM sale ORDER BY rowid")


def booked_sales(station: CheckedStation) -> dict[tuple[int, int], list[dict[str, Any]]]:
    """Per nozzle the booked sales in the order of the journal."""
    booked: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for sale in sales_of(station):
        booked.setdefault((sale["fuelling_point"], sale["nozzle"]), []).append(sale)
    return booked


def event_hash(station: CheckedStation) -> str:
    """One hash of everything ever journalled."""
    digest = sha256()
    for row in station.rows("SELECT stream, seq, body FROM journal ORDER BY generation, stream, seq"):
        digest.update(f"{row['stream']}{row['seq']}".encode() + bytes(row["body"]))
    return digest.hexdigest()


def alert_edges(station: CheckedStation) -> Counter[tuple[str, str, str]]:
    """How often (subject, alert, state) was journalled."""
    found: Counter[tuple[str, str, str]] = Counter()
    for row in station.rows("SELECT body FROM journal WHERE stream = 'A' ORDER BY seq"):
        data = json.loads(row["body"])["data"]
        subject = data.get("subject") or f"tank:{data['tank']}"
        found[subject, data["alert"], data["state"]] += 1
    return found


def _sales(station: CheckedStation) -> list[str]:
    """I1 and I4: every fuelling is exactly one sale; only sales that say so may cover several."""
    truth, booked = true_sales(station), booked_sales(station)
    gaps = _gaps(station)
    complaints = []
    for nozzle in sorted({*truth, *booked}):
        real, sales = truth.get(nozzle, []), booked.get(nozzle, [])
        volumes = [sale["volume_ml"] for sale in sales]
        several = any("covers_several" in sale["flags"] for sale in sales)
        unread = _unread(real, sales) if nozzle in gaps else 0
        if unread > gaps[nozzle] or (unread == 0 and (sum(real) != sum(volumes) or (not several and real != volumes))):
            complaints.append(f"I1 point, nozzle {nozzle}: pumped {real}, booked {volumes}")
        complaints += [f"I1 {nozzle}: empty sale {sale['id']}" for sale in sales if sale["volume_ml"] <= 0]
        stands = None if sales and sales[-1]["end_raw"] is None else _last_count(station, nozzle)
        words = spoken(station.config, nozzle[0])
        counted_ml = station.forecourt.world.heads[nozzle[0]].totals[nozzle[1]] * UNIT_ML
        total = counted_ml // words.totals_unit_ml % words.totals_modulus
        if stands is not None and stands % words.totals_modulus != total:
            complaints.append(f"I4 {nozzle}: the books end at {stands}, the meter stands at {total}")
    return complaints


def _gaps(station: CheckedStation) -> Counter[tuple[int, int]]:
    """Per nozzle the gap records that name a fuelling which nobody could read: display lost and meter replaced."""
    bodies = station.rows("SELECT body FROM journal WHERE type = 'fc.gap.v1'")
    gaps = [json.loads(row["body"])["data"] for row in bodies]
    return Counter((gap["fuelling_point"], gap["nozzle"]) for gap in gaps if gap["reason"].startswith(WITH_FUELLING))


def _unread(real: list[int], sales: list[dict[str, Any]]) -> int:
    """How many fuellings have no sale of their own litres; a sale of live values may stand for less than one of them.

    Every other difference counts as more than any gap explains.
    """
    missing = Counter(real) - Counter(sale["volume_ml"] for sale in sales)
    surplus = Counter(sale["volume_ml"] for sale in sales) - Counter(real)
    live = Counter(sale["volume_ml"] for sale in sales if LIVE_VALUES in sale["flags"])
    is_short = all(volume <= longest for volume, longest in zip(sorted(surplus), sorted(missing), strict=False))
    return missing.total() if surplus <= live and is_short else len(real) + 1


def _last_count(station: CheckedStation, nozzle: tuple[int, int]) -> int | None:
    """Where the books of a nozzle end: at its newest base or behind its newest sale."""
    where = f"fuelling_point = {nozzle[0]} AND nozzle = {nozzle[1]}"
    query = f"""
        SELECT epoch, raw FROM baseline WHERE {where}
        UNION ALL SELECT end_epoch, end_raw FROM sale WHERE {where} AND end_raw IS NOT NULL
    """
    counts = [(row["epoch"], row["raw"]) for row in station.rows(query)]
    return max(counts)[1] if counts else None


def _chain(station: CheckedStation) -> list[str]:
    """I5 and the gapless journal of I3."""
    report = verify(station.settings.store.path)
    return [f"I5 {finding.where}: {finding.problem}" for finding in report.findings]


def _head_office(station: CheckedStation) -> list[str]:
    """I3: delivered or waiting here; at head office each id once and in the same order."""
    complaints = []
    for head in station.rows("SELECT * FROM stream_head"):
        stream, acked = head["stream"], head["acked"]
        query = f"SELECT count(*) AS n FROM journal WHERE stream = '{stream}' AND (delivered = 1) <> (seq <= {acked})"
        if station.rows(query)[0]["n"]:
            complaints.append(f"I3 {stream}: delivered marks and the cursor {acked} disagree")
        if station.head_office is not None:
            complaints += _same_at_head_office(station, stream, acked)
    return complaints


def _same_at_head_office(station: CheckedStation, stream: str, acked: int) -> list[str]:
    path = station.directory / "hq.db"
    ours = station.rows(f"SELECT seq, id, body FROM journal WHERE stream = '{stream}' ORDER BY seq")
    theirs = rows(
        path, f"SELECT seq, id, raw FROM record JOIN record_bytes USING (number) WHERE stream = '{stream}' ORDER BY seq"
    )
    complaints = []
    if len(theirs) < acked:
        complaints.append(f"I3 {stream}: {acked} acknowledged, head office has {len(theirs)}")
    # what was delivered leaves the journal after its time, which a clock that leaps 400 days brings at once
    kept_from = ours[0]["seq"] if ours else acked + 1
    there = [(r["seq"], r["id"], bytes(r["raw"])) for r in theirs if r["seq"] >= kept_from]
    if there != [(r["seq"], r["id"], bytes(r["body"])) for r in ours[: len(there)]]:
        complaints.append(f"I3 {stream}: head office has other records than the journal")
    for table in ("duplicate", "dead_letter", "quarantine"):
        count = rows(path, f"SELECT count(*) AS n FROM {table} WHERE stream = '{stream}'")[0]["n"]
        if count:
            complaints.append(f"I3 {stream}: {count} rows in {table} at head office")
    return complaints


def _first_orders(station: CheckedStation) -> list[str]:
    """After every start the totals of all nozzles were asked twice before anything was ordered."""
    complaints = []
    ends = [*station.starts[1:], len(station.commands)]
    for start, end in zip(station.starts, ends, strict=True):
        for point in station.config.points:
            words = spoken(station.config, point.number)
            asked: Counter[str] = Counter()
            for entry in station.commands[start:end]:
                if entry.point != point.number:
                    continue
                name, detail = words.totals_question
                if entry.name == name and detail in (None, entry.detail) and not entry.duplicate:
                    asked[entry.detail] += 1
                if entry.name in SENSITIVE:
                    questions = 1 if words.totals_at_once else len(point.nozzles)
                    if len(asked) < questions or min(asked.values()) < 2:
                        complaints.append(
                            f"start at command {start}: {entry.name} to point {point.number} at {entry.t_ms}"
                        )
                    break
    return complaints


def _links(station: CheckedStation) -> list[str]:
    query = "SELECT sale, count(*) AS n FROM link WHERE active = 1 GROUP BY sale HAVING n > 1"
    return [f"sale {row['sale']} has {row['n']} active links" for row in station.rows(query)]
