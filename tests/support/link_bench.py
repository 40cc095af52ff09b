"""A link desk driven by seconds, for tests of linking: scans, lifts, sales and restarts in one line each."""

import json
from dataclasses import replace
from typing import Any

from agent.domain.identity import AuthLevel
from agent.domain.instant import Now
from agent.domain.link_memory import durable, restore
from agent.domain.link_records import (
    Answer,
    Credential,
    End,
    LinkEffect,
    LinkEvent,
    LinkSale,
    MemberScanned,
    NozzleLifted,
    PendingEnded,
    Reader,
    SaleBooked,
    open_desk,
)
from agent.domain.link_windows import Windows
from agent.domain.linking import step
from agent.domain.sale import SaleKind

WALL = 1_795_305_600_000
READERS = (Reader("P3", (3,)), Reader("P4", (4,)), Reader("ROAM", (3, 4, 5)))
M1, M2 = "001620c519e2a71a", "0011223344556677"


class Bench:
    """A desk driven by seconds; collects effects."""

    def __init__(self, windows: Windows | None = None, readers: tuple[Reader, ...] = READERS) -> None:
        self.windows = windows or Windows()
        self.readers = readers
        self.desk = open_desk(readers, self.windows, "boot-1", self.at(0))
        self.scans = 0
        self.links: list[LinkSale] = []
        self.ends: list[tuple[str, End]] = []

    def at(self, second: float) -> Now:
        return Now(WALL + round(second * 1000), 5_000_000 + round(second * 1000))

    def do(self, second: float, event: LinkEvent) -> tuple[LinkEffect, ...]:
        self.desk, effects = step(self.desk, event, self.at(second))
        self.links += [effect for effect in effects if isinstance(effect, LinkSale)]
        self.ends += [(effect.id, effect.how) for effect in effects if isinstance(effect, PendingEnded)]
        return effects

    def who(
        self,
        reader: str,
        member: str,
        code: str | None = None,
        level: AuthLevel = AuthLevel.FM1_DYNAMIC,
        attendant: str = "A1",
    ) -> Credential:
        self.scans += 1
        return Credential(f"S{self.scans}", reader, attendant, member, level, code)

    def scan(self, second: float, reader: str, member: str, code: str | None = None, **more: Any) -> Answer:
        who = self.who(reader, member, code, **more)
        return answer_of(self.do(second, MemberScanned(who.scan_id, reader, f"{member}{code}", who)))

    def lift(self, second: float, point: int, start: str, nozzle: int = 1) -> tuple[LinkEffect, ...]:
        return self.do(second, NozzleLifted(point, nozzle, start))

    def book(self, second: float, sale: str, point: int, start: str, **more: Any) -> tuple[LinkEffect, ...]:
        booked = SaleBooked(sale, point, 1, SaleKind.NORMAL, start, WALL + round(second * 1000))
        return self.do(second, replace(booked, **more))

    def fuel(self, second: float, sale: str, point: int, start: str) -> tuple[LinkEffect, ...]:
        self.lift(second - 60, point, start)
        return self.book(second, sale, point, start)

    def restart(self, second: float) -> None:
        data = json.loads(json.dumps(durable(self.desk)))
        now = self.at(second)
        self.desk = restore(data, readers=self.readers, windows=self.windows, now=now, clock="ntp", boot="boot-1")


def answer_of(effects: tuple[LinkEffect, ...]) -> Answer:
    answers = [effect for effect in effects if isinstance(effect, Answer)]
    assert len(answers) == 1
    return answers[0]


def linked(bench: Bench) -> list[tuple[str, str, int]]:
    return [(link.sale, link.member, link.delay_s) for link in bench.links]
