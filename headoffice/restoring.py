"""What follows when this database was put back from an old copy: no number that stations know is used a second time.

Run once, by a person who knows that it was. Knows no broker: the next ``serve`` tells the stations, who say hello anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from headoffice import codes
from headoffice.documents import RULES
from headoffice.errors import UsageError
from headoffice.store import documents, members, restorations
from headoffice.store.alerts import raise_own_alert
from headoffice.store.database import Database, Transaction
from headoffice.store.documents import StoredHead
from sync.messages import format_time

US_PER_MS = 1_000
"""Numbers go on from the microseconds since 1970. What was numbered behind the copy, after however many restores of the
same one, is less: nothing here is numbered a million times a second.
"""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done. Numbers before and after; ``rules_version``: the newest rule set of the copy, None: it has none."""

    at: str
    head_version_before: int
    head_version: int
    member_op_before: int
    member_op: int
    key_set_version_before: int | None
    key_set_version: int | None
    rules_version: int | None
    members: int


def restored(database: Database, now_ms: int) -> Restored:
    """Let every number go on beyond all that the lost state may have given out. Said twice, they go on twice.

    Raises UsageError where the clock is behind what the copy has seen: then a number could come again.
    """
    return database.transact(lambda connection: _restored(connection, now_ms))


def _restored(connection: Transaction, now_ms: int) -> Restored:
    newest_ms = restorations.newest_sign_ms(connection)
    if now_ms < newest_ms:
        raise UsageError(
            f"the clock says {format_time(now_ms)}, this database has something from {format_time(newest_ms)}",
            hint="set the clock of this machine: the numbers go on by it",
        )
    known = documents.newest_head(connection)
    head_before, op_before = 0 if known is None else known.number, members.last_op(connection)
    keys_before = codes.published_version(connection)
    number = 1 + max(now_ms * US_PER_MS, head_before, op_before, keys_before or 0)
    count = restorations.move_members(connection, number - op_before) if op_before else 0
    # no head of this number is ever published: the next one is signed by whoever serves
    documents.add_head(connection, StoredHead(number, "{}", "", "", 0))
    if keys_before is not None:
        codes.renumber(connection, number, now_ms)
    restorations.note(connection, now_ms, number)
    detail = f"numbers go on from {number}; imported members and rule sets since the copy are to be handed out again"
    raise_own_alert(connection, station="", alert="restored", subject="database", detail=detail, now_ms=now_ms)
    rules = documents.newest(connection, RULES)
    return Restored(
        at=format_time(now_ms),
        head_version_before=head_before,
        head_version=number,
        member_op_before=op_before,
        member_op=number,
        key_set_version_before=keys_before,
        key_set_version=None if keys_before is None else number,
        rules_version=None if rules is None else rules.version,
        members=count,
    )
