"""Coupons in the pipeline: what a token or code stands for, what a sale used, what comes back with a full refund.

Knows signatures by ``sync.signing`` and a coupon's life by ``agent.domain.coupons``. What it gives, a rule decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from agent.domain import coupons
from agent.domain.coupons import Claims, Coupon, CouponError, CouponUsed
from agent.domain.rules.facts import PresentedCoupon
from agent.domain.rules.model import Kind, RuleSet
from agent.domain.rules.verdict import CouponUse
from agent.pipeline import fencing
from agent.pipeline.step import RequestRefused, Step
from agent.store.spending import COUPON_HOLD
from sync.signing import SignatureRefused, open_signed

TOKEN_DOTS = 2
"""A signed token has three parts; a plain code has no dot twice."""

CONFIRMED = "ok"
TAKEN = {"coupon_held": "is kept for another sale", "coupon_used": "was used"}
"""What head office answers to a coupon."""

_SIGNATURE_HINTS = {
    "malformed": "give the whole text of the coupon, from the first to the last character",
    "unknown_key": "the coupon was signed by another head office, or this station lacks its newest keys",
    "bad_signature": "a character is wrong or the coupon is forged: read it again",
    "not_yet_valid": "it may be used from the day on that is told here",
    "expired": "go on without it",
}


def presented(step: Step, sale: str, given: Sequence[str], rules: RuleSet) -> tuple[PresentedCoupon, ...]:
    """Return what the engine may believe of the coupons a customer shows, tokens or codes known here.

    Raises RequestRefused for a bad signature, a code that is not known here, an offer that is no coupon, one that
    another sale's quote holds, one that is shown twice, and any at a station that is fenced.
    """
    if given and fencing.fenced(step):
        raise RequestRefused(
            "this station takes no coupons now: head office hears another PC under its name",
            hint="settle without it; what to do about the alarm FENCED: docs/supervisor.md",
        )
    found = [_presented(step, sale, text, rules) for text in given]
    codes = [coupon.code for coupon in found]
    for code in codes:
        if codes.count(code) > 1:
            raise RequestRefused(f"coupon {code} is given twice", hint="give each coupon once", exit_code=2)
    return tuple(found)


def _presented(step: Step, sale: str, text: str, rules: RuleSet) -> PresentedCoupon:
    claims = _token(step, text) if text.count(".") == TOKEN_DOTS else None
    code = text if claims is None else claims.code
    if claims is not None:
        _learn(step, claims)
    known = _known(step, code, claims)
    if known is None:
        raise RequestRefused(
            f"coupon {code} is not known at this station",
            hint="scan or type the whole signed coupon; a code alone can be asked only of head office",
        )
    offer = known.claims.offer
    if not any(entry.id == offer and entry.kind is Kind.COUPON for entry in rules.offers):
        raise RequestRefused(
            f"coupon {code} is for the offer {offer}, which the rules in force do not have as a coupon",
            hint=f"rules version {rules.version} decides; ask who published them, or go on without it",
        )
    holder = step.tx.quotes.holder(COUPON_HOLD, code)
    if holder not in (None, sale):
        raise RequestRefused(
            f"coupon {code} is held by sale {holder}, which is being paid",
            hint=f"settle that one first, or let it go: forecourt sales unlock {holder}",
        )
    return PresentedCoupon(
        code=code,
        offer=offer,
        member=_holder(step, known.claims.member),
        expires_on=known.claims.expires_on,
        used=known.used,
        balance_minor=known.balance_minor,
        station=known.claims.station,
        confirmed=_confirmed(step, sale, code),
    )


def _confirmed(step: Step, sale: str, code: str) -> bool:
    """Return whether head office keeps the coupon for this sale. Raises RequestRefused where another sale has it."""
    word = step.memory.coupons.get((sale, code))
    if word in TAKEN:
        raise RequestRefused(f"coupon {code}: head office says it {TAKEN[word]}", hint=_SIGNATURE_HINTS["expired"])
    return word == CONFIRMED


def codes(step: Step, given: Sequence[str]) -> list[str]:
    """Return the codes of what a customer shows, of those that are signed or known here; refuses nothing."""
    found = []
    for text in given:
        try:
            if text.count(".") == TOKEN_DOTS:
                found.append(_token(step, text).code)
            elif step.tx.coupons.one(text) is not None:
                found.append(text)
        except RequestRefused:
            continue
    return found


def _holder(step: Step, member: str | None) -> str | None:
    """Return whose coupon it is by now: head office may have merged the member it was signed for into another one."""
    row = None if member is None else step.tx.members.by_id(member)
    return member if row is None else str(row["id"])


def _token(step: Step, text: str) -> Claims:
    if step.pinned is None:
        raise RequestRefused(
            "this station has no key of head office to check coupons with",
            hint="put the path of head office's public keys into [head_office] keys_file",
        )
    try:
        return coupons.claims_of(open_signed(text, step.pinned, step.stamp.wall_ms))
    except SignatureRefused as refused:
        raise RequestRefused(f"the coupon is refused: {refused}", hint=_SIGNATURE_HINTS[refused.reason]) from refused
    except CouponError as failure:
        raise RequestRefused(
            f"the signed text is no coupon: {failure}", hint=_SIGNATURE_HINTS["malformed"]
        ) from failure


def _learn(step: Step, claims: Claims) -> None:
    step.tx.coupons.learn({**claims.record(), "learned_ms": step.stamp.wall_ms})


def _known(step: Step, code: str, claims: Claims | None = None) -> Coupon | None:
    """Return a coupon as it stands: what its signed text says, now or when it was first shown, and what sales used."""
    row = step.tx.coupons.one(code)
    if row is None:
        return None
    if claims is None:
        expires_on = None if row["expires_on"] is None else date.fromisoformat(row["expires_on"])
        claims = Claims(code, row["offer"], row["member"], row["station"], expires_on, row["balance_minor"])
    uses = [
        CouponUsed(use["sale"], use["value_minor"], use["left_minor"])
        for use in step.tx.coupons.uses(code)
        if use["returned_ms"] is None
    ]
    return Coupon(claims, tuple(uses))


def use(step: Step, sale: str, source: str, used: Sequence[CouponUse]) -> None:
    """Note what coupons gave on a settled sale; each is remembered for ever."""
    for entry in used:
        coupon = _known(step, entry.code)
        assert coupon is not None, "a coupon is known before it is quoted"
        coupons.use(coupon, CouponUsed(sale, entry.value_minor, entry.left_minor))
        step.tx.coupons.use(
            {
                "sale": sale,
                "code": entry.code,
                "source": source,
                "offer": entry.offer,
                "value_minor": entry.value_minor,
                "left_minor": entry.left_minor,
                "used": int(entry.used),
                "at_ms": step.stamp.wall_ms,
            }
        )


def give_back(step: Step, sale: str) -> list[str]:
    """The whole sale was given back: its coupons are as before it; returns their codes."""
    codes = []
    for row in step.tx.coupons.used_on(sale):
        code = row["code"]
        before = _known(step, code)
        assert before is not None, "a coupon that was used is known"
        step.tx.coupons.give_back(sale, code, step.stamp.wall_ms)
        for entry in coupons.give_back(before, sale).uses:
            used = not entry.left_minor
            step.tx.coupons.leave(entry.sale, code, entry.left_minor, used=used)
        codes.append(code)
    return codes
