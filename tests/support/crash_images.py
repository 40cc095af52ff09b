"""A disk with a volatile cache: from a log of changes to the images that a power cut may leave behind.

What was synced is there. Of what was not, every sector has any of the contents it was given since, a file any of its
sizes, the folder any of its entries: any subset, in any order. A sector is whole or not, as SQLite assumes. No database
is known here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from tests.support.crash_vfs import Change, Kind

T = TypeVar("T")

SECTOR_BYTES = 512
GRAINS = (1, 8)
"""Sectors that are written together: disks of 512 and of 4,096 bytes."""

Image = dict[str, bytes]
"""What is found after the cut: content by file name."""


@dataclass(frozen=True, slots=True)
class Chance:
    """Decides one image: ``pick`` takes the times at which something changed and returns up to when it got through."""

    what: str
    pick: Callable[[Sequence[int]], int]
    grain: int = 1
    fill: bytes = b"\0"


@dataclass
class _File:
    """One file: what is on the disk, what programs see, and each sector's contents since the last sync by time."""

    durable: bytes = b""
    current: bytearray = field(default_factory=bytearray)
    sectors: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)
    sizes: list[tuple[int, int]] = field(default_factory=list)

    def write(self, time: int, offset: int, data: bytes) -> None:
        end = offset + len(data)
        if end > len(self.current):
            self.current.extend(bytes(end - len(self.current)))
            self.sizes.append((time, end))
        self.current[offset:end] = data
        self._touched(time, offset, end)

    def truncate(self, time: int, size: int) -> None:
        before = len(self.current)
        if size == before:
            return
        del self.current[size:]
        self.current.extend(bytes(size - len(self.current)))
        self.sizes.append((time, size))
        self._touched(time, min(size, before), max(size, before))

    def _touched(self, time: int, start: int, end: int) -> None:
        for sector in range(start // SECTOR_BYTES, -(-end // SECTOR_BYTES)):
            at = sector * SECTOR_BYTES
            content = bytes(self.current[at : at + SECTOR_BYTES]).ljust(SECTOR_BYTES, b"\0")
            self.sectors.setdefault(sector, []).append((time, content))

    def sync(self) -> None:
        self.durable = bytes(self.current)
        self.sectors.clear()
        self.sizes.clear()

    def after_a_cut(self, chance: Chance) -> bytes:
        if not self.sectors:
            return self.durable
        size = _as_of(self.sizes, chance.pick([time for time, _ in self.sizes]), len(self.durable))
        found = bytearray(self.durable[:size])
        missing = size - len(found)
        found.extend((chance.fill * (missing // len(chance.fill) + 1))[:missing])
        for sectors in self._units(chance.grain):
            times = [time for sector in sectors for time, _ in self.sectors[sector]]
            until = chance.pick(times if len(sectors) == 1 else sorted(set(times)))
            for sector in sectors:
                content = _as_of(self.sectors[sector], until, None)
                at = sector * SECTOR_BYTES
                if content is not None and at < size:
                    found[at : at + SECTOR_BYTES] = content[: size - at]
        return bytes(found)

    def _units(self, grain: int) -> Iterable[list[int]]:
        """Return the touched sectors in groups that reach the disk together."""
        if grain == 1:
            return ([sector] for sector in self.sectors)
        units: dict[int, list[int]] = {}
        for sector in self.sectors:
            units.setdefault(sector // grain, []).append(sector)
        return units.values()


def _as_of(versions: Sequence[tuple[int, T]], until: int, durable: T) -> T:
    """Return the newest version not younger than ``until``, else what is on the disk."""
    place = bisect_right(versions, until, key=lambda version: version[0])
    return versions[place - 1][1] if place else durable


class Disk:
    """The files of one folder. ``apply`` each change in turn; ``after_a_cut`` is what is left if the power fails now."""

    def __init__(self) -> None:
        self._time = 0
        self._durable: dict[str, _File] = {}
        self._current: dict[str, _File] = {}
        self._entries: dict[str, list[tuple[int, _File | None]]] = {}

    def apply(self, change: Change) -> None:
        """Let one more change happen."""
        self._time += 1
        match change.kind:
            case Kind.CREATE:
                self._current[change.file] = _File()
                self._entries.setdefault(change.file, []).append((self._time, self._current[change.file]))
            case Kind.WRITE:
                self._current[change.file].write(self._time, change.offset, change.data)
            case Kind.TRUNCATE:
                self._current[change.file].truncate(self._time, change.offset)
            case Kind.SYNC:
                self._current[change.file].sync()
            case Kind.DELETE:
                del self._current[change.file]
                self._entries.setdefault(change.file, []).append((self._time, None))
            case Kind.SYNC_FOLDER:
                self._durable = dict(self._current)
                self._entries.clear()

    def after_a_cut(self, chance: Chance) -> Image:
        """Return what ``chance`` leaves."""
        image: Image = {}
        for name in sorted({*self._durable, *self._entries}):
            versions = self._entries.get(name, [])
            until = chance.pick([time for time, _ in versions])
            file = _as_of(versions, until, self._durable.get(name))
            if file is not None:
                image[name] = file.after_a_cut(chance)
        return image

    def chances(self, random: Random) -> Chance:
        """Return one way in which the cut may go: all, nothing, in order up to a moment, or any subset."""
        grain = random.choice(GRAINS)
        fill = random.choice((b"\0", random.randbytes(37)))
        kind = random.randrange(16)
        if kind == 0:
            return Chance("nothing got through", lambda _times: 0, grain, fill)
        if kind == 1:
            return Chance("everything got through", lambda _times: self._time, grain, fill)
        if kind in (2, 3, 4):
            until = self._time - int(random.expovariate(1 / 8))
            return Chance(f"in order up to change {until}", lambda _times: until, grain, fill)
        share = random.choice((0.1, 0.5, 0.9, 0.97))
        return Chance(f"any, {share:.0%} of the newest", lambda times: _any_of(random, times, share), grain, fill)


def _any_of(random: Random, times: Sequence[int], share: float) -> int:
    if not times:
        return 0
    return times[-1] if random.random() < share else random.choice((0, *times[:-1]))


def fingerprint(image: Image) -> int:
    """Return what equal images share."""
    return hash(frozenset(image.items()))
