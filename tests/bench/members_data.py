"""Members as head office sends them, made from their number alone, and how a cache of many is filled."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from agent.domain.check_digits import luhn_digit
from agent.domain.identity import IndexKind, blind_index
from agent.pipeline.downlink import entry
from agent.store.journal import Stamp
from agent.store.store import Store
from tests.bench.table import KEPT

STATION = "SH-0421"
BATCH = 250_000
EVERY = 1_000
INDEX_KEY = b"the-bench-has-32-bytes-of-secret"
STAMP = Stamp(1_767_225_600_000, 1, "boot", "ntp")
TIERS = ("普通", "银卡", "金卡", "")


def card_of(number: int) -> str:
    """Return the digits on the n-th member's card."""
    digits = f"9{number:014d}"
    return digits + luhn_digit(digits)


def digest_of(number: int) -> bytes:
    """Return the blind index of the n-th member's card; only of every ``EVERY``-th is there a card to scan."""
    if number % EVERY == 0:
        return blind_index(INDEX_KEY, IndexKind.CARD, card_of(number))
    return sha256(number.to_bytes(8, "big")).digest()


def member_id(number: int) -> str:
    """Return the n-th member's opaque id."""
    return f"{(number + 1) * 0x9E3779B97F4A7C15 % 2**64:016x}"


def op_of(number: int) -> dict[str, Any]:
    """Return the change that tells the n-th member, as it stands in a page."""
    return {
        "op": number + 1,
        "kind": "PUT",
        "member": member_id(number),
        "indexes": [digest_of(number).hex()],
        "tier": TIERS[number % 4],
        "growth": number % 5_000,
        "tags": ["taxi"] if number % 10 == 0 else [],
        "mask": f"尾号{number % 10_000:04d}",
        "birthday_md": "05-17",
        "flags": [],
        "lots": [{"points": number % 900}],
    }


def batches(count: int) -> Iterator[list[dict[str, Any]]]:
    """Return ``count`` changes in batches."""
    for start in range(0, count, BATCH):
        yield [op_of(number) for number in range(start, min(count, start + BATCH))]


def station(count: int, folder: Path) -> Path:
    """Return a station's database with ``count`` members, made once per run of the benches."""
    kept = Path(os.environ.get(KEPT, folder)) / f"members-{count}.db"
    if not kept.exists():
        fresh = kept.with_suffix(".new")
        _fill(fresh, count)
        fresh.rename(kept)
    return Path(shutil.copy(kept, folder / f"station-{count}.db"))


def _fill(path: Path, count: int) -> None:
    """Fill an empty cache through the store's own bulk path."""
    store = Store(path, station=STATION, random=Random(1))
    for batch in batches(count):
        with store.begin(STAMP) as tx:
            tx.members.put_all([entry(op) for op in batch])
    with store.begin(STAMP) as tx:
        tx.journal.append("fc.incarnation.v1", {"reason": "new", "parent": None})
    store.close()
