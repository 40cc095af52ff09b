"""What a discount is worth on given line nets, exact and rounded once, after its own caps.

Knows no other offer, no payable, no program cap and no budget; those are met in stages.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.domain.rules.conditions import Case, amount_limit_code, window_name
from agent.domain.rules.coupons import unchecked
from agent.domain.rules.model import (
    AmountOff,
    Basis,
    FixedPrice,
    Offer,
    Percent,
    PerLitre,
    Scope,
    SpendThreshold,
)
from agent.domain.rules.verdict import Code, Reason
from agent.domain.units import MILLI_LITRES_TIMES_MILLI_PRICE, half_up

BASIS_POINTS = 10_000
Nets = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Worth:
    """What an offer wants (``desired``) and what its own caps leave of it (``own``), with what trimmed it so far.

    ``weights``: how the value falls on the matching lines, ``None`` for as they still cost. ``refused``: why it is
    nothing.
    """

    desired: int
    own: int
    trims: tuple[Reason, ...] = ()
    weights: tuple[int, ...] | None = None
    refused: Reason | None = None


def follows_running_net(offer: Offer) -> bool:
    """Return whether an offer's worth depends on what earlier offers took."""
    return isinstance(offer.effect, Percent | SpendThreshold) and offer.effect.basis is Basis.RUNNING


def worth(case: Case, offer: Offer, nets: Nets) -> Worth:
    """Return what an offer is worth where each line of the sale still costs ``nets``."""
    places = case.matching(offer)
    terms = offer.effect
    if isinstance(terms, AmountOff | SpendThreshold):
        desired = terms.off_minor if isinstance(terms, AmountOff) else _threshold(case, terms, places, nets)
        if desired == 0 and isinstance(terms, SpendThreshold):
            running = sum(nets[index] for index in places)
            return Worth(0, 0, refused=Reason(Code.THRESHOLD_NOT_MET, terms.per_minor, running))
        return _own(case, offer, Worth(desired, desired))
    exact, unit = _exact(case, offer, nets, None)
    desired = half_up(sum(exact), unit)
    cap_ml = offer.caps.volume_ml
    if cap_ml is None:
        return _own(case, offer, Worth(desired, desired, (), exact))
    exact, unit = _exact(case, offer, nets, cap_ml)
    capped = half_up(sum(exact), unit)
    if capped >= desired:
        return _own(case, offer, Worth(desired, desired, (), exact))
    volume_ml = sum(case.sale.lines[index].volume_ml for index in places)
    return _own(case, offer, Worth(desired, capped, (Reason(Code.CAPPED_VOLUME, cap_ml, volume_ml),), exact))


def _threshold(case: Case, terms: SpendThreshold, places: tuple[int, ...], nets: Nets) -> int:
    if terms.basis is Basis.GROSS:
        base = sum(case.sale.lines[index].amount_minor for index in places)
    else:
        base = sum(nets[index] for index in places)
    return terms.off_minor * min(terms.repeat, base // terms.per_minor)


def _exact(case: Case, offer: Offer, nets: Nets, cap_ml: int | None) -> tuple[tuple[int, ...], int]:
    """Return the exact value of an offer on each matching line as numerators, and the unit they are counted in.

    A volume cap takes the litres of earlier lines first; on the line in which it ends a percentage is of that part.
    """
    places, terms = case.matching(offer), offer.effect
    lines = [case.sale.lines[index] for index in places]
    volumes = _first_litres([line.volume_ml for line in lines], cap_ml)
    if isinstance(terms, PerLitre | FixedPrice):
        scale = 10**case.sale.exponent
        if isinstance(terms, PerLitre):
            offs = [terms.off_milli] * len(lines)
        else:
            offs = [max(0, line.unit_price_milli - terms.price_milli) for line in lines]
        values = [volume * off * scale for volume, off in zip(volumes, offs, strict=True)]
        return tuple(values), MILLI_LITRES_TIMES_MILLI_PRICE
    assert isinstance(terms, Percent), f"{offer.gives} is no discount"
    whole = [line.amount_minor for line in lines] if terms.basis is Basis.GROSS else [nets[index] for index in places]
    split = next((line.volume_ml for line, ml in zip(lines, volumes, strict=True) if ml < line.volume_ml), 1)
    shares = [
        base * terms.share_bp * (ml if ml < line.volume_ml else split)
        for base, line, ml in zip(whole, lines, volumes, strict=True)
    ]
    unit = BASIS_POINTS * split
    if terms.scope is Scope.LINE:
        return tuple(half_up(share, unit) for share in shares), 1
    return tuple(shares), unit


def _first_litres(volumes: list[int], cap_ml: int | None) -> list[int]:
    if cap_ml is None:
        return volumes
    left, taken = cap_ml, []
    for volume_ml in volumes:
        taken.append(min(left, volume_ml))
        left -= taken[-1]
    return taken


def _own(case: Case, offer: Offer, found: Worth) -> Worth:
    """Return a worth after a coupon's balance and the offer's own caps and limits on money."""
    desired, capped, trims = found.desired, found.own, found.trims
    coupon = case.coupons.get(offer.id)
    if coupon is not None and coupon.balance_minor is not None:
        desired = min(desired, coupon.balance_minor)
        trims = () if capped >= desired else trims
    own = min(desired, capped)
    caps = offer.caps
    if caps.amount_minor is not None and caps.amount_minor < own:
        trims = (*trims, Reason(Code.CAPPED_AMOUNT, caps.amount_minor, own, "offer"))
        own = caps.amount_minor
    if caps.share_bp is not None:
        gross = sum(case.sale.lines[index].amount_minor for index in case.matching(offer))
        share = half_up(gross * caps.share_bp, BASIS_POINTS)
        if share < own:
            trims = (*trims, Reason(Code.CAPPED_AMOUNT, share, own, "share"))
            own = share
    for limit in caps.limits:
        if limit.amount is not None:
            used = case.used(offer, limit)[1]
            if limit.amount - used < own:
                trims = (*trims, Reason(amount_limit_code(limit), limit.amount, used, window_name(limit)))
                own = limit.amount - used  # above 0: an exhausted limit has refused the offer before
    refused = None if coupon is None else unchecked(offer, coupon, own)
    if desired == 0:
        refused = Reason(Code.CAPPED_AMOUNT, 1, 0, "no value")
    elif own == 0:
        refused = trims[-1]
    return Worth(desired, own, trims, found.weights, refused)
