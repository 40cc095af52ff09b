"""Members enrolled at stations: confirmed where nobody has the phone, merged into the member who has it (W-24, W-44).

Works inside the transaction of the batch. Knows keyed indexes and sealed contacts; opens none of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select, update

from headoffice.store import members, schema
from headoffice.store.alerts import raise_own_alert

_INDEX = re.compile(r"[0-9a-f]{32}")


def take(connection: Connection, number: int, station: str, data: Mapping[str, Any], now_ms: int) -> None:
    """Store an enrolment and tell all stations, by one change, who the provisional member is."""
    member, phone = data["member"], _phone_index(data["indexes"])
    op = members.next_op(connection)  # first: what is read from here on no other session changes
    owner = None if phone is None else members.owner(connection, phone)
    if members.is_known(connection, member):
        detail = f"the provisional id {member[:4]}.. of this enrolment is another member's already"
        raise_own_alert(
            connection, station=station, alert="enrolment_id_taken", subject=member[:4], detail=detail, now_ms=now_ms
        )
        became = None
    elif owner is None:
        members.put(connection, _confirmed(connection, data, phone), op)
        became = member
    else:
        members.merge(connection, member, owner, op)
        became = owner
    contact = data["contact"] if isinstance(data["contact"], str) else None
    values = {"record": number, "station": station, "member": member, "mask": data["mask"], "by": data["by"]}
    more = {"phone_index": phone, "plate_index": data["plate_index"], "contact": contact, "became": became}
    connection.execute(schema.insert_into(schema.enrolment), {**values, **more})


def is_provisional(connection: Connection, member: str) -> bool:
    """Return whether a member came from a station and was never imported: then another one may take its place."""
    table = schema.enrolment
    question = select(table.c.record).where(table.c.member == member, table.c.became == member)
    return connection.execute(question).first() is not None


def became(connection: Connection, member: str, to: str) -> None:
    """Whoever was ``member`` is ``to`` from now on."""
    table = schema.enrolment
    connection.execute(update(table).where(table.c.became == member).values(became=to))


def forget(connection: Connection, member: str) -> None:
    """A member is deleted: what its enrolments knew of the person goes; the sealed record stays in its chain."""
    table = schema.enrolment
    blank = dict.fromkeys(("mask", "phone_index", "plate_index", "contact"))
    connection.execute(update(table).where((table.c.became == member) | (table.c.member == member)).values(**blank))


def listed(connection: Connection, *, station: str | None, limit: int) -> list[dict[str, Any]]:
    """Return enrolments, newest first."""
    table, record = schema.enrolment, schema.record
    question = (
        select(
            table.c.station, record.c.time, table.c.member, table.c.mask, table.c.by, table.c.became, table.c.contact
        )
        .join(record, record.c.number == table.c.record)
        .order_by(table.c.record.desc())
        .limit(limit)
    )
    if station is not None:
        question = question.where(table.c.station == station)
    return [dict(row) for row in connection.execute(question).mappings()]


def _phone_index(indexes: Any) -> str | None:
    """Return the index of the phone number: the first, as stations write it."""
    first = indexes[0] if isinstance(indexes, list) and indexes else None
    return first if isinstance(first, str) and _INDEX.fullmatch(first) else None


def _confirmed(connection: Connection, data: Mapping[str, Any], phone: str | None) -> dict[str, Any]:
    """Return the wire's object of a provisional member: what the station counted of it stands (growth unknown)."""
    plate = data["plate_index"]
    is_free = isinstance(plate, str) and _INDEX.fullmatch(plate) and members.owner(connection, plate) is None
    indexes = [found for found in (phone, plate if is_free else None) if found is not None]
    rest = dict.fromkeys(("to", "tier", "growth", "as_of", "birthday_md", "tank_l", "card_key"))
    return {
        **rest,
        "member": data["member"],
        "indexes": indexes,
        "tags": [],
        "lots": [],
        "mask": data["mask"],
        "flags": [],
    }
