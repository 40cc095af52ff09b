"""P13: what looking for misuse costs: a link with the rules and without, and one night, at 100,000 linked sales.

Time of this process alone: what the disk needs is the same with and without.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from random import Random
from statistics import median

from agent.inbox import Inbox
from agent.nightwatch import NightWatch, night_before
from tests.bench.table import Row, against, within
from tests.support import template
from tests.support.many_links import Told, write
from tests.support.station import EPOCH_MS
from tests.support.station_settings import Plan
from tests.support.till import OFFERS, Till

SALES, MEMBERS, ATTENDANTS, DAYS = 100_000, 5_000, 8, 30
ROUNDS = 300
DAY_MS = 86_400_000


def month(random: Random) -> Iterator[Told]:
    """A busy month up to now: members come back every day or two, a tenth by weak codes, a few links late."""
    for number in range(SALES):
        yield Told(
            EPOCH_MS - DAYS * DAY_MS + number * (DAYS * DAY_MS // SALES),
            by=f"s{random.randrange(ATTENDANTS)}",
            member=1 + random.randrange(MEMBERS),
            level=random.choices(["sun", "fm1_dynamic", "number"], [6, 3, 1])[0],
            delay_s=random.choices([0, 60, 300], [6, 3, 1])[0],
            redeemed=random.choices([0, 100], [19, 1])[0],
        )


def till(*, watched: bool) -> Till:
    """A till with that past."""
    folder = template.new_folder()
    template.copy_to(folder)
    made = Till(folder, plan=Plan(settle="tender", watched=watched))
    made.rules(*OFFERS)
    write(made.store.path, month(Random(1)))
    return made


def linked_ms(station: Till, random: Random) -> float:
    """The time of one link in this process's own milliseconds."""
    station.clock.now_s += 30
    sale = station.sale()
    member = f"{1 + random.randrange(MEMBERS):016x}"
    begun = time.process_time()
    station.link(sale, member)
    return (time.process_time() - begun) * 1_000


def measure() -> list[Row]:
    """A link with the rules against one without, in turns on two databases; and the look over one night."""
    with_rules, without = till(watched=True), till(watched=False)
    ours, plain = Random(2), Random(2)
    looked: list[float] = []
    bare: list[float] = []
    for _ in range(ROUNDS):
        looked.append(linked_ms(with_rules, ours))
        bare.append(linked_ms(without, plain))
    night_s = _night_s(with_rules)
    extra = median(looked) - median(bare)
    for station in (with_rules, without):
        station.close()
        shutil.rmtree(station.directory)
    what = "a link with the rules of misuse, 100,000 linked sales"
    return [
        against("P13", what, median(looked), median(bare), unit="ms", peer_name="without them", at_most=1.5),
        within("P13", "what the rules add to a link", extra, unit="ms", at_most=1.0),
        within("P13", "the look over one night of 30 days, 100,000 links", night_s, unit="s", at_most=10.0),
    ]


def _night_s(station: Till) -> float:
    settings, clock = station.settings, station.clock
    watch = NightWatch(settings, clock, Inbox(), night=None, shift=None)
    at = night_before(clock.wall_ms(), settings.fraud.night_at, settings.station.tz)
    begun = time.process_time()
    watch.over_night(at)
    return time.process_time() - begun
