"""A lease at its station: points of a member, or money of a campaign, lent by head office to be spent offline.

Pure steps. Only reservations and new spending look at the clock; what goes back to head office never does: a lease ends
by its close-out, which stands in the journal behind all that was spent. Head office's end is in pools.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from agent.domain.rules.facts import CampaignBudget


class LeaseError(ValueError):
    """A step that a lease does not allow; the message says what is left of it. Nothing has changed."""


class LeaseState(StrEnum):
    """OPEN: may be spent. CLOSING: settles what is reserved and takes nothing new. CLOSED: the rest went back.

    VOID: the station has a new incarnation since; what is left is out of reach until a person at head office decides.
    """

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"
    VOID = "void"


class LeaseEvent(StrEnum):
    """The events of fc.lease.v1."""

    RECEIVED = "received"
    CLOSED_OUT = "closed_out"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Taken:
    """What a settled sale took, and what refunds of it brought back."""

    sale: str
    amount: int
    returned: int = 0

    @property
    def kept(self) -> int:
        """What stays taken."""
        return self.amount - self.returned


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a quoted sale will take when it is settled, kept for it until an instant."""

    sale: str
    amount: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as its station holds it. Amounts: points of a member, minor units of a campaign.

    ``subject``: the member's id or the campaign's. ``expires_ms``: from then on nothing new is reserved; what is
    reserved may still be settled, because only a close-out gives it back. Raises LeaseError for a grant of 0 or below.
    """

    id: str
    subject: str
    incarnation: str
    granted: int
    expires_ms: int
    state: LeaseState = LeaseState.OPEN
    taken: tuple[Taken, ...] = ()
    reserved: tuple[Reservation, ...] = ()

    def __post_init__(self) -> None:
        if self.granted <= 0:
            raise LeaseError(f"lease {self.id} of {self.granted}: a lease grants more than 0")

    @property
    def spent(self) -> int:
        """What settled sales took and no refund brought back."""
        return sum(use.kept for use in self.taken)

    @property
    def remaining(self) -> int:
        """What is neither spent nor reserved."""
        return self.granted - self.spent - sum(held.amount for held in self.reserved)

    def live(self, now_ms: int) -> bool:
        """Return whether a new sale may take from it."""
        return self.state is LeaseState.OPEN and now_ms < self.expires_ms

    def campaign(self, now_ms: int) -> CampaignBudget:
        """Return the lease of a campaign as the engine looks at it."""
        return CampaignBudget(self.subject, self.id, self.remaining, self.live(now_ms))

    def points(self, now_ms: int) -> int | None:
        """Return the points its member may spend by it now, ``None`` where it is not live."""
        return self.remaining if self.live(now_ms) else None

    def record(self, event: LeaseEvent) -> dict[str, Any]:
        """Return the ``data`` of fc.lease.v1. Of a void lease nobody knows what a lost database spent: ``null``."""
        if event is LeaseEvent.VOID:
            return {"lease": self.id, "event": event.value, "spent": None, "remaining": None}
        return {
            "lease": self.id,
            "event": event.value,
            "spent": self.spent,
            "remaining": self.granted - self.spent,
        }


def reserve(lease: Lease, sale: str, amount: int, *, now_ms: int, until_ms: int) -> Lease:
    """Return the lease with an amount kept for a quoted sale; a new quote of the sale replaces its reservation.

    Raises LeaseError where the lease is not live, holds less, or the sale was settled from it.
    """
    lease = release(timed_out(lease, now_ms), sale)
    if any(use.sale == sale for use in lease.taken):
        raise LeaseError(f"lease {lease.id}: sale {sale} was settled from it")
    if not lease.live(now_ms):
        raise LeaseError(f"lease {lease.id} is {lease.state} or past its time: ask head office for a new one")
    if not 0 < amount <= lease.remaining:
        raise LeaseError(f"lease {lease.id}: {amount} asked, {lease.remaining} left")
    return replace(lease, reserved=(*lease.reserved, Reservation(sale, amount, until_ms)))


def commit(lease: Lease, sale: str, amount: int) -> Lease:
    """Return the lease after a sale was settled; its reservation ends. A repeat with the same amount changes nothing.

    Raises LeaseError where the sale reserved less, or took another amount before.
    """
    for use in lease.taken:
        if use.sale == sale:
            if use.amount == amount:
                return lease
            raise LeaseError(f"lease {lease.id}: sale {sale} took {use.amount} already, not {amount}")
    held = sum(kept.amount for kept in lease.reserved if kept.sale == sale)
    if not 0 < amount <= held:
        raise LeaseError(f"lease {lease.id}: sale {sale} reserved {held}, {amount} are to be taken: quote it again")
    return release(replace(lease, taken=(*lease.taken, Taken(sale, amount))), sale)


def release(lease: Lease, sale: str) -> Lease:
    """Return the lease without the reservation of a sale; there may be none."""
    return _ended(replace(lease, reserved=tuple(held for held in lease.reserved if held.sale != sale)))


def timed_out(lease: Lease, now_ms: int) -> Lease:
    """Return the lease without the reservations whose time is over."""
    return _ended(replace(lease, reserved=tuple(held for held in lease.reserved if held.until_ms > now_ms)))


def give_back(lease: Lease, sale: str, amount: int) -> Lease:
    """Return the lease after a refund brought back a part of what a sale took.

    A closed or void lease stays as it is: head office adds the amount to what is free, told by the same record. Raises
    LeaseError for more than the sale still holds.
    """
    kept = sum(use.kept for use in lease.taken if use.sale == sale)
    if not 0 <= amount <= kept:
        raise LeaseError(f"lease {lease.id}: sale {sale} holds {kept}, {amount} cannot go back")
    if lease.state not in (LeaseState.OPEN, LeaseState.CLOSING):
        return lease
    return replace(lease, taken=returned(lease.taken, sale, amount))


def returned(taken: tuple[Taken, ...], sale: str, amount: int) -> tuple[Taken, ...]:
    """Return what sales took after a refund of one of them."""
    return tuple(replace(use, returned=use.returned + amount) if use.sale == sale else use for use in taken)


def close_out(lease: Lease) -> Lease:
    """Return the lease on its way back: CLOSED, or CLOSING while quoted sales hold a part of it.

    The step that leaves a lease CLOSED journals ``closed_out`` in the same transaction.
    """
    if lease.state is not LeaseState.OPEN:
        return lease
    return _ended(replace(lease, state=LeaseState.CLOSING))


def void(lease: Lease, incarnation: str) -> Lease:
    """Return the lease at the start of an incarnation: void, and nothing reserved, where it was lent to another one."""
    if lease.incarnation == incarnation or lease.state is LeaseState.CLOSED:
        return lease
    return replace(lease, state=LeaseState.VOID, reserved=())


def _ended(lease: Lease) -> Lease:
    done = lease.state is LeaseState.CLOSING and not lease.reserved
    return replace(lease, state=LeaseState.CLOSED) if done else lease
