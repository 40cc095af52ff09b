"""The nightly deletion: in slices, once a night, made up for, taken up again, and never by a clock that may be wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text

from agent.domain.retention import DAY_MS, HOLD_MS, Nights, judge
from agent.inbox import Ticked
from agent.pipeline import retention
from agent.store.tables import SCAN_EVENT
from agent.store.verify import verify
from tests.support import template
from tests.support.quiet import quiet_log
from tests.support.till import MEMBER, Till

DAY_S = DAY_MS // 1000


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    """A station without devices whose time is the test's."""
    with quiet_log():
        template.copy_to(tmp_path)
        opened = Till(tmp_path)
        yield opened
        opened.close()


def scans(till: Till, count: int) -> None:
    """So many scans were answered just now."""

    def write(step: Any) -> None:
        for _ in range(count):
            values = {"id": step.new_id(), "reader": "r1", "at_ms": step.stamp.wall_ms, "outcome": "LINKED"}
            step.tx.connection.execute(insert(SCAN_EVENT), values)

    till.do(write)


def left(till: Till, table: str = "scan_event") -> int:
    """Rows of a table."""
    return int(till.do(lambda step: step.tx.connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()))


def pass_minutes(till: Till, seconds: int) -> None:
    """One minute is told, then so many seconds."""
    till.pipeline.handle(Ticked("minute"))
    for _ in range(seconds):
        till.wait(1)


def test_scans_are_deleted_after_their_term_a_slice_a_second(till: Till) -> None:
    """No step deletes more than a slice; what is not old enough stays; the deletion is journalled and verified."""
    scans(till, 2 * retention.SLICE + 1)
    till.clock.now_s += 180 * DAY_S - 10
    scans(till, 3)
    pass_minutes(till, 1)
    assert left(till) == 2 * retention.SLICE + 4
    till.clock.now_s += DAY_S
    before = left(till)
    till.pipeline.handle(Ticked("minute"))
    seen = []
    for _ in range(4):
        till.wait(1)
        seen.append(before - left(till))
    assert seen == [retention.SLICE, 2 * retention.SLICE, 2 * retention.SLICE + 1, 2 * retention.SLICE + 1]
    assert not verify(till.settings.store.path).findings


def test_a_deletion_goes_on_after_a_restart_and_happens_once_a_night(till: Till) -> None:
    """What a restart interrupted is done by the next start; a finished night is not looked through again."""
    scans(till, retention.SLICE + 5)
    till.clock.now_s += 181 * DAY_S
    pass_minutes(till, 1)
    assert left(till) == 5
    till.restart()
    pass_minutes(till, 1)
    assert left(till) == 0
    status = till.do(retention.status)
    found = {kind["name"]: kind for kind in status["kinds"]}["scan_events"]
    assert (found["last_dropped"], found["due"]) == (retention.SLICE + 5, 0)
    till.restart()
    pass_minutes(till, 1)
    assert till.do(retention.status)["kinds"][0]["last_at"] == found["last_at"]


@pytest.mark.parametrize("word", ["unknown", "rtc"])
def test_a_clock_that_may_be_wrong_deletes_nothing(till: Till, word: str) -> None:
    """A clock that leapt years ahead deletes nothing; once a time service vouches for it, it does."""
    scans(till, 3)
    pass_minutes(till, 1)
    till.clock.now_s += 400 * DAY_S
    till.clock.word = word
    pass_minutes(till, 3)
    assert left(till) == 3
    assert till.do(retention.status)["held_back"]
    till.clock.word = "ntp"
    pass_minutes(till, 3)
    assert left(till) == 0


def test_a_clock_set_back_deletes_nothing(till: Till) -> None:
    """Behind the newest record the clock is a lower bound only."""
    till.clock.now_s += 400 * DAY_S
    scans(till, 1)
    till.clock.now_s -= 399 * DAY_S
    pass_minutes(till, 2)
    assert till.do(retention.status)["held_back"]


def test_spent_codes_are_forgotten_a_week_after_their_end(till: Till) -> None:
    """A one-time code stays known for seven days after it ended, then its row goes."""
    ended_s = till.clock.wall_ms() // 1000

    def spend(step: Any) -> None:
        step.tx.codes.spend(("01", "ab", "cd"), expires_s=ended_s, seen_ms=0, reader="r1", scan="s")

    till.do(spend)
    till.clock.now_s += 7 * DAY_S - 5
    pass_minutes(till, 2)
    assert left(till, "spent_code") == 1
    till.clock.now_s += DAY_S
    pass_minutes(till, 2)
    assert left(till, "spent_code") == 0


def test_a_leap_without_a_time_service_is_believed_after_seven_days() -> None:
    """A station that never sees a time service still deletes, but a leap must have stood for a week."""
    nights, problem = judge(Nights(), 100 * DAY_MS, "rtc")
    assert problem
    for day in range(101, 107):
        nights, problem = judge(nights, day * DAY_MS, "rtc")
        assert problem
    nights, problem = judge(nights, 100 * DAY_MS + HOLD_MS, "rtc")
    assert problem == ""
    assert judge(nights, 108 * DAY_MS, "rtc")[1] == ""
    assert judge(nights, 400 * DAY_MS, "rtc")[1]


def test_people_see_what_is_due_and_may_delete_it_now(till: Till) -> None:
    """A dry run deletes nothing; a supervisor's run does without waiting for the night; an attendant may only look."""
    scans(till, 2)
    pass_minutes(till, 1)
    till.clock.now_s += 181 * DAY_S
    told = till.ask("privacy.run", dry_run=True)["data"]
    assert {kind["name"]: kind["due"] for kind in told["kinds"]}["scan_events"] == 2
    assert told["under_way"] == []
    assert not till.ask("privacy.run", role="attendant")["ok"]
    assert till.ask("privacy.run")["data"]["under_way"]
    till.wait(1)
    assert left(till) == 0
    assert till.ask("privacy.status", role="attendant")["data"]["under_way"] == []


def test_a_wish_to_be_forgotten_is_journalled_without_numbers(till: Till) -> None:
    """It travels as an audit record; a phone number written into the reason is masked before it is kept."""
    till.member()
    assert till.ask("members.forget", member=MEMBER, reason="13812345678 asked at the counter")["ok"]
    (told,) = [record for record in till.records("fc.audit.v1") if record["action"] == "members.forget"]
    assert (told["who"], told["object"], told["reason"]) == ("wang", MEMBER, "138****5678 asked at the counter")
    for wrong in ({"member": "0" * 16, "reason": "x"}, {"member": MEMBER, "reason": " "}):
        assert not till.ask("members.forget", **wrong)["ok"]


@pytest.mark.parametrize("number", ["134651829037465120", "4111111111111111"])
def test_live_money_is_no_reference_of_a_payment(till: Till, number: str) -> None:
    """A payment code or a bank card typed behind a tender is refused with the way out, and kept nowhere."""
    sale = till.sale()
    answer = till.ask("sales.settle", sale=sale, tenders=[{"kind": "card", "amount_minor": None, "ref": number}])
    assert (answer["ok"], "slip" in answer["hint"], number[:6] in str(answer)) == (False, True, False)
    assert till.rows("SELECT * FROM tender") == []
