"""The alerts that a single tank reading decides: debounce, deadband, latching, acknowledgement.

Integers only. Knows no gauge protocol, no database and no screen; unknown values are None and neither count nor reset.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from agent.domain.alerts import ACTIVE_STATES, AlertMemoryDamaged, AlertState, Edge, moved
from agent.domain.instant import Now
from agent.domain.wetstock.limits import TankLimits


class Severity(StrEnum):
    """How loud an alert is shown."""

    NOTICE = "notice"
    WARNING = "warning"
    ALARM = "alarm"
    CRITICAL = "critical"


class Side(StrEnum):
    """HIGH raises at or above its limit, LOW at or below it, STATE while a condition holds."""

    HIGH = "high"
    LOW = "low"
    STATE = "state"


@dataclass(frozen=True, slots=True)
class Rule:
    """How one alert is judged. ``needed``: good samples in a row; ``limit`` and ``deadband`` None only for STATE."""

    side: Side
    needed: int
    limit: int | None = None
    deadband: int | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """Where one alert stands. ``raising`` and ``clearing`` count good samples; ``raised`` counts the times it rose."""

    state: AlertState = AlertState.NORMAL
    raising: int = 0
    clearing: int = 0
    raised: int = 0
    limit: int | None = None
    person: str | None = None


def judge(watch: Watch, rule: Rule, value: int | None, *, may_raise: bool = True) -> tuple[Watch, Edge | None]:
    """Judge one sample; a STATE sample is 1 or 0. ``value`` None leaves everything as it is.

    ``may_raise`` False: the condition counts as not holding, for alerts that mean nothing just now.
    """
    if value is None:
        return watch, None
    if watch.state in ACTIVE_STATES:
        clearing = watch.clearing + 1 if _is_over(rule, value) or not may_raise else 0
        if clearing < rule.needed:
            return replace(watch, clearing=clearing), None
        return _taken(replace(watch, clearing=0, raising=0), Edge.CLEARED), Edge.CLEARED
    raising = watch.raising + 1 if may_raise and _holds(rule, value) else 0
    if raising < rule.needed:
        return replace(watch, raising=raising), None
    risen = replace(watch, raising=0, clearing=0, raised=watch.raised + 1, limit=rule.limit, person=None)
    return _taken(risen, Edge.RAISED), Edge.RAISED


def _taken(watch: Watch, edge: Edge) -> Watch:
    state = moved(watch.state, edge)
    assert state is not None, f"{edge} means nothing in {watch.state}"
    return replace(watch, state=state)


def _holds(rule: Rule, value: int) -> bool:
    if rule.limit is None:
        return value != 0
    return value >= rule.limit if rule.side is Side.HIGH else value <= rule.limit


def _is_over(rule: Rule, value: int) -> bool:
    if rule.limit is None or rule.deadband is None:
        return value == 0
    if rule.side is Side.HIGH:
        return value <= rule.limit - rule.deadband
    return value >= rule.limit + rule.deadband


DEBOUNCE = 3
"""Good samples in a row before an alert rises or clears."""

MAX_GAUGE_ALARMS = 64
"""Own alarms of a gauge followed per tank: above the 38 numbers known for tanks; more are left to the console."""


@dataclass(frozen=True, slots=True)
class TankSample:
    """One reading of a tank, in ml, um and mdegC; None is "no reading" or "not known", never 0 or False.

    ``volume_ml``: what the gauge shows; ``stock_ml``: without water. ``gauge_alarms``: (category, number) standing at
    the gauge, None where not read. ``units_changed``: until a person confirms. ``out_of_use``: low alerts rest.
    """

    volume_ml: int | None = None
    stock_ml: int | None = None
    water_um: int | None = None
    temperature_mdegc: int | None = None
    delivery_running: bool = False
    out_of_use: bool = False
    probe_out: bool | None = None
    invalid_level: bool | None = None
    gauge_silent: bool | None = None
    units_changed: bool | None = None
    frozen: bool | None = None
    gauge_alarms: frozenset[tuple[int, int]] | None = None


@dataclass(frozen=True, slots=True)
class TankAlertEvent:
    """An edge of a tank alert; ``number`` counts this tank's events from 1 and survives restarts.

    ``unit``: ``ml``, ``um``, ``mdegc`` or ``state`` (value 1 or 0, no limit). ``at_ms``: Unix milliseconds, UTC.
    """

    number: int
    tank: int
    alert: str
    state: Edge
    value: int | None
    limit: int | None
    unit: str
    severity: Severity
    at_ms: int
    person: str | None = None


@dataclass(frozen=True, slots=True)
class TankAlerts:
    """Every alert of one tank; an alert not named here is NORMAL and was never raised."""

    tank: int
    limits: TankLimits
    watches: Mapping[str, Watch] = field(default_factory=dict)
    number: int = 0


Result = tuple[TankAlerts, tuple[TankAlertEvent, ...]]

SEVERITY = {
    "maximum_product": Severity.CRITICAL,
    "high_product": Severity.ALARM,
    "overfill": Severity.CRITICAL,
    "delivery_needed": Severity.NOTICE,
    "low_product": Severity.ALARM,
    "unpumpable": Severity.CRITICAL,
    "water_warning": Severity.WARNING,
    "water_alarm": Severity.ALARM,
    "high_temperature": Severity.WARNING,
    "low_temperature": Severity.WARNING,
    "probe_out": Severity.ALARM,
    "invalid_level": Severity.ALARM,
    "gauge_silent": Severity.ALARM,
    "units_changed": Severity.ALARM,
    "gauge_frozen": Severity.ALARM,
}

UNITS = {
    "maximum_product": "ml",
    "high_product": "ml",
    "overfill": "ml",
    "delivery_needed": "ml",
    "low_product": "ml",
    "unpumpable": "ml",
    "water_warning": "um",
    "water_alarm": "um",
    "high_temperature": "mdegc",
    "low_temperature": "mdegc",
}

SAME_KIND = {
    (2, 3): "water_alarm",
    (2, 4): "overfill",
    (2, 5): "low_product",
    (2, 7): "high_product",
    (2, 8): "invalid_level",
    (2, 9): "probe_out",
    (2, 10): "water_warning",
    (2, 11): "delivery_needed",
    (2, 12): "maximum_product",
    (2, 27): "low_temperature",
    (2, 33): "high_temperature",
    (2, 34): "low_temperature",
}
"""Gauge alarms of the same kind as one of ours: shown as one, with both sources."""

_GAUGE_ALARM = "gauge_alarm"
_GAUGE_CRITICAL = frozenset({(2, 2), (2, 6), (2, 13), (2, 29)})
_GAUGE_STATES = frozenset({(2, 20), (2, 22)})
_GAUGE_ALARMS = frozenset({(2, number) for number in (3, 4, 5, 7, 8, 9, 12, 14, 15, 18, 19, 26)})


def gauge_alert_name(category: int, number: int) -> str:
    """Return the alert name under which a gauge's own alarm is passed on, e.g. ``gauge_alarm_02_05``."""
    return f"{_GAUGE_ALARM}_{category:02d}_{number:02d}"


def gauge_severity(category: int, number: int) -> Severity:
    """Return how loud a gauge's own alarm is; numbers we do not know are warnings: new firmware adds some."""
    key = (category, number)
    if key in _GAUGE_CRITICAL:
        return Severity.CRITICAL
    if key in _GAUGE_STATES:
        return Severity.NOTICE
    return Severity.ALARM if key in _GAUGE_ALARMS else Severity.WARNING


@dataclass(frozen=True, slots=True)
class _Check:
    alert: str
    rule: Rule
    value: int | None
    may_raise: bool = True


def _checks(limits: TankLimits, sample: TankSample) -> Iterator[_Check]:
    band, used = limits.deadband_ml, not sample.out_of_use
    volume, stock = sample.volume_ml, sample.stock_ml
    yield _Check("maximum_product", Rule(Side.HIGH, DEBOUNCE, limits.maximum_product_ml, band), volume)
    yield _Check("high_product", Rule(Side.HIGH, DEBOUNCE, limits.high_product_ml, band), volume)
    yield _Check("overfill", Rule(Side.HIGH, 1, limits.overfill_ml, band), volume, sample.delivery_running)
    yield from _low("delivery_needed", limits.delivery_needed_ml, band, stock, used=used)
    yield from _low("low_product", limits.low_product_ml, band, stock, used=used)
    yield from _low("unpumpable", limits.unpumpable_ml, band, stock, used=used)
    water = limits.deadband_water_um
    yield _Check("water_warning", Rule(Side.HIGH, DEBOUNCE, limits.water_warning_um, water), sample.water_um)
    yield _Check("water_alarm", Rule(Side.HIGH, DEBOUNCE, limits.water_alarm_um, water), sample.water_um)
    warm, heat = limits.deadband_temperature_mdegc, sample.temperature_mdegc
    yield _Check("high_temperature", Rule(Side.HIGH, DEBOUNCE, limits.high_temperature_mdegc, warm), heat)
    yield _Check("low_temperature", Rule(Side.LOW, DEBOUNCE, limits.low_temperature_mdegc, warm), heat)
    yield _Check("probe_out", Rule(Side.STATE, 2), _flag(sample.probe_out))
    yield _Check("invalid_level", Rule(Side.STATE, DEBOUNCE), _flag(sample.invalid_level))
    # Silence and a change of units are already counted or certain where they are found: told at once.
    yield _Check("gauge_silent", Rule(Side.STATE, 1), _flag(sample.gauge_silent))
    yield _Check("units_changed", Rule(Side.STATE, 1), _flag(sample.units_changed))
    yield _Check("gauge_frozen", Rule(Side.STATE, 1), _flag(sample.frozen))


def _low(alert: str, limit: int | None, band: int, stock: int | None, *, used: bool) -> Iterator[_Check]:
    """A tank out of use raises no low alert, but the volume still decides when an active one is over."""
    if limit is not None:
        rule = Rule(Side.LOW, DEBOUNCE, limit, band)
        yield _Check(alert, rule, stock if used or (stock is not None and _is_over(rule, stock)) else None)


def _flag(value: bool | None) -> int | None:
    return None if value is None else int(value)


def _gauge_checks(alerts: TankAlerts, sample: TankSample) -> Iterator[_Check]:
    if sample.gauge_alarms is None:
        return
    standing = {gauge_alert_name(*key) for key in sorted(sample.gauge_alarms)[:MAX_GAUGE_ALARMS]}
    known = {name for name in alerts.watches if name.startswith(_GAUGE_ALARM)}
    for name in sorted(standing | known):
        yield _Check(name, Rule(Side.STATE, 1), int(name in standing))


def step(alerts: TankAlerts, sample: TankSample, now: Now) -> Result:
    """Judge one sample against every limit and return what rose, cleared or got a new limit, in a fixed order."""
    events: tuple[TankAlertEvent, ...] = ()
    for check in (*_checks(alerts.limits, sample), *_gauge_checks(alerts, sample)):
        watch, edge = judge(
            alerts.watches.get(check.alert, Watch()), check.rule, check.value, may_raise=check.may_raise
        )
        if edge is None and watch.state in ACTIVE_STATES and watch.limit != check.rule.limit:
            watch, edge = replace(watch, limit=check.rule.limit), Edge.UPDATED
        if edge is None:
            alerts = _kept(alerts, check.alert, watch)
        else:
            alerts, told = _told(alerts, check.alert, watch, (edge, check.value), now)
            events += told
    return alerts, events


def _told(alerts: TankAlerts, alert: str, watch: Watch, told: tuple[Edge, int | None], now: Now) -> Result:
    """Keep a watch and number its event. ``told``: the edge and the value it was seen at."""
    edge, value = told
    severity = SEVERITY.get(alert) or gauge_severity(*_gauge_key(alert))
    person = watch.person if edge is Edge.ACKNOWLEDGED else None
    number, unit = alerts.number + 1, UNITS.get(alert, "state")
    event = TankAlertEvent(number, alerts.tank, alert, edge, value, watch.limit, unit, severity, now.wall_ms, person)
    return replace(_kept(alerts, alert, watch), number=number), (event,)


def _kept(alerts: TankAlerts, alert: str, watch: Watch) -> TankAlerts:
    """Keep a watch; one that never counted anything, or a gauge's own alarm that is over, is forgotten."""
    if alerts.watches.get(alert, Watch()) == watch:
        return alerts
    watches = {name: known for name, known in alerts.watches.items() if name != alert}
    if not (alert.startswith(_GAUGE_ALARM) and watch.state is AlertState.NORMAL):
        watches[alert] = watch
    return replace(alerts, watches=watches)


def _gauge_key(alert: str) -> tuple[int, int]:
    category, number = alert.removeprefix(_GAUGE_ALARM + "_").split("_")
    return int(category), int(number)


def acknowledge(alerts: TankAlerts, alert: str, person: str, now: Now) -> Result:
    """Take note of an alert in a person's name, before the next sample is judged; nothing to note tells nothing.

    The gauge is not told: acknowledging here does not acknowledge at the console.
    """
    watch = alerts.watches.get(alert)
    state = None if watch is None else moved(watch.state, Edge.ACKNOWLEDGED)
    if watch is None or state is None:
        return alerts, ()
    noted = replace(watch, state=state, person=person)
    return _told(alerts, alert, noted, (Edge.ACKNOWLEDGED, None), now)


def durable(alerts: TankAlerts) -> dict[str, Any]:
    """Return states and counters as plain data, ready for JSON; the limits come from the configuration."""
    return {
        "tank": alerts.tank,
        "number": alerts.number,
        "watches": {
            name: {
                "state": watch.state.value,
                "raising": watch.raising,
                "clearing": watch.clearing,
                "raised": watch.raised,
                "limit": watch.limit,
                "person": watch.person,
            }
            for name, watch in alerts.watches.items()
        },
    }


def restore(data: Mapping[str, Any], limits: TankLimits) -> TankAlerts:
    """Return the machine that ``durable`` wrote, judged by today's limits. Raises AlertMemoryDamaged."""
    try:
        watches = {
            str(name): Watch(**{**item, "state": AlertState(item["state"])}) for name, item in data["watches"].items()
        }
        return TankAlerts(int(data["tank"]), limits, watches, int(data["number"]))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AlertMemoryDamaged(f"stored tank alerts cannot be read ({error!r}); start with none") from error
