"""Void, refund and corrections: new facts beside the old ones; points go back in the same transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from typing import Any

from agent.domain import ledger, once, settlement
from agent.domain import link_records as links
from agent.domain.identity import AuthLevel
from agent.domain.rules.model import Rounding, RuleSet
from agent.domain.rules.verdict import EarnTerm
from agent.domain.sale import SaleState
from agent.failpoints import failpoint
from agent.pipeline import couponing, leasing, limits, rulebook, settling, wallets, watching
from agent.pipeline.step import RequestRefused, Step
from agent.store.journal import Written
from agent.store.sales import Row


@dataclass(frozen=True, slots=True)
class By:
    """Who corrects, in which role, and why; ``request``: the asker's own name of this wish, so that it counts once."""

    name: str
    role: str
    reason: str
    request: str | None = None


@dataclass(frozen=True, slots=True)
class _Change:
    """One correction: what, from what to what, the points it moves, and what else its record tells."""

    what: str
    old: dict[str, Any]
    new: dict[str, Any]
    postings: Sequence[ledger.Posting] = ()
    delay_s: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


def void(step: Step, sale: str, by: By) -> dict[str, Any]:
    """Give the whole net back. Raises RequestRefused for an unsettled or already voided sale."""
    known = _known_request(step, sale, by.request)
    if known is not None:
        return known
    row, settled = _settled(step, sale)
    return _give_back(step, row, settled, settled["net_minor"] - row["refunded_minor"], "void", by=by)


def refund(step: Step, sale: str, amount_minor: int, by: By, *, again: bool = False) -> dict[str, Any]:
    """Give a part of the net back. Raises RequestRefused for an amount that is not left.

    The same request again gets the first answer. Without one, an amount that was given back before is asked about:
    the first answer may only have been lost.
    """
    known = _known_request(step, sale, by.request)
    if known is not None:
        return known
    row, settled = _settled(step, sale)
    if by.request is None and not again:
        _refuse_the_same_again(step, sale, amount_minor)
    return _give_back(step, row, settled, amount_minor, "refund", by=by)


def _known_request(step: Step, sale: str, request: str | None) -> dict[str, Any] | None:
    """Return the answer that a request got when it was first made."""
    if request is None:
        return None
    settled = step.tx.sales.settlement(sale)
    for item in step.tx.sales.corrections(sale):
        if item["request"] == request and settled is not None:
            after = json.loads(item["new"])["refunded_minor"]
            moved = [row for row in step.tx.sales.postings_of(sale) if row["source"] == item["id"]]
            points = sum(row["points"] for row in moved if row["member_ref"] is not None)
            return {**_given_back(sale, item["what"], after, settled, points), "repeat": True}
    return None


def _given_back(sale: str, what: str, after: int, settled: Row, points: int) -> dict[str, Any]:
    left = settled["net_minor"] - after
    return {"sale": sale, "what": what, "refunded_minor": after, "left_minor": left, "points": points}


def _refuse_the_same_again(step: Step, sale: str, amount_minor: int) -> None:
    for item in step.tx.sales.corrections(sale):
        if item["what"] != "refund":
            continue
        before, after = json.loads(item["old"])["refunded_minor"], json.loads(item["new"])["refunded_minor"]
        if after - before == amount_minor:
            raise RequestRefused(
                f"{amount_minor} of sale {sale} was given back at {step.local(item['at_ms']):%H:%M:%S} by {item['by']}",
                hint="--again gives the same amount a second time; nothing was given back now",
            )


def _settled(step: Step, sale: str) -> tuple[Row, Row]:
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


def _give_back(step: Step, row: Row, settled: Row, amount_minor: int, what: str, *, by: By) -> dict[str, Any]:
    sale, before = row["id"], row["refunded_minor"]
    _refuse_if_parted(step, sale)
    left = settled["net_minor"] - before
    if amount_minor > left or amount_minor < 0 or (amount_minor == 0 and left > 0):
        raise RequestRefused(
            f"{amount_minor} asked, {left} of {settled['net_minor']} left to give back",
            hint="name an amount up to that",
        )
    holder = step.tx.sales.holder(sale)
    reversal = None if holder is None else _reverse(step, settled, holder, before, amount_minor)
    after = before + amount_minor
    full = after == settled["net_minor"]
    postings = () if reversal is None else reversal.postings
    source = step.new_id()
    returned = 0 if reversal is None else reversal.points_returned
    budgets, leases = leasing.give_back(step, sale, source, points=returned, whole=full)
    codes = couponing.give_back(step, sale) if full else []
    lots = [] if reversal is None or holder is None else _lots(step, holder, reversal)
    more = {"coupons": codes, "budgets": budgets, "points_leases": leases, "lots": lots}
    old = {"refunded_minor": before, "net_minor": settled["net_minor"]}
    told = {name: value for name, value in more.items() if value}
    change = _Change(what, old, {"refunded_minor": after}, postings, more=told)
    record = _record(step, sale, change, by, record_id=source)
    settling.post(step, record, sale, postings, once.refund_fact(after))
    if holder is not None:
        _take_back_counts(step, settled, holder, before, after)
    if full:
        settling.return_station_uses(step, settled)
    step.tx.sales.set_reversed(sale, voided=full, refunded_minor=after)
    watching.after_reversal(step, sale)
    failpoint("refund.before_commit")
    step.passed.append("tender")
    points = sum(posting.points for posting in postings if posting.account.is_members)
    return {**_given_back(sale, what, after, settled, points), "coupons": codes}


def _take_back_counts(step: Step, settled: Row, holder: Row, before: int, after: int) -> None:
    """Growth follows the refunded amount; the visit and the use counts come back on the full refund."""
    ref, net, growth = holder["member_ref"], settled["net_minor"], holder["growth"]
    full = after == net
    gone = growth * after // net - growth * before // net if net else growth
    step.tx.members.count_use(ref, visits=-1 if full else 0, growth=-gone)
    if full:
        uses = json.loads(holder["uses"])
        rows = [(offer, window, period, -count, -amount) for offer, window, period, count, amount in uses]
        step.tx.members.add_uses(ref, rows)


def _reverse(step: Step, settled: Row, holder: Row, before: int, amount_minor: int) -> ledger.Reversal:
    rules = rulebook.of_version(step, settled["rule_version"]).program
    wanted = ledger.Refund(
        refunded_so_far_minor=before,
        refund_minor=amount_minor,
        now_ms=step.stamp.wall_ms,
        today=step.local(step.stamp.wall_ms).date(),
        policy=rules.reversal,
        grace_days=rules.returned_lot_grace_days,
        debt=step.tx.sales.debt_of(holder["member_ref"]),
    )
    try:
        points = _settled_points(step, settled["net_minor"], holder)
        return ledger.reverse(points, wanted, wallets.lots_of(step, holder["member_ref"]))
    except ledger.RefundError as failure:
        raise RequestRefused(str(failure), hint="name an amount up to what is left") from failure


def _settled_points(step: Step, net_minor: int, holder: Row) -> ledger.SettledPoints:
    terms = [
        EarnTerm(offer, Fraction(numerator, denominator), Rounding(rounding), cap)
        for offer, numerator, denominator, rounding, cap in json.loads(holder["earned"])
    ]

    def earned_on(smaller_net_minor: int) -> int:
        share = Fraction(smaller_net_minor, net_minor) if net_minor else Fraction(0)
        return sum(term.points_at(share) for term in terms)

    return ledger.SettledPoints(
        sale=holder["sale"],
        member=holder["member"],
        net_minor=net_minor,
        points_earned=holder["points_earned"] - holder["bonus_points"],
        bonus_points=holder["bonus_points"],
        postings=tuple(_postings(step, holder, given_back=False)),
        earned_on=earned_on,
        given_back=tuple(_postings(step, holder, given_back=True)),
    )


def _postings(step: Step, holder: Row, *, given_back: bool) -> list[ledger.Posting]:
    """Return the legs of the record that granted the points, or those of the refunds since: a holder's link is not
    changed once money was given back. The holder's own legs, and the programme's beside them: a record that granted
    may have taken the points from an id that was merged with the holder's since, so ids count as they were then.
    """
    found: list[ledger.Posting] = []
    granted = False
    for row in step.tx.sales.postings_of(holder["sale"]):
        account = ledger.Account(row["account"])
        granting = row["source"] == holder["source"]
        granted = granted or granting
        theirs = (None, holder["posted_ref"]) if granting else (None, holder["posted_ref"], holder["member_ref"])
        own = row["member_ref"] in theirs
        if own and granted and granting is not given_back:
            member = holder["member"] if account.is_members else None
            found.append(ledger.Posting(account, row["points"], row["lot"], member))
    return found


def _record(step: Step, sale: str, change: _Change, by: By, *, record_id: str | None = None) -> Written:
    what, old, new = change.what, change.old, change.new
    written = step.journal(
        "fc.sale.corrected.v1",
        {
            "sale": sale,
            "what": what,
            "old": old,
            "new": new,
            "by": by.name,
            "role": by.role,
            "reason": by.reason,
            "postings": _posting_records(change.postings, with_member=what == "link"),
            "delay_s": change.delay_s,
            **change.more,
        },
        record_id=record_id,
    )
    step.tx.sales.add_correction(
        {
            "id": written.id,
            "sale": sale,
            "what": what,
            "old": json.dumps(old, ensure_ascii=False),
            "new": json.dumps(new, ensure_ascii=False),
            "by": by.name,
            "role": by.role,
            "reason": by.reason,
            "at_ms": step.stamp.wall_ms,
            "amount_minor": new.get("refunded_minor"),
            "request": by.request,
        }
    )
    return written


def _posting_records(postings: Sequence[ledger.Posting], *, with_member: bool) -> list[dict[str, object]]:
    """Return postings as they travel; a changed link has legs of two members in one record, so each names its own."""
    records = settlement.posting_records(postings)
    if with_member:
        for record, posting in zip(records, postings, strict=True):
            record["member"] = posting.member
    return records


def correct_tender(step: Step, sale: str, tenders: Sequence[settlement.Tender], by: By) -> dict[str, Any]:
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
    _record(step, sale, _Change("tender", {"tenders": before}, {"tenders": after}), by)
    step.tx.sales.replace_tenders(sale, [(t.kind, t.amount_minor, t.ref) for t in tenders])
    return {"sale": sale, "what": "tender", "tenders": after}


def correct_link(step: Step, effect: links.CorrectLink) -> None:
    """End the active link; where the sale is settled, its points go back and are posted to the right member."""
    link = step.tx.sales.active_link(effect.sale)
    assert link is not None, "linking corrects only an active link"
    rule = _link_rule(step, effect.sale, "relink")
    step.tx.sales.end_link(link["id"])
    settled = step.tx.sales.settlement(effect.sale)
    holder = step.tx.sales.holder(effect.sale)
    back: ledger.Reversal | None = None
    fresh: settlement.Settlement | None = None
    if settled is not None and holder is not None:
        back = _reverse(step, settled, holder, 0, settled["net_minor"])
    if settled is not None and effect.new_member is not None and not settled["purpose"]:
        ref = step.tx.members.ensure(effect.new_member)
        level = effect.level or AuthLevel.NUMBER
        linked = limits.Linked(ref, level, step.stamp.wall_ms, effect.clock_suspect)
        fresh = _settled_for(step, settled, effect.new_member, linked)
    postings = (*(() if back is None else back.postings), *(() if fresh is None else fresh.postings))
    old, new = {"member": effect.old_member}, {"member": effect.new_member}
    change = _Change("link", old, new, postings, effect.delay_s)
    lots = [] if back is None or holder is None else _lots(step, holder, back)
    lots += [] if fresh is None or fresh.lot is None else [settling.lot_record(fresh.lot)]
    change = replace(change, more={"lots": lots} if lots else {})
    record = _record(step, effect.sale, change, By(effect.by, effect.role.value, effect.reason))
    settling.post(step, record, effect.sale, ledger.Entry(postings).postings, rule)
    if settled is not None and back is not None and holder is not None:
        _take_back_counts(step, settled, holder, 0, settled["net_minor"])
        step.tx.sales.end_holder(effect.sale)
    if fresh is not None and effect.new_member is not None:
        ref = step.tx.members.ensure(effect.new_member)
        settling.keep_facts(step, fresh, "link", ref, record.id)
        settling.hold(step, fresh, ref, record.id)


def _lots(step: Step, holder: Row, reversal: ledger.Reversal) -> list[dict[str, Any]]:
    """Keep the lots a reversal posts to; returns the terms of those it made."""
    return settling.keep_lots(step, holder["member_ref"], reversal.lots, reversal.postings)


def _link_rule(step: Step, sale: str, what: str) -> str:
    """Return what of its sale a change of links is: a sale has each number of links and corrections once."""
    corrections = sum(1 for item in step.tx.sales.corrections(sale) if item["what"] == "link")
    return f"{what}:{step.tx.sales.count_links(sale)}:{corrections}"


def late_points(step: Step, sale: str) -> None:
    """A supervisor's late link of a settled sale: its points are granted, the money already paid does not change."""
    settled = step.tx.sales.settlement(sale)
    link = step.tx.sales.active_link(sale)
    if settled is None or link is None or settled["purpose"]:
        return
    fresh = _settled_for(step, settled, link["member"], limits.Linked.of(link))
    data = {"member": link["member"], "why": "grant", "postings": settlement.posting_records(fresh.postings)}
    if fresh.lot is not None:
        data["lots"] = [settling.lot_record(fresh.lot)]
    written = step.journal("fc.points.v1", data)
    settling.keep_facts(step, fresh, "late-link", link["member_ref"], written.id)
    settling.post(step, written, sale, fresh.postings, _link_rule(step, sale, "late"))
    settling.hold(step, fresh, link["member_ref"], written.id)


def _refuse_if_parted(step: Step, sale: str) -> None:
    """What its member would lose or gain cannot be said any more of a sale that names nobody. Raises RequestRefused."""
    if step.tx.sales.is_parted(sale):
        raise RequestRefused(
            f"sale {sale} is so old that this station does not know its member any more",
            hint="head office has its records and corrects it there",
        )


def refuse_if_given_back(step: Step, sale: str) -> None:
    """A link is not changed once money was given back, once the sale was paid with points or a coupon, and while a
    quote for its member holds it. Raises RequestRefused.
    """
    row = step.tx.sales.row(sale)
    if row is None:
        return
    _refuse_if_parted(step, sale)
    if row["voided"] or row["refunded_minor"]:
        raise RequestRefused(
            f"money of sale {sale} was given back: its member cannot be changed any more",
            hint="void what is left of it and ask head office",
        )
    held = step.tx.quotes.one(sale)
    if held is not None and held["member_ref"] is not None:
        raise RequestRefused(
            f"a price for its member holds sale {sale}",
            hint=f"forecourt sales unlock {sale} lets it go; then change the member and quote again",
        )
    settled = step.tx.sales.settlement(sale)
    paid_by_member = settled is not None and settled["member_ref"] is not None
    if settled is not None and paid_by_member and (settled["points_redeemed"] or step.tx.coupons.used_on(sale)):
        raise RequestRefused(
            f"sale {sale} was paid with points or a coupon of its member: it cannot become another's",
            hint="void it; points and coupons come back to the member they are from",
        )


def _settled_for(step: Step, settled: Row, member: str, link: limits.Linked) -> settlement.Settlement:
    """Return the sale as the original rules would have settled it for this member; the money stays as it was paid."""
    row = step.tx.sales.row(settled["sale"])
    assert row is not None
    rules: RuleSet = rulebook.of_version(step, settled["rule_version"])
    evaluation = settling.evaluate_for(step, row, rules, member, link)
    return settlement.settle(
        evaluation,
        rule_hash=settled["rule_hash"],
        wallet=wallets.wallet(step, link.member_ref),
        ended_ms=row["ended_ms"],
        now_ms=step.stamp.wall_ms,
        **asdict(limits.waiting(step, row["id"], link, evaluation)),
    )
