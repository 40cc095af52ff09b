"""Any order of fuellings, shift changes, crashes and clock jumps: every sale in one shift, every meter to the millilitre.

The real pipeline, drivers and database on virtual wires; pumps are fuelled by hand, shifts change while fuel flows.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections import Counter
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.sale import Totalizer
from agent.store.verify import verify
from tests.support import template
from tests.support.examples import tries
from tests.support.quiet import quiet_log
from tests.support.station import VirtualStation
from tests.support.station_plans import by_hand

STEPS = 12
POINTS = (1, 2)
TRIES = 5
JUMPS_MS = (-(10**12), -3_600_000, 3_600_000, 34_560_000_000)


class Walk:
    """One station and what is known of it from outside."""

    def __init__(self, seed: int) -> None:
        self.roll = Random(seed)
        self.folder = template.new_folder()
        template.copy_to(self.folder)
        self.station = VirtualStation(seed, self.folder, by_hand())
        self.out: dict[int, bool] = dict.fromkeys(POINTS, False)
        self.requests = 0
        self.station.run_for(10)
        self.change()

    def change(self) -> None:
        """One shift ends and the next begins, each asked for twice: the first answer may have been lost."""
        self.requests += 1
        for op in ("shift.close", "shift.open"):
            for _ in range(2):
                self.station.ask(op, role="attendant", request=f"{op}-{self.requests}")

    def fuel(self) -> None:
        """A whole fuelling at a point where nobody fuels."""
        free = [point for point in POINTS if not self.out[point]]
        if free:
            self.lift(point := self.roll.choice(free))
            self.station.flow(point, 10 * self.roll.randint(1, 4_000))
            self.station.hang_up(point)

    def lift(self, point: int) -> None:
        """A customer who is not let go hangs up and lifts again."""
        can_flow = self.station.forecourt.world.heads[point].can_flow
        for _ in range(TRIES):
            self.station.lift(point)
            for _ in range(20):
                if can_flow():
                    return
                self.station.run_for(0.5)
            self.station.hang_up(point)
            self.station.run_for(5)
        raise AssertionError(f"point {point} is never released")

    def begin(self) -> None:
        """A fuelling begins and goes on while other things happen."""
        for point in POINTS:
            if not self.out[point]:
                self.lift(point)
                self.station.flow(point, 10 * self.roll.randint(100, 2_000), seconds=1.0)
                self.out[point] = True
                return
        self.end()

    def end(self) -> None:
        """Somebody hangs up."""
        point = next((p for p in POINTS if self.out[p]), None)
        if point is not None:
            self.station.hang_up(point)
            self.out[point] = False

    def crash(self) -> None:
        """The agent dies and is back after some seconds, in which fuel went on flowing."""
        self.station.crash()
        self.station.restart(self.roll.choice((0.0, 5.0)))
        self.station.run_for(15)

    def jump(self) -> None:
        """The wall clock is set away, or back to where it was."""
        clock = self.station.clock
        clock.offset_ms = 0 if clock.offset_ms else self.roll.choice(JUMPS_MS)

    def idle(self) -> None:
        """Nothing is done for a moment."""
        self.station.run_for(self.roll.choice((0.1, 1.0)))

    def finish(self) -> None:
        """Everybody hangs up, everything is booked, the last shift is closed."""
        for _ in POINTS:
            self.end()
        self.station.run_for(20)
        self.station.ask("shift.close", request="last")


def judge(walk: Walk) -> None:
    """Shifts follow each other without a gap; their sums are those of the sales; each equation holds to the ml."""
    shifts = walk.station.rows("SELECT * FROM shift WHERE closed_ms IS NOT NULL ORDER BY number")
    reports: list[dict[str, Any]] = [json.loads(row["report"]) for row in shifts]
    for before, after in itertools.pairwise(shifts):
        assert (after["from_ms"], after["open_marks"]) == (before["closed_ms"], before["close_marks"])
    sold: Counter[tuple[int, int]] = Counter()
    moved: Counter[tuple[int, int]] = Counter()
    for report in reports:
        for nozzle in report["nozzles"]:
            key = (nozzle["fuelling_point"], nozzle["nozzle"])
            assert nozzle["moved_ml"] == nozzle["sold_ml"] + nozzle["unexplained_ml"]
            sold[key] += nozzle["sold_ml"]
            moved[key] += nozzle["moved_ml"]
    sales = walk.station.sales()
    booked: Counter[tuple[int, int]] = Counter()
    for sale in sales:
        booked[sale["fuelling_point"], sale["nozzle"]] += sale["volume_ml"]
    assert +sold == +booked
    assert sum(report["totals"]["sales"] for report in reports) == len(sales)
    assert sum(report["totals"]["gross_minor"] for report in reports) == sum(sale["amount_minor"] for sale in sales)
    first, last = json.loads(shifts[0]["open_marks"]), json.loads(shifts[-1]["close_marks"])
    for start, end in zip(first, last, strict=True):
        units = Totalizer.parse(end["totalizer"]).raw - Totalizer.parse(start["totalizer"]).raw
        assert moved[start["fuelling_point"], start["nozzle"]] == units * start["unit_ml"]
    assert verify(walk.station.settings.store.path).findings == ()


@settings(max_examples=tries(15), deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_sale_is_in_one_shift_and_every_meter_is_accounted_for(seed: int) -> None:
    """Sums over shifts are sums over sales, per nozzle to the millilitre, whatever happens in which order."""
    with quiet_log():
        walk = Walk(seed)
        acts = (walk.fuel, walk.fuel, walk.begin, walk.end, walk.change, walk.change, walk.crash, walk.jump, walk.idle)
        for _ in range(STEPS):
            walk.roll.choice(acts)()
        walk.finish()
        judge(walk)
        walk.station.close()
    shutil.rmtree(walk.folder)
