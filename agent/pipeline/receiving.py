"""Deliveries in the pipeline: a console's list in, each delivery kept once and journalled once when it is final.

The console's record is the fact; no rise is detected here. What may be missing is asked for, else said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.domain.wetstock import console_time
from agent.domain.wetstock.deliveries import KnownDelivery, rise_ml, settled_after_ms, sort_out
from agent.pipeline import alerting
from agent.pipeline.step import Step
from agent.settings import TankSettings
from drivers.commands import ReadDeliveries
from drivers.readings import CommandOutcome, CommandResult, GaugeDeliveries, GaugeDelivery, Quality
from sync.records import format_time

MISSING = "DELIVERIES_MISSING"
REVISED = "DELIVERY_REVISED"
UNREADABLE = "DELIVERY_UNREADABLE"

_BACKFILL = "backfill:"
"""Key of the fact that a tank's older deliveries are to be read, with the console time from which on."""


def deliveries(step: Step, told: GaugeDeliveries) -> None:
    """Keep what is new in a console's list, note what was lengthened, ask for what fell out of it."""
    tank = alerting.tank_at(step, told.gauge, told.gauge_index)
    if tank is None:
        return
    if told.deliveries:
        known = step.tx.gauges.known_deliveries(told.gauge, tank.id, {one.start for one in told.deliveries})
        found = sort_out(told, known)
        for one in found.new:
            _add(step, tank, told, one)
        for match, one in found.longer:
            _lengthened(step, tank, told, match, one)
        if found.missing_since:
            step.tx.memory.set_meta(f"{_BACKFILL}{tank.id}", found.missing_since)
    _ask_for_older(step, told, tank)
    settle(step)


def settle(step: Step) -> None:
    """Journal every delivery that has become final."""
    for row in step.tx.gauges.settled(step.stamp.wall_ms):
        _book(step, row)


def answered(step: Step, result: CommandResult) -> None:
    """A range of older deliveries was read (they came before this), cannot be read, or is to be asked again."""
    tank = step.memory.backfills.get(result.command_id)
    if tank is None or result.outcome is CommandOutcome.LINK_ACKED:
        return
    del step.memory.backfills[result.command_id]
    if result.outcome is CommandOutcome.UNKNOWN:
        return  # the next list of this console asks again
    since = step.tx.memory.meta(f"{_BACKFILL}{tank}") or ""
    step.tx.memory.forget_meta(f"{_BACKFILL}{tank}")
    if result.outcome is CommandOutcome.REFUSED:
        _tell(step, tank, MISSING, f"tank {tank}: deliveries after {since} may be missing; {result.detail}")


def _ask_for_older(step: Step, told: GaugeDeliveries, tank: TankSettings) -> None:
    since = step.tx.memory.meta(f"{_BACKFILL}{tank.id}")
    if since is None or tank.id in step.memory.backfills.values():
        return
    command = f"{step.stamp.boot}:deliveries:{tank.id}:{step.now.mono_ms}"
    step.memory.backfills[command] = tank.id
    step.send(ReadDeliveries(command, told.gauge, told.gauge_index, since))


def _values(step: Step, told: GaugeDeliveries, one: GaugeDelivery) -> dict[str, Any]:
    """Return the columns that a console's record decides."""
    clock, zone = step.memory.console_clocks.get(told.gauge), step.settings.station.tz
    start = console_time.resolve(one.start, clock, step.now, zone)
    end = console_time.resolve(one.end, clock, step.now, zone)
    at_ms, source = start or end or (step.stamp.wall_ms, "received")
    names = ("volume_ml", "tc_volume_ml", "height_um", "water_height_um", "temperature_mdegc")
    return {
        "console_start": one.start,
        "console_end": one.end,
        "start_ms": at_ms,
        "end_ms": None if end is None else end[0],
        "time_source": source,
        **{f"{side}_{name}": getattr(one, f"{side}_{name}") for side in ("start", "end") for name in names},
        "quality": told.quality.value,
        "raw": one.raw,
        "settles_ms": step.stamp.wall_ms + settled_after_ms(told, one),
    }


def _add(step: Step, tank: TankSettings, told: GaugeDeliveries, one: GaugeDelivery) -> None:
    values = _values(step, told, one)
    if one.start_volume_ml is None:  # what a delivery is known by may not be unknown
        values["settles_ms"] = None
        _tell(step, tank.id, UNREADABLE, f"tank {tank.id}: the console's delivery of {one.start} has no start volume")
    step.tx.gauges.add_delivery(
        {
            "id": step.new_id(),
            "gauge": told.gauge,
            "tank": tank.id,
            "grade": tank.grade,
            "key": one.key,
            "delivered_ml": None,
            "seen_ms": step.stamp.wall_ms,
            "journal_seq": None,
            "revision": None,
            **values,
        }
    )


def _lengthened(
    step: Step, tank: TankSettings, told: GaugeDeliveries, match: KnownDelivery, one: GaugeDelivery
) -> None:
    """A delivery that is not booked yet ends later; one that is booked stays, and the difference is told."""
    if not match.is_booked:
        if one.start_volume_ml is not None:
            step.tx.gauges.change_delivery(match.id, _values(step, told, one))
        return
    if step.tx.gauges.delivery(match.id)["revision"] == one.raw:
        return
    step.tx.gauges.change_delivery(match.id, {"revision": one.raw})
    was, now = (rise_ml(x.start_volume_ml, x.end_volume_ml) for x in (match, one))
    text = f"tank {tank.id}: the delivery of {one.start} was booked with {was} ml, the console now says {now} ml"
    _tell(step, tank.id, REVISED, text)


def _book(step: Step, row: Mapping[str, Any]) -> None:
    delivered = _delivered_ml(step, row)
    data = {
        "tank": row["tank"],
        "grade": row["grade"],
        "start": format_time(row["start_ms"]),
        "end": None if row["end_ms"] is None else format_time(row["end_ms"]),
        "start_volume_ml": row["start_volume_ml"],
        "end_volume_ml": row["end_volume_ml"],
        "delivered_ml": delivered,
        "temperature_mdegc": row["end_temperature_mdegc"],
        "note_ml": None,
        "console_start": row["console_start"] or None,
        "console_end": row["console_end"] or None,
        "start_tc_volume_ml": row["start_tc_volume_ml"],
        "end_tc_volume_ml": row["end_tc_volume_ml"],
        "quality": row["quality"],
    }
    written = step.journal("fc.tank.delivery.v1", data, record_id=row["id"])
    changes = {"journal_seq": written.seq, "settles_ms": None, "delivered_ml": delivered}
    step.tx.gauges.change_delivery(row["id"], changes)
    step.passed.append("delivery")


def _delivered_ml(step: Step, row: Mapping[str, Any]) -> int | None:
    """The rise and what was sold meanwhile; unknown unless every sale of that time was seen as it ended.

    A sale that is recovered later is timed by its recovery, so a time without the agent or a pump gives no figure.
    """
    rise, start_ms, end_ms = rise_ml(row["start_volume_ml"], row["end_volume_ml"]), row["start_ms"], row["end_ms"]
    good = row["quality"] == Quality.GOOD.value and row["time_source"] == "clock"
    if rise is None or end_ms is None or not good or start_ms < step.live.started_ms:
        return None
    points = [p.id for p in step.settings.fuelling_point if any(n.tank == row["tank"] for n in p.nozzle)]
    if step.tx.gauges.had_alert([f"point:{number}" for number in points], "POINT_OFFLINE", start_ms, end_ms):
        return None
    return rise + step.tx.gauges.sold_ml(row["tank"], start_ms, end_ms)


def _tell(step: Step, tank: int, alert: str, text: str) -> None:
    """Tell an event: it is over at once and stays on the screen until somebody has seen it."""
    gauge = next(f"gauge:{t.line}" for t in step.settings.tank if t.id == tank)
    alerting.device(step, gauge, alert, standing=True, detail=text)
    alerting.device(step, gauge, alert, standing=False, detail=text)
