"""What the counts of a station say after a sale was given back, through the pipeline and its database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support import template
from tests.support.loyalty_station import LoyaltyStation

DAY_START_MS = 1_795_248_000_000
FIRST_OF_THE_DAY: dict[str, Any] = {
    "version": 1,
    "effective_from": "2020-01-01T00:00:00+08:00",
    "program": {"currency": "CNY", "exponent": 2},
    "offer": [
        {
            "id": "first",
            "kind": "AMOUNT_OFF",
            "off_minor": 500,
            "when": {"anyone": True},
            "limit": [{"per": "STATION", "window": "DAY", "uses": 1}],
        }
    ],
}


def test_a_voided_sale_gives_the_station_its_use_back(tmp_path: Path) -> None:
    """One discount a day at this station: once its sale is voided, and only then, the next customer has it, on any day."""
    template.copy_to(tmp_path)
    station = LoyaltyStation(tmp_path, settle="tender", start_ms=DAY_START_MS)
    station.rules(FIRST_OF_THE_DAY)
    first, second = _paid(station), _paid(station)
    assert (first["discount_minor"], second["discount_minor"]) == (500, 0)
    assert station.ask("sales.refund", sale=first["sale"], amount_minor=100, reason="spilled")["ok"]
    assert _paid(station)["discount_minor"] == 0
    station.restart()
    assert station.ask("sales.void", sale=first["sale"], reason="wrong pump")["ok"]
    assert _paid(station)["discount_minor"] == 500
    assert _paid(station)["discount_minor"] == 0
    station.close()


def _paid(station: LoyaltyStation) -> dict[str, Any]:
    sale = station.fuel(1, 10_000)
    tenders = [{"kind": "cash", "amount_minor": None, "ref": None}]
    answer = station.ask("sales.settle", sale=sale, tenders=tenders)
    assert answer["ok"], answer
    return dict(answer["data"])
