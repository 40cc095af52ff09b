"""One member's points as people ask for them: what there is, until when, what may be spent, and every fact behind it.

A member is named by id, or by a card number, of which only the keyed index is looked up: no answer holds it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from agent.clock import Clock
from agent.domain.identity import IndexKind, blind_index, normalise_phone
from agent.domain.leases import Lease
from agent.domain.ledger import Lot, spending_order
from agent.domain.purse import Leave, Standing, standing
from agent.domain.rules.load import parse
from agent.domain.rules.model import RuleSet
from agent.domain.tiers import TierState, ToNext, to_next
from agent.reports.arguments import BadArgument, day, day_of, limit, start_ms, word
from agent.settings import Settings
from agent.store.loyalty_queries import Fact, PointsQueries, Purse
from agent.store.queries import NotFound, utc

_CARD = re.compile(r"[0-9]{6,32}")
_SEPARATORS = re.compile(r"[\s-]+")

GRANTS = {"expire_seen": "expiry", "adjust": "adjustment", "reversal": "reversal"}
"""Why of a points record, as people call it; a grant is one for a sale (a late link) or without."""

CORRECTIONS = {"link": "relink"}


class Points:
    """Questions about one member's points."""

    def __init__(self, settings: Settings, path: Path, clock: Clock, index_key: bytes | None) -> None:
        self._settings = settings
        self._clock = clock
        self._key = index_key
        self._queries = PointsQueries(path)

    def member(self, given: str) -> str:
        """Return the id of the member that ``given`` names: a card number, or the beginning of an id.

        Raises NotFound; for a phone number as well, because each look-up of one is counted and on record.
        """
        if normalise_phone(given) is not None:
            raise NotFound("a phone number is not looked up here", hint="forecourt members find --phone - tells the id")
        return self._queries.member_id(given.strip(), self._digests(given))

    def show(self, args: dict[str, Any]) -> dict[str, Any]:
        """Return how a member stands. Raises NotFound, BadArgument."""
        purse = self._queries.purse(self._named(args))
        document = self._queries.rules()
        rules = None if document is None else parse(document)
        now_ms = self._clock.wall_ms()
        today = day_of(now_ms, self._settings.station.tz)
        lots = purse.lots
        found = standing(lots, purse.debt, _leave(purse, now_ms), rules, now_ms=now_ms, today=today)
        return {
            **_who(purse),
            **_tier(purse, rules),
            **_standing(found, rules),
            "lots": [_lot(lot, now_ms) for lot in spending_order(lots) if lot.points],
            "leases": [_lease(lease) for lease in purse.leases],
            "head_office": _head_office(purse),
            "asked_at": utc(now_ms),
        }

    def history(self, args: dict[str, Any]) -> dict[str, Any]:
        """Return every fact that moved a member's points, newest first, with the balance after it.

        Raises NotFound, BadArgument.
        """
        purse = self._queries.purse(self._named(args))
        since = day(args, "since")
        from_ms = 0 if since is None else start_ms(since, self._settings.station.tz)
        balances = _balances(purse)
        chosen = [source for source, (at_ms, _) in balances.items() if at_ms >= from_ms]
        shown = chosen[::-1][: limit(args)]
        return {
            **_who(purse),
            "balance_points": _balance(purse),
            "head_office": _head_office(purse),
            "facts": [_fact(fact, balances[fact.source][1]) for fact in self._queries.fact(purse.ref, shown)],
            "earlier_facts": len(chosen) - len(shown),
        }

    def _named(self, args: dict[str, Any]) -> str:
        given = word(args, "member")
        if not given:
            raise BadArgument("name a member: the beginning of the id, or a card number")
        return self.member(given)

    def _digests(self, given: str) -> list[bytes]:
        """Return the keyed index of a text that may be a card number, none where it cannot be one."""
        if self._key is None:
            return []
        found = []
        digits = _SEPARATORS.sub("", given)
        if _CARD.fullmatch(digits):
            found.append(blind_index(self._key, IndexKind.CARD, digits))
        return found


def _balance(purse: Purse) -> int:
    return sum(lot.points for lot in purse.lots) - purse.debt


def _balances(purse: Purse) -> dict[str, tuple[int, int | None]]:
    """Return by fact, oldest first, when it was and the balance after it: back from the balance there is now.

    ``None`` for what head office's base includes: what else the base had in it then is not told.
    """
    facts: dict[str, tuple[int, int]] = {}
    for leg in purse.posted:
        at_ms, points = facts.get(leg.source, (leg.at_ms, 0))
        facts[leg.source] = (at_ms, points + leg.own.posting.points)
    balance = _balance(purse)
    found: dict[str, tuple[int, int | None]] = {}
    for source, (at_ms, points) in reversed(facts.items()):
        found[source] = (at_ms, balance if source in purse.later else None)
        balance -= points if source in purse.later else 0
    return dict(reversed(found.items()))


def _leave(purse: Purse, now_ms: int) -> Leave:
    found = [lease.points(now_ms) for lease in purse.leases]
    live = [points for points in found if points is not None]
    return Leave(sum(live) if live else None, purse.quoted)


def _lease(lease: Lease) -> dict[str, Any]:
    return {
        "lease": lease.id,
        "state": lease.state.value,
        "granted_points": lease.granted,
        "spent_points": lease.spent,
        "left_points": lease.remaining,
        "expires_at": utc(lease.expires_ms),
    }


def _head_office(purse: Purse) -> dict[str, Any]:
    as_of = purse.as_of
    return {
        "points": purse.base_points,
        "includes": None if as_of is None else {"incarnation": as_of.incarnation, "seq": as_of.seq},
        "includes_until": utc(purse.as_of_ms),
    }


def _who(purse: Purse) -> dict[str, Any]:
    return {"member": purse.member, "mask": purse.mask, "in_cache": purse.known}


def _tier(purse: Purse, rules: RuleSet | None) -> dict[str, Any]:
    tiers = () if rules is None else rules.tiers
    way = to_next(tiers, TierState(purse.tier or None), purse.growth)
    names = {tier.id: tier.name for tier in tiers}
    return {
        "tier": purse.tier or None,
        "tier_name": names.get(purse.tier),
        "growth": purse.growth,
        "growth_base": None if rules is None else rules.program.growth_base.value,
        "next_tier": None if way is None else _next(way),
        "visits": purse.visits,
    }


def _next(way: ToNext) -> dict[str, Any]:
    return {"tier": way.tier, "name": way.name, "growth_needed": way.needed, "growth_missing": way.short}


def _standing(found: Standing, rules: RuleSet | None) -> dict[str, Any]:
    program = None if rules is None else rules.program
    money = None if program is None else found.spendable // program.step_points * program.step_minor
    return {
        "balance_points": found.balance,
        "usable_points": found.usable,
        "waiting_points": found.waiting,
        "held_points": found.held,
        "ended_points": found.ended,
        "debt_points": found.debt,
        "spendable_points": found.spendable,
        "spendable_minor": money,
        "not_spendable": [
            {"why": kept.why.value, "points": kept.points, "until": utc(kept.until_ms)} for kept in found.kept
        ],
        "ending": [{"days": days, "points": points} for days, points in found.soon],
    }


def _lot(lot: Lot, now_ms: int) -> dict[str, Any]:
    return {
        "lot": lot.id,
        "points": lot.points,
        "source": lot.source,
        "earned_at": utc(lot.earned_at_ms),
        "usable_from": utc(lot.usable_from_ms),
        "waits": lot.pending(now_ms),
        "expires_on": None if lot.expires_on is None else lot.expires_on.isoformat(),
    }


def _fact(fact: Fact, balance: int | None) -> dict[str, Any]:
    data = {} if fact.record is None else fact.record["data"]
    return {
        "record": fact.source,
        "fact": _name(fact),
        "at": utc(fact.at_ms),
        "sale": fact.sale,
        "by": data.get("by") or fact.linked_by or fact.settled_by,
        "role": data.get("role"),
        "reason": data.get("reason"),
        "rule_version": fact.rule_version,
        "points": fact.points,
        "balance_points": balance,
        "postings": [{"account": account, "points": points, "lot": lot} for account, points, lot in fact.legs],
    }


def _name(fact: Fact) -> str:
    """Return what a fact is called: sale, refund, void, relink, late_link, grant, expiry, adjustment, reversal."""
    if fact.record is None:
        return "unknown"
    kind, data = fact.record["type"], fact.record["data"]
    if kind == "fc.sale.settled.v1":
        return "sale"
    if kind == "fc.sale.corrected.v1":
        return CORRECTIONS.get(data["what"], str(data["what"]))
    if data.get("why") == "grant":
        return "grant" if fact.sale is None else "late_link"
    return GRANTS.get(data.get("why"), str(data.get("why")))
