"""What every simulated day begins with: migrated databases, members and a rule set, made once per process."""

from __future__ import annotations

import json
import shutil
import tempfile
from atexit import register
from functools import cache
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from agent.domain.identity import IndexKind, blind_index
from agent.inbox import FromHeadOffice
from agent.store.store import Store
from headoffice.store.database import Database
from sync import ports
from tests.support.station import INDEX_KEY, member_of
from tests.support.station_settings import RULES, STATION

SHARED_MEMORY = Path("/dev/shm")
"""A file system in memory, where there is one: what is proven here is the order of writes, not the disk's patience."""


def new_folder() -> Path:
    """A folder for one day."""
    base = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    return Path(tempfile.mkdtemp(prefix="forecourt-day-", dir=base))


@cache
def template() -> Path:
    """Two migrated databases in which nothing was ever written."""
    folder = new_folder()
    register(shutil.rmtree, folder, ignore_errors=True)
    Store(folder / "station.db", station=STATION, random=Random(0)).close()
    Database(folder / "hq.db", migrate=True).close()
    return folder


def copy_to(folder: Path) -> None:
    """Begin a day."""
    for name in ("station.db", "hq.db"):
        shutil.copy(template() / name, folder / name)


def rules(version: int) -> FromHeadOffice:
    """A rule set as it arrives."""
    body = json.dumps({**RULES, "version": version}).encode()
    return FromHeadOffice(ports.DocumentArrived("rules", version, sha256(body).digest(), body))


def members(cards: tuple[str, ...]) -> FromHeadOffice:
    """The members of all cards."""
    operations: list[dict[str, Any]] = [
        {
            "op": number,
            "kind": "PUT",
            "member": member_of(number),
            "indexes": [blind_index(INDEX_KEY, IndexKind.CARD, card).hex()],
            "tier": "",
            "growth": 0,
            "mask": f"****{card[-4:]}",
        }
        for number, card in enumerate(cards, 1)
    ]
    return FromHeadOffice(ports.MembersPage(0, tuple(operations)))
