"""Links a person asks for, and corrections: who may change what, and until when. Never edits, only adds.

Knows roles and windows; the caller has checked that the person is who they say.
"""

from __future__ import annotations

from dataclasses import replace

from agent.domain.answers import Outcome
from agent.domain.instant import Now
from agent.domain.link_claims import refusal, worked_on
from agent.domain.link_edits import Result, attach, delay_of, detach, end, spend
from agent.domain.link_records import (
    Answer,
    Audit,
    CorrectionRequested,
    CorrectLink,
    End,
    KnownSale,
    Link,
    LinkDesk,
    LinkEffect,
    LinkRequested,
    PendingState,
    Reader,
    Role,
)
from agent.domain.link_targets import TargetKind, resolve_sale
from agent.domain.sale import SaleState

ATTENDANT_REASONS = frozenset({"wrong_member", "wrong_sale", "customer_request", "scanned_by_mistake"})
"""An attendant picks from this list; a supervisor writes text."""

UNDO_REASON = "undone_at_once"

MAX_CORRECTIONS = 2
"""The same sale may be corrected twice at the station; the third time needs head office."""


def link_requested(desk: LinkDesk, event: LinkRequested, now: Now) -> Result:
    """Link a named sale; after its window a supervisor may until ``late_h``, head office at any time, with a reason."""
    target = resolve_sale(desk, event.sale, event.who.member, now)
    sale = desk.sales.get(event.sale)
    answer = Answer(event.person, Outcome.SALE_UNKNOWN, sale=event.sale)
    if sale is None:
        return desk, (answer,)
    answer = replace(answer, point=sale.point, member=event.who.member)
    if sale.link is not None:
        same = sale.link.who.member == event.who.member
        outcome = Outcome.REPEAT if same else Outcome.ALREADY_LINKED
        return desk, (replace(answer, outcome=outcome, member=sale.link.who.member, repeat=same),)
    late = target.kind is TargetKind.GONE
    no = _late_refusal(desk, sale, event, now) if late else None
    if no is not None:
        return desk, (replace(answer, outcome=no),)
    held = refusal(desk, sale, event.terminal)
    if held is not None:
        return desk, (replace(answer, outcome=held[0], terminal=held[1], member=None),)
    desk, claim = worked_on(desk, sale.id, event.terminal, event.person, now)
    desk, link = attach(desk, sale, event.who, now, by=event.person, late=late)
    outcome = Outcome.LINKED if sale.state is SaleState.PAYABLE else Outcome.LINKED_AFTER_LOCK
    effects: tuple[LinkEffect, ...] = (*spend(event.who), *claim, link)
    if late:
        effects += (Audit(event.person, event.role, "late_link", sale.id, event.reason, "linked"),)
    return desk, (*effects, replace(answer, outcome=outcome))


def _late_refusal(desk: LinkDesk, sale: KnownSale, event: LinkRequested, now: Now) -> Outcome | None:
    if event.role is Role.ATTENDANT:
        return Outcome.SALE_GONE
    if event.role is Role.SUPERVISOR and not _within_late(desk, sale, now):
        return Outcome.TOO_LATE
    return None if event.reason.strip() else Outcome.REASON_MISSING


def _within_late(desk: LinkDesk, sale: KnownSale, now: Now) -> bool:
    return now.mono_ms - sale.ended_mono_ms <= desk.windows.late_h * 3_600_000


def correction_requested(desk: LinkDesk, event: CorrectionRequested, now: Now) -> Result:
    """Change or remove the active link of a sale, or say why not."""
    sale = desk.sales.get(event.sale)
    if sale is None:
        return desk, (Answer(event.person, Outcome.SALE_UNKNOWN, sale=event.sale),)
    answer = Answer(event.person, Outcome.NOTHING_TO_CORRECT, point=sale.point, sale=sale.id)
    if sale.link is None:
        return desk, (answer,)
    old = sale.link
    if event.who is not None and event.who.member == old.who.member:
        return desk, (replace(answer, outcome=Outcome.REPEAT, member=old.who.member, repeat=True),)
    no, terminal = _correction_refusal(desk, sale, event, now)
    if no is not None:
        return desk, (replace(answer, outcome=no, terminal=terminal),)
    desk, claim = worked_on(desk, sale.id, event.terminal, event.person, now)
    desk, bare = detach(desk, sale, corrections=sale.corrections + 1)
    member = None if event.who is None else event.who.member
    delay_s = delay_of(sale, now)
    level = None if event.who is None else event.who.level
    suspect = event.who is not None and event.who.clock_suspect
    effects: tuple[LinkEffect, ...] = (
        CorrectLink(
            sale.id, old.who.member, member, old.number, event.person, event.role, event.reason, delay_s, level, suspect
        ),
        *claim,
    )
    outcome = Outcome.REMOVED
    if event.who is not None:
        desk, link = attach(desk, bare, event.who, now, by=event.person, corrects=old.number)
        effects += (*spend(event.who), link)
        outcome = Outcome.CORRECTED
    done = Audit(event.person, event.role, "correct_link", sale.id, event.reason, outcome.value.lower())
    return desk, (*effects, done, replace(answer, outcome=outcome, member=member))


def _correction_refusal(
    desk: LinkDesk, sale: KnownSale, event: CorrectionRequested, now: Now
) -> tuple[Outcome | None, str | None]:
    """Return why not, and which terminal has the sale where that is why."""
    if sale.state is SaleState.LOCKED:
        held = desk.claims.get(sale.id)
        return Outcome.BEING_PAID, None if held is None else held.terminal
    if event.role is Role.HEAD_OFFICE:
        return (None if event.reason.strip() else Outcome.REASON_MISSING), None
    in_use = refusal(desk, sale, event.terminal)
    if in_use is not None:
        return in_use
    if sale.corrections >= MAX_CORRECTIONS:
        return Outcome.CORRECTION_LIMIT, None
    if event.role is Role.SUPERVISOR:
        return _supervisors_refusal(desk, sale, event, now), None
    return _attendants_refusal(desk, sale, event, now), None


def _supervisors_refusal(desk: LinkDesk, sale: KnownSale, event: CorrectionRequested, now: Now) -> Outcome | None:
    if not _within_late(desk, sale, now):
        return Outcome.TOO_LATE
    return None if event.reason.strip() else Outcome.REASON_MISSING


def _attendants_refusal(desk: LinkDesk, sale: KnownSale, event: CorrectionRequested, now: Now) -> Outcome | None:
    assert sale.link is not None
    if event.person != sale.link.by:
        return Outcome.NOT_ALLOWED
    if sale.state is SaleState.CLEARED or now.mono_ms - sale.link.made.mono_ms > desk.windows.change_s * 1000:
        return Outcome.TOO_LATE
    return None if event.reason in ATTENDANT_REASONS else Outcome.REASON_MISSING


def undone(desk: LinkDesk, reader: Reader, now: Now) -> Result | None:
    """Take back what this reader linked within ``undo_s``, a finished sale or a running fuelling; ``None``: nothing.

    The code stays spent. A link that was made counts as corrected: whoever undoes often is seen.
    """
    since = now.mono_ms - desk.windows.undo_s * 1000
    running = [
        pending
        for pending in desk.pending.values()
        if pending.state is PendingState.LIVE and pending.who.reader == reader.id and pending.made.mono_ms >= since
    ]
    linked = [
        (sale, sale.link)
        for sale in desk.sales.values()
        if sale.link is not None and sale.link.who.reader == reader.id and sale.link.made.mono_ms >= since
    ]
    if running and not any(link.made.mono_ms > running[-1].made.mono_ms for _, link in linked):
        desk, ended = end(desk, running[-1], End.CANCELLED)
        return desk, (*ended, Answer(reader.id, Outcome.UNDONE, point=running[-1].point))
    if not linked:
        return None
    sale, link = max(linked, key=lambda found: found[1].made.mono_ms)
    return _taken_back(desk, sale, link, reader, now)


def _taken_back(desk: LinkDesk, sale: KnownSale, link: Link, reader: Reader, now: Now) -> Result:
    answer = Answer(reader.id, Outcome.UNDONE, point=sale.point, sale=sale.id)
    no, terminal = _undo_refusal(desk, sale, reader.id)
    if no is not None:
        return desk, (replace(answer, outcome=no, terminal=terminal),)
    delay_s = delay_of(sale, now)
    desk, _ = detach(desk, sale, corrections=sale.corrections + 1)
    change = CorrectLink(sale.id, link.who.member, None, link.number, link.by, Role.ATTENDANT, UNDO_REASON, delay_s)
    return desk, (change, answer)


def _undo_refusal(desk: LinkDesk, sale: KnownSale, terminal: str) -> tuple[Outcome | None, str | None]:
    if sale.state is SaleState.CLEARED:
        return Outcome.TOO_LATE, None
    if sale.state is SaleState.LOCKED:
        return Outcome.BEING_PAID, None
    if sale.corrections >= MAX_CORRECTIONS:
        return Outcome.CORRECTION_LIMIT, None
    return refusal(desk, sale, terminal) or (None, None)
