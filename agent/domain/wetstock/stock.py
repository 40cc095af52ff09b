"""What is in a tank: which volume counts, without its water, the room left, and the same at a reference temperature.

Pure. Unknown stays unknown: where the water is not known, the net volume is not, unless the station says that its tanks
are dry. A console's compensated volume and ours are never mixed: each result names its method.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.domain.wetstock import correction
from agent.domain.wetstock.correction import Method, Reference
from agent.domain.wetstock.geometry import LyingCylinder
from agent.domain.wetstock.strapping import Table

SAFE_SHARE = (95, 100)  # of the capacity: what a tank is filled to
REFERENCE_MDEGC = {Reference.C15: 15_000, Reference.C20: 20_000, Reference.F60: 15_556}


class Origin(StrEnum):
    """Where the volume came from, best first."""

    GAUGE = "gauge"
    TABLE = "table"
    GEOMETRY = "geometry"


@dataclass(frozen=True, slots=True)
class TankModel:
    """What the station knows of a tank. ``density_g_m3`` is at the reference temperature.

    ``assumed_density``: it is only the usual one of the grade. ``coefficient_ppm``: millionths per degree Celsius, used
    where there is no density.
    """

    capacity_ml: int
    table: Table | None = None
    shape: LyingCylinder | None = None
    reference: Reference = Reference.C15
    density_g_m3: int | None = None
    assumed_density: bool = False
    coefficient_ppm: int | None = None
    assume_dry: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """What a gauge tells, in ml, micrometres and thousandths of a degree; ``None`` = not told."""

    volume_ml: int | None = None
    height_um: int | None = None
    water_volume_ml: int | None = None
    water_height_um: int | None = None
    temperature_mdegc: int | None = None
    volume_includes_water: bool = True
    console_tc_ml: int | None = None


@dataclass(frozen=True, slots=True)
class Stock:
    """The contents of one tank: ``gross_ml`` with water, ``net_ml`` product alone, ``reference_ml`` at the reference.

    ``factor`` in 1/100,000, ``None`` for the linear method. ``flags``: stable words such as ``water_unknown``.
    """

    gross_ml: int | None
    net_ml: int | None
    water_ml: int | None
    ullage_ml: int | None
    safe_ullage_ml: int | None
    reference_ml: int | None
    origin: Origin | None
    volume_method: str
    tc_method: Method | None
    factor: int | None
    flags: tuple[str, ...]


def stock_of(model: TankModel, told: Measured) -> Stock:
    """The stock that ``told`` means in a tank of that kind."""
    flags: list[str] = []
    volume, origin, method = _volume(model, told, flags)
    water = _water(model, told, flags)
    gross, net = _gross_and_net(volume, water, includes=origin is not Origin.GAUGE or told.volume_includes_water)
    if volume is not None and net is None:
        flags.append("water_unknown")
        if model.assume_dry:
            net = volume
            flags.append("assumed_dry")
    reference_ml, tc_method, factor = _at_reference(model, net, told.temperature_mdegc, flags)
    shares, whole = SAFE_SHARE
    return Stock(
        gross_ml=gross,
        net_ml=net,
        water_ml=water,
        ullage_ml=None if gross is None else max(0, model.capacity_ml - gross),
        safe_ullage_ml=None if gross is None else max(0, model.capacity_ml * shares // whole - gross),
        reference_ml=reference_ml,
        origin=origin,
        volume_method=method,
        tc_method=tc_method,
        factor=factor,
        flags=tuple(dict.fromkeys(flags)),
    )


def _volume(model: TankModel, told: Measured, flags: list[str]) -> tuple[int | None, Origin | None, str]:
    """The gauge's own volume, else the table's for its height, else the shape's."""
    if told.volume_ml is not None:
        return told.volume_ml, Origin.GAUGE, Origin.GAUGE
    if told.height_um is None:
        return None, None, ""
    if model.table is not None:
        looked = model.table.volume_ml(told.height_um)
        flags += [looked.flag] if looked.flag else []
        return looked.value, Origin.TABLE, model.table.method
    if model.shape is not None:
        outside = not 0 <= told.height_um <= model.shape.diameter_um
        flags += ["estimated", *(["outside_tank"] if outside else [])]
        return model.shape.volume_ml(told.height_um), Origin.GEOMETRY, f"cylinder-{model.shape.ends}"
    flags.append("no_table")
    return None, None, ""


def _water(model: TankModel, told: Measured, flags: list[str]) -> int | None:
    """The gauge's own, else what stands below the height of the water."""
    if told.water_volume_ml is not None or told.water_height_um is None:
        return told.water_volume_ml
    if told.water_height_um == 0:
        return 0
    if model.table is not None:
        looked = model.table.volume_ml(told.water_height_um)
        flags += [f"water_{looked.flag}"] if looked.flag else []
        return looked.value
    if model.shape is not None:
        flags.append("water_estimated")
        return model.shape.volume_ml(told.water_height_um)
    return None


def _gross_and_net(volume: int | None, water: int | None, *, includes: bool) -> tuple[int | None, int | None]:
    """With and without water. A volume without water that comes without the water's own is net and no gross."""
    if volume is None:
        return None, None
    if includes:
        return volume, None if water is None else max(0, volume - water)
    return (None if water is None else volume + water), volume


def _at_reference(
    model: TankModel, net: int | None, temperature: int | None, flags: list[str]
) -> tuple[int | None, Method | None, int | None]:
    if net is None or temperature is None:
        return None, None, None
    if model.density_g_m3 is not None:
        factor = correction.factor(model.reference, model.density_g_m3, temperature)
        if factor is None:
            flags.append("outside_tables")
            return None, None, None
        if model.assumed_density:
            flags.append("density_assumed")
        methods = {Reference.C15: Method.B54, Reference.C20: Method.BASE20, Reference.F60: Method.B6}
        return correction.apply(net, factor), methods[model.reference], factor
    if model.coefficient_ppm is not None:
        return (
            correction.linear(net, temperature, model.coefficient_ppm, REFERENCE_MDEGC[model.reference]),
            Method.LINEAR,
            None,
        )
    return None, None, None
