"""Alerts that latch: raised, cleared and acknowledged, each edge told once; the machine for alerts about devices.

Knows no device and no limit: the caller says what holds. An alert leaves the screen only when over and acknowledged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from agent.domain.instant import Now


class AlertState(StrEnum):
    """CLEARED: over, not yet acknowledged. ACTIVE_ACKED: acknowledged, not yet over."""

    NORMAL = "NORMAL"
    ACTIVE = "ACTIVE"
    ACTIVE_ACKED = "ACTIVE_ACKED"
    CLEARED = "CLEARED"


class Edge(StrEnum):
    """What is told to people and to head office. UPDATED: an active alert is judged by a new limit."""

    RAISED = "raised"
    UPDATED = "updated"
    ACKNOWLEDGED = "acknowledged"
    CLEARED = "cleared"


ACTIVE_STATES = frozenset({AlertState.ACTIVE, AlertState.ACTIVE_ACKED})

_MOVES = {
    (AlertState.NORMAL, Edge.RAISED): AlertState.ACTIVE,
    (AlertState.CLEARED, Edge.RAISED): AlertState.ACTIVE,
    (AlertState.ACTIVE, Edge.CLEARED): AlertState.CLEARED,
    (AlertState.ACTIVE_ACKED, Edge.CLEARED): AlertState.NORMAL,
    (AlertState.ACTIVE, Edge.ACKNOWLEDGED): AlertState.ACTIVE_ACKED,
    (AlertState.CLEARED, Edge.ACKNOWLEDGED): AlertState.NORMAL,
}


def moved(state: AlertState, edge: Edge) -> AlertState | None:
    """Return the state after an edge, or ``None`` where the edge means nothing in this state."""
    return _MOVES.get((state, edge))


MAX_DEVICE_ALERTS = 1000
"""Alerts standing at once: far above devices times alert names of one station; more means a runaway subject name."""


@dataclass(frozen=True, slots=True)
class DeviceAlert:
    """One standing alert of a subject. ``raised``: how often it was raised since it was last over and acknowledged."""

    subject: str
    alert: str
    state: AlertState
    raised: int
    since_ms: int
    evidence: str | None = None
    person: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceAlertEvent:
    """An edge of a device alert; ``number`` counts the events of this machine from 1 and survives restarts."""

    number: int
    subject: str
    alert: str
    state: Edge
    evidence: str | None
    at_ms: int
    person: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceAlerts:
    """Every standing device alert by (subject, alert name)."""

    standing: Mapping[tuple[str, str], DeviceAlert] = field(default_factory=dict)
    number: int = 0


Result = tuple[DeviceAlerts, tuple[DeviceAlertEvent, ...]]


def raise_alert(alerts: DeviceAlerts, subject: str, alert: str, evidence: str | None, now: Now) -> Result:
    """Raise an alert; one that is already active stays as it is and tells nothing."""
    known = alerts.standing.get((subject, alert))
    if known is None:
        if len(alerts.standing) >= MAX_DEVICE_ALERTS:
            return alerts, ()
        known = DeviceAlert(subject, alert, AlertState.NORMAL, 0, now.wall_ms)
    fresh = replace(known, raised=known.raised + 1, since_ms=now.wall_ms, evidence=evidence, person=None)
    return _edge(alerts, known, fresh, Edge.RAISED, now)


def clear_alert(alerts: DeviceAlerts, subject: str, alert: str, now: Now) -> Result:
    """Say that the cause is gone; an alert that is not active tells nothing."""
    known = alerts.standing.get((subject, alert))
    return (alerts, ()) if known is None else _edge(alerts, known, known, Edge.CLEARED, now)


def acknowledge_alert(alerts: DeviceAlerts, subject: str, alert: str, person: str, now: Now) -> Result:
    """Take note of an alert in a person's name; one already acknowledged tells nothing."""
    known = alerts.standing.get((subject, alert))
    return (
        (alerts, ()) if known is None else _edge(alerts, known, replace(known, person=person), Edge.ACKNOWLEDGED, now)
    )


def _edge(alerts: DeviceAlerts, known: DeviceAlert, changed: DeviceAlert, edge: Edge, now: Now) -> Result:
    state = moved(known.state, edge)
    if state is None:
        return alerts, ()
    key = (known.subject, known.alert)
    standing = {other: alert for other, alert in alerts.standing.items() if other != key}
    if state is not AlertState.NORMAL:
        standing[key] = replace(changed, state=state)
    number = alerts.number + 1
    person = changed.person if edge is Edge.ACKNOWLEDGED else None
    event = DeviceAlertEvent(number, known.subject, known.alert, edge, changed.evidence, now.wall_ms, person)
    return DeviceAlerts(standing, number), (event,)


class AlertMemoryDamaged(ValueError):
    """Stored alert state cannot be read: a value is missing or of the wrong kind.

    Example scenarios: a row edited by hand; a newer version's data read by an older one. Start with no standing alerts:
    whatever still holds is raised again.
    """


def durable(alerts: DeviceAlerts) -> dict[str, Any]:
    """Return the machine as dicts, lists, strings and integers, ready for JSON."""
    return {
        "number": alerts.number,
        "standing": [
            {
                "subject": alert.subject,
                "alert": alert.alert,
                "state": alert.state.value,
                "raised": alert.raised,
                "since_ms": alert.since_ms,
                "evidence": alert.evidence,
                "person": alert.person,
            }
            for alert in alerts.standing.values()
        ],
    }


def restore(data: Mapping[str, Any]) -> DeviceAlerts:
    """Return the machine that ``durable`` wrote. Raises AlertMemoryDamaged."""
    try:
        standing = [DeviceAlert(**{**item, "state": AlertState(item["state"])}) for item in data["standing"]]
        return DeviceAlerts({(alert.subject, alert.alert): alert for alert in standing}, int(data["number"]))
    except (KeyError, TypeError, ValueError) as error:
        raise AlertMemoryDamaged(f"stored device alerts cannot be read ({error!r}); start with none") from error
