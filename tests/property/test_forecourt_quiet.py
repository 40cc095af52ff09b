"""A level that said nothing before says nothing later either: what time alone changes, the tick of the second finds."""

from __future__ import annotations

from hypothesis import event, given
from hypothesis import strategies as st

from agent.domain.forecourt import step
from agent.domain.instant import Now
from agent.domain.point_events import Event, Send, Ticked
from agent.domain.point_state import ControlMode, NozzleConfig, Point, PointConfig
from drivers.commands import ReadSale
from drivers.readings import (
    CommandOutcome,
    CommandResult,
    CompletedSale,
    DeviceStatus,
    FuellingPointReading,
    PointState,
    TotalizerReading,
)

WALL_MS = 1_795_305_600_000
NOZZLES = (NozzleConfig(1, "95", 1, 7_850), NozzleConfig(2, "D", 2, 7_200))

levels = st.builds(
    FuellingPointReading,
    fuelling_point=st.just(1),
    state=st.sampled_from([PointState.IDLE] * 4 + list(PointState)),
    nozzle=st.sampled_from([None, 1, 1, 2]),
    nozzle_out=st.sampled_from([None, False, True]),
    volume_ml=st.sampled_from([None, 0, 5_000]),
    amount_minor=st.sampled_from([None, 0, 3_925]),
    unit_price_milli=st.sampled_from([None, 7_850, 7_200]),
    needs_prices=st.booleans(),
)
happenings = st.lists(
    st.tuples(
        st.one_of(levels, levels, st.just(Ticked()), st.just(DeviceStatus("point:1", online=True, gap=True))),
        st.sampled_from([100, 1_000, 6_000, 40_000]),
        st.sampled_from(list(CommandOutcome)),
    ),
    min_size=3,
    max_size=25,
)


def answers(point: Point, effects: tuple[object, ...], outcome: CommandOutcome) -> list[Event]:
    """What a pump with standing totals says to the commands of one step."""
    said: list[Event] = []
    for effect in effects:
        if isinstance(effect, Send) and isinstance(effect.command, ReadSale):
            totals = tuple(TotalizerReading(1, n, 1_000 * n, 10, 10**10) for n in point.config.numbers)
            said.append(CompletedSale(effect.command.command_id, 1, totals, None, totals))
        elif isinstance(effect, Send):
            said.append(CommandResult(effect.command.command_id, 1, outcome))
    return said


@given(st.sampled_from(list(ControlMode)), happenings, st.integers(0, 200_000))
def test_a_quiet_level_differs_from_a_tick_at_no_later_time(
    mode: ControlMode, told: list[tuple[Event, int, CommandOutcome]], later_ms: int
) -> None:
    """Whatever happened before: a level without effect on a point at rest is, repeated later, the same as a tick."""
    point, now_ms = Point(PointConfig(1, mode, NOZZLES, "b")), 1_000
    for happening, passed_ms, outcome in told:
        now_ms += passed_ms
        waiting: list[Event] = [happening, happening, happening]
        while waiting:
            current = waiting.pop(0)
            result = step(point, current, Now(WALL_MS + now_ms, now_ms))
            before, point = point, result.point
            waiting += answers(point, result.effects, outcome)
            if isinstance(current, FuellingPointReading) and point is before and not result.effects:
                if point.durable.open is not None:
                    continue
                event("quiet")
                now = Now(WALL_MS + now_ms + later_ms, now_ms + later_ms)
                assert step(point, current, now) == step(point, Ticked(), now)
