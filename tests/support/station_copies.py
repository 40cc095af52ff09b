"""Backups of a virtual station's database, put back at will, and the high-water file beside it; as the daemon does it.

Knows files and ``agent.pipeline.rebirth``; judges nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agent.failpoints import SimulatedCrash
from agent.pipeline import rebirth
from agent.store import mark as marks
from agent.store.journal import Stamp

if TYPE_CHECKING:
    from tests.support.station import VirtualStation

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
    marks.write(station.settings.store.mark, marks.Mark(station.store.incarnation, 0, heads))


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
