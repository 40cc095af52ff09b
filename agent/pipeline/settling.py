"""Settling sales: quote, tenders, postings and the settlement record in one transaction; nothing is settled twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from agent.domain import ledger, settlement
from agent.domain import link_records as links
from agent.domain.linking import settlement_due_ms
from agent.domain.member import MemberFacts, UseCount, UseWindow
from agent.domain.rules.engine import evaluate
from agent.domain.rules.explain import explain
from agent.domain.rules.facts import BudgetView, LocalInstant, Presented, Purpose, SaleFacts
from agent.domain.rules.model import RuleSet
from agent.domain.rules.verdict import Evaluation
from agent.domain.sale import Sale, SaleState
from agent.failpoints import failpoint
from agent.pipeline import points, scanning
from agent.pipeline.step import RequestRefused, Step
from agent.store.sales import Row, sale_of

MAX_DUE_PER_STEP = 20
"""Automatic settlements of one step: a day's backlog is worked off over many short transactions."""


def settle_due(step: Step) -> None:
    """Settle every sale whose automatic settlement is due on the monotonic clock."""
    due = [sale for sale, at in step.memory.due.items() if at <= step.now.mono_ms]
    for sale in due[:MAX_DUE_PER_STEP]:
        step.memory.due.pop(sale)
        row = step.tx.sales.row(sale)
        if row is not None and row["state"] == SaleState.PAYABLE.value:
            _settle(step, row, None, "agent")


def settle(step: Step, sale: str, tenders: Sequence[settlement.Tender], by: str) -> dict[str, Any]:
    """Settle one sale by tender. Raises RequestRefused: no such sale, settled already, wrong sum."""
    row = step.tx.sales.row(sale)
    if row is None:
        raise RequestRefused(f"there is no sale {sale}", hint="forecourt sales lists them")
    if row["state"] == SaleState.CLEARED.value:
        first = step.tx.sales.settlement(sale)
        assert first is not None
        paid = ", ".join(f"{t['kind']} {t['amount_minor']}" for t in step.tx.sales.tenders(sale))
        raise RequestRefused(
            f"sale {sale} was settled at {step.local(first['settled_ms']):%Y-%m-%d %H:%M:%S} by {first['by']}: "
            f"net {first['net_minor']} paid with {paid}",
            hint="it must not be paid a second time; to give money back use forecourt sales refund or void",
        )
    return _settle(step, row, tenders, by)


def quote(step: Step, sale: str) -> dict[str, Any]:
    """Return what a sale would cost now; nothing is written."""
    row = step.tx.sales.row(sale)
    if row is None:
        raise RequestRefused(f"there is no sale {sale}", hint="forecourt sales lists them")
    evaluation = _evaluate(step, row, step.tx.sales.active_link(sale), None)
    return {
        "sale": sale,
        "amount_minor": evaluation.gross_minor,
        "discount_minor": evaluation.discount_minor,
        "net_minor": evaluation.net_minor,
        "points_to_earn": evaluation.points_earned + evaluation.bonus_points,
    }


def _settle(step: Step, row: Row, tenders: Sequence[settlement.Tender] | None, by: str) -> dict[str, Any]:
    purpose = None if tenders is None else settlement.purpose_of(tenders)
    link = step.tx.sales.active_link(row["id"])
    evaluation = _evaluate(step, row, link, purpose)
    if tenders is None or purpose is not None:
        kind = step.settings.sales.auto_tender if tenders is None else tenders[0].kind
        paid: tuple[settlement.Tender, ...] = (settlement.Tender(kind, evaluation.net_minor),)
    else:
        paid = tuple(tenders)
    active = step.memory.rules
    assert active is not None, "a rule set is active from the first start"
    wallet = settlement.Wallet() if link is None else _wallet(step, link["member_ref"])
    try:
        settled = settlement.settle(
            evaluation,
            rule_hash=active.hash,
            wallet=wallet,
            ended_ms=row["ended_ms"],
            now_ms=step.stamp.wall_ms,
            tenders=paid,
        )
    except settlement.TenderError as failure:
        raise RequestRefused(str(failure), hint=f"the net of this sale is {evaluation.net_minor}") from failure
    _write(step, row, link, settled, by)
    return {
        "sale": settled.sale,
        "amount_minor": settled.gross_minor,
        "discount_minor": settled.discount_minor,
        "net_minor": settled.net_minor,
        "points_earned": settled.points_earned,
        "member": settled.member,
        "state": SaleState.CLEARED.value,
    }


def _evaluate(step: Step, row: Row, link: Row | None, purpose: Purpose | None) -> Evaluation:
    active = step.memory.rules
    assert active is not None, "a rule set is active from the first start"
    if link is None:
        return evaluate_for(step, sale_of(row), active.rules, None, purpose=purpose)
    who = (link["member_ref"], link["member"])
    return evaluate_for(step, sale_of(row), active.rules, who, level=link["level"], purpose=purpose)


def evaluate_for(
    step: Step,
    sale: Sale,
    rules: RuleSet,
    who: tuple[int, str] | None,
    *,
    level: str | None = None,
    purpose: Purpose | None = None,
) -> Evaluation:
    """Return what ``rules`` give a sale for a member (surrogate, id) or for nobody."""
    member = None if who is None else member_facts(step, who[0], who[1])
    facts = _facts(step, sale, level, purpose)
    instant = LocalInstant.of_sale(sale, step.settings.station.tz)
    return evaluate(facts, member, rules, BudgetView(station_uses=uses(step, 0)), instant)


def _facts(step: Step, sale: Sale, level: str | None, purpose: Purpose | None) -> SaleFacts:
    grade = step.settings.grade.get(sale.grade)
    return SaleFacts.of_sale(
        sale,
        station=step.settings.station.id,
        product_group=None if grade is None else grade.product,
        presented=Presented(auth_level=level),
        purpose=purpose,
    )


def member_facts(step: Step, ref: int, member: str) -> MemberFacts:
    """Return what the engine may know of a member."""
    row = step.tx.members.by_ref(ref)
    assert row is not None
    return MemberFacts(
        member=member,
        tier=row["tier"] or None,
        growth=row["growth"],
        tags=frozenset(json.loads(row["tags"])),
        birthday_md=row["birthday_md"],
        visits=row["visits"],
        first_fill_used=bool(row["first_fill_used"]),
        flags=frozenset(json.loads(row["flags"])),
        mask=row["mask"],
        uses=uses(step, ref),
    )


def uses(step: Step, subject: int) -> tuple[UseCount, ...]:
    """Return the use counts of a member, or with ``subject`` 0 of this station."""
    return tuple(
        UseCount(row["offer"], UseWindow(row["window"]), row["period"], row["uses"], row["amount"])
        for row in step.tx.members.uses(subject)
    )


def lots_of(step: Step, ref: int) -> tuple[ledger.Lot, ...]:
    """Return a member's lots with what is left on each."""
    return tuple(
        ledger.Lot(
            row["id"],
            row["points"],
            row["earned_ms"],
            row["usable_from_ms"],
            None if row["expires_on"] is None else date.fromisoformat(row["expires_on"]),
            row["source"],
        )
        for row in step.tx.sales.lots_of(ref)
    )


def _wallet(step: Step, ref: int) -> settlement.Wallet:
    return settlement.Wallet(lots_of(step, ref), step.tx.sales.debt_of(ref))


def _write(step: Step, row: Row, link: Row | None, settled: settlement.Settlement, by: str) -> None:
    sale, purpose = settled.sale, settled.evaluation.sale.purpose
    written = step.journal("fc.sale.settled.v1", settled.record())
    ref = None if link is None or settled.member is None else int(link["member_ref"])
    step.tx.sales.add_settlement(
        {
            "sale": sale,
            "member_ref": ref,
            "rule_version": settled.rule_version,
            "rule_hash": settled.rule_hash,
            "gross_minor": settled.gross_minor,
            "discount_minor": settled.discount_minor,
            "net_minor": settled.net_minor,
            "points_redeemed": settled.points_redeemed,
            "points_earned": settled.points_earned,
            "lines": json.dumps([_line(line) for line in settled.lines], ensure_ascii=False),
            "explanation": json.dumps(explain(settled.evaluation, step.settings.station.language), ensure_ascii=False),
            "purpose": "" if purpose is None else purpose.value,
            "by": by,
            "settled_ms": step.stamp.wall_ms,
            "journal_seq": written.seq,
        },
        [(tender.kind, tender.amount_minor, tender.ref) for tender in settled.tenders],
    )
    post(step, written.id, sale, settled.postings)
    if ref is not None:
        hold(step, settled, ref, written.id)
    step.tx.members.add_uses(0, _use_rows(settled.evaluation.station_uses))
    clear(step, sale, int(row["fuelling_point"]))
    failpoint("tender.before_commit")
    step.passed.append("tender")


def hold(step: Step, settled: settlement.Settlement, ref: int, source: str) -> None:
    """Note that a member holds the points of a sale: the lot, the visit and counts, what a refund must know."""
    if settled.lot is not None:
        add_lot(step, settled.lot, ref)
    uses = _use_rows(settled.evaluation.uses)
    step.tx.members.count_use(ref, visits=1, growth=settled.growth)
    step.tx.members.add_uses(ref, uses)
    step.tx.sales.set_holder(
        {
            "sale": settled.sale,
            "member_ref": ref,
            "source": source,
            "points_earned": settled.points_earned,
            "bonus_points": settled.bonus_points,
            "growth": settled.growth,
            "earned": json.dumps([earn_out(term) for term in settled.evaluation.earned]),
            "uses": json.dumps(uses),
        }
    )


def clear(step: Step, sale: str, point: int) -> None:
    """Move a sale to Cleared and tell linking and the fuelling point."""
    step.tx.sales.set_state(sale, SaleState.CLEARED)
    step.tx.sales.set_due(sale, None)
    step.memory.due.pop(sale, None)
    scanning.tell(step, links.SaleStateChanged(sale, SaleState.CLEARED))
    points.tell_unpaid(step, point)


def _use_rows(uses: Sequence[UseCount]) -> list[tuple[str, str, str, int, int]]:
    return [(use.offer, use.window.value, use.period, use.uses, use.amount) for use in uses]


def earn_out(term: Any) -> list[Any]:
    """Return an earn term as it is kept for partial refunds: exact, as numerator and denominator."""
    return [term.offer, term.exact.numerator, term.exact.denominator, term.rounding.value, term.cap]


def _line(line: settlement.Line) -> dict[str, Any]:
    return {
        "offer": line.offer,
        "verdict": line.verdict,
        "code": line.code,
        "value_minor": line.value_minor,
        "desired_minor": line.desired_minor,
        "needed": line.needed,
        "actual": line.actual,
        "text": line.text,
    }


def add_lot(step: Step, lot: ledger.Lot, ref: int) -> None:
    """Keep a lot; what is left on it follows from its postings."""
    step.tx.sales.add_lot(
        {
            "id": lot.id,
            "member_ref": ref,
            "earned_ms": lot.earned_at_ms,
            "usable_from_ms": lot.usable_from_ms,
            "expires_on": None if lot.expires_on is None else lot.expires_on.isoformat(),
            "source": lot.source,
        }
    )


def post(step: Step, source: str, sale: str | None, postings: Sequence[ledger.Posting]) -> None:
    """Write the legs of one fact; ``source`` is the id of its journal record."""
    for leg, posting in enumerate(postings, 1):
        ref = None if posting.member is None else step.tx.members.ensure(posting.member)
        step.tx.sales.add_posting(
            {
                "source": source,
                "leg": leg,
                "sale": sale,
                "member_ref": ref,
                "account": posting.account.value,
                "points": posting.points,
                "lot": posting.lot,
                "at_ms": step.stamp.wall_ms,
            }
        )


def reschedule(step: Step, sale: str) -> None:
    """A link moves the automatic settlement of its sale."""
    row = step.tx.sales.row(sale)
    if row is None or row["state"] != SaleState.PAYABLE.value or row["settle_due_ms"] is None:
        return
    due = settlement_due_ms(row["ended_ms"], step.now.wall_ms, step.memory.desk.windows)
    step.tx.sales.set_due(sale, due)
    step.memory.due[sale] = step.now.mono_ms + step.settings.sales.settles_in_ms(due, step.now.wall_ms)
