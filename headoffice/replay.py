"""Takes dead letters up again after an upgrade: what is understood now becomes a fact, at its old place (W-23).

Knows the judgement of one record; knows no message. The row of the dead letter stays as evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

from headoffice.ingest import keep
from headoffice.store import dead, facts, presence, streams
from headoffice.store.database import Database, Transaction
from headoffice.store.sheet import Sheet
from sync.messages import Rejected, check_record


@dataclass(frozen=True, slots=True)
class Replayed:
    """Counts of one replay: what became a fact, what was a second arrival, what stays dead."""

    facts: int
    duplicates: int
    still_dead: int


def replay(database: Database, now_ms: int, *, reason: str | None = None, number: int | None = None) -> Replayed:
    """Judge dead letters again, oldest first, in one transaction; all, or those of a reason, or one by its number."""
    database.make_room(now_ms)
    return database.transact(lambda connection: _replay(connection, now_ms, reason, number))


def _replay(connection: Transaction, now_ms: int, reason: str | None, number: int | None) -> Replayed:
    counts = {streams.FACT: 0, streams.DUPLICATE: 0, streams.DEAD: 0}
    letters = dead.waiting(connection, reason=reason, number=number)
    presence.lock(connection, {letter.key.station for letter in letters})
    sheet = Sheet(connection)
    for letter in letters:
        verdict = check_record(letter.raw, letter.seq, letter.key.stream)
        if isinstance(verdict, Rejected):
            counts[streams.DEAD] += 1
            continue
        kept_as, _ = keep(sheet, facts.arrived(letter.key, verdict, letter.raw, now_ms))
        counts[kept_as] += 1
        if kept_as != streams.DEAD:
            dead.mark_replayed(connection, letter, kept_as, now_ms)
    sheet.flush()
    return Replayed(counts[streams.FACT], counts[streams.DUPLICATE], counts[streams.DEAD])
