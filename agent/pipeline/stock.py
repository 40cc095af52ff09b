"""Stock in the pipeline: what the station knows of each tank, and what a gauge's reading means in it."""

from __future__ import annotations

from agent.domain.wetstock.correction import Reference
from agent.domain.wetstock.stock import Measured, Stock, TankModel, stock_of
from agent.pipeline.step import Step
from agent.settings import Settings, TankSettings
from drivers.readings import TankReading

TABLES = "strapping-tables"
"""The row that remembers which table each tank had, so that a new one is audited once."""


def model_of(settings: Settings, tank: TankSettings) -> TankModel:
    """Return what the station file says of a tank; a density given for the tank counts before that of its grade."""
    grade = settings.grade[tank.grade]
    density = grade.density_kg_m3 if tank.density_kg_m3 is None else tank.density_kg_m3
    return TankModel(
        capacity_ml=tank.capacity_l,
        table=settings.tables.get(tank.id),
        shape=None if tank.shape is None else tank.shape.cylinder(),
        reference=Reference(settings.stock.reference),
        density_g_m3=density,
        assumed_density=tank.density_kg_m3 is None,
        coefficient_ppm=grade.expansion_ppm,
        assume_dry=settings.stock.assume_dry,
    )


def of_reading(settings: Settings, tank: TankSettings, reading: TankReading) -> Stock:
    """Return the stock that a gauge's reading means."""
    told = Measured(
        volume_ml=reading.volume_ml,
        height_um=reading.height_um,
        water_volume_ml=reading.water_volume_ml,
        water_height_um=reading.water_height_um,
        temperature_mdegc=reading.temperature_mdegc,
        console_tc_ml=reading.tc_volume_ml,
    )
    return stock_of(model_of(settings, tank), told)


def tell_tables(step: Step) -> None:
    """Audit each strapping table that differs from the one a tank had before: its volumes begin a new account."""
    now = {f"{tank}": table.sha256 for tank, table in sorted(step.settings.tables.items())}
    before = step.tx.memory.meta(TABLES) or ""
    told = ",".join(f"{tank}:{digest}" for tank, digest in now.items())
    if told == before:
        return
    known = dict(item.split(":") for item in before.split(",") if item)
    for tank in sorted({*known, *now}):
        if known.get(tank) != now.get(tank):
            digest = now.get(tank, "none")
            step.audit("agent", "agent", "strapping_table", f"tank {tank}", reason=f"sha256 {digest}")
    step.tx.memory.set_meta(TABLES, told)
