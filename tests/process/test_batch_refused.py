"""A live worker whose PostgreSQL database refuses one station's sale: nobody else waits for it, and it is stored later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sync.messages import Ack
from sync.topics import station_topic
from tests.support.exactly_once import check_exactly_once
from tests.support.headoffice_station import STATION, Stream, sale_data
from tests.support.office import Office
from tests.support.peer import Peer
from tests.support.processes import eventually

OTHER = "S-2"
WITHIN_S = 60.0
REFUSE = (
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'spoilt'; END $$",
    "CREATE TRIGGER refuse BEFORE INSERT ON sale FOR EACH ROW WHEN (NEW.grade = 'spoilt') EXECUTE FUNCTION refuse()",
)


@pytest.fixture
def office(tmp_path: Path, postgres_url: str) -> Iterator[Office]:
    with Office(tmp_path, postgres_url) as opened:
        yield opened


def selling(station: str, grade: str) -> Stream:
    stream = Stream(station=station).begin()
    stream.add("fc.sale.v1", sale_data(1, "0:0", "0:10", grade=grade))
    return stream


def alerts(office: Office) -> list[dict[str, Any]]:
    asked = office.command("alerts", "--own", "--json")
    assert asked.wait(WITHIN_S, "alerts") == 0, asked.text
    told: list[dict[str, Any]] = json.loads(asked.text)
    return told


def test_a_batch_that_a_live_database_refuses_holds_nobody_up_and_is_stored_later(
    office: Office, postgres_url: str
) -> None:
    """[W-20] Its station gets no ack, the other one does; people are told which; mended, it is stored like any other."""
    bad, good = selling(STATION, "spoilt"), selling(OTHER, "95")
    with office.database.write() as connection:
        for statement in REFUSE:
            connection.exec_driver_sql(statement)
    serving = office.command("serve")
    eventually(lambda: office.shares() == [64], WITHIN_S, "the worker holds every shard")
    ack_of = {station: station_topic(station, "down/ack") for station in (STATION, OTHER)}
    with Peer(office.broker.port) as refused, Peer(office.broker.port, OTHER) as other:
        refused.send("up/l", bad.payload(1))
        other.send("up/l", good.payload(1))
        assert other.wait_for(Ack, ack_of[OTHER]).cum == 2
        (alert,) = alerts(office)
        assert (alert["alert"], alert["station"]) == ("batch_refused", STATION)
        assert "spoilt" in alert["detail"]
        assert (serving.alive, office.sales()) == (True, 1)
        with office.database.write() as connection:
            connection.exec_driver_sql("DROP TRIGGER refuse ON sale")
        refused.send("up/l", bad.payload(1))
        assert refused.wait_for(Ack, ack_of[STATION]).cum == 2, "the first ack that it ever gets"
        other.send("up/l", good.payload(1))
        assert other.wait_for(Ack, ack_of[OTHER]).cum == 2
    assert (serving.alive, office.sales()) == (True, 2)
    check_exactly_once(postgres_url, {})
