"""The whole state after an event as plain data, and the proof that it hangs together.

Reads the world and changes nothing. Every list of things with an id has the id as first key.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from agent.domain import tiers
from agent.domain.coupons import Coupon
from agent.domain.leases import Lease, LeaseState
from agent.domain.ledger import Account, Lot, balances, spending_order, unbalanced, usable_points
from agent.domain.pools import Pool
from agent.rehearsal.answer import local_text, use_row
from agent.rehearsal.running import tier
from agent.rehearsal.world import Member, Sold, World

Answer = dict[str, Any]
PROGRAM = (Account.ISSUED, Account.REDEEMED, Account.EXPIRED, Account.ADJUSTED, Account.OVERRUN)


def state(world: World) -> Answer:
    """Return members, accounts of the programme, sales, coupons, budgets, leases and station counts."""
    return {
        "members": [_member(world, member, world.members[member]) for member in sorted(world.members)],
        "program": {account.value.partition(":")[2]: world.balance(account) for account in PROGRAM},
        "sales": [_sale(sale, sold) for sale, sold in sorted(world.sales.items())],
        "coupons": [_coupon(coupon) for _, coupon in sorted(world.coupons.items())],
        "budgets": [_pool("campaign", "_minor", pool) for _, pool in sorted(world.budgets.items())],
        "points_lent": [_pool("member", "_points", pool) for _, pool in sorted(world.points.items())],
        "leases": [_lease(world, *world.leases[lease]) for lease in sorted(world.leases)],
        "overruns": [
            {
                "sale": over.sale,
                "benefit": over.benefit,
                "member": over.member,
                "value_minor": over.value_minor,
                "points": over.points,
            }
            for over in world.overruns
        ],
        "station_uses": [
            {"station": station, **use_row(use, "STATION")}
            for station, uses in sorted(world.station_uses.items())
            for use in uses
        ],
    }


def check(world: World) -> Answer:
    """Return whether postings sum to 0 and every projection agrees with what it is made of."""
    total = sum(posting.points for posting in world.postings())
    problems = [] if total == 0 else [f"the postings sum to {total}"]
    if {key: points for key, points in world.sums.items() if points} != balances(world.postings()):
        problems.append("the balances are not those of the postings")
    for member, account in sorted(world.members.items()):
        problems += [f"{member}: {found}" for found in unbalanced(account.lots, world.postings(member))]
    for member, pool in sorted(world.points.items()):
        balance = world.balance(Account.AVAILABLE, member)
        if pool.balance != balance:
            problems.append(f"{member}: free and leases hold {pool.balance}, the balance is {balance}")
    for lease_id, (_, lease) in sorted(world.leases.items()):
        home, key = world.pool_of(lease)
        known = home[key].lease(lease_id).spent
        if lease.state in (LeaseState.OPEN, LeaseState.CLOSING) and known != lease.spent:
            problems.append(f"lease {lease_id}: {lease.spent} spent at its station, {known} at head office")
    return {"postings_sum": total, "agrees": not problems, "problems": problems}


def _member(world: World, member: str, account: Member) -> Answer:
    growth = world.growth(account, world.today)
    way = tiers.to_next(world.rules.tiers, account.tier, growth)
    lots = [lot for lot in spending_order(account.lots) if lot.points]
    return {
        "member": member,
        **tier(account.tier),
        "growth": growth,
        "next_tier": None if way is None else way.tier,
        "growth_missing": None if way is None else way.short,
        "visits": account.visits,
        "available_points": world.balance(Account.AVAILABLE, member),
        "usable_points": usable_points(account.lots, world.now_ms, world.today),
        "held_points": world.balance(Account.PENDING, member),
        "debt_points": world.debt(member),
        "lots": [_lot(world, lot) for lot in lots],
        "uses": [use_row(use, "MEMBER") for use in account.uses],
    }


def _lot(world: World, lot: Lot) -> Answer:
    zone, usable_ms = world.setting.zone, lot.usable_from_ms
    return {
        "lot": lot.id,
        "points": lot.points,
        "source": lot.source,
        "earned_at": local_text(lot.earned_at_ms, zone),
        "usable_from": None if usable_ms is None else local_text(usable_ms, zone),
        "expires_on": _day(lot.expires_on),
        "held": usable_ms is None,
        "expired": lot.expired(world.today),
    }


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _sale(sale: str, sold: Sold) -> Answer:
    holder = sold.holder.member if sold.holder is not None else None
    quoted = None if sold.evaluation.member is None else sold.evaluation.member.member
    return {
        "sale": sale,
        "state": sold.state,
        "station": sold.evaluation.sale.station,
        "member": quoted if sold.settled is None else holder,
        "net_minor": sold.evaluation.net_minor,
        "refunded_minor": sold.refunded_minor,
    }


def _coupon(coupon: Coupon) -> Answer:
    claims = coupon.claims
    return {
        "coupon": claims.code,
        "offer": claims.offer,
        "state": coupon.state.value,
        "member": claims.member,
        "station": claims.station,
        "expires_on": _day(claims.expires_on),
        "balance_minor": coupon.balance_minor,
        "used_on": [use.sale for use in coupon.uses],
    }


def _pool(subject: str, unit: str, pool: Pool) -> Answer:
    return {
        subject: pool.subject,
        f"balance{unit}": pool.balance,
        f"free{unit}": pool.free,
        f"lent{unit}": pool.balance - pool.free,
        f"overrun{unit}": pool.overrun,
    }


def _lease(world: World, station: str, lease: Lease) -> Answer:
    """Return a lease as its station has it; what is called in or void cannot be spent any more."""
    unit = world.unit_of(lease)
    spendable = lease.state in (LeaseState.OPEN, LeaseState.CLOSING)
    return {
        "lease": lease.id,
        "subject": lease.subject,
        "station": station,
        "state": lease.state.value,
        "live": lease.live(world.now_ms),
        f"granted_{unit}": lease.granted,
        f"spent_{unit}": lease.spent,
        f"reserved_{unit}": sum(held.amount for held in lease.reserved),
        f"remaining_{unit}": lease.remaining if spendable else 0,
    }
