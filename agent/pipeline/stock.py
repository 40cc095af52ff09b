"""Stock in the pipeline: what the station knows of each tank, and what a gauge's reading means in it."""

from __future__ import annotations

from agent.domain.wetstock.correction import Reference
from agent.domain.wetstock.stock import Measured, Stock, TankModel, stock_of
from agent.settings import Settings, TankSettings
from drivers.readings import TankReading


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
