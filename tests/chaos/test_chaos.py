"""Whatever happens to PCs, broker and head office, in whatever order: in the end every fact is at head office exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from agent.pipeline import rebirth
from agent.store.rebirth import IncarnationTable
from headoffice.store import balances, facts, overlaps, pools
from headoffice.store.database import Database
from tests.chaos import pc
from tests.chaos.office import OfficeServer
from tests.chaos.pc import CARDS
from tests.chaos.stories import FAILPOINTS, opened, tell
from tests.chaos.world import World
from tests.support.examples import ALL
from tests.support.postgres import Postgres
from tests.support.quiet import quiet_log

SEEDS = range(100) if ALL else range(3)
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


@pytest.fixture
def server_store(postgres: Postgres, postgres_url: str) -> Iterator[OfficeServer]:
    """Head office's database on a server, with room for backups of it."""
    store = OfficeServer(postgres, postgres_url)
    yield store
    store.forget()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(12))
def test_a_story_ends_as_well_where_head_office_has_postgresql(seed: int, server_store: OfficeServer) -> None:
    """[W-20] [W-27] [W-34] The same stories with head office on a server, which is put back from its backups as well."""
    told = tell(seed, store=server_store)
    assert not told.complaints, "\n".join(told.complaints)


@pytest.mark.long
@pytest.mark.parametrize("name", FAILPOINTS)
def test_death_at_every_named_step_of_a_whole_life_changes_nothing(name: str) -> None:
    """[W-03] [W-20] [W-31] Whoever links, sells, settles, sends, takes or is born again dies there once: every fact once."""
    with opened(7) as world:
        world.arm(name, 1)
        for install in ("a" * 32, "c" * 32):
            world.pcs[0].install = install
            world.scan(CARDS[0])
            world.fuel(1, 5_000)
            world.seconds(40)
            world.kill(0, "moved to other hardware")
        world.seconds(30)
        assert name in world.deaths
        assert world.complaints() == []


def _two_pcs_sell_in_turn(world: World) -> None:
    """Two PCs with one disk and one hardware: the copy is heard first, so the first one is born again and tells its sale;
    then the copy, which nobody recognised, books all litres since the copy was made as one sale.
    """
    world.clone(world.pcs[0].install)
    world.broker.up = False
    world.fuel(1, 5_000)
    world.seconds(10)
    world.switch_off(0)
    world.broker.up = True
    world.seconds(10)
    world.switch_off(1)
    world.switch_on(0)
    world.seconds(40)
    world.switch_off(0)
    world.wired = 1
    world.fuel(1, 7_000)
    world.pump.queue.clear()  # a power cut: only the meter knows
    world.switch_on(1)
    world.seconds(10)
    world.fuel(1, 3_000)


def test_a_copy_that_nobody_recognised_books_exactly_what_head_office_lacks() -> None:
    """[W-24] [W-25] A sale that is put aside for some of its litres: the others are sold anew, and no litre twice."""
    with opened(1) as world:
        _two_pcs_sell_in_turn(world)
        assert world.complaints() == []
        assert world.litres[1, 1] == 15_000
        assert world.pcs[1].rows("SELECT 1 FROM superseded")


def test_an_old_copy_and_a_life_on_an_empty_disk_share_their_litres() -> None:
    """[W-24] [W-32] The empty database counts on in the epoch that the high-water file has, so that what it sold and what
    an old copy with an old file finds on the meter later are compared with each other.
    """
    with opened(4) as world:
        world.seconds(10)
        world.pcs[0].copy_to(world.folder / "old")
        world.fuel(1, 2_000)
        world.seconds(10)
        world.broker.up = False
        world.kill(0, "disk lost")
        world.pcs[0].lose_database()
        world.seconds(5)
        world.fuel(1, 4_000)
        world.broker.up = True
        world.seconds(40)
        world.broker.up = False
        world.kill(0, "restored")
        world.pcs[0].put_back(world.folder / "old", mark="old")
        world.fuel(1, 1_000)
        world.seconds(10)
        assert world.complaints() == []
        assert world.litres[1, 1] == 7_000


def test_a_life_that_head_office_has_forgotten_as_a_whole_comes_again_in_the_next() -> None:
    """[W-34] It began, was acknowledged and ended after the copy to which head office was put back: its sales come again,
    in the chain that runs now; the record that only begins the ended chain does not.
    """
    with opened(10) as world:
        world.seconds(10)
        world.back_up_office()
        for litres in (2_000, 3_000):
            world.kill(0, "moved")
            world.pcs[0].install = f"{litres:032x}"
            world.seconds(10)
            world.fuel(1, litres)
            world.seconds(40)
        world.restore_office(1)
        assert world.complaints() == []
        assert world.litres[1, 1] == 5_000


def _earns_with_an_old_copy(world: World) -> None:
    """A member earns and head office hears it; then an old copy nobody recognised books the sale anew by the display of
    the pump, and the member shows the card again.
    """
    world.seconds(10)
    world.pcs[0].copy_to(world.folder / "old")
    world.scan(CARDS[0])
    world.fuel(1, 5_000)
    world.seconds(40)
    world.broker.up = False
    world.kill(0, "restored")
    world.pcs[0].put_back(world.folder / "old", mark="old")
    world.seconds(6)
    world.scan(CARDS[0])
    world.seconds(40)


@pytest.mark.parametrize("on_a_server", [False, pytest.param(True, marks=pytest.mark.long)])
def test_litres_that_an_old_copy_books_anew_earn_once(on_a_server: bool, request: pytest.FixtureRequest) -> None:
    """[W-24] [W-44] The second payment stays as a fact, what it earned counts in no balance, and an alert says so."""
    with opened(6, request.getfixturevalue("server_store") if on_a_server else None) as world:
        _earns_with_an_old_copy(world)
        assert world.complaints() == []
        with closing(Database(world.office)) as database, database.read() as connection:
            earned = connection.exec_driver_sql("SELECT sale, points_earned FROM settlement").all()
            (member,) = connection.exec_driver_sql(
                "SELECT DISTINCT member FROM posting WHERE member IS NOT NULL"
            ).scalars()
            alerts = connection.exec_driver_sql("SELECT alert FROM own_alert").scalars().all()
            assert len(earned) == 2
            assert pools.figures(connection, pools.POINTS, member).balance == earned[0].points_earned > 0
            assert sum(lot.points for lot in balances.standing(connection, member).lots) == earned[0].points_earned
            assert "points_annulled" in alerts


def test_stories_notice_points_that_are_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: head office lets both sales earn for the same litres."""
    monkeypatch.setattr(overlaps, "judge", lambda *_: None)
    with opened(6) as world:
        _earns_with_an_old_copy(world)
        found = world.complaints()
    assert any("which have the same litres" in complaint for complaint in found), found


def test_a_new_disk_without_a_high_water_file_leaves_a_named_gap() -> None:
    """[W-31] Nobody knows that the station had another life: what moved since its first reading is told as an alert."""
    with opened(2) as world:
        world.seconds(10)
        world.kill(0, "disk lost")
        world.pcs[0].lose_database()
        world.pcs[0].settings.store.mark.unlink()
        world.fuel(3, 4_000)
        assert world.complaints() == []


def _both_lose_a_sale(world: World) -> None:
    """Head office is put back to before a sale, and the disk of the station that sold it was lost as well."""
    world.seconds(10)
    world.back_up_office()
    world.fuel(1, 5_000)
    world.seconds(40)
    world.kill(0, "disk lost")
    world.pcs[0].lose_database()
    world.seconds(40)
    world.restore_office(1)
    world.fuel(1, 3_000)


def test_litres_that_both_have_lost_are_named() -> None:
    """[W-34] Nobody can send the sale again: head office says between which counts litres are in no sale."""
    with opened(8) as world:
        _both_lose_a_sale(world)
        assert world.complaints() == []
        with closing(Database(world.office)) as database, database.read() as connection:
            alerts = connection.exec_driver_sql("SELECT detail FROM own_alert WHERE alert = 'litres_unknown'").scalars()
            assert [detail.partition(" was ")[0] for detail in alerts] == ["0:500 to 0:1000 (up to 5000 ml)"]


@pytest.mark.long
def test_stories_notice_litres_that_nobody_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: head office believes that it has what it told once."""
    monkeypatch.setattr(facts, "_check_known", lambda *_: None)
    with opened(8) as world:
        _both_lose_a_sale(world)
        found = world.complaints()
    assert any("pumped 8000 ml, sold 3000 ml" in complaint for complaint in found), found


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
        _two_pcs_sell_in_turn(world)
        found = world.complaints()
    assert any("pumped 15000 ml" in complaint for complaint in found), found


def _dies_with_unpersisted_acks(world: World) -> None:
    """A backlog drains by short batches, and the agent is killed between acks that it received and their commit."""
    world.kill(0, "starts with short batches")
    world.seconds(10)
    world.broker.up = False
    for _ in range(10):
        world.fuel(1, 2_000)
    world.broker.up = True
    link = world.pcs[0].link
    for _ in range(60):
        if link is None or link.has_unpersisted:
            break
        world.seconds(1)
    world.kill(0, "killed")


@pytest.mark.parametrize("then", ["the same disk", "other hardware", "head office put back"])
def test_acks_that_were_received_and_not_persisted_cost_nothing(then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """[W-03] [W-20] [W-32] [W-34] A kill forgets them: what head office has is sent again, in the same life or the next."""
    monkeypatch.setattr(pc, "BATCHES", (1,))
    with opened(9) as world:
        world.back_up_office()
        _dies_with_unpersisted_acks(world)
        assert world.pcs[0].forgotten == 1
        assert world.complaints_so_far() == []
        if then == "other hardware":
            world.pcs[0].install = "c" * 32
        elif then == "head office put back":
            world.restore_office(1)
        assert world.complaints() == []
