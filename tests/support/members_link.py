"""Members on their way down, in one thread: real head office, real feed, real pipeline, and a link that loses and delays.

Knows what both ends must agree on in the end; what happens in which order, the tests say.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from agent.census import Census
from agent.domain.identity import IndexKind, blind_index
from agent.failpoints import SimulatedCrash, armed
from agent.inbox import AuditDue, FromHeadOffice, Inbox, Item
from agent.pipeline.caching import TO_COMPARE
from agent.store.bucket_queries import count_cache
from agent.store.delivery import JournalOutbox
from agent.supervisor import Heart
from headoffice.documents import current_head
from headoffice.keys import Keys, load_keys, make_keys
from headoffice.members import import_file
from headoffice.requests import answer_request
from headoffice.store import buckets, members
from headoffice.store.database import Database
from sync import ports
from sync.buckets import BUCKETS, recognised_by
from sync.group import MAX_PAGE_BYTES, MembersDelta
from sync.notices import Req, Res
from sync.signing import PinnedKeys
from sync.subscriber import GroupFeed
from tests.support import template
from tests.support.headoffice_station import NOW_MS, event, up_topic
from tests.support.till import Till

GROUP = "main"
ROUNDS = 1_000
"""Far more turns than any test needs until nothing is left to say."""


def phone_of(number: int) -> str:
    """The mobile number of the n-th member."""
    return f"138{number:08d}"


class MembersLink:
    """One head office and one station. ``lose``: of how many messages one is lost, 0 for none."""

    def __init__(self, folder: Path, *, lose: int = 0, seed: int = 1) -> None:
        self.folder = folder
        self.rng = Random(seed)
        self.lose = lose
        make_keys(folder / "keys")
        template.copy_to(folder)
        self.database = Database(folder / "hq.db")
        self.pinned = PinnedKeys.from_jwks(self.keys.pinned)
        self.till = Till(folder, pinned=self.pinned)
        self.now = 0.0
        self.bytes_down = 0
        self.asked: list[dict[str, Any]] = []
        self.ids = count(1)
        self.down: list[Any] = []
        self.told_op = 0
        self.crash: tuple[str, int] | None = None
        self.crashes = 0
        self.connect()

    @property
    def keys(self) -> Keys:
        """The key files as they are."""
        return load_keys(self.folder / "keys")

    def close(self) -> None:
        """End."""
        self.outbox.close()
        self.till.close()
        self.database.close()

    def connect(self) -> None:
        """The station's link begins anew, knowing what its database knows."""
        store = self.till.store
        self.outbox = JournalOutbox(store.path, store.station, store.incarnation)
        self.feed = GroupFeed(
            group=self.till.settings.station.group,
            pinned=self.pinned,
            have_op=self.outbox.member_op(),
            has_document=lambda kind, digest: self.outbox.has_document(kind, digest.hex()),
            new_id=lambda: f"r{next(self.ids)}",
            rng=self.rng,
            cache=self.outbox,
        )
        self.down.clear()
        self.act(self.feed.connected(self.now))
        self.head()

    def restart(self) -> None:
        """The station's process ends without a word and starts again; what was under way is lost."""
        self.outbox.close()
        self.till.restart()
        self.connect()

    # --- head office --------------------------------------------------------------------------------------------------

    def import_members(self, numbers: Any, **more: Any) -> None:
        """Somebody imports these members."""
        file = self.folder / "members.jsonl"
        rows = [
            json.dumps({"member": f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}", "phone": phone_of(number), **more})
            for number in numbers
        ]
        file.write_text("\n".join(rows), encoding="utf-8")
        import_file(self.database, file, self.keys.index_key, index_next=self.keys.index_next)

    def publish(self) -> None:
        """Head office broadcasts what changed, and its head."""
        with self.database.read() as connection:
            ops = members.ops_after(connection, self.told_op, MAX_PAGE_BYTES)
        if ops:
            self.put(MembersDelta(self.told_op, tuple(op.data() for op in ops)))
            self.told_op = ops[-1].op
        self.head()

    def head(self) -> None:
        """The newest head, as the broker keeps it."""
        self.put(current_head(self.database, self.keys, GROUP, self.wall_ms()))

    def wall_ms(self) -> int:
        """Head office's clock."""
        return NOW_MS + int(self.now * 1000)

    # --- the link -----------------------------------------------------------------------------------------------------

    def put(self, message: Any) -> None:
        """A message on its way down."""
        if not self.lose or self.rng.randrange(self.lose):
            self.down.append(message)

    def act(self, outputs: list[Any]) -> None:
        """What the feed wants: requests go up and are answered, events go to the pipeline."""
        for output in outputs:
            if not isinstance(output, Req):
                self.handle(output)
            elif not self.lose or self.rng.randrange(self.lose):
                self.asked.append(dict(output.body))
                res = answer_request(self.database, up_topic("up/req"), event(output), self.wall_ms(), self.keys)
                assert res is not None
                self.bytes_down += len(event(res))
                self.put(res)

    def handle(self, told: ports.LinkEvent | Item) -> None:
        """The pipeline takes an item, and may die at the place that was said."""
        item = told if isinstance(told, AuditDue) else FromHeadOffice(told)
        if self.crash is None:
            self.till.pipeline.handle(item)
            return
        try:
            with armed(*self.crash):
                self.till.pipeline.handle(item)
        except SimulatedCrash:
            self.crashes += 1
            self.restart()

    def turn(self) -> None:
        """One message arrives, or a second passes."""
        if self.down:
            place = self.rng.randrange(min(3, len(self.down))) if self.lose else 0
            message = self.down.pop(place)
            if isinstance(message, Res):
                outputs = self.feed.answer(self.now, message)
            elif isinstance(message, MembersDelta):
                outputs = self.feed.delta(self.now, message)
            else:
                outputs = self.feed.head(self.now, message, None)
        else:
            self.now += 1.0
            outputs = self.feed.tick(self.now)
            self.census()
        self.feed.stored()
        self.act(outputs)

    def census(self) -> None:
        """What the census would do by now."""
        with closing(sqlite3.connect(self.till.store.path)) as db:
            if db.execute("SELECT 1 FROM meta WHERE key = ?", (TO_COMPARE,)).fetchone() is None:
                return
        inbox: Inbox[Item] = Inbox()
        zone, clock = self.till.settings.station.tz, self.till.clock
        Census(self.till.store.path, 0, zone, clock, inbox).look(Heart(threading.Event()))
        while (item := inbox.get(0)) is not None:
            if not isinstance(item, AuditDue):
                self.till.pipeline.handle(item)

    def turn_until(self, so: Callable[[], bool]) -> None:
        """Turn until something is so, with a head now and then."""
        for turns in range(ROUNDS):
            if so():
                return
            if turns % 40 == 39:
                self.now += 60.0
                self.head()
            self.turn()
        raise AssertionError("it never comes to that")

    def settle(self) -> None:
        """Turn until both ends agree, with a head every minute as head office renews what a broker lost."""
        for turns in range(ROUNDS):
            if turns % 40 == 0:
                if self.agree():
                    return
                self.now += 60.0
                self.head()
            self.turn()
        raise AssertionError("the two ends never agree")

    # --- what must hold -----------------------------------------------------------------------------------------------

    def is_quiet(self) -> bool:
        """Whether the station has heard the newest change, misses nothing and waits for nothing."""
        with self.database.read() as connection:
            newest = members.last_op(connection)
        waits = self.outbox.manifest_wanted() or self.outbox.missing_buckets(1)
        return not waits and not self.down and self.outbox.member_op() >= newest

    def agree(self) -> bool:
        """Whether every bucket comes to the same at both ends, nothing is missing, and nobody waits for anything."""
        with self.database.write() as connection:
            buckets.refresh(connection, buckets.stale(connection))
            there = buckets.manifest(connection, members.last_op(connection))
        here = count_cache(self.till.store.path, lambda: True)
        assert here is not None
        if len(here.buckets) < BUCKETS or here.have_op < there.op or self.outbox.manifest_wanted():
            return False
        return all(here.buckets[number][1] == digest for number, (_, digest) in enumerate(there.buckets))

    def found(self, number: int) -> str | None:
        """Whom the station knows by the n-th member's phone."""
        digest = blind_index(self.keys.index_key, IndexKind.PHONE, f"+86{phone_of(number)}")
        row = self.till.do(lambda step: step.tx.members.by_index(recognised_by(digest)))
        return None if row is None else str(row["id"])


def name_of(number: int) -> str:
    """The id of the n-th member."""
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}"
