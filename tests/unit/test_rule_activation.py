"""A rule set takes effect as a whole at its instant, is told to head office, and every settlement names what priced it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from typing import Any

import pytest

from agent.failpoints import SimulatedCrash, armed
from agent.inbox import FromHeadOffice
from agent.store.delivery import JournalOutbox
from sync import ports
from sync.records import format_time
from tests.support.till import EARN, Till, loyal_till

DOUBLE = {**EARN, "points": 2}


@pytest.fixture
def till() -> Iterator[Till]:
    """A till that prices by version 1: a point for each 1.00."""
    yield from loyal_till()


def arrives(till: Till, version: int, in_s: int, *offers: dict[str, Any]) -> str:
    """A rule set comes that takes effect so many seconds from now; returns its hash."""
    document = {
        "version": version,
        "effective_from": format_time(till.clock.wall_ms() + 1_000 * in_s),
        "program": {"currency": "CNY", "exponent": 2, "validity_months": 12},
        "offer": list(offers),
    }
    body = json.dumps(document).encode()
    digest = sha256(body)
    till.pipeline.handle(FromHeadOffice(ports.DocumentArrived("rules", version, digest.digest(), body)))
    return digest.hexdigest()


def told_in_hello(till: Till) -> tuple[int, str] | None:
    """Version and hash as the next hello says them."""
    with closing(JournalOutbox(till.store.path, till.store.station, till.store.incarnation)) as outbox:
        return outbox.active_rules()


def settled(till: Till) -> tuple[int, int]:
    """The rule version and the points of a sale that is settled now, as its record tells them."""
    till.settle(till.fuelled(20_000))
    record = till.records("fc.sale.settled.v1")[-1]
    return record["rule_version"], record["points_earned"]


def test_a_rule_set_is_in_force_from_its_instant_and_settlements_name_it(till: Till) -> None:
    """[W-43] Before the instant the old set prices and is told, from it on the new one: nothing in between."""
    digest = arrives(till, 2, 60, DOUBLE)
    till.wait(58)
    before = told_in_hello(till)
    assert before is not None
    assert (before[0], settled(till)) == (1, (1, 157))
    till.wait(2)
    assert told_in_hello(till) == (2, digest)
    assert settled(till) == (2, 2 * 157)
    (activated,) = [
        d for d in till.records("fc.audit.v1") if d["action"] == "rules_activated" and d["reason"] == digest
    ]
    assert activated["object"] == "version 2"


@pytest.mark.parametrize(("failpoint", "version"), [("rules.before_commit", 1), ("rules.after_commit", 2)])
def test_a_process_that_dies_at_the_instant_has_one_of_both_whole(till: Till, failpoint: str, version: int) -> None:
    """[W-43] Killed before the commit the old set stands as it was, after it the new one; the start puts it in force."""
    digest = arrives(till, 2, 60, DOUBLE)
    with armed(failpoint, 1), pytest.raises(SimulatedCrash):
        till.wait(61)
    found = told_in_hello(till)
    assert found is not None
    assert found[0] == version
    till.restart()
    till.wait(1)
    assert told_in_hello(till) == (2, digest)
    assert settled(till) == (2, 2 * 157)
    assert (
        len([d for d in till.records("fc.audit.v1") if d["reason"] == digest and d["action"] == "rules_activated"]) == 1
    )
