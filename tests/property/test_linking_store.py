"""Linking with the database under it: whoever scans, claims and corrects, and wherever the process dies, every sale is
stored, has one active link at most, and its points sum to what a direct link would have given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.failpoints import SimulatedCrash, armed
from agent.pipeline import scanning
from tests.support.examples import tries
from tests.support.head_office_says import INDEX_KEY
from tests.support.island import FIXED, ISLAND_2, M1, M2, ROAMING, Island, open_island

DIES_AT = ("link.before_commit", "store.inside_commit", "link.after_commit")
MEMBERS = st.sampled_from((M1, M2))
ACTIONS = st.one_of(
    st.tuples(st.just("scan"), MEMBERS, st.sampled_from((FIXED, ISLAND_2, ROAMING))),
    st.tuples(st.just("again"), st.none(), st.sampled_from((FIXED, ISLAND_2, ROAMING))),
    st.tuples(st.just("fuel"), st.none(), st.sampled_from(("1", "2", "3"))),
    st.tuples(st.just("aimed"), MEMBERS, st.sampled_from(("H07", "H08"))),
    st.tuples(st.just("claim"), st.none(), st.sampled_from(("H07", "H08"))),
    st.tuples(st.just("change"), MEMBERS, st.sampled_from(("H07", "cli"))),
    st.tuples(st.just("settle"), st.none(), st.just("")),
    st.tuples(st.just("cancel"), st.none(), st.just(ROAMING)),
)
STEPS = st.lists(
    st.tuples(ACTIONS, st.sampled_from((1, 15, 100)), st.none() | st.sampled_from(DIES_AT)), min_size=4, max_size=14
)


class Story:
    """Plays a script at a till; the process dies where the script says, and the same thing is done once more."""

    def __init__(self, island: Island) -> None:
        self.island = island
        self.sales: list[str] = []
        self.code = island.fresh(M1)

    def play(self, action: tuple[str, str | None, str], dies_at: str | None) -> None:
        """One action, which may kill the process that does it."""
        act = self._act(*action)
        if dies_at is None:
            act()
            return
        meters = dict(self.island.meters)
        try:
            with armed(dies_at, 1):
                act()
        except SimulatedCrash:
            self.island.restart(1)
            if action[0] == "fuel" and self._is_booked(int(action[2]), meters):
                return
            self.island.meters = meters
            act()

    def _is_booked(self, point: int, meters: dict[int, int]) -> bool:
        """Whether the fuelling that was under way when the process died is a sale: the pump would not tell it again."""
        start = meters.get(point, 1_000)
        rows = self.island.rows(f"SELECT id FROM sale WHERE fuelling_point = {point} AND start_raw = {start}")
        self.sales += [row["id"] for row in rows]
        return bool(rows)

    def _act(self, word: str, member: str | None, where: str) -> Callable[[], object]:
        island, sale = self.island, self.sales[-1] if self.sales else None
        if word == "fuel":
            return lambda: self.sales.append(island.fuel(point=int(where)))
        if word == "cancel":
            return lambda: island.scan("CANCEL", where)
        if word == "scan" and member is not None:
            self.code = island.fresh(member)
        if word in ("scan", "again"):
            code = self.code
            return lambda: island.scan(code, where)
        if sale is None:
            return lambda: None
        if word == "settle":
            return lambda: island.settle(sale)
        if word == "claim":
            return lambda: island.do(lambda step: scanning.claim(step, sale, where, "A1"))
        code = island.fresh(member or M1)
        if word == "change":
            return lambda: island.ask("sales.link", sale=sale, code=code, reason="receipt 1")
        scan_id = island.do(lambda step: step.new_id())
        scan = scanning.TerminalScan(scan_id, where, "A1", code, sale=sale)
        return lambda: island.do(lambda step: scanning.from_terminal(step, scan, INDEX_KEY))


@settings(max_examples=tries(15), deadline=None)
@given(STEPS)
def test_links_of_the_database_hold_whatever_happens(
    steps: list[tuple[tuple[str, str | None, str], int, str | None]],
) -> None:
    """Every fuelling is a sale, every sale has at most one member, and points are those of its member alone."""
    for island in open_island():
        story = Story(island)
        for action, wait_s, dies_at in steps:
            story.play(action, dies_at)
            island.wait(wait_s)
        assert {row["id"] for row in island.rows("SELECT id FROM sale")} >= set(story.sales)
        active = Counter(row["sale"] for row in island.rows("SELECT sale FROM link WHERE active = 1"))
        assert set(active.values()) <= {1}
        on_desk = {key: sale.link.who.member for key, sale in island.pipeline._memory.desk.sales.items() if sale.link}
        for sale in story.sales:
            holder = [member for member, _ in island.holder(sale)]
            assert holder == ([on_desk[sale]] if sale in on_desk else holder)
            points = island.rows(
                "SELECT m.id, sum(p.points) AS points FROM posting p JOIN member m ON m.ref = p.member_ref"
                f" WHERE p.sale = '{sale}' GROUP BY 1 HAVING sum(p.points) <> 0"
            )
            settled = island.rows(f"SELECT 1 FROM settlement WHERE sale = '{sale}'")
            direct = [(holder[0], 157)] if holder and settled else []
            assert [(row["id"], row["points"]) for row in points] == direct
