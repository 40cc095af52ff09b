"""What must hold after a day, against the forecourt's own account: I1 to I5 of every scenario, both databases' own verify, and every fact once.

Reads only.
"""

from __future__ import annotations

from headoffice.store.database import Database
from headoffice.store.verify import verify as verify_office
from tests.simulation.station import SimStation
from tests.support import exactly_once
from tests.support.station_checks import complaints as station_complaints
from tests.support.station_checks import event_hash, rows
from tests.support.station_settings import STATION


def complaints(station: SimStation) -> list[str]:
    """Everything that does not hold, as sentences."""
    return [
        *station_complaints(station),
        *_office(station),
        *exactly_once.complaints(station.directory / "hq.db", {STATION: [station.settings.store.path]}),
        *_points(station),
    ]


def fingerprint(station: SimStation) -> str:
    """One hash of everything ever journalled in the day."""
    return event_hash(station)


def _office(station: SimStation) -> list[str]:
    """Head office's own verify, which trusts nothing but the bytes."""
    database = Database(station.directory / "hq.db")
    try:
        return [f"I5 head office: {finding}" for finding in verify_office(database).findings]
    finally:
        database.close()


def _points(station: SimStation) -> list[str]:
    """I2: a settlement posts what it gave, and head office has every posting, also those of money given back."""
    earned = station.rows("SELECT coalesce(sum(points_earned - points_redeemed), 0) AS n FROM settlement")[0]["n"]
    posting = "SELECT coalesce(sum(points), 0) AS n FROM posting"
    settled = station.rows(f"{posting} WHERE member_ref IS NOT NULL AND rule = 'settled'")[0]["n"]
    posted = station.rows(f"{posting} WHERE member_ref IS NOT NULL")[0]["n"]
    office = rows(station.directory / "hq.db", f"{posting} WHERE account LIKE 'member:%'")[0]["n"]
    if earned == settled and posted == office:
        return []
    return [f"I2 earned {earned}, posted {settled}; with what was given back {posted}, head office {office}"]
