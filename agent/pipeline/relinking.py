"""Links and corrections that a person asks for by name of the sale: from the command line, or by head office's word.

A correction always needs the new member's code. What may be done until when is decided by ``agent.domain.linking``.
"""

from __future__ import annotations

from typing import Any

from agent.domain import link_records as links
from agent.domain.answers import Outcome, sentence
from agent.domain.identity import AuthLevel
from agent.domain.instant import Now
from agent.domain.sale import SaleState
from agent.pipeline import correcting, scanning
from agent.pipeline.step import RequestRefused, Step

CLI = "cli"

_DONE = {
    Outcome.LINKED,
    Outcome.LINKED_EARN_ONLY,
    Outcome.LINKED_AFTER_LOCK,
    Outcome.LINKED_MEMBER_UNKNOWN,
    Outcome.REPEAT,
    Outcome.CORRECTED,
    Outcome.REMOVED,
}


def link(step: Step, sale: str, text: str, by: correcting.By, key: bytes) -> dict[str, Any]:
    """``sales link``: a person links a sale, or changes its link, to the member whose code or card number was given.

    Raises RequestRefused: no member's code, or what linking refuses.
    """
    scan_id = step.new_id()
    found = scanning.judged(step, text, scan_id=scan_id, reader=CLI, attendant=by.name, index_key=key)
    if found.who is None or found.spent:
        refused = Outcome.REPLAYED if found.spent else (found.refused or Outcome.NOT_A_MEMBER_CODE)
        usage = 2 if refused in _MISTYPED else 1
        message = f"{refused.value}: {sentence(refused, step.settings.station.language)}"
        raise RequestRefused(message, hint="scan or type the member's code or card number", exit_code=usage)
    if found.who.level is AuthLevel.NUMBER:
        step.audit(by.name, by.role, "typed_number", sale, reason=by.reason)
    return link_to(step, sale, found.who, by)


def link_to(
    step: Step, sale: str, who: links.Credential, by: correcting.By, *, may_change: bool = True, terminal: str = CLI
) -> dict[str, Any]:
    """Link a sale to a member who was recognised; where it ``may_change`` a link, also one that has another member.

    ``terminal``: where that is done; a sale in use at another one is refused.

    Raises RequestRefused as linking refuses.
    """
    correcting.refuse_if_given_back(step, sale)
    recall(step, sale)
    known = step.memory.desk.sales.get(sale)
    if may_change and known is not None and known.link is not None:
        asked: links.LinkEvent = links.CorrectionRequested(sale, who, by.name, _role(by), by.reason)
    else:
        asked = links.LinkRequested(sale, who, by.name, _role(by), by.reason, terminal=terminal)
    return answered(step, scanning.tell(step, asked))


_MISTYPED = {Outcome.CARD_NUMBER_TYPO, Outcome.NOT_A_MEMBER_CODE, Outcome.BANK_CARD, Outcome.PAYMENT_CODE}


def unlink(step: Step, sale: str, by: correcting.By) -> dict[str, Any]:
    """``sales unlink``: remove a wrong link."""
    correcting.refuse_if_given_back(step, sale)
    recall(step, sale)
    asked = links.CorrectionRequested(sale, None, by.name, _role(by), by.reason)
    return answered(step, scanning.tell(step, asked))


def by_head_office(step: Step, sale: str, member: str | None, reason: str) -> dict[str, Any]:
    """Head office, by a signed command, gives a sale to a member (16 hex digits) or takes its link off (``None``).

    It may at any time. Raises RequestRefused where money was given back, or linking refuses.
    """
    correcting.refuse_if_given_back(step, sale)
    recall(step, sale)
    name, role = "head-office", links.Role.HEAD_OFFICE
    who = None
    if member is not None:
        row = step.tx.members.by_id(member)
        known = row is not None and bool(row["known"])
        who = links.Credential(step.new_id(), CLI, name, member, AuthLevel.NUMBER, member_known=known)
    linked = step.memory.desk.sales.get(sale)
    if who is not None and (linked is None or linked.link is None):
        asked: links.LinkEvent = links.LinkRequested(sale, who, name, role, reason)
    else:
        asked = links.CorrectionRequested(sale, who, name, role, reason)
    return answered(step, scanning.tell(step, asked))


def recall(step: Step, sale: str) -> None:
    """Hand a stored sale that linking has forgotten back to it: a late link or a correction is about to be asked."""
    row = step.tx.sales.row(sale)
    if row is None or sale in step.memory.desk.sales:
        return
    ended_mono_ms = step.now.mono_ms - (step.now.wall_ms - row["ended_ms"])
    found = step.tx.sales.active_link(sale)
    link = None
    if found is not None:
        level = AuthLevel(found["level"])
        who = links.Credential(found["scan"] or found["id"], found["by"], found["by"], found["member"], level)
        made = Now(found["made_ms"], step.now.mono_ms - (step.now.wall_ms - found["made_ms"]))
        link = links.Link(step.tx.sales.count_links(sale), who, made, found["by"], found["delay_s"])
    corrections = sum(1 for item in step.tx.sales.corrections(sale) if item["what"] == "link")
    known = links.KnownSale(
        sale,
        row["fuelling_point"],
        row["nozzle"],
        row["ended_ms"],
        ended_mono_ms,
        state=SaleState(row["state"]),
        link=link,
        links=step.tx.sales.count_links(sale),
        corrections=corrections,
    )
    scanning.tell(step, links.SaleRecalled(known))


def _role(by: correcting.By) -> links.Role:
    return links.Role.SUPERVISOR if by.role == "supervisor" else links.Role.ATTENDANT


def answered(step: Step, effects: tuple[links.LinkEffect, ...]) -> dict[str, Any]:
    """Return what linking answered a person. Raises RequestRefused where the answer is no."""
    answers = [effect for effect in effects if isinstance(effect, links.Answer)]
    assert answers, "linking answers every person"
    told = scanning.shown(step, answers[-1])
    if answers[-1].outcome not in _DONE:
        raise RequestRefused(f"{told['outcome']}: {told['message']}", hint=_hint(answers[-1].outcome))
    return {key: told[key] for key in ("outcome", "message", "sale", "repeat")}


def _hint(outcome: Outcome) -> str:
    hints = {
        Outcome.IN_USE: "wait, or let it go: forecourt sales release SALE --force",
        Outcome.BEING_PAID: "wait for the payment, or forecourt sales unlock SALE",
        Outcome.REASON_MISSING: "give --reason; an attendant one of wrong_member, wrong_sale, customer_request,"
        " scanned_by_mistake",
    }
    return hints.get(outcome, "forecourt sales show SALE tells what it has")
