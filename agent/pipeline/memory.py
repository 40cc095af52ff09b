"""What the pipeline keeps in memory between steps: the domain's frozen states, by subject.

A step works on a draft; it becomes the memory only after the commit, so a refused step leaves no trace.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from agent.domain import link_memory
from agent.domain.alerts import DeviceAlerts
from agent.domain.codes.keyset import EMPTY as EMPTY_KEYS
from agent.domain.codes.keyset import KeySet
from agent.domain.handheld import Pairing
from agent.domain.link_records import LinkDesk
from agent.domain.point_state import Point
from agent.domain.retention import Nights
from agent.domain.rules.model import RuleSet
from agent.domain.thinning import Thinning
from agent.domain.wetstock.alerts import TankAlerts
from agent.domain.wetstock.console_time import ConsoleClock
from agent.inbox import Asked
from drivers.readings import FuellingPointReading, GaugeAlarms, TankReading


@dataclass(frozen=True, slots=True)
class ActiveRules:
    """The rule set in force with its version and the hash of its document."""

    rules: RuleSet
    version: int
    hash: str


@dataclass(frozen=True, slots=True)
class Still:
    """A gauge reading that stands still: its values, since when, and what had been sold out of the tank by then."""

    values: tuple[int | None, ...]
    since_mono_ms: int
    sold_ml: int


@dataclass(frozen=True, slots=True)
class Privacy:
    """How far this night's deletion of what was kept long enough has come.

    ``left``: kinds of data still to be looked through in the night ``tonight``; ``swept``, ``looked``: the last night
    that was done, and the last one at which the clock was looked at.
    """

    nights: Nights
    tonight: str = ""
    left: tuple[str, ...] = ()
    swept: str | None = None
    looked: str | None = None


@dataclass(frozen=True, slots=True)
class Parked:
    """A question of a person that waits for head office: until all of ``ids`` are answered, at most until ``due_ms``
    on the monotonic clock. ``said``: what the answers so far said, where they gave nothing.
    """

    item: Asked
    ids: frozenset[str]
    due_ms: int
    said: str = ""


class DeskText:
    """Writes the desk of linking as JSON; an entry that is the same object as before keeps its text.

    The whole desk is written with every lift, scan and sale, and nearly all of it is as it was.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, str]] = {}

    def of(self, desk: LinkDesk) -> str:
        """Return what ``json.loads`` turns into ``link_memory.durable(desk)``."""
        fresh: dict[int, tuple[object, str]] = {}

        def listed(entries: Iterable[object]) -> str:
            texts = []
            for entry in entries:
                found = self._known.get(id(entry))
                if found is None or found[0] is not entry:
                    found = (entry, _encode(link_memory.plain(entry)))
                fresh[id(entry)] = found
                texts.append(found[1])
            return ",".join(texts)

        text = (
            f'{{"boot":{_encode(desk.boot)},"seen":{_encode(link_memory.plain(desk.seen))},'
            f'"pending":[{listed(desk.pending.values())}],"live":[{listed(desk.live.values())}],'
            f'"sales":[{listed(desk.sales.values())}],"chosen":[{listed(desk.chosen.values())}],'
            f'"ended":[{listed(desk.ended)}]}}'
        )
        self._known = fresh
        return text


_encode = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(slots=True)
class Memory:
    """All of it. Dictionaries are copied by ``draft``; what they hold is frozen.

    ``due``: when a sale settles by itself, monotonic. ``locks``: when the quote that holds a sale ends, by both clocks.

    Of gauges: ``gauge_lost_ms`` since when each was not heard, ``sold_ml`` by tank since the start, ``still`` readings
    that do not change, ``backfills`` ranges being read (command to tank). ``offered``: by fuelling point, the waiting
    scan that lower prices were looked up for last. ``privacy``: ``None`` until it was first looked for.
    ``scrub``: something was erased, and the database's log may still hold it, as after every start.
    ``index_version``: what the key is called that members are recognised with.
    ``locked``: until when wrong PINs lock a person out, monotonic. ``refused_ms``: when a kind of bad order was last
    put on record, monotonic. ``shift_since_ms``: when the open shift was opened. ``fenced_ms``: since when nothing may
    be redeemed here. ``told``: by stream, how far head office has this incarnation; empty before its first welcome.
    """

    desk: LinkDesk
    desk_text: DeskText = field(default_factory=DeskText)
    points: dict[int, Point] = field(default_factory=dict)
    tanks: dict[int, TankAlerts] = field(default_factory=dict)
    device_alerts: DeviceAlerts = field(default_factory=DeviceAlerts)
    readings: dict[int, FuellingPointReading] = field(default_factory=dict)
    quiet: dict[int, tuple[Point, FuellingPointReading] | None] = field(default_factory=dict)
    tank_readings: dict[int, TankReading] = field(default_factory=dict)
    gauge_alarms: dict[str, GaugeAlarms] = field(default_factory=dict)
    seen_mono_ms: dict[str, int] = field(default_factory=dict)
    due: dict[str, int] = field(default_factory=dict)
    locks: dict[str, tuple[int, int]] = field(default_factory=dict)
    prices: dict[str, int] = field(default_factory=dict)
    rules: ActiveRules | None = None
    keys: KeySet = EMPTY_KEYS
    look_at_ms: int = 0
    telemetry_at_ms: int = 0
    points_told_at_ms: int = 0
    thinning: Thinning = field(default_factory=Thinning)
    disk_is_low: bool = False
    disk_is_full: bool = False
    console_clocks: dict[str, ConsoleClock] = field(default_factory=dict)
    gauge_lost_ms: dict[str, int] = field(default_factory=dict)
    sold_ml: dict[int, int] = field(default_factory=dict)
    still: dict[int, Still] = field(default_factory=dict)
    backfills: dict[str, int] = field(default_factory=dict)
    offered: dict[int, tuple[str, ...]] = field(default_factory=dict)
    privacy: Privacy | None = None
    scrub: bool = True
    refused_ms: dict[str, int] = field(default_factory=dict)
    index_version: str = ""
    locked: dict[str, int] = field(default_factory=dict)
    pairing: Pairing | None = None
    shift_since_ms: int | None = None
    fenced_ms: int | None = None
    parked: dict[str, Parked] = field(default_factory=dict)
    coupons: dict[tuple[str, str], str] = field(default_factory=dict)
    refused_until: dict[str, int] = field(default_factory=dict)
    online_at_ms: int = 0
    told: dict[str, int] = field(default_factory=dict)
    resends: bool = False

    def draft(self) -> Memory:
        """Return a copy whose dictionaries may be changed."""
        return replace(
            self,
            points=dict(self.points),
            tanks=dict(self.tanks),
            readings=dict(self.readings),
            quiet=dict(self.quiet),
            tank_readings=dict(self.tank_readings),
            gauge_alarms=dict(self.gauge_alarms),
            seen_mono_ms=dict(self.seen_mono_ms),
            due=dict(self.due),
            locks=dict(self.locks),
            prices=dict(self.prices),
            console_clocks=dict(self.console_clocks),
            gauge_lost_ms=dict(self.gauge_lost_ms),
            sold_ml=dict(self.sold_ml),
            still=dict(self.still),
            backfills=dict(self.backfills),
            offered=dict(self.offered),
            locked=dict(self.locked),
            parked=dict(self.parked),
            coupons=dict(self.coupons),
            refused_until=dict(self.refused_until),
            told=dict(self.told),
            refused_ms=dict(self.refused_ms),
        )
