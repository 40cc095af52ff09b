"""Head office's lots of a member as the wire tells them, read into lots that can be spent. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from agent.domain.ledger import Lot

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

HEAD_OFFICE = "head_office"
"""Source of a lot that head office told."""

UNNAMED = "base"
"""Begins the id of a lot that head office told without one; its dates make it unique for its member."""


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
    when = "" if usable_from is None else f":{usable_from}"
    lot_id = name or f"{UNNAMED}:{expires_on or 'never'}{when}"
    try:
        usable_ms = 0 if usable_from is None else _unix_ms(str(usable_from))
        last_day = None if expires_on is None else date.fromisoformat(str(expires_on))
    except (TypeError, ValueError):
        return Lot(lot_id, points, 0, None, None, HEAD_OFFICE)
    return Lot(lot_id, points, 0, usable_ms, last_day, HEAD_OFFICE)


def _unix_ms(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)
