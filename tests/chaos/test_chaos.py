"""Whatever happens to PCs, broker and head office, in whatever order: in the end every fact is at head office exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from agent.pipeline import rebirth
from agent.store.rebirth import IncarnationTable
from tests.chaos.pc import CARDS
from tests.chaos.stories import FAILPOINTS, opened, tell
from tests.support.examples import ALL
from tests.support.quiet import quiet_log

SEEDS = range(100) if ALL else range(4)
"""``python -m tests.chaos --seed N`` tells one again, ``--count`` many others."""


@pytest.fixture(autouse=True, scope="module")
def _quiet_log() -> Iterator[None]:
    with quiet_log():
        yield


@pytest.mark.parametrize("seed", SEEDS)
def test_a_story_of_chaos_ends_with_every_fact_once(seed: int) -> None:
    """[W-20] [W-22] [W-24] [W-25] [W-26] [W-31] [W-32] [W-34] Kills at every step, a broker that loses, doubles and
    reorders, backups put back on both sides, clones, moved cables and clock jumps: litres, points and chains are right.
    """
    told = tell(seed)
    assert not told.complaints, f"python -m tests.chaos --seed {seed}\n" + "\n".join(told.complaints)


@pytest.mark.long
def test_the_stories_die_at_every_named_step_and_are_born_again() -> None:
    """A failpoint at which no story dies would prove nothing; and many stories need more than one life."""
    deaths: Counter[str] = Counter()
    lives = 0
    for seed in range(500, 580):
        told = tell(seed)
        deaths.update(told.deaths)
        lives += told.lives
        assert not told.complaints, f"python -m tests.chaos --seed {seed}\n" + "\n".join(told.complaints)
    assert set(FAILPOINTS) <= set(deaths), sorted(set(FAILPOINTS) - set(deaths))
    assert lives > 160


def test_a_copy_that_nobody_recognised_books_exactly_what_head_office_lacks() -> None:
    """[W-24] [W-25] Two PCs with one disk and one hardware sell in turn: the first one's sale lies inside what the copy
    books later, which is put aside, and the litres beside it are sold anew.
    """
    with opened(1) as world:
        world.clone(world.pcs[0].install)
        world.fuel(1, 5_000)
        world.seconds(10)
        world.switch_off(0)
        world.wired = 1
        world.fuel(1, 7_000)
        world.fuel(1, 3_000)
        assert world.complaints() == []
        assert world.litres[1, 1] == 15_000


def test_a_new_disk_without_a_high_water_file_leaves_a_named_gap() -> None:
    """[W-31] Nobody knows that the station had another life: what moved since its first reading is told as an alert."""
    with opened(2) as world:
        world.seconds(10)
        world.kill(0, "disk lost")
        world.pcs[0].lose_database()
        world.pcs[0].settings.store.mark.unlink()
        world.fuel(3, 4_000)
        assert world.complaints() == []


def test_stories_notice_a_rebirth_that_sends_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: facts that head office lacks stay in the ended life, and the checker says which."""
    monkeypatch.setattr(IncarnationTable, "not_acknowledged", lambda *_: iter(()))
    with opened(3) as world:
        world.seconds(10)
        world.broker.up = False
        world.scan(CARDS[0])
        world.fuel(1, 5_000)
        world.seconds(30)
        world.kill(0, "moved")
        world.pcs[0].install = "c" * 32
        found = world.complaints()
    assert any("is lost" in complaint for complaint in found), found


def test_stories_notice_a_copy_that_books_nothing_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: a sale that is put aside for some of its litres takes the others with it."""
    monkeypatch.setattr(rebirth, "overlapped", lambda *_: "")
    with opened(1) as world:
        world.clone(world.pcs[0].install)
        world.fuel(1, 5_000)
        world.seconds(10)
        world.switch_off(0)
        world.wired = 1
        world.fuel(1, 7_000)
        found = world.complaints()
    assert any("pumped 12000 ml" in complaint for complaint in found), found
