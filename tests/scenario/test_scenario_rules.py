"""Rule sets that arrive at a station: doubts are audited with the version, and what was accepted once is read for ever."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from hashlib import sha256
from typing import Any

from agent.inbox import FromHeadOffice
from sync import ports
from tests.scenario.conftest import MakeStation
from tests.support.station import VirtualStation
from tests.support.station_plans import by_hand
from tests.support.station_settings import RULES

IDLE = {"id": "idle", "kind": "AMOUNT_OFF", "off_minor": 100, "when": {"holdout_bp": 10_000}}
NEVER = {"id": "never", "kind": "AMOUNT_OFF", "off_minor": 100, "when": {"visit_at": 5, "visit_every": 3}}


def _body(version: int, *offers: dict[str, Any]) -> bytes:
    return json.dumps({**RULES, "version": version, "offer": [*RULES["offer"], *offers]}).encode()


def _arrives(station: VirtualStation, version: int, *offers: dict[str, Any]) -> list[tuple[str, str]]:
    """Give the station a rule set; returns what was audited about it."""
    body = _body(version, *offers)
    station.handle(FromHeadOffice(ports.DocumentArrived("rules", version, sha256(body).digest(), body)))
    records = [json.loads(row["body"])["data"] for row in station.rows("SELECT body FROM journal ORDER BY seq")]
    told = [record for record in records if record.get("object") == f"version {version}"]
    return [(record["action"], record["reason"]) for record in told if record["action"] != "rules_activated"]


def test_a_questionable_rule_set_is_kept_and_its_doubts_are_audited(make_station: MakeStation) -> None:
    """A station takes what head office published, and head office learns which version raises which doubt."""
    station = make_station(71, by_hand(has_head_office=True))
    (received,) = _arrives(station, 1)
    assert received[0] == "rules_received"
    assert [action for action, _ in _arrives(station, 2, IDLE)] == ["rules_received", "rules_questionable"]
    (_, reason) = _arrives(station, 3, IDLE)[1]
    assert reason == "offer[2].when.holdout_bp (idle): NEVER_APPLIES: leaves every member out; lower the share"


def test_a_rule_set_that_contradicts_itself_is_refused_on_arrival(make_station: MakeStation) -> None:
    """The rules in force stay; the audit record says what is wrong."""
    station = make_station(72, by_hand(has_head_office=True))
    _arrives(station, 1)
    ((action, reason),) = _arrives(station, 2, NEVER)
    assert action == "rules_refused"
    assert reason.startswith("offer[2].when.visit_at: 5 is no multiple of visit_every 3")
    station.run_for(2)
    assert station.rows("SELECT version FROM document WHERE activated_ms IS NOT NULL") == [{"version": 1}]


def test_rules_in_force_are_read_after_an_upgrade_that_would_refuse_them(make_station: MakeStation) -> None:
    """A station that took contradictory rules from an earlier version starts, sells and prices by them."""
    station = make_station(73, by_hand(settle="tender", has_head_office=True))
    _arrives(station, 1)
    station.run_for(2)
    station.crash()
    with closing(sqlite3.connect(station.settings.store.path)) as database, database:
        database.execute("UPDATE document SET body = ?", (_body(1, NEVER),))
    station.restart(1.0)
    station.run_for(8)
    station.fuel(1, 1_000)
    (sale,) = station.sales()
    assert station.ask("sales.settle", sale=sale["id"], tenders=[{"kind": "cash", "amount_minor": None, "ref": None}])[
        "ok"
    ]
    (settled,) = station.rows("SELECT rule_version, explanation FROM settlement")
    assert settled["rule_version"] == 1
    assert any("never" in sentence for sentence in json.loads(settled["explanation"]))
