"""Cards that sign: their closed keys and their counters, inside the transaction of what a tap pays for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from agent.store.card_tables import CARD
from agent.store.named import NAMED, in_buckets
from agent.store.prepared import Found, Prepared, raw
from agent.store.retention import counted

_HERE = CARD.c.card_id == bindparam("of_card")
_FIND = Prepared(select(CARD).where(_HERE))
_ANY_CLOSED = Prepared(select(CARD).where(CARD.c.sealed_key.is_not(None)).limit(1))
_ACCEPT = Prepared(
    update(CARD)
    .where(_HERE & (CARD.c.counter.is_(None) | (CARD.c.counter < bindparam("new_counter"))))
    .values(counter=bindparam("new_counter"), seen_ms=bindparam("at_ms"), scan=bindparam("by_scan"))
)
_ERASE_OF_MEMBERS = f"""
UPDATE card SET sealed_key = NULL, gone_ms = coalesce(gone_ms, ?) WHERE sealed_key IS NOT NULL
AND member_ref IN (SELECT m.ref FROM {NAMED})"""  # noqa: S608
_FORGET_MEMBER = """
UPDATE card SET sealed_key = NULL, gone_ms = coalesce(gone_ms, ?), member_ref = NULL WHERE member_ref = ?"""


class CardTable:
    """Reads and writes inside the caller's transaction. ``card``: its keyed id, 16 bytes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = raw(connection)

    def by_id(self, card: bytes) -> Found | None:
        """Return a card."""
        return _FIND.first(self._raw, {"of_card": card})

    def any_closed(self) -> Found | None:
        """Return some card that has a key, ``None`` where none has."""
        return _ANY_CLOSED.first(self._raw, {})

    def is_empty(self) -> bool:
        """Return whether no card is known: then nothing needs to be looked for."""
        return self._connection.exec_driver_sql("SELECT 1 FROM card LIMIT 1").first() is None

    def put(self, card: bytes, values: Mapping[str, Any]) -> None:
        """Insert a card, or change what ``values`` names; a counter stays unless they name it."""
        fresh = {"random_uid": 0, "clearance": 0, "held": 0, **values, "card_id": card}
        statement = upsert(CARD).values(**fresh)
        self._connection.execute(statement.on_conflict_do_update(["card_id"], set_=dict(values)))

    def accept(self, card: bytes, counter: int, *, at_ms: int, scan: str) -> bool:
        """Raise a card's counter; returns False, and changes nothing, where it is there or beyond already."""
        row = {"of_card": card, "new_counter": counter, "at_ms": at_ms, "by_scan": scan}
        return _ACCEPT.run(self._raw, row).rowcount == 1

    def hold(self, card: bytes) -> None:
        """Let a card earn only from now on."""
        self._connection.execute(update(CARD).where(CARD.c.card_id == card).values(held=1))

    def erase_keys(self, members: Sequence[str], at_ms: int) -> None:
        """Erase the keys of the cards of these members (ids). Counters stay a while: a card may come back."""
        self._connection.exec_driver_sql(_ERASE_OF_MEMBERS, (at_ms, in_buckets(members)))

    def forget_member(self, ref: int, at_ms: int) -> None:
        """Erase the keys of a member's cards and whose they were."""
        self._connection.exec_driver_sql(_FORGET_MEMBER, (at_ms, ref))

    def due(self, before_ms: int) -> int:
        """Return how many cards left the cache earlier, up to ``COUNTED``."""
        return counted(self._connection, select(CARD.c.card_id).where(CARD.c.gone_ms < before_ms))

    def drop(self, before_ms: int, at_most: int) -> int:
        """Delete cards that left the cache earlier, with their counters; returns how many."""
        oldest = select(CARD.c.card_id).where(CARD.c.gone_ms < before_ms).order_by(CARD.c.gone_ms).limit(at_most)
        return int(self._connection.execute(delete(CARD).where(CARD.c.card_id.in_(oldest))).rowcount)
