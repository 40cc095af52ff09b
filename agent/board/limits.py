"""How much one client may ask: token buckets. Knows no device and no address; time comes in.

Memory stays bounded: a bucket that is full again is forgotten, and past ``MOST`` the one used longest ago.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock

MOST = 512


@dataclass(frozen=True, slots=True)
class Rate:
    """So many a second in the long run, so many at once."""

    per_second: int
    at_once: int


class Buckets:
    """One bucket for each key; any thread may take."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._levels: OrderedDict[Hashable, tuple[int, int]] = OrderedDict()  # thousandths of a token, at mono_ms
        self._lock = Lock()

    def take(self, key: Hashable, mono_ms: int) -> bool:
        """Take one token; returns whether there was one."""
        with self._lock:
            level, since_ms = self._levels.pop(key, (1000 * self._rate.at_once, mono_ms))
            level = min(1000 * self._rate.at_once, level + max(0, mono_ms - since_ms) * self._rate.per_second)
            taken = level >= 1000
            self._levels[key] = (level - 1000 if taken else level, mono_ms)
            if len(self._levels) > MOST:
                self._levels.popitem(last=False)
            return taken
