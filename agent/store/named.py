"""How a member's row is found by its id: in its bucket, because ids are random and a million is kept by buckets."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sync.buckets import BUCKETS, bucket_of

NO_BUCKET = -1
"""Where pseudonyms are: nobody tells them."""

IS_NAMED = f"m.bucket IN (?, {NO_BUCKET}) AND m.id = ?"
"""Condition on ``member m``; its parameters are ``in_bucket``'s."""

NAMED = """
json_each(?) n CROSS JOIN member m
ON m.bucket = json_extract(n.value, '$[0]') AND m.id = json_extract(n.value, '$[1]')
"""
"""Rows of members whom head office tells, as ``m``; the parameter is ``in_buckets``'s."""

EVERY_BUCKET = json.dumps([NO_BUCKET, *range(BUCKETS)])


def in_bucket(member: str) -> tuple[int, str]:
    """Return the bucket of an id, and the id."""
    return bucket_of(member), member


def in_buckets(members: Iterable[str]) -> str:
    """Return many ids with their buckets, as JSON."""
    return json.dumps([in_bucket(member) for member in members])
