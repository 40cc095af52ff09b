"""Gauges in the pipeline beyond levels: their clock, readings that stand still, alarms of the console, history, charts.

What a reading means for a tank's alerts is in ``alerting``; deliveries are in ``receiving``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

from agent.domain.wetstock import console_time
from agent.domain.wetstock.alerts import gauge_alert_name
from agent.domain.wetstock.console_time import ConsoleClock
from agent.pipeline import alerting
from agent.pipeline.memory import Memory, Still
from agent.pipeline.step import Step
from agent.settings import Settings
from agent.store.store import Tx
from drivers.readings import GaugeAlarms, GaugeEvent, GaugeHistory, Quality, TankChart, TankReading
from sync.records import format_time

CLOCK_ALERT = "GAUGE_CLOCK"
FROZEN_AFTER_MS = 30 * 60_000
FROZEN_SOLD_ML = 200_000
"""A tank out of which so much was sold for so long, and nothing moved: the gauge stands still."""

LOST_BEFORE_MS = 60_000
"""A gauge that is found silent was last heard before its tries: what happened then may be in no level of ours."""

SEEN_WITHIN_MS = 180_000
"""An alarm of the history and an alert of ours so near to it are one: levels are read every half minute."""

_CLOCK = "console_clock:"
_TANK = 2


def build(settings: Settings, tx: Tx, memory: Memory) -> None:
    """Restore what is known of consoles: their clocks, and when each was last heard."""
    heard = tx.gauges.last_heard()
    for line in {tank.line for tank in settings.tank if tank.line is not None}:
        gauge = f"gauge:{line}"
        stored = tx.memory.meta(f"{_CLOCK}{gauge}")
        if stored is not None:
            memory.console_clocks[gauge] = ConsoleClock(**json.loads(stored))
        seen = [heard[tank.id] for tank in settings.tank if tank.line == line and tank.id in heard]
        if seen:
            memory.gauge_lost_ms[gauge] = max(seen) - LOST_BEFORE_MS


def lost(step: Step, gauge: str) -> None:
    """A gauge has gone: from about now on its history is the only witness."""
    step.memory.gauge_lost_ms.setdefault(gauge, step.stamp.wall_ms - LOST_BEFORE_MS)


def tank_reading(step: Step, reading: TankReading) -> None:
    """Judge one reading: is the console's clock right, does the gauge stand still, and what does it mean."""
    _watch_clock(step, reading)
    tank = alerting.tank_at(step, reading.gauge, reading.gauge_index)
    frozen = tank is not None and _stands_still(step, tank.id, reading)
    if frozen:
        reading = replace(reading, quality=Quality.SUSPECT, doubts=(*reading.doubts, "the gauge stands still"))
    alerting.tank_reading(step, reading, frozen=frozen)


def _watch_clock(step: Step, reading: TankReading) -> None:
    if step.stamp.clock == "floor":
        return  # our own clock is the one that is behind
    known = step.memory.console_clocks.get(reading.gauge)
    clock = console_time.observe(known, reading.console_time, step.now, step.settings.station.tz)
    if clock is None:
        return
    if clock != known:
        step.memory.console_clocks[reading.gauge] = clock
        step.tx.memory.set_meta(f"{_CLOCK}{reading.gauge}", json.dumps(asdict(clock), sort_keys=True))
    alerting.device(step, reading.gauge, CLOCK_ALERT, standing=clock.is_off, detail=clock.words)


def _stands_still(step: Step, tank: int, reading: TankReading) -> bool:
    if reading.volume_ml is None:
        return False
    values = (
        reading.volume_ml,
        reading.tc_volume_ml,
        reading.ullage_ml,
        reading.height_um,
        reading.water_height_um,
        reading.temperature_mdegc,
        reading.water_volume_ml,
    )
    sold_ml, known = step.memory.sold_ml.get(tank, 0), step.memory.still.get(tank)
    if known is None or known.values != values:
        step.memory.still[tank] = Still(values, step.now.mono_ms, sold_ml)
        return False
    long_enough = step.now.mono_ms - known.since_mono_ms >= FROZEN_AFTER_MS
    return long_enough and sold_ml - known.sold_ml > FROZEN_SOLD_ML


def gauge_alarms(step: Step, alarms: GaugeAlarms) -> None:
    """Pass on what stands at a console beside its tanks' alarms: sensors, printer, lines, tanks that are not ours."""
    alerting.gauge_alarms(step, alarms)
    standing = {
        f"{gauge_alert_name(alarm.category, alarm.number)}_{alarm.device:02d}": alarm.text
        for alarm in alarms.alarms
        if alarm.category != _TANK or alerting.tank_at(step, alarms.gauge, alarm.device) is None
    }
    known = {name for subject, name in step.memory.device_alerts.standing if subject == alarms.gauge}
    for name in sorted({*standing, *(name for name in known if name.startswith(gauge_alert_name(0, 0)[:12]))}):
        alerting.device(step, alarms.gauge, name, standing=name in standing, detail=standing.get(name, ""))


def history(step: Step, told: GaugeHistory) -> None:
    """Keep a console's alarm history; what came and went while nobody listened is journalled, each entry once.

    The first history of a console is how it was before this station knew it: kept, not told.
    """
    lost_ms = step.memory.gauge_lost_ms.pop(told.gauge, None)
    knows_it = step.tx.gauges.has_events(told.gauge) or lost_ms is not None
    clock, zone = step.memory.console_clocks.get(told.gauge), step.settings.station.tz
    for event in told.events:
        resolved = console_time.resolve(event.local_time, clock, step.now, zone)
        at_ms = None if resolved is None else resolved[0]
        missed = at_ms is None or (lost_ms is not None and at_ms >= lost_ms - LOST_BEFORE_MS)
        is_news = knows_it and missed and not _was_seen(step, told.gauge, event, at_ms)
        row = {
            "gauge": told.gauge,
            "category": event.category,
            "number": event.number,
            "device": event.device,
            "state": event.state,
            "time": event.time,
            "at_ms": at_ms,
            "text": event.text,
            "seen_ms": step.stamp.wall_ms,
            "told": int(is_news),
        }
        if step.tx.gauges.add_event(row) and is_news:
            _journal_event(step, told.gauge, event, at_ms)


def _subject(step: Step, gauge: str, event: GaugeEvent) -> tuple[str, str]:
    """Return subject and name under which an alarm that stands is known."""
    name = gauge_alert_name(event.category, event.number)
    tank = alerting.tank_at(step, gauge, event.device) if event.category == _TANK else None
    return (gauge, f"{name}_{event.device:02d}") if tank is None else (f"tank:{tank.id}", name)


def _was_seen(step: Step, gauge: str, event: GaugeEvent, at_ms: int | None) -> bool:
    if at_ms is None:
        return False
    subject, name = _subject(step, gauge, event)
    raised = event.state != "cleared"
    return step.tx.gauges.was_told(subject, name, raised=raised, near_ms=at_ms, within_ms=SEEN_WITHIN_MS)


def _journal_event(step: Step, gauge: str, event: GaugeEvent, at_ms: int | None) -> None:
    subject, name = _subject(step, gauge, event)
    evidence = {
        "source": "gauge_history",
        "gauge": gauge,
        "text": event.text,
        "console_time": event.time,
        "at": None if at_ms is None else format_time(at_ms),
    }
    state = "cleared" if event.state == "cleared" else "raised"
    step.journal("fc.device.alert.v1", {"subject": subject, "alert": name, "state": state, "evidence": evidence})


def chart(step: Step, told: TankChart) -> None:
    """Keep a strapping table that is another than before, and its hash in the audit trail."""
    tank = alerting.tank_at(step, told.gauge, told.gauge_index)
    if tank is None:
        return
    text = "".join(f"{height};{volume}\n" for height, volume in told.points)
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    if step.tx.gauges.newest_chart(tank.id) == digest:
        return
    doubts = "; ".join(told.doubts)
    step.tx.gauges.add_chart(
        {
            "tank": tank.id,
            "hash": digest,
            "source": told.source,
            "diameter_um": told.diameter_um,
            "full_volume_ml": told.full_volume_ml,
            "points": json.dumps(told.points),
            "doubts": doubts,
            "read_ms": step.stamp.wall_ms,
        }
    )
    step.audit("agent", "agent", "chart_read", f"tank:{tank.id}", reason=f"sha256 {digest}, {len(told.points)} points")
