"""Lowering the price of a point for the member who waits there, and taking it back before anybody else can fuel.

Ordered at rest only, once, and never repeated by itself; whatever is not certain ends in the list price. Knows no rule
set and no linking: who waits, and for which price, is told.
"""

from __future__ import annotations

from dataclasses import replace

from agent.domain import point_prices as prices
from agent.domain.booking import LOWERED_PRICE
from agent.domain.point_events import Audit, AuthoriseByPerson, Book, RollbackOver, RollbackWanted, Turn
from agent.domain.point_lowered import LoweredPrice, Rollback, SoldLower
from agent.domain.point_state import ControlMode
from agent.domain.units import MILLI_LITRES_TIMES_MILLI_PRICE
from drivers.readings import PointState


def want(turn: Turn, wish: RollbackWanted) -> None:
    """A member waits at this point; the same wish again only moves its end. One that cannot be followed is told."""
    known = turn.durable.rollback
    if known is not None and known.id == wish.rollback.id and not known.over:
        turn.keep(rollback=replace(known, until_mono_ms=wish.rollback.until_mono_ms))
        return
    reason = _cannot(turn, wish.rollback)
    if reason is None:
        turn.keep(rollback=wish.rollback)
    else:
        turn.emit(Audit("rollback_not_offered", f"{wish.rollback}: {reason}"))


def _cannot(turn: Turn, wish: Rollback) -> str | None:
    config, seen = turn.point.config, turn.volatile
    has_limit = any(price.preset_ml is not None for price in wish.prices)
    begun = turn.durable.open is not None and seen.ended_wall_ms is None
    stale = any(config.price(price.nozzle) != price.list_price_milli for price in wish.prices)
    reasons = (
        (turn.point.monitored, "control is monitor, which only reads"),
        (not config.sets_prices, "this pump takes no prices from us"),
        (has_limit and "volume" not in config.presets, "this pump takes no preset by volume"),
        (config.mode is not ControlMode.AUTO and not config.stops, "an authorisation could not be taken back"),
        (turn.durable.rollback is not None, "the list price is not back yet"),
        (seen.out or begun, "the nozzle was lifted before"),
        (stale, "the list price has changed"),
    )
    return next((text for stands, text in reasons if stands), None)


def withdraw(turn: Turn, end: RollbackOver) -> None:
    """The member waits no longer."""
    known = turn.durable.rollback
    if known is not None and known.id == end.id:
        over(turn, end.why)


def over(turn: Turn, why: str) -> None:
    """No further fuelling is let go at the lowered price; one under way keeps it to its end."""
    known = turn.durable.rollback
    if known is None or known.over:
        return
    if not known.sent:
        turn.keep(rollback=None)
        turn.emit(Audit("rollback_not_offered", f"{known}: {why}"))
        return
    turn.keep(rollback=replace(known, over=why))
    turn.note(prices_tried=0, prices_at_ms=0)


def serve(turn: Turn) -> None:
    """A fuelling is let go, or found: where the lowered price stands, it has it."""
    known = turn.durable.rollback
    if known is not None and known.stands:
        turn.keep(rollback=replace(known, serving=True))


def follow(turn: Turn) -> None:
    """What time and the level ask of it: set at rest, ended in time, forgotten once the list price stands."""
    known = turn.durable.rollback
    if known is None:
        return
    if known.serving and turn.durable.open is None and not turn.durable.resets:
        turn.keep(rollback=replace(known, serving=False))
    _begin_or_end(turn)
    known = turn.durable.rollback
    if known is None or not known.over or known.serving or turn.waiting_for("SetPrices"):
        return
    if _is_back(turn, known.prices):
        turn.keep(rollback=None)
        turn.emit(Audit("rollback_taken_back", f"{known}: {known.over}"))


def _begin_or_end(turn: Turn) -> None:
    known = turn.durable.rollback
    if known is None or known.serving or known.over:
        return
    if turn.now.mono_ms >= known.until_mono_ms:
        over(turn, "the member's time is over")
    elif known.taken and not turn.waiting_for("SetPrices") and prices.differ(turn):
        over(turn, "the pump shows another price")
    elif not known.sent and turn.volatile.out:
        over(turn, "the nozzle was lifted before")
    elif not known.sent and _is_at_rest(turn):
        turn.keep(rollback=replace(known, sent=True))
        turn.note(prices_tried=0, prices_at_ms=0)
        turn.emit(Audit("rollback_offered", str(known)))


def _is_at_rest(turn: Turn) -> bool:
    """Whether everything is accounted for, the nozzle hangs, and the list prices stand."""
    seen, known = turn.volatile, turn.durable
    at_rest = turn.point.state is PointState.IDLE and seen.online and seen.accounted and seen.released
    clear = known.open is None and known.pending is None and not known.resets and seen.read is None
    return at_rest and clear and not turn.waiting_for("SetPrices", "Authorise", "Preset") and not prices.differ(turn)


def _is_back(turn: Turn, lowered: tuple[LoweredPrice, ...]) -> bool:
    shown = dict(turn.volatile.prices)
    return all(shown.get(price.nozzle) == turn.point.config.price(price.nozzle) for price in lowered)


def order_ended(turn: Turn, *, applied: bool, detail: str) -> None:
    """The end of an order to set prices. A lowered price that is not certain is taken back, and not tried again."""
    known = turn.durable.rollback
    if known is None or not known.sent or turn.volatile.prices_sent != lowered(turn, known):
        return
    if not applied:
        turn.note(prices=())
        over(turn, f"the pump did not take it{': ' if detail else ''}{detail}")
    elif not known.over:
        turn.keep(rollback=replace(known, taken=True))
        turn.emit(Audit("rollback_confirmed", f"{known}{'; ' if detail else ''}{detail}"))


def lowered(turn: Turn, rollback: Rollback) -> tuple[tuple[int, int], ...]:
    """The prices of all nozzles while ``rollback`` stands."""
    return prices.with_lowered(turn.point.config, rollback)


def in_the_way(turn: Turn) -> bool:
    """Whether a fuelling could begin at a lowered price that is nobody's: it is over, and the list price not proven.

    A pump that shows a third price is not in the way; it sells at its own, as always.
    """
    known, reading = turn.durable.rollback, turn.volatile.reading
    if known is None or not known.over or not known.sent or known.serving:
        return False
    lifted = reading.nozzle if reading is not None and reading.state is PointState.CALLING else None
    concerned = known.prices if lifted is None else [price for price in known.prices if price.nozzle == lifted]
    shown = dict(turn.volatile.prices)
    return any(shown.get(price.nozzle) in (None, price.unit_price_milli) for price in concerned)


def is_nobodys(turn: Turn) -> bool:
    """Whether the open fuelling has a lowered price whose member has gone before anybody lifted."""
    known, fuelling = turn.durable.rollback, turn.durable.open
    return known is not None and known.serving and bool(known.over) and fuelling is not None


def limits(turn: Turn, nozzle: int | None, wish: AuthoriseByPerson | None) -> tuple[int | None, int | None]:
    """The volume and the amount at which a fuelling that begins now ends: what a person presets, and never more than
    the offer covers at its price.
    """
    volume_ml = None if wish is None else wish.preset_volume_ml
    amount_minor = None if wish is None else wish.preset_amount_minor
    known = turn.durable.rollback
    if known is None or not known.stands:
        return volume_ml, amount_minor
    own = known.of(nozzle)
    of_nozzle = known.prices if nozzle is None else () if own is None else (own,)
    caps = [(price.preset_ml, price.unit_price_milli) for price in of_nozzle if price.preset_ml is not None]
    if not caps:
        return volume_ml, amount_minor
    cap_ml, unit_price_milli = min(caps)
    if amount_minor is None:
        return min(cap_ml, cap_ml if volume_ml is None else volume_ml), None
    worth = cap_ml * unit_price_milli * 10**turn.point.config.rules.exponent
    return (None, amount_minor) if amount_minor * MILLI_LITRES_TIMES_MILLI_PRICE <= worth else (cap_ml, None)


def note_sales(turn: Turn) -> None:
    """A sale at the lowered price says what it was lowered from; one that nobody was offered it for is flagged, too."""
    known = turn.durable.rollback
    if known is None or not known.sent:
        return
    theirs = known.serving
    for place in reversed(range(len(turn.effects))):  # of several sales the newest is that of the fuelling
        effect = turn.effects[place]
        if not isinstance(effect, Book):
            continue
        turn.effects[place] = _marked(turn, effect, known, theirs=theirs)
        theirs = False
        over(turn, "the fuelling has ended")


def _marked(turn: Turn, sold: Book, known: Rollback, *, theirs: bool) -> Book:
    booking, price = sold.booking, known.of(sold.booking.nozzle)
    if price is None or booking.unit_price_milli != price.unit_price_milli:
        return sold
    lower = replace(sold, rollback=SoldLower(price.offer, known.member, price.list_price_milli))
    if theirs:
        return lower
    turn.emit(Audit("rollback_to_another", f"{price}: {booking.volume_ml} ml sold to nobody it was offered to"))
    return replace(lower, booking=replace(booking, flags=tuple(sorted({*booking.flags, LOWERED_PRICE}))))
