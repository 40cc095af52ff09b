"""The station of P4, a process of its own: the real pipeline, journal and link drain what is written while sales go on.

Called with the station file, the number of records to drain, how many sales to time while nothing is sent, and the
core to keep to, if it is to have one for itself.
Says when it begins to drain, and prints one JSON object at its end.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from agent.clock import SystemClock
from agent.domain.sale import Sale, Totalizer
from agent.inbox import AlertFound, FromHeadOffice, Inbox, Item
from agent.live import LiveBoard
from agent.logs import configure
from agent.pipeline import Pipeline
from agent.pipeline.step import Outlets
from agent.settings import load
from agent.store.journal import Stamp
from agent.store.store import Store
from agent.supervisor import Heart
from agent.uplink import Uplink
from sync.messages import STREAMS
from sync.ports import AckAccepted
from tests.bench.p1_sale_commit import write
from tests.support.nth_sale import nth_sale

SALE_EVERY_S = 0.1
WITHIN_S = 900.0
GIVE_WAY_S = 0.0005
"""As in the daemon: the link's thread gives way to the one that records sales after this."""


class Station:
    """The single writer with its inbox: items of the link, and a sale every 100 ms on a clock of their own."""

    def __init__(self, config: Path) -> None:
        configure()
        settings = load(config)
        self.clock = SystemClock()
        self.rng = Random(4)
        self.store = Store(settings.store.path, station=settings.station.id, random=self.rng)
        self.inbox: Inbox[Item] = Inbox()
        self.uplink: Uplink | None = None
        self.pipeline = Pipeline(
            store=self.store,
            settings=settings,
            clock=self.clock,
            boot="p4",
            start="p4",
            random=self.rng,
            live=LiveBoard(),
            index_key=bytes(32),
            capabilities={},
            outlets=Outlets(lambda _command: None, self.wake),
        )
        self.settings = settings
        self.acked = dict.fromkeys(STREAMS, 0)
        self.sold = 0
        self.due_s = time.monotonic()

    def wake(self) -> None:
        """The journal grew."""
        if self.uplink is not None:
            self.uplink.wake()

    def turn(self) -> float | None:
        """Take one item or, when it is due, record one sale; return how many ms that sale took from when it was due."""
        wait_s = self.due_s - time.monotonic()
        if wait_s > 0:
            item = self.inbox.get(wait_s)
            if item is not None:
                self.pipeline.handle(item)
                if isinstance(item, FromHeadOffice) and isinstance(item.event, AckAccepted):
                    self.acked[item.event.stream] = item.event.cum
            return None
        begun = self.due_s
        stamp = Stamp(self.clock.wall_ms(), self.clock.mono_ms(), "p4", "ntp")
        with self.store.begin(stamp) as tx:
            write(tx, self._sale(), linked=False)
        ended = time.monotonic()
        self.wake()
        self.due_s = max(self.due_s + SALE_EVERY_S, ended)
        return (ended - begun) * 1000

    def connect(self) -> Uplink:
        """The link as the daemon makes it."""
        self.uplink = Uplink(
            settings=self.settings,
            database=self.settings.store.path,
            incarnation=self.store.incarnation,
            install="p4",
            boot="p4",
            software="p4",
            clock=self.clock,
            inbox=self.inbox,
            first_connect_n=1,
            newest_ms=lambda: self.store.newest_ms,
            pinned=None,
            profile=lambda: None,
            rng=Random(5),
        )
        return self.uplink

    def written(self, stream: str) -> int:
        """The newest seq of a stream."""
        return self.store.heads()[stream][0]

    def _sale(self) -> Sale:
        self.sold += 1
        sale = nth_sale(
            self.sold, self.rng, start_ms=self.clock.wall_ms() - self.sold * 60_000, business_day="2026-01-02"
        )
        start = Totalizer(9, self.sold * 1_000)
        return replace(sale, totalizer_start=start, totalizer_end=Totalizer(9, (self.sold + 1) * 1_000))


def main(config: Path, backlog: int, idle_sales: int) -> None:
    """Sell while idle, then drain the backlog while selling; an alert is raised when a third is acknowledged."""
    sys.setswitchinterval(GIVE_WAY_S)
    station = Station(config)
    idle_ms = _sales(station, idle_sales)
    print("draining", flush=True)
    uplink = station.connect()
    stop = threading.Event()
    thread = threading.Thread(target=uplink.shell, args=(Heart(stop),), daemon=True)
    begun, cpu = time.monotonic(), time.process_time()
    thread.start()
    busy_ms: list[float] = []
    alert: tuple[float, int] | None = None
    alert_acked_ms = None
    while station.acked["L"] < backlog:
        assert time.monotonic() - begun < WITHIN_S, f"acknowledged {station.acked} within {WITHIN_S:g} s"
        busy_ms += [took for took in [station.turn()] if took is not None]
        if alert is None and station.acked["L"] >= backlog // 3:
            station.pipeline.handle(AlertFound("p4", "BENCH", standing=True, detail="raised by the bench"))
            alert = (time.monotonic(), station.written("A"))
        if alert is not None and alert_acked_ms is None and station.acked["A"] >= alert[1]:
            alert_acked_ms = (time.monotonic() - alert[0]) * 1000
    took_s, cpu_s = time.monotonic() - begun, time.process_time() - cpu
    stop.set()
    thread.join()
    told: dict[str, Any] = {
        "records": backlog,
        "took_s": took_s,
        "cpu_s": cpu_s,
        "idle_ms": idle_ms,
        "busy_ms": busy_ms,
        "alert_acked_ms": alert_acked_ms,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }
    station.store.close()
    print(json.dumps(told))


def _sales(station: Station, count: int) -> list[float]:
    found: list[float] = []
    station.due_s = time.monotonic()
    while len(found) < count:
        took = station.turn()
        if took is not None:
            found.append(took)
    return found


if __name__ == "__main__":
    if len(sys.argv) > 4:
        os.sched_setaffinity(0, {int(sys.argv[4])})
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
