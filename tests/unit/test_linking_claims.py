"""Claims: the locks table of linking row by row, leases that die by time, undo at roaming readers, aimed scans."""

from dataclasses import replace

import pytest

from agent.domain.answers import Outcome
from agent.domain.link_records import (
    Answer,
    Audit,
    Claim,
    ClaimEnded,
    ClaimRequested,
    ControlScanned,
    CorrectionRequested,
    CorrectLink,
    LinkRequested,
    MemberScanned,
    PointChosen,
    Reader,
    ReleaseRequested,
    Role,
    SaleStateChanged,
    Ticked,
)
from agent.domain.sale import SaleState
from tests.support.link_bench import M1, M2, READERS, Bench, answer_of, linked

HANDHELDS = (*READERS, Reader("H07", (3, 4, 5), claims=True), Reader("H08", (3, 4, 5), claims=True))
FREE, MINE, OTHERS, LOCKED_HERE, LOCKED_THERE, CLEARED = (
    "free",
    "mine",
    "others",
    "locked here",
    "locked there",
    "cleared",
)
REASON = "wrong_member"


def bench_with(state: str, *, linked_to: str | None = None) -> Bench:
    """A sale of point 3 that ended at second 0, seen from handheld H08."""
    bench = Bench(readers=HANDHELDS)
    bench.fuel(0, "sale-1", 3, "0:100")
    if linked_to is not None:
        bench.scan(1, "P3", linked_to)  # a plain reader leaves no claim behind
    if state in (MINE, OTHERS):
        bench.do(2, ClaimRequested("sale-1", "H08" if state == MINE else "H07", "A1"))
    if state in (LOCKED_HERE, LOCKED_THERE):
        where = "H08" if state == LOCKED_HERE else "H07"
        bench.do(2, SaleStateChanged("sale-1", SaleState.LOCKED, where, "A1"))
    if state == CLEARED:
        bench.do(2, SaleStateChanged("sale-1", SaleState.CLEARED))
    return bench


def claim(bench: Bench, second: float = 5, terminal: str = "H08") -> Answer:
    return answer_of(bench.do(second, ClaimRequested("sale-1", terminal, "A1")))


def scan(bench: Bench, member: str = M1, second: float = 5, terminal: str = "H08") -> Answer:
    who = bench.who(terminal, member)
    return answer_of(bench.do(second, MemberScanned(who.scan_id, terminal, None, who, sale="sale-1")))


def change(bench: Bench, second: float = 5, role: Role = Role.ATTENDANT) -> Answer:
    asked = CorrectionRequested("sale-1", bench.who("H08", M2), "A1", role, REASON, "H08")
    return answer_of(bench.do(second, asked))


def release(bench: Bench, role: Role = Role.ATTENDANT, second: float = 5) -> Answer:
    return answer_of(bench.do(second, ReleaseRequested("sale-1", "H08", "A1", role)))


@pytest.mark.parametrize(
    ("state", "claimed", "linking", "changing", "releasing", "by_supervisor"),
    [
        (FREE, Outcome.CLAIMED, Outcome.LINKED, Outcome.CORRECTED, Outcome.NOT_CLAIMED, Outcome.NOT_CLAIMED),
        (MINE, Outcome.CLAIMED, Outcome.LINKED, Outcome.CORRECTED, Outcome.RELEASED, Outcome.RELEASED),
        (OTHERS, Outcome.IN_USE, Outcome.IN_USE, Outcome.IN_USE, Outcome.IN_USE, Outcome.RELEASED),
        (
            LOCKED_HERE,
            Outcome.CLAIMED,
            Outcome.LINKED_AFTER_LOCK,
            Outcome.BEING_PAID,
            Outcome.BEING_PAID,
            Outcome.BEING_PAID,
        ),
        (
            LOCKED_THERE,
            Outcome.BEING_PAID,
            Outcome.BEING_PAID,
            Outcome.BEING_PAID,
            Outcome.BEING_PAID,
            Outcome.BEING_PAID,
        ),
        (CLEARED, Outcome.SALE_GONE, Outcome.SALE_GONE, Outcome.TOO_LATE, Outcome.NOT_CLAIMED, Outcome.NOT_CLAIMED),
    ],
)
def test_the_locks_table(state, claimed, linking, changing, releasing, by_supervisor):
    """What handheld H08 may do with a sale that is free, claimed by it or by H07, being paid here or there, or paid."""
    assert claim(bench_with(state)).outcome is claimed
    assert scan(bench_with(state)).outcome is linking
    assert change(bench_with(state, linked_to=M1)).outcome is changing
    assert release(bench_with(state)).outcome is releasing
    assert release(bench_with(state), Role.SUPERVISOR).outcome is by_supervisor


@pytest.mark.parametrize("refused", [claim, scan, release])
def test_a_refusal_names_the_terminal_that_has_the_sale(refused):
    """Whoever is refused reads where the sale is in use, and no member's mask."""
    answer = refused(bench_with(OTHERS))
    assert (answer.terminal, answer.member) == ("H07", None)


def test_a_claim_ends_by_time_is_renewed_by_each_action_and_frees_the_sale():
    """120 seconds after its last action a claim is over, to the second."""
    bench = bench_with(MINE)
    assert claim(bench, 100).outcome is Outcome.CLAIMED
    assert claim(bench, 220, "H07").outcome is Outcome.IN_USE
    effects = bench.do(220.001, Ticked())
    assert effects == (ClaimEnded("sale-1"),)
    assert claim(bench, 221, "H07").outcome is Outcome.CLAIMED
    assert scan(bench, second=222).outcome is Outcome.IN_USE


def test_a_sale_that_is_being_paid_is_never_let_go_by_time_and_is_timed_again_when_that_is_cancelled():
    """Locked ends with its payment: put back to Payable, the claim of the paying terminal lasts 120 seconds more."""
    bench = bench_with(LOCKED_THERE)
    assert claim(bench, 5_000).outcome is Outcome.BEING_PAID
    bench.do(5_001, SaleStateChanged("sale-1", SaleState.PAYABLE))
    assert claim(bench, 5_120).outcome is Outcome.IN_USE
    assert claim(bench, 5_122).outcome is Outcome.CLAIMED
    bench.do(5_123, SaleStateChanged("sale-1", SaleState.CLEARED))
    assert bench.desk.claims == {}


def test_a_till_that_names_no_terminal_leaves_a_locked_sale_open_to_scans():
    """Nobody knows where it is paid: a scan at any reader earns, and only earns."""
    bench = bench_with(FREE)
    bench.do(2, SaleStateChanged("sale-1", SaleState.LOCKED))
    assert bench.scan(5, "P3", M1).outcome is Outcome.LINKED_AFTER_LOCK


def test_worked_sequence_7_two_handhelds_tap_the_same_tile():
    """The first tile that was tapped claims; the second handheld reads "in use at H07", and its scan links nothing."""
    bench = bench_with(FREE)
    first = answer_of(bench.do(5, PointChosen("H07", "A1", sale="sale-1")))
    second = answer_of(bench.do(6, PointChosen("H08", "A2", sale="sale-1")))
    assert (first.outcome, second.outcome, second.terminal) == (Outcome.SCAN_NOW, Outcome.IN_USE, "H07")
    assert scan(bench, M2, 7).outcome is Outcome.IN_USE
    assert bench.scan(8, "H07", M1).outcome is Outcome.LINKED
    assert linked(bench) == [("sale-1", M1, 8)]


def test_a_handheld_keeps_the_sale_it_links_and_a_plain_reader_does_not():
    """A link at a handheld claims the sale for what follows; at a reader nobody goes on working."""
    bench = bench_with(FREE)
    assert scan(bench).outcome is Outcome.LINKED
    assert bench.desk.claims["sale-1"] == Claim("sale-1", "H08", "A1", bench.at(125).mono_ms)
    assert bench_with(FREE, linked_to=M1).desk.claims == {}


def test_a_supervisor_at_the_command_line_is_kept_off_too_and_head_office_is_not():
    """A claim is respected by whoever stands at the station; head office's word comes at any time."""
    bench = bench_with(OTHERS, linked_to=M1)
    ask = CorrectionRequested("sale-1", None, "S1", Role.SUPERVISOR, "mixed up")
    assert answer_of(bench.do(5, ask)).outcome is Outcome.IN_USE
    assert answer_of(bench.do(6, replace(ask, role=Role.HEAD_OFFICE))).outcome is Outcome.REMOVED
    late = LinkRequested("sale-1", bench.who("cli", M1), "S1", Role.SUPERVISOR, "receipt 1")
    assert answer_of(bench.do(7, late)).outcome is Outcome.IN_USE


def test_letting_go_for_another_terminal_is_on_record():
    """Who took a sale from H07 is audited; letting one's own go is not."""
    bench = bench_with(OTHERS)
    effects = bench.do(5, ReleaseRequested("sale-1", "cli", "S1", Role.SUPERVISOR))
    assert Audit("S1", Role.SUPERVISOR, "release_claim", "sale-1", "held by H07", "released") in effects
    mine = bench_with(MINE)
    assert not any(isinstance(e, Audit) for e in mine.do(5, ReleaseRequested("sale-1", "H08", "A1")))


@pytest.mark.parametrize(("after_s", "outcome"), [(10, Outcome.UNDONE), (10.001, Outcome.NOTHING_TO_CANCEL)])
def test_a_roaming_reader_takes_its_last_link_back_within_ten_seconds(after_s, outcome):
    """CANCEL right after the link of the only candidate removes it, and once ten seconds are over it does not."""
    bench = Bench()
    bench.fuel(0, "sale-1", 3, "0:100")
    bench.scan(20, "ROAM", M1, "c1")
    effects = bench.do(20 + after_s, ControlScanned("ROAM", None))
    assert answer_of(effects).outcome is outcome
    assert any(isinstance(e, CorrectLink) and e.new_member is None for e in effects) is (outcome is Outcome.UNDONE)
    assert bench.scan(40, "ROAM", M1, "c1").outcome is (
        Outcome.REPLAYED if outcome is Outcome.UNDONE else Outcome.REPEAT
    )


def test_undo_takes_back_a_running_fuelling_and_of_two_the_newest():
    """The last thing the reader did is undone: the running fuelling if that was last, else the sale."""
    bench = Bench()
    bench.fuel(0, "sale-1", 3, "0:100")
    bench.scan(20, "ROAM", M1)
    bench.lift(21, 4, "0:7")
    assert bench.scan(22, "ROAM", M2).outcome is Outcome.LINKED
    undo = answer_of(bench.do(24, ControlScanned("ROAM", None)))
    assert (undo.outcome, undo.point, bench.desk.pending) == (Outcome.UNDONE, 4, {})
    undo = answer_of(bench.do(26, ControlScanned("ROAM", None)))
    assert (undo.outcome, undo.sale) == (Outcome.UNDONE, "sale-1")


@pytest.mark.parametrize(
    ("state", "outcome"), [(SaleState.CLEARED, Outcome.TOO_LATE), (SaleState.LOCKED, Outcome.BEING_PAID)]
)
def test_undo_never_touches_a_sale_that_is_paid_or_being_paid(state, outcome):
    """Ten seconds are no licence to take points from a sale whose money is on its way."""
    bench = Bench()
    bench.fuel(0, "sale-1", 3, "0:100")
    bench.scan(20, "ROAM", M1)
    bench.do(21, SaleStateChanged("sale-1", state))
    assert answer_of(bench.do(22, ControlScanned("ROAM", None))).outcome is outcome


def test_a_scan_that_names_its_target_is_about_that_and_nothing_that_waits():
    """A tile sent with the scan decides: an older scan that still waits for a point does not take it."""
    bench = Bench(readers=HANDHELDS)
    for number, point in ((1, 3), (2, 4), (3, 5)):
        bench.fuel(number, f"sale-{number}", point, f"0:{number}")
    assert bench.scan(80, "H08", M1).outcome is Outcome.CHOOSE_POINT
    assert scan(bench, M2, 81).outcome is Outcome.LINKED
    assert bench.scan(90, "H08", M2).outcome is Outcome.FINISH_FIRST
    who = bench.who("H08", M1)
    aimed = MemberScanned(who.scan_id, "H08", None, who, sale="sale-2")
    assert answer_of(bench.do(91, aimed)).outcome is Outcome.LINKED
    assert linked(bench) == [("sale-1", M2, 80), ("sale-2", M1, 89)]
    assert (
        answer_of(bench.do(92, replace(aimed, scan_id="S90", point=9, sale=None))).outcome is Outcome.POINT_NOT_SERVED
    )
    assert bench.desk.pending == {}
