"""Backups of a virtual station's database, put back at will, and the high-water file beside it; as the daemon does it.

Knows files and ``agent.pipeline.rebirth``; judges nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from agent.failpoints import SimulatedCrash
from agent.pipeline import rebirth
from agent.store import mark as marks
from agent.store.journal import Stamp

if TYPE_CHECKING:
    from tests.support.station import VirtualStation


def is_settled(station: VirtualStation) -> bool:
    """Whether everything is delivered and no meter waits for head office."""
    waiting = station.rows("SELECT 1 FROM stream_head WHERE acked < seq")
    doubts = [json.loads(row["memory"]) for row in station.rows("SELECT memory FROM point_memory")]
    return not waiting and not any(doubt["rebase"] or doubt["gaps"] for doubt in doubts)


Image = dict[Path, bytes]


def begin(station: VirtualStation, boot: str) -> str | None:
    """A new incarnation where the database needs one; returns why nothing may be sent."""
    if not station.plan.has_mark:
        return None
    clock, store = station.clock, station.store
    stamp = Stamp(max(clock.wall_ms(), store.newest_ms), clock.mono_ms(), boot, "ntp")
    begun = rebirth.begin(store, station.settings, install=station.install, stamp=stamp, random=station.random)
    if begun.stopped is None:
        write_mark(station)
    return begun.stopped


def write_mark(station: VirtualStation) -> None:
    """The high-water file catches up."""
    heads = {name: (seq, digest.hex()) for name, (seq, digest) in station.store.heads().items()}
    marks.write(station.settings.store.mark, marks.Mark(station.store.incarnation, 0, heads, station.store.counts()))


def database_image(station: VirtualStation) -> Image:
    """The files of the database as they are at this instant: a backup."""
    path = station.settings.store.path
    files = [path, path.with_name(path.name + "-wal")]
    return {file: file.read_bytes() for file in files if file.exists()}


def lose_database(station: VirtualStation) -> None:
    """The agent is killed and its database is gone."""
    station.crash("database lost")
    path = station.settings.store.path
    for name in (path.name, path.name + "-wal"):
        path.with_name(name).unlink(missing_ok=True)


def put_back(station: VirtualStation, image: Image, *, mark: bytes | None = None) -> None:
    """The agent is killed, a backup is put in the place of its database, and it starts; ``mark``: an old one, too."""
    lose_database(station)
    for file, content in image.items():
        file.write_bytes(content)
    if mark is not None:
        station.settings.store.mark.write_bytes(mark)
    start_surviving(station)


def start_surviving(station: VirtualStation) -> None:
    """The agent starts; one that a failpoint kills while it does starts again."""
    try:
        station.start()
    except SimulatedCrash as crash:
        station.crash(str(crash))
        station.start()


def any_moment(station: VirtualStation) -> None:
    """A story by the station's seed: backups put back mid-business, twice, with the mark kept, old or gone."""
    rng = Random(f"restores:{station.seed}")
    station.run_for(12 + 6 * rng.random())
    for _ in range(2):
        backup, mark = database_image(station), station.settings.store.mark.read_bytes()
        station.broker.up = rng.random() < 0.7
        station.run_for(20 * rng.random())
        station.broker.up = rng.random() < 0.5
        station.run_for(3 * rng.random())
        how = rng.choice(("kept", "old", "gone"))
        if how == "gone":
            station.settings.store.mark.unlink()
        put_back(station, backup, mark=mark if how == "old" else None)
        station.run_for(25 * rng.random())
        station.broker.up = True
        station.run_for(15 * rng.random())
    station.run_out()
    station.wait(lambda: is_settled(station), "delivered, and no meter waits", 600)
    station.run_for(5)
