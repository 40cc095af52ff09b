"""Writes many sales into a new station's database at once, through the real store and journal, without pump or agent.

Knows tables and records; opens no port and needs no time. The agent must not run meanwhile.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from agent.clock import SystemClock
from agent.domain.sale import Sale, SaleKind, Totalizer
from agent.ids import ulid
from agent.pipeline.points import record
from agent.settings import PointSettings, load
from agent.store.journal import Stamp
from agent.store.store import Store, Tx

PRICE_MILLI = 7_850
UNIT_ML = 10
SALES_PER_COMMIT = 500


class Meter:
    """The first nozzle of a point: its total, and what was sold through it."""

    def __init__(self, point: PointSettings) -> None:
        self.point = point
        self.nozzle = point.nozzle[0]
        self.raw = 1_000_000 * point.id
        self.sold = (0, 0)

    def baseline(self, tx: Tx) -> None:
        """The total that the first sale starts from."""
        value = {"fuelling_point": self.point.id, "nozzle": self.nozzle.id, "reason": "first-contact"}
        text = {**value, "totalizer": f"0:{self.raw}", "totalizer_unit_ml": UNIT_ML}
        seq = tx.journal.append("fc.meter.baseline.v1", text).seq
        row = {**value, "seq": seq, "epoch": 0, "raw": self.raw, "unit_ml": UNIT_ML, "made_ms": tx.stamp.wall_ms}
        tx.memory.add_baseline(row)

    def sell(self, tx: Tx, units: int, sale_id: str) -> None:
        """One sale of ``units`` times 10 ml: business row and record."""
        start, self.raw = self.raw, self.raw + units
        self.sold = (self.sold[0] + 1, self.sold[1] + units * UNIT_ML)
        sale = Sale(
            id=sale_id,
            fuelling_point=self.point.id,
            nozzle=self.nozzle.id,
            grade=self.nozzle.grade,
            tank=self.nozzle.tank,
            kind=SaleKind.NORMAL,
            volume_ml=units * UNIT_ML,
            unit_price_milli=PRICE_MILLI,
            amount_minor=(units * UNIT_ML * PRICE_MILLI + 5_000) // 10_000,
            currency="CNY",
            exponent=2,
            totalizer_start=Totalizer(0, start),
            totalizer_end=Totalizer(0, self.raw),
            sub=None,
            counter=None,
            lifted_ms=None,
            ended_ms=tx.stamp.wall_ms,
            business_day="2026-01-01",
            attendant=None,
        )
        written = tx.journal.append("fc.sale.v1", record(sale))
        tx.sales.add(sale, settle_due_ms=None, journal_seq=written.seq)


def write_sales(config: Path, count: int, *, seed: int = 1) -> dict[tuple[int, int], tuple[int, int]]:
    """Write ``count`` unsettled sales; return (sales, volume_ml) per (fuelling point, nozzle). The station must be new."""
    settings = load(config)
    rng = Random(seed)
    meters = [Meter(point) for point in settings.fuelling_point]
    store = Store(settings.store.path, station=settings.station.id, random=rng)
    wall_ms = SystemClock().wall_ms()
    with store.begin(Stamp(wall_ms, 1, "backlog", "ntp")) as tx:
        tx.journal.append("fc.incarnation.v1", {"reason": "new", "parent": None})
        for meter in meters:
            meter.baseline(tx)
    for first in range(0, count, SALES_PER_COMMIT):
        with store.begin(Stamp(wall_ms, 2 + first, "backlog", "ntp")) as tx:
            for number in range(first, min(count, first + SALES_PER_COMMIT)):
                meters[number % len(meters)].sell(tx, rng.randint(100, 5_000), ulid(wall_ms, rng))
    store.close()
    return {(meter.point.id, meter.nozzle.id): meter.sold for meter in meters}
