"""Lower prices at the pump in the pipeline: who waits where, what the rules offer them there, and when that is over.

The rules say which price, the fuelling point whether and when it is ordered. A scan answers its reader all the same.
"""

from __future__ import annotations

from dataclasses import replace

from agent.domain import point_events as events
from agent.domain.link_records import LinkDesk, Pending, PendingState
from agent.domain.link_targets import holder_of
from agent.domain.point_lowered import LoweredPrice, Rollback
from agent.domain.point_state import Point
from agent.domain.rules.facts import BudgetView, LocalInstant, Presented
from agent.domain.rules.model import Kind
from agent.domain.rules.rollback import LowerPrice, PumpNozzle, Waiting, lower_prices
from agent.pipeline import points, settling
from agent.pipeline.memory import ActiveRules, Memory
from agent.pipeline.step import Step

LATER: tuple[str, ...] = ()
"""Who waits is to be offered something when the lower price of the member before is gone."""


def at_start(memory: Memory) -> None:
    """Who waits already was offered what there was: nothing is offered a second time because of a restart."""
    for number in memory.points:
        holder = holder_of(memory.desk, number)
        if holder is not None:
            memory.offered[number] = _asked(holder)


def follow(step: Step, before: Memory) -> None:
    """Offer, prolong and end lower prices as what waits has changed since ``before``, the memory ahead of this step."""
    if not step.settings.loyalty.pump_rollback:
        return
    desk, rules = step.memory.desk, step.memory.rules
    same = desk.pending is before.desk.pending and desk.live is before.desk.live and rules is before.rules
    if same and LATER not in step.memory.offered.values():
        return
    for number in step.memory.points:
        _end(step, number, desk, rules_changed=rules is not before.rules)
        _begin(step, number, desk)


def _end(step: Step, number: int, desk: LinkDesk, *, rules_changed: bool) -> None:
    holder, known = holder_of(desk, number), step.memory.points[number].durable.rollback
    if known is None or known.over:
        return
    if holder is None or holder.id != known.id or rules_changed:
        why = "new rules are in force" if rules_changed else "the member waits no longer"
        points.handle(step, number, events.RollbackOver(known.id, why))
    elif holder.until_mono_ms > known.until_mono_ms:
        points.handle(step, number, events.RollbackWanted(replace(known, until_mono_ms=holder.until_mono_ms)))


def _begin(step: Step, number: int, desk: LinkDesk) -> None:
    """Offer what there is to a member who has begun to wait, once the price of the one before is taken back."""
    holder, offered = holder_of(desk, number), step.memory.offered
    if holder is None or holder.state is not PendingState.AWAIT_FUELLING:
        if offered.get(number) == LATER:
            del offered[number]
        return
    if offered.get(number) == _asked(holder):
        return
    known = step.memory.points[number].durable.rollback
    offered[number] = LATER if known is not None and known.id != holder.id else _asked(holder)
    if known is None:
        _end_elsewhere(step, number, holder.who.member)
        _offer(step, step.memory.points[number], holder)


def _end_elsewhere(step: Step, here: int, member: str) -> None:
    """A member is offered a lower price at one point only, where they were seen last; a fuelling under way keeps it."""
    for number, point in list(step.memory.points.items()):
        known = point.durable.rollback
        if known is not None and number != here and known.member == member:
            points.handle(step, number, events.RollbackOver(known.id, "the member waits at another point"))


def _asked(holder: Pending) -> tuple[str, ...]:
    """What an offer depends on of who waits: the scan, and how strong it is by now."""
    return holder.id, holder.who.level.value, str(holder.who.clock_suspect)


def _offer(step: Step, point: Point, holder: Pending) -> None:
    """Tell the point what the waiting member would pay there, if that is less than the list price."""
    active = step.memory.rules
    if active is None or point.monitored or not any(o.kind is Kind.PUMP_ROLLBACK for o in active.rules.offers):
        return
    prices = _prices(step, point, holder, active)
    if prices:
        told = tuple(
            LoweredPrice(p.nozzle, p.offer, p.unit_price_milli, p.list_price_milli, p.limit_ml) for p in prices
        )
        wish = Rollback(holder.id, holder.who.member, told, holder.until_mono_ms)
        points.handle(step, point.config.number, events.RollbackWanted(wish))


def _prices(step: Step, point: Point, holder: Pending, active: ActiveRules) -> tuple[LowerPrice, ...]:
    row = step.tx.members.by_id(holder.who.member)
    if row is None:
        return ()
    who = Waiting(
        settling.member_facts(step, row["ref"], holder.who.member),
        step.settings.station.id,
        Presented(holder.who.level.value, holder.who.clock_suspect),
        BudgetView(station_uses=settling.uses(step, 0)),
        LocalInstant(step.stamp.wall_ms, step.settings.station.tz),
        step.tx.sales.rollbacks_under_way() | _promised(step, point.config.number),
    )
    return lower_prices(_nozzles(step, point), who, active.rules)


def _nozzles(step: Step, point: Point) -> list[PumpNozzle]:
    grades = step.settings.grade
    return [
        PumpNozzle(n.number, n.grade, grades[n.grade].product if n.grade in grades else None, n.unit_price_milli)
        for n in point.config.nozzles
    ]


def _promised(step: Step, here: int) -> frozenset[tuple[str, str | None]]:
    """What members wait for or fuel at on other points; what is being taken back is nobody's."""
    found = [p.durable.rollback for number, p in step.memory.points.items() if number != here]
    standing = [one for one in found if one is not None and (one.serving or not one.over)]
    return frozenset((price.offer, one.member) for one in standing for price in one.prices)
