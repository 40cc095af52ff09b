"""Which part of which bucket is asked for next, and parts put together: how a cache that is far behind is filled.

Sans-IO. What is missing is read from the cache each time, so a fill goes on where it was whatever happened in between.
"""

from __future__ import annotations

from typing import Protocol

from sync.group import BucketPart
from sync.ports import BucketArrived

AHEAD = 3
"""Buckets told to the cache and not stored yet: more would only wait in memory."""

AGAIN_S = 30.0
"""A bucket that was told and is missing still, because it was refused or was too old, is asked for again after this."""

LOOK_S = 1.0


class MemberCache(Protocol):
    """The member cache as the feed sees it, read-only. Called from the link's thread."""

    def member_op(self) -> int:
        """Return the change up to which every change is stored, or noted for a bucket that is missing."""

    def manifest_wanted(self) -> bool:
        """Return whether the cache waits for a manifest."""

    def missing_buckets(self, at_most: int) -> list[int]:
        """Return the lowest numbers of buckets that are to be fetched."""


class Filling:
    """Asks for one part after the other; at most one is out."""

    def __init__(self, cache: MemberCache) -> None:
        """See the class."""
        self._cache = cache
        self._told: dict[int, float] = {}
        self._bucket: int | None = None
        self._parts: list[BucketPart] = []
        self._look_at = 0.0

    def next_part(self, now: float) -> tuple[int, int] | None:
        """Return (bucket, part) to ask for, ``None`` where nothing is missing or enough waits to be stored."""
        if self._bucket is not None:
            return self._bucket, len(self._parts)
        if now < self._look_at:
            return None
        missing = self._cache.missing_buckets(len(self._told) + 1)
        self._told = {number: until for number, until in self._told.items() if number in missing and now < until}
        fresh = [number for number in missing if number not in self._told]
        if not fresh or len(self._told) >= AHEAD:
            self._look_at = now + LOOK_S
            return None
        self._bucket = fresh[0]
        return self._bucket, 0

    def look(self) -> None:
        """Something was stored: look again at once."""
        self._look_at = 0.0

    def give_up(self) -> None:
        """The bucket under way was refused or came damaged: it is asked for from its start, later."""
        self._bucket = None
        self._parts.clear()

    def took(self, now: float, part: BucketPart) -> BucketArrived | None:
        """Take a part; return the bucket once it is whole. Parts of another state of it begin it anew."""
        if part.bucket != self._bucket:
            return None
        if part.part == 0 or (self._parts and part.changed != self._parts[0].changed):
            self._parts.clear()
        if part.part != len(self._parts):
            return None
        self._parts.append(part)
        if len(self._parts) < part.parts:
            return None
        data = b"".join(one.data for one in self._parts)
        # a change elsewhere moves the op on between two parts: the bucket is as it was at the first
        whole = BucketArrived(part.bucket, self._parts[0].op, part.changed, data, part.index_versions)
        self.give_up()
        self._told[part.bucket] = now + AGAIN_S
        return whole
