"""A station for loyalty walks: the real pipeline on a real database, one pump and one reader, readings given by hand.

Time is the test's. Knows no model and judges nothing.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from agent.domain.identity import IndexKind, blind_index
from agent.domain.instant import Now
from agent.inbox import Asked, FromHeadOffice, FromLine, Person, Ticked
from agent.live import LiveBoard
from agent.pipeline import Pipeline
from agent.pipeline.step import Outlets
from agent.store.store import Store
from drivers.commands import Command, ReadSale
from drivers.readings import CodeScan, CommandResult
from drivers.simulator.config import default_config
from sync import ports
from tests.support.head_office_says import INDEX_KEY
from tests.support.point_pumps import QUEUE, Pump
from tests.support.station_checks import rows
from tests.support.station_plans import by_hand
from tests.support.station_settings import STATION, station_settings

BOOT_MS = 1_000_000
CARDS = default_config("").cards[:4]
READER, LINE = "reader-1", "island-1"
TURNS = 60
"""Seconds in which a sale must be booked."""


class HandClock:
    """``agent.clock.Clock`` moved by the test."""

    def __init__(self, start_ms: int) -> None:
        self.start_ms = start_ms
        self.elapsed_ms = 0

    def wall_ms(self) -> int:
        """See Clock."""
        return self.start_ms + self.elapsed_ms

    def mono_ms(self) -> int:
        """See Clock."""
        return BOOT_MS + self.elapsed_ms

    def quality(self) -> str:
        """See Clock."""
        return "ntp"

    def sleep(self, seconds: float) -> None:
        """See Clock."""
        self.elapsed_ms += round(seconds * 1000)


class LoyaltyStation:
    """``fuel`` sells, ``scan`` shows a card, ``ask`` asks as a supervisor, ``restart`` opens the database again."""

    def __init__(self, directory: Path, *, settle: str, start_ms: int) -> None:
        config = default_config("")
        self.settings = station_settings(directory, config, by_hand(settle=settle, control="monitor"))
        self.clock = HandClock(start_ms)
        self.random = Random(0)
        nozzles = {nozzle.number: nozzle for point in config.points if point.number == 1 for nozzle in point.nozzles}
        self.pump = Pump(
            QUEUE,
            {number: nozzle.unit_price_milli for number, nozzle in nozzles.items()},
            alone=True,
            counted_ml=dict.fromkeys(nozzles, 0),
            base=dict.fromkeys(nozzles, 500),
        )
        self.orders: list[Command] = []
        self.boots = 0
        self.start()

    def start(self) -> None:
        """The agent starts on the database as it is."""
        self.boots += 1
        self.store = Store(self.settings.store.path, station=STATION, random=self.random)
        self.orders.clear()
        self.pipeline = Pipeline(
            store=self.store,
            settings=self.settings,
            clock=self.clock,
            boot=f"boot-{self.boots}",
            start=f"{self.boots:08x}",
            random=self.random,
            live=LiveBoard(started_ms=self.clock.wall_ms()),
            index_key=INDEX_KEY,
            capabilities={},
            outlets=Outlets(self.orders.append, lambda: None),
        )
        self.turns(3)

    def restart(self) -> None:
        """Close and open the database; nothing else survives."""
        self.store.close()
        self.start()

    def close(self) -> None:
        """End."""
        self.store.close()

    # --- what arrives -------------------------------------------------------------------------------------------------

    def rules(self, document: dict[str, Any]) -> None:
        """A rule set as it arrives from head office, in force with the next second."""
        body = json.dumps(document).encode()
        version = document["version"]
        arrived = ports.DocumentArrived("rules", version, sha256(body).digest(), body)
        self.pipeline.handle(FromHeadOffice(arrived))
        self.turns(2)

    def members(self, told: list[dict[str, Any]]) -> None:
        """Members as they arrive: ``{"member", "card", ...}`` in the words of the wire but for the card."""
        operations = []
        for number, one in enumerate(told, 1):
            card = one["card"]
            index = blind_index(INDEX_KEY, IndexKind.CARD, card).hex()
            rest = {key: value for key, value in one.items() if key != "card"}
            operations.append({"op": number, "kind": "PUT", "indexes": [index], "mask": f"****{card[-4:]}", **rest})
        self.pipeline.handle(FromHeadOffice(ports.MembersPage(0, tuple(operations))))

    def scan(self, card: str) -> None:
        """The reader of the pump sees a card."""
        self._from(READER, CodeScan(READER, card))

    def ask(self, op: str, **args: Any) -> dict[str, Any]:
        """Ask as a supervisor; returns the whole answer of the control socket."""
        asked = Asked(op, args, Person("wang", "supervisor"))
        self.pipeline.handle(asked)
        answer = asked.reply.wait(0.0)
        assert answer is not None
        return answer

    # --- time ---------------------------------------------------------------------------------------------------------

    def turns(self, count: int) -> None:
        """So many seconds: the pump obeys one order, says its level, and the second passes."""
        for _ in range(count):
            self.clock.sleep(1.0)
            if self.orders:
                self._obey(self.orders.pop(0))
            self._from(LINE, self.pump.reading())
            self.pipeline.handle(Ticked("second"))

    def leap(self, seconds: int) -> None:
        """A long time in which nothing happens but that it passes."""
        self.clock.sleep(seconds)
        self.turns(2)

    def fuel(self, nozzle: int, volume_ml: int) -> str:
        """A whole fuelling up to its booking; returns the sale's id."""
        before = {row["id"] for row in self.rows("SELECT id FROM sale")}
        self.pump.lift(nozzle)
        self.turns(2)
        self.pump.flow(volume_ml)
        self.turns(1)
        self.pump.hang()
        for _ in range(TURNS):
            self.turns(1)
            fresh = [row["id"] for row in self.rows("SELECT id FROM sale") if row["id"] not in before]
            if fresh:
                self.turns(2)
                return str(fresh[0])
        raise AssertionError("the sale was never booked")

    def _obey(self, order: Command) -> None:
        if isinstance(order, ReadSale):
            self._from(LINE, self.pump.bundle(order))
        else:
            self._from(LINE, CommandResult(order.command_id, 1, self.pump.obey(order)))

    def _from(self, line: str, reading: Any) -> None:
        self.pipeline.handle(FromLine(line, reading, Now(self.clock.wall_ms(), self.clock.mono_ms())))

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Rows of the database, read beside the agent."""
        return rows(self.settings.store.path, sql)
