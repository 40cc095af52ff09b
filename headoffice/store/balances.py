"""What a member has: the lots that were imported and every posting that was accepted, and which records that includes.

Works inside the caller's transaction. A merged member counts as who they became. How postings meet lots is decided by
``agent.domain.effective``, as at the stations (W-44).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, or_, select, update

from agent.domain import ledger
from agent.domain.effective import OwnPosting, Part, merged_lots
from agent.domain.holdings import base_lots
from agent.domain.ledger import Account, Lot, Posting
from headoffice.store import overlaps_schema, schema
from headoffice.store.points_schema import (
    life,
    member_alias,
    member_base,
    member_place,
    point_lot,
    tell_due,
)

ACCOUNTS = (Account.AVAILABLE.value, Account.PENDING.value)
"""The accounts whose points stand in lots: what can be lent."""

EARLIEST_ZONE_H = 12
"""A last day is over everywhere only half a day after it ends in UTC; stations look again by their own clock."""

_ONE_LIFE = "all"


@dataclass(frozen=True, slots=True)
class Place:
    """A record's place in the journal of a station."""

    station: str
    incarnation: str
    seq: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A member's lots now, and for each station up to where they include its records."""

    lots: tuple[Lot, ...]
    places: Mapping[str, Place]


def became(connection: Connection, member: str) -> str:
    """Return who a member is by now."""
    found = connection.execute(select(member_alias.c.became).where(member_alias.c.member == member)).scalar()
    return member if found is None else str(found)


def names_of(connection: Connection, member: str) -> list[str]:
    """Return a member's id and those of everybody who was merged into them."""
    merged = connection.execute(select(member_alias.c.member).where(member_alias.c.became == member)).scalars()
    return [member, *sorted(merged)]


def base_points(connection: Connection, member: str) -> int:
    """Return the points that were imported for a member."""
    return sum(lot["points"] for lot in base(connection, member))


def base(connection: Connection, member: str) -> list[dict[str, Any]]:
    """Return the lots that were imported for a member, as the wire tells lots."""
    kept = connection.execute(select(member_base.c.lots).where(member_base.c.member == member)).scalar()
    if kept is not None:
        return list(json.loads(kept))
    body = connection.execute(select(schema.member.c.body).where(schema.member.c.member == member)).scalar()
    return [] if body is None else list(json.loads(body).get("lots", []))


def set_base(connection: Connection, member: str, lots: Iterable[Mapping[str, Any]]) -> None:
    """Keep what was imported apart from what is told."""
    text = json.dumps(list(lots), sort_keys=True, separators=(",", ":"))
    changed = connection.execute(update(member_base).where(member_base.c.member == member).values(lots=text))
    if changed.rowcount == 0:
        connection.execute(member_base.insert().values(member=member, lots=text))


def usable_points(connection: Connection, member: str, now_ms: int) -> int:
    """Return how many points a member may spend now, wherever it is the latest."""
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    today = (now - timedelta(hours=EARLIEST_ZONE_H)).date()
    return ledger.usable_points(standing(connection, member).lots, now_ms, today)


def standing(connection: Connection, member: str) -> Standing:
    """Return a member's lots and the places they include; of one state of the database, by one statement."""
    table, record = schema.posting, schema.record
    names = names_of(connection, member)
    told = base_lots((lot["points"], lot["usable_from"], lot["expires_on"]) for lot in base(connection, member))
    rows = connection.execute(
        select(
            table.c.account,
            table.c.points,
            table.c.lot,
            record.c.station,
            record.c.incarnation,
            record.c.seq,
            overlaps_schema.counts(table).label("counts"),
        )
        .join(record, record.c.number == table.c.record)
        .where(table.c.member.in_(names))
        .order_by(table.c.record, table.c.place)
    ).all()
    own: list[OwnPosting] = []
    places: dict[tuple[str, str], int] = {}
    for number, row in enumerate(rows, 1):
        places[row.station, row.incarnation] = max(places.get((row.station, row.incarnation), 0), row.seq)
        if row.counts and row.account in ACCOUNTS:
            own.append(OwnPosting(_ONE_LIFE, number, Posting(Account(row.account), row.points, row.lot, member)))
    made = _lots_made(connection, {row.lot for row in rows if row.lot is not None})
    lots = merged_lots([Part(told, None, tuple(own))], made, [_ONE_LIFE])
    return Standing(lots, _newest(connection, names, [Place(*where, seq) for where, seq in places.items()]))


def _lots_made(connection: Connection, names: set[str]) -> list[Lot]:
    terms = select(point_lot).where(point_lot.c.lot.in_(sorted(names))).order_by(point_lot.c.record, point_lot.c.place)
    found = {row.lot: row for row in connection.execute(terms)}
    return [
        Lot(
            row.lot,
            0,
            row.earned_ms,
            row.usable_from_ms,
            None if row.expires_on is None else date.fromisoformat(row.expires_on),
            "sale",
        )
        for row in found.values()
    ]


def _newest(connection: Connection, names: list[str], places: list[Place]) -> dict[str, Place]:
    """Return of each station the newest of these places and of those that were noted: the later life counts."""
    noted = connection.execute(select(member_place).where(member_place.c.member.in_(names))).all()
    places += [Place(row.station, row.incarnation, row.seq) for row in noted]
    newest: dict[str, Place] = {}
    for place in places:
        known = newest.get(place.station)
        if known is None or _order(connection, place) > _order(connection, known):
            newest[place.station] = place
    return newest


def _order(connection: Connection, place: Place) -> tuple[int, int]:
    here = (life.c.station == place.station) & (life.c.incarnation == place.incarnation)
    return (int(connection.execute(select(life.c.number).where(here)).scalar() or 0), place.seq)


def note_place(connection: Connection, member: str, place: Place) -> None:
    """A second arrival of a record stands at a newer place: up to there a told balance includes the station (W-31)."""
    here = (member_place.c.member == member) & (member_place.c.station == place.station)
    row = connection.execute(select(member_place).where(here)).first()
    if row is None:
        values = {"member": member, "station": place.station, "incarnation": place.incarnation, "seq": place.seq}
        connection.execute(member_place.insert().values(**values))
    elif _order(connection, place) > _order(connection, Place(row.station, row.incarnation, row.seq)):
        connection.execute(update(member_place).where(here).values(incarnation=place.incarnation, seq=place.seq))


def body_with_balance(
    connection: Connection, body: dict[str, Any], imported: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the wire's object of a member with the balance that includes what stations posted.

    ``imported``: the lots of the file, kept apart from what is told. A member whom no record touched is told as they
    were imported.
    """
    member = body["member"]
    lots = list(imported)
    set_base(connection, member, lots)
    now = standing(connection, member)
    if not now.places:
        connection.execute(delete(member_base).where(member_base.c.member == member))
        return {**body, "lots": lots, "as_of": None}
    as_of = {
        station: {"incarnation": place.incarnation, "seq": place.seq} for station, place in sorted(now.places.items())
    }
    return {**body, "lots": [_told(lot) for lot in ledger.spending_order(now.lots) if lot.points > 0], "as_of": as_of}


def _told(lot: Lot) -> dict[str, Any]:
    usable = lot.usable_from_ms
    is_at_once = usable is not None and usable <= 0
    from_text = None if is_at_once else HELD if usable is None else _instant(usable)
    return {
        "points": lot.points,
        "usable_from": from_text,
        "expires_on": None if lot.expires_on is None else lot.expires_on.isoformat(),
        "lot": lot.id,
    }


HELD = "held"
"""Told as the instant of a lot that waits for a review: no instant, so it is spent nowhere."""


def _instant(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def told(connection: Connection, body: dict[str, Any]) -> dict[str, Any]:
    """Return what is told of a member who was just read from a file: with what stations posted, where they did."""
    if not touched(connection, [body["member"]]):
        return body
    stored = connection.execute(select(schema.member.c.body).where(schema.member.c.member == body["member"])).scalar()
    before = {} if stored is None else json.loads(stored)
    if before.get("growth_stands") and before.get("growth") == body["growth"]:
        body = {**body, "growth_stands": True}  # the file says nothing new of it
    return body_with_balance(connection, body, body["lots"])


def touched(connection: Connection, names: Sequence[str]) -> set[str]:
    """Return those of whom what is told includes, or is to include, postings of stations."""
    table = schema.posting
    kept = connection.execute(select(member_base.c.member).where(member_base.c.member.in_(names))).scalars()
    posted = connection.execute(select(table.c.member).distinct().where(table.c.member.in_(names))).scalars()
    merged_into = connection.execute(select(member_alias.c.became).where(member_alias.c.became.in_(names))).scalars()
    return {*kept, *posted, *merged_into}


def merged(connection: Connection, member: str, to: str) -> None:
    """A member is another one from now on: their points are the other's, who is to be told anew."""
    connection.execute(update(member_alias).where(member_alias.c.became == member).values(became=to))
    connection.execute(delete(member_alias).where(member_alias.c.member == member))
    connection.execute(member_alias.insert().values(member=member, became=to))
    due(connection, to, None)


def forget(connection: Connection, member: str) -> None:
    """A member is deleted: nothing is told of them any more."""
    names = names_of(connection, member)
    for table in (member_base, member_place, tell_due):
        connection.execute(delete(table).where(table.c.member.in_(names)))
    connection.execute(
        delete(member_alias).where(or_(member_alias.c.member.in_(names), member_alias.c.became == member))
    )


def due(connection: Connection, member: str, place: Place | None) -> None:
    """A member's balance changed: it is to be told. ``place``: of a second arrival, else None."""
    values: dict[str, Any] = {"member": member, "station": None, "incarnation": None, "seq": None}
    if place is not None:
        values |= {"station": place.station, "incarnation": place.incarnation, "seq": place.seq}
    connection.execute(schema.insert_into(tell_due), values)


def any_due(connection: Connection) -> bool:
    """Return whether a balance is to be told."""
    return connection.execute(select(tell_due.c.number).limit(1)).first() is not None


def take_due(connection: Connection, limit: int) -> dict[str, list[Place]]:
    """Take the oldest members whose balance is to be told, with the places of second arrivals; they are due no more."""
    first = connection.execute(
        select(tell_due.c.member).distinct().where(tell_due.c.number.in_(_oldest(limit)))
    ).scalars()
    rows = connection.execute(
        select(tell_due).where(tell_due.c.member.in_(list(first))).order_by(tell_due.c.number)
    ).all()
    found: dict[str, list[Place]] = {}
    for row in rows:
        places = found.setdefault(became(connection, row.member), [])
        if row.station is not None:
            places.append(Place(row.station, row.incarnation, row.seq))
    # by number: what another session adds meanwhile stays due
    connection.execute(delete(tell_due).where(tell_due.c.number.in_([row.number for row in rows])))
    return found


def _oldest(limit: int) -> Any:
    return select(tell_due.c.number).order_by(tell_due.c.number).limit(limit).scalar_subquery()
