"""Takes dead letters up again after an upgrade: what is understood now becomes a fact, at its old place (W-23).

Knows the judgement of one record, and whom to tell; knows no message. The row of the dead letter stays as evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from agent.ids import RandomBits
from headoffice import commands
from headoffice.ingest import keep
from headoffice.keys import Keys
from headoffice.store import dead, facts, presence, streams
from headoffice.store.database import Database, Transaction
from headoffice.store.sheet import Sheet
from sync.commands import MAX_LISTED
from sync.messages import Rejected, check_record


@dataclass(frozen=True, slots=True)
class Replayed:
    """One replay: what became a fact, what was a second arrival, what stays dead; the commands that tell stations."""

    facts: int
    duplicates: int
    still_dead: int
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Orders:
    """Who tells the stations that their alerts are over, and what it is signed with."""

    keys: Keys
    by: str
    random: RandomBits


def replay(
    database: Database,
    now_ms: int,
    *,
    reason: str | None = None,
    number: int | None = None,
    orders: Orders | None = None,
) -> Replayed:
    """Judge dead letters again, oldest first, in one transaction; all, or those of a reason, or one by its number.

    With ``orders`` the same transaction signs what ends the alerts of these records at their stations.
    """
    database.make_room(now_ms)

    def work(connection: Transaction) -> Replayed:
        letters = dead.waiting(connection, reason=reason, number=number)
        kept = _replay(connection, letters, now_ms)
        alive = [letter for letter, how in zip(letters, kept, strict=True) if how != streams.DEAD]
        told = [] if orders is None else _tell(connection, alive, orders, now_ms)
        dead_now = len(letters) - len(alive)
        return Replayed(kept.count(streams.FACT), kept.count(streams.DUPLICATE), dead_now, tuple(told))

    return database.transact(work)


def _replay(connection: Transaction, letters: list[dead.Letter], now_ms: int) -> list[str]:
    """Return of each letter how it is kept now."""
    kept = []
    presence.lock(connection, {letter.key.station for letter in letters})
    sheet = Sheet(connection)
    for letter in letters:
        verdict = check_record(letter.raw, letter.seq, letter.key.stream)
        if isinstance(verdict, Rejected):
            kept.append(streams.DEAD)
            continue
        kept_as, _ = keep(sheet, facts.arrived(letter.key, verdict, letter.raw, now_ms))
        kept.append(kept_as)
        if kept_as != streams.DEAD:
            dead.mark_replayed(connection, letter, kept_as, now_ms)
    sheet.flush()
    return kept


def _tell(connection: Transaction, alive: list[dead.Letter], orders: Orders, now_ms: int) -> list[str]:
    """A station's alert names stream and seq: it stands while a letter of another life with these is dead."""
    ids = []
    places = sorted({(letter.key.station, letter.key.stream, letter.seq) for letter in alive})
    for (station, stream), group in groupby(places, key=lambda place: place[:2]):
        still = dead.waiting_seqs(connection, station, stream)
        seqs = [seq for _, _, seq in group if seq not in still]
        for first in range(0, len(seqs), MAX_LISTED):
            args = {"stream": stream, "seqs": seqs[first : first + MAX_LISTED]}
            wanted = commands.Wanted("clear_dead_letters", (station,), args, orders.by, commands.MAX_VALID_MS)
            ids += commands.keep(connection, orders.keys, wanted, (station,), now_ms=now_ms, random=orders.random)
    return ids
