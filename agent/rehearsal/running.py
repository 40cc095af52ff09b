"""What head office does in a script: members join, points and coupons are granted, lots end, tiers are evaluated,
budgets are raised, leases are lent and called in.

Computes nothing itself: each step is one of the domain.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agent.domain import coupons, leases, once, pools, tiers
from agent.domain.coupons import Claims, Coupon
from agent.domain.growth import Grown, Window
from agent.domain.ledger import Account, Posting, expire, expiry_day, usable_points
from agent.domain.once import granted_lot
from agent.domain.pools import Granted, Pool
from agent.domain.tiers import TierState
from agent.rehearsal import answer
from agent.rehearsal.answer import Answer
from agent.rehearsal.events import Budget, Day, Enrol, GrantCoupon, GrantPoints, Lease, LeaseAction, Reborn, Today
from agent.rehearsal.world import EventRefused, Member, World


def enrol(world: World, event: Enrol) -> Answer:
    """Let a member join with what is told; of one who has joined, tags, birthday and first fill are replaced."""
    told = event.member
    known = world.members.get(told.member)
    if known is None:
        grown = (Grown(world.today, told.growth),) if told.growth else ()
        world.members[told.member] = Member(told, TierState(told.tier), grown, told.visits or 0)
    else:
        world.members[told.member] = replace(known, facts=told)
    return {"member": told.member, "joined": known is None}


def grant(world: World, event: GrantPoints | GrantCoupon) -> Answer:
    """Grant points once per key, or issue a coupon once per code."""
    if isinstance(event, GrantCoupon):
        return _issue(world, event)
    account = world.member(event.member)
    given = {lot.id for lot in account.lots if lot.source == "grant"}
    program = world.rules.program
    window = Window(program.growth_window, program.growth_length)
    due = event.tier is None or tiers.gift_due(account.gifts, event.tier, window, world.today)
    months = program.validity_months
    ends = expiry_day(world.today, months) if event.expires_on is None and months is not None else event.expires_on
    lot = granted_lot(event.key, event.points, world.now_ms, ends)
    if event.usable_from_ms is not None:
        lot = replace(lot, usable_from_ms=event.usable_from_ms)
    postings = once.grant(event.member, lot, given, world.debt(event.member)) if due else ()
    if postings and event.tier is not None:
        world.members[event.member] = replace(account, gifts=(*account.gifts, (event.tier, world.today)))
    world.post(event.member, f"{event.key} {event.member}", "granted", postings, (lot,))
    return {
        "member": event.member,
        "key": event.key,
        "granted": bool(postings),
        "points": event.points if postings else 0,
        "postings": answer.postings(postings),
    }


def _issue(world: World, event: GrantCoupon) -> Answer:
    claims = Claims(event.code, event.offer, event.member, event.station, event.expires_on, event.balance_minor)
    known = world.coupons.get(event.code)
    if known is not None and known.claims != claims:
        raise EventRefused(f"coupon {event.code} was issued with other claims", "give each coupon its own code")
    if known is None:
        world.coupons[event.code] = Coupon(claims)
    return {"coupon": event.code, "granted": known is None}


def expire_lots(world: World, event: Today) -> Answer:
    """End every lot whose last day lies before today."""
    today = world.today
    legs: list[Posting] = []
    for member in _asked(world, event):
        postings = expire(member, world.members[member].lots, today)
        world.post(member, f"expired {today} {member}", str(len(world.ledger)), postings)
        legs += postings
    points = sum(leg.points for leg in legs if leg.account is Account.EXPIRED)
    return {"day": today.isoformat(), "points_expired": points, "postings": answer.postings(legs)}


def evaluate_tiers(world: World, event: Today) -> Answer:
    """Evaluate tiers today: what was lost is noted with the day from which it counts."""
    today, rows = world.today, []
    for member in _asked(world, event):
        account = world.members[member]
        growth = world.growth(account, today)
        state = tiers.evaluate(world.rules.tiers, account.tier, growth, today, world.rules.program)
        world.members[member] = replace(account, tier=state)
        rows.append({"member": member, "growth": growth, **tier(state)})
    return {"day": today.isoformat(), "members": rows}


def tier(state: TierState) -> Answer:
    """Return a tier with the downgrade that waits."""
    waits = state.pending
    return {
        "tier": state.tier,
        "falls_to": None if waits is None else waits.to,
        "falls_on": None if waits is None else waits.effective_on.isoformat(),
    }


def raise_budget(world: World, event: Budget, record: str) -> Answer:
    """Raise or lower what is free of a campaign's budget."""
    pool = world.budgets.get(event.campaign, Pool(event.campaign, 0))
    after = pools.credit(pool, record, event.amount_minor)
    world.budgets[event.campaign] = after
    return {"campaign": event.campaign, "free_minor": after.free, "balance_minor": after.balance}


def lend(world: World, event: Lease) -> Answer:
    """Grant a lease to a station, or call one in."""
    if event.action is LeaseAction.CLOSE_OUT:
        return _call_in(world, event)
    subject = event.campaign or event.member or ""
    home = world.budgets if event.campaign is not None else world.points
    if event.member is not None:
        _points_pool(world, event.member, event.amount)
    if subject not in home:
        raise EventRefused(f"campaign {subject} has no budget", "give it one by a budget event before")
    incarnation = world.incarnation(event.station)
    granted = Granted(event.lease, event.station, incarnation, event.amount, world.seq)
    home[subject] = pools.grant(home[subject], granted)
    lease = leases.Lease(event.lease, subject, incarnation, event.amount, event.expires_ms)
    world.leases.setdefault(event.lease, (event.station, lease))
    unit = world.unit_of(lease)
    return {
        "lease": event.lease,
        "station": event.station,
        f"granted_{unit}": event.amount,
        f"free_{unit}": home[subject].free,
    }


def _points_pool(world: World, member: str, wanted: int) -> None:
    """Begin a member's pool at their balance; only points that may be spent now can be lent."""
    account = world.member(member)
    if member not in world.points:
        world.points[member] = Pool(member, world.balance(Account.AVAILABLE, member))
    pool = world.points[member]
    lent = pool.balance - pool.free
    usable = usable_points(account.lots, world.now_ms, world.today) - lent
    if wanted > usable and not any(lease.amount == wanted for lease in pool.leases):
        raise EventRefused(f"{wanted} points asked, {max(0, usable)} may be spent now", "lend up to that")


def _call_in(world: World, event: Lease) -> Answer:
    if event.lease not in world.leases:
        raise EventRefused(f"there is no lease {event.lease}", "grant it by a lease event before")
    station, lease = world.leases[event.lease]
    after = leases.close_out(lease)
    world.leases[event.lease] = (station, after)
    world.close_finished()
    home, key = world.pool_of(lease)
    free = home[key].free
    return {"lease": event.lease, "station": station, "state": after.state.value, f"free_{world.unit_of(lease)}": free}


def reborn(world: World, event: Reborn, name: str) -> Answer:
    """Begin a new incarnation of a station: what was lent to earlier ones is void there and at head office."""
    world.incarnations[event.station] = name
    voided = []
    for lease_id, (station, lease) in world.leases.items():
        if station == event.station:
            after = leases.void(lease, name)
            world.leases[lease_id] = (station, after)
            if after != lease:
                voided.append(lease_id)
    for home in (world.budgets, world.points):
        for key, pool in home.items():
            home[key] = pools.voided(pool, event.station, name)
    return {"station": event.station, "incarnation": name, "leases_void": voided}


def pass_time(world: World, _: Day) -> Answer:
    """Tell the day; what comes due with time is done for every event."""
    return {"day": world.today.isoformat()}


def come_due(world: World) -> None:
    """Let downgrades take effect and reservations end whose time has come."""
    for member, account in world.members.items():
        world.members[member] = replace(account, tier=tiers.on_day(account.tier, world.today))
    for lease_id, (station, lease) in world.leases.items():
        world.leases[lease_id] = (station, leases.timed_out(lease, world.now_ms))
    for code, coupon in world.coupons.items():
        world.coupons[code] = coupons.timed_out(coupon, world.now_ms)
    world.close_finished()


def settle_pools(world: World, record: str) -> None:
    """Bring what head office may lend of a member's points up to their balance."""
    for member, pool in world.points.items():
        more = world.balance(Account.AVAILABLE, member) - pool.balance
        if more:
            world.points[member] = pools.credit(pool, f"{record} {member}", more)


def _asked(world: World, event: Today) -> Iterable[str]:
    if event.member is None:
        return sorted(world.members)
    world.member(event.member)
    return [event.member]
