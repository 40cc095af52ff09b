"""Which sale, fuelling or point a scan means: candidates, and the rule that asks instead of guessing.

Reads a desk and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from agent.domain.instant import Now
from agent.domain.link_records import Choice, Credential, KnownSale, LinkDesk, Live, Pending, PendingState
from agent.domain.sale import SaleState


class TargetKind(StrEnum):
    """LIVE, SALE, WAIT (for a lift): what to link. ASK: tiles. TAKEN, REPEAT, GONE, SALE_UNKNOWN: nothing to link."""

    LIVE = "live"
    SALE = "sale"
    WAIT = "wait"
    ASK = "ask"
    TAKEN = "taken"
    REPEAT = "repeat"
    GONE = "gone"
    SALE_UNKNOWN = "sale_unknown"


@dataclass(frozen=True, slots=True)
class Target:
    """What a scan means. ``member``: who holds a TAKEN one; ``pending``: the waiting link a REPEAT is about."""

    kind: TargetKind
    point: int | None = None
    sale: str | None = None
    live: Live | None = None
    member: str | None = None
    pending: str | None = None
    choices: tuple[Choice, ...] = ()


def holder_of(desk: LinkDesk, point: int) -> Pending | None:
    """Return the pending link that has the current fuelling of a point, or waits for its next one."""
    live = desk.live.get(point)
    for pending in desk.pending.values():
        if pending.point != point:
            continue
        if pending.state is PendingState.AWAIT_FUELLING:
            return pending
        if live is not None and belongs(pending, live):
            return pending
    return None


def belongs(pending: Pending, live: Live) -> bool:
    """Return whether a pending link is LIVE and fixed to this very fuelling."""
    if pending.state is not PendingState.LIVE:
        return False
    return (pending.point, pending.nozzle, pending.start) == (live.point, live.nozzle, live.start)


def awaiting_point(desk: LinkDesk, reader: str) -> Pending | None:
    """Return the scan of a reader that still has no point; a reader has one at most."""
    for pending in desk.pending.values():
        if pending.state is PendingState.AWAIT_POINT and pending.who.reader == reader:
            return pending
    return None


def is_open(desk: LinkDesk, sale: KnownSale, now: Now) -> bool:
    """Return whether a sale may still take a member by a plain scan: unlinked, not cleared, within ``after_s``."""
    if sale.link is not None or sale.lapsed or sale.state is SaleState.CLEARED:
        return False
    return now.mono_ms - sale.ended_mono_ms <= desk.windows.after_s * 1000


def open_sales(desk: LinkDesk, points: Iterable[int], now: Now) -> list[KnownSale]:
    """Return the open sales of these points, newest first."""
    wanted = frozenset(points)
    found = [sale for sale in desk.sales.values() if sale.point in wanted and is_open(desk, sale, now)]
    return sorted(found, key=lambda sale: (-sale.ended_mono_ms, sale.id))


def _free_live(desk: LinkDesk, points: Iterable[int]) -> list[Live]:
    return [desk.live[point] for point in points if point in desk.live and holder_of(desk, point) is None]


def _tiles(live: list[Live], sales: list[KnownSale], now: Now) -> tuple[Choice, ...]:
    running = [Choice("live", item.point) for item in live]
    finished = [Choice("sale", sale.point, sale.id, max(0, now.mono_ms - sale.ended_mono_ms) // 1000) for sale in sales]
    return tuple(running + finished)


def resolve_point(desk: LinkDesk, point: int, member: str, now: Now) -> Target:
    """Return what a scan for one point means: a fixed reader's scan, or one whose point was chosen."""
    live = desk.live.get(point)
    holder = holder_of(desk, point)
    sales = open_sales(desk, (point,), now)
    if holder is not None:
        if holder.who.member == member:
            return Target(TargetKind.REPEAT, point, pending=holder.id)
        if not sales:
            return Target(TargetKind.TAKEN, point, member=holder.who.member)
        return Target(TargetKind.ASK, point, choices=_tiles([], sales, now))
    if live is not None and not sales:
        return Target(TargetKind.LIVE, point, live=live)
    if live is None and len(sales) == 1:
        return Target(TargetKind.SALE, point, sales[0].id)
    if sales:
        return Target(TargetKind.ASK, point, choices=_tiles([] if live is None else [live], sales, now))
    return _last_link(desk, point, member, now) or Target(TargetKind.WAIT, point)


def _last_link(desk: LinkDesk, point: int, member: str, now: Now) -> Target | None:
    """While the newest sale of an idle point may be changed, a scan there is about that sale, not the next one."""
    newest = max(
        (sale for sale in desk.sales.values() if sale.point == point), key=lambda sale: sale.ended_mono_ms, default=None
    )
    if newest is None or newest.link is None or newest.state is SaleState.CLEARED:
        return None
    if now.mono_ms - newest.link.made.mono_ms > desk.windows.change_s * 1000:
        return None
    if newest.link.who.member == member:
        return Target(TargetKind.REPEAT, point, newest.id)
    return Target(TargetKind.TAKEN, point, newest.id, member=newest.link.who.member)


def resolve_live(desk: LinkDesk, point: int, member: str) -> Target:
    """Return what a scan for the fuelling running at a point means, whatever sales wait there."""
    live = desk.live.get(point)
    if live is None:
        return Target(TargetKind.GONE, point)
    holder = holder_of(desk, point)
    if holder is None:
        return Target(TargetKind.LIVE, point, live=live)
    if holder.who.member == member:
        return Target(TargetKind.REPEAT, point, pending=holder.id)
    return Target(TargetKind.TAKEN, point, member=holder.who.member)


def resolve_sale(desk: LinkDesk, sale_id: str, member: str, now: Now) -> Target:
    """Return what a scan for one named sale means."""
    sale = desk.sales.get(sale_id)
    if sale is None:
        return Target(TargetKind.SALE_UNKNOWN, sale=sale_id)
    if sale.link is not None:
        kind = TargetKind.REPEAT if sale.link.who.member == member else TargetKind.TAKEN
        return Target(kind, sale.point, sale_id, member=sale.link.who.member)
    if not is_open(desk, sale, now):
        return Target(TargetKind.GONE, sale.point, sale_id)
    return Target(TargetKind.SALE, sale.point, sale_id)


def resolve_roaming(desk: LinkDesk, points: tuple[int, ...], who: Credential, now: Now) -> Target:
    """Return what a roaming reader's scan means: the only candidate, else tiles; nothing is preselected.

    A fresh one-time code is always meant; a card shown twice within the undo time may only be a second look.
    """
    member = who.member
    again = _just_done(desk, who.reader, member, now) if who.code is None else None
    if again is not None:
        return again
    live = _free_live(desk, points)
    sales = open_sales(desk, points, now)
    if len(live) == 1 and not sales:
        return Target(TargetKind.LIVE, live[0].point, live=live[0])
    if len(sales) == 1 and not live:
        return Target(TargetKind.SALE, sales[0].point, sales[0].id)
    if live or sales:
        return Target(TargetKind.ASK, choices=_tiles(live, sales, now))
    known = _already_served(desk, points, member, now)
    if known is not None:
        return known
    return Target(TargetKind.ASK, choices=choices_for(desk, points, now))


def choices_for(desk: LinkDesk, points: tuple[int, ...], now: Now) -> tuple[Choice, ...]:
    """Return the tiles of these points: fuellings and sales without a member, newest first, else the free points."""
    tiles = _tiles(_free_live(desk, points), open_sales(desk, points, now), now)
    if tiles:
        return tiles
    return tuple(
        Choice("point", point) for point in points if point not in desk.live and holder_of(desk, point) is None
    )


def _just_done(desk: LinkDesk, reader: str, member: str, now: Now) -> Target | None:
    """The same member at the same reader within the undo time is a second look, not a second car."""
    since = now.mono_ms - desk.windows.undo_s * 1000
    for pending in desk.pending.values():
        mine = pending.who.reader == reader and pending.who.member == member
        if mine and pending.point is not None and pending.made.mono_ms >= since:
            return Target(TargetKind.REPEAT, pending.point, pending=pending.id)
    for sale in desk.sales.values():
        link = sale.link
        if link is not None and link.who.reader == reader and link.who.member == member and link.made.mono_ms >= since:
            return Target(TargetKind.REPEAT, sale.point, sale.id)
    return None


def _already_served(desk: LinkDesk, points: tuple[int, ...], member: str, now: Now) -> Target | None:
    for point in points:
        holder = holder_of(desk, point)
        if holder is not None and holder.who.member == member:
            return Target(TargetKind.REPEAT, point, pending=holder.id)
    for point in points:
        if point not in desk.live and holder_of(desk, point) is None:
            last = _last_link(desk, point, member, now)
            if last is not None and last.kind is TargetKind.REPEAT:
                return last
    return None
