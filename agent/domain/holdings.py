"""What a member may spend of: head office's lots, and what happened here since head office last counted.

Pure. A balance from head office names how far it includes this station's records (W-44): the caller hands in what came
later, so nothing is counted twice and nothing is missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from agent.domain.ledger import Lot, spending_order

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

HEAD_OFFICE = "head_office"
"""Source of a lot that head office told."""

UNNAMED = "base"
"""Begins the id of a lot that head office told without one; its dates make it unique for its member."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in this station's ledger stream: the ``generation``-th incarnation, ``seq``. (0, 0) lies before all."""

    generation: int = 0
    seq: int = 0


def base_lots(told: Iterable[Sequence[object]]) -> tuple[Lot, ...]:
    """Return head office's lots of [points, usable_from, expires_on, lot id where it tells one].

    Times are texts with their zone. A date that cannot be read makes its lot wait for ever: it is never spent.
    When they were earned is not told; of equal expiry they are spent first.
    """
    lots: dict[str, Lot] = {}
    for points, usable_from, expires_on, *names in told:
        if not isinstance(points, int) or points <= 0:
            continue
        lot = _lot(points, usable_from, expires_on, names)
        known = lots.get(lot.id)
        lots[lot.id] = lot if known is None else replace(known, points=known.points + points)
    return tuple(lots.values())


def _lot(points: int, usable_from: object, expires_on: object, names: Sequence[object]) -> Lot:
    name = names[0] if names and isinstance(names[0], str) else None
    when = "" if usable_from is None else f"/{usable_from}"
    lot_id = name or f"{UNNAMED}/{expires_on or 'never'}{when}"
    try:
        usable_ms = 0 if usable_from is None else _unix_ms(str(usable_from))
        last_day = None if expires_on is None else date.fromisoformat(str(expires_on))
    except (TypeError, ValueError):
        return Lot(lot_id, points, 0, None, None, HEAD_OFFICE)
    return Lot(lot_id, points, 0, usable_ms, last_day, HEAD_OFFICE)


def _unix_ms(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)


def effective(base: Iterable[Lot], own: Iterable[Lot]) -> tuple[Lot, ...]:
    """Return a member's lots now: head office's, and on each what was posted here later.

    ``own``: the station's lots, and those of head office it posted to, with the sum of later postings only: below 0
    where head office's balance includes the lot and some of it was spent here since. Such a rest is taken from the lots
    that end on the same day, then in the order of spending.
    """
    lots = {lot.id: lot for lot in base}
    short: list[Lot] = []
    for lot in own:
        known = lots.get(lot.id)
        points = lot.points + (0 if known is None else known.points)
        lots[lot.id] = replace(lot if known is None else known, points=max(0, points))
        if points < 0:
            short.append(replace(lot, points=points))
    for lot in short:
        _cover(lots, lot)
    return tuple(lots.values())


def _cover(lots: dict[str, Lot], short: Lot) -> None:
    left = -short.points
    order = spending_order(lots.values())
    for lot in sorted(order, key=lambda lot: lot.expires_on != short.expires_on):  # stable: then as they are spent
        taken = min(left, lot.points)
        lots[lot.id] = replace(lot, points=lot.points - taken)
        left -= taken
    if left:  # head office counted less than was spent: the balance is below 0, and shown so
        lots[short.id] = replace(lots[short.id], points=-left)
