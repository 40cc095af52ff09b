"""Linking: requested and late links, and who may correct what until when."""

from dataclasses import replace

import pytest

from agent.domain.answers import Outcome, Tone
from agent.domain.link_records import (
    Audit,
    CorrectionRequested,
    CorrectLink,
    LinkRequested,
    Role,
    SaleStateChanged,
    SpendCode,
)
from agent.domain.sale import SaleState
from tests.support.link_bench import M1, M2, Bench, answer_of, linked


def test_sequence_5_second_member_is_refused_and_changed_by_correction():
    """A second member gets ALREADY_LINKED with the first's id for the mask; the same attendant may change the link."""
    bench = Bench()
    bench.fuel(0, "sale-1", 3, "0:100")
    bench.scan(10, "P3", M1)
    refused = bench.scan(20, "P3", M2)
    assert (refused.outcome, refused.member, refused.tone) == (Outcome.ALREADY_LINKED, M1, Tone.BAD)
    change = CorrectionRequested("sale-1", bench.who("P3", M2, "c9"), "A1", Role.ATTENDANT, "wrong_member")
    effects = bench.do(190, change)
    fix = next(effect for effect in effects if isinstance(effect, CorrectLink))
    assert (fix.old_member, fix.new_member, fix.corrects, fix.delay_s) == (M1, M2, 1, 190)
    assert [(link.member, link.number, link.corrects) for link in bench.links] == [(M1, 1, None), (M2, 2, 1)]
    assert SpendCode("c9", "S3") in effects
    assert any(isinstance(effect, Audit) for effect in effects)
    assert answer_of(effects).outcome is Outcome.CORRECTED


def test_sequence_6_an_older_sale_is_no_candidate_once_a_later_one_is_paid():
    """When a later sale of the nozzle is Cleared, the earlier one is for the supervisor only."""
    bench = Bench()
    bench.fuel(0, "sale-1400", 3, "0:100")
    bench.fuel(360, "sale-1406", 3, "0:200")
    bench.do(400, SaleStateChanged("sale-1406", SaleState.CLEARED))
    assert bench.scan(480, "P3", M1).outcome is Outcome.WAITING_FOR_NOZZLE
    assert linked(bench) == []
    ask = LinkRequested("sale-1400", bench.who("P3", M2), "A1", Role.ATTENDANT)
    assert answer_of(bench.do(490, ask)).outcome is Outcome.SALE_GONE
    supervisor = replace(ask, person="S1", role=Role.SUPERVISOR)
    assert answer_of(bench.do(491, supervisor)).outcome is Outcome.REASON_MISSING
    effects = bench.do(492, replace(supervisor, reason="receipt 4711"))
    assert answer_of(effects).outcome is Outcome.LINKED
    assert Audit("S1", Role.SUPERVISOR, "late_link", "sale-1400", "receipt 4711", "linked") in effects
    assert [(link.sale, link.late) for link in bench.links] == [("sale-1400", True)]


def test_link_requested_for_open_linked_and_unknown_sales():
    """`sales link` links an open sale, repeats for the same member, refuses another, and says what it does not know."""
    bench = Bench()
    bench.fuel(0, "sale-1", 3, "0:100")
    ask = LinkRequested("sale-1", bench.who("CLI", M1), "root")
    assert answer_of(bench.do(20, ask)).outcome is Outcome.LINKED
    assert answer_of(bench.do(21, ask)).outcome is Outcome.REPEAT
    other = replace(ask, who=bench.who("CLI", M2))
    assert answer_of(bench.do(22, other)).outcome is Outcome.ALREADY_LINKED
    assert answer_of(bench.do(23, replace(ask, sale="nope"))).outcome is Outcome.SALE_UNKNOWN
    assert [(link.by, link.late) for link in bench.links] == [("root", False)]


def test_late_links_end_after_24_hours_except_for_head_office():
    """late_h binds the supervisor; head office may at any time."""
    bench = Bench()
    bench.fuel(0, "sale-1", 3, "0:100")
    late = LinkRequested("sale-1", bench.who("CLI", M1), "S1", Role.SUPERVISOR, "receipt 1")
    assert answer_of(bench.do(86_401, late)).outcome is Outcome.TOO_LATE
    assert answer_of(bench.do(86_402, replace(late, role=Role.HEAD_OFFICE))).outcome is Outcome.LINKED


@pytest.mark.parametrize(
    ("second", "person", "role", "reason", "cleared", "outcome"),
    [
        (190, "A1", Role.ATTENDANT, "wrong_member", False, Outcome.REMOVED),
        (191, "A1", Role.ATTENDANT, "wrong_member", False, Outcome.TOO_LATE),
        (50, "A2", Role.ATTENDANT, "wrong_member", False, Outcome.NOT_ALLOWED),
        (50, "A1", Role.ATTENDANT, "because", False, Outcome.REASON_MISSING),
        (50, "A1", Role.ATTENDANT, "wrong_member", True, Outcome.TOO_LATE),
        (5000, "S1", Role.SUPERVISOR, "receipt 4711", True, Outcome.REMOVED),
        (5000, "S1", Role.SUPERVISOR, " ", True, Outcome.REASON_MISSING),
        (86_401, "S1", Role.SUPERVISOR, "receipt 4711", True, Outcome.TOO_LATE),
        (86_401, "HQ", Role.HEAD_OFFICE, "claim 1", True, Outcome.REMOVED),
    ],
)
def test_who_may_correct_until_when(second, person, role, reason, cleared, outcome):
    """The correction table, row by row."""
    bench = Bench()
    bench.fuel(0, "sale-1", 3, "0:100")
    bench.scan(10, "P3", M1)
    if cleared:
        bench.do(40, SaleStateChanged("sale-1", SaleState.CLEARED))
    effects = bench.do(second, CorrectionRequested("sale-1", None, person, role, reason))
    assert answer_of(effects).outcome is outcome
    assert any(isinstance(effect, CorrectLink) for effect in effects) is (outcome is Outcome.REMOVED)


def test_the_third_correction_needs_head_office():
    """A sale is corrected twice at the station, then only by head office."""
    bench = Bench()
    bench.fuel(0, "sale-1", 3, "0:100")
    bench.scan(10, "P3", M1)
    members = [M2, M1, M2]
    answers = []
    for index, member in enumerate(members):
        ask = CorrectionRequested("sale-1", bench.who("CLI", member), "S1", Role.SUPERVISOR, "mixed up")
        answers.append(answer_of(bench.do(100 + index, ask)).outcome)
    assert answers == [Outcome.CORRECTED, Outcome.CORRECTED, Outcome.CORRECTION_LIMIT]
    final = replace(ask, role=Role.HEAD_OFFICE)
    assert answer_of(bench.do(200, final)).outcome is Outcome.CORRECTED
    link = bench.desk.sales["sale-1"].link
    assert link is not None
    assert link.who.member == M2


def test_correcting_nothing_the_same_or_the_unknown():
    """A correction needs a link, another member and a known sale."""
    bench = Bench()
    bench.fuel(0, "sale-1", 3, "0:100")
    ask = CorrectionRequested("sale-1", bench.who("CLI", M1), "S1", Role.SUPERVISOR, "x")
    assert answer_of(bench.do(5, ask)).outcome is Outcome.NOTHING_TO_CORRECT
    bench.scan(10, "P3", M1)
    assert answer_of(bench.do(15, ask)).outcome is Outcome.REPEAT
    assert answer_of(bench.do(16, replace(ask, sale="nope"))).outcome is Outcome.SALE_UNKNOWN


def test_a_removed_link_is_not_made_again_by_replaying_its_scan():
    """After a removal the old scan and code are known; only a fresh code links."""
    bench = Bench()
    bench.fuel(0, "sale-1", 3, "0:100")
    bench.scan(10, "P3", M1, "c1")
    bench.do(20, CorrectionRequested("sale-1", None, "A1", Role.ATTENDANT, "wrong_sale"))
    assert bench.scan(30, "P3", M1, "c1").outcome is Outcome.REPLAYED
    assert bench.scan(40, "P3", M1, "c2").outcome is Outcome.LINKED
    assert [link.number for link in bench.links] == [1, 2]
