"""Members are imported from a file, all of them or none, and deleted one by one.

Knows files and rows of the database; what a line may say is in ``member_files``. A file is read and judged before the
first row is written, so that the database is held for as short as it can be, and every wrong line is told at once.
"""

from __future__ import annotations

import json
import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from headoffice.cards import CardMaker
from headoffice.errors import ImportProblem
from headoffice.member_files import BadLine, Line, read_members
from headoffice.store import balances, buckets
from headoffice.store import members as store
from headoffice.store.database import Database, Transaction
from headoffice.store.enrolments import became, forget, is_provisional
from headoffice.store.many_members import Fresh, put_many

SHOWN = 20
"""Wrong lines that stand in the message; all of them are told one by one."""

AT_ONCE = 500
"""Members stored with one statement of each kind."""

SUMMED_AT_ONCE = 32
"""Buckets summed up in one transaction: others may write in between."""

Progress = Callable[[str, int, int], None]
"""Told (what is being done, how much is done, of how much)."""


@dataclass(frozen=True, slots=True)
class Imported:
    """``changed`` of ``read`` members got a new op; ``last_op`` is the newest op id."""

    read: int
    changed: int
    last_op: int


class _Bad:
    """The wrong lines of a file: the first are kept for the message, all are told."""

    def __init__(self, name: str, told: Callable[[BadLine], None]) -> None:
        self.count = 0
        self._name = name
        self._told = told
        self._first: list[BadLine] = []

    def add(self, line: BadLine) -> None:
        self.count += 1
        self._told(line)
        if len(self._first) < SHOWN:
            self._first.append(line)

    def refuse(self) -> None:
        """Raise ImportProblem where there are any."""
        if not self._first:
            return
        first = self._first[0]
        hint = f"{first.hint}; nothing was imported" if first.hint else "nothing was imported"
        if self.count == 1:
            raise ImportProblem(f"{self._name} {first}", hint=hint)
        shown = "".join(f"\n  {line}" for line in self._first)
        more = f"\n  and {self.count - len(self._first)} more" if self.count > len(self._first) else ""
        hint = "nothing was imported; --errors FILE writes all of them with their columns"
        raise ImportProblem(
            f"{self._name}: {self.count} lines are wrong, from line {first.number} on{shown}{more}", hint=hint
        )


def import_file(
    database: Database,
    path: Path,
    index_key: bytes,
    progress: Progress = lambda _what, _done, _of: None,
    *,
    maker: CardMaker | None = None,
    index_next: bytes | None = None,
    bad_line: Callable[[BadLine], None] = lambda _line: None,
) -> Imported:
    """Import a ``.csv`` or ``.jsonl`` file in one transaction: all or nothing; the same file twice changes nothing.

    A member of the file replaces the stored one as a whole; members not in the file stay. ``maker``: closes the keys of
    signing cards, ``None`` for a file without any; ``index_next``: the key that takes the place of ``index_key`` soon;
    ``bad_line`` is told every line that cannot be taken. Raises ImportProblem.
    """
    bad = _Bad(path.name, bad_line)
    with tempfile.TemporaryFile() as judged:
        size = path.stat().st_size if path.exists() else 0
        lines = read_members(
            path,
            CardMaker(index_key) if maker is None else maker,
            index_next,
            lambda done: progress("reading the file", done, size),
        )
        read = _judge(lines, judged, bad)
        bad.refuse()
        judged.seek(0)
        with database.write() as connection:
            first = store.next_op(connection) - 1
            last, changed = _store(connection, judged, first, bad, lambda done: progress("storing members", done, read))
            bad.refuse()
    sum_up(database, progress)
    return Imported(read, changed, last)


def sum_up(database: Database, progress: Progress = lambda _what, _done, _of: None) -> None:
    """Sum up every bucket in which something changed, so that no station waits for it."""
    with database.read() as connection:
        todo = buckets.stale(connection)
    for at in range(0, len(todo), SUMMED_AT_ONCE):
        with database.write() as connection:
            buckets.refresh(connection, todo[at : at + SUMMED_AT_ONCE])
        progress("summing up buckets", min(at + SUMMED_AT_ONCE, len(todo)), len(todo))


def remove_member(database: Database, member: str) -> bool:
    """Delete a member everywhere: a DEL op travels to the stations; False if there is no such member."""
    with database.write() as connection:
        forget(connection, member)
        return store.remove(connection, member, store.next_op(connection))


def _judge(lines: Iterable[Line | BadLine], into: IO[bytes], bad: _Bad) -> int:
    """Write every good line to ``into``, as it will be stored; return how many members there are."""
    read = 0
    for line in lines:
        if isinstance(line, BadLine):
            bad.add(line)
            continue
        read += 1
        if bad.count == 0:
            body = line.body
            fresh = Fresh(line.number, body["member"], store.encode(body), store.indexes_of(body))
            pickle.dump(fresh, into, pickle.HIGHEST_PROTOCOL)
    return read


def _store(
    connection: Transaction, judged: IO[bytes], first: int, bad: _Bad, told: Callable[[int], None]
) -> tuple[int, int]:
    """Store what was judged; return (the newest op, how many members changed)."""
    op, changed, done = first, 0, 0
    rows = _judged(judged)
    while some := list(islice(rows, AT_ONCE)):
        count = put_many(connection, some, op + 1)
        if count is None:
            op, count = _one_by_one(connection, some, op, bad)
        else:
            op += count
        changed += count
        done += len(some)
        told(done)
    return op, changed


def _judged(file: IO[bytes]) -> Iterator[Fresh]:
    """Read back what this process wrote to its own unnamed file a moment ago."""
    while True:
        try:
            yield pickle.load(file)  # noqa: S301 - nobody else can write there
        except EOFError:
            return


def _one_by_one(connection: Transaction, some: list[Fresh], op: int, bad: _Bad) -> tuple[int, int]:
    """Store members among which some meet each other, or somebody whom a station enrolled."""
    changed = 0
    for fresh in some:
        try:
            last = _put(connection, json.loads(fresh.text), op)
        except store.IndexTaken as error:
            bad.add(BadLine(fresh.line, "phone, cards, plates", str(error), "remove it from one of the two members"))
        except store.MergedAway as error:
            bad.add(BadLine(fresh.line, "member", str(error), f"write {error.to} in its place, or leave the line out"))
        else:
            changed += int(last > op)
            op = last
    return op, changed


def _put(connection: Transaction, body: dict[str, Any], op: int) -> int:
    """Store a member after op ``op``; one that a station enrolled by the same phone is merged into it. The last op."""
    enrolled = [found for index in body["indexes"] if (found := store.owner(connection, index)) is not None]
    replaced = sorted({one for one in enrolled if one != body["member"] and is_provisional(connection, one)})
    for name in replaced:
        store.give_up(connection, name)
    op += int(store.put(connection, balances.told(connection, body), op + 1))
    for name in replaced:
        op += 1
        store.merge(connection, name, body["member"], op)
        became(connection, name, body["member"])
    return op
