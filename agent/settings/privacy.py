"""The section [privacy]: how long what can be traced to a person is kept; the key of what is closed. No table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from agent.settings.section import Section
from agent.settings.values import DurationMs, MinutesOfDay

DAY_MS = 86_400_000


class PrivacySettings(Section):
    """[privacy]: deleted every night ``at``, local time; before the backup, so that it holds nothing that is due.

    ``field_key_file``: the key of what stands encrypted in the database, kept outside of it and of its backups.
    """

    field_key_file: Path | None = Field(default=None, strict=False)
    at: MinutesOfDay = 150
    scan_events: Annotated[DurationMs, Field(ge=DAY_MS, le=366 * DAY_MS)] = 180 * DAY_MS
    spent_codes: Annotated[DurationMs, Field(ge=7 * DAY_MS)] = 7 * DAY_MS
    card_counters: Annotated[DurationMs, Field(ge=DAY_MS)] = 30 * DAY_MS
    sales_months: Annotated[int, Field(ge=13, le=240)] = 24
    enrolments: Annotated[DurationMs, Field(ge=DAY_MS, le=30 * DAY_MS)] = 30 * DAY_MS
    fraud_months: Annotated[int, Field(ge=1, le=240)] = 24
