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
from agent.domain.link_windows import Windows
from agent.failpoints import failpoint
from agent.logs import get_logger
from agent.pipeline import cards, codes, correcting, people, relinking, settling, watching
from agent.pipeline.step import Step
from agent.store.store import Tx
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
    """Handle one frame of a reader: a member's code, a printed control barcode, or somebody's badge."""
    if people.badge_scanned(step, scan.reader, scan.text.strip(), index_key) is not None:
        told = shown(step, links.Answer(scan.reader, Outcome.SIGNED_IN))
        step.after.append(lambda: step.live.add_answer(told))
        return
    scan_id, attendant = step.new_id(), people.attendant_at(step, scan.reader)
    found = judged(step, scan.text, scan_id=scan_id, reader=scan.reader, attendant=attendant, index_key=index_key)
    tell(step, _event(found, scan_id, scan.reader))


def _event(found: Judged, scan_id: str, reader: str) -> links.LinkEvent:
    if found.control:
        return links.ControlScanned(reader, found.point, found.digest)
    return links.MemberScanned(scan_id, reader, found.digest, found.who, found.refused, found.spent)


def from_terminal(step: Step, scan: TerminalScan, index_key: bytes) -> dict[str, Any]:
    """Handle one scan of a handheld or of a person at the command line; returns the answer as shown (``shown``)."""
    open_terminal(step, scan.terminal)
    found = judged(
        step, scan.text, scan_id=scan.scan_id, reader=scan.terminal, attendant=scan.attendant, index_key=index_key
    )
    event = _event(found, scan.scan_id, scan.terminal)
    if isinstance(event, links.MemberScanned):
        digest = identity.text_digest(f"{scan.point} {scan.sale} {found.digest}")
        event = replace(event, point=scan.point, sale=scan.sale, text_digest=digest)
    return _last(step, tell(step, event))


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
    for the waiting link ``pending``; returns the answer as shown. A tapped sale is claimed.
    """
    open_terminal(step, terminal)
    return _last(step, tell(step, links.PointChosen(terminal, attendant, point, sale, pending, live)))


def cancelled(step: Step, terminal: str) -> dict[str, Any]:
    """Cancel what waits at a terminal, or take back what it linked within the undo time; the answer as shown."""
    open_terminal(step, terminal)
    return _last(step, tell(step, links.ControlScanned(terminal, None)))


def claim(step: Step, sale: str, terminal: str, attendant: str | None) -> dict[str, Any]:
    """A terminal takes a payable sale to work on, or goes on doing so; the answer as shown, bad where it may not."""
    open_terminal(step, terminal)
    relinking.recall(step, sale)
    return _last(step, tell(step, links.ClaimRequested(sale, terminal, attendant)))


def release(step: Step, sale: str, terminal: str, attendant: str | None, *, force: bool = False) -> dict[str, Any]:
    """A terminal lets a sale go; ``force``: a supervisor lets it go for whoever has it. The answer as shown."""
    open_terminal(step, terminal)
    role = links.Role.SUPERVISOR if force else links.Role.ATTENDANT
    return _last(step, tell(step, links.ReleaseRequested(sale, terminal, attendant, role)))


def changed(step: Step, scan: TerminalScan, reason: str, index_key: bytes, *, remove: bool = False) -> dict[str, Any]:
    """Whoever linked ``scan.sale`` changes it to the member whose code is scanned now, or removes the link (``remove``:
    no code is looked at); ``reason`` from ``ATTENDANT_REASONS``. The answer as shown. Raises RequestRefused where money
    was given back.
    """
    sale, terminal = scan.sale or "", scan.terminal
    open_terminal(step, terminal)
    correcting.refuse_if_given_back(step, sale)
    relinking.recall(step, sale)
    person, who = scan.attendant or terminal, None
    if not remove:
        found = judged(
            step, scan.text, scan_id=scan.scan_id, reader=terminal, attendant=scan.attendant, index_key=index_key
        )
        if found.who is None or found.spent:
            outcome = Outcome.REPLAYED if found.spent else (found.refused or Outcome.NOT_A_MEMBER_CODE)
            return shown(step, links.Answer(terminal, outcome, sale=sale))
        who = found.who
    asked = links.CorrectionRequested(sale, who, person, links.Role.ATTENDANT, reason, terminal)
    return _last(step, tell(step, asked))


def open_terminal(step: Step, terminal: str) -> None:
    """A handheld is not in the station file: it serves every point, and keeps what it works on."""
    desk = step.memory.desk
    if terminal not in desk.readers:
        points = tuple(point.id for point in step.settings.fuelling_point)
        step.memory.desk = replace(
            desk, readers={**desk.readers, terminal: links.Reader(terminal, points, claims=True)}
        )


def claims_held(tx: Tx, windows: Windows, now: Now) -> dict[str, links.Claim]:
    """Return the claims of the database at a start; none lasts longer than a fresh one, whatever the clock says."""
    found = {}
    for row in tx.claims.all():
        left_ms = None if row["until_ms"] is None else row["until_ms"] - now.wall_ms
        until = None if left_ms is None else now.mono_ms + min(max(0, left_ms), windows.claim_s * 1000)
        found[row["sale"]] = links.Claim(row["sale"], row["terminal"], row["person"], until)
    return found


def _last(step: Step, effects: tuple[links.LinkEffect, ...]) -> dict[str, Any]:
    answers = [effect for effect in effects if isinstance(effect, links.Answer)]
    assert answers, "linking answers every terminal"
    return shown(step, answers[-1])


def tapped(step: Step, tap: CardTap, index_key: bytes) -> None:
    """Handle one card laid on a reader."""
    tell(step, cards.tapped(step, tap, index_key, attendant=people.attendant_at(step, tap.reader)))


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
            if isinstance(event, links.MemberScanned) and effect.outcome is Outcome.REPLAYED and event.who is not None:
                who = event.who
                watching.after_refusal(
                    step, watching.Refusal(effect.outcome, event.reader, who.attendant, who.member, who.code)
                )
        case links.Audit(who, role, action, subject, reason, result):
            step.audit(who, role.value, action, subject, reason=reason, result=result)
        case links.SpendCode():
            codes.spend(step, effect, event.reader if isinstance(event, links.MemberScanned) else "")
        case links.ClaimSaved(claimed):
            until = claimed.until_mono_ms
            until_ms = None if until is None else step.stamp.wall_ms + until - step.now.mono_ms
            step.tx.claims.save(claimed.sale, claimed.terminal, claimed.person, until_ms)
        case links.ClaimEnded(sale):
            step.tx.claims.end(sale)
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
            "scan": effect.scan_id,
            "late": int(effect.late),
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
    watching.after_link(step, effect.sale, late=effect.late)
    if effect.late and effect.corrects is None:
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
        "message": sentence(answer.outcome, language, **_words(answer, mask, tier)),
        "fuelling_point": answer.point,
        "sale": answer.sale,
        "repeat": answer.repeat,
        "member": None if member is None else {"mask": mask, "tier": tier},
        "choices": [_tile(step, choice) for choice in answer.choices],
    }


def _words(answer: links.Answer, mask: str | None, tier: str | None) -> dict[str, Any]:
    return {"point": answer.point, "mask": mask, "tier": tier, "terminal": answer.terminal}


def _tile(step: Step, choice: links.Choice) -> dict[str, Any]:
    """Return a tile: what tells one car from another, and which terminal works on it."""
    row = None if choice.sale is None else step.tx.sales.row(choice.sale)
    claim = None if choice.sale is None else step.memory.desk.claims.get(choice.sale)
    return {
        "kind": choice.kind,
        "fuelling_point": choice.point,
        "sale": choice.sale,
        "age_s": choice.age_s,
        "grade": None if row is None else row["grade"],
        "volume_ml": None if row is None else row["volume_ml"],
        "amount_minor": None if row is None else row["amount_minor"],
        "claimed_by": None if claim is None else claim.terminal,
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
                "attendant": None if event.who is None else event.who.attendant,
                "sale": answer.sale,
                "clock_suspect": int(event.who is not None and event.who.clock_suspect),
            }
        )
    step.after.append(lambda: step.live.add_answer(told))
    step.after.append(lambda: _log.info("scan answered", reader=answer.to, outcome=answer.outcome.value))
