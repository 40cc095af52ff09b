"""What the station tells of itself when head office asks: how it stands, and for a diagnosis what is not well.

Bounded lists, no paths, no numbers of people, nothing of a customer. Reads what is committed and what is live.
"""

from __future__ import annotations

import platform
import re
import shutil
from pathlib import Path
from typing import Any

from agent import __version__
from agent.domain.redaction import redact
from agent.pipeline import rulebook
from agent.pipeline.step import Step
from agent.store.queries import MAX_ROWS, Queries
from sync.commands import MAX_LISTED
from sync.records import format_time

_PATH = re.compile(r"(?:/[\w.@:+-]+){2,}/?")
_MAX_TEXT = 200


def snapshot(step: Step) -> dict[str, Any]:
    """Return totals, streams, prices, alerts and health as ``sync.commands.ANSWERS`` says."""
    asked = Queries(step.settings.store.path)
    alerts = asked.alerts(limit=MAX_ROWS)
    devices = step.live.devices.values()
    rules = step.memory.rules
    return {
        "software": f"forecourt {__version__}",
        "incarnation": step.tx.memory.meta("incarnation"),
        "time": format_time(step.stamp.wall_ms),
        "clock": step.stamp.clock,
        "running_s": max(0, step.stamp.wall_ms - step.live.started_ms) // 1000,
        "configuration": step.tx.memory.meta("configuration"),
        "rules": {
            "version": 0 if rules is None else rules.version,
            "hash": rulebook.NO_RULES_HASH if rules is None else rules.hash,
        },
        "keys_version": step.memory.keys.version,
        "member_op": int(step.tx.memory.meta("member_op") or "0"),
        "streams": {name: {"last_seq": at["last_seq"], "acked": at["acked"]} for name, at in asked.streams().items()},
        "meters": [
            {
                "fuelling_point": number,
                "nozzle": m.nozzle,
                "grade": _grade(step, number, m.nozzle),
                "totalizer": str(m.total),
            }
            for number, point in sorted(step.memory.points.items())
            for m in point.durable.meters
        ],
        "prices": dict(sorted(step.memory.prices.items())),
        "unsettled_sales": asked.unsettled(),
        "devices": len(devices),
        "devices_online": sum(1 for device in devices if device["online"]),
        "alerts": [
            {"subject": a["subject"], "alert": a["name"], **{k: a[k] for k in ("state", "severity", "raised_at")}}
            for a in alerts[:MAX_LISTED]
        ],
        "alerts_more": len(alerts[MAX_LISTED:]),
        "disk_free_bytes": _free_bytes(step.settings.store.path),
    }


def diagnostics(step: Step) -> dict[str, Any]:
    """Return the snapshot and beside it what a support engineer asks first."""
    asked = Queries(step.settings.store.path)
    letters = asked.rejected()
    findings = step.tx.memory.meta("verify_findings")
    gone = [device for device in step.live.devices.values() if not device["online"]]
    return {
        **snapshot(step),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "database_bytes": _size_bytes(step.settings.store.path),
        "gone": [{"device": device["device"], "reason": _plain(device["reason"])} for device in gone[:MAX_LISTED]],
        "points": [
            {"fuelling_point": number, "state": shown["state"], "alerts": list(shown["alerts"])}
            for number, shown in sorted(step.live.points.items())
        ],
        "dead_letters": [{key: row[key] for key in ("stream", "seq", "reason")} for row in letters[:MAX_LISTED]],
        "dead_letters_more": len(letters[MAX_LISTED:]),
        "incarnations": [
            {"incarnation": row["incarnation"], "reason": row["reason"]} for row in asked.incarnations()[:MAX_LISTED]
        ],
        "verify_findings": None if findings is None else int(findings),
    }


def _grade(step: Step, point: int, nozzle: int) -> str | None:
    nozzles = step.memory.points[point].config.nozzles
    return next((n.grade for n in nozzles if n.number == nozzle), None)


def _plain(text: str) -> str:
    """Return what a device or the system said, without numbers of people and without paths."""
    return _PATH.sub("[path]", redact(str(text)))[:_MAX_TEXT]


def _free_bytes(database: Path) -> int | None:
    try:
        return shutil.disk_usage(database.parent).free
    except OSError:
        return None


def _size_bytes(database: Path) -> int | None:
    try:
        return database.stat().st_size
    except OSError:
        return None
