"""The balance a station may believe: head office's base, which says what it includes, and its own later postings.

Pure, and the same answer in whatever order pages and sales arrived. A record that was journalled again after a rebirth
stands at its newest place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from agent.domain.holdings import HEAD_OFFICE
from agent.domain.ledger import Account, Lot, Posting, spending_order


@dataclass(frozen=True, slots=True)
class AsOf:
    """The last record of this station that a base includes: a seq of stream L of one incarnation."""

    incarnation: str
    seq: int


@dataclass(frozen=True, slots=True)
class OwnPosting:
    """A posting of this station and the place of its record: incarnation and L seq."""

    incarnation: str
    seq: int
    posting: Posting


def later(as_of: AsOf | None, own: Iterable[OwnPosting], lineage: Sequence[str]) -> list[Posting]:
    """Return the station's own postings that a base does not include, as they were journalled.

    ``lineage``: the incarnations of this database, oldest first. ``as_of`` ``None``: the base includes nothing of this
    station. One that names an incarnation this database never had includes all but the newest incarnation's.
    """
    return [posting for _, posting in _placed(as_of, own, lineage)]


def _placed(
    as_of: AsOf | None, own: Iterable[OwnPosting], lineage: Sequence[str]
) -> list[tuple[tuple[int, int], Posting]]:
    places = {incarnation: place for place, incarnation in enumerate(lineage)}
    if as_of is None:
        included = (0, 0)
    elif as_of.incarnation in places:
        included = (places[as_of.incarnation], as_of.seq)
    else:
        included = (len(lineage) - 1, 0)
    placed = [((places[known.incarnation], known.seq), known.posting) for known in own]
    return [found for found in sorted(placed, key=_place) if found[0] > included]


def _place(found: tuple[tuple[int, int], Posting]) -> tuple[int, int]:
    return found[0]


def effective_balance(
    base_points: int,
    as_of: AsOf | None,
    own: Iterable[OwnPosting],
    lineage: Sequence[str],
    account: Account = Account.AVAILABLE,
) -> int:
    """Return a member's balance: what head office said, and what this station posted to the account since."""
    return base_points + sum(leg.points for leg in later(as_of, own, lineage) if leg.account is account)


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of one id of a member: head office's base, what that includes, and what was posted to the id here.

    A member whom head office merged out of several ids has a part for each, until a new base includes them all.
    """

    base: tuple[Lot, ...]
    as_of: AsOf | None
    own: tuple[OwnPosting, ...]


def effective_lots(
    base: Iterable[Lot],
    as_of: AsOf | None,
    own_lots: Iterable[Lot],
    own: Iterable[OwnPosting],
    lineage: Sequence[str],
) -> tuple[Lot, ...]:
    """Return the lots behind that balance: head office's, and this station's with what was posted to them since.

    Points of a lot that is in the base under head office's own id are taken from the base's lot of the same last day,
    then as they would be spent. No lot falls below 0: what the base no longer holds cannot be spent twice.
    """
    return merged_lots([Part(tuple(base), as_of, tuple(own))], own_lots, lineage)


def merged_lots(parts: Sequence[Part], own_lots: Iterable[Lot], lineage: Sequence[str]) -> tuple[Lot, ...]:
    """Return the lots of a member of several parts together: one purse, in which every part counts by its own base.

    Of equal ids the first terms stand: the parts begin with the id that the member has now. The terms of a lot that was
    made here stand before all others: only here they change, and head office tells neither the change at once nor
    when the points were earned.
    """
    found: dict[str, Lot] = {}
    for lot in (lot for part in parts for lot in part.base):
        known = found.get(lot.id)
        found[lot.id] = lot if known is None else replace(known, points=known.points + lot.points)
    own_days: dict[str, date | None] = {}
    for lot in own_lots:
        known = found.get(lot.id)
        if known is None or (lot.source != HEAD_OFFICE and lot.id not in own_days):
            found[lot.id] = replace(lot, points=0 if known is None else known.points)
        own_days.setdefault(lot.id, lot.expires_on)
    placed = [leg for part in parts for leg in _placed(part.as_of, part.own, lineage)]
    for _, leg in sorted(placed, key=_place):
        if leg.account not in (Account.AVAILABLE, Account.PENDING) or leg.lot is None:
            continue
        points = leg.points
        if leg.lot in found:
            points += found[leg.lot].points
            found[leg.lot] = replace(found[leg.lot], points=max(0, points))
        _draw(found, own_days.get(leg.lot), -points)
    return tuple(found.values())


def _draw(found: dict[str, Lot], last_day: date | None, points: int) -> None:
    """Take points (none where below 1) from the lots that end on ``last_day``, then from others in spending order."""
    ordered = spending_order(found.values())
    for lot in sorted(ordered, key=lambda lot: lot.expires_on != last_day):
        taken = max(0, min(points, lot.points))
        found[lot.id] = replace(lot, points=lot.points - taken)
        points -= taken
