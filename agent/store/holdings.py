"""A member's lots out of rows, for the writer and for readers alike: head office's, and what was posted here since."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Protocol

from agent.domain.effective import AsOf, OwnPosting, effective_lots
from agent.domain.holdings import base_lots
from agent.domain.ledger import Account, Lot, Posting


class Row(Protocol):
    """A row by column name, whoever read it."""

    def __getitem__(self, key: str, /) -> Any:
        """Return one column."""
        ...


def member_lots(
    member: Row, lots: Iterable[Row], postings: Iterable[Row], lineage: Sequence[tuple[int, str]]
) -> tuple[Lot, ...]:
    """Return a member's lots with what is left on each.

    ``member``, ``lots`` and ``postings`` are whole rows of their tables; ``lineage``: number and name of every
    incarnation of this database, oldest first.
    """
    as_of = None if member["as_of"] is None else AsOf(**json.loads(member["as_of"]))
    names: Mapping[int, str] = dict(lineage)
    own = [
        OwnPosting(
            names[row["generation"]],
            row["seq"],
            Posting(Account(row["account"]), row["points"], row["lot"], member["id"]),
        )
        for row in postings
    ]
    own_lots = [
        Lot(
            row["id"],
            0,
            row["earned_ms"],
            row["usable_from_ms"],
            None if row["expires_on"] is None else date.fromisoformat(row["expires_on"]),
            row["source"],
        )
        for row in lots
    ]
    base = base_lots(json.loads(member["base_lots"]))
    return effective_lots(base, as_of, own_lots, own, [name for _, name in lineage])


def read_lots(db: sqlite3.Connection, member: Row) -> tuple[Lot, ...]:
    """Return the same for a reader whose rows have names; ``member``: its whole row."""
    ref = (member["ref"],)
    return member_lots(
        member,
        db.execute("SELECT * FROM lot WHERE member_ref = ?", ref).fetchall(),
        db.execute("SELECT * FROM posting WHERE member_ref = ? ORDER BY id", ref).fetchall(),
        [(row[0], row[1]) for row in db.execute("SELECT generation, incarnation FROM incarnation ORDER BY generation")],
    )
