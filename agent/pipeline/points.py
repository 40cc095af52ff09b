"""Fuelling points in the pipeline: device readings in, the pure step, its effects into the open transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.domain import forecourt
from agent.domain import link_records as links
from agent.domain import point_events as events
from agent.domain import point_prices as prices
from agent.domain.booking import LOWERED_PRICE, Rules
from agent.domain.linking import settlement_due_ms
from agent.domain.point_lowered import SoldLower
from agent.domain.point_state import ControlMode, NozzleConfig, Point, PointConfig, durable, restore
from agent.domain.sale import Sale, SaleKind
from agent.failpoints import failpoint
from agent.pipeline import alerting, people, scanning
from agent.pipeline.memory import Memory
from agent.pipeline.step import Step
from agent.settings import PointSettings, Settings
from drivers.device import DispenserCapabilities
from drivers.readings import CompletedSale, FuellingPointReading
from sync.records import format_time


def build(
    settings: Settings,
    stored: dict[int, dict[str, Any]],
    in_force: dict[str, int],
    boot: str,
    can: Mapping[int, DispenserCapabilities],
) -> dict[int, Point]:
    """Return every configured fuelling point as the database left it.

    ``in_force``: unit price per grade. ``can``: what the driver of each point declares.
    """
    built = {}
    for point in settings.fuelling_point:
        config = _config(settings, point, in_force, boot)
        if point.id in can:
            config = _with(config, can[point.id])
        built[point.id] = restore(config, stored.get(point.id), boot)
    return built


def _with(config: PointConfig, can: DispenserCapabilities) -> PointConfig:
    return replace(
        config,
        queue=can.sale_memory == "queue",
        totals=can.totals != "none",
        holds=can.sale_memory != "none",
        sets_prices=can.sets_prices,
        stops=can.stops,
        suspends=can.suspends,
        presets=can.presets,
    )


def _config(settings: Settings, point: PointSettings, in_force: dict[str, int], boot: str) -> PointConfig:
    protocol = next(line.protocol for line in settings.line if line.id == point.line)
    resolution_ml: int = 10 ** max(0, 3 - point.decimals.filled(protocol).volume)
    return PointConfig(
        number=point.id,
        mode=ControlMode(point.control),
        nozzles=tuple(NozzleConfig(n.id, n.grade, n.tank, in_force[n.grade]) for n in point.nozzle),
        boot=boot,
        rules=Rules(settings.station.exponent, resolution_ml, point.max_gap_l),
        unpaid_max=settings.sales.unpaid_max if settings.sales.settle == "tender" else None,
    )


def handle(step: Step, number: int, event: events.Event) -> None:
    """Give ``event`` to one fuelling point and carry its effects into the transaction."""
    point = step.memory.points.get(number)
    if point is None:
        return
    if isinstance(event, CompletedSale):
        failpoint("sale.totals_read")
    if isinstance(event, FuellingPointReading) and event != step.memory.readings.get(number):
        step.memory.readings[number] = event
    result = forecourt.step(point, event, step.now)
    step.memory.points[number] = result.point
    if isinstance(event, FuellingPointReading):
        quiet = result.point is point and not result.effects and point.durable.open is None
        step.memory.quiet[number] = (point, event) if quiet else None
    step.touched.add(number)
    bookings = [effect for effect in result.effects if isinstance(effect, events.Book)]
    for effect in result.effects:
        _carry(step, result.point, effect, len(bookings))
    if result.durable_changed:
        step.tx.memory.save_point(number, durable(result.point))
    if bookings:
        tell_unpaid(step, number)


def says_nothing(memory: Memory, reading: FuellingPointReading) -> bool:
    """Whether this level said the same to the same point before, at rest, and nothing came of it.

    Then only time could make a difference, and for that every point is asked each second.
    """
    known = memory.quiet.get(reading.fuelling_point)
    return known is not None and known[0] is memory.points[reading.fuelling_point] and known[1] == reading


def _carry(step: Step, point: Point, effect: events.Effect, recovered: int) -> None:
    number = point.config.number
    match effect:
        case events.Send(command):
            step.send(command)
        case events.Book():
            _book(step, point, effect, recovered)
        case events.Baseline():
            write_baseline(step, number, effect)
        case events.Gap():
            _gap(step, number, effect)
        case events.PriceInForce(nozzle, price):
            _price_in_force(step, point, nozzle, price)
        case events.Lifted(nozzle):
            scanning.tell(step, links.NozzleLifted(number, nozzle, _key_of_next(point, nozzle)))
        case events.FlowStarted():
            scanning.tell(step, links.FlowSeen(number))
        case events.HungZero(nozzle):
            scanning.tell(step, links.HungZero(number, nozzle))
        case events.RaiseAlert(name, detail):
            alerting.device(step, f"point:{number}", name, standing=True, detail=detail)
        case events.ClearAlert(name):
            alerting.device(step, f"point:{number}", name, standing=False)
        case events.Audit(action, detail):
            refused = action.endswith("_refused")
            outcome = "refused" if refused else "done"
            step.notes.append((action, detail))
            step.audit("agent", "agent", action[:64], f"point:{number}", reason=detail, result=outcome)
        case events.NeedsReconciliation(command):
            text = f"{command.kind} {command.command_id} {command.detail}".strip()
            step.audit("agent", "agent", "needs_reconciliation", f"point:{number}", reason=text, result="unknown")
        case events.OpenFuelling() | events.CloseFuelling() | events.SaveLive():
            pass  # all three live in the durable state of the point, saved once per step


def _key_of_next(point: Point, nozzle: int | None) -> str | None:
    """What the sale of a fuelling that begins now will start with: the total, or the counter where there is none."""
    if not point.config.totals:
        return f"#{(point.durable.counter or 0) + 1}"
    meter = point.durable.meter(nozzle)
    return None if meter is None else str(meter.total)


def _book(step: Step, point: Point, effect: events.Book, recovered: int) -> None:
    booking, number = effect.booking, point.config.number
    nozzle = next(n for n in point.config.nozzles if n.number == booking.nozzle)
    station, given = step.settings.station, effect.rollback
    sale = Sale(
        id=step.new_id(),
        fuelling_point=number,
        nozzle=booking.nozzle,
        grade=nozzle.grade,
        tank=nozzle.tank,
        kind=booking.kind,
        volume_ml=booking.volume_ml,
        unit_price_milli=booking.unit_price_milli,
        amount_minor=booking.amount_minor,
        currency=station.currency,
        exponent=station.exponent,
        totalizer_start=booking.start,
        totalizer_end=booking.end,
        sub=booking.sub,
        counter=booking.counter,
        lifted_ms=effect.lifted_ms,
        ended_ms=effect.ended_ms,
        business_day=step.business_day(effect.ended_ms),
        attendant=_attendant(step, number, effect),
        flags=booking.flags,
        rollback_offer=None if given is None else given.offer,
        list_price_milli=None if given is None else given.list_price_milli,
    )
    write_sale(step, sale, recovered)
    if given is not None and LOWERED_PRICE not in sale.flags:
        _tell_given(step, sale, given)


def _attendant(step: Step, number: int, effect: events.Book) -> str | None:
    """Who is signed in there; where nobody is, who let the fuelling go by hand."""
    is_recovered = effect.booking.kind is SaleKind.RECOVERED
    return people.served_by(step, number, effect.lifted_ms, is_recovered=is_recovered) or effect.attendant


def _tell_given(step: Step, sale: Sale, given: SoldLower) -> None:
    """Say who fuelled at a lowered price, and whether linking gave the sale to the same member."""
    link = step.tx.sales.active_link(sale.id)
    theirs = link is not None and link["member"] == given.member
    reason = f"{given.offer} for member {given.member}: {sale.unit_price_milli} instead of {given.list_price_milli}"
    if not theirs:
        reason += "; the sale has no member" if link is None else f"; the sale is member {link['member']}'s"
    step.audit(
        "agent", "agent", "rollback_given" if theirs else "rollback_to_another", f"sale:{sale.id}", reason=reason
    )


def write_sale(step: Step, sale: Sale, recovered: int) -> None:
    """Write one sale and its record, and tell linking; ``recovered``: how many are written together."""
    written = step.journal("fc.sale.v1", record(sale))
    due = None
    if step.settings.sales.settle == "auto":
        windows = step.memory.desk.windows
        due = settlement_due_ms(sale.ended_ms, None, windows)
        step.memory.due[sale.id] = step.now.mono_ms + step.settings.sales.settles_in_ms(due, step.now.wall_ms)
    step.tx.sales.add(sale, settle_due_ms=due, journal_seq=written.seq)
    step.memory.sold_ml[sale.tank] = step.memory.sold_ml.get(sale.tank, 0) + sale.volume_ml
    start = None if sale.totalizer_start is None else str(sale.totalizer_start)
    if sale.counter is not None:
        start = f"#{sale.counter}"
    scanning.tell(
        step,
        links.SaleBooked(
            sale.id, sale.fuelling_point, sale.nozzle, sale.kind, start, sale.ended_ms, recovered_count=recovered
        ),
    )
    step.passed.append("sale")


def record(sale: Sale) -> dict[str, Any]:
    """Return the ``data`` of ``fc.sale.v1``."""
    return {
        "sale": sale.id,
        "fuelling_point": sale.fuelling_point,
        "nozzle": sale.nozzle,
        "grade": sale.grade,
        "tank": sale.tank,
        "kind": sale.kind.value,
        "volume_ml": sale.volume_ml,
        "unit_price_milli": sale.unit_price_milli,
        "amount_minor": sale.amount_minor,
        "currency": sale.currency,
        "exponent": sale.exponent,
        "totalizer_start": None if sale.totalizer_start is None else str(sale.totalizer_start),
        "totalizer_end": None if sale.totalizer_end is None else str(sale.totalizer_end),
        "sub": sale.sub,
        "counter": sale.counter,
        "lifted_at": None if sale.lifted_ms is None else format_time(sale.lifted_ms),
        "ended_at": format_time(sale.ended_ms),
        "business_day": sale.business_day,
        "attendant": sale.attendant,
        "flags": list(sale.flags),
        **(
            {}
            if sale.rollback_offer is None
            else {"rollback_offer": sale.rollback_offer, "list_price_milli": sale.list_price_milli}
        ),
    }


def _price_in_force(step: Step, point: Point, nozzle: int, unit_price_milli: int) -> None:
    """Keep from when on a nozzle sells at a price, and say so."""
    number, listed = point.config.number, point.config.price(nozzle)
    step.tx.memory.put_in_force(number, nozzle, unit_price_milli, step.now.wall_ms)
    reason = f"{unit_price_milli}"
    if unit_price_milli != listed:
        is_lowered = unit_price_milli == dict(prices.wanted(point))[nozzle]
        reason += f", lowered from {listed}" if is_lowered else f", wanted {listed}"
    step.audit("agent", "agent", "price_in_force", f"point:{number} nozzle:{nozzle}", reason=reason)


def write_baseline(step: Step, number: int, effect: events.Baseline) -> None:
    """Write a base, its record and its row; ``verify`` lets a sale start there."""
    total = effect.totalizer
    written = step.journal(
        "fc.meter.baseline.v1",
        {
            "fuelling_point": number,
            "nozzle": effect.nozzle,
            "totalizer": str(total),
            "totalizer_unit_ml": effect.unit_ml,
            "reason": effect.reason[:64],
        },
    )
    step.tx.memory.add_baseline(
        {
            "seq": written.seq,
            "fuelling_point": number,
            "nozzle": effect.nozzle,
            "epoch": total.epoch,
            "raw": total.raw,
            "unit_ml": effect.unit_ml,
            "reason": effect.reason,
            "made_ms": step.stamp.wall_ms,
        }
    )


def _gap(step: Step, number: int, gap: events.Gap) -> None:
    step.journal(
        "fc.gap.v1",
        {
            "fuelling_point": number,
            "nozzle": gap.nozzle,
            "from": None if gap.start is None else str(gap.start),
            "to": str(gap.end),
            "totalizer_unit_ml": gap.unit_ml,
            "reason": gap.reason[:64],
        },
    )


def without_totals(memory: Memory) -> list[int]:
    """Return the points whose device keeps no totals."""
    return [number for number, point in sorted(memory.points.items()) if not point.config.totals]


def tell_unpaid(step: Step, number: int) -> None:
    """Tell a point how many of its sales are unpaid, where a till settles."""
    if step.settings.sales.settle != "tender":
        return
    count = step.tx.sales.unpaid_per_point().get(number, 0)
    handle(step, number, events.UnpaidCount(count))


def tell_prices(step: Step) -> None:
    """Tell every point the unit prices in force."""
    for number, point in list(step.memory.points.items()):
        wanted = tuple((n.number, step.memory.prices[n.grade]) for n in point.config.nozzles)
        handle(step, number, events.PricesWanted(wanted))


def show(memory: Memory, number: int) -> dict[str, Any]:
    """Return a fuelling point as ``forecourt pumps --json`` shows it."""
    point, reading = memory.points[number], memory.readings.get(number)
    volatile = point.volatile
    grades = {n.number: n.grade for n in point.config.nozzles}
    nozzle = None if reading is None else reading.nozzle
    return {
        "fuelling_point": number,
        "online": volatile.online,
        "state": "Offline" if not volatile.online or reading is None else reading.state.value,
        "nozzle": nozzle,
        "grade": None if nozzle is None else grades.get(nozzle),
        "volume_ml": None if reading is None else reading.volume_ml,
        "amount_minor": None if reading is None else reading.amount_minor,
        "unit_price_milli": None if reading is None else reading.unit_price_milli,
        "exponent": point.config.rules.exponent,
        "identity": None if reading is None or not reading.identity else reading.identity,
        "control": point.config.mode.value,
        "ready": volatile.released,
        "alerts": list(point.durable.alerts),
        "meter_resets": list(point.durable.resets),
        "meter_kept": [
            {
                "nozzle": sale.booking.nozzle,
                "volume_ml": sale.booking.volume_ml,
                "amount_minor": sale.booking.amount_minor,
            }
            for reset in point.durable.replaced
            for sale in reset.sales
        ],
        "meter_gaps": [
            {"nozzle": gap.nozzle, "from": None if gap.meter is None else str(gap.meter.total), "to": str(gap.base)}
            for gap in point.durable.gaps
        ],
        "meters": [
            {"nozzle": m.nozzle, "grade": grades.get(m.nozzle), "totalizer": str(m.total), "unit_ml": m.unit_ml}
            for m in point.durable.meters
        ],
        "nozzles": [
            {
                "nozzle": n.number,
                "grade": n.grade,
                "tank": n.tank,
                "unit_price_milli": n.unit_price_milli,
                "in_force_milli": dict(point.durable.in_force).get(n.number),
                "price_state": prices.state_of(point, n.number),
            }
            for n in point.config.nozzles
        ],
        "totals": point.config.totals,
        "unresolved_commands": [{"command": u.kind, "detail": u.detail} for u in volatile.unresolved],
    }
