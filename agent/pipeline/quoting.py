"""Quotes: what a sale costs with what the customer asks for, held for a while on request, told verdict by verdict.

A held quote locks its sale: the settlement commits it as it was told. It ends with the settlement, with its time, or
when a person lets it go.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from agent.domain import link_records as links
from agent.domain import quoted
from agent.domain.link_claims import held_by_other
from agent.domain.rules.explain import line_text
from agent.domain.rules.model import Kind
from agent.domain.rules.verdict import Evaluation, OfferVerdict, Verdict
from agent.domain.sale import SaleState
from agent.failpoints import failpoint
from agent.pipeline import couponing, fencing, leasing, online, rulebook, scanning, settling
from agent.pipeline.step import RequestRefused, Step
from agent.pipeline.wishes import NOTHING, Wish
from agent.store.sales import Row
from agent.store.spending import COUPON_HOLD, LEASE_HOLD, POINTS_HOLD


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a price; ``terminal``: where the customer pays, ``None`` where nobody says."""

    person: str
    terminal: str | None = None


def quote(step: Step, sale: str, wish: Wish = NOTHING, *, hold_by: Holder | None = None) -> dict[str, Any]:
    """Return what a sale costs now; with ``hold_by`` the price is held for ``[sales] hold_quote``.

    Without it nothing is written. Said again for a held sale, it tells the held quote. Raises RequestRefused: no such
    sale, settled, held with other wishes, a coupon that cannot be read, or, to be held, a wish that is refused.
    """
    row = settling.payable(step, sale)
    release_due(step)
    held = step.tx.quotes.one(sale)
    if held is not None:
        return _told(step, committed(step, held, wish), until_ms=held["until_ms"])
    if hold_by is None:
        return _told(step, settling.evaluate_sale(step, row, wish))
    evaluation = settling.evaluate_sale(step, row, wish)
    refuse_unless_granted(step, evaluation, wish)
    until_ms = _hold(step, row, evaluation, hold_by)
    return _told(step, evaluation, until_ms=until_ms)


def committed(step: Step, held: Row, wish: Wish) -> Evaluation:
    """Return the evaluation that a quote holds. Raises RequestRefused where something else is asked for now."""
    rules = rulebook.of_version(step, held["rule_version"])
    try:
        evaluation = quoted.from_plain(json.loads(held["result"]), rules, step.settings.station.tz)
    except quoted.QuoteDamaged as failure:
        raise RequestRefused(
            f"the held quote of sale {held['sale']} cannot be read any more: {failure}",
            hint=f"forecourt sales unlock {held['sale']} lets it go, then quote again",
        ) from failure
    if not wish.is_empty:
        presented = couponing.presented(step, held["sale"], wish.coupons, rules)
        asked = _asked_text(tuple(coupon.code for coupon in presented), wish.points)
        if asked != held["asked"]:
            raise RequestRefused(
                f"sale {held['sale']} is held at {evaluation.net_minor} with other coupons or points",
                hint=f"settle it without naming them, or forecourt sales unlock {held['sale']} and quote again",
            )
    return evaluation


def refuse_unless_granted(step: Step, evaluation: Evaluation, wish: Wish) -> None:
    """The customer was told a price with everything asked for. Raises RequestRefused where a part of it is refused."""
    if wish.accept:
        return
    refused = [told for told in asked_for(step, evaluation) if told["verdict"] == Verdict.REJECTED.value]
    if refused:
        what = "; ".join(f"{told['what']} {told.get('coupon', '')}: {told['code']}, {told['text']}" for told in refused)
        raise RequestRefused(
            f"nothing was settled: {what}",
            hint=f"tell the customer; --accept goes on without it, at a net of {evaluation.net_minor}",
        )


def asked_for(step: Step, evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the verdict on each coupon and on the points that were asked for, in the station's language."""
    language = step.settings.station.language
    presented = evaluation.sale.presented
    told: list[dict[str, Any]] = []
    uses = {use.code: use for use in evaluation.coupons}
    for coupon in presented.coupons:
        verdict, use = evaluation.verdict(coupon.offer), uses.get(coupon.code)
        taken = use is not None
        told.append(
            {
                "what": "coupon",
                "coupon": coupon.code,
                "offer": coupon.offer,
                "verdict": verdict.verdict.value if taken else Verdict.REJECTED.value,
                "code": verdict.code.value,
                "value_minor": 0 if use is None else use.value_minor,
                "left_minor": None if use is None else use.left_minor,
                "text": line_text(evaluation, verdict, language),
            }
        )
    if presented.points is not None:
        told.append(_points_told(evaluation, presented.points, language))
    return told


def _points_told(evaluation: Evaluation, points: int, language: str) -> dict[str, Any]:
    verdict = _points_verdict(evaluation)
    told = {"what": "points", "points": points, "points_redeemed": evaluation.points_redeemed}
    if verdict is None:
        said = {"offer": None, "verdict": Verdict.REJECTED.value, "code": "NO_OFFER"}
        return {**told, **said, "value_minor": 0, "text": _NO_OFFER[language]}
    return {
        **told,
        "offer": verdict.offer,
        "verdict": verdict.verdict.value,
        "code": verdict.code.value,
        "value_minor": evaluation.points_money_minor,
        "text": line_text(evaluation, verdict, language),
    }


_NO_OFFER = {
    "en": "No offer of the rules in force takes points as money.",
    "zh-CN": "当前规则不支持积分抵现。",
}


def _points_verdict(evaluation: Evaluation) -> OfferVerdict | None:
    """Return the verdict that says most of the points: one that took some, else the first of those that took none."""
    kinds = {offer.id: offer.kind for offer in evaluation.rules.offers}
    found = [verdict for verdict in evaluation.verdicts if kinds[verdict.offer] is Kind.POINTS_AS_MONEY]
    return next((verdict for verdict in found if verdict.value_minor > 0), found[0] if found else None)


def _told(step: Step, evaluation: Evaluation, *, until_ms: int | None = None) -> dict[str, Any]:
    return {
        "sale": evaluation.sale.sale,
        "amount_minor": evaluation.gross_minor,
        "discount_minor": evaluation.discount_minor,
        "net_minor": evaluation.net_minor,
        "exponent": evaluation.sale.exponent,
        "points_to_earn": evaluation.points_earned + evaluation.bonus_points,
        "points_redeemed": evaluation.points_redeemed,
        "asked": asked_for(step, evaluation),
        "held_until": None if until_ms is None else f"{step.local(until_ms).replace(microsecond=0).isoformat()}",
        "held_until_ms": until_ms,
    }


# --- holding and letting go -----------------------------------------------------------------------------------------


def _hold(step: Step, row: Row, evaluation: Evaluation, by: Holder) -> int:
    """Lock the sale at this evaluation: budgets, points, coupons and use counts are kept for it from now on."""
    sale, active = row["id"], step.memory.rules
    _refuse_if_claimed(step, sale, by.terminal)
    assert active is not None, "a rule set is active from the first start"
    link = step.tx.sales.active_link(sale)
    ref = None if link is None else int(link["member_ref"])
    until_ms = step.stamp.wall_ms + step.settings.sales.hold_quote
    takes = settling.leases_taken(step, evaluation)
    leasing.check(step, sale, takes, until_ms)
    held = [(LEASE_HOLD, lease, amount) for lease, amount in takes]
    held += [(COUPON_HOLD, use.code, use.value_minor) for use in evaluation.coupons]
    if evaluation.points_redeemed and ref is not None:
        held.append((POINTS_HOLD, str(ref), evaluation.points_redeemed))
    uses, station_uses = settling.use_rows(evaluation.uses), settling.use_rows(evaluation.station_uses)
    presented = evaluation.sale.presented
    step.tx.quotes.add(
        {
            "sale": sale,
            "member_ref": ref,
            "rule_version": active.version,
            "rule_hash": active.hash,
            "asked": _asked_text(tuple(coupon.code for coupon in presented.coupons), presented.points),
            "result": json.dumps(quoted.to_plain(evaluation), ensure_ascii=False),
            "uses": json.dumps(uses),
            "station_uses": json.dumps(station_uses),
            "by": by.person,
            "made_ms": step.stamp.wall_ms,
            "until_ms": until_ms,
        },
        held,
    )
    _count(step, ref, uses, station_uses, 1)
    step.tx.sales.set_state(sale, SaleState.LOCKED)
    step.memory.due.pop(sale, None)
    step.memory.locks[sale] = (step.now.mono_ms + step.settings.sales.hold_quote, until_ms)
    scanning.tell(step, links.SaleStateChanged(sale, SaleState.LOCKED, by.terminal, by.person))
    step.audit(by.person, "attendant", "quote_held", sale, reason=f"net {evaluation.net_minor}")
    failpoint("quote.before_commit")
    step.passed.append("quote")
    return until_ms


def _refuse_if_claimed(step: Step, sale: str, terminal: str | None) -> None:
    """A terminal that takes the money asks who works on the sale; a till that names none is not kept waiting."""
    other = None if terminal is None else held_by_other(step.memory.desk, sale, terminal)
    if other is not None:
        raise RequestRefused(
            f"sale {sale} is in use at {other.terminal}",
            hint="wait, or a supervisor lets it go: forecourt sales release SALE --force",
        )


def _asked_text(codes: tuple[str, ...], points: int | None) -> str:
    return json.dumps({"coupons": sorted(codes), "points": points})


def _count(step: Step, ref: int | None, uses: list[Any], station_uses: list[Any], sign: int) -> None:
    """Add (or take back) the use counts of a quote: what it holds counts as used for every other sale."""
    for subject, rows in ((ref, uses), (0, station_uses)):
        if subject is not None:
            step.tx.members.add_uses(
                subject, [(offer, window, period, sign * n, sign * amount) for offer, window, period, n, amount in rows]
            )


def take(step: Step, held: Row) -> None:
    """Take a quote out of the way, counts and all; its leases are spent by then, and ``leasing.let_go`` follows."""
    _count(step, held["member_ref"], json.loads(held["uses"]), json.loads(held["station_uses"]), -1)
    step.tx.quotes.remove(held["sale"])
    step.memory.locks.pop(held["sale"], None)


def unlock(step: Step, sale: str, by: str) -> dict[str, Any]:
    """Let a held quote go: the sale is payable at whatever it costs then. Raises RequestRefused where none holds it."""
    if step.tx.quotes.one(sale) is None:
        raise RequestRefused(f"no quote holds sale {sale}", hint="forecourt sales show SALE tells its state")
    _release(step, sale, by, "let go")
    return {"sale": sale, "state": SaleState.PAYABLE.value}


_REDEEMING = (LEASE_HOLD, COUPON_HOLD, POINTS_HOLD)


def release_due(step: Step) -> None:
    """End every quote whose time is over, by the monotonic clock or by the wall; fenced, every one that redeems."""
    for sale, (mono_ms, wall_ms) in list(step.memory.locks.items()):
        if mono_ms <= step.now.mono_ms or wall_ms <= step.stamp.wall_ms:
            _release(step, sale, "agent", "its time is over")
        elif fencing.fenced(step) and any(step.tx.quotes.of_sale(sale, kind) for kind in _REDEEMING):
            _release(step, sale, "agent", "fenced: nothing is redeemed here")


def _release(step: Step, sale: str, by: str, why: str) -> None:
    held = step.tx.quotes.one(sale)
    assert held is not None, "what is released is held"
    leases = [lease for lease, _ in step.tx.quotes.of_sale(sale, LEASE_HOLD)]
    take(step, held)
    leasing.let_go(step, leases)
    online.sale_over(step, sale, settled=False)
    step.tx.sales.set_state(sale, SaleState.PAYABLE)
    scanning.tell(step, links.SaleStateChanged(sale, SaleState.PAYABLE))
    settling.wait_again(step, sale)
    step.audit(by, "agent" if by == "agent" else "attendant", "quote_released", sale, reason=why)
    step.passed.append("quote")
