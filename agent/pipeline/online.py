"""What is asked of head office while a customer waits, and lent ahead: reservations, coupons, leases of budgets.

A reservation is a lease for one sale, so everything else works as offline: what head office gave in time is spent, and
where no answer came the leases that are here decide. Knows requests and answers; what may be spent is ``leasing``'s.
"""

from __future__ import annotations

import json
from dataclasses import replace

from agent.domain.leases import LeaseState
from agent.domain.sale import SaleState
from agent.inbox import Asked
from agent.pipeline import alerting, couponing, fencing, leasing, rebirth, requesting, settling
from agent.pipeline.memory import Parked
from agent.pipeline.step import Step
from agent.pipeline.wishes import Wish
from agent.store.sales import Row
from agent.store.spending import BUDGET, POINTS
from sync import ports
from sync.leasing import LeaseClaims
from sync.messages import MessageError
from sync.notices import Req
from sync.records import parse_time
from sync.signing import SignatureRefused, open_signed

LOOK_EVERY_MS = 10_000
PAUSE_MS = 300_000
"""After a refusal head office is asked for the same campaign no sooner."""

REFUSED_LEASE = "LEASE_REFUSED"
NO_ANSWER = "no_answer"
OK = "ok"
COUPONS_KEPT = "coupons_kept"
"""Fact about a database: the incarnation, and [sale, code] of every coupon that head office keeps for an open sale."""

OF_ANOTHER_LIFE = "of_another_life"
"""What this station knows of a coupon that was kept for a sale before it was born again."""


class Waits(Exception):
    """A question of a person waits for head office. What the step has written stands; ``ids``: the requests."""

    def __init__(self, ids: frozenset[str]) -> None:
        super().__init__(f"waits for {len(ids)} answers of head office")
        self.ids = ids


# --- somebody waits ---------------------------------------------------------------------------------------------------


def ask_first(step: Step, asked: Asked, sale: str, wish: Wish) -> None:
    """Ask head office for what a sale may take and this station does not hold. Raises Waits where something was asked.

    Nothing is asked twice for one question, without a link, of a sale that is held or settled, and where nothing lacks.
    """
    if wish.is_empty or asked.said is not None or not _may_ask(step):
        return
    row = step.tx.sales.row(sale)
    if row is None or row["state"] == SaleState.CLEARED.value or step.tx.quotes.one(sale) is not None:
        return
    codes = couponing.codes(step, wish.coupons)
    ids = {_ask_coupon(step, sale, code) for code in codes if step.memory.coupons.get((sale, code)) != OK}
    ids.add(_ask_points(step, row, wish))
    found = frozenset(name for name in ids if name is not None)
    if found:
        raise Waits(found)


def _may_ask(step: Step) -> bool:
    live = step.settings.loyalty.live_wait > 0 and step.pinned is not None
    return live and bool(step.live.link["online"]) and not fencing.fenced(step)


def _who(step: Step) -> dict[str, str]:
    incarnation = step.tx.memory.meta("incarnation") or ""
    return {"incarnation": incarnation, "install_id": step.tx.memory.meta(rebirth.INSTALL) or "unknown"}


def _ask_points(step: Step, row: Row, wish: Wish) -> str | None:
    """Ask for what the rules would take if it were lent, and the leases here do not hold."""
    if wish.points is None:
        return None
    would = settling.evaluate_sale(step, row, wish, as_if_lent=True)
    if would.member is None:
        return None
    member = would.member.member
    lacking = would.points_redeemed - (leasing.points_usable(step, member) or 0)
    if lacking <= 0:
        return None
    body = {**_who(step), "member": member, "points": lacking, "sale": row["id"]}
    return requesting.request(step, "reserve", body, about=row["id"])


def _ask_coupon(step: Step, sale: str, code: str) -> str | None:
    return requesting.request(step, "coupon", {**_who(step), "code": code, "sale": sale}, about=sale)


def park(step: Step, item: Asked, ids: frozenset[str]) -> None:
    """Let a question wait; it is asked again by ``ready``."""
    due_ms = step.now.mono_ms + step.settings.loyalty.live_wait
    step.memory.parked[min(ids)] = Parked(item, ids, due_ms)


def ready(step: Step) -> list[Asked]:
    """Take the questions that have their answers, or waited long enough; ``said``: what head office said to each."""
    found = []
    for name, parked in list(step.memory.parked.items()):
        if parked.ids and step.now.mono_ms < parked.due_ms:
            continue
        del step.memory.parked[name]
        said = ", ".join(word for word in (parked.said, NO_ANSWER if parked.ids else "") if word)
        found.append(replace(parked.item, said=said))
    return found


# --- answers ----------------------------------------------------------------------------------------------------------


def answered(step: Step, answer: ports.Answered) -> None:
    """Take an answer into the transaction; one that came before, or to nothing that is open, changes nothing."""
    row = requesting.asked(step, answer)
    if row is None:
        return
    word = answer.reason or answer.status
    if row["kind"] in ("reserve", "lease") and answer.status == OK:
        word = _lent(step, row, answer)
    elif row["kind"] == "coupon":
        _kept(step, row["about"], _asked_code(row), OK if answer.status == OK else word)
    if word != NO_ANSWER:
        requesting.done(step, row["id"])
    if answer.status != OK:
        step.memory.refused_until[row["about"]] = step.now.mono_ms + PAUSE_MS
    _tell_waiting(step, row["id"], "" if word == OK else word)


def _asked_code(row: Row) -> str:
    return str(requesting.body(row)["code"])


def _kept(step: Step, sale: str, code: str, word: str) -> None:
    """Head office keeps a coupon for a sale, or not; what it keeps for one that went on without it is let go."""
    if not _is_over(step, sale):
        step.memory.coupons[sale, code] = word
        _note_kept(step)
    elif word == OK and code not in {row["code"] for row in step.tx.coupons.used_on(sale)}:
        _let_go(step, sale, code)


def _let_go(step: Step, sale: str, code: str) -> None:
    requesting.request(step, "release", {"reservation": None, "coupon": code, "sale": sale}, about=sale)


def _note_kept(step: Step) -> None:
    """After a crash it is known, too, what is to be let go when a sale goes on without it."""
    kept = sorted(pair for pair, word in step.memory.coupons.items() if word in (OK, OF_ANOTHER_LIFE))
    if kept:
        step.tx.memory.set_meta(COUPONS_KEPT, json.dumps([_who(step)["incarnation"], kept]))
    else:
        step.tx.memory.forget_meta(COUPONS_KEPT)


def go_on(step: Step) -> None:
    """The process has begun: what head office kept for sales that are not over stands.

    In a new incarnation the database may be older than what was done with a coupon: it is asked for again.
    """
    life, kept = json.loads(step.tx.memory.meta(COUPONS_KEPT) or '["", []]')
    word = OK if life == _who(step)["incarnation"] else OF_ANOTHER_LIFE
    for sale, code in kept:
        step.memory.coupons[sale, code] = word


def _tell_waiting(step: Step, req_id: str, word: str) -> None:
    for name, parked in step.memory.parked.items():
        if req_id in parked.ids:
            said = ", ".join(filter(None, (parked.said, word)))
            step.memory.parked[name] = replace(parked, ids=parked.ids - {req_id}, said=said)


def _lent(step: Step, row: Row, answer: ports.Answered) -> str:
    """Take a lease; NO_ANSWER where this text is none: the request stays open, so that what was lent is not lost."""
    try:
        claims = _opened(step, answer)
    except (SignatureRefused, MessageError) as refused:
        reason = refused.reason if isinstance(refused, SignatureRefused) else "malformed"
        alerting.device(step, alerting.SYNC_SUBJECT, REFUSED_LEASE, standing=True, detail=f"{row['kind']}: {reason}")
        return NO_ANSWER
    alerting.device(step, alerting.SYNC_SUBJECT, REFUSED_LEASE, standing=False)
    own = (step.settings.station.id, step.tx.memory.meta("incarnation"))
    if (claims.station, claims.incarnation) != own:
        step.audit("head-office", "head_office", "lease_refused", claims.lease, reason="not ours", result="refused")
        return "not_ours"
    leasing.received(
        step,
        lease=claims.lease,
        kind=claims.kind,
        subject=claims.subject,
        granted=claims.amount,
        expires_ms=parse_time(claims.expires),
        sale=claims.sale,
    )
    if claims.kind == BUDGET:
        _end_older(step, claims)
    elif claims.sale is not None and _is_over(step, claims.sale):
        leasing.close_out(step, claims.lease)
    return OK


def _opened(step: Step, answer: ports.Answered) -> LeaseClaims:
    text = answer.body.get("lease")
    if not isinstance(text, str) or step.pinned is None:
        raise MessageError("an answer without a lease")
    now_ms = None if step.stamp.clock == "unknown" else step.stamp.wall_ms
    return LeaseClaims.from_claims(open_signed(text, step.pinned, now_ms))


def _end_older(step: Step, claims: LeaseClaims) -> None:
    """A sale takes a campaign's money from one lease: what older ones have left goes back."""
    for row in step.tx.leases.running(BUDGET, claims.subject):
        if row["id"] != claims.lease:
            leasing.close_out(step, row["id"])


def _is_over(step: Step, sale: str) -> bool:
    row = step.tx.sales.row(sale)
    return row is None or step.tx.sales.settlement(sale) is not None


# --- a sale is over, or goes on without -------------------------------------------------------------------------------


def sale_over(step: Step, sale: str, used: frozenset[str] = frozenset(), *, settled: bool = True) -> None:
    """A sale is settled, or its price is let go: what was kept for it and not taken goes back.

    ``used``: the coupons it was settled with. The close-out in the journal gives points back; what is said beside it
    only tells people at head office sooner.
    """
    for row in step.tx.leases.of_sale(sale):
        kind = "confirm" if settled and row["spent"] else "release"
        step.publish("up/req", Req(step.new_id(), kind, {"reservation": row["id"]}))
        leasing.close_out(step, row["id"])
    kept = [code for known, code in step.memory.coupons if known == sale]
    for code in kept:
        if step.memory.coupons.pop((sale, code)) in (OK, OF_ANOTHER_LIFE) and code not in used:
            _let_go(step, sale, code)
    if kept:
        _note_kept(step)


# --- by time ----------------------------------------------------------------------------------------------------------


def look(step: Step) -> None:
    """Every few seconds: leases past their time go back, and budgets that run low are asked for again."""
    if step.now.mono_ms < step.memory.online_at_ms:
        return
    step.memory.online_at_ms = step.now.mono_ms + LOOK_EVERY_MS
    for kind in (POINTS, BUDGET):
        for row in step.tx.leases.running(kind):
            if row["state"] == LeaseState.OPEN.value and row["expires_ms"] <= step.stamp.wall_ms:
                leasing.close_out(step, row["id"])
    wanted = step.settings.loyalty.budget_minor(step.settings.station.exponent)
    if wanted is not None and _may_ask(step):
        _refill(step, *wanted)


def _refill(step: Step, lease_minor: int, low_minor: int) -> None:
    rules = step.memory.rules
    offers = () if rules is None else rules.rules.offers
    left = {budget.campaign: budget.remaining_minor if budget.live else 0 for budget in leasing.campaigns(step)}
    for campaign in sorted({offer.budget.campaign for offer in offers if offer.budget is not None}):
        is_low = left.get(campaign, 0) <= low_minor
        is_asked = requesting.open_about(step, "lease", campaign) is not None
        if is_low and not is_asked and step.memory.refused_until.get(campaign, 0) <= step.now.mono_ms:
            body = {**_who(step), "kind": BUDGET, "subject": campaign, "amount": lease_minor}
            requesting.request(step, "lease", body, about=campaign)
