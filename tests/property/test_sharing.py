"""Who serves which shards: nobody is idle, nothing is served twice, little moves, whatever order workers come and go in."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from headoffice.sharing import View, fair_share, plan
from sync.topics import SHARDS
from tests.support.examples import tries

GONE = 999
EXAMPLES = settings(max_examples=tries(200))


SEEDS = st.integers(0, 2**32)


def view_of(seed: int) -> View:
    """Any state the locks can be in: some shards free, some with workers, some with one that is not counted any more."""
    rng = Random(seed)
    workers = frozenset(rng.sample(range(1, 200), rng.randint(1, SHARDS + 6)))
    holders = [None, GONE, *rng.sample(sorted(workers), rng.randint(1, len(workers)))]
    drawn = {shard: rng.choice(holders) for shard in range(SHARDS)}
    return View(workers, {shard: holder for shard, holder in drawn.items() if holder is not None})


def turn(worker: int, view: View) -> View:
    """One worker acts: what it takes was free, what it lets go becomes free."""
    wanted = plan(worker, view)
    assert not set(wanted.take) & set(view.held), "only free shards are taken"
    assert all(view.held[shard] == worker for shard in wanted.let_go), "only its own are let go"
    kept = {shard: holder for shard, holder in view.held.items() if shard not in wanted.let_go}
    return View(view.workers, kept | dict.fromkeys(wanted.take, worker))


@given(SEEDS)
@EXAMPLES
def test_the_shares_are_fair_and_add_up(seed: int) -> None:
    """[W-27] Every shard is somebody's, and no two shares differ by more than one."""
    workers = view_of(seed).workers
    shares = [fair_share(worker, workers) for worker in workers]
    assert sum(shares) == SHARDS
    assert max(shares) - min(shares) <= 1


@given(SEEDS)
@EXAMPLES
def test_any_order_of_turns_ends_with_every_shard_served(seed: int) -> None:
    """[W-27] Two rounds in any order, once whoever is gone has lost its locks: all shards held, each worker its share."""
    found, rng = view_of(seed), Random(seed)
    view = View(found.workers, {shard: holder for shard, holder in found.held.items() if holder != GONE})
    for _ in range(2):
        for worker in rng.sample(sorted(view.workers), len(view.workers)):
            view = turn(worker, view)
    assert set(view.held) == set(range(SHARDS))
    for worker in view.workers:
        assert list(view.held.values()).count(worker) == fair_share(worker, view.workers)
        assert plan(worker, view).take == plan(worker, view).let_go == ()


@given(SEEDS)
@EXAMPLES
def test_only_what_is_too_much_moves(seed: int) -> None:
    """A worker within its share keeps all it has; above it, it lets go of exactly the surplus and takes nothing."""
    view = view_of(seed)
    worker = Random(seed).choice(sorted(view.workers))
    mine, share = list(view.held.values()).count(worker), fair_share(worker, view.workers)
    wanted = plan(worker, view)
    assert len(wanted.let_go) == max(0, mine - share)
    assert not (wanted.take and wanted.let_go)


@given(SEEDS)
@EXAMPLES
def test_a_worker_that_does_not_count_lets_go_of_everything(seed: int) -> None:
    """One that cannot hear the broker leaves its shards to those who can."""
    view = view_of(seed)
    wanted = plan(GONE, view)
    assert wanted.take == ()
    assert {shard for shard, holder in view.held.items() if holder == GONE} == set(wanted.let_go)
