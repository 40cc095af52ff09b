"""A member's lots out of rows, for the writer and for readers alike: head office's, and what was posted here since."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Protocol

from agent.domain.effective import AsOf, OwnPosting, Part, merged_lots
from agent.domain.holdings import base_lots
from agent.domain.ledger import Account, Lot, Posting


class Row(Protocol):
    """A row by column name, whoever read it."""

    def __getitem__(self, key: str, /) -> Any:
        """Return one column."""
        ...


def member_lots(
    ids: Sequence[Row], lots: Iterable[Row], postings: Iterable[Row], lineage: Sequence[tuple[int, str]]
) -> tuple[Lot, ...]:
    """Return a member's lots with what is left on each.

    ``ids``: the member's row, then those of the ids that head office merged into it. ``lots`` and ``postings`` of all
    of them are whole rows of their tables; ``lineage``: number and name of every incarnation, oldest first.
    """
    names: Mapping[int, str] = dict(lineage)
    own: dict[int, list[OwnPosting]] = {row["ref"]: [] for row in ids}
    for row in postings:
        leg = Posting(Account(row["account"]), row["points"], row["lot"], ids[0]["id"])
        own[row["member_ref"]].append(OwnPosting(names[row["generation"]], row["seq"], leg))
    parts = [Part(base_lots(json.loads(row["base_lots"])), as_of_of(row), tuple(own[row["ref"]])) for row in ids]
    own_lots = [
        Lot(
            row["id"],
            0,
            row["earned_ms"],
            row["usable_from_ms"],
            None if row["expires_on"] is None else date.fromisoformat(row["expires_on"]),
            row["source"],
        )
        for row in sorted(lots, key=lambda row: row["member_ref"] != ids[0]["ref"])
    ]
    return merged_lots(parts, own_lots, [name for _, name in lineage])


def as_of_of(member: Row) -> AsOf | None:
    """Return the place up to which the base of a member's row includes what happened here."""
    return None if member["as_of"] is None else AsOf(**json.loads(member["as_of"]))


def ids_of(db: sqlite3.Connection, member: Row) -> list[Row]:
    """Return a member's row and those of the ids merged into it."""
    return [member, *db.execute(_MERGED_INTO, (member["ref"],))]


_MERGED_INTO = "SELECT m.* FROM member_alias a JOIN member m ON m.ref = a.ref WHERE a.to_ref = ? ORDER BY a.ref"

REFS = "(SELECT ? UNION ALL SELECT ref FROM member_alias WHERE to_ref = ?)"
"""The surrogates of a member and of the ids merged into it, for a reader who hands in the surrogate twice."""


def read_lots(db: sqlite3.Connection, member: Row) -> tuple[Lot, ...]:
    """Return the same for a reader whose rows have names; ``member``: its whole row."""
    refs = (member["ref"], member["ref"])
    return member_lots(
        ids_of(db, member),
        db.execute(f"SELECT * FROM lot WHERE member_ref IN {REFS}", refs).fetchall(),  # noqa: S608
        db.execute(f"SELECT * FROM posting WHERE member_ref IN {REFS} ORDER BY id", refs).fetchall(),  # noqa: S608
        [(row[0], row[1]) for row in db.execute("SELECT generation, incarnation FROM incarnation ORDER BY generation")],
    )
