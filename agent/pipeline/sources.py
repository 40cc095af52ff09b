"""What numbers are made with, audited when it changes: strapping tables of tanks and register maps of lines."""

from __future__ import annotations

import json
from collections.abc import Mapping

from agent.pipeline.step import Step
from agent.settings import Settings
from drivers.registry import spec

NONE = "none"


def tell(step: Step) -> None:
    """Audit what differs from the last start: from here on numbers are made differently."""
    tables = {str(tank): f"sha256 {table.sha256}" for tank, table in step.settings.tables.items()}
    _tell(step, "strapping-tables", "strapping_table", "tank", tables)
    _tell(step, "register-maps", "register_map", "line", _maps(step.settings))


def _maps(settings: Settings) -> dict[str, str]:
    described = {config.id: spec(config.protocol).describe(config) for config in settings.line_configs()}
    return {line: text for line, text in described.items() if text}


def _tell(step: Step, key: str, action: str, kind: str, now: Mapping[str, str]) -> None:
    before: dict[str, str] = json.loads(step.tx.memory.meta(key) or "{}")
    if now == before:
        return
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            step.audit("agent", "agent", action, f"{kind} {name}", reason=now.get(name, NONE))
    step.tx.memory.set_meta(key, json.dumps(now, sort_keys=True))
