"""Alerts in the pipeline: tank and device machines, their rows for people and their records for head office."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.domain import alerts as machine
from agent.domain.alerts import DeviceAlertEvent, Edge
from agent.domain.wetstock import alerts as tank_machine
from agent.domain.wetstock.alerts import TankAlertEvent, TankAlerts, TankSample
from agent.domain.wetstock.limits import TankLimits, tank_limits
from agent.domain.wetstock.stock import Stock
from agent.inbox import FromStorage
from agent.logs import get_logger
from agent.pipeline import stock
from agent.pipeline.step import RequestRefused, Step
from agent.settings import Settings, TankSettings
from drivers.readings import GaugeAlarms, GaugeUnits, Quality, TankReading

_log = get_logger("alerts")

DEVICE_SUBJECT = "devices"
STORAGE_SUBJECT = "storage"
SILENT_AFTER_MS = 60_000
"""A gauge not heard from for so long is silent for the tanks it serves."""

SYNC_SUBJECT = "sync"
"""What alerts about the link to head office are about."""

BACKWARD_ALERT_MS = 300_000
"""A wall clock that falls behind the newest time seen by more than this is an alert, not only a floor."""

_SECURITY = frozenset({"CLOCK_BACKWARD", "PIN_LOCKED"})
SEVERITIES = {
    "POINT_OFFLINE": "alarm",
    "METER_RESET": "critical",
    "SALE_PENDING": "alarm",
    "MISMATCH": "alarm",
    "DELIVERIES_MISSING": "alarm",
    "UNKNOWN_AUTHORISATION": "alarm",
    "PRICE_MISMATCH": "warning",
    "DISK_FULL": "critical",
    "MARK_NOT_WRITTEN": "alarm",
    "VERIFY_FAILED": "critical",
    "PIN_LOCKED": "alarm",
    "INDEX_KEY_OLD": "critical",
    "FENCED": "alarm",
    "RECORDS_LOST": "critical",
    "BOARD_DOWN": "alarm",
    "BOARD_CERTIFICATE_ENDS": "warning",
    "CERTIFICATE_ENDS_3D": "alarm",
    "CERTIFICATE_ENDED": "critical",
    "CERTIFICATE_FILES": "alarm",
}


def limits_of(tank: TankSettings) -> TankLimits:
    """Return a tank's limits from the configuration, which has been checked."""
    limits, problems = tank_limits(tank.capacity_l, heel_ml=tank.heel_l, overrides=tank.limit_overrides())
    assert limits is not None, problems
    return limits


def build(settings: Settings, stored: dict[str, dict[str, Any]]) -> dict[int, TankAlerts]:
    """Return every tank's machine as the database left it, judged by today's limits."""
    built = {}
    for tank in settings.tank:
        limits, memory = limits_of(tank), stored.get(f"tank:{tank.id}")
        built[tank.id] = TankAlerts(tank.id, limits) if memory is None else tank_machine.restore(memory, limits)
    return built


def _tanks_of(step: Step, gauge: str) -> list[TankSettings]:
    line = gauge.removeprefix("gauge:")
    return [tank for tank in step.settings.tank if tank.line == line]


def tank_at(step: Step, gauge: str, index: int) -> TankSettings | None:
    """Return the configured tank that a console calls ``index``."""
    return next((tank for tank in _tanks_of(step, gauge) if tank.gauge_index == index), None)


def tank_reading(step: Step, reading: TankReading, *, frozen: bool = False) -> None:
    """Judge one gauge reading of one tank. ``frozen``: the gauge stands still, so its numbers mean nothing."""
    tank = tank_at(step, reading.gauge, reading.gauge_index)
    if tank is None:
        return
    step.memory.tank_readings[tank.id] = reading
    step.memory.seen_mono_ms[reading.gauge] = step.now.mono_ms
    good = reading.quality in (Quality.GOOD, Quality.DISPLAY)
    alarms = step.memory.gauge_alarms.get(reading.gauge)
    held = stock.of_reading(step.settings, tank, reading)
    sample = TankSample(
        volume_ml=held.gross_ml if good else None,
        stock_ml=held.net_ml if good else None,
        water_um=reading.water_height_um if good else None,
        temperature_mdegc=reading.temperature_mdegc if good else None,
        delivery_running=bool(reading.delivery_in_progress),
        probe_out=None if alarms is None else _has(alarms, tank.gauge_index, 9),
        invalid_level=reading.invalid_level,
        gauge_silent=False,
        frozen=frozen,
        gauge_alarms=None if alarms is None else _own(alarms, tank.gauge_index),
    )
    judge_tank(step, tank, sample)
    step.live.set_tank(tank.id, show_tank(tank, reading, held, step.stamp.wall_ms))


def _has(alarms: GaugeAlarms, device: int, number: int) -> bool:
    return any((a.category, a.number, a.device) == (2, number, device) for a in alarms.alarms)


def _own(alarms: GaugeAlarms, device: int) -> frozenset[tuple[int, int]]:
    return frozenset((a.category, a.number) for a in alarms.alarms if a.device == device and a.category == 2)


def show_tank(tank: TankSettings, reading: TankReading, held: Stock, wall_ms: int) -> dict[str, Any]:
    """Return a tank as ``forecourt tanks --json`` shows it."""
    return {
        "tank": tank.id,
        "grade": tank.grade,
        "capacity_ml": tank.capacity_l,
        "quality": reading.quality.value,
        "volume_ml": held.gross_ml,
        "stock_ml": held.net_ml,
        "ullage_ml": held.ullage_ml if reading.ullage_ml is None else reading.ullage_ml,
        "safe_ullage_ml": held.safe_ullage_ml,
        "reference_ml": held.reference_ml,
        "tc_method": held.tc_method,
        "console_tc_ml": reading.tc_volume_ml,
        "volume_method": held.volume_method,
        "flags": list(held.flags),
        "height_um": reading.height_um,
        "water_height_um": reading.water_height_um,
        "water_volume_ml": held.water_ml,
        "temperature_mdegc": reading.temperature_mdegc,
        "delivery_in_progress": reading.delivery_in_progress,
        "doubts": list(reading.doubts),
        "at_ms": wall_ms,
    }


def gauge_alarms(step: Step, alarms: GaugeAlarms) -> None:
    """Keep what stands at a console; it is judged with the next reading of each tank."""
    step.memory.gauge_alarms[alarms.gauge] = alarms


def gauge_units(step: Step, units: GaugeUnits) -> None:
    """Tell every tank of a console that its units changed, or that a person has confirmed them."""
    for tank in _tanks_of(step, units.gauge):
        judge_tank(step, tank, TankSample(units_changed=units.changed))


def gauge_silent(step: Step, gauge: str) -> None:
    """Tell every tank of a console that the console is silent."""
    for tank in _tanks_of(step, gauge):
        judge_tank(step, tank, TankSample(gauge_silent=True))


def judge_tank(step: Step, tank: TankSettings, sample: TankSample) -> None:
    """Give one sample to a tank's machine and tell what rose or cleared."""
    before = step.memory.tanks[tank.id]
    after, events = tank_machine.step(before, sample, step.now)
    _keep_tank(step, tank, before, after, events)


def _keep_tank(
    step: Step, tank: TankSettings, before: TankAlerts, after: TankAlerts, events: tuple[TankAlertEvent, ...]
) -> None:
    step.memory.tanks[tank.id] = after
    if after is before:
        return
    for event in events:
        step.journal(
            "fc.tank.alert.v1",
            {
                "tank": tank.id,
                "grade": tank.grade,
                "alert": event.alert,
                "state": event.state.value,
                "value": event.value,
                "limit": event.limit,
                "unit": event.unit,
            },
        )
        values = (event.value, event.limit, event.unit)
        state = after.watches[event.alert].state.value if event.alert in after.watches else "NORMAL"
        shown = _Shown(f"tank:{tank.id}", event.alert, event.state, state, event.severity.value, values)
        _row(step, shown, person=event.person)
    if events:
        step.tx.memory.save_alerts(f"tank:{tank.id}", tank_machine.durable(after))


@dataclass(frozen=True, slots=True)
class _Shown:
    """One edge as people see it; ``values``: value, limit and unit."""

    subject: str
    name: str
    edge: Edge
    state: str
    severity: str
    values: tuple[int | None, int | None, str]
    detail: str = ""


def _row(step: Step, shown: _Shown, *, person: str | None) -> None:
    now_ms, value, edge = step.stamp.wall_ms, shown.values[0], shown.edge
    row = step.tx.alerts.open_row(shown.subject, shown.name)
    if row is None:
        step.tx.alerts.add(
            {
                "subject": shown.subject,
                "name": shown.name,
                "state": shown.state,
                "severity": shown.severity,
                "value": value,
                "limit_value": shown.values[1],
                "unit": shown.values[2],
                "detail": shown.detail,
                "raised_ms": now_ms,
                "cleared_ms": None,
                "acked_ms": None,
                "acked_by": None,
            }
        )
    else:
        changes: dict[str, Any] = {"state": shown.state}
        if edge is Edge.RAISED:
            changes |= {"raised_ms": now_ms, "cleared_ms": None, "value": value, "detail": shown.detail}
        elif edge is Edge.CLEARED:
            changes |= {"cleared_ms": now_ms}
        elif edge is Edge.ACKNOWLEDGED:
            changes |= {"acked_ms": now_ms, "acked_by": person}
        step.tx.alerts.change(int(row["id"]), changes)
    level = _log.warning if edge is Edge.RAISED else _log.info
    step.after.append(lambda: level("alert", subject=shown.subject, alert=shown.name, state=edge.value, value=value))


def device(step: Step, subject: str, name: str, *, standing: bool, detail: str = "") -> None:
    """Raise or clear an alert about a device, the link or the station itself."""
    before = step.memory.device_alerts
    if standing:
        after, events = machine.raise_alert(before, subject, name, detail or None, step.now)
    else:
        after, events = machine.clear_alert(before, subject, name, step.now)
    _keep_device(step, after, events)


def storage(step: Step, told: FromStorage) -> None:
    """Raise or clear what a watcher of the disk or the database found, and keep its facts."""
    if told.alert == "DISK_FULL":
        step.memory.disk_is_full = told.standing
    if told.alert == "DISK_LOW":
        step.memory.disk_is_low = told.standing
    for key, value in told.facts.items():
        step.tx.memory.set_meta(key, value)
    device(step, STORAGE_SUBJECT, told.alert, standing=told.standing, detail=told.detail)


def watch_clock(step: Step, wall_ms: int, newest_ms: int) -> None:
    """Raise or clear the alert that the wall clock is behind the newest record; both in Unix milliseconds."""
    behind = wall_ms < newest_ms - BACKWARD_ALERT_MS
    device(step, "clock", "CLOCK_BACKWARD", standing=behind, detail="wall clock is behind the newest record")


def _keep_device(step: Step, after: machine.DeviceAlerts, events: tuple[DeviceAlertEvent, ...]) -> None:
    if not events:
        return
    step.memory.device_alerts = after
    for event in events:
        step.journal(
            _record_type(event),
            {
                "subject": event.subject,
                "alert": event.alert,
                "state": event.state.value,
                "evidence": event.evidence,
            },
        )
        known = after.standing.get((event.subject, event.alert))
        state = "NORMAL" if known is None else known.state.value
        severity = "alarm" if event.alert.startswith("LINK_") else SEVERITIES.get(event.alert, "warning")
        detail = event.evidence or ""
        shown = _Shown(event.subject, event.alert, event.state, state, severity, (None, None, ""), detail)
        _row(step, shown, person=event.person)
    step.tx.memory.save_alerts(DEVICE_SUBJECT, machine.durable(after))


def _record_type(event: DeviceAlertEvent) -> str:
    if event.subject == SYNC_SUBJECT:
        return "fc.sync.alert.v1"
    return "fc.security.alert.v1" if event.alert in _SECURITY else "fc.device.alert.v1"


def acknowledge(step: Step, alert: int, person: str) -> dict[str, Any]:
    """Acknowledge one alert in a person's name. Raises RequestRefused for an unknown or finished one."""
    row = step.tx.alerts.by_id(alert)
    if row is None:
        raise RequestRefused(f"there is no alert {alert}", hint="forecourt alerts lists them")
    subject, name = row["subject"], row["name"]
    if subject.startswith("tank:"):
        tank = next((t for t in step.settings.tank if f"tank:{t.id}" == subject), None)
        if tank is not None:
            before = step.memory.tanks[tank.id]
            after, events = tank_machine.acknowledge(before, name, person, step.now)
            _keep_tank(step, tank, before, after, events)
    else:
        changed, edges = machine.acknowledge_alert(step.memory.device_alerts, subject, name, person, step.now)
        _keep_device(step, changed, edges)
    if not step.has_written or not step.tx.journal.written:
        raise RequestRefused(f"alert {alert} is already acknowledged or over", hint="forecourt alerts --all shows when")
    return {"alert": alert, "subject": subject, "name": name, "acknowledged_by": person}


def watch_gauges(step: Step) -> None:
    """Every second: a gauge that was heard once and is not heard any more is silent."""
    for gauge, seen in step.memory.seen_mono_ms.items():
        if step.now.mono_ms - seen > SILENT_AFTER_MS:
            gauge_silent(step, gauge)
