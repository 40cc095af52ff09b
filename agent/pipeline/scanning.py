"""Scans and links in the pipeline: what a text is, what linking decides, its effects into the open transaction.

The scanned text lives only inside ``scanned``: it is classified, looked up by blind index and forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from agent.domain import identity, linking
from agent.domain import link_records as links
from agent.domain.answers import Outcome, sentence, tone_of
from agent.domain.identity import AuthLevel, IndexKind, Kind
from agent.domain.instant import Now
from agent.domain.sale import SaleState
from agent.failpoints import failpoint
from agent.logs import get_logger
from agent.pipeline import codes, correcting, settling
from agent.pipeline.step import RequestRefused, Step
from drivers.readings import CardTap, CodeScan

_log = get_logger("scanning")

_REFUSED = {
    Kind.PAYMENT_CODE: Outcome.PAYMENT_CODE,
    Kind.CARD_NUMBER_TYPO: Outcome.CARD_NUMBER_TYPO,
    Kind.BANK_CARD: Outcome.BANK_CARD,
    Kind.UNSUPPORTED_VERSION: Outcome.UNSUPPORTED_VERSION,
    Kind.NOT_A_MEMBER_CODE: Outcome.NOT_A_MEMBER_CODE,
}


@dataclass(frozen=True, slots=True)
class Judged:
    """What a text came to. Of a printed control barcode ``control`` is set and ``point`` is what it names (``None``
    for CANCEL); else exactly one of ``who`` and ``refused`` is set. ``spent``: its one-time code was accepted before.
    """

    digest: str
    who: links.Credential | None = None
    refused: Outcome | None = None
    spent: bool = False
    control: bool = False
    point: int | None = None


@dataclass(frozen=True, slots=True)
class TerminalScan:
    """A scan by a handheld or the command line. ``scan_id``: the terminal's own name of it, a ULID: said again it gets
    the first answer. ``point`` or ``sale``: what the attendant had tapped for it, ``None`` where nothing was.
    """

    scan_id: str
    terminal: str
    attendant: str | None
    text: str
    point: int | None = None
    sale: str | None = None


def judged(step: Step, text: str, *, scan_id: str, reader: str, attendant: str | None, index_key: bytes) -> Judged:
    """Return what a scanned or typed text is, here and now; nothing is written."""
    digest = identity.text_digest(text)
    found = identity.classify(text, _layouts(step))
    if found.kind is Kind.POINT:
        return Judged(digest, control=True, point=int(found.value or "0"))
    if found.kind is Kind.CANCEL:
        return Judged(digest, control=True)
    if found.kind is Kind.CARD_NUMBER:
        who = credential(step, found.value or "", index_key, scan_id=scan_id, reader=reader, attendant=attendant)
        return Judged(digest, who, None if who is not None else Outcome.UNKNOWN_CARD)
    if found.kind is Kind.MEMBER_TOKEN:
        code = codes.judge(step, found.value or "", scan_id=scan_id, reader=reader, attendant=attendant)
        return Judged(digest, code.who, code.refused, code.spent)
    return Judged(digest, refused=_REFUSED[found.kind])


def scanned(step: Step, scan: CodeScan, index_key: bytes) -> None:
    """Handle one frame of a reader."""
    scan_id = step.new_id()
    found = judged(step, scan.text, scan_id=scan_id, reader=scan.reader, attendant=None, index_key=index_key)
    tell(step, _event(found, scan_id, scan.reader))


def _event(found: Judged, scan_id: str, reader: str) -> links.LinkEvent:
    if found.control:
        return links.ControlScanned(reader, found.point, found.digest)
    return links.MemberScanned(scan_id, reader, found.digest, found.who, found.refused, found.spent)


def from_terminal(step: Step, scan: TerminalScan, index_key: bytes) -> dict[str, Any]:
    """Handle one scan of a handheld or of a person at the command line; returns the answer as shown (``shown``)."""
    _open_terminal(step, scan.terminal)
    found = judged(
        step, scan.text, scan_id=scan.scan_id, reader=scan.terminal, attendant=scan.attendant, index_key=index_key
    )
    if scan.point is not None or scan.sale is not None:
        tell(step, links.PointChosen(scan.terminal, scan.attendant, scan.point, scan.sale))
    return _last(step, tell(step, _event(found, scan.scan_id, scan.terminal)))


def chosen(
    step: Step,
    terminal: str,
    attendant: str | None,
    *,
    point: int | None = None,
    sale: str | None = None,
    live: bool = False,
    pending: str | None = None,
) -> dict[str, Any]:
    """A tile was tapped at a terminal: a point, a sale, the fuelling running at the point (``live``), or a new point
    for the waiting link ``pending``; returns the answer as shown.
    """
    _open_terminal(step, terminal)
    return _last(step, tell(step, links.PointChosen(terminal, attendant, point, sale, pending, live)))


def claim(step: Step, sale: str, terminal: str, attendant: str | None) -> dict[str, Any]:
    """A terminal takes a payable sale to work on; returns the answer as shown, bad where another has it."""
    return chosen(step, terminal, attendant, sale=sale)


def release(step: Step, sale: str, terminal: str, attendant: str | None, *, force: bool = False) -> dict[str, Any]:
    """A terminal lets a sale go; ``force``: a supervisor lets it go for whoever has it. Returns the answer as shown."""
    _log.info("sale let go", sale=sale, terminal=terminal, attendant=attendant, force=force)
    _open_terminal(step, terminal)
    return _last(step, tell(step, links.ControlScanned(terminal, None)))


def _open_terminal(step: Step, terminal: str) -> None:
    """A handheld is not in the station file: it serves every point."""
    desk = step.memory.desk
    if terminal not in desk.readers:
        served = links.Reader(terminal, tuple(point.id for point in step.settings.fuelling_point))
        step.memory.desk = replace(desk, readers={**desk.readers, terminal: served})


def _last(step: Step, effects: tuple[links.LinkEffect, ...]) -> dict[str, Any]:
    answers = [effect for effect in effects if isinstance(effect, links.Answer)]
    assert answers, "linking answers every terminal"
    return shown(step, answers[-1])


def tapped(step: Step, tap: CardTap) -> None:
    """Refuse a card laid on a reader aloud: no card is known here yet, so it is answered as an unknown number is."""
    digest = identity.text_digest((tap.uid or tap.ndef or b"").hex())
    tell(step, links.MemberScanned(step.new_id(), tap.reader, digest, None, Outcome.UNKNOWN_CARD))


def _layouts(step: Step) -> tuple[identity.CardLayout, ...]:
    return tuple(identity.CardLayout(card.prefix, card.length, card.check) for card in step.settings.loyalty.card)


def credential(
    step: Step, digits: str, index_key: bytes, *, scan_id: str, reader: str, attendant: str | None
) -> links.Credential | None:
    """Return who a card number belongs to, ``None`` where the cache does not know it."""
    index = identity.blind_index(index_key, IndexKind.CARD, digits)
    member = step.tx.members.by_index(index)
    if member is None:
        return None
    suspect = step.stamp.clock in ("floor", "unknown")
    return links.Credential(
        scan_id, reader, attendant, member["id"], AuthLevel.NUMBER, clock_suspect=suspect, member_known=True
    )


def tell(step: Step, event: links.LinkEvent) -> tuple[links.LinkEffect, ...]:
    """Give ``event`` to linking and carry its effects into the transaction; returns them."""
    before = step.memory.desk
    desk, effects = linking.step(before, event, step.now)
    step.memory.desk = desk
    for effect in effects:
        _carry(step, effect, event)
    if effects or (desk is not before and not isinstance(event, links.Ticked)):
        step.tx.memory.save_desk(step.memory.desk_text.of(desk))
    return effects


def _carry(step: Step, effect: links.LinkEffect, event: links.LinkEvent) -> None:
    match effect:
        case links.LinkSale():
            link_sale(step, effect)
        case links.CorrectLink():
            correcting.correct_link(step, effect)
        case links.Answer():
            _answer(step, effect, event)
        case links.Audit(who, role, action, subject, reason, result):
            step.audit(who, role.value, action, subject, reason=reason, result=result)
        case links.SpendCode():
            codes.spend(step, effect, event.reader if isinstance(event, links.MemberScanned) else "")
        case links.PendingSaved() | links.PendingEnded():
            pass  # pending links are part of the desk's durable state


def link_sale(step: Step, effect: links.LinkSale) -> None:
    """Store a link beside its sale; where it corrects one, the correction's record says it all."""
    ref = step.tx.members.ensure(effect.member)
    step.tx.sales.add_link(
        {
            "id": step.new_id(),
            "sale": effect.sale,
            "member_ref": ref,
            "level": effect.level.value,
            "by": effect.by,
            "made_ms": step.stamp.wall_ms,
            "delay_s": effect.delay_s,
            "corrects": None if effect.corrects is None else str(effect.corrects),
            "active": 1,
            "clock_suspect": int(effect.clock_suspect),
        }
    )
    if effect.corrects is None:
        step.journal(
            "fc.sale.linked.v1",
            {
                "sale": effect.sale,
                "member": effect.member,
                "level": effect.level.value,
                "by": effect.by,
                "delay_s": effect.delay_s,
                "code": effect.code,
            },
        )
        if effect.late:
            correcting.late_points(step, effect.sale)
    settling.reschedule(step, effect.sale)
    failpoint("link.before_commit")
    step.passed.append("link")


def shown(step: Step, answer: links.Answer) -> dict[str, Any]:
    """Return an answer as readers, handhelds and screens show it; of a member the mask and the tier."""
    member = None if answer.member is None else step.tx.members.by_id(answer.member)
    mask = None if member is None else str(member["mask"])
    tier = None if member is None else str(member["tier"])
    language = step.settings.station.language
    return {
        "to": answer.to,
        "outcome": answer.outcome.value,
        "tone": tone_of(answer.outcome).value,
        "message": sentence(answer.outcome, language, point=answer.point, mask=mask, tier=tier),
        "fuelling_point": answer.point,
        "sale": answer.sale,
        "repeat": answer.repeat,
        "member": None if member is None else {"mask": mask, "tier": tier},
        "choices": [
            {"kind": c.kind, "fuelling_point": c.point, "sale": c.sale, "age_s": c.age_s} for c in answer.choices
        ],
    }


def _answer(step: Step, answer: links.Answer, event: links.LinkEvent) -> None:
    told = shown(step, answer)
    member = None if answer.member is None else step.tx.members.by_id(answer.member)
    if isinstance(event, links.MemberScanned) and not answer.repeat:
        step.tx.sales.add_scan(
            {
                "id": event.scan_id,
                "reader": event.reader,
                "at_ms": step.stamp.wall_ms,
                "outcome": answer.outcome.value,
                "level": None if event.who is None else event.who.level.value,
                "member_ref": None if member is None else member["ref"],
                "fuelling_point": answer.point,
            }
        )
    step.after.append(lambda: step.live.add_answer(told))
    step.after.append(lambda: _log.info("scan answered", reader=answer.to, outcome=answer.outcome.value))


def link_by_number(step: Step, sale: str, card: str, by: correcting.By, key: bytes) -> dict[str, Any]:
    """``sales link``: a person links a sale to the member whose card number was given."""
    found = identity.classify(card, _layouts(step))
    if found.kind is not Kind.CARD_NUMBER:
        outcome = _REFUSED.get(found.kind, Outcome.NOT_A_MEMBER_CODE)
        raise RequestRefused(sentence(outcome, "en"), hint="give the member's card number", exit_code=2)
    scan_id = step.new_id()
    who = credential(step, found.value or "", key, scan_id=scan_id, reader="cli", attendant=by.name)
    if who is None:
        raise RequestRefused("this card is not in the cache", hint="check the number, or wait for the next sync")
    correcting.refuse_if_given_back(step, sale)
    _recall(step, sale)
    known = step.memory.desk.sales.get(sale)
    event: links.LinkEvent
    if known is not None and known.link is not None:
        event = links.CorrectionRequested(sale, who, by.name, _role(by), by.reason)
    else:
        event = links.LinkRequested(sale, who, by.name, _role(by), by.reason)
    return answered(step, tell(step, event))


def _recall(step: Step, sale: str) -> None:
    """Hand a stored sale that linking has forgotten back to it: a late link or a correction is about to be asked."""
    row = step.tx.sales.row(sale)
    if row is None or sale in step.memory.desk.sales:
        return
    ended_mono_ms = step.now.mono_ms - (step.now.wall_ms - row["ended_ms"])
    found = step.tx.sales.active_link(sale)
    link = None
    if found is not None:
        level = AuthLevel(found["level"])
        who = links.Credential(found["id"], found["by"], found["by"], found["member"], level)
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
    tell(step, links.SaleRecalled(known))


def _role(by: correcting.By) -> links.Role:
    return links.Role.SUPERVISOR if by.role == "supervisor" else links.Role.ATTENDANT


def unlink(step: Step, sale: str, by: correcting.By) -> dict[str, Any]:
    """``sales unlink``: remove a wrong link."""
    correcting.refuse_if_given_back(step, sale)
    _recall(step, sale)
    return answered(step, tell(step, links.CorrectionRequested(sale, None, by.name, _role(by), by.reason)))


def answered(step: Step, effects: tuple[links.LinkEffect, ...]) -> dict[str, Any]:
    """Return what linking answered a person. Raises RequestRefused where the answer is no."""
    answers = [effect for effect in effects if isinstance(effect, links.Answer)]
    assert answers, "linking answers every person"
    answer = answers[-1]
    good = {
        Outcome.LINKED,
        Outcome.LINKED_EARN_ONLY,
        Outcome.LINKED_AFTER_LOCK,
        Outcome.LINKED_MEMBER_UNKNOWN,
        Outcome.REPEAT,
        Outcome.CORRECTED,
        Outcome.REMOVED,
    }
    member = None if answer.member is None else step.tx.members.by_id(answer.member)
    mask = None if member is None else str(member["mask"])
    message = sentence(answer.outcome, step.settings.station.language, point=answer.point, mask=mask)
    if answer.outcome not in good:
        raise RequestRefused(f"{answer.outcome.value}: {message}", hint="forecourt sales show SALE tells what it has")
    return {"outcome": answer.outcome.value, "message": message, "sale": answer.sale, "repeat": answer.repeat}
