"""Settling sales: quote, tenders, postings and the settlement record in one transaction; nothing is settled twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from agent.domain import ledger, once, settlement
from agent.domain import link_records as links
from agent.domain.holdings import HEAD_OFFICE
from agent.domain.linking import settlement_due_ms
from agent.domain.member import MemberFacts, UseCount, UseWindow
from agent.domain.rules.engine import evaluate
from agent.domain.rules.explain import explain
from agent.domain.rules.facts import BudgetView, LocalInstant, Presented, Purpose, SaleFacts
from agent.domain.rules.model import RuleSet
from agent.domain.rules.told import keep
from agent.domain.rules.verdict import Evaluation
from agent.domain.sale import Sale, SaleState
from agent.failpoints import failpoint
from agent.pipeline import correcting, couponing, leasing, limits, online, points, quoting, scanning, wallets
from agent.pipeline.step import RequestRefused, Step
from agent.pipeline.wishes import NOTHING, Wish
from agent.store.journal import Written
from agent.store.sales import Row, sale_of
from agent.store.spending import LEASE_HOLD

Pay = Callable[[int], Sequence[settlement.Tender]]
"""Gives the tenders of a net in minor units: one without an amount takes what the others leave."""

MAX_DUE_PER_STEP = 20
"""Automatic settlements of one step: a day's backlog is worked off over many short transactions."""


def settle_due(step: Step) -> None:
    """Settle every sale whose automatic settlement is due on the monotonic clock."""
    due = [sale for sale, at in step.memory.due.items() if at <= step.now.mono_ms]
    for sale in due[:MAX_DUE_PER_STEP]:
        step.memory.due.pop(sale)
        row = step.tx.sales.row(sale)
        if row is not None and row["state"] == SaleState.PAYABLE.value:
            _settle(step, row, None, "agent", NOTHING)


def settle(step: Step, sale: str, pay: Pay, by: str, wish: Wish = NOTHING) -> dict[str, Any]:
    """Settle one sale by tender. Raises RequestRefused: no such sale, settled already, wrong sum, a refused wish."""
    row = payable(step, sale)
    quoting.release_due(step)
    return _settle(step, row, pay, by, wish)


def payable(step: Step, sale: str) -> Row:
    """Return the row of a sale that is not settled. Raises RequestRefused, telling how it was settled where it is."""
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
    return row


def _settle(step: Step, row: Row, pay: Pay | None, by: str, wish: Wish) -> dict[str, Any]:
    """Settle at the held quote, where there is one, else at what the rules give now."""
    sale = row["id"]
    purpose = None if pay is None else settlement.purpose_of(pay(0))
    link = step.tx.sales.active_link(sale)
    held = step.tx.quotes.one(sale)
    if held is None:
        evaluation = evaluate_sale(step, row, wish, purpose)
        quoting.refuse_unless_granted(step, evaluation, wish)
        taken = leases_taken(step, evaluation)
        active = step.memory.rules
        assert active is not None, "a rule set is active from the first start"
        rule_hash = active.hash
    else:
        evaluation, rule_hash = quoting.committed(step, held, wish), held["rule_hash"]
        taken = step.tx.quotes.of_sale(sale, LEASE_HOLD)
    settled = _commit(step, row, evaluation, rule_hash, None if pay is None else pay(evaluation.net_minor))
    written = step.journal("fc.sale.settled.v1", _record(settled, taken))
    leasing.spend(step, sale, written.id, taken, quoted=held is not None)
    if held is not None:
        quoting.take(step, held)
        leasing.let_go(step, [lease for lease, _ in taken])
    online.sale_over(step, sale, frozenset(use.code for use in evaluation.coupons))
    _write(step, row, settled, by, written)
    if held is not None and held["member_ref"] is None and link is not None:
        correcting.late_points(step, sale)  # linked after the price was told: the money stays, the points come
    return {
        "sale": settled.sale,
        "amount_minor": settled.gross_minor,
        "discount_minor": settled.discount_minor,
        "net_minor": settled.net_minor,
        "exponent": row["exponent"],
        "points_earned": settled.points_earned,
        "points_redeemed": settled.points_redeemed,
        "member": settled.member,
        "asked": quoting.asked_for(step, evaluation),
        "state": SaleState.CLEARED.value,
    }


def _commit(
    step: Step, row: Row, evaluation: Evaluation, rule_hash: str, tenders: Sequence[settlement.Tender] | None
) -> settlement.Settlement:
    """Return the settlement of an evaluation. Raises RequestRefused for a wrong sum, or points that are gone."""
    purpose = evaluation.sale.purpose
    if tenders is None or (purpose is not None and settlement.purpose_of(tenders) is purpose):
        kind = step.settings.sales.auto_tender if tenders is None else tenders[0].kind
        tenders = (settlement.Tender(kind, evaluation.net_minor),)
    try:
        return settlement.settle(
            evaluation,
            rule_hash=rule_hash,
            wallet=_wallet(step, evaluation),
            ended_ms=row["ended_ms"],
            now_ms=step.stamp.wall_ms,
            tenders=tenders,
            **asdict(limits.waiting(step, row["id"], _linked(step, row["id"]), evaluation)),
        )
    except settlement.TenderError as failure:
        raise RequestRefused(str(failure), hint=f"the net of this sale is {evaluation.net_minor}") from failure
    except ledger.LedgerError as failure:
        raise RequestRefused(
            f"the points of this quote are no longer there: {failure}",
            hint=f"forecourt sales unlock {row['id']}, then quote again",
        ) from failure


def _linked(step: Step, sale: str) -> limits.Linked | None:
    link = step.tx.sales.active_link(sale)
    return None if link is None else limits.Linked.of(link)


def _wallet(step: Step, evaluation: Evaluation) -> settlement.Wallet:
    """Return what a settlement must know of the member's points; lots are read only where some are spent."""
    if evaluation.member is None:
        return settlement.Wallet()
    ref = step.tx.members.ensure(evaluation.member.member)
    if evaluation.points_redeemed:
        return wallets.wallet(step, ref)
    return settlement.Wallet(debt=step.tx.sales.debt_of(ref))


def evaluate_sale(
    step: Step, row: Row, wish: Wish, purpose: Purpose | None = None, *, as_if_lent: bool = False
) -> Evaluation:
    """Return what the rules in force give a sale now, for its linked member and what the customer asks for.

    ``as_if_lent``: as if head office lent this station all points the member has. Raises RequestRefused for a coupon
    that cannot be read, and for wishes on a sale that nobody pays.
    """
    active = step.memory.rules
    assert active is not None, "a rule set is active from the first start"
    if purpose is not None and not wish.is_empty:
        raise RequestRefused(
            f"a sale booked to {purpose.value} takes no coupon and no points", hint="leave them out", exit_code=2
        )
    link = step.tx.sales.active_link(row["id"])
    who = None if link is None else (int(link["member_ref"]), str(link["member"]))
    presented = Presented(
        auth_level=None if link is None else link["level"],
        clock_suspect=link is not None and bool(link["clock_suspect"]),
        points=wish.points,
        coupons=couponing.presented(step, row["id"], wish.coupons, active.rules),
        withheld=limits.withheld(step, row, None if link is None else limits.Linked.of(link)),
    )
    usable = redeem = None
    if wish.points is not None and who is not None:
        usable = wallets.points_there(step, who[0]) if as_if_lent else wallets.points_usable(step, *who)
        redeem = limits.redeem(step, who[0], active.rules)
    spends = any(offer.budget is not None for offer in active.rules.offers)
    view = BudgetView(leasing.campaigns(step) if spends else (), usable, uses(step, 0), redeem)
    return _evaluated(step, sale_of(row), active.rules, who, view, presented=presented, purpose=purpose)


def leases_taken(step: Step, evaluation: Evaluation) -> leasing.Amounts:
    """Return which leases an evaluation takes how much of: one per campaign, and those of the member's points."""
    taken = [(use.lease, use.amount_minor) for use in evaluation.budgets]
    if evaluation.points_redeemed and evaluation.member is not None:
        taken += leasing.points_from(step, evaluation.member.member, evaluation.points_redeemed)
    return taken


def evaluate_for(step: Step, row: Row, rules: RuleSet, member: str, link: limits.Linked) -> Evaluation:
    """Return what ``rules`` give a sale for a member by a link that it may not have yet; no wish, no leases."""
    view = BudgetView(station_uses=uses(step, 0))
    presented = Presented(
        auth_level=link.level.value, clock_suspect=link.clock_suspect, withheld=limits.withheld(step, row, link)
    )
    return _evaluated(step, sale_of(row), rules, (link.member_ref, member), view, presented=presented)


def _evaluated(
    step: Step,
    sale: Sale,
    rules: RuleSet,
    who: tuple[int, str] | None,
    view: BudgetView,
    *,
    presented: Presented,
    purpose: Purpose | None = None,
) -> Evaluation:
    member = None if who is None else member_facts(step, who[0], who[1])
    facts = _facts(step, sale, presented, purpose)
    instant = LocalInstant.of_sale(sale, step.settings.station.tz)
    return evaluate(facts, member, rules, view, instant)


def _facts(step: Step, sale: Sale, presented: Presented, purpose: Purpose | None) -> SaleFacts:
    grade = step.settings.grade.get(sale.grade)
    return SaleFacts.of_sale(
        sale,
        station=step.settings.station.id,
        product_group=None if grade is None else grade.product,
        presented=presented,
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


def _write(step: Step, row: Row, settled: settlement.Settlement, by: str, written: Written) -> None:
    """Write a settlement's rows; ``written``: its record."""
    sale, purpose = settled.sale, settled.evaluation.sale.purpose
    ref = None if settled.member is None else step.tx.members.ensure(settled.member)
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
            "lines": json.dumps(_lines(settled), ensure_ascii=False),
            "explanation": json.dumps(explain(settled.evaluation, step.settings.station.language), ensure_ascii=False),
            "purpose": "" if purpose is None else purpose.value,
            "by": by,
            "settled_ms": step.stamp.wall_ms,
            "journal_seq": written.seq,
        },
        [(tender.kind, tender.amount_minor, tender.ref) for tender in settled.tenders],
    )
    keep_facts(step, settled, "settlement", ref, written.id)
    couponing.use(step, sale, written.id, settled.evaluation.coupons)
    if settled.points_redeemed and ref is not None:
        keep_lots(step, ref, wallets.lots_of(step, ref), settled.postings)
    post(step, written, sale, settled.postings, once.SETTLED)
    if ref is not None:
        hold(step, settled, ref, written.id)
    step.tx.members.add_uses(0, use_rows(settled.evaluation.station_uses))
    clear(step, sale, int(row["fuelling_point"]))
    failpoint("tender.before_commit")
    step.passed.append("tender")


def keep_facts(step: Step, settled: settlement.Settlement, what: str, ref: int | None, source: str) -> None:
    """Keep what the rules were told, so that the answer can be given again; ``source``: the record it led to."""
    lines = [] if what == "settlement" else [_line(line) for line in settled.lines]
    step.tx.sales.add_priced(
        {
            "source": source,
            "sale": settled.sale,
            "what": what,
            "member_ref": ref,
            "rule_version": settled.rule_version,
            "rule_hash": settled.rule_hash,
            "facts": json.dumps(keep(settled.evaluation), ensure_ascii=False, separators=(",", ":")),
            "lines": json.dumps(lines, ensure_ascii=False),
            "points_earned": settled.points_earned,
            "at_ms": step.stamp.wall_ms,
        }
    )


def keep_lots(
    step: Step, ref: int, lots: Sequence[ledger.Lot], postings: Sequence[ledger.Posting]
) -> list[dict[str, Any]]:
    """Keep the terms of lots that are posted to: head office's own, told any more or not, and those a refund made.

    Returns the terms of the latter, as their record tells them.
    """
    posted = {leg.lot for leg in postings if leg.member is not None}
    rows = step.tx.sales.lots_of(ref)
    own, known = {row["id"] for row in rows if row["member_ref"] == ref}, {row["id"] for row in rows}
    for lot in lots:
        if lot.id in posted and lot.id not in own:
            add_lot(step, lot, ref)
    made = [lot for lot in lots if lot.id in posted and lot.id not in known]
    return [lot_record(lot) for lot in made if lot.source != HEAD_OFFICE]


def _record(settled: settlement.Settlement, taken: leasing.Amounts) -> dict[str, Any]:
    """Return the settled record with what only a station knows: leases of points, the terms of the new lot."""
    record = settled.record()
    budgets = {use.lease for use in settled.budgets}
    points = [{"lease": lease, "points": amount} for lease, amount in taken if lease not in budgets]
    if points:
        record["points_leases"] = points
    if settled.lot is not None:
        record["lots"] = [lot_record(settled.lot)]
    return record


def lot_record(lot: ledger.Lot) -> dict[str, Any]:
    """Return the terms of a new lot as records tell them; times in Unix milliseconds."""
    return {
        "lot": lot.id,
        "earned_ms": lot.earned_at_ms,
        "usable_from_ms": lot.usable_from_ms,
        "expires_on": None if lot.expires_on is None else lot.expires_on.isoformat(),
    }


def hold(step: Step, settled: settlement.Settlement, ref: int, source: str) -> None:
    """Note that a member holds the points of a sale: the lot, the visit and counts, what a refund must know."""
    if settled.lot is not None:
        add_lot(step, settled.lot, ref)
    counts = use_rows(settled.evaluation.uses)
    step.tx.members.count_use(ref, visits=1, growth=settled.growth)
    step.tx.members.add_uses(ref, counts)
    step.tx.sales.set_holder(
        {
            "sale": settled.sale,
            "member_ref": ref,
            "source": source,
            "points_earned": settled.points_earned,
            "bonus_points": settled.bonus_points,
            "growth": settled.growth,
            "earned": json.dumps([earn_out(term) for term in settled.evaluation.earned]),
            "uses": json.dumps(counts),
        }
    )


def clear(step: Step, sale: str, point: int) -> None:
    """Move a sale to Cleared and tell linking and the fuelling point."""
    step.tx.sales.set_state(sale, SaleState.CLEARED)
    step.tx.sales.set_due(sale, None)
    step.memory.due.pop(sale, None)
    scanning.tell(step, links.SaleStateChanged(sale, SaleState.CLEARED))
    points.tell_unpaid(step, point)


def use_rows(uses: Sequence[UseCount]) -> list[tuple[str, str, str, int, int]]:
    """Return use counts as the store adds them."""
    return [(use.offer, use.window.value, use.period, use.uses, use.amount) for use in uses]


def earn_out(term: Any) -> list[Any]:
    """Return an earn term as it is kept for partial refunds: exact, as numerator and denominator."""
    return [term.offer, term.exact.numerator, term.exact.denominator, term.rounding.value, term.cap]


def _lines(settled: settlement.Settlement) -> list[dict[str, Any]]:
    """Return the lines as they are kept, each with the counts of the station that it added to, if there are any."""
    lines = []
    for line in settled.lines:
        lines.append(_line(line))
        counts = [use for use in settled.evaluation.station_uses if use.offer == line.offer]
        if counts:
            lines[-1]["station_uses"] = use_rows(counts)
    return lines


def return_station_uses(step: Step, settled: Row) -> None:
    """Take back what a settled sale added to the counts of this station: it was given back in full."""
    for line in json.loads(settled["lines"]):
        counted = line.get("station_uses", [])
        rows = [(offer, window, period, -uses, -amount) for offer, window, period, uses, amount in counted]
        step.tx.members.add_uses(0, rows)


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


def post(step: Step, written: Written, sale: str | None, postings: Sequence[ledger.Posting], rule: str) -> None:
    """Write the legs of one fact; ``written``: its journal record; ``rule``: what of its sale it is, once per sale."""
    for leg, posting in enumerate(postings, 1):
        ref = None if posting.member is None else step.tx.members.ensure(posting.member)
        step.tx.sales.add_posting(
            {
                "source": written.id,
                "leg": leg,
                "sale": sale,
                "member_ref": ref,
                "account": posting.account.value,
                "points": posting.points,
                "lot": posting.lot,
                "at_ms": step.stamp.wall_ms,
                "rule": rule,
                "generation": step.tx.journal.generation,
                "seq": written.seq,
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


def wait_again(step: Step, sale: str) -> None:
    """A sale is payable again: it settles by itself when it would have, where it does at all."""
    row = step.tx.sales.row(sale)
    if row is None or row["settle_due_ms"] is None:
        return
    if step.tx.sales.active_link(sale) is not None:
        reschedule(step, sale)
    else:
        due = row["settle_due_ms"]
        step.memory.due[sale] = step.now.mono_ms + step.settings.sales.settles_in_ms(due, step.now.wall_ms)
