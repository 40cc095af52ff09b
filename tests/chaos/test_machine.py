"""Stories that hypothesis invents, step by step, and makes short where they end badly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from agent.failpoints import SimulatedCrash
from headoffice.ingest import CREDIT, ingest
from headoffice.store.database import Database
from sync.envelope import decode_batch
from sync.messages import Ack
from sync.topics import StationTopic
from tests.chaos.machine import Chaos
from tests.support import virtual_link
from tests.support.examples import ALL
from tests.support.quiet import quiet_log

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
STEPS = 20
STORIES, LONGEST = (200, STEPS) if ALL else (3, 12)


@pytest.fixture(autouse=True, scope="module")
def _quiet_log() -> Iterator[None]:
    with quiet_log():
        yield


def test_any_story_ends_with_every_fact_once() -> None:
    """[W-20] [W-22] [W-24] [W-25] [W-26] [W-31] [W-32] [W-34] A broker that drops, doubles, reorders, delays and loses
    sessions, crashes at every named step, restores, clones and clock jumps, as hypothesis arranges them: nothing is
    doubled or called delivered that is not there after any step, and litres, points and chains are right in the end.
    """
    told = settings(
        max_examples=STORIES,
        stateful_step_count=LONGEST,
        deadline=None,
        derandomize=True,
        suppress_health_check=SLOW,
    )
    run_state_machine_as_test(Chaos, settings=told)


@pytest.mark.long
def test_stories_notice_an_acknowledgement_before_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: only a crash between the two shows it, and only until the next record is sent."""

    def hasty(database: Database, topic: StationTopic, payload: bytes, received_ms: int) -> Ack | None:
        try:
            return ingest(database, topic, payload, received_ms)
        except SimulatedCrash:
            batch = decode_batch(payload)[1]
            assert batch.last_hash is not None
            return Ack(
                install_id=batch.install_id,
                incarnation=batch.incarnation,
                stream=batch.stream,
                cum=batch.last_seq,
                head_hash=batch.last_hash,
                credit=CREDIT,
            )

    monkeypatch.setattr(virtual_link, "ingest", hasty)
    searched = settings(
        max_examples=300,
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=SLOW,
    )
    with pytest.raises(AssertionError, match=r"hq\.before_commit(.|\n)*head office has nothing there"):
        run_state_machine_as_test(Chaos, settings=searched)
