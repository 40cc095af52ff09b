"""What is given once: the keys that make a repeated message harmless, grants, and once-only benefits found twice.

Pure: knows no table. A key that the ledger holds is never posted again.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import date

from agent.domain.ledger import Account, Entry, LedgerError, Lot, Posting, issue

PROGRAM = "program"
"""The rule of legs that no single offer gave: settlements, refunds, expiry."""

SETTLED = "settled"
"""The fact of a sale's settlement."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What the ledger holds at most once: a leg of one fact of a sale, by the rule that gave it.

    A grant or an expiry has its own key in place of the sale.
    """

    sale: str
    leg: str
    rule: str


def refund_fact(refunded_minor: int) -> str:
    """Return the fact of the refund that brings what is refunded of a net to this amount: it happens once."""
    return f"refunded:{refunded_minor}"


def held_fact(number: int) -> str:
    """Return the fact that the points of a sale were held for review for the ``number``-th time, from 1."""
    return f"held:{number}"


def released_fact(number: int) -> str:
    """Return the fact that they were let go again after that."""
    return f"released:{number}"


def keyed(sale: str, fact: str, postings: Iterable[Posting], rule: str = PROGRAM) -> tuple[tuple[Key, Posting], ...]:
    """Return the legs of one fact with their keys: the fact and the number of the leg, from 1."""
    return tuple((Key(sale, f"{fact}/{number}", rule), leg) for number, leg in enumerate(postings, 1))


def unposted(known: Container[Key], legs: Iterable[tuple[Key, Posting]]) -> tuple[Posting, ...]:
    """Return the legs still to be posted: all of a new fact, none of a repeated one.

    Raises LedgerError where the ledger holds a part of the fact: half an entry does not sum to 0.
    """
    legs = tuple(legs)
    new = tuple(leg for key, leg in legs if key not in known)
    if new and len(new) < len(legs):
        raise LedgerError(f"{len(legs) - len(new)} of {len(legs)} legs of {legs[0][0].sale} are posted: run verify")
    return new


def grant_key(offer: str, occasion: str) -> str:
    """Return the id of a granted lot: ``birthday:2026``, ``referral:<friend>``, ``gold-gift:2026-11-22``."""
    return f"{offer}:{occasion}"


def grant(member: str, lot: Lot, given: Container[str], debt: int = 0) -> tuple[Posting, ...]:
    """Return the postings of points that no sale earned, once per member and lot id; a debt is repaid first.

    ``given``: ids of the grants the member had.
    """
    return () if lot.id in given else issue(member, lot, debt)


def granted_lot(key: str, points: int, earned_at_ms: int, expires_on: date | None) -> Lot:
    """Return the lot of a grant; it may be spent at once."""
    return Lot(key, points, earned_at_ms, earned_at_ms, expires_on, "grant")


@dataclass(frozen=True, slots=True)
class Benefit:
    """One time a once-only benefit was given: money off, points, or both."""

    sale: str
    member: str | None
    at_ms: int
    value_minor: int = 0
    points: int = 0


@dataclass(frozen=True, slots=True)
class Overrun:
    """What was given beyond once: the customer keeps it, the programme bears it, a person is told.

    ``postings`` move the points from issued to overrun; money has no account here and is told by ``value_minor``.
    """

    benefit: str
    sale: str
    member: str | None
    value_minor: int
    points: int
    postings: tuple[Posting, ...]


def overruns(benefit: str, given: Iterable[Benefit], whole_minor: int | None = None) -> tuple[Overrun, ...]:
    """Return what a once-only benefit (a coupon's code, a first fill, a welcome) gave too much, oldest first.

    The first stands. ``whole_minor``: the worth of a coupon that keeps its balance; then only what exceeds it is too
    much. The same sale told twice counts once.
    """
    told = {gift.sale: gift for gift in given}
    ordered = sorted(told.values(), key=lambda gift: (gift.at_ms, gift.sale))
    if whole_minor is None:
        return tuple(_overrun(benefit, gift, gift.value_minor, gift.points) for gift in ordered[1:])
    found, left = [], whole_minor
    for gift in ordered:
        if gift.value_minor > left:
            found.append(_overrun(benefit, gift, gift.value_minor - left, 0))
        left = max(0, left - gift.value_minor)
    return tuple(found)


def _overrun(benefit: str, gift: Benefit, value_minor: int, points: int) -> Overrun:
    return Overrun(benefit, gift.sale, gift.member, value_minor, points, _moved(benefit, points))


def _moved(benefit: str, points: int) -> tuple[Posting, ...]:
    if points == 0:
        return ()
    return Entry((Posting(Account.ISSUED, points, benefit), Posting(Account.OVERRUN, -points, benefit))).postings
