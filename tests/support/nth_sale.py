"""The n-th sale of one nozzle, for tests and benches that write sales without a station. Knows no database."""

from __future__ import annotations

from random import Random

from agent.domain.sale import Sale, SaleKind, Totalizer
from agent.ids import ulid

UNITS_PER_SALE = 2_000
"""20 litres in the totalizer's units of 10 ml."""


def nth_sale(number: int, random: Random, *, start_ms: int, business_day: str) -> Sale:
    """One sale a minute from ``start_ms`` on; each starts at the total where the one before ended."""
    ended_ms = start_ms + number * 60_000
    return Sale(
        id=ulid(ended_ms, random),
        fuelling_point=1,
        nozzle=1,
        grade="92",
        tank=1,
        kind=SaleKind.NORMAL,
        volume_ml=20_000,
        unit_price_milli=7_850,
        amount_minor=15_700,
        currency="CNY",
        exponent=2,
        totalizer_start=Totalizer(0, number * UNITS_PER_SALE),
        totalizer_end=Totalizer(0, (number + 1) * UNITS_PER_SALE),
        sub=None,
        counter=None,
        lifted_ms=ended_ms - 50_000,
        ended_ms=ended_ms,
        business_day=business_day,
        attendant=None,
    )
