"""What to back up, where to, for whose keys and when: from the station file and the key files it names.

Reads key files; knows the calendar of the station. Makes nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

from agent import age
from agent.backup.errors import BackupError
from agent.settings import Settings
from agent.settings.model import BackupSettings

SPARE_BYTES = 64 * 1024 * 1024
"""What must stay free beside the database: a backup never takes the room that the next sales need."""

FUTURE_MS = 86_400_000
"""A backup from further ahead was made by a wrong clock and does not count; less is a clock put right."""

CREDENTIAL = "backup-identity"
"""Name of the station's own identity among the unit's credentials."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to back up and where to; ``pairs``: the station's own identities, which prove each backup (may be none)."""

    station: str
    software: str
    database: Path
    folder: Path
    recipients: tuple[str, ...]
    pairs: tuple[age.KeyPair, ...]
    copy_to: Path | None
    keep_days: int
    keep_months: int
    zone: tzinfo
    spare_bytes: int = SPARE_BYTES


def plan_of(settings: Settings, wanted: BackupSettings, software: str) -> Plan:
    """Return the plan of a station, its key files read now. Raises BackupError where they cannot be used."""
    return Plan(
        station=settings.station.id,
        software=software,
        database=settings.store.path,
        folder=wanted.folder,
        recipients=recipients_in(wanted.recipients_file),
        pairs=own_pairs(settings),
        copy_to=wanted.copy_to,
        keep_days=wanted.keep_days,
        keep_months=wanted.keep_months,
        zone=settings.station.tz,
    )


def recipients_in(file: Path) -> tuple[str, ...]:
    """Return the public keys in ``file``. Raises BackupError: no backup is ever written for nobody."""
    try:
        return age.recipients(_text(file))
    except age.KeysRefused as failure:
        raise BackupError(f"{file}: {failure}", hint=failure.hint) from failure


def pairs_in(file: Path) -> tuple[age.KeyPair, ...]:
    """Return the key pairs of an identity file. Raises BackupError."""
    try:
        return age.identities(_text(file))
    except age.KeysRefused as failure:
        raise BackupError(f"{file}: {failure}", hint=failure.hint) from failure


def own_pairs(settings: Settings) -> tuple[age.KeyPair, ...]:
    """Return the station's own key pairs: of the file named, else of the credential, else none. Raises BackupError."""
    named = None if settings.backup is None else settings.backup.identity_file
    if named is not None:
        return pairs_in(named)
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    credential = Path(directory) / CREDENTIAL
    return pairs_in(credential) if directory and credential.exists() else ()


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else "is no text"
        raise BackupError(f"{file}: {reason}", hint="docs/backup.md says which keys go where") from failure


def newest_slot_ms(now_ms: int, at_minutes: int, zone: tzinfo) -> int:
    """Return the last moment not after ``now_ms`` at which the station's clocks showed ``at_minutes`` of the day.

    Where summer time skips or repeats that moment, the day still has exactly one.
    """
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    for days_ago in range(3):
        day = today - timedelta(days=days_ago)
        local = datetime(day.year, day.month, day.day, at_minutes // 60, at_minutes % 60, tzinfo=zone)
        slot_ms = int(local.astimezone(UTC).timestamp()) * 1000
        if slot_ms <= now_ms:
            return slot_ms
    return now_ms


def is_due(last_good_ms: int | None, now_ms: int, at_minutes: int, zone: tzinfo) -> bool:
    """Return whether a backup is to be made: none good since the last slot; one from the future does not count."""
    if last_good_ms is None or last_good_ms > now_ms + FUTURE_MS:
        return True
    return last_good_ms < newest_slot_ms(now_ms, at_minutes, zone)
