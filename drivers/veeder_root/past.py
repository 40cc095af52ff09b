"""What was told of a console's past: deliveries, alarm history, charts; a list is told again only when it is another.

Knows readings and when a list is complete. Knows no wire; what is new to the station is decided by the station.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from drivers.commands import ReadDeliveries
from drivers.readings import GaugeDeliveries, GaugeDelivery, GaugeEvent, GaugeHistory, Quality, TankChart
from drivers.veeder_root.exchange import Ask
from drivers.veeder_root.fields import console_time
from drivers.veeder_root.layouts import Deliveries, Record
from drivers.veeder_root.records import RECORDS_KEPT, delivery, events
from drivers.veeder_root.units import Units

RANGE = "20F"
CLOCK_DIGITS = 10
RANGE_AT_ONCE = 50  # 150 to 198 bytes a record: ten seconds of a 9600 baud line
MAX_PAGES = 20  # a thousand deliveries of one tank: years


class Past:
    """Levels told so far, and the alarm history that is being read. ``tanks``: the configured ones, empty = all."""

    def __init__(self, gauge: str, tanks: tuple[int, ...]) -> None:
        self._gauge = gauge
        self._tanks = tanks
        self._deliveries: dict[int, GaugeDeliveries] = {}
        self._charts: dict[int, TankChart] = {}
        self._events: dict[tuple[int, int, int, str, str], GaugeEvent] = {}
        self._heard = False

    def forget(self) -> None:
        """Another connection: all is told again, so that whoever keeps it can compare."""
        self._deliveries.clear()
        self._charts.clear()
        self._events.clear()
        self._heard = False

    def deliveries(
        self,
        records: tuple[Deliveries, ...],
        units: Units,
        clock: str,
        quality: Quality,
        delay_min: Callable[[int], int | None],
    ) -> list[GaugeDeliveries]:
        """Return the lists of a reply to 202 that differ from what was told."""
        found = []
        for record in records:
            if self._tanks and record.tank not in self._tanks:
                continue
            level = GaugeDeliveries(
                self._gauge,
                record.tank,
                tuple(delivery(one, units) for one in record.records),
                quality,
                full=len(record.records) >= RECORDS_KEPT,
                delay_min=delay_min(record.tank),
                console_time=console_time(clock),
            )
            known = self._deliveries.get(record.tank)
            if known is None or known.deliveries != level.deliveries:
                self._deliveries[record.tank] = level
                found.append(level)
        return found

    def events(self, records: tuple[Record, ...]) -> None:
        """Keep the entries of a reply to 111, 112 or 206; one that two functions tell stands once."""
        self._heard = True
        for event in events(records):
            self._events[event.category, event.number, event.device, event.state, event.time] = event

    def history(self) -> list[GaugeHistory]:
        """All history functions are answered or refused: return the history, if any was answered."""
        heard, self._heard = self._heard, False
        found = tuple(event for _, event in sorted(self._events.items()))
        self._events.clear()
        return [GaugeHistory(self._gauge, found)] if heard else []

    def charts(self, found: list[TankChart]) -> list[TankChart]:
        """Return those charts of configured tanks that differ from what was told."""
        news = []
        for chart in found:
            wanted = not self._tanks or chart.gauge_index in self._tanks
            if wanted and self._charts.get(chart.gauge_index) != chart:
                self._charts[chart.gauge_index] = chart
                news.append(chart)
        return news


@dataclass(slots=True)
class Range:
    """One ``ReadDeliveries`` under way: 20F, a page at a time. ``until``: ten digits, moved as pages come."""

    command: ReadDeliveries
    since: str
    until: str
    pages: int = 0
    complete: bool = False
    _found: dict[str, GaugeDelivery] = field(default_factory=dict)

    def ask(self) -> Ask:
        """Return the question for the next page."""
        return Ask(RANGE, self.command.gauge_index, data=f"00{self.since}{self.until}{RANGE_AT_ONCE:03d}")

    def take(self, records: tuple[Deliveries, ...], units: Units) -> bool:
        """Keep a page; returns whether there is another one to ask for."""
        page = [one for record in records if record.tank == self.command.gauge_index for one in record.records]
        before = len(self._found)
        self._found.update((one.key, one) for one in (delivery(record, units) for record in page))
        self.pages += 1
        self.complete = len(page) < RANGE_AT_ONCE
        if self.complete or len(self._found) == before or self.pages >= MAX_PAGES:
            return False
        if page[0].start >= page[-1].start:  # newest first
            self.until = page[-1].start
        else:
            self.since = page[-1].start
        return True

    def level(self, gauge: str, clock: str, delay_min: int | None) -> GaugeDeliveries:
        """Return what was found; ``full`` where older ones may be missing all the same."""
        return GaugeDeliveries(
            gauge,
            self.command.gauge_index,
            tuple(self._found.values()),
            full=not self.complete,
            delay_min=delay_min,
            console_time=console_time(clock),
        )


def digits(local_time: str) -> str:
    """``YYMMDDHHmm`` of "2026-11-21T23:03"."""
    return "".join(char for char in local_time if char.isdigit())[2 : 2 + CLOCK_DIGITS]
