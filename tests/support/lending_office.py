"""Head office and stations in one process: real tills, the real ingest and answers, and a wire that the test works.

What the wire carries it may lose, repeat and reorder: nothing arrives but by ``Line``'s methods.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agent.inbox import FromHeadOffice
from agent.store.delivery import JournalOutbox
from headoffice.hello import answer_hello
from headoffice.ingest import ingest
from headoffice.keys import Keys
from headoffice.requests import answer_request
from headoffice.store import members
from headoffice.store.database import Database
from headoffice.telling import tell_balances
from sync import ports
from sync.envelope import encode, encode_batch, station_source
from sync.messages import Batch, hash_0
from sync.notices import Req, Res
from sync.topics import BATCH_TOPICS
from tests.support.headoffice_station import TIME, answered, up_topic
from tests.support.till import MEMBER, Till

INSTALL = "a" * 32


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
        from sync.messages import Hello, StreamPosition

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


def points_on(till: Till, member: str = MEMBER) -> int:
    """What a station believes that a member has."""
    from agent.pipeline import wallets

    def look(step: Any) -> int:
        row = step.tx.members.by_id(member)
        return 0 if row is None else sum(lot.points for lot in wallets.lots_of(step, row["ref"]))

    return int(till.do(look))


def folder(base: Path, name: str) -> Path:
    """A folder for one more station."""
    made = base / name
    made.mkdir()
    return made
