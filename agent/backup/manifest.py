"""The small JSON file beside each backup: what is inside, how to recognise it, nothing about any person.

Knows names and fields. Knows no key and opens no backup.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FORMAT = "forecourt-backup/1"
SUFFIX = ".fcbackup"
MANIFEST_SUFFIX = ".json"
MAX_MANIFEST_BYTES = 65_536
_NAME = re.compile(r"([A-Za-z0-9_-]{1,32})_([0-9]{8}T[0-9]{6}Z)\.fcbackup")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What stands in the file. ``streams``: last seq, its hash, and how far head office had acknowledged.

    ``findings``: what `forecourt verify` found off in the copy; ``proved``: it was decrypted again and compared.
    """

    station: str
    incarnation: str
    made_ms: int
    software: str
    schema: str
    streams: dict[str, dict[str, Any]]
    records: int
    sales: int
    findings: int
    database_bytes: int
    database_sha256: str
    sealed_bytes: int
    sealed_sha256: str
    recipients: tuple[str, ...]
    proved: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A backup in a folder; ``manifest`` None where there is none that can be read; ``size`` in bytes."""

    path: Path
    made_ms: int
    size: int
    manifest: Manifest | None

    @property
    def good(self) -> bool:
        """Whether it is complete and its database was found without a fault."""
        known = self.manifest
        return known is not None and known.sealed_bytes == self.size and known.findings == 0

    @property
    def state(self) -> str:
        """``good``, or in a word why not."""
        if self.manifest is None:
            return "no_manifest"
        if self.manifest.sealed_bytes != self.size:
            return "wrong_size"
        return "good" if self.manifest.findings == 0 else "findings"


def file_name(station: str, made_ms: int) -> str:
    """Return the name of a backup, such as ``SH-0001_20261122T031500Z.fcbackup``."""
    return f"{station}_{datetime.fromtimestamp(made_ms // 1000, UTC):%Y%m%dT%H%M%SZ}{SUFFIX}"


def manifest_path(backup: Path) -> Path:
    """Return where the manifest of a backup lies."""
    return backup.with_suffix(MANIFEST_SUFFIX)


def is_alone(path: Path) -> bool:
    """Return whether a manifest has no backup: its maker was interrupted before the backup got its name."""
    backup = path.with_suffix(SUFFIX)
    return made_ms(backup.name) is not None and not backup.exists()


def as_bytes(manifest: Manifest) -> bytes:
    """Return the manifest as indented JSON; ``made_at`` is the same moment for people."""
    moment = datetime.fromtimestamp(manifest.made_ms // 1000, UTC)
    value = {"format": FORMAT, "made_at": f"{moment:%Y-%m-%dT%H:%M:%SZ}", **asdict(manifest)}
    return json.dumps(value, indent=2).encode("utf-8") + b"\n"


def read(path: Path) -> Manifest | None:
    """Return the manifest at ``path``, None where there is none that this software understands."""
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(MAX_MANIFEST_BYTES))
        if value.pop("format") != FORMAT:
            return None
        value.pop("made_at")
        value["recipients"] = tuple(value["recipients"])
        found = Manifest(**value)
        kinds = all(isinstance(getattr(found, name), kind) for name, kind in _KINDS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return found if kinds else None


_KINDS = (
    ("station", str),
    ("incarnation", str),
    ("made_ms", int),
    ("software", str),
    ("schema", str),
    ("streams", dict),
    ("records", int),
    ("sales", int),
    ("findings", int),
    ("database_bytes", int),
    ("database_sha256", str),
    ("sealed_bytes", int),
    ("sealed_sha256", str),
    ("proved", bool),
)


def made_ms(name: str) -> int | None:
    """Return when a backup of this name was made, None where it is not the name of one."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        moment = datetime.strptime(match[2], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) * 1000


def entries(folder: Path, station: str) -> tuple[Entry, ...]:
    """Return the backups of a station in ``folder``, the newest first. Raises OSError where it cannot be read."""
    found = []
    for path in folder.iterdir():
        moment = made_ms(path.name)
        if moment is None or not path.name.startswith(f"{station}_"):
            continue
        found.append(Entry(path, moment, path.stat().st_size, read(manifest_path(path))))
    return tuple(sorted(found, key=lambda entry: entry.path.name, reverse=True))


def newest_good(found: Iterable[Entry]) -> Entry | None:
    """Return the newest good one of ``entries``."""
    return next((entry for entry in found if entry.good), None)
