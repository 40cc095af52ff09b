"""A till: the real pipeline on a real database with no devices. Sales are booked by hand, members are linked by hand.

A link is as strong as the test says: which codes are that strong is not the till's business.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from agent.domain import link_records as links
from agent.domain.identity import AuthLevel
from agent.domain.instant import Now
from agent.domain.sale import Sale, SaleKind, Totalizer
from agent.domain.units import amount_of
from agent.inbox import Asked, FromHeadOffice, Person, Ticked
from agent.keyring import Keyring
from agent.live import LiveBoard
from agent.pipeline import Pipeline, leasing, points, rebirth, relinking, scanning
from agent.pipeline.step import Outlets, Step
from agent.store.journal import Stamp
from agent.store.store import Store
from agent.store.verify import verify
from drivers.simulator.config import default_config
from sync import ports
from sync.messages import Message
from sync.signing import PinnedKeys, public_jwks, sign
from tests.support import template
from tests.support.head_office_says import INDEX_KEY, KEYS, SIGNING_KEY
from tests.support.station import VirtualClock
from tests.support.station_settings import STATION, Plan, station_settings

MEMBER = "567014f1b3c2a9de"
OTHER = "00000000000000aa"
CASH = [{"kind": "cash", "amount_minor": None, "ref": None}]
SOME_KEY = SIGNING_KEY
FOREVER = {"not_before": "2020-01-01T00:00:00.000Z", "not_after": "2099-01-01T00:00:00.000Z"}


def token(code: str, offer: str, *, key: Any = SOME_KEY, **claims: Any) -> str:
    """A coupon as head office signs it; ``member``, ``station``, ``expires_on``, ``balance_minor`` where given."""
    empty = {"member": None, "station": None, "expires_on": None, "balance_minor": None}
    return sign({"code": code, "offer": offer, **empty, **FOREVER, **claims}, key)


class Till:
    """``do`` runs anything inside one step of the pipeline, committed as every step is."""

    def __init__(
        self,
        directory: Path,
        *,
        settle: str = "tender",
        seed: int = 1,
        pinned: PinnedKeys | None = None,
        plan: Plan | None = None,
        keys: Keyring = KEYS,
        station: str = STATION,
    ) -> None:
        self.directory = directory
        self.station = station
        self.keys = keys
        self.pinned = PinnedKeys.from_jwks(public_jwks(SOME_KEY)) if pinned is None else pinned
        self.clock = VirtualClock()
        self.random = Random(f"till:{seed}")
        config = default_config("", islands=1)
        self.settings = station_settings(directory, config, Plan(settle=settle) if plan is None else plan)
        if station != STATION:
            named = self.settings.station.model_copy(update={"id": station})
            self.settings = self.settings.model_copy(update={"station": named})
        self.starts = 0
        self.told: list[tuple[str, Message]] = []
        self.meters: dict[int, int] = {}
        self.start()

    def start(self) -> None:
        """Start on the database as it is."""
        self.starts += 1
        self.store = Store(self.settings.store.path, station=self.station, random=self.random)
        self.pipeline = Pipeline(
            store=self.store,
            settings=self.settings,
            clock=self.clock,
            boot=f"boot-{self.starts}",
            start=f"{self.starts:08x}",
            random=self.random,
            live=LiveBoard(started_ms=self.clock.wall_ms()),
            index_key=INDEX_KEY,
            capabilities={},
            outlets=Outlets(
                lambda _command: None, lambda: None, publish=lambda name, told: self.told.append((name, told))
            ),
            pinned=self.pinned,
            keys=self.keys,
        )

    def restart(self, seconds: float = 0.0) -> None:
        """The process ends without a word and starts again."""
        self.store.roll_back()
        self.store.close()
        self.clock.now_s += seconds
        self.start()

    def reborn(self) -> None:
        """The database turns out to be on other hardware: it begins a new incarnation, then the agent starts."""
        self.store.close()
        store = Store(self.settings.store.path, station=self.station, random=self.random)
        stamp = Stamp(self.clock.wall_ms(), self.clock.mono_ms(), "boot-r", "ntp")
        with store.begin(stamp) as tx:
            tx.memory.set_meta(rebirth.INSTALL, "a" * 32)
        store.close()
        store = Store(self.settings.store.path, station=self.station, random=self.random)
        rebirth.begin(store, self.settings, install="b" * 32, stamp=stamp, random=self.random)
        store.close()
        self.start()

    def close(self) -> None:
        """End."""
        self.store.close()

    # --- what happens -------------------------------------------------------------------------------------------------

    def do(self, act: Callable[[Step], Any]) -> Any:
        """Run ``act`` in a step of its own."""
        clock = self.clock
        step = self.pipeline._step(Now(clock.wall_ms(), clock.mono_ms()))
        try:
            result = act(step)
            self.pipeline._finish(step)
        finally:
            step.roll_back()
        return result

    def wait(self, seconds: float) -> None:
        """Time passes, and the next second is told."""
        self.clock.now_s += seconds
        self.pipeline.handle(Ticked("second"))

    def rules(self, *offers: dict[str, Any], version: int = 1, groups: Any = (), **program: Any) -> None:
        """A rule set of these offers is in force from now on."""
        document = {
            "version": version,
            "effective_from": "2020-01-01T00:00:00+08:00",
            "program": {"currency": "CNY", "exponent": 2, "validity_months": 12, **program},
            "tier": [],
            "group": [{"id": name, "mode": mode} for name, mode in groups],
            "offer": list(offers),
        }
        body = json.dumps(document).encode()
        self.pipeline.handle(FromHeadOffice(ports.DocumentArrived("rules", version, sha256(body).digest(), body)))
        self.wait(1)

    def member(self, member: str = MEMBER, *, op: int = 1, lots: Any = (), as_of: Any = None, **more: Any) -> None:
        """Head office tells a member; ``lots`` as (points, usable_from, expires_on); ``as_of``: what of us they hold."""
        names = ("points", "usable_from", "expires_on", "lot")
        told = [dict(zip(names, lot, strict=False)) for lot in lots]
        places = None if as_of is None else {self.station: as_of}
        put = {"op": op, "kind": "PUT", "member": member, "indexes": [], "tags": [], "tier": "", "lots": told}
        self.pipeline.handle(FromHeadOffice(ports.MembersPage(0, ({**put, "as_of": places, **more},))))

    def meter(self, point: int = 1) -> int:
        """What the only meter of a point shows, in 10 ml."""
        return self.meters.get(point, 1_000)

    def sale(
        self, volume_ml: int = 20_000, price_milli: int = 7_850, *, point: int = 1, attendant: str | None = None
    ) -> str:
        """A fuelling that has just ended; returns its id."""
        start, units, is_first = self.meter(point), volume_ml // 10, point not in self.meters
        self.meters[point] = start + units
        ended_ms = self.clock.wall_ms()

        def book(step: Step) -> str:
            if is_first:
                step.tx.memory.add_baseline(
                    {
                        "seq": len(self.meters) - 1,
                        "fuelling_point": point,
                        "nozzle": 1,
                        "epoch": 0,
                        "raw": start,
                        "unit_ml": 10,
                        "reason": "first-contact",
                        "made_ms": 0,
                    }
                )
            booked = Sale(
                id=step.new_id(),
                fuelling_point=point,
                nozzle=1,
                grade="92",
                tank=1,
                kind=SaleKind.NORMAL,
                volume_ml=volume_ml,
                unit_price_milli=price_milli,
                amount_minor=amount_of(volume_ml, price_milli, 2),
                currency="CNY",
                exponent=2,
                totalizer_start=Totalizer(0, start),
                totalizer_end=Totalizer(0, start + units),
                sub=None,
                counter=None,
                lifted_ms=ended_ms - 60_000,
                ended_ms=ended_ms,
                business_day=step.business_day(ended_ms),
                attendant=attendant,
            )
            points.write_sale(step, booked, 0)
            return booked.id

        result = self.do(book)
        assert isinstance(result, str)
        return result

    def link(
        self,
        sale: str,
        member: str = MEMBER,
        level: AuthLevel = AuthLevel.FM1_DYNAMIC,
        *,
        clock_suspect: bool = False,
    ) -> None:
        """The sale is the member's, by a code of this strength."""

        def ask(step: Step) -> None:
            who = links.Credential(step.new_id(), "cli", "li", member, level, clock_suspect=clock_suspect)
            effects = scanning.tell(step, links.LinkRequested(sale, who, "li", links.Role.SUPERVISOR, "test"))
            relinking.answered(step, effects)

        self.do(ask)

    def fuelled(self, volume_ml: int = 20_000, **more: Any) -> str:
        """A sale of the member."""
        sale = self.sale(volume_ml)
        self.link(sale, **more)
        return sale

    def ask(self, op: str, *, role: str = "supervisor", person: str = "wang", **args: Any) -> dict[str, Any]:
        """Ask as a person; the whole answer of the control socket."""
        asked = Asked(op, args, Person(person, role))
        self.pipeline.handle(asked)
        answer = asked.reply.wait(0.0)
        assert answer is not None
        return answer

    def settle(self, sale: str, **wish: Any) -> dict[str, Any]:
        """Settle in cash; the data of the answer, or the refusal."""
        answer = self.ask("sales.settle", role="attendant", sale=sale, tenders=CASH, **wish)
        return dict(answer["data"]) if answer["ok"] else answer

    def quote(self, sale: str, **wish: Any) -> dict[str, Any]:
        """Quote; the data of the answer, or the refusal."""
        answer = self.ask("sales.quote", role="attendant", sale=sale, **wish)
        return dict(answer["data"]) if answer["ok"] else answer

    # --- what is on disk ----------------------------------------------------------------------------------------------

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Rows of the database, read beside the pipeline."""
        with closing(sqlite3.connect(f"file:{self.store.path}?mode=ro", uri=True, timeout=60)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(sql)]

    def one(self, sql: str) -> Any:
        """The only value of a question."""
        (row,) = self.rows(sql)
        (value,) = row.values()
        return value

    def records(self, type_name: str) -> list[dict[str, Any]]:
        """The data of every record of a type in the order of writing."""
        query = f"SELECT body FROM journal WHERE type = '{type_name}' ORDER BY generation, seq"
        return [json.loads(row["body"])["data"] for row in self.rows(query)]

    def state(self, tables: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
        """Whole tables."""
        return {table: self.rows(f"SELECT * FROM {table}") for table in tables}


EARN = {"id": "earn", "kind": "EARN", "points": 1, "per_minor": 100}
PAY = {"id": "pay", "kind": "POINTS_AS_MONEY"}
CAMPAIGN = {"id": "camp", "kind": "AMOUNT_OFF", "off_minor": 500, "budget": {"campaign": "autumn", "mode": "PARTIAL"}}
TEN = {
    "id": "ten",
    "name": "Ten off",
    "kind": "COUPON",
    "gives": "AMOUNT_OFF",
    "off_minor": 1_000,
    "checking": "OFFLINE_WITH_RISK",
    "risk_up_to_minor": 5_000,
    "trimmed": "KEEP_BALANCE",
}
OFFERS: list[dict[str, Any]] = [EARN, PAY, CAMPAIGN, TEN]
"""Points, points as money, a budget and a coupon that keeps its balance."""


def loyal_till(**more: Any) -> Iterator[Till]:
    """A till with these offers and a member with 5,230 points and no lease; verify must find nothing afterwards."""
    folder = template.new_folder()
    template.copy_to(folder)
    till = Till(folder, **more)
    till.rules(*OFFERS)
    till.member(lots=[(5_230, None, "2026-09-30")])
    yield till
    report = verify(till.store.path)
    till.close()
    shutil.rmtree(folder)
    assert report.findings == ()


def lend(till: Till, lease: str, kind: str, granted: int, *, subject: str = "", hours: int = 100) -> None:
    """Head office lends points of the member, or budget of the campaign."""
    whom = subject or (MEMBER if kind == "points" else "autumn")

    def receive(step: Step) -> None:
        until = step.stamp.wall_ms + hours * 3_600_000
        leasing.received(step, lease=lease, kind=kind, subject=whom, granted=granted, expires_ms=until)

    till.do(receive)


def asked(answer: dict[str, Any]) -> list[tuple[str, str, int]]:
    """Verdict, code and value of everything that was asked for."""
    return [(told["verdict"], told["code"], told["value_minor"]) for told in answer["asked"]]
