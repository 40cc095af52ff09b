"""Sales of a script: quoted and settled, given back, linked late or to somebody else, by the steps a station takes.

Prices, postings, growth and reservations are the domain's; nothing is computed here.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from agent.domain import coupons, growth, leases, pools, settlement
from agent.domain.growth import Grown
from agent.domain.leases import Taken
from agent.domain.ledger import Account, Refund, Reversal, SettledPoints, release, reverse, usable_points
from agent.domain.once import SETTLED, refund_fact
from agent.domain.rules.engine import evaluate
from agent.domain.rules.facts import BudgetView, CampaignBudget, LocalInstant, Presented, SaleFacts
from agent.domain.rules.verdict import Evaluation
from agent.rehearsal import answer, couponing, firsts
from agent.rehearsal.answer import Answer
from agent.rehearsal.events import GiveBack, Link, OfSale, Sell
from agent.rehearsal.world import EventRefused, Sold, World, added


def sell(world: World, event: Sell, lifted_ms: int) -> Answer:
    """Quote a sale, reserve what it takes, and settle it unless only a quote is asked."""
    known = world.sales.get(event.sale)
    if known is not None and known.settled is not None:
        raise EventRefused(f"sale {event.sale} is settled", "give the sale another name")
    ended_ms = lifted_ms if event.ended_ms is None else event.ended_ms
    world.now_ms = max(world.now_ms, ended_ms)
    if known is not None:
        _let_go(world, event.sale)
    evaluation, lease = _quote(world, event, lifted_ms if event.lift_seen else ended_ms)
    world.sales[event.sale] = Sold(evaluation, evaluation.instant, ended_ms, lease, event.offline, event.held)
    _reserve(world, event, evaluation, lease)
    if not event.quote_only:
        return _settle(world, event.sale)
    return {"sale": event.sale, "state": "quoted", **answer.evaluated(evaluation, world.language)}


def settle(world: World, event: OfSale) -> Answer:
    """Commit a quote as it was made."""
    if world.sold(event.sale).settled is not None:
        raise EventRefused(f"sale {event.sale} is settled", "it must not be paid a second time")
    return _settle(world, event.sale)


def void(world: World, event: OfSale) -> Answer:
    """Give the whole net back, or let a quote go."""
    sold = world.sold(event.sale)
    if sold.settled is None:
        _let_go(world, event.sale)
        del world.sales[event.sale]
        return {"sale": event.sale, "state": "released"}
    return _give_back(world, event.sale, sold.settled.net_minor - sold.refunded_minor)


def refund(world: World, event: GiveBack) -> Answer:
    """Give a part of the net back."""
    if world.sold(event.sale).settled is None:
        raise EventRefused(f"sale {event.sale} is not settled", "nothing was paid that could be given back")
    return _give_back(world, event.sale, event.amount_minor)


def relink(world: World, event: Link) -> Answer:
    """Move the points of a settled sale to another member, or to nobody; the money paid does not change."""
    sold, settled = _settled(world, event.sale)
    if sold.refunded_minor or sold.voided:
        raise EventRefused(f"money of sale {event.sale} was given back", "its member cannot be changed any more")
    if sold.holder is None:
        raise EventRefused(f"sale {event.sale} has no member", "link it by a late_link event")
    before = sold.holder
    if before.member == event.member:
        raise EventRefused(f"sale {event.sale} is linked to {event.member}", "name the member it belongs to")
    back = _reverse(world, sold, settled.net_minor)
    world.post(before.member, event.sale, f"unlinked {len(world.keys)}", back.postings, back.lots)
    _uncount(world, sold, settled.net_minor)
    world.sales[event.sale] = replace(sold, holder=None, points=None)
    fresh = _hold(world, event)
    postings = (*back.postings, *(() if fresh is None else fresh.postings))
    return {
        "sale": event.sale,
        "old_member": before.member,
        "new_member": event.member,
        "points_reversed": back.points_reversed,
        "unrecovered": back.unrecovered,
        "points_earned": 0 if fresh is None else fresh.points_earned,
        "postings": answer.postings(postings),
    }


def late_link(world: World, event: Link) -> Answer:
    """Grant the points of a settled sale that had no member; the money paid does not change."""
    sold, settled = _settled(world, event.sale)
    if settled.evaluation.sale.purpose is not None:
        raise EventRefused(f"sale {event.sale} is no customer's", "fuel booked to a purpose earns nothing")
    if sold.refunded_minor or sold.voided:
        raise EventRefused(f"money of sale {event.sale} was given back", "it cannot be linked any more")
    if sold.holder is not None:
        raise EventRefused(f"sale {event.sale} is linked to {sold.holder.member}", "change it by a relink event")
    fresh = _hold(world, event)
    assert fresh is not None, "a late link names its member"
    return {
        "sale": event.sale,
        "new_member": event.member,
        "points_earned": fresh.points_earned,
        "postings": answer.postings(fresh.postings),
    }


def pass_review(world: World, event: OfSale) -> Answer:
    """Let the held points of a sale go: they may be spent from now on."""
    sold, _ = _settled(world, event.sale)
    lots = () if sold.holder is None else world.members[sold.holder.member or ""].lots
    lot = next((lot for lot in lots if lot.id == event.sale), None)
    if sold.holder is None or sold.holder.member is None or lot is None:
        raise EventRefused(f"sale {event.sale} has no points of a member", "nothing is held")
    member = sold.holder.member
    done, postings = release(member, lot, world.now_ms)
    world.post(member, event.sale, "released", postings)
    account = world.members[member]
    lots = tuple(replace(done, points=known.points) if known.id == lot.id else known for known in account.lots)
    world.members[member] = replace(account, lots=lots)
    world.sales[event.sale] = replace(sold, held=False)
    return {"sale": event.sale, "points": done.points, "postings": answer.postings(postings)}


def _quote(world: World, event: Sell, instant_ms: int) -> tuple[Evaluation, str | None]:
    """Return the evaluation, and the points lease it spends from (``None``: from the balance, online)."""
    at = LocalInstant(instant_ms, world.setting.zone, event.lift_seen)
    today = at.day
    member = None if event.member is None else world.facts(event.member, today)
    if member is not None and event.offline:
        member = firsts.known_at(world, member, event.station)
    lease, usable = _usable(world, event)
    campaigns = _campaigns(world, event.station)
    uses = world.station_uses.get(event.station, ())
    presented = replace(event.presented, coupons=tuple(couponing.present(world, code, event) for code in event.coupons))
    program = world.rules.program
    facts = SaleFacts(
        event.sale, event.station, program.currency, program.exponent, event.lines, presented, event.purpose,
        event.rollback,
    )  # fmt: skip
    return evaluate(facts, member, world.rules, BudgetView(campaigns, usable, uses), at), lease


def _usable(world: World, event: Sell) -> tuple[str | None, int | None]:
    """Return the lease and the points that a member may spend: of a lease when offline, of what is free else."""
    if event.member is None:
        return None, None
    usable = usable_points(world.member(event.member).lots, world.now_ms, world.today)
    if not event.offline:
        pool = world.points.get(event.member)
        return None, usable if pool is None else min(usable, pool.free)
    for lease_id, (station, lease) in world.leases.items():
        points = lease.points(world.now_ms)
        if station == event.station and lease.subject == event.member and points is not None:
            return lease_id, min(usable, points)
    return None, None


def _campaigns(world: World, station: str) -> tuple[CampaignBudget, ...]:
    """Return the leases of campaigns at a station: of each campaign a live one, else the last it had."""
    found: dict[str, CampaignBudget] = {}
    for home, lease in world.leases.values():
        if home == station and lease.subject in world.budgets:
            budget = lease.campaign(world.now_ms)
            if budget.live or not found.get(lease.subject, budget).live:
                found[lease.subject] = budget
    return tuple(found[campaign] for campaign in sorted(found))


def _reserve(world: World, event: Sell, evaluation: Evaluation, lease: str | None) -> None:
    until_ms = world.now_ms + event.hold_ms
    for lease_id, amount in _taken(evaluation, lease):
        station, known = world.leases[lease_id]
        kept = leases.reserve(known, event.sale, amount, now_ms=world.now_ms, until_ms=until_ms)
        world.leases[lease_id] = (station, kept)
    if not event.offline:
        couponing.reserve(world, evaluation, until_ms)


def _taken(evaluation: Evaluation, points_lease: str | None) -> list[tuple[str, int]]:
    """Return what a sale takes of which lease."""
    taken = [(use.lease, use.amount_minor) for use in evaluation.budgets]
    if points_lease is not None and evaluation.points_redeemed:
        taken.append((points_lease, evaluation.points_redeemed))
    return taken


def _let_go(world: World, sale: str) -> None:
    for lease_id, (station, lease) in world.leases.items():
        world.leases[lease_id] = (station, leases.release(lease, sale))
    for code, coupon in world.coupons.items():
        world.coupons[code] = coupons.release(coupon, sale)


def _settle(world: World, sale: str) -> Answer:
    sold = world.sales[sale]
    evaluation = sold.evaluation
    member = None if evaluation.member is None else evaluation.member.member
    settled = settlement.settle(
        evaluation,
        rule_hash=world.digest,
        wallet=settlement.Wallet() if member is None else _wallet(world, member),
        ended_ms=sold.ended_ms,
        now_ms=world.now_ms,
        held=sold.held,
    )
    world.seq += 1
    for lease_id, amount in _taken(evaluation, sold.points_lease):
        _commit(world, lease_id, sale, amount)
    couponing.use_all(world, evaluation, offline=sold.offline)
    station = evaluation.sale.station
    world.station_uses[station] = added(world.station_uses.get(station, ()), evaluation.station_uses, 1)
    holder = settled if settled.member is not None else None
    points = None if holder is None else _points(settled, holder)
    world.sales[sale] = replace(sold, settled=settled, holder=holder, points=points)
    _grant(world, settled, SETTLED)
    return {
        "sale": sale,
        "state": "settled",
        **answer.evaluated(evaluation, world.language),
        "growth": settled.growth,
        "postings": answer.postings(settled.postings),
    }


def _commit(world: World, lease_id: str, sale: str, amount: int) -> None:
    station, lease = world.leases[lease_id]
    after = leases.commit(lease, sale, amount)
    world.leases[lease_id] = (station, after)
    home, key = world.pool_of(lease)
    home[key] = pools.spent(home[key], lease_id, f"settled {sale} {lease_id}", Taken(sale, amount))


def _grant(world: World, settled: settlement.Settlement, fact: str) -> None:
    """Write what a settlement gives its member: postings, the lot, the visit, counts and growth."""
    if settled.member is None:
        return
    world.post(settled.member, settled.sale, fact, settled.postings, () if settled.lot is None else (settled.lot,))
    evaluation = settled.evaluation
    grown = Grown(evaluation.instant.day, settled.growth)
    world.count(settled.member, evaluation.uses, 1, 1, grown)
    firsts.note(world, evaluation, settled.member)


def _wallet(world: World, member: str) -> settlement.Wallet:
    return settlement.Wallet(world.member(member).lots, world.debt(member))


def _settled(world: World, sale: str) -> tuple[Sold, settlement.Settlement]:
    sold = world.sold(sale)
    if sold.settled is None:
        raise EventRefused(f"sale {sale} is not settled", "settle it before")
    return sold, sold.settled


def _hold(world: World, event: Link) -> settlement.Settlement | None:
    """Settle a sale again for the member it belongs to, as the original rules would have; only points follow. A review
    of the sale goes on.
    """
    sold, settled = _settled(world, event.sale)
    if event.member is None or settled.evaluation.sale.purpose is not None:
        return None
    facts = replace(settled.evaluation.sale, presented=Presented(event.level), rollback=None)
    member = world.facts(event.member, world.today)
    station = settled.evaluation.sale.station
    view = BudgetView(station_uses=world.station_uses.get(station, ()))
    evaluation = evaluate(facts, member, world.rules, view, sold.instant)
    fresh = settlement.settle(
        evaluation,
        rule_hash=world.digest,
        wallet=_wallet(world, event.member),
        ended_ms=sold.ended_ms,
        now_ms=world.now_ms,
        held=sold.held,
    )
    world.sales[event.sale] = replace(sold, holder=fresh, points=_points(settled, fresh))
    _grant(world, fresh, f"linked {len(world.keys)}")
    return fresh


def _give_back(world: World, sale: str, amount_minor: int) -> Answer:
    sold, settled = _settled(world, sale)
    if sold.voided:
        raise EventRefused(f"sale {sale} was given back in full", "nothing is left to give back")
    left = settled.net_minor - sold.refunded_minor
    if amount_minor > left or (amount_minor == 0 and left > 0):
        raise EventRefused(
            f"{amount_minor} asked, {left} of {settled.net_minor} left to give back", "name an amount up to that"
        )
    back = None if sold.holder is None else _reverse(world, sold, amount_minor)
    if back is not None:
        whole = refund_fact(sold.refunded_minor + amount_minor)
        world.post(back.settled.member, sale, whole, back.postings, back.lots)
        _uncount(world, sold, amount_minor)
    after = sold.refunded_minor + amount_minor
    full = after == settled.net_minor
    world.seq += 1
    _return_leases(world, sale, sold, 0 if back is None else back.points_returned, full=full)
    if full:
        station = settled.evaluation.sale.station
        uses = added(world.station_uses.get(station, ()), settled.evaluation.station_uses, -1)
        world.station_uses[station] = uses
        couponing.give_back(world, settled.evaluation)
    points = sold.points if back is None else back.settled
    world.sales[sale] = replace(sold, refunded_minor=after, voided=full, points=points)
    return {
        "sale": sale,
        "state": "voided" if full else "settled",
        "refunded_minor": after,
        "left_minor": settled.net_minor - after,
        "points_returned": 0 if back is None else back.points_returned,
        "points_reversed": 0 if back is None else back.points_reversed,
        "unrecovered": 0 if back is None else back.unrecovered,
        "debt": 0 if back is None else back.debt,
        "postings": answer.postings(() if back is None else back.postings),
    }


def _reverse(world: World, sold: Sold, amount_minor: int) -> Reversal:
    """Return what giving an amount of the paid net back does to the points of whoever holds them."""
    assert sold.points is not None, "only a sale with a member has points"
    points, program = sold.points, world.rules.program
    mine = [
        leg.points for leg in world.postings(points.member) if leg.account is Account.EXPIRED and leg.lot == points.sale
    ]
    told = [leg.points for leg in points.given_back if leg.account is Account.EXPIRED]
    asked = Refund(
        refunded_so_far_minor=sold.refunded_minor,
        refund_minor=amount_minor,
        now_ms=world.now_ms,
        today=world.today,
        policy=program.reversal,
        grace_days=program.returned_lot_grace_days,
        debt=world.debt(points.member),
    )
    known = replace(points, expired_points=sum(mine) - sum(told))
    return reverse(known, asked, world.members[points.member].lots)


def _points(settled: settlement.Settlement, holder: settlement.Settlement) -> SettledPoints:
    """Return what refunds must know of a holder's points: parts of the net that was paid, whoever holds them."""
    net_minor, terms = settled.net_minor, holder.evaluation.earned

    def earned_on(smaller_net_minor: int) -> int:
        share = Fraction(smaller_net_minor, net_minor) if net_minor else Fraction(0)
        return sum(term.points_at(share) for term in terms)

    return replace(settlement.refundable(holder), net_minor=net_minor, earned_on=earned_on)


def _uncount(world: World, sold: Sold, amount_minor: int) -> None:
    """Growth follows what is given back; the visit and the use counts go with the whole."""
    assert sold.settled is not None
    assert sold.holder is not None
    assert sold.holder.member is not None
    net_minor, before = sold.settled.net_minor, sold.refunded_minor
    full = before + amount_minor == net_minor
    gone = growth.taken_back(sold.holder.growth, net_minor, before, amount_minor)
    counts = sold.holder.evaluation.uses if full else ()
    world.count(sold.holder.member, counts, -1, -1 if full else 0, Grown(sold.instant.day, -gone))
    if full:
        firsts.forget(world, sold.holder.evaluation, sold.holder.member)


def _return_leases(world: World, sale: str, sold: Sold, points: int, *, full: bool) -> None:
    """Give back to leases what came back: returned points at once, a campaign's money with the whole."""
    assert sold.settled is not None
    back = [(use.lease, use.amount_minor) for use in sold.settled.evaluation.budgets] if full else []
    if sold.points_lease is not None and points:
        back.append((sold.points_lease, points))
    for lease_id, amount in back:
        station, lease = world.leases[lease_id]
        world.leases[lease_id] = (station, leases.give_back(lease, sale, amount))
        home, key = world.pool_of(lease)
        home[key] = pools.given_back(home[key], lease_id, f"given back {sale} {world.seq} {lease_id}", sale, amount)
