"""Who serves which shards when several workers share one head office (W-27): pure, from what every worker can see.

Knows worker numbers and shards; knows no database, no broker and no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sync.topics import SHARDS


@dataclass(frozen=True, slots=True)
class View:
    """What the locks say: every worker that is there, who holds which shard, and who leads (None: nobody)."""

    workers: frozenset[int]
    held: Mapping[int, int]
    leader: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What one worker does next: shards to ``take``, in this order, and shards to ``let_go`` when they are in hand."""

    take: tuple[int, ...]
    let_go: tuple[int, ...]


def fair_share(worker: int, workers: Collection[int]) -> int:
    """How many shards a worker should hold; the shares of all workers add up to every shard, and differ by one."""
    share, left = divmod(SHARDS, len(workers))
    return share + (sorted(workers).index(worker) < left)


def plan(worker: int, view: View) -> Plan:
    """What ``worker`` should take and let go. One that is not in the view lets go of everything.

    Only what is too much moves. Everybody begins to take at another place, so that few reach for the same shard.
    """
    mine = sorted(shard for shard, holder in view.held.items() if holder == worker)
    if worker not in view.workers:
        return Plan((), tuple(mine))
    share = fair_share(worker, view.workers)
    begin = sorted(view.workers).index(worker) * SHARDS // len(view.workers)
    order = [*range(begin, SHARDS), *range(begin)]
    free = [shard for shard in order if shard not in view.held]
    return Plan(tuple(free[: max(0, share - len(mine))]), tuple(mine[share:]))
