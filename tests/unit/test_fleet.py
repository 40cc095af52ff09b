"""The light stations of the fleet: real records, real chains, the contract's answers, and an outcome that can fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from headoffice.fleet.journal import FleetJournal
from headoffice.fleet.judging import outcome, percentile_ms
from headoffice.fleet.run import FleetPlan, Progress
from headoffice.fleet.station import LightStation, Now, Said
from headoffice.keys import make_keys
from headoffice.service import Service
from headoffice.store.arrivals import arrivals
from headoffice.store.database import Database
from sync.envelope import decode_as, decode_batch
from sync.judging import Consistent, judge_batch
from sync.messages import Accepted, Ack, chain, check_record
from tests.support import template

RUN_MS = 1_795_248_000_000
INCARNATION = "0123456789abcdef" * 2
SALES = 300
FEW = 20
NOW = Now(1.0, RUN_MS + 1_000)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = template.head_office(tmp_path / "hq.db")
    yield opened
    opened.close()


@pytest.fixture
def service(database: Database, tmp_path: Path) -> Service:
    return Service(database, make_keys(tmp_path / "keys"), "main")


def station(*, is_settled: bool = True) -> LightStation:
    journal = FleetJournal("fleet-00001", INCARNATION, 1, RUN_MS, is_settled=is_settled)
    return LightStation("fleet-00001", journal, INCARNATION, Random(1))


def talk(light: LightStation, service: Service, said: list[Said]) -> list[bytes]:
    """Carry messages to head office and answers back until nobody says anything; return what head office said."""
    answers: list[bytes] = []
    while said:
        told = [one for message in said for one in service.take(message.topic, message.payload, NOW.wall_ms)]
        answers += [one.payload for one in told]
        said = [one for answer in told for one in light.arrived(NOW, answer.topic, answer.payload)]
    return answers


def connected(light: LightStation) -> list[Said]:
    light.will(NOW)
    return light.connected(NOW)


@pytest.mark.parametrize("is_settled", [True, False])
def test_every_record_is_what_head_office_accepts_and_is_made_the_same_again(is_settled: bool) -> None:
    """Forms filled in are canonical records with all members of their type; hashes are those of the bytes."""
    light = station(is_settled=is_settled)
    for number in range(5):
        light.journal.sell(RUN_MS + 977 * number)
    raws = [light.journal.record(seq) for seq in range(1, light.journal.last_seq + 1)]
    found = [check_record(raw, seq, "L") for seq, raw in enumerate(raws, 1)]
    assert all(isinstance(verdict, Accepted) and not verdict.flags for verdict in found), found
    zero = light.journal.hash_at("L", 0)
    assert zero is not None
    assert chain(zero, 1, raws)[-1] == light.journal.hash_at("L", len(raws))
    assert light.journal.hash_at("L", len(raws) + 1) is None
    sales = [json.loads(raw)["data"] for raw in raws if b"fc.sale.v1" in raw]
    assert sum(sale["volume_ml"] for sale in sales) == light.journal.volume_ml
    assert [sale["totalizer_start"] for sale in sales[1:]] == [sale["totalizer_end"] for sale in sales[:-1]]


def test_a_station_and_head_office_agree_on_everything_sold(service: Service, database: Database) -> None:
    """Hello, batches within their limits, acknowledgements: all of it arrives, and the outcome says so."""
    light = station()
    for _ in range(SALES):
        light.sell(NOW)
    said = connected(light)
    talk(light, service, said)
    assert (light.is_done, light.welcomed, light.acked_sales) == (True, True, SALES)
    with database.read() as connection:
        there = arrivals(connection, "fleet-")
    plan = FleetPlan("fleet-", 1, SALES)
    told = outcome(plan, Progress(sold=SALES, wall_s=2.0), [light], there)
    assert told["passed"], told
    assert (told["records"], told["records_per_s"], told["acknowledged"]) == (2 * SALES + 2, SALES + 1, SALES)


def test_batches_of_a_backlog_are_as_large_as_the_contract_allows(service: Service) -> None:
    """A station of the fleet costs head office what a real one costs."""
    light = station(is_settled=False)
    for _ in range(SALES):
        light.sell(NOW)
    seen: list[Said] = []
    said = connected(light)
    while said:
        seen += [one for one in said if one.topic.endswith("up/l")]
        told = [one for message in said for one in service.take(message.topic, message.payload, NOW.wall_ms)]
        said = [one for answer in told for one in light.arrived(NOW, answer.topic, answer.payload)]
    batches = [decode_batch(one.payload)[1] for one in seen]
    assert all(isinstance(judge_batch(batch), Consistent) for batch in batches)
    assert max(len(one.payload) for one in seen) > 60_000
    assert sum(len(batch.records) for batch in batches) == SALES + 2


def test_a_busy_head_office_asks_for_one_batch_at_a_time(service: Service) -> None:
    """[W-11] The credit of welcomes and acks shrinks while many messages wait, and grows again."""
    light = station()
    light.sell(NOW)
    service.is_busy = True
    acks = [decode_as(payload, Ack)[1] for payload in talk(light, service, connected(light)) if b"fc.ack.v1" in payload]
    assert [ack.credit.window for ack in acks] == [1]
    service.is_busy = False
    acks = [decode_as(payload, Ack)[1] for payload in talk(light, service, light.sell(NOW)) if b"fc.ack.v1" in payload]
    assert [ack.credit.window for ack in acks] == [4]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"sales": FEW - 2}, "missing_at_head_office"),
    ({"sales": FEW + 1}, "doubled_at_head_office"),
    ({"volume_ml": 1}, "other_at_head_office"),
    ({"head_hash": "00" * 32}, "other_at_head_office"),
    ({"settled": 1}, "other_at_head_office"),
]


def test_an_outcome_fails_where_head_office_has_something_else(service: Service, database: Database) -> None:
    """One sale too few, one too many, other litres, another chain, a settlement that is not there: not passed."""
    light, plan, progress = station(), FleetPlan("fleet-", 1, FEW), Progress(sold=FEW)
    for _ in range(FEW):
        light.sell(NOW)
    talk(light, service, connected(light))
    with database.read() as connection:
        (found,) = arrivals(connection, "fleet-").values()
    assert outcome(plan, progress, [light], {light.name: found})["passed"]
    for wrong, name in WRONG:
        told = outcome(plan, progress, [light], {light.name: replace(found, **wrong)})
        assert (told["passed"], told[name] > 0) == (False, True), wrong
    assert not outcome(plan, progress, [light], {})["passed"]


def test_what_was_never_acknowledged_does_not_pass() -> None:
    """Without a database an outcome believes acknowledgements alone."""
    light = station()
    light.sell(NOW)
    assert not outcome(FleetPlan("fleet-", 1, 1), Progress(sold=1), [light], None)["passed"]


def test_percentiles_are_ranks_of_what_was_measured() -> None:
    """The nearest rank, never an average; nothing measured is unknown, not zero."""
    assert percentile_ms([], 50) is None
    assert percentile_ms([0.004, 0.001, 0.003, 0.002], 50) == 2
    assert percentile_ms([number / 1000 for number in range(1, 201)], 99) == 198
