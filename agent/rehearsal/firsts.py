"""What is given once: first fills that a station without a connection gives again, and overruns of them and of coupons.

The customer keeps what was given, the programme bears it. Which gift is one too many is the domain's answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agent.domain.member import MemberFacts
from agent.domain.once import Benefit, overruns
from agent.domain.rules.verdict import Evaluation
from agent.rehearsal.world import World


def known_at(world: World, member: MemberFacts, station: str) -> MemberFacts:
    """Return a member as a station without a connection knows them: of first fills it knows its own alone."""
    elsewhere = {
        offer.id
        for offer in world.rules.offers
        if offer.when.first_fill
        and not any(_station(world, gift) == station for gift in world.firsts.get(_name(offer.id, member.member), ()))
    }
    return replace(member, uses=tuple(use for use in member.uses if use.offer not in elsewhere))


def note(world: World, evaluation: Evaluation, member: str) -> None:
    """Note the first fills that a sale gave a member."""
    for offer in sorted({use.offer for use in evaluation.uses}):
        if evaluation.rules.offer(offer).when.first_fill:
            told, name = evaluation.verdict(offer), _name(offer, member)
            gift = Benefit(evaluation.sale.sale, member, world.now_ms, told.value_minor, told.points)
            world.firsts[name] = (*world.firsts.get(name, ()), gift)
            count_overruns(world, name, world.firsts[name])


def forget(world: World, evaluation: Evaluation, member: str) -> None:
    """Undo that: the sale was given back whole, or belongs to somebody else."""
    for offer in sorted({use.offer for use in evaluation.uses}):
        name = _name(offer, member)
        if name in world.firsts:
            left = tuple(gift for gift in world.firsts[name] if gift.sale != evaluation.sale.sale)
            world.firsts[name] = left
            count_overruns(world, name, left)


def count_overruns(world: World, benefit: str, given: Iterable[Benefit], whole_minor: int | None = None) -> None:
    """Post what a benefit gave beyond once, and take back what no longer is."""
    found = overruns(benefit, given, whole_minor)
    for over in world.overruns:
        if over.benefit == benefit and over not in found:
            back = [replace(leg, points=-leg.points) for leg in over.postings]
            world.post(None, over.sale, f"no overrun {len(world.keys)}", back)
    for over in found:
        if over not in world.overruns:
            world.post(None, over.sale, f"overrun {len(world.keys)}", over.postings)
    others = (over for over in world.overruns if over.benefit != benefit)
    world.overruns = tuple(sorted((*others, *found), key=lambda over: (over.sale, over.benefit)))


def _name(offer: str, member: str) -> str:
    return f"{offer}:{member}"


def _station(world: World, gift: Benefit) -> str:
    return world.sales[gift.sale].evaluation.sale.station
