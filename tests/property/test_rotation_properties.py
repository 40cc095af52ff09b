"""The index key is exchanged while members come and go: at every moment the station finds whom it should."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from agent.domain.identity import IndexKind, blind_index, index_version
from agent.inbox import FromHeadOffice
from agent.pipeline.step import Step
from headoffice import rotation
from headoffice.errors import UsageError
from headoffice.keys import load_keys, make_keys
from headoffice.members import import_file, remove_member
from headoffice.requests_members import PAGE_OPS_BYTES
from headoffice.store import members as store
from headoffice.store.database import Database
from sync import ports
from tests.support import template
from tests.support.examples import tries
from tests.support.loyalty_cases import Dice, dice
from tests.support.quiet import quiet_log
from tests.support.till import Till

CARDS = {f"{number:016x}": f"92738604155907{number:02d}" for number in range(10, 16)}
STEPS = 14


class Group:
    """Head office with its keys, one station, and who should be known."""

    def __init__(self, folder: Path, roll: Dice) -> None:
        self.roll, self.folder = roll, folder
        make_keys(folder / "keys")
        self.database = Database(folder / "hq.db")
        self.till = Till(folder)
        self.known: set[str] = set()
        self.key = self.keys.index_key
        self.tell()

    @property
    def keys(self) -> Any:
        """The key files as they are."""
        return load_keys(self.folder / "keys")

    def close(self) -> None:
        """End."""
        self.till.close()
        self.database.close()

    def tell(self) -> None:
        """The station takes every page there is."""
        have = int(self.till.do(lambda step: step.tx.memory.meta("member_op") or "0"))
        while True:
            with self.database.read() as connection:
                ops = store.ops_after(connection, have, PAGE_OPS_BYTES)
            if not ops:
                return
            page = ports.MembersPage(have, tuple(op.data() for op in ops), self.keys.index_versions)
            self.till.pipeline.handle(FromHeadOffice(page))
            have = ops[-1].op

    def import_members(self, names: list[str]) -> None:
        """Whoever has the plain numbers imports some members."""
        file = self.folder / "members.jsonl"
        tier = self.roll.pick(("gold", "silver"))
        rows = [json.dumps({"member": name, "cards": [CARDS[name]], "tier": tier}) for name in names]
        file.write_text("\n".join(rows), encoding="utf-8")
        import_file(self.database, file, self.keys.index_key, index_next=self.keys.index_next)
        self.known |= set(names)
        self.tell()

    def step(self) -> None:
        """Anything happens."""
        self.roll.pick((self.some, self.some, self.leave, self.begin, self.everybody, self.exchange, self.finish))()

    def some(self) -> None:
        self.import_members([self.roll.pick(tuple(CARDS)), self.roll.pick(tuple(CARDS))][:1])

    def leave(self) -> None:
        if self.known:
            gone = self.roll.pick(tuple(sorted(self.known)))
            assert remove_member(self.database, gone)
            self.known.discard(gone)
            self.tell()

    def begin(self) -> None:
        if self.keys.index_next is None:
            rotation.begin(self.folder / "keys")

    def everybody(self) -> None:
        if self.known:
            self.import_members(sorted(self.known))

    def exchange(self) -> None:
        """The installer puts the next key in place, once everybody has an index of it."""
        now = rotation.status(self.database, self.folder / "keys")
        if now.next_version is not None and now.ready == now.members:
            self.key = self.keys.index_next

    def finish(self) -> None:
        """Head office lets the next key take over, once the station has it."""
        if self.key != self.keys.index_next:
            return
        try:
            rotation.finish(self.database, self.folder / "keys")
        except UsageError:
            now = rotation.status(self.database, self.folder / "keys")
            assert now.ready < now.members
        self.tell()

    def check(self) -> None:
        """Everybody who should be known is found by the station's key, with one look; nobody else is."""
        for name, card in CARDS.items():
            digest = blind_index(self.key, IndexKind.CARD, card)
            found = self.till.do(partial(_by_index, digest))
            assert (None if found is None else found["id"]) == (name if name in self.known else None), name
        assert index_version(self.key) in self.keys.index_versions


def _by_index(digest: bytes, step: Step) -> Any:
    return step.tx.members.by_index(digest)


@pytest.fixture(autouse=True, scope="module")
def _quiet_log() -> Iterator[None]:
    with quiet_log():
        yield


@given(dice())
@settings(max_examples=tries(20))
def test_members_are_found_at_every_moment_of_an_exchange(roll: Dice) -> None:
    """Whatever is imported, removed, begun, exchanged and finished, in whatever order the rules allow."""
    folder = template.new_folder()
    template.copy_to(folder)
    with closing(Group(folder, roll)) as group:
        for _ in range(STEPS):
            group.step()
            group.check()
    shutil.rmtree(folder)
