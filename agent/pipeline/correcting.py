"""Void, refund and corrections: new facts beside the old ones; points go back in the same transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from sqlalchemy import RowMapping

from agent.domain import ledger, settlement
from agent.domain import link_records as links
from agent.domain.identity import AuthLevel
from agent.domain.rules.model import Rounding, RuleSet
from agent.domain.rules.verdict import EarnTerm
from agent.domain.sale import SaleState
from agent.pipeline import rulebook, settling
from agent.pipeline.step import RequestRefused, Step
from agent.store.sales import sale_of


def void(step: Step, sale: str, by: str, role: str, reason: str) -> dict[str, Any]:
    """Give the whole net back. Raises RequestRefused for an unsettled or already voided sale."""
    row, settled = _settled(step, sale)
    return _give_back(step, row, settled, settled["net_minor"] - row["refunded_minor"], "void", (by, role, reason))


def refund(step: Step, sale: str, amount_minor: int, by: str, role: str, reason: str) -> dict[str, Any]:
    """Give a part of the net back. Raises RequestRefused for an amount that is not left."""
    row, settled = _settled(step, sale)
    return _give_back(step, row, settled, amount_minor, "refund", (by, role, reason))


def _settled(step: Step, sale: str) -> tuple[RowMapping, RowMapping]:
    row = step.tx.sales.row(sale)
    if row is None:
        raise RequestRefused(f"there is no sale {sale}", hint="forecourt sales lists them")
    settled = step.tx.sales.settlement(sale)
    if settled is None or row["state"] != SaleState.CLEARED.value:
        raise RequestRefused(
            f"sale {sale} is not settled: nothing was paid that could be given back",
            hint="forecourt sales settle SALE --tender drive-off|meter-test|own-use books fuel without a customer",
        )
    if row["voided"]:
        raise RequestRefused(f"sale {sale} was given back in full", hint="forecourt sales show SALE tells by whom")
    return row, settled


def _give_back(
    step: Step, row: RowMapping, settled: RowMapping, amount_minor: int, what: str, who: tuple[str, str, str]
) -> dict[str, Any]:
    sale, before = row["id"], row["refunded_minor"]
    left = settled["net_minor"] - before
    if amount_minor > left or amount_minor < 0 or (amount_minor == 0 and left > 0):
        raise RequestRefused(
            f"{amount_minor} asked, {left} of {settled['net_minor']} left to give back",
            hint="name an amount up to that",
        )
    reversal = None
    if settled["member_ref"] is not None:
        reversal = _reverse(step, settled, before, amount_minor)
    after = before + amount_minor
    full = after == settled["net_minor"]
    postings = () if reversal is None else reversal.postings
    old = {"refunded_minor": before, "net_minor": settled["net_minor"]}
    record = _record(step, sale, what, old, {"refunded_minor": after}, who, postings, None)
    if reversal is not None:
        for lot in reversal.lots:
            settling.add_lot(step, lot, settled["member_ref"])
        settling.post(step, record, sale, postings)
        _take_back_counts(step, settled, before, after, full)
    step.tx.sales.set_reversed(sale, voided=full, refunded_minor=after)
    step.passed.append("tender")
    points = sum(p.points for p in postings if p.account.is_members)
    return {
        "sale": sale,
        "what": what,
        "refunded_minor": after,
        "left_minor": settled["net_minor"] - after,
        "points": points,
    }


def _take_back_counts(step: Step, settled: RowMapping, before: int, after: int, full: bool) -> None:
    ref, net, growth = settled["member_ref"], settled["net_minor"], settled["growth"]
    gone = growth * after // net - growth * before // net if net else growth
    step.tx.members.count_use(ref, visits=-1 if full else 0, growth=-gone)
    if full:
        rows = [
            (offer, window, period, -uses, -amount)
            for offer, window, period, uses, amount in json.loads(settled["uses"])
        ]
        step.tx.members.add_uses(ref, rows)


def _reverse(step: Step, settled: RowMapping, before: int, amount_minor: int) -> ledger.Reversal:
    rules = rulebook.of_version(step, settled["rule_version"]).program
    wanted = ledger.Refund(
        refunded_so_far_minor=before,
        refund_minor=amount_minor,
        now_ms=step.stamp.wall_ms,
        today=step.local(step.stamp.wall_ms).date(),
        policy=rules.reversal,
        grace_days=rules.returned_lot_grace_days,
    )
    try:
        return ledger.reverse(_settled_points(step, settled), wanted, settling.lots_of(step, settled["member_ref"]))
    except ledger.RefundError as failure:
        raise RequestRefused(str(failure), hint="name an amount up to what is left") from failure


def _settled_points(step: Step, settled: RowMapping) -> ledger.SettledPoints:
    terms = [
        EarnTerm(offer, Fraction(numerator, denominator), Rounding(rounding), cap)
        for offer, numerator, denominator, rounding, cap in json.loads(settled["earned"])
    ]
    net = settled["net_minor"]

    def earned_on(smaller_net_minor: int) -> int:
        share = Fraction(smaller_net_minor, net) if net else Fraction(0)
        return sum(term.points_at(share) for term in terms)

    member = step.tx.members.by_ref(settled["member_ref"])
    assert member is not None
    return ledger.SettledPoints(
        sale=settled["sale"],
        member=member["id"],
        net_minor=net,
        points_earned=settled["points_earned"] - settled["bonus_points"],
        bonus_points=settled["bonus_points"],
        postings=tuple(_postings(step, settled)),
        earned_on=earned_on,
    )


def _postings(step: Step, settled: RowMapping) -> list[ledger.Posting]:
    """Return the legs of the settlement itself: those of later corrections have other sources."""
    found = []
    first: str | None = None
    for row in step.tx.sales.postings_of(settled["sale"]):
        first = first or row["source"]
        if row["source"] != first:
            continue
        member = None if row["member_ref"] is None else step.tx.members.by_ref(row["member_ref"])
        account = ledger.Account(row["account"])
        found.append(ledger.Posting(account, row["points"], row["lot"], None if member is None else member["id"]))
    return found


def _record(
    step: Step,
    sale: str,
    what: str,
    old: dict[str, Any],
    new: dict[str, Any],
    who: tuple[str, str, str],
    postings: Sequence[ledger.Posting],
    delay_s: int | None,
) -> str:
    by, role, reason = who
    written = step.journal(
        "fc.sale.corrected.v1",
        {
            "sale": sale,
            "what": what,
            "old": old,
            "new": new,
            "by": by,
            "role": role,
            "reason": reason,
            "postings": _posting_records(postings, with_member=what == "link"),
            "delay_s": delay_s,
        },
    )
    step.tx.sales.add_correction(
        {
            "id": written.id,
            "sale": sale,
            "what": what,
            "old": json.dumps(old, ensure_ascii=False),
            "new": json.dumps(new, ensure_ascii=False),
            "by": by,
            "role": role,
            "reason": reason,
            "at_ms": step.stamp.wall_ms,
            "amount_minor": new.get("refunded_minor"),
        }
    )
    return written.id


def _posting_records(postings: Sequence[ledger.Posting], *, with_member: bool) -> list[dict[str, object]]:
    """Return postings as they travel; a changed link has legs of two members in one record, so each names its own."""
    records = settlement.posting_records(postings)
    if with_member:
        for record, posting in zip(records, postings, strict=True):
            record["member"] = posting.member
    return records


def correct_tender(
    step: Step, sale: str, tenders: Sequence[settlement.Tender], by: str, role: str, reason: str
) -> dict[str, Any]:
    """Book the payment of a settled sale to other tenders of the same sum. Raises RequestRefused."""
    _, settled = _settled(step, sale)
    if settlement.purpose_of(tenders) is not None or settled["purpose"]:
        raise RequestRefused(
            "a correction cannot make a paid sale drive-off, meter-test or own-use, nor the other way round",
            hint="void the sale instead",
        )
    try:
        settlement.check_tenders(settled["net_minor"], tenders)
    except settlement.TenderError as failure:
        raise RequestRefused(str(failure), hint=f"the net of this sale is {settled['net_minor']}") from failure
    before = [
        {"kind": t["kind"], "amount_minor": t["amount_minor"], "ref": t["ref"]} for t in step.tx.sales.tenders(sale)
    ]
    after = [{"kind": t.kind, "amount_minor": t.amount_minor, "ref": t.ref} for t in tenders]
    _record(step, sale, "tender", {"tenders": before}, {"tenders": after}, (by, role, reason), (), None)
    step.tx.sales.replace_tenders(sale, [(t.kind, t.amount_minor, t.ref) for t in tenders])
    return {"sale": sale, "what": "tender", "tenders": after}


def correct_link(step: Step, effect: links.CorrectLink) -> None:
    """End the active link; where the sale is settled, its points go back and are posted to the right member."""
    link = step.tx.sales.active_link(effect.sale)
    assert link is not None, "linking corrects only an active link"
    step.tx.sales.end_link(link["id"])
    settled = step.tx.sales.settlement(effect.sale)
    postings: tuple[ledger.Posting, ...] = ()
    lots: list[tuple[ledger.Lot, int]] = []
    if settled is not None and settled["member_ref"] is not None:
        reversal = _reverse(step, settled, 0, settled["net_minor"])
        lots += [(lot, settled["member_ref"]) for lot in reversal.lots]
        postings += reversal.postings
    if settled is not None and effect.new_member is not None:
        lot, earned = _points_for(step, settled, effect.new_member, AuthLevel.NUMBER.value)
        postings += earned
        if lot is not None:
            lots.append((lot, step.tx.members.ensure(effect.new_member)))
    old, new = {"member": effect.old_member}, {"member": effect.new_member}
    who = (effect.by, effect.role.value, effect.reason)
    record = _record(step, effect.sale, "link", old, new, who, postings, effect.delay_s)
    for lot, ref in lots:
        settling.add_lot(step, lot, ref)
    settling.post(step, record, effect.sale, ledger.Entry(postings).postings)


def late_points(step: Step, sale: str) -> None:
    """A supervisor's late link of a settled sale: its points are granted, the money already paid does not change."""
    settled = step.tx.sales.settlement(sale)
    link = step.tx.sales.active_link(sale)
    if settled is None or link is None or settled["purpose"]:
        return
    lot, postings = _points_for(step, settled, link["member"], link["level"])
    if lot is None:
        return
    written = step.journal(
        "fc.points.v1",
        {"member": link["member"], "why": "grant", "postings": settlement.posting_records(postings)},
    )
    settling.add_lot(step, lot, link["member_ref"])
    settling.post(step, written.id, sale, postings)


def _points_for(
    step: Step, settled: RowMapping, member: str, level: str
) -> tuple[ledger.Lot | None, tuple[ledger.Posting, ...]]:
    row = step.tx.sales.row(settled["sale"])
    assert row is not None
    ref = step.tx.members.ensure(member)
    rules: RuleSet = rulebook.of_version(step, settled["rule_version"])
    evaluation = settling.evaluate_for(step, sale_of(row), rules, (ref, member), level, None)
    corrected = settlement.settle(
        evaluation,
        rule_hash=settled["rule_hash"],
        wallet=settlement.Wallet(settling.lots_of(step, ref), step.tx.sales.debt_of(ref)),
        ended_ms=row["ended_ms"],
        now_ms=step.stamp.wall_ms,
    )
    return corrected.lot, corrected.postings
