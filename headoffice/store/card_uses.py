"""Counters of signing cards over all stations: one that is lower where it was seen later was copied (W-24).

Works inside the transaction of the batch. Each station watches its own order; this sees what no station can.
Knows keyed indexes of cards, no ids.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import and_, or_, select

from headoffice.store import schema
from headoffice.store.alerts import raise_own_alert
from headoffice.store.sheet import Sheet

SLACK_MS = 1_800_000
"""A link is told when its sale is stored, and clocks differ: what is nearer in time than this has no order."""

_CODE = re.compile(r"sun:([0-9a-f]{32}):([0-9]{1,8})")


@dataclass(frozen=True, slots=True)
class Told:
    """A link as it arrived: record ``number``; ``code`` of its data; when it was made and when it came."""

    number: int
    station: str
    code: str | None
    at_ms: int
    received_ms: int


def take(sheet: Sheet, link: Told) -> None:
    """Note the counter that a link names, and raise an alert where another station has seen it or more before."""
    found = _CODE.fullmatch(link.code or "")
    if found is None:
        return
    connection = sheet.read()
    card, counter, at_ms = found[1], int(found[2]), link.at_ms
    uses = schema.card_use
    other = select(uses.c.station, uses.c.counter).where(
        uses.c.card == card,
        uses.c.station != link.station,
        or_(
            uses.c.counter == counter,
            and_(uses.c.counter > counter, uses.c.at_ms < at_ms - SLACK_MS),
            and_(uses.c.counter < counter, uses.c.at_ms > at_ms + SLACK_MS),
        ),
    )
    against = connection.execute(other.order_by(uses.c.record).limit(1)).first()
    if against is not None:
        detail = f"count {counter} here and {against.counter} at {against.station}: a copy, or a chip written anew"
        told = {"station": link.station, "alert": "card_counter_fell", "subject": card[:8], "detail": detail}
        raise_own_alert(connection, **told, now_ms=link.received_ms)
    values = {"record": link.number, "station": link.station, "card": card, "counter": counter, "at_ms": at_ms}
    connection.execute(schema.insert_into(uses), values)
