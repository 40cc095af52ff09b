"""Commands against a model: repeated, reordered, mixed with strangers' texts, the process dying at every place.

Whatever happens, each is done once, its result is told at least once and never two different ones, and prices end where
the orders say, not where the broker's order says.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.failpoints import SimulatedCrash, armed
from agent.inbox import FromHeadOffice
from agent.store.verify import verify
from sync import ports
from sync.commands import CommandClaims
from sync.notices import Result
from sync.records import format_time
from sync.signing import new_key, sign
from tests.support import template
from tests.support.examples import tries
from tests.support.head_office_orders import claims, cmd_id
from tests.support.till import OFFERS, SOME_KEY, Till, lend

STRANGER = new_key("stranger")
CRASHES = ("command.begun", "command.before_commit", "command.after_commit", "store.inside_commit")
PRICES = st.tuples(st.integers(-5, 5), st.integers(1_000, 9_999))
WISHES = st.lists(
    st.one_of(
        st.tuples(st.just("set_price"), PRICES),
        st.tuples(st.just("close_out_leases"), st.sampled_from(["L1", "L2", "L9"])),
        st.tuples(st.just("request_snapshot"), st.none()),
    ),
    min_size=1,
    max_size=5,
)
DELIVERIES = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(["good", "good", "good", "other", "stranger", "torn"])), max_size=12
)
CRASHING = st.lists(st.tuples(st.sampled_from(CRASHES), st.integers(1, 4)), max_size=2)
"""Fewer than a command is tried: one that fails each time is given up, which is another test's business."""


@contextmanager
def a_till() -> Iterator[Till]:
    """A till with two leases and an hour behind it; everything adds up afterwards."""
    folder = template.new_folder()
    template.copy_to(folder)
    till = Till(folder)
    try:
        till.rules(*OFFERS)
        till.wait(3_600)
        lend(till, "L1", "points", 300)
        lend(till, "L2", "budget", 700)
        till.told.clear()
        yield till
        assert verify(till.store.path).findings == ()
    finally:
        till.close()
        shutil.rmtree(folder)


def signed(till: Till, wishes: list[tuple[str, Any]]) -> list[CommandClaims]:
    """The commands of these wishes, in the order of their ids."""
    now_ms = till.clock.wall_ms()
    made = []
    for number, (kind, what) in enumerate(wishes, 1):
        if kind == "set_price":
            at = format_time(now_ms + 60_000 * what[0])
            args = {"grade": "92", "unit_price_milli": what[1], "effective_at": at}
        else:
            args = {"which": "lease", "name": what} if kind == "close_out_leases" else {}
        made.append(claims(till, kind, number, args=args))
    return made


def arrives(till: Till, said: CommandClaims, how: str) -> None:
    """One message of the broker: the command, another one under its id, a stranger's, or a damaged one."""
    if how == "other":
        said = replace(said, by="somebody else")
    text = sign(said.to_claims(), STRANGER if how == "stranger" else SOME_KEY)
    till.pipeline.handle(FromHeadOffice(ports.CommandCame(text[:-6] if how == "torn" else text)))


def told(till: Till) -> dict[str, list[Result]]:
    """What head office heard of each command, but that another order stands under its id."""
    found: dict[str, list[Result]] = {}
    for _, result in till.told:
        assert isinstance(result, Result)
        if result.reason != "other_content":
            found.setdefault(result.cmd_id, []).append(result)
    return found


@settings(max_examples=tries(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(wishes=WISHES, deliveries=DELIVERIES, crashes=CRASHING)
def test_each_command_is_done_once_and_told(
    wishes: list[tuple[str, Any]], deliveries: list[tuple[int, str]], crashes: list[tuple[str, int]]
) -> None:
    """[W-45] Effect exactly once, result at least once and always the same, over crashes at every place."""
    with a_till() as till:
        said = signed(till, wishes)
        # what is heard first under an id is the command: then head office says all, until it has every result
        first = [(i % len(said), how) for i, how in deliveries if how != "other"]
        everything = [(i, "good") for i in range(len(said))]
        waiting = list(crashes)
        for number, how in [*first, *everything, *((i % len(said), how) for i, how in deliveries)]:
            surviving(till, said[number], how, waiting)
        while len(told(till)) < len(said):
            for number, how in everything:
                surviving(till, said[number], how, waiting)
        check(till, said, wishes)


def surviving(till: Till, said: CommandClaims, how: str, crashes: list[tuple[str, int]]) -> None:
    """It arrives; where the next crash that waits happens over it, the agent starts again."""
    try:
        with armed(*crashes[0]) if crashes else nullcontext():
            arrives(till, said, how)
    except SimulatedCrash:
        crashes.pop(0)
        till.restart()


def check(till: Till, said: list[CommandClaims], wishes: list[tuple[str, Any]]) -> None:
    results = told(till)
    assert set(results) == {one.cmd_id for one in said}
    for cmd, heard in results.items():
        assert all(result == heard[0] for result in heard), (cmd, heard)
        assert heard[0].status in ("done", "refused"), heard[0]
    audited = Counter(
        (data["object"].removeprefix("command:"), data["result"])
        for data in till.records("fc.audit.v1")
        if data["object"].startswith("command:")
    )
    assert audited == Counter({(cmd, heard[0].status): 1 for cmd, heard in results.items()})
    closed = [record["lease"] for record in till.records("fc.lease.v1") if record["event"] == "closed_out"]
    assert sorted(closed) == sorted({name for kind, name in wishes if kind == "close_out_leases" and name != "L9"})
    prices_end_where_ordered(till, [one for one in said if one.kind == "set_price"])


def prices_end_where_ordered(till: Till, orders: list[CommandClaims]) -> None:
    """Of every instant the newest order counts, and the latest instant that has come is in force."""
    table = {one.args["effective_at"]: one.args["unit_price_milli"] for one in orders}
    rows = till.rows("SELECT effective_from_ms, unit_price_milli FROM price WHERE source = 'head-office'")
    assert {format_time(row["effective_from_ms"]): row["unit_price_milli"] for row in rows} == table
    now = format_time(till.clock.wall_ms())
    due = [at for at in table if at <= now]
    if due:
        assert till.pipeline._memory.prices["92"] == table[max(due)]


@pytest.mark.parametrize("failpoint", CRASHES)
def test_the_process_dies_at(failpoint: str) -> None:
    """[W-45] At each place once: before the commit nothing happened, after it everything did; head office repeats."""
    with a_till() as till:
        (said,) = signed(till, [("set_price", (0, 8_888))])
        for n in (1, 2):
            try:
                with armed(failpoint, n):
                    arrives(till, said, "good")
            except SimulatedCrash:
                till.restart()
        arrives(till, said, "good")
        heard = told(till)[cmd_id(1)]
        assert all(result == heard[0] for result in heard)
        assert heard[0].status == "done"
        assert till.one("SELECT count(*) FROM price WHERE source = 'head-office'") == 1
        assert till.one("SELECT tries FROM command") in (1, 2, 3)
