"""The index key is exchanged: begun, watched and ended here. In between members are told with the indexes of both keys.

Knows key files and members. Plain numbers are in neither: whoever has them imports them once in between.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from headoffice.errors import UsageError
from headoffice.keys import INDEX_FILE, INDEX_KEY_BYTES, NEXT_INDEX_FILE, load_keys, write_private
from headoffice.store import members as store
from headoffice.store.database import Database

STEPS = ("begin", "status", "finish")


@dataclass(frozen=True, slots=True)
class Rotation:
    """``version``, ``next_version``: what the keys are called; ``ready`` of ``members`` with a number have both."""

    version: str
    next_version: str | None
    members: int
    ready: int


def begin(folder: Path) -> None:
    """Make the next key. Raises UsageError where there is one, KeyProblem."""
    load_keys(folder)
    if (folder / NEXT_INDEX_FILE).exists():
        raise UsageError("the index key is being exchanged already", hint="members rotate-index-key status")
    write_private(folder / NEXT_INDEX_FILE, secrets.token_hex(INDEX_KEY_BYTES).encode() + b"\n")


def status(database: Database, folder: Path) -> Rotation:
    """Return how far it is. Raises KeyProblem."""
    versions = load_keys(folder).index_versions
    with database.read() as connection:
        bodies = [body for body in store.bodies(connection) if body["indexes"]]
    ready = sum(1 for body in bodies if body.get("indexes_next"))
    return Rotation(versions[0], versions[1] if len(versions) > 1 else None, len(bodies), ready)


def finish(database: Database, folder: Path, *, without_them: bool = False) -> int:
    """Let the next key take the place of the other one, whose indexes go; returns how many members were told anew.

    Asked again after it was cut short it goes on: the key file changes last but one, the database after it.

    ``without_them``: members without an index of the next key are recognised by nothing until they are imported. Raises
    UsageError while there are any, and where nothing was begun.
    """
    now = status(database, folder)
    if now.next_version is None and now.ready == 0:
        raise UsageError("no exchange of the index key was begun", hint="members rotate-index-key begin")
    if now.next_version is not None and now.ready < now.members and not without_them:
        raise UsageError(
            f"{now.members - now.ready} of {now.members} members have no index of the next key",
            hint="members import their numbers again; --without-them gives up recognising those",
        )
    with database.write() as connection:
        op = store.next_op(connection) - 1
        first = op
        for body in store.bodies(connection):
            if now.next_version is None and "indexes_next" not in body:
                continue  # imported since the key file changed
            fresh = {**body, "indexes": body.get("indexes_next", [])}
            fresh.pop("indexes_next", None)
            op += int(store.put(connection, fresh, op + 1))
        if now.next_version is not None:
            (folder / NEXT_INDEX_FILE).replace(folder / INDEX_FILE)
    return op - first
