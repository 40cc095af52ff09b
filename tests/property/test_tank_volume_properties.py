"""Tank volumes for any tank: more height is never less volume, the inverse comes back, and nothing is invented."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.wetstock import correction, strapping
from agent.domain.wetstock.correction import DENSITY_G_M3, TEMPERATURE_MDEGC, Reference
from agent.domain.wetstock.geometry import Ends, LyingCylinder
from tests.support.examples import tries

EXAMPLES = settings(max_examples=tries(100))


@st.composite
def tanks(draw: st.DrawFn) -> LyingCylinder:
    """Lying tanks of 1 to 4 m by 1 to 20 m."""
    diameter = draw(st.integers(1_000_000, 4_000_000))
    ends = draw(st.sampled_from(Ends))
    depth = 0 if ends is Ends.FLAT else draw(st.integers(1_000, diameter // 2))
    return LyingCylinder(diameter, draw(st.integers(1_000_000, 20_000_000)), ends, depth)


@st.composite
def tables(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    """Points as a table may have them."""
    steps = draw(st.lists(st.tuples(st.integers(1, 200_000), st.integers(0, 2_000_000)), min_size=1, max_size=30))
    points = [(draw(st.integers(0, 100_000)), draw(st.integers(0, 100_000)))]
    for height, volume in steps:
        points.append((points[-1][0] + height, points[-1][1] + volume))
    return tuple(points)


@EXAMPLES
@given(tank=tanks(), heights=st.lists(st.integers(0, 4_000_000), min_size=2, max_size=6))
def test_more_height_is_never_less_volume(tank: LyingCylinder, heights: list[int]) -> None:
    """From empty to full, and half the height is half the tank."""
    volumes = [tank.volume_ml(height) for height in sorted(heights)]
    assert all(low <= high for low, high in pairwise(volumes))
    assert tank.volume_ml(0) == 0
    assert all(0 <= volume <= tank.full_ml() for volume in volumes)
    assert abs(2 * tank.volume_ml(tank.diameter_um // 2) - tank.full_ml()) <= tank.full_ml() // 10**5 + 2


@EXAMPLES
@given(points=tables(), height=st.integers(-10_000, 7_000_000))
def test_a_table_stays_between_its_neighbours(points: tuple[tuple[int, int], ...], height: int) -> None:
    """Every answer lies between the two points around it; outside it is an end, with a flag."""
    table = strapping.Table(points, strapping.Method.TABLE, "")
    looked = table.volume_ml(height)
    below = [volume for at, volume in points if at <= height]
    above = [volume for at, volume in points if at >= height]
    assert (below[-1] if below else points[0][1]) <= looked.value <= (above[0] if above else points[-1][1])
    assert looked.flag == (strapping.BELOW if not below else strapping.ABOVE if not above else "")


@EXAMPLES
@given(points=tables(), share=st.integers(0, 1_000))
def test_the_height_of_a_volume_has_that_volume(points: tuple[tuple[int, int], ...], share: int) -> None:
    """There and back is within what rounding both ways costs."""
    table = strapping.Table(points, strapping.Method.TABLE, "")
    first, last = points[0][1], points[-1][1]
    volume = first + (last - first) * share // 1_000
    steepest = max((v1 - v0) / (h1 - h0) for (h0, v0), (h1, v1) in pairwise(points))
    assert abs(table.volume_ml(table.height_um(volume).value).value - volume) <= steepest + 1


@EXAMPLES
@given(tank=tanks(), count=st.integers(4, 50))
def test_a_chart_of_a_tank_gives_the_tank_back(tank: LyingCylinder, count: int) -> None:
    """Made into millimetres it never falls, and is nearer to the tank than straight lines between its points."""
    heights = sorted({tank.diameter_um * n // count for n in range(count + 1)})
    points = [(height, tank.volume_ml(height)) for height in heights]
    table, problems = strapping.from_chart(points, tank.diameter_um)
    assert problems == []
    assert table is not None
    assert all(v0 <= v1 for (_, v0), (_, v1) in pairwise(table.points))
    straight = strapping.Table(tuple(points), strapping.Method.LINEAR, "")
    middles = [(a + b) // 2 for a, b in pairwise(heights)]
    worst = max(abs(table.volume_ml(h).value - tank.volume_ml(h)) for h in middles)
    assert worst <= max(abs(straight.volume_ml(h).value - tank.volume_ml(h)) for h in middles) + 2


@EXAMPLES
@given(points=tables())
def test_a_chart_of_any_shape_never_falls(points: tuple[tuple[int, int], ...]) -> None:
    """Vertical and unusual tanks too, whatever the method comes to be."""
    for diameter in (None, points[-1][0]):
        table, problems = strapping.from_chart(points, diameter)
        if table is None:
            assert problems
            continue
        assert all(v0 <= v1 for (_, v0), (_, v1) in pairwise(table.points))
        assert table.points[0] == points[0]
        assert table.points[-1] == points[-1]


@EXAMPLES
@given(
    reference=st.sampled_from(Reference),
    density=st.sampled_from(DENSITY_G_M3),
    temperatures=st.lists(st.sampled_from(TEMPERATURE_MDEGC), min_size=2, max_size=5),
)
def test_warmer_fuel_is_less_fuel(reference: Reference, density: int, temperatures: list[int]) -> None:
    """Factors fall with the temperature, are one at the reference, and lie near one."""
    factors = [correction.factor(reference, density, t) for t in sorted(temperatures)]
    told = [factor for factor in factors if factor is not None]
    assert len(told) == len(factors)
    assert all(warm <= cold for cold, warm in pairwise(told))
    assert all(90_000 < factor < 110_000 for factor in told)
    at = {Reference.C15: 15_000, Reference.C20: 20_000, Reference.F60: 15_556}[reference]
    assert correction.factor(reference, density, at) == 100_000


@EXAMPLES
@given(text=st.text(alphabet="0123456789;,.\n# ab", max_size=80))
def test_any_text_is_a_table_or_problems(text: str) -> None:
    """Never an exception, never both, never neither."""
    table, problems = strapping.read_csv(text)
    assert (table is None) == bool(problems)
