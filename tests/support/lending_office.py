"""Head office and stations in one process: real tills, the real ingest and answers, and a wire that the test works.

What the wire carries it may lose, repeat and reorder: nothing arrives but by ``Line``'s methods.
"""

from __future__ import annotations

import json
import shutil
from atexit import register
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from agent.inbox import FromHeadOffice
from agent.pipeline import wallets
from agent.store.delivery import JournalOutbox
from agent.store.verify import verify as verify_station
from headoffice.hello import answer_hello
from headoffice.ingest import ingest
from headoffice.keys import Keys, make_keys
from headoffice.requests import answer_request
from headoffice.store import members, pools
from headoffice.store.database import Database
from headoffice.store.verify import verify
from headoffice.telling import tell_balances
from sync import ports
from sync.envelope import encode, encode_batch, station_source
from sync.messages import Batch, Hello, StreamPosition, hash_0
from sync.notices import Req, Res
from sync.signing import PinnedKeys
from sync.topics import BATCH_TOPICS
from tests.support import template
from tests.support.headoffice_station import TIME, answered, up_topic
from tests.support.till import MEMBER, OFFERS, Till

INSTALL = "a" * 32
EXPIRES = "2026-09-30"


def office_member(database: Database, points: int, member: str = MEMBER, expires_on: str | None = None) -> None:
    """A member was imported with so many points."""
    lots = [{"points": points, "usable_from": None, "expires_on": expires_on}] if points else []
    names = ("tier", "growth", "as_of", "mask", "birthday_md", "tank_l", "card_key", "to")
    body = {"member": member, "indexes": [], "tags": [], "flags": [], "lots": lots, **dict.fromkeys(names)}
    with database.write() as connection:
        members.put(connection, body, members.last_op(connection) + 1)


class Line:
    """The wire between one till and head office."""

    def __init__(self, till: Till, database: Database, keys: Keys) -> None:
        self.till = till
        self.database = database
        self.keys = keys
        self.op = 0
        self.cum: dict[str, int] = {}

    @property
    def station(self) -> str:
        """Who is at this end."""
        return str(self.till.settings.station.id)

    def online(self, is_up: bool = True) -> None:
        """The link comes or goes."""
        event = ports.Connected(1, "MQTT 5") if is_up else ports.Disconnected("test")
        self.till.pipeline.handle(FromHeadOffice(event))

    def batch(self, first: int, last: int | None = None) -> bytes | None:
        """What a batch of stream L from ``first`` on would be; None where nothing is there."""
        till = self.till
        outbox = JournalOutbox(till.store.path, self.station, till.store.incarnation)
        try:
            rows = outbox.read("L", first, 200, 48_000)
            previous = outbox.hash_at("L", first - 1)
        finally:
            outbox.close()
        rows = rows if last is None else rows[: last - first + 1]
        if not rows or previous is None:
            return None
        batch = Batch(
            INSTALL, till.store.incarnation, "L", first, previous, tuple(row.raw for row in rows), rows[-1].hash
        )
        return encode_batch(batch, source=station_source(self.station), time=TIME)

    def send(self, payload: bytes) -> None:
        """A batch arrives; head office's word on it is remembered."""
        topic = up_topic(BATCH_TOPICS["L"], self.station)
        ack = answered(ingest(self.database, topic, payload, self.till.clock.wall_ms()))
        self.cum[ack.incarnation] = max(self.cum.get(ack.incarnation, 0), ack.cum)

    def drain(self) -> None:
        """Everything the journal holds arrives."""
        if self.till.store.meta("await_ends") is not None:
            self.hello()
        while (payload := self.batch(self.cum.get(self.till.store.incarnation, 0) + 1)) is not None:
            self.send(payload)

    def hello(self) -> None:
        """The station says hello and hears the welcome."""
        till = self.till
        heads = {name: StreamPosition(0, hash_0(self.station, till.store.incarnation, name), 0) for name in "LAT"}
        hello = Hello(till.store.incarnation, INSTALL, "test", 1, "b", 1, TIME, "ntp", heads)
        payload = encode(hello, source=station_source(self.station), event_id="h", time=TIME)
        welcome = answered(
            answer_hello(self.database, up_topic("up/hello", self.station), payload, till.clock.wall_ms())
        )
        till.pipeline.handle(FromHeadOffice(ports.WelcomeSeen(welcome)))

    def open(self) -> list[Req]:
        """What the station asks and has no answer to."""
        rows = self.till.rows("SELECT id, kind, body FROM request ORDER BY asked_ms, id")
        return [Req(row["id"], row["kind"], json.loads(row["body"])) for row in rows]

    def ask(self, req: Req) -> Res:
        """A request arrives at head office; its answer is on the way."""
        payload = encode(req, source=station_source(self.station), event_id="q", time=TIME)
        topic = up_topic("up/req", self.station)
        return answered(answer_request(self.database, topic, payload, self.till.clock.wall_ms(), self.keys))

    def hear(self, res: Res) -> None:
        """An answer arrives at the station."""
        event = ports.Answered(res.req_id, res.status, res.reason, res.body)
        self.till.pipeline.handle(FromHeadOffice(event))

    def ask_all(self) -> list[Res]:
        """Every open request is asked and answered."""
        found = [self.ask(req) for req in self.open()]
        for res in found:
            self.hear(res)
        return found

    def tell(self) -> None:
        """Head office tells what changed of members, and this station hears it."""
        tell_balances(self.database)
        with self.database.read() as connection:
            ops = [op.data() for op in members.ops_after(connection, self.op, 1_000_000)]
        if ops:
            self.till.pipeline.handle(FromHeadOffice(ports.MembersPage(self.op, tuple(ops))))
            self.op = ops[-1]["op"]


@cache
def one_set_of_keys() -> Keys:
    """Keys of head office, made once: nothing here changes them."""
    folder = template.new_folder()
    register(shutil.rmtree, folder, ignore_errors=True)
    return make_keys(folder)


class Office:
    """Head office and its stations."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        """``url``: of an empty database elsewhere, which its maker drops."""
        self.path = folder / "hq.sqlite"
        self.database = template.head_office(self.path) if url is None else Database(url)
        self.keys = one_set_of_keys()
        self.lines: list[Line] = []

    def station(self, name: str = "SIM-0001", offers: Sequence[Any] = OFFERS) -> Line:
        """One more station, known to head office."""
        folder = template.new_folder()
        template.copy_to(folder, name)
        till = Till(folder, pinned=PinnedKeys.from_jwks(self.keys.pinned), station=name, seed=len(self.lines))
        till.rules(*offers)
        line = Line(till, self.database, self.keys)
        self.lines.append(line)
        line.drain()
        line.tell()
        line.online()
        return line

    def member(self, points: int = 5_230) -> None:
        """A member was imported."""
        office_member(self.database, points, expires_on=EXPIRES)

    def points(self) -> pools.Figures:
        """How the member's pool stands."""
        with self.database.read() as connection:
            return pools.figures(connection, pools.POINTS, MEMBER)

    def budget(self) -> pools.Figures:
        """How the campaign's pool stands."""
        with self.database.read() as connection:
            return pools.figures(connection, pools.BUDGET, "autumn")

    def close(self) -> None:
        """End; nothing may be off at any end."""
        found = list(verify(self.database).findings)
        self.database.close()
        for line in self.lines:
            found += map(str, verify_station(line.till.store.path).findings)
            line.till.close()
            shutil.rmtree(line.till.directory)
        assert found == []


def points_on(till: Till, member: str = MEMBER) -> int:
    """What a station believes that a member has."""

    def look(step: Any) -> int:
        row = step.tx.members.by_id(member)
        return 0 if row is None else sum(lot.points for lot in wallets.lots_of(step, row["ref"]))

    return int(till.do(look))
