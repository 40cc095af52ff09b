"""What lifts, flow, hang-ups and stored sales do to waiting links; a link never delays a sale.

Knows a sale by id, nozzle and start totalizer only. Knows no reader.
"""

from __future__ import annotations

from dataclasses import replace

from agent.domain.instant import Now
from agent.domain.link_edits import MAX_SALES, Result, attach, end, put, save, without
from agent.domain.link_records import (
    End,
    HungZero,
    KnownSale,
    LinkDesk,
    LinkEffect,
    Live,
    NozzleLifted,
    Pending,
    PendingState,
    SaleBooked,
    SaleStateChanged,
)
from agent.domain.link_targets import belongs, holder_of
from agent.domain.sale import SaleKind, SaleState, Totalizer


def nozzle_lifted(desk: LinkDesk, event: NozzleLifted) -> Result:
    """A waiting link becomes LIVE; one whose fuelling shows no volume yet follows to the other nozzle."""
    before = desk.live.get(event.point)
    live = Live(event.point, event.nozzle, event.start)
    if before is not None and (before.nozzle, before.start) == (live.nozzle, live.start):
        return desk, ()
    holder = holder_of(desk, event.point)
    desk = replace(desk, live=put(desk.live, event.point, live))
    if holder is None:
        return desk, ()
    if any(other is not holder and belongs(other, live) for other in desk.pending.values()):
        # This very fuelling was begun before by another member, whose sale is still to come: one member per sale.
        return end(desk, holder, End.CANCELLED)
    if holder.state is PendingState.AWAIT_FUELLING:
        return save(desk, _bound(holder, live))
    if before is not None and before.flow:
        return desk, ()  # the old fuelling delivered: its link stays with it until its sale is stored
    return save(desk, replace(_bound(holder, live), note=f"followed to nozzle {event.nozzle}"))


def _bound(pending: Pending, live: Live) -> Pending:
    return replace(pending, state=PendingState.LIVE, point=live.point, nozzle=live.nozzle, start=live.start)


def flow_seen(desk: LinkDesk, point: int) -> Result:
    """Remember that volume was delivered."""
    live = desk.live.get(point)
    if live is None or live.flow:
        return desk, ()
    return replace(desk, live=put(desk.live, point, replace(live, flow=True))), ()


def hung_zero(desk: LinkDesk, event: HungZero, now: Now) -> Result:
    """Nothing was delivered: the link waits again with the rest of its window, at least ``again_s``."""
    live = desk.live.get(event.point)
    if live is None or (event.nozzle is not None and live.nozzle is not None and event.nozzle != live.nozzle):
        return desk, ()
    holder = holder_of(desk, event.point)
    desk = replace(desk, live=without(desk.live, event.point))
    if holder is None:
        return desk, ()
    until = max(holder.until_mono_ms, now.mono_ms + desk.windows.again_s * 1000)
    waiting = replace(holder, state=PendingState.AWAIT_FUELLING, nozzle=None, start=None, until_mono_ms=until)
    return save(desk, waiting)


def sale_booked(desk: LinkDesk, event: SaleBooked, now: Now) -> Result:
    """Store the sale in memory and give it to the link that waits for it; unclear ones stay unlinked with a hint."""
    if event.sale in desk.sales:
        return desk, ()
    sale = _as_known(desk, event, now)
    live = desk.live.get(event.point)
    taker, losers = _claimants(desk, event, live, sale)
    if live is not None and (_is_fuelling(event, live.nozzle, live.start) or _passed(event, live)):
        desk = replace(desk, live=without(desk.live, event.point))
    desk = replace(desk, sales=_pruned(put(desk.sales, sale.id, sale), desk.windows.remember_s, now))
    effects: list[LinkEffect] = []
    if taker is not None:
        desk, ended = end(desk, taker, End.LINKED)
        desk, link = attach(desk, sale, taker.who, now, delay_s=0, codes=taker.codes)
        effects += [*ended, link]
    for loser in losers:
        desk, ended = end(desk, loser, End.EXPIRED, hint=sale.id)
        effects += ended
    return desk, tuple(effects)


def _as_known(desk: LinkDesk, event: SaleBooked, now: Now) -> KnownSale:
    age_ms = max(0, now.wall_ms - event.ended_ms)
    sale = KnownSale(event.sale, event.point, event.nozzle, event.ended_ms, now.mono_ms - age_ms)
    lapsed = any(
        other.state is SaleState.CLEARED and _same_nozzle(other, sale) and other.ended_mono_ms > sale.ended_mono_ms
        for other in desk.sales.values()
    )
    return replace(sale, lapsed=lapsed)


def _claimants(
    desk: LinkDesk, event: SaleBooked, live: Live | None, sale: KnownSale
) -> tuple[Pending | None, list[Pending]]:
    """Return who gets the sale, and whose fuelling is over without their having got it."""
    single = event.kind is SaleKind.NORMAL or event.recovered_count == 1
    taker: Pending | None = None
    losers: list[Pending] = []
    for pending in desk.pending.values():
        if pending.point != event.point:
            continue
        if pending.state is PendingState.LIVE:
            meant = _is_fuelling(event, pending.nozzle, pending.start)
            current = live is not None and belongs(pending, live)
            over = not current or (live is not None and _passed(event, live))
        else:
            # The lift was never seen: the first fuelling that ended here since the scan is the one it waited for.
            meant = over = live is None and sale.ended_mono_ms >= pending.made.mono_ms
        if meant and single and taker is None:
            taker = pending
        elif meant or over:
            losers.append(pending)
    return taker, losers


def _is_fuelling(event: SaleBooked, nozzle: int | None, start: str | None) -> bool:
    same_nozzle = nozzle is None or nozzle == event.nozzle
    return same_nozzle and (start is None or event.start is None or start == event.start)


def _passed(event: SaleBooked, live: Live) -> bool:
    """Return whether the meter has gone beyond the start of a fuelling without a sale of its own."""
    if live.nozzle != event.nozzle or live.start is None or event.start is None:
        return False
    try:
        return Totalizer.parse(event.start) > Totalizer.parse(live.start)
    except ValueError:
        return False


def _pruned(sales: dict[str, KnownSale], remember_s: int, now: Now) -> dict[str, KnownSale]:
    since = now.mono_ms - remember_s * 1000
    kept = {
        key: sale for key, sale in sales.items() if sale.ended_mono_ms >= since or sale.state is not SaleState.CLEARED
    }
    if len(kept) <= MAX_SALES:
        return kept
    newest = sorted(kept.values(), key=lambda sale: sale.ended_mono_ms)[-MAX_SALES:]
    return {sale.id: sale for sale in newest}


def sale_recalled(desk: LinkDesk, sale: KnownSale) -> Result:
    """Put a stored sale back on the desk; one that is still there is kept as it is."""
    if sale.id in desk.sales:
        return desk, ()
    return replace(desk, sales=put(desk.sales, sale.id, sale)), ()


def _same_nozzle(one: KnownSale, other: KnownSale) -> bool:
    return (one.point, one.nozzle) == (other.point, other.nozzle)


def sale_state_changed(desk: LinkDesk, event: SaleStateChanged) -> Result:
    """Follow a sale's state; clearing one ends the window of every earlier sale of its nozzle."""
    sale = desk.sales.get(event.sale)
    if sale is None or sale.state is SaleState.CLEARED:
        return desk, ()
    sales = put(desk.sales, sale.id, replace(sale, state=event.state))
    if event.state is SaleState.CLEARED:
        for other in desk.sales.values():
            if _same_nozzle(other, sale) and other.ended_mono_ms < sale.ended_mono_ms:
                sales[other.id] = replace(other, lapsed=True)
    return replace(desk, sales=sales), ()
