"""Head office's end of leases: the points of a member, or the budget of a campaign, and what stations hold of it.

Pure steps over a Pool: free + what leases still hold = balance, all >= 0. No step looks at a clock: a lease is
reclaimed only by a close-out that stands behind all its spending in the station's journal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.domain.leases import LeaseError, LeaseState, Taken, returned


@dataclass(frozen=True, slots=True)
class Granted:
    """A lease as head office sees it. ``after_seq``: the last L seq of the incarnation known when it was granted.

    ``taken``: by the records that have arrived. ``reclaimed``: what went back to free.
    """

    id: str
    station: str
    incarnation: str
    amount: int
    after_seq: int
    state: LeaseState = LeaseState.OPEN
    taken: tuple[Taken, ...] = ()
    reclaimed: int = 0

    @property
    def spent(self) -> int:
        """What the records that have arrived took."""
        return sum(use.kept for use in self.taken)

    @property
    def outstanding(self) -> int:
        """What the station may still spend, or has spent in records that are on their way."""
        return self.amount - self.spent - self.reclaimed


@dataclass(frozen=True, slots=True)
class Pool:
    """The points of a member or the budget of a campaign. ``seen``: ids of the records it includes.

    ``overrun``: spent beyond what was lent, borne by the programme; 0 while every station spends only its leases.
    Raises LeaseError where free or what a lease holds would fall below 0.
    """

    subject: str
    free: int
    leases: tuple[Granted, ...] = ()
    overrun: int = 0
    seen: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.free < 0:
            raise LeaseError(f"{self.subject}: {-self.free} more than is free")
        for lease in self.leases:
            if lease.outstanding < 0:
                raise LeaseError(f"{self.subject}: lease {lease.id} would hold {lease.outstanding}")

    @property
    def balance(self) -> int:
        """Free + what the leases still hold."""
        return self.free + sum(lease.outstanding for lease in self.leases)

    def lease(self, lease_id: str) -> Granted:
        """Return a lease by id; raises LeaseError for an unknown one."""
        for lease in self.leases:
            if lease.id == lease_id:
                return lease
        raise LeaseError(f"{self.subject} has no lease {lease_id}")


def credit(pool: Pool, record: str, amount: int) -> Pool:
    """Return the pool after points were earned or a budget was raised (below 0: expired, adjusted); once per record.

    Raises LeaseError where less is free: what is lent must come back before it can be taken away.
    """
    if record in pool.seen:
        return pool
    return replace(pool, free=pool.free + amount, seen=pool.seen | {record})


def grant(pool: Pool, lease: Granted) -> Pool:
    """Return the pool after a lease was taken from what is free; the same lease again changes nothing.

    Raises LeaseError where less is free, or the id stands for another lease.
    """
    for known in pool.leases:
        if known.id == lease.id:
            if (known.station, known.incarnation, known.amount) == (lease.station, lease.incarnation, lease.amount):
                return pool
            raise LeaseError(f"lease {known.id} was granted to {known.station} for {known.amount}")
    if not 0 < lease.amount <= pool.free:
        raise LeaseError(f"{pool.subject}: {lease.amount} asked, {pool.free} free")
    return replace(pool, free=pool.free - lease.amount, leases=(*pool.leases, lease))


def spent(pool: Pool, lease_id: str, record: str, taken: Taken) -> Pool:
    """Return the pool after the record of a settled sale arrived; once per record.

    What the lease no longer holds is overrun: the customer has it, the programme bears it, and a person is to be told.
    """
    if record in pool.seen:
        return pool
    lease = pool.lease(lease_id)
    covered = min(taken.amount, lease.outstanding)
    after = replace(lease, taken=(*lease.taken, replace(taken, amount=covered)))
    return replace(_with(pool, after, record), overrun=pool.overrun + taken.amount - covered)


def given_back(pool: Pool, lease_id: str, record: str, sale: str, amount: int) -> Pool:
    """Return the pool after the record of a refund arrived; once per record.

    An open lease holds the amount again, as it does at its station; of any other lease it becomes free.
    """
    if record in pool.seen:
        return pool
    lease = pool.lease(lease_id)
    covered = min(amount, sum(use.kept for use in lease.taken if use.sale == sale))
    freed = 0 if lease.state is LeaseState.OPEN else covered
    taken = returned(lease.taken, sale, covered)
    after = replace(lease, taken=taken, reclaimed=lease.reclaimed + freed)
    overrun = max(0, pool.overrun - (amount - covered))
    return replace(_with(pool, after, record), free=pool.free + freed, overrun=overrun)


def closed_out(pool: Pool, lease_id: str, record: str, *, incarnation: str, seq: int, spent_by_station: int) -> Pool:
    """Return the pool after a close-out was committed: the unspent rest is free; once per record.

    Raises LeaseError, and reclaims nothing, for a record of another incarnation, of a seq before the grant, or that
    counts another sum than the records that arrived before it.
    """
    if record in pool.seen:
        return pool
    lease = pool.lease(lease_id)
    if lease.state is LeaseState.CLOSED:
        raise LeaseError(f"lease {lease_id} was closed out before")
    if incarnation != lease.incarnation or seq <= lease.after_seq:
        raise LeaseError(f"lease {lease_id}: the close-out is not behind its grant in the same incarnation's journal")
    if spent_by_station != lease.spent:
        raise LeaseError(f"lease {lease_id}: the station counts {spent_by_station} spent, its records {lease.spent}")
    rest = lease.outstanding
    after = replace(lease, state=LeaseState.CLOSED, reclaimed=lease.reclaimed + rest)
    return replace(_with(pool, after, record), free=pool.free + rest)


def voided(pool: Pool, station: str, incarnation: str) -> Pool:
    """Return the pool once a station has a new incarnation: leases of earlier ones are void, reclaimed by nobody.

    ``incarnation``: the newest that head office knows of. Records of earlier ones that arrive later still count: facts
    are facts.
    """
    leases = tuple(
        replace(lease, state=LeaseState.VOID)
        if lease.station == station and lease.incarnation != incarnation and lease.state is LeaseState.OPEN
        else lease
        for lease in pool.leases
    )
    return replace(pool, leases=leases)


def written_off(pool: Pool, lease_id: str) -> Pool:
    """Return the pool after a person decided that a void lease's rest was not spent: it is free again.

    Raises LeaseError for a lease that is not void: its station can close it out.
    """
    lease = pool.lease(lease_id)
    if lease.state is not LeaseState.VOID:
        raise LeaseError(f"lease {lease_id} is {lease.state}: have its station close it out")
    rest = lease.outstanding
    after = replace(lease, state=LeaseState.CLOSED, reclaimed=lease.reclaimed + rest)
    return replace(pool, free=pool.free + rest, leases=_put(pool.leases, after))


def _with(pool: Pool, lease: Granted, record: str) -> Pool:
    return replace(pool, leases=_put(pool.leases, lease), seen=pool.seen | {record})


def _put(leases: tuple[Granted, ...], lease: Granted) -> tuple[Granted, ...]:
    return tuple(lease if known.id == lease.id else known for known in leases)
