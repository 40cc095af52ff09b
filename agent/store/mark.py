"""The high-water file (W-30): outside the database, its folder and its backups; may be behind it, never ahead.

A restored or copied database is older than this file says: then it gets a new incarnation (W-31).
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.domain.sale import Totalizer
from agent.store import durable

Count = tuple[str, int, int]
"""Where a meter stood: ``epoch:raw``, its unit in ml, its modulus."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What the file holds: the incarnation, how often we connected, the last seq and hash per stream, and by
    ``fuelling point:nozzle`` where each meter stood: a database that is lost takes the epochs of its counts with it.
    """

    incarnation: str
    connect_n: int
    streams: Mapping[str, tuple[int, str]]
    meters: Mapping[str, Count] = field(default_factory=dict)


class MarkDamaged(Exception):
    """The file exists and is no high-water file."""


def read(path: Path) -> Mark | None:
    """Return the mark, ``None`` where there is no file. Raises MarkDamaged for anything that is not one."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        value = json.loads(content)
        streams = {name: (int(head["seq"]), str(head["hash"])) for name, head in value["streams"].items()}
        meters = {name: _count(told) for name, told in value.get("meters", {}).items()}
        return Mark(str(value["incarnation"]), int(value["connect_n"]), streams, meters)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as failure:
        raise MarkDamaged(f"{path} is not a high-water file") from failure


def _count(told: tuple[str, int, int]) -> Count:
    total, unit_ml, modulus = told
    return str(Totalizer.parse(total)), int(unit_ml), int(modulus)


def write(path: Path, mark: Mark) -> None:
    """Replace the file atomically and durably. Raises OSError; the old file then stands."""
    value = {
        "incarnation": mark.incarnation,
        "connect_n": mark.connect_n,
        "streams": {name: {"seq": seq, "hash": digest} for name, (seq, digest) in mark.streams.items()},
        "meters": {name: list(count) for name, count in mark.meters.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        content = json.dumps(value, sort_keys=True).encode("utf-8")
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(fresh))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
    durable.sync_folder(path.parent)


def database_is_behind(mark: Mark | None, incarnation: str, heads: Mapping[str, tuple[int, bytes]]) -> bool:
    """Return whether the database is older than the file says, or belongs to another incarnation."""
    if mark is None:
        return False
    if mark.incarnation != incarnation:
        return True
    return any(heads[name][0] < seq for name, (seq, _) in mark.streams.items() if name in heads)
