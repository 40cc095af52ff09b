"""The station's delivery machine on a virtual clock: hello, windows, credit, timeouts, gaps, refusals, forks."""

from __future__ import annotations

import dataclasses
from random import Random

import pytest

from sync import messages as m
from sync.delivery import (
    ApplyAck,
    AuditBadAck,
    BatchOffer,
    Delivery,
    PublishHello,
    RaiseSyncAlert,
    StopIncarnation,
)
from tests.support.sync_model import INCARNATION, INSTALL, ModelHeadOffice, ModelJournal, raw_record


class Bench:
    """A delivery machine, its journal and a head office; the test carries the messages."""

    def __init__(self, *, ledger: int = 0, alerts: int = 0, telemetry: int = 0, credit: m.Credit | None = None) -> None:
        self.journal = ModelJournal()
        self.office = ModelHeadOffice(credit)
        self.now = 0.0
        for stream, count in (("L", ledger), ("A", alerts), ("T", telemetry)):
            for _ in range(count):
                self.journal.append(stream)
        self.machine = Delivery(
            install_id=INSTALL,
            incarnation=INCARNATION,
            applied=self.journal.acked,
            hash_at=self.journal.hash_at,
            rng=Random(7),
        )
        self.grow()

    def grow(self, stream: str | None = None, count: int = 0) -> None:
        for _ in range(count):
            self.journal.append(stream or "L")
        for name, at in self.journal.heads().items():
            self.machine.grew(name, at.last_seq)

    def connect(self, connect_n: int = 1) -> Bench:
        assert self.machine.connected(self.now, connect_n) == [PublishHello(connect_n)]
        return self

    def welcomed(self, connect_n: int = 1) -> Bench:
        self.connect(connect_n)
        assert self.machine.welcome(self.now, self.office.on_hello(self.journal.hello(connect_n))) == []
        return self

    def offer(self, size: int = 200) -> m.Batch | None:
        offer = self.machine.next_batch(self.now)
        if offer is None:
            return None
        last = min(offer.last_seq, offer.first_seq + size - 1)
        self.machine.sent(self.now, offer.stream, offer.first_seq, last)
        return self.journal.batch(offer.stream, offer.first_seq, last)

    def offers(self, size: int = 200) -> list[m.Batch]:
        found = []
        while (batch := self.offer(size)) is not None:
            found.append(batch)
        return found

    def ack(self, batch: m.Batch) -> m.Ack:
        ack = self.office.on_batch(batch)
        outputs = self.machine.ack(self.now, ack)
        assert all(isinstance(output, ApplyAck) for output in outputs)
        return ack


def _seqs(batches: list[m.Batch]) -> list[tuple[str, int, int]]:
    return [(batch.stream, batch.first_seq, batch.last_seq) for batch in batches]


def test_no_batch_before_the_welcome_that_echoes_our_hello() -> None:
    """Only a welcome for this install_id, connect_n and incarnation opens the way [W-13]."""
    bench = Bench(ledger=3).connect(5)
    assert bench.machine.next_batch(0) is None
    right = bench.office.on_hello(bench.journal.hello(5))
    for wrong in ({"for_connect_n": 4}, {"for_install_id": "x"}, {"incarnation": "f" * 32}):
        assert bench.machine.welcome(0, dataclasses.replace(right, **wrong)) == []
        assert bench.machine.next_batch(0) is None
    bench.machine.welcome(0, right)
    assert bench.machine.next_batch(0) == BatchOffer("L", 1, 3)
    assert bench.machine.counters.ignored_welcomes == 3


def test_the_window_opens_with_the_first_advancing_ack() -> None:
    """One batch in flight until an ack raises cum, then min(4, credit.window) [W-11]."""
    bench = Bench(ledger=100).welcomed()
    first = bench.offers(5)
    assert _seqs(first) == [("L", 1, 5)]
    bench.ack(first[0])
    assert len(bench.offers(5)) == 4
    narrow = Bench(ledger=100, credit=m.Credit(window=2)).welcomed()
    narrow.ack(narrow.offers(5)[0])
    assert len(narrow.offers(5)) == 2


def test_at_most_200_records_are_offered() -> None:
    """A batch never holds more than 200 records [W-11]."""
    assert _seqs(Bench(ledger=500).welcomed().offers()) == [("L", 1, 200)]


def test_alerts_go_first_but_ledger_and_telemetry_keep_one_batch_in_flight() -> None:
    """A before L before T; no stream is starved by another [W-11]."""
    bench = Bench(ledger=50, alerts=50, telemetry=50).welcomed()
    first = bench.offers(5)
    assert [batch.stream for batch in first] == ["A", "L", "T"]
    for batch in first:
        bench.ack(batch)
    assert [batch.stream for batch in bench.offers(5)] == ["A", "L", "T", "A", "A", "A", "L", "L", "L", "T", "T", "T"]


def test_a_lost_ack_costs_one_timeout_and_narrows_the_window() -> None:
    """After 30 to 37.5 s without an advancing ack: back to cum + 1 with window 1; doubling up to 5 min [W-12]."""
    bench = Bench(ledger=100).welcomed()
    bench.ack(bench.offers(5)[0])
    assert len(bench.offers(5)) == 4
    bench.now = 29.9
    assert bench.machine.tick(bench.now) == []
    assert bench.offers(5) == []
    bench.now = 37.6
    bench.machine.tick(bench.now)
    assert _seqs(bench.offers(5)) == [("L", 6, 10)]
    waits = []
    for _ in range(6):
        due = bench.machine.next_deadline()
        assert due is not None
        waits.append(due - bench.now)
        bench.now = due
        bench.machine.tick(bench.now)
        bench.offers(5)
    for wait, floor in zip(waits, [60, 120, 240, 300, 300, 300], strict=True):
        assert floor <= wait <= floor * 1.25


def test_an_unanswered_hello_is_repeated_with_the_same_number() -> None:
    """Hello is repeated after 30 s, doubling, with the same connect_n [W-12]."""
    bench = Bench(ledger=1).connect(9)
    waits = []
    for _ in range(3):
        due = bench.machine.next_deadline()
        assert due is not None
        waits.append(due - bench.now)
        bench.now = due
        assert bench.machine.tick(bench.now) == [PublishHello(9)]
    for wait, floor in zip(waits, [30, 60, 120], strict=True):
        assert floor <= wait <= floor * 1.25


def test_a_hello_that_came_before_head_office_is_said_again_when_it_says_it_is_there() -> None:
    """Head office's presence while a hello has no answer repeats it within a second, once; a welcome ends that [W-12]."""
    bench = Bench(ledger=1).connect(4)
    assert bench.machine.ho_state(bench.now, True) == []
    due = bench.machine.next_deadline()
    assert due is not None
    assert due - bench.now <= 1
    assert bench.machine.tick(due) == [PublishHello(4)]
    assert bench.machine.tick(due + 1) == []
    answered = Bench(ledger=1).connect(5)
    assert answered.machine.ho_state(answered.now, True) == []
    answered.machine.welcome(answered.now, answered.office.on_hello(answered.journal.hello(5)))
    assert answered.machine.tick(answered.now + 2) == []


def test_a_gap_is_acted_on_once_per_cum_and_keeps_the_window() -> None:
    """A lost batch makes the followers gap; the station goes back once, with its window [W-12]."""
    bench = Bench(ledger=100).welcomed()
    bench.ack(bench.offers(5)[0])
    lost, *followers = bench.offers(5)
    assert bench.ack(followers[0]).gap
    again = bench.offers(5)
    assert _seqs(again) == [("L", 6, 10), ("L", 11, 15), ("L", 16, 20), ("L", 21, 25)]
    assert bench.ack(followers[1]).gap
    assert bench.ack(followers[2]).gap
    assert bench.offers(5) == []
    assert bench.machine.counters.gaps == 1
    for batch in again:
        bench.ack(batch)
    assert bench.machine.cum("L") == 25
    assert lost.records == again[0].records


def test_a_gap_below_our_cursor_means_hello_again() -> None:
    """A head office that lost data shows a lower cum with a matching hash: hello, then back to it [W-12] [W-34]."""
    bench = Bench(ledger=40).welcomed()
    bench.ack(bench.offers(10)[0])
    flying = bench.offers(10)
    bench.office.stored["L"] = bench.office.stored["L"][:4]
    assert bench.machine.ack(0, bench.office.on_batch(flying[0])) == [PublishHello(1)]
    assert bench.machine.next_batch(0) is None
    bench.machine.welcome(0, bench.office.on_hello(bench.journal.hello()))
    assert bench.machine.next_batch(0) == BatchOffer("L", 5, 40)


def test_rows_that_are_wanted_and_gone_end_the_incarnation() -> None:
    """Where head office wants rows that are pruned, the next incarnation is told what head office has [W-34]."""
    bench = Bench(ledger=10).welcomed()
    bench.ack(bench.offers(4)[0])
    (stop,) = bench.machine.missing("L", 5)
    assert isinstance(stop, StopIncarnation)
    assert (stop.reason, dict(stop.told)) == ("pruned", {"L": 4, "A": 0, "T": 0})
    assert bench.machine.next_batch(0) is None


def test_a_bad_ack_is_not_acted_on_and_audited_once_an_hour() -> None:
    """Foreign install, foreign incarnation or a wrong hash change nothing; one audit per kind and hour [W-22]."""
    bench = Bench(ledger=10).welcomed()
    good = bench.office.on_batch(bench.offers(5)[0])
    foreign = dataclasses.replace(good, install_id="other")
    clone = dataclasses.replace(good, incarnation="f" * 32)
    forged = dataclasses.replace(good, head_hash=bytes(32))
    assert bench.machine.ack(0, foreign) == [AuditBadAck("foreign", "L", 5)]
    assert bench.machine.ack(1, clone) == []
    assert bench.machine.ack(2, forged) == [AuditBadAck("bad_hash", "L", 5)]
    assert bench.machine.ack(3_599, foreign) == []
    assert bench.machine.ack(3_600, foreign) == [AuditBadAck("foreign", "L", 5)]
    assert bench.machine.cum("L") == 0
    assert bench.machine.ack(0, good) == [ApplyAck("L", 5, good.head_hash, ())]
    assert bench.machine.counters.bad_acks == 5


def test_lower_and_repeated_acks_are_only_counted() -> None:
    """An old ack neither moves the cursor nor sends anything again [W-21] [W-22]."""
    bench = Bench(ledger=20).welcomed()
    old = bench.ack(bench.offers(5)[0])
    new = bench.ack(bench.offers(5)[0])
    assert bench.machine.ack(0, old) == []
    assert bench.machine.ack(0, new) == []
    assert (bench.machine.cum("L"), bench.machine.counters.repeated_acks) == (10, 2)


def test_an_ack_beyond_our_journal_means_hello_and_then_the_end() -> None:
    """A cum above our last seq shows a restored PC: hello again, and the welcome stops the incarnation [W-22] [W-32]."""
    bench = Bench(ledger=5).welcomed()
    ahead = ModelJournal()
    for _ in range(9):
        ahead.append("L")
    bench.offers()
    beyond = bench.office.on_batch(ahead.batch("L", 1, 9))
    assert bench.machine.ack(0, beyond) == [PublishHello(1)]
    welcome = bench.office.on_hello(bench.journal.hello())
    assert welcome.reincarnate
    assert bench.machine.welcome(0, welcome) == [StopIncarnation("behind_mark")]
    assert bench.machine.next_batch(0) is None
    assert bench.machine.tick(1_000) == []


def test_a_fork_stops_the_incarnation() -> None:
    """A fork in an ack or in a welcome ends this incarnation; cum and rows stay as they are [W-25] [W-32]."""
    bench = Bench(ledger=5).welcomed()
    other = ModelJournal()
    for seq in range(1, 6):
        other.append("L", None if seq < 3 else other_raw(seq))
    bench.office.on_batch(other.batch("L", 1, 5))
    ack = bench.office.on_batch(bench.offers()[0])
    assert (ack.fork, ack.gap, ack.refused) == (True, False, None)
    assert bench.machine.ack(0, ack) == [StopIncarnation("fork")]
    assert bench.machine.cum("L") == 0
    fresh = Bench(ledger=5).connect()
    welcome = bench.office.on_hello(fresh.journal.hello())
    assert welcome.streams["L"].fork
    assert fresh.machine.welcome(0, welcome) == [StopIncarnation("fork")]


def other_raw(seq: int) -> bytes:
    """Another record at the same seq."""
    return raw_record("L", seq, shift=2)


def test_head_office_alone_may_ask_for_a_new_incarnation() -> None:
    """The word reincarnate in the welcome suffices, even when our own comparison is fine, once it is insisted on [W-32]."""
    bench = Bench(ledger=5).connect()
    welcome = dataclasses.replace(bench.office.on_hello(bench.journal.hello()), reincarnate=True)
    assert bench.machine.welcome(0, welcome) == [PublishHello(1)]
    assert bench.machine.welcome(0, welcome) == []
    assert bench.machine.tick(1) == [PublishHello(1)]
    assert bench.machine.next_batch(1) is None
    assert bench.machine.welcome(1, welcome) == [StopIncarnation("reincarnate")]


def test_a_late_copy_of_an_old_hello_does_not_end_the_incarnation() -> None:
    """A doubled hello from before we grew looks like a restored PC; a fresh hello clears it up [W-32] [W-12]."""
    bench = Bench(ledger=2).connect()
    old = bench.journal.hello()
    bench.machine.welcome(0, bench.office.on_hello(old))
    bench.grow("L", 3)
    bench.ack(bench.offers()[0])
    late = bench.office.on_hello(old)
    assert late.reincarnate
    assert bench.machine.welcome(0, late) == [PublishHello(1)]
    assert bench.machine.welcome(0, bench.office.on_hello(bench.journal.hello())) == []
    assert bench.machine.welcomed


def test_three_equal_refusals_lead_to_single_records() -> None:
    """Acted on at once up to three times, then an alert and one record at a time past the batch [W-12] [W-20]."""
    bench = Bench(ledger=6).welcomed()
    refusal = m.Ack(INSTALL, INCARNATION, "L", 0, bench.office.hash_at("L", 0), gap=True, refused="bad_last_hash")
    outputs = []
    for _ in range(3):
        assert _seqs(bench.offers(4)) == [("L", 1, 4)]
        outputs += bench.machine.ack(0, refusal)
    evidence: dict[str, str | int] = {"stream": "L", "code": "bad_last_hash", "cum": 0, "last_seq": 4}
    assert outputs == [RaiseSyncAlert("refused", evidence)]
    for seq in range(1, 5):
        single = bench.offers()
        assert _seqs(single) == [("L", seq, seq)]
        bench.ack(single[0])
    assert _seqs(bench.offers()) == [("L", 5, 6)]


def test_a_fourth_refusal_waits_for_the_timeout() -> None:
    """Refusals do not spin: after the third only the timeout sends again [W-12]."""
    bench = Bench(ledger=6).welcomed()
    refusal = m.Ack(INSTALL, INCARNATION, "L", 0, bench.office.hash_at("L", 0), gap=True, refused="too_large")
    for _ in range(4):
        bench.offers()
        bench.machine.ack(0, refusal)
    assert bench.offers() == []
    bench.now = 38
    bench.machine.tick(bench.now)
    assert _seqs(bench.offers()) == [("L", 1, 1)]


def test_the_newest_credit_paces_the_whole_station() -> None:
    """records_per_s holds over any second, pause_ms from receipt, and a newer 0 ends it [W-11]."""
    bench = Bench(ledger=100, alerts=100, credit=m.Credit(4, 10, 0)).welcomed()
    assert sum(len(batch.records) for batch in bench.offers()) == 10
    assert bench.offers() == []
    bench.now = 1.0
    bench.machine.tick(bench.now)
    assert sum(len(batch.records) for batch in bench.offers()) <= 10
    bench.office.credit = m.Credit(4, 0, 60_000)
    bench.ack(bench.journal.batch("L", 1, 5))
    assert bench.offers() == []
    bench.office.credit = m.Credit(4, 0, 0)
    bench.ack(bench.journal.batch("L", 6, 10))
    assert bench.offers(5) != []


def test_a_pause_ends_by_itself() -> None:
    """After pause_ms the station sends again without being told [W-11]."""
    bench = Bench(ledger=10, credit=m.Credit(4, 0, 5_000)).welcomed()
    assert bench.offers() == []
    assert bench.machine.next_deadline() == 5.0
    bench.now = 5.0
    bench.machine.tick(5.0)
    assert len(bench.offers()) == 1


def test_while_head_office_is_away_nothing_is_sent_again() -> None:
    """A false ho/state pauses batches but not the question whether it is back [W-12] [W-13]."""
    bench = Bench(ledger=10).welcomed()
    bench.offers(5)
    bench.machine.ho_state(0, False)
    bench.now = 40
    assert bench.machine.tick(bench.now) == [PublishHello(1)]
    assert bench.offers(5) == []
    assert bench.machine.ho_state(bench.now, True) == [PublishHello(1)]
    bench.machine.welcome(bench.now, bench.office.on_hello(bench.journal.hello()))
    assert _seqs(bench.offers(5)) == [("L", 1, 5)]


def test_a_head_office_that_was_put_back_is_greeted_anew_and_not_by_all_stations_at_once() -> None:
    """[W-34] Another time than before on this connection: one hello within half a minute; the same again, and none."""
    bench = Bench(ledger=3).welcomed()
    put_back = "2026-11-22T08:00:00.000Z"
    assert bench.machine.ho_state(0, True, None) == bench.machine.ho_state(0, False) == []
    assert bench.machine.ho_state(1, True, put_back) == []
    due = bench.machine.next_deadline()
    assert due is not None
    assert 1 < due <= 31
    assert bench.machine.tick(due) == [PublishHello(1)]
    bench.machine.welcome(due, bench.office.on_hello(bench.journal.hello()))
    bench.machine.ho_state(due, True, put_back)
    assert bench.machine.tick(due + 31) == []


def test_after_a_lost_ack_and_a_restart_the_dead_letters_are_still_told() -> None:
    """Where head office has more than we stored lists for, one known record is sent to get the list [W-21]."""
    bench = Bench(ledger=3)
    bench.journal.append("L", b"7")
    bench.grow()
    bench.office.on_batch(bench.journal.batch("L", 1, 3))
    bench.office.on_batch(bench.journal.batch("L", 4, 4))
    bench.welcomed()
    probe = bench.offers()
    assert _seqs(probe) == [("L", 4, 4)]
    ack = bench.office.on_batch(probe[0])
    dead = (m.DeadLetter(4, "not_an_object"),)
    assert bench.machine.ack(0, ack) == [ApplyAck("L", 4, ack.head_hash, dead)]


def test_a_full_list_of_dead_letters_asks_for_a_new_hello_once_stored() -> None:
    """500 listed dead letters block cum until a hello tells that they are stored [W-21]."""
    bench = Bench()
    for _ in range(502):
        bench.journal.append("L", b"7")
    bench.grow()
    bench.welcomed()
    for seq in range(1, 503):
        bench.office.on_batch(bench.journal.batch("L", seq, seq))
    bench.offers(1)
    ack = bench.office.on_batch(bench.journal.batch("L", 1, 1))
    assert (ack.cum, len(ack.rejected)) == (500, 500)
    assert bench.machine.ack(0, ack) == [ApplyAck("L", 500, ack.head_hash, ack.rejected)]
    assert bench.machine.persisted(0, "L", 499) == []
    assert bench.machine.persisted(0, "L", 500) == [PublishHello(1)]
    bench.journal.acked["L"] = 500
    bench.machine.welcome(0, bench.office.on_hello(bench.journal.hello()))
    assert bench.ack(bench.offers(1)[0]).cum == 502


def test_a_contradicting_head_office_is_not_greeted_at_network_speed() -> None:
    """Hellos forced by contradictions keep a second between them [W-12]."""
    bench = Bench(ledger=5).welcomed()
    beyond = m.Ack(INSTALL, INCARNATION, "L", 99, bytes(32))
    assert bench.machine.ack(0, beyond) == [PublishHello(1)]
    bench.machine.welcome(0, bench.office.on_hello(bench.journal.hello()))
    assert bench.machine.ack(0.1, beyond) == []
    assert bench.machine.tick(0.5) == []
    assert bench.machine.tick(1.0) == [PublishHello(1)]


def test_a_disconnect_forgets_what_was_in_flight() -> None:
    """After a reconnect sending starts again at cum + 1 with window 1 and the next connect_n [W-11] [W-12]."""
    bench = Bench(ledger=100).welcomed()
    bench.ack(bench.offers(5)[0])
    bench.offers(5)
    bench.machine.disconnected()
    assert bench.machine.next_batch(0) is None
    assert bench.machine.next_deadline() is None
    bench.welcomed(2)
    assert _seqs(bench.offers(5)) == [("L", 6, 10)]


def test_batches_of_an_old_incarnation_are_still_taken() -> None:
    """Delivery of another incarnation is an ordinary machine of its own; nothing marks it as late [W-26]."""
    old = "f" * 32
    journal, office = ModelJournal(old), ModelHeadOffice()
    office.incarnation = old
    journal.append("L")
    machine = Delivery(
        install_id=INSTALL, incarnation=old, applied=journal.acked, hash_at=journal.hash_at, rng=Random(1)
    )
    machine.grew("L", 1)
    machine.connected(0, 1)
    machine.welcome(0, office.on_hello(journal.hello()))
    offer = machine.next_batch(0)
    assert offer == BatchOffer("L", 1, 1)
    machine.sent(0, "L", 1, 1)
    ack = office.on_batch(journal.batch("L", 1, 1))
    assert machine.ack(0, ack) == [ApplyAck("L", 1, ack.head_hash, ())]


@pytest.mark.parametrize("reason", m.REJECT_REASONS)
def test_every_closed_reason_travels(reason: str) -> None:
    """An ack carries each closed dead-letter reason to the pipeline unchanged [W-21]."""
    bench = Bench(ledger=2).welcomed()
    bench.offers()
    ack = dataclasses.replace(
        bench.office.on_batch(bench.journal.batch("L", 1, 2)), rejected=(m.DeadLetter(2, reason),)
    )
    assert bench.machine.ack(0, ack) == [ApplyAck("L", 2, ack.head_hash, (m.DeadLetter(2, reason),))]
