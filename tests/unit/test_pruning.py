"""Delivered records leave after their term, counted from the delivery, in slices; their hashes and every answer stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.inbox import FromHeadOffice, Ticked
from agent.pipeline import leasing, retention
from agent.store.delivery import JournalOutbox
from agent.store.verify import verify
from sync import ports
from sync.messages import STREAMS, StreamWelcome, Welcome
from tests.support import template
from tests.support.quiet import quiet_log
from tests.support.till import EARN, Till, lend, token
from tests.support.till import OFFERS as ALL_OFFERS

DAY_S = 86_400


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    """A station that has heard its first welcome."""
    with quiet_log():
        template.copy_to(tmp_path)
        opened = Till(tmp_path)
        opened.rules(EARN)
        opened.member()
        welcomed(opened)
        yield opened
        opened.close()


def heads(till: Till) -> dict[str, tuple[int, bytes]]:
    return till.store.heads()


def welcomed(till: Till, **cums: int) -> None:
    """Head office says how far it has each stream: everything that was acknowledged, or less."""
    acked = {row["stream"]: row["acked"] for row in till.rows("SELECT stream, acked FROM stream_head")}
    streams = {name: StreamWelcome(cums.get(name, acked[name]), bytes(32), False) for name in STREAMS}
    told = Welcome("a" * 32, 1, till.store.incarnation, "2026-11-21T08:00:00.000Z", streams)
    till.pipeline.handle(FromHeadOffice(ports.WelcomeSeen(told)))


def delivered(till: Till) -> int:
    """Head office acknowledges all there is; returns up to where it has L."""
    for stream, (seq, digest) in heads(till).items():
        till.pipeline.handle(FromHeadOffice(ports.AckAccepted(stream, seq, digest, ())))
    return heads(till)["L"][0]


def night(till: Till, seconds: int = 0) -> None:
    """The nightly deletion begins and has so many seconds."""
    till.wait(1)
    till.pipeline.handle(Ticked("minute"))
    for _ in range(seconds):
        till.wait(1)


def kept(till: Till, stream: str = "L") -> list[int]:
    """The seqs whose records are still here."""
    return [row["seq"] for row in till.rows(f"SELECT seq FROM journal WHERE stream = '{stream}' ORDER BY seq")]


def test_delivered_records_leave_35_days_after_their_delivery(till: Till) -> None:
    """[W-22] Written long before and delivered lately they stay; every hash outlives its row; verify finds nothing."""
    for _ in range(3):
        till.settle(till.fuelled())
    hashes = {seq: till.do(lambda step, seq=seq: step.tx.delivery.hash_at("L", seq)) for seq in kept(till)}  # type: ignore[misc]
    till.clock.now_s += 30 * DAY_S
    end = delivered(till)
    night(till, 3)
    till.clock.now_s += 34 * DAY_S
    till.settle(till.fuelled())
    night(till, 3)
    assert kept(till)[0] == 1, "not a day early"
    till.clock.now_s += 2 * DAY_S
    night(till, 5)
    assert kept(till)[0] == end + 1
    outbox = JournalOutbox(till.store.path, till.store.station, till.store.incarnation)
    assert {seq: outbox.hash_at("L", seq) for seq in hashes} == hashes
    outbox.close()
    assert till.do(lambda step: step.tx.delivery.hash_at("L", 1)) == hashes[1]
    assert verify(till.store.path).findings == ()


def test_a_night_deletes_a_slice_a_second_and_never_the_newest_record(till: Till) -> None:
    """[W-22] However many are due no step deletes more than a slice; the last record of each stream stays."""
    for _ in range(retention.SLICE):
        till.do(lambda step: step.audit("li", "attendant", "test", "x"))
    delivered(till)
    night(till)
    till.clock.now_s += 36 * DAY_S
    night(till)
    before = len(kept(till))
    till.wait(1)
    assert before - len(kept(till)) <= retention.SLICE
    for _ in range(4):
        till.wait(1)
    remaining = till.rows("SELECT seq FROM journal WHERE type <> 'fc.audit.v1' AND stream = 'L'")
    assert len(remaining) <= 1
    assert kept(till)[-1] == heads(till)["L"][0]
    till.restart()
    assert verify(till.store.path).findings == ()


@pytest.mark.parametrize("case", ["never welcomed", "restored"])
def test_what_head_office_may_still_ask_for_is_kept(till: Till, case: str) -> None:
    """[W-34] Without its word since the start, or where it was restored and has less again, nothing is deleted."""
    till.settle(till.fuelled())
    delivered(till)
    night(till)
    till.clock.now_s += 36 * DAY_S
    till.restart()
    if case == "restored":
        welcomed(till, L=2, A=0)
    night(till, 5)
    assert kept(till)[0] == (1 if case == "never welcomed" else 3)


def test_verify_still_judges_what_is_left_of_a_pruned_journal(till: Till) -> None:
    """A changed hash, a missing one and a lost record are found behind the anchor as they were before."""
    till.settle(till.fuelled())
    delivered(till)
    night(till)
    till.clock.now_s += 36 * DAY_S
    night(till, 5)
    till.settle(till.fuelled())
    last = len(till.rows("SELECT seq FROM journal_hash WHERE stream = 'L'"))
    assert last > 2
    for damage in (
        f"UPDATE journal_hash SET hash = zeroblob(32) WHERE stream = 'L' AND seq = {last}",
        "DELETE FROM journal_hash WHERE stream = 'L' AND seq = 2",
        "DELETE FROM journal WHERE type = 'fc.sale.settled.v1'",
    ):
        before = len(verify(till.store.path).findings)
        till.do(lambda step, damage=damage: step.tx.connection.exec_driver_sql(damage))  # type: ignore[misc]
        assert len(verify(till.store.path).findings) > before, damage


def test_points_leases_coupons_and_shifts_verify_without_their_records(till: Till) -> None:
    """What was settled, lent, used and closed long ago is told from its rows; the report finds nothing wrong."""
    till.rules(*ALL_OFFERS, version=2)
    lend(till, "P1", "points", 300)
    lend(till, "B1", "budget", 5_000)
    till.member(lots=[(5_230, None, "2027-09-30")], op=2)
    assert till.ask("shift.open")["ok"]
    till.settle(till.fuelled(), points=200)
    till.settle(till.fuelled(), coupons=[token("C1", "ten", balance_minor=3_000)])
    till.do(lambda step: leasing.close_out(step, "P1"))
    assert till.ask("shift.close")["ok"]
    delivered(till)
    night(till)
    till.clock.now_s += 36 * DAY_S
    night(till, 5)
    assert kept(till)[0] > 10
    assert verify(till.store.path).findings == ()


def test_records_of_an_open_shift_stay_until_it_is_closed(till: Till) -> None:
    """A shift is closed from the journal: what happened in it is kept however long it is open."""
    assert till.ask("shift.open")["ok"]
    till.settle(till.fuelled())
    delivered(till)
    night(till)
    till.clock.now_s += 36 * DAY_S
    night(till, 5)
    assert till.ask("shift.close")["ok"]
    (shift,) = till.rows("SELECT report FROM shift")
    assert '"sales": 1' in shift["report"] or '"sales":1' in shift["report"]
    assert verify(till.store.path).findings == ()
