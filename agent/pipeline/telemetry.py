"""Telemetry in the pipeline: readings of tanks, points and the station's health, as often as configured (W-01).

While head office is far behind, or the disk is short of room, only some are journalled, and a record says how many not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from agent.domain import thinning
from agent.domain.thinning import Thinned, Thinning
from agent.pipeline.step import Step
from agent.store.store import Tx
from sync.records import format_time

META = "telemetry_left_out"
"""Fact about a database: readings left out that no record tells yet, by reason."""

BACKLOG, DISK = "backlog", "disk"
"""Why readings are left out."""

Reading = tuple[str, str, dict[str, Any]]
"""Subject, record type and data."""


def at_start(tx: Tx) -> Thinning:
    """Return what was left out before the agent ended."""
    stored = json.loads(tx.memory.meta(META) or "{}")
    return Thinning(left_out={reason: Thinned(*value) for reason, value in stored.items()})


def tell(step: Step) -> None:
    """Every minute: keep the tanks' newest readings and tell whatever is due.

    On a full disk nothing is written at all: what is left is for sales.
    """
    _keep_tanks(step)
    due = list(_due(step))
    if not due:
        return
    if step.memory.disk_is_full:
        for _ in due:
            step.memory.thinning = thinning.left_out(step.memory.thinning, DISK, step.stamp.wall_ms)
        return
    reason = _short_of(step)
    keep_one_of = step.settings.head_office.telemetry_keep if reason else 1
    kept = []
    for subject, type_name, data in due:
        step.memory.thinning, keeps = thinning.judge(step.memory.thinning, subject, data, keep_one_of=keep_one_of)
        if keeps:
            kept.append((type_name, data))
        else:
            step.memory.thinning = thinning.left_out(step.memory.thinning, reason, step.stamp.wall_ms)
    if kept:
        _tell_left_out(step)
    else:
        _remember(step)
    for type_name, data in kept:
        step.journal(type_name, data)


def _short_of(step: Step) -> str:
    """Return why there is no room for every reading; empty where there is."""
    if step.memory.disk_is_low:
        return DISK
    waiting = step.tx.journal.heads["T"][0] - step.tx.delivery.acked("T")
    return BACKLOG if waiting >= step.settings.head_office.telemetry_backlog else ""


def _tell_left_out(step: Step) -> None:
    """The next seq says how many readings have none."""
    found = step.memory.thinning.left_out
    for reason, gone in sorted(found.items()):
        span = {"from": format_time(gone.from_ms), "to": format_time(gone.to_ms), "count": gone.count}
        step.journal("fc.telemetry.thinned.v1", {**span, "reason": reason})
    if found:
        step.memory.thinning = Thinning(step.memory.thinning.told, step.memory.thinning.skipped)
        step.tx.memory.forget_meta(META)


def _remember(step: Step) -> None:
    """What is left out is told after a restart, too."""
    found = step.memory.thinning.left_out
    text = {reason: [gone.from_ms, gone.to_ms, gone.count] for reason, gone in found.items()}
    step.tx.memory.set_meta(META, json.dumps(text, sort_keys=True))


# --- what there is to tell ------------------------------------------------------------------------------------------


def _due(step: Step) -> Iterator[Reading]:
    settings, memory, now_ms = step.settings.head_office, step.memory, step.now.mono_ms
    if now_ms >= memory.telemetry_at_ms:
        memory.telemetry_at_ms = now_ms + settings.telemetry_every
        yield from _tanks(step)
        yield "health", "fc.health.v1", _health(step)
    if now_ms >= memory.points_told_at_ms:
        memory.points_told_at_ms = now_ms + settings.points_every
        yield from _points(step)


def _tanks(step: Step) -> Iterator[Reading]:
    for number, reading in sorted(step.live.tanks.items()):
        told = {key: value for key, value in reading.items() if key != "at_ms" and (key != "doubts" or value)}
        yield f"tank:{number}", "fc.tank.reading.v1", {**told, "tank": number}


def _points(step: Step) -> Iterator[Reading]:
    for number, shown in sorted(step.live.points.items()):
        meters = {meter["nozzle"]: meter for meter in shown["meters"]}
        data = {
            "fuelling_point": number,
            "online": shown["online"],
            "state": shown["state"],
            "quality": "good" if shown["online"] else "offline",
            "alerts": list(shown["alerts"]),
            "nozzles": [_nozzle(nozzle, meters.get(nozzle["nozzle"])) for nozzle in shown["nozzles"]],
        }
        yield f"point:{number}", "fc.point.reading.v1", data


def _nozzle(shown: Mapping[str, Any], meter: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "nozzle": shown["nozzle"],
        "grade": shown["grade"],
        "unit_price_milli": shown["in_force_milli"],
        "totalizer": None if meter is None else meter["totalizer"],
        "totalizer_unit_ml": None if meter is None else meter["unit_ml"],
    }


def _health(step: Step) -> dict[str, Any]:
    heads = step.tx.journal.heads
    devices = step.live.devices.values()
    return {
        "devices": len(devices),
        "devices_online": sum(1 for device in devices if device["online"]),
        "clock": step.stamp.clock,
        "running_s": max(0, step.stamp.wall_ms - step.live.started_ms) // 1000,
        "undelivered": {stream: heads[stream][0] - step.tx.delivery.acked(stream) for stream in sorted(heads)},
        "disk_free_bytes": step.live.disk_free_bytes,
    }


def _keep_tanks(step: Step) -> None:
    keys = ("volume_ml", "ullage_ml", "height_um", "water_height_um", "water_volume_ml", "temperature_mdegc")
    for number, reading in step.live.tanks.items():
        delivery = reading["delivery_in_progress"]
        step.tx.memory.save_tank(
            {
                "tank": number,
                "at_ms": reading["at_ms"],
                "quality": reading["quality"],
                "tc_volume_ml": None,
                "delivery": None if delivery is None else int(delivery),
                **{key: reading[key] for key in keys},
            }
        )
