"""Linking: lifts, zero hangs and stored sales, and what a restart keeps."""

import ast
import json
import sys
from pathlib import Path

import pytest

from agent.domain import linking
from agent.domain.answers import Outcome, Tone
from agent.domain.instant import Now
from agent.domain.link_memory import LinkMemoryDamaged, durable, restore
from agent.domain.link_records import (
    End,
    FlowSeen,
    HungZero,
    LinkRequested,
    LinkSale,
    MemberScanned,
    NozzleLifted,
    PendingEnded,
    PendingSaved,
    PendingState,
    Role,
    SaleBooked,
    SaleRecalled,
    SaleStateChanged,
    Ticked,
)
from agent.domain.link_windows import Windows
from agent.domain.linking import settlement_due_ms, step
from agent.domain.sale import SaleKind, SaleState
from tests.support.link_bench import M1, M2, READERS, WALL, Bench, answer_of, linked


def test_sequence_4_zero_hang_keeps_the_link_waiting():
    """Hung with nothing delivered, the link waits for the next lift."""
    bench = Bench()
    bench.scan(0, "P3", M1)
    bench.lift(10, 3, "0:100")
    bench.do(170, HungZero(3, 1))
    bench.lift(229, 3, "0:100")
    bench.book(300, "sale-1", 3, "0:100")
    assert linked(bench) == [("sale-1", M1, 0)]


def test_zero_hang_leaves_at_least_sixty_seconds():
    """After a zero hang the window lasts 60 s more, and no longer than that if it was over."""
    bench = Bench()
    bench.scan(0, "P3", M1)
    bench.lift(10, 3, "0:100")
    bench.do(500, HungZero(3, 1))
    bench.do(560, Ticked())
    assert bench.ends == []
    bench.do(561, Ticked())
    assert bench.ends == [("S1", End.EXPIRED)]


def test_sequence_8_same_code_after_a_crash_between_commit_and_answer():
    """The repeat gets the answer again, and there is one link."""
    bench = Bench()
    bench.fuel(0, "sale-1", 3, "0:100")
    bench.scan(10, "P3", M1, "c1")
    bench.restart(12)
    again = bench.scan(14, "P3", M1, "c1")
    assert (again.outcome, again.repeat, again.tone) == (Outcome.REPEAT, True, Tone.GOOD)
    assert linked(bench) == [("sale-1", M1, 10)]


def test_other_nozzle_lifted_before_volume_follows_the_point():
    """Changing the nozzle before anything flowed keeps the member; the record says so."""
    bench = Bench()
    bench.scan(0, "P3", M1)
    bench.lift(5, 3, "0:100", nozzle=1)
    effects = bench.lift(8, 3, "0:900", nozzle=2)
    saved = next(effect for effect in effects if isinstance(effect, PendingSaved)).pending
    assert (saved.nozzle, saved.start, saved.note) == (2, "0:900", "followed to nozzle 2")
    bench.book(60, "sale-1", 3, "0:900", nozzle=2)
    assert linked(bench) == [("sale-1", M1, 0)]


def test_other_nozzle_lifted_after_volume_leaves_the_link_with_the_first():
    """The delivered fuelling keeps its member although the next one has begun before its sale was stored."""
    bench = Bench()
    bench.scan(0, "P3", M1)
    bench.lift(5, 3, "0:100", nozzle=1)
    bench.do(20, FlowSeen(3))
    bench.lift(60, 3, "0:900", nozzle=2)
    assert bench.scan(65, "P3", M2).outcome is Outcome.LINKED
    bench.book(70, "sale-1", 3, "0:100", nozzle=1)
    bench.book(120, "sale-2", 3, "0:900", nozzle=2)
    assert linked(bench) == [("sale-1", M1, 0), ("sale-2", M2, 0)]


def test_a_fuelling_taken_up_again_stays_with_its_first_member():
    """Going back to the nozzle that already delivered ends the second member's wait: one member per sale."""
    bench = Bench()
    bench.scan(0, "P3", M1)
    bench.lift(5, 3, "0:100", nozzle=1)
    bench.do(20, FlowSeen(3))
    bench.lift(30, 3, "0:900", nozzle=2)
    bench.scan(35, "P3", M2)
    bench.lift(40, 3, "0:100", nozzle=1)
    assert bench.ends == [("S2", End.CANCELLED)]
    bench.book(90, "sale-1", 3, "0:100", nozzle=1)
    assert linked(bench) == [("sale-1", M1, 0)]


def test_a_recovered_sale_takes_the_link_only_if_it_is_the_only_one():
    """One recovered sale keeps its member; of two, none does, and the first is named as a hint."""
    for count, expected in ((1, [("r1", M1, 0)]), (2, [])):
        bench = Bench()
        bench.scan(0, "P3", M1)
        bench.lift(5, 3, "0:100")
        bench.restart(30)
        effects = bench.book(90, "r1", 3, "0:100", kind=SaleKind.RECOVERED, recovered_count=count)
        assert linked(bench) == expected
        if count == 2:
            assert PendingEnded("S1", End.EXPIRED, "r1") in effects
            bench.book(91, "r2", 3, "0:150", kind=SaleKind.RECOVERED, recovered_count=2)
        assert bench.desk.pending == {}
        assert bench.desk.live == {}


def test_a_meter_that_went_past_the_start_ends_the_link():
    """If the sale that is stored began later than the member's fuelling, the link does not pass to a stranger."""
    bench = Bench()
    bench.scan(0, "P3", M1)
    bench.lift(5, 3, "0:100")
    effects = bench.book(90, "other", 3, "0:180")
    assert linked(bench) == []
    assert PendingEnded("S1", End.EXPIRED, "other") in effects


def test_a_lift_that_was_never_seen():
    """The first fuelling that ends at the point after the scan is the one that was waited for; an older sale is not."""
    bench = Bench()
    bench.scan(100, "P3", M1)
    bench.book(101, "queue-record", 3, "0:50", ended_ms=WALL - 3_600_000)
    assert linked(bench) == []
    bench.book(160, "sale-1", 3, "0:100")
    assert linked(bench) == [("sale-1", M1, 0)]


def test_restart_in_the_same_boot_ignores_wall_steps():
    """Monotonic time goes on through a restart of the process; the wall clock may say anything."""
    bench = Bench()
    bench.scan(0, "P3", M1)
    data = durable(bench.desk)
    now = Now(WALL + 10**10, bench.at(100).mono_ms)
    bench.desk = restore(data, readers=READERS, windows=Windows(), now=now, clock="unknown", boot="boot-1")
    bench.desk, effects = step(bench.desk, NozzleLifted(3, 1, "0:100"), Now(WALL, bench.at(170).mono_ms))
    assert bench.desk.pending["S1"].state is PendingState.LIVE
    assert len(effects) == 1


@pytest.mark.parametrize(("clock", "left"), [("ntp", True), ("rtc", True), ("floor", False), ("unknown", False)])
def test_restart_after_another_boot_counts_wall_time_if_the_clock_is_good(clock, left):
    """With a good clock 60 s are left of 180; without one the link is over, and the sale keeps its window."""
    bench = Bench()
    bench.fuel(0, "sale-4", 4, "0:700")
    bench.scan(0, "P3", M1)
    data = durable(bench.desk)
    now = Now(bench.at(120).wall_ms, 7_000)
    desk = restore(data, readers=READERS, windows=Windows(), now=now, clock=clock, boot="boot-2")
    desk, effects = step(desk, Ticked(), now)
    assert (PendingEnded("S1", End.EXPIRED) in effects) is not left
    desk, effects = step(desk, Ticked(), Now(now.wall_ms, 7_000 + 60_001))
    assert (PendingEnded("S1", End.EXPIRED) in effects) is left
    age_s = (now.mono_ms - desk.sales["sale-4"].ended_mono_ms) // 1000
    assert age_s == (120 if left else 0)


def test_live_link_is_found_again_after_another_boot():
    """A fuelling that went on through a power cut keeps its member by point and start totalizer."""
    bench = Bench()
    bench.scan(0, "P3", M1)
    bench.lift(10, 3, "0:100")
    data = durable(bench.desk)
    now = Now(bench.at(400).wall_ms, 9_000)
    desk = restore(data, readers=READERS, windows=Windows(), now=now, clock="unknown", boot="boot-2")
    desk, _ = step(desk, NozzleLifted(3, 1, "0:100"), now)
    booked = SaleBooked("r1", 3, 1, SaleKind.RECOVERED, "0:100", now.wall_ms)
    _, effects = step(desk, booked, now)
    assert [effect.sale for effect in effects if isinstance(effect, LinkSale)] == ["r1"]


def test_nothing_durable_holds_a_digest_of_a_text():
    """Digests of scanned texts stay in memory."""
    bench = Bench()
    who = bench.who("P3", M1)
    bench.do(0, MemberScanned(who.scan_id, "P3", "digest-of-the-text", who))
    assert "digest-of-the-text" not in json.dumps(durable(bench.desk))


@pytest.mark.parametrize("damage", [{}, {"seen": None}, {"pending": [{"who": 1}]}, {"sales": [{"id": "x"}]}])
def test_damaged_memory_is_a_typed_error(damage):
    """Stored link state that cannot be read says what to do."""
    data = {**durable(Bench().desk), **damage} if damage else {}
    with pytest.raises(LinkMemoryDamaged, match="empty desk"):
        restore(data, readers=READERS, windows=Windows(), now=Now(0, 0), clock="ntp", boot="b")


def test_settlement_due():
    """Linked: settle_s after link or hang-up, whichever is later; unlinked: at the end of after_s."""
    windows = Windows()
    assert settlement_due_ms(1_000_000, None, windows) == 1_600_000
    assert settlement_due_ms(1_000_000, 1_095_000, windows) == 1_125_000
    assert settlement_due_ms(1_000_000, 900_000, windows) == 1_030_000


def test_windows_are_checked_at_load_time():
    """A window of zero, of another type, or longer than late_h is reported in words."""
    assert Windows().problems() == []
    assert len(Windows(choose_s=0, before_s=True).problems()) == 2
    assert "late_h" in Windows(after_s=90_000).problems()[0]


def test_linking_reaches_no_driver():
    """No file of linking imports anything but the standard library and its own neighbours in the domain."""
    files = sorted((Path(linking.__file__).parent).glob("link*.py"))
    assert len(files) >= 6
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.startswith("agent.domain.") or name.split(".")[0] in sys.stdlib_module_names, (
                    f"{file}: {name}"
                )


def test_cleared_sales_are_forgotten_and_can_be_recalled():
    """A paid sale leaves the desk after remember_s; recalled, it can be linked late; a recall never replaces."""
    bench = Bench(Windows(remember_s=900))
    bench.fuel(0, "old", 3, "0:100")
    bench.fuel(1, "unpaid", 4, "0:700")
    bench.do(10, SaleStateChanged("old", SaleState.CLEARED))
    old = bench.desk.sales["old"]
    bench.fuel(2000, "new", 3, "0:200")
    assert set(bench.desk.sales) == {"unpaid", "new"}
    ask = LinkRequested("old", bench.who("CLI", M1), "S1", Role.SUPERVISOR, "receipt 7")
    assert answer_of(bench.do(2001, ask)).outcome is Outcome.SALE_UNKNOWN
    bench.do(2002, SaleRecalled(old))
    assert answer_of(bench.do(2002, ask)).outcome is Outcome.LINKED_AFTER_LOCK
    bench.do(2003, SaleRecalled(old))
    assert bench.desk.sales["old"].link is not None
