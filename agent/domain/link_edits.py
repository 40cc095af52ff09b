"""Small changes to a link desk: save and end a pending link, attach a link to a sale. Each returns a new desk.

No decision is made here; the callers have made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from agent.domain.identity import stronger
from agent.domain.instant import Now
from agent.domain.link_records import (
    Credential,
    End,
    Ended,
    KnownSale,
    Link,
    LinkDesk,
    LinkEffect,
    LinkSale,
    Pending,
    PendingEnded,
    PendingSaved,
    SpendCode,
)
from agent.domain.sale import SaleState

Result = tuple[LinkDesk, tuple[LinkEffect, ...]]

MAX_ENDED = 256
"""Ended scans remembered for repeats: more than all readers of a station can take in within the life of a code."""

MAX_SALES = 5000
"""Sales remembered: two days of a very busy station; older ones are corrected by head office."""

MAX_CODES = 8
"""Codes of one member remembered for one link; the store keeps every spent code."""

Key = TypeVar("Key")
Value = TypeVar("Value")


def put(mapping: Mapping[Key, Value], key: Key, value: Value) -> dict[Key, Value]:
    """Return a copy with one entry set."""
    return {**mapping, key: value}


def without(mapping: Mapping[Key, Value], key: Key) -> dict[Key, Value]:
    """Return a copy without one entry."""
    return {known: value for known, value in mapping.items() if known != key}


def codes_of(who: Credential) -> tuple[str, ...]:
    """Return the one-time code of a scan as a tuple of none or one."""
    return () if who.code is None else (who.code,)


def spend(who: Credential) -> tuple[LinkEffect, ...]:
    """Return the effect that spends the scan's one-time code, if it has one."""
    return () if who.code is None else (SpendCode(who.code, who.scan_id),)


def add_code(codes: tuple[str, ...], who: Credential) -> tuple[str, ...]:
    """Return the codes with the scan's added, newest last, bounded."""
    if who.code is None or who.code in codes:
        return codes
    return (*codes, who.code)[-MAX_CODES:]


def save(desk: LinkDesk, pending: Pending) -> Result:
    """Store a pending link."""
    return replace(desk, pending=put(desk.pending, pending.id, pending)), (PendingSaved(pending),)


def end(desk: LinkDesk, pending: Pending, how: End, hint: str | None = None) -> Result:
    """End a pending link and remember its scan and codes."""
    ended = (*desk.ended, Ended(pending.id, how, pending.codes))[-MAX_ENDED:]
    return replace(desk, pending=without(desk.pending, pending.id), ended=ended), (PendingEnded(pending.id, how, hint),)


def strengthen(desk: LinkDesk, pending: Pending, who: Credential) -> Result:
    """Keep the stronger level and every code after the same member was scanned again."""
    level = stronger(pending.who.level, who.level)
    codes = add_code(pending.codes, who)
    if level is pending.who.level and codes == pending.codes:
        return desk, ()
    return save(desk, replace(pending, who=replace(pending.who, level=level), codes=codes))


def delay_of(sale: KnownSale, now: Now) -> int:
    """Return the seconds from hang-up to now, never negative."""
    return max(0, now.mono_ms - sale.ended_mono_ms) // 1000


def attach(
    desk: LinkDesk,
    sale: KnownSale,
    who: Credential,
    now: Now,
    *,
    by: str | None = None,
    delay_s: int | None = None,
    corrects: int | None = None,
    codes: tuple[str, ...] | None = None,
    late: bool = False,
) -> tuple[LinkDesk, LinkSale]:
    """Give a sale its active link. The sale must have none: one member per sale."""
    assert sale.link is None, f"sale {sale.id} already has an active link"
    maker = who.by if by is None else by
    delay = delay_of(sale, now) if delay_s is None else delay_s
    known = codes_of(who) if codes is None else codes
    link = Link(sale.links + 1, who, now, maker, delay, corrects, known)
    linked = replace(sale, link=link, links=link.number)
    effect = LinkSale(
        sale=sale.id,
        member=who.member,
        level=who.level,
        by=maker,
        delay_s=delay,
        scan_id=who.scan_id,
        code=who.shown,
        number=link.number,
        corrects=corrects,
        clock_suspect=who.clock_suspect,
        late=late,
        after_lock=sale.state is not SaleState.PAYABLE,
    )
    return replace(desk, sales=put(desk.sales, sale.id, linked)), effect


def detach(desk: LinkDesk, sale: KnownSale, *, corrections: int) -> tuple[LinkDesk, KnownSale]:
    """Take the active link off a sale and remember its scan, so that replaying the scan makes no second link."""
    assert sale.link is not None
    bare = replace(sale, link=None, corrections=corrections)
    ended = (*desk.ended, Ended(sale.link.who.scan_id, End.LINKED, sale.link.codes))[-MAX_ENDED:]
    return replace(desk, sales=put(desk.sales, sale.id, bare), ended=ended), bare
