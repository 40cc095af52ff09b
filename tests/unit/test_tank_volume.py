"""From a height to litres at a reference temperature: every worked example, and what each number is allowed to claim."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.domain.wetstock import correction, strapping
from agent.domain.wetstock.correction import Method, Reference
from agent.domain.wetstock.geometry import Ends, LyingCylinder
from agent.domain.wetstock.stock import Measured, Origin, Stock, TankModel, stock_of

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "tank_volume.json").read_text(encoding="utf-8"))[
    "vectors"
]
KINDS = {
    "geometry",
    "strapping",
    "strapping-load",
    "chart",
    "vcf54b",
    "vcf6b",
    "vcf20",
    "density15",
    "apply",
    "linear_tc",
    "net_stock",
}


def of(kind: str) -> list[Any]:
    """The worked examples of one kind."""
    return [pytest.param(vector["inputs"], vector, id=vector["name"]) for vector in VECTORS if vector["kind"] == kind]


def five(factor: int | None) -> str:
    """A factor as the tables print it."""
    assert factor is not None
    return f"{factor / 100_000:.5f}"


def test_no_kind_of_example_is_left_out() -> None:
    """Every kind has its test below."""
    assert {vector["kind"] for vector in VECTORS} == KINDS


def cylinder(inputs: dict[str, Any]) -> LyingCylinder:
    """The tank of an example."""
    depth = 1000 * inputs.get("head_depth_mm", 0)
    return LyingCylinder(1000 * inputs["diameter_mm"], 1000 * inputs["length_mm"], Ends(inputs["shape"]), depth)


@pytest.mark.parametrize(("inputs", "vector"), of("geometry"))
def test_lying_cylinders(inputs: dict[str, Any], vector: dict[str, Any]) -> None:
    """Flat, ellipsoidal and dished ends, half full and full."""
    tank = cylinder(inputs)
    assert tank.problem() == ""
    told = tank.volume_ml(1000 * inputs["height_mm"])
    assert abs(told / 1000 - vector["expect"]["volume_l"]) <= vector["tolerance_l"]


def table_of(points: list[list[int]]) -> strapping.Table:
    """A table of the points of an example."""
    return strapping.Table(tuple((height, volume) for height, volume in points), strapping.Method.TABLE, "")


@pytest.mark.parametrize(("inputs", "vector"), of("strapping"))
def test_tables_are_linear_between_points_and_clamped_outside(inputs: dict[str, Any], vector: dict[str, Any]) -> None:
    """On a point, between two, at the bottom, and above the top with a flag."""
    looked = table_of(inputs["table_um_ml"]).volume_ml(inputs["height_um"])
    assert (looked.value, looked.flag) == (vector["expect"]["volume_ml"], vector["expect"].get("flag", ""))


@pytest.mark.parametrize(("inputs", "vector"), of("strapping-load"))
def test_an_unfit_table_is_refused(inputs: dict[str, Any], vector: dict[str, Any]) -> None:
    """The published reason, at the line that has it."""
    points = [(height, volume) for height, volume in inputs["table_um_ml"]]
    found = strapping.problems_of(points, range(1, len(points) + 1), None)
    assert [(problem.line, problem.text) for problem in found] == [(3, vector["expect"]["error"])]


@pytest.mark.parametrize(("inputs", "vector"), of("chart"))
def test_coarse_charts_follow_the_shape_of_the_tank(inputs: dict[str, Any], vector: dict[str, Any]) -> None:
    """Between 20 points the litres are those of the cylinder, not of straight lines."""
    points = [(round(1000 * height), round(1000 * volume)) for height, volume in inputs["points_mm_l"]]
    assert strapping.is_coarse(points)
    table, problems = strapping.from_chart(points, 1000 * inputs["diameter_mm"])
    assert problems == []
    assert table is not None
    assert table.method is strapping.Method.SHAPE
    told = table.volume_ml(1000 * inputs["height_mm"]).value
    assert abs(told / 1000 - vector["expect"]["volume_l"]) <= vector["tolerance_l"]


@pytest.mark.parametrize(("inputs", "vector"), of("vcf54b"))
def test_table_54b(inputs: dict[str, Any], vector: dict[str, Any]) -> None:
    """Base 15 C, the band chosen by the density."""
    told = correction.factor(Reference.C15, 1000 * inputs["density_15"], 1000 * inputs["temperature_c"])
    assert five(told) == vector["expect"]["vcf"]


@pytest.mark.parametrize(("inputs", "vector"), of("vcf6b"))
def test_table_6b(inputs: dict[str, Any], vector: dict[str, Any]) -> None:
    """Base 60 F; 90 F are 32.222 C to the thousandth."""
    celsius = round((inputs["temperature_f"] - 32) * 5 / 9 * 1000)
    assert five(correction.factor(Reference.F60, 1000 * inputs["density_60f"], celsius)) == vector["expect"]["vcf"]


@pytest.mark.parametrize(("inputs", "vector"), of("vcf20"))
def test_base_20(inputs: dict[str, Any], vector: dict[str, Any]) -> None:
    """From the density at 20 C, rounded once."""
    told = correction.factor(Reference.C20, 1000 * inputs["density_20"], 1000 * inputs["temperature_c"])
    assert five(told) == vector["expect"]["vcf"]


@pytest.mark.parametrize(("inputs", "vector"), of("density15"))
def test_table_53b(inputs: dict[str, Any], vector: dict[str, Any]) -> None:
    """The density at 15 C of what was measured warmer."""
    told = correction.density_15_g_m3(1000 * inputs["observed_density"], 1000 * inputs["temperature_c"])
    assert told is not None
    assert f"{told / 1000:.3f}" == vector["expect"]["density_15"]


@pytest.mark.parametrize(("inputs", "vector"), of("apply"))
def test_a_factor_is_applied_in_integers(inputs: dict[str, Any], vector: dict[str, Any]) -> None:
    """Rounded once, half to even."""
    factor = int(inputs["vcf"].replace(".", ""))
    assert correction.apply(inputs["volume_ml"], factor) == vector["expect"]["volume_ref_ml"]


@pytest.mark.parametrize(("inputs", "vector"), of("linear_tc"))
def test_the_linear_form_of_consoles(inputs: dict[str, Any], vector: dict[str, Any]) -> None:
    """In the console's own unit and degree; it cuts what it shows."""
    told = correction.linear(
        1000 * inputs["volume"],
        round(1000 * inputs["temperature"]),
        round(10**6 * inputs["coefficient"]),
        1000 * inputs["reference"],
    )
    assert f"{told / 1000:.2f}" == vector["expect"]["tc_volume"]
    assert told // 1000 == vector["expect"]["console_shows"]


@pytest.mark.parametrize(("inputs", "vector"), of("net_stock"))
def test_net_stock_is_without_water_or_unknown(inputs: dict[str, Any], vector: dict[str, Any]) -> None:
    """Water known: taken off. Unknown: so is the net volume; it is never the gross one."""
    water = inputs["water_volume"]
    told = stock_of(
        TankModel(1000 * inputs["full_volume"]),
        Measured(
            volume_ml=1000 * inputs["volume"],
            water_volume_ml=None if water is None else 1000 * water,
            volume_includes_water=inputs["volume_includes_water"],
        ),
    )
    expect = vector["expect"]
    assert told.net_ml == (None if expect["net_volume"] is None else 1000 * expect["net_volume"])
    if "ullage" in expect:
        assert told.ullage_ml == 1000 * expect["ullage"]
    else:
        assert (told.gross_ml, told.flags) == (1000 * expect["gross_volume"], (expect["flag"],))


def test_a_file_tells_all_its_faults_with_their_lines() -> None:
    """Words, a falling volume, a repeated height, and a last volume that is not the tank's; nothing is loaded."""
    text = "height_mm;volume_l\n0;0\n100,5;380\nabout 200;1060\n200;1060\n200;1100\n300;900\n# end\n"
    table, problems = strapping.read_csv(text, capacity_ml=3_000_000)
    assert table is None
    assert [(problem.line, problem.text.split()[0]) for problem in problems] == [
        (4, "'about"),
        (6, "heights"),
        (7, "volumes"),
        (7, "the"),
    ]


def test_a_typing_error_of_one_volume_is_found() -> None:
    """A digit too many makes one step dwarf its neighbours."""
    rows = [f"{height};{height * 10 + (5_000 if height >= 50 else 0)}" for height in range(0, 100, 10)]
    _, problems = strapping.read_csv("\n".join(rows))
    assert problems[0].line == 6
    assert "five times" in problems[0].text


def test_a_good_file_is_read_with_either_decimal_sign() -> None:
    """Comma and point, a line of words first; the hash is that of the file."""
    table, problems = strapping.read_csv("Höhe mm;Volumen L\n0;0\n10,5;12.25\n20.5;30,5\n", 30_500)
    assert problems == []
    assert table is not None
    assert table.points == ((0, 0), (10_500, 12_250), (20_500, 30_500))
    assert len(table.sha256) == 64
    assert table.height_um(12_250).value == 10_500


def test_the_height_of_a_volume_leaves_flat_parts_out() -> None:
    """Where heights share a volume the lowest counts; a volume above lies on the rising part alone."""
    table = table_of([[0, 0], [1_000, 0], [13_000, 44_000]])
    assert table.height_um(0).value == 0
    assert table.height_um(11_000).value == 4_000
    assert (table.height_um(44_001).flag, table.height_um(-1).flag) == ("above_table", "below_table")


TANK = LyingCylinder(2_400_000, 6_000_000)
PETROL = TankModel(27_143_360, shape=TANK, density_g_m3=745_000)


def stock(model: TankModel, **told: Any) -> Stock:
    """The stock of what a gauge tells."""
    return stock_of(model, Measured(**told))


def test_the_gauges_own_volume_counts_before_any_table() -> None:
    """It has the certified chart; the height is then only shown."""
    table, _ = strapping.read_csv("0;0\n1000;9000\n2000;20000")
    told = stock(TankModel(20_000_000, table=table), volume_ml=5_000_000, height_um=1_000_000, water_height_um=0)
    assert (told.net_ml, told.origin) == (5_000_000, Origin.GAUGE)


def test_a_height_alone_is_looked_up_with_its_water() -> None:
    """Total minus water, both from the table; the way it was done stands beside it."""
    table, _ = strapping.read_csv("0;0\n1000;9000\n2000;20000")
    told = stock(TankModel(20_000_000, table=table), height_um=1_500_000, water_height_um=100_000)
    assert (told.gross_ml, told.water_ml, told.net_ml) == (14_500_000, 900_000, 13_600_000)
    assert (told.origin, told.volume_method, told.flags) == (Origin.TABLE, "table", ())


def test_without_a_table_the_shape_is_an_estimate() -> None:
    """It says so; without either there is no volume at all."""
    told = stock(PETROL, height_um=1_200_000, water_height_um=0, temperature_mdegc=25_000)
    assert (told.net_ml, told.flags) == (13_571_680, ("estimated",))
    assert (told.tc_method, told.factor) == (Method.B54, 98_783)
    assert told.reference_ml == 13_406_513
    none = stock(TankModel(1_000_000), height_um=1_200_000)
    assert (none.gross_ml, none.net_ml, none.flags) == (None, None, ("no_table",))


def test_water_that_nobody_tells_makes_net_unknown_unless_tanks_are_said_to_be_dry() -> None:
    """Gross is shown; a dry tank is an assumption and is named as one."""
    wet = stock(PETROL, volume_ml=1_000_000)
    assert (wet.gross_ml, wet.net_ml, wet.reference_ml, wet.flags) == (1_000_000, None, None, ("water_unknown",))
    dry = stock(TankModel(27_143_360, assume_dry=True), volume_ml=1_000_000)
    assert (dry.net_ml, dry.flags) == (1_000_000, ("water_unknown", "assumed_dry"))


def test_a_volume_without_water_is_net_and_the_room_left_needs_the_water() -> None:
    """A gauge that leaves the water out: gross is known only with the water's own volume."""
    told = stock(PETROL, volume_ml=1_000_000, volume_includes_water=False)
    assert (told.net_ml, told.gross_ml, told.ullage_ml, told.flags) == (1_000_000, None, None, ())
    both = stock(PETROL, volume_ml=1_000_000, water_volume_ml=50_000, volume_includes_water=False)
    assert (both.net_ml, both.gross_ml) == (1_000_000, 1_050_000)


def test_nothing_is_corrected_without_a_temperature_or_outside_the_tables() -> None:
    """No factor is better than a wrong one; a coefficient serves where there is no density."""
    told = stock(PETROL, volume_ml=1_000_000, water_height_um=0)
    assert told.reference_ml is None
    hot = stock(PETROL, volume_ml=1_000_000, water_height_um=0, temperature_mdegc=61_000)
    assert (hot.reference_ml, hot.flags) == (None, ("outside_tables",))
    plain = stock(
        TankModel(27_143_360, coefficient_ppm=1_260), volume_ml=1_000_000, water_height_um=0, temperature_mdegc=25_000
    )
    assert (plain.reference_ml, plain.tc_method, plain.factor) == (987_400, Method.LINEAR, None)


def test_safe_ullage_is_cut_at_ninety_five_percent() -> None:
    """Above that there is no room, and never a negative one."""
    tank = TankModel(10_000_000)
    assert stock(tank, volume_ml=9_000_000).safe_ullage_ml == 500_000
    assert stock(tank, volume_ml=9_800_000).safe_ullage_ml == 0
    assert stock(tank, volume_ml=10_100_000).ullage_ml == 0


def test_a_mixture_has_the_density_of_its_mass() -> None:
    """By volume times density; nothing mixed has none."""
    assert correction.mixed_density_g_m3([(3_000, 740_000), (1_000, 760_000)]) == 745_000
    assert correction.mixed_density_g_m3([]) is None


@pytest.mark.parametrize(
    ("tank", "problem"),
    [
        (LyingCylinder(0, 1), "above zero"),
        (LyingCylinder(2, 1, Ends.DISHED, 0), "no depth"),
        (LyingCylinder(2, 1, Ends.FLAT, 1), "no depth"),
        (LyingCylinder(2_000, 1_000, Ends.ELLIPSOIDAL, 1_001), "half the diameter"),
    ],
)
def test_an_impossible_shape_says_why(tank: LyingCylinder, problem: str) -> None:
    """Measures that no tank has."""
    assert problem in tank.problem()
