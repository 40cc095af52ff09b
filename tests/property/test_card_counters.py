"""Counters of signing cards under any interleaving of taps, copies, deaths, restarts and news from head office."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field

from hypothesis import event, given, settings
from hypothesis import strategies as st

from agent.clock import read
from agent.failpoints import SimulatedCrash, armed
from agent.inbox import FromLine
from agent.store.verify import verify
from drivers.readings import CardTap
from drivers.simulator.card import link_message
from tests.support import template
from tests.support.examples import tries
from tests.support.head_office_says import CARDS, card_entry, member_gone, member_with
from tests.support.quiet import quiet_log
from tests.support.station_settings import Plan
from tests.support.sun_cards import Chip
from tests.support.till import Till

CHIPS = [Chip(bytes((4, 0, 0, 0, 0, 0, number)), bytes((number + 1,) * 16), CARDS.meta_read) for number in range(3)]
READERS = ("reader-1", "reader-2")
DEATHS = ("card.counted", "store.inside_commit", "card.after_commit")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("tap"), st.integers(0, 2), st.integers(1, 300)),
        st.tuples(st.just("copy"), st.integers(0, 2), st.integers(0, 4)),
        st.tuples(st.just("die"), st.integers(0, 2), st.integers(0, 2)),
        st.tuples(st.just("sale"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 4), st.just(0)),
        st.tuples(st.just("gone"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("told"), st.integers(0, 2), st.just(0)),
    ),
    min_size=4,
    max_size=22,
)
WAITS_S = (0.5, 2.0, 4.0, 40.0, 700.0)


@dataclass
class Story:
    """A till, three cards with the counts that they are really at, and every message that was ever shown."""

    till: Till
    at: list[int] = field(default_factory=lambda: [0, 0, 0])
    shown: list[list[CardTap]] = field(default_factory=lambda: [[], [], []])
    accepted: list[set[int]] = field(default_factory=lambda: [set(), set(), set()])
    op: int = 0

    def tell(self, number: int, *, gone: bool = False) -> None:
        """Head office tells a member, or that they are gone."""
        self.op += 1
        chip = CHIPS[number]
        if gone:
            self.till.pipeline.handle(member_gone(self.op, number + 1))
        else:
            self.till.pipeline.handle(member_with(self.op, number + 1, card_entry(chip.name, chip.key)))

    def fresh(self, number: int, jump: int) -> CardTap:
        """The chip is laid on a reader; it has counted on."""
        self.at[number] += jump
        tap = CHIPS[number].tap(READERS[number % 2], self.at[number])
        self.shown[number].append(tap)
        return tap

    def lay(self, tap: CardTap) -> str:
        """What a reader is answered."""
        self.till.pipeline.handle(FromLine(tap.reader, tap, read(self.till.clock)))
        return str(self.till.pipeline._live.answers[-1]["outcome"])

    def counters(self) -> dict[bytes, int]:
        """What is stored."""
        rows = self.till.rows("SELECT card_id, counter FROM card WHERE counter IS NOT NULL")
        return {row["card_id"]: row["counter"] for row in rows}

    def linked(self) -> list[str]:
        """The code of every link."""
        return [str(record["code"]) for record in self.till.records("fc.sale.linked.v1")]


def walk(story: Story, steps: list[tuple[str, int, int]]) -> None:
    """Take every step and look after each."""
    seen: dict[bytes, int] = {}
    for what, number, more in steps:
        links = len(story.linked())
        if what == "tap":
            outcome = story.lay(story.fresh(number, more))
            assert outcome not in ("COUNTER_REPLAYED", "BAD_MAC", "UID_MISMATCH"), outcome
        elif what == "copy" and story.shown[number]:
            old = story.shown[number][-1 - more % len(story.shown[number])]
            reader = READERS[more % 2]
            outcome = story.lay(CardTap(reader, old.uid, old.ndef))
            event(f"a copy: {outcome}")
            assert len(story.linked()) == links, "an old message made a link"
        elif what == "die":
            tap = story.fresh(number, 1)
            try:
                with armed(DEATHS[more], 1):
                    story.lay(tap)
            except SimulatedCrash:
                event(f"died at {DEATHS[more]}")
            story.till.restart(1)
            story.lay(CardTap(tap.reader, tap.uid, tap.ndef))
            codes = story.linked()
            assert len(codes) == len(set(codes)), "one tap, two links"
        elif what == "sale":
            story.till.sale(point=number + 1, volume_ml=5_000) if number == 0 else None
        elif what == "wait":
            story.till.wait(WAITS_S[number])
        else:
            story.tell(number, gone=what == "gone")
        stored = story.counters()
        for index, counter in seen.items():
            assert stored.get(index, -1) >= counter, "a counter went back"
        seen = stored


@settings(max_examples=tries(20), deadline=None)
@given(steps=STEPS)
def test_counters_never_go_back_and_copies_never_link(steps: list[tuple[str, int, int]]) -> None:
    """No order of taps, copies, deaths and news lowers a stored counter, or lets an old message make a link."""
    folder = template.new_folder()
    template.copy_to(folder)
    with quiet_log():
        story = Story(Till(folder, plan=Plan(settle="tender")))
        for number in range(3):
            story.tell(number)
        walk(story, steps)
        findings = verify(story.till.store.path).findings
        story.till.close()
    shutil.rmtree(folder)
    assert findings == ()


def test_a_message_that_nobody_signed_changes_no_counter() -> None:
    """Whatever is in front of the signature, the count of a card moves by true messages alone."""
    folder = template.new_folder()
    template.copy_to(folder)
    with quiet_log():
        story = Story(Till(folder, plan=Plan(settle="tender")))
        story.tell(0)
        link = CHIPS[0].link(9)
        for place in range(link.index("p=") + 2, len(link)):
            changed = link[:place] + ("0" if link[place] != "0" else "1") + link[place + 1 :]
            story.till.clock.now_s += 4
            assert story.lay(CardTap("reader-1", CHIPS[0].uid, link_message(changed))) in (
                "BAD_MAC",
                "MALFORMED",
                "UNKNOWN_CARD",
            )
        assert story.counters() == {}
        assert story.till.rows("SELECT held FROM card WHERE held <> 0") == []
        story.till.close()
    shutil.rmtree(folder)
