"""Claims: which terminal works on a payable sale, and until when. A claim is a lease: renewed by each action, over by
time; while the sale is being paid it stands without end. Knows nothing of members, and never keeps a pump waiting.
"""

from __future__ import annotations

from dataclasses import replace

from agent.domain.answers import Outcome
from agent.domain.instant import Now
from agent.domain.link_edits import Result, put, without
from agent.domain.link_records import (
    Answer,
    Audit,
    Claim,
    ClaimEnded,
    ClaimRequested,
    ClaimSaved,
    KnownSale,
    LinkDesk,
    LinkEffect,
    ReleaseRequested,
    Role,
    SaleStateChanged,
)
from agent.domain.sale import SaleState


def claim_requested(desk: LinkDesk, event: ClaimRequested, now: Now) -> Result:
    """Give a payable sale to a terminal, renew what it has, or say who has it."""
    sale = desk.sales.get(event.sale)
    answer = Answer(event.terminal, Outcome.SALE_UNKNOWN, sale=event.sale)
    if sale is None:
        return desk, (answer,)
    answer = replace(answer, point=sale.point)
    if sale.state is SaleState.CLEARED:
        return desk, (replace(answer, outcome=Outcome.SALE_GONE),)
    held = desk.claims.get(sale.id)
    if sale.state is SaleState.LOCKED and (held is None or held.terminal != event.terminal):
        terminal = None if held is None else held.terminal
        return desk, (replace(answer, outcome=Outcome.BEING_PAID, terminal=terminal),)
    other = held_by_other(desk, sale.id, event.terminal)
    if other is not None:
        return desk, (replace(answer, outcome=Outcome.IN_USE, terminal=other.terminal),)
    desk, effects = take(desk, sale.id, event.terminal, event.person, now)
    return desk, (*effects, replace(answer, outcome=Outcome.CLAIMED))


def release_requested(desk: LinkDesk, event: ReleaseRequested) -> Result:
    """Let a sale go: the terminal its own, a supervisor anybody's; one that is being paid is let go by its payment."""
    answer = Answer(event.terminal, Outcome.NOT_CLAIMED, sale=event.sale)
    held = desk.claims.get(event.sale)
    sale = desk.sales.get(event.sale)
    if sale is not None:
        answer = replace(answer, point=sale.point)
    if held is None:
        return desk, (answer,)
    if sale is not None and sale.state is SaleState.LOCKED:
        return desk, (replace(answer, outcome=Outcome.BEING_PAID, terminal=held.terminal),)
    if held.terminal != event.terminal and event.role is Role.ATTENDANT:
        return desk, (replace(answer, outcome=Outcome.IN_USE, terminal=held.terminal),)
    desk, effects = let_go(desk, event.sale)
    if held.terminal != event.terminal:
        who = event.terminal if event.person is None else event.person
        effects += (Audit(who, event.role, "release_claim", event.sale, f"held by {held.terminal}", "released"),)
    return desk, (*effects, replace(answer, outcome=Outcome.RELEASED))


def held_by_other(desk: LinkDesk, sale: str, terminal: str) -> Claim | None:
    """Return the claim of another terminal on a sale, ``None`` where it is free or this terminal's own."""
    held = desk.claims.get(sale)
    return None if held is None or held.terminal == terminal else held


def refusal(desk: LinkDesk, sale: KnownSale, terminal: str) -> tuple[Outcome, str] | None:
    """Return why a terminal may not link a sale or change its link, and which terminal has it; ``None``: it may."""
    other = held_by_other(desk, sale.id, terminal)
    if other is None:
        return None
    return (Outcome.BEING_PAID if sale.state is SaleState.LOCKED else Outcome.IN_USE), other.terminal


def take(desk: LinkDesk, sale: str, terminal: str, person: str | None, now: Now) -> Result:
    """Claim a sale that is free or renew a claim of this terminal; a claim without end stays so."""
    held = desk.claims.get(sale)
    assert held is None or held.terminal == terminal, "the caller has asked held_by_other"
    if held is not None and held.until_mono_ms is None:
        return desk, ()
    claim = Claim(sale, terminal, person, now.mono_ms + desk.windows.claim_s * 1000)
    return replace(desk, claims=put(desk.claims, sale, claim)), (ClaimSaved(claim),)


def worked_on(desk: LinkDesk, sale: str, terminal: str, person: str | None, now: Now) -> Result:
    """A terminal did something about a sale: that renews its claim, and a handheld's first action makes one."""
    reader = desk.readers.get(terminal)
    if held_by_other(desk, sale, terminal) is not None:
        return desk, ()  # head office's word: the claim of who stands at the pump is not its business
    if sale in desk.claims or (reader is not None and reader.claims):
        return take(desk, sale, terminal, person, now)
    return desk, ()


def let_go(desk: LinkDesk, sale: str) -> Result:
    """End a claim, where there is one."""
    if sale not in desk.claims:
        return desk, ()
    return replace(desk, claims=without(desk.claims, sale)), (ClaimEnded(sale),)


def claims_over(desk: LinkDesk, now: Now) -> Result:
    """End every claim whose time is over."""
    effects: tuple[LinkEffect, ...] = ()
    for claim in tuple(desk.claims.values()):
        if claim.until_mono_ms is not None and now.mono_ms > claim.until_mono_ms:
            desk, over = let_go(desk, claim.sale)
            effects += over
    return desk, effects


def followed(desk: LinkDesk, event: SaleStateChanged, now: Now) -> Result:
    """The claim follows its sale: without end while it is being paid, timed again when that is cancelled, then over."""
    held = desk.claims.get(event.sale)
    if event.state is SaleState.CLEARED:
        return let_go(desk, event.sale)
    terminal = event.terminal or (None if held is None else held.terminal)
    if terminal is None:
        return desk, ()
    person = event.person or (None if held is None else held.person)
    paying = event.state is SaleState.LOCKED
    until = None if paying else now.mono_ms + desk.windows.claim_s * 1000
    claim = Claim(event.sale, terminal, person, until)
    return replace(desk, claims=put(desk.claims, event.sale, claim)), (ClaimSaved(claim),)
