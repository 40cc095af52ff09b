"""Which stations and installations were heard, what they last said of themselves, and which are fenced (W-32, W-33).

Works inside the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, tuple_, update

from headoffice.store import schema
from headoffice.store.facts import REINCARNATED
from headoffice.store.intervals import meter_key, totalizer_of
from sync.messages import NozzleEnd

LIVE_WITHIN_MS = 10 * 60 * 1000
"""W-33: an installation is live if it was heard within the last 10 minutes."""


def heard(
    connection: Connection,
    station: str,
    now_ms: int,
    *,
    incarnation: str,
    install_id: str,
    connect_n: int | None = None,
) -> None:
    """Note a sign of life of an installation; ``connect_n`` where it said one."""
    table = schema.station
    changed = connection.execute(update(table).where(table.c.station == station).values(last_heard_ms=now_ms))
    if changed.rowcount == 0:
        connection.execute(table.insert().values(station=station, first_heard_ms=now_ms, last_heard_ms=now_ms))
    place = schema.install
    values: dict[str, Any] = {"last_heard_ms": now_ms}
    if connect_n is not None:
        values["connect_n"] = connect_n
    changed = connection.execute(
        update(place)
        .where(place.c.station == station, place.c.incarnation == incarnation, place.c.install_id == install_id)
        .values(**values)
    )
    if changed.rowcount == 0:
        connection.execute(
            place.insert().values(
                station=station, incarnation=incarnation, install_id=install_id, first_heard_ms=now_ms, **values
            )
        )


_STATION_HEARD = (
    update(schema.station).where(schema.station.c.station == bindparam("of")).values(last_heard_ms=bindparam("now_ms"))
)
_INSTALL_HEARD = (
    update(schema.install)
    .where(
        schema.install.c.station == bindparam("of"),
        schema.install.c.incarnation == bindparam("life"),
        schema.install.c.install_id == bindparam("by"),
    )
    .values(last_heard_ms=bindparam("now_ms"))
)
"""Built once: nearly every commit of a backlog is of one station."""


def heard_all(connection: Connection, signs: Collection[tuple[str, str, str]], now_ms: int) -> None:
    """Note signs of life of many (station, incarnation, install_id); their stations stay locked."""
    if len(signs) == 1:
        ((station, incarnation, install_id),) = signs
        named = {"of": station, "life": incarnation, "by": install_id, "now_ms": now_ms}
        is_known = connection.execute(_STATION_HEARD, named).rowcount == 1
        if connection.execute(_INSTALL_HEARD, named).rowcount == 0 or not is_known:
            heard(connection, station, now_ms, incarnation=incarnation, install_id=install_id)
        return
    stations = {station for station, _, _ in signs}
    if len(stations) > 1:  # one is locked by being changed; many in order, or two sessions wait for each other
        lock(connection, stations)
    table, place = schema.station, schema.install
    of = (place.c.station, place.c.incarnation, place.c.install_id)
    here = update(table).where(table.c.station.in_(stations)).values(last_heard_ms=now_ms)
    there = update(place).where(tuple_(*of).in_(list(signs))).values(last_heard_ms=now_ms)
    is_all = connection.execute(here).rowcount == len(stations)
    is_all = connection.execute(there).rowcount == len(signs) and is_all
    if not is_all:
        for station, incarnation, install_id in sorted(signs):
            heard(connection, station, now_ms, incarnation=incarnation, install_id=install_id)


def is_known(connection: Connection, station: str) -> bool:
    """Whether a station was ever heard."""
    table = schema.station
    return connection.execute(select(table.c.station).where(table.c.station == station)).first() is not None


def heard_ever(connection: Connection) -> list[str]:
    """Every station that was ever heard, by name."""
    table = schema.station
    return list(connection.execute(select(table.c.station).order_by(table.c.station)).scalars())


def lock(connection: Connection, stations: Iterable[str]) -> None:
    """Let no batch of these stations be judged meanwhile; a batch does the same by its first statement, ``heard``."""
    table = schema.station
    names = select(table.c.station).where(table.c.station.in_(stations)).order_by(table.c.station)
    connection.execute(names.with_for_update()).all()


def holder(connection: Connection, station: str) -> str | None:
    """Return the installation of a station that redeems; None before the first one said hello."""
    table = schema.station
    found: str | None = connection.execute(
        select(table.c.holder).where(table.c.station == station)
    ).scalar_one_or_none()
    return found


def set_holder(connection: Connection, station: str, install_id: str) -> None:
    """From now on this installation is the one that redeems."""
    table = schema.station
    connection.execute(update(table).where(table.c.station == station).values(holder=install_id))


def is_live(connection: Connection, station: str, install_id: str, now_ms: int) -> bool:
    """Whether an installation was heard in the last 10 minutes, in whatever incarnation and whatever its state says."""
    table = schema.install
    last = connection.execute(
        select(func.max(table.c.last_heard_ms)).where(table.c.station == station, table.c.install_id == install_id)
    ).scalar_one()
    return last is not None and last >= now_ms - LIVE_WITHIN_MS


def begun_by_other(connection: Connection, station: str, incarnation: str, install_id: str) -> bool:
    """Whether an incarnation was first heard from another installation: this one writes a chain that is not its own."""
    table = schema.install
    first = connection.execute(
        select(table.c.install_id)
        .where(table.c.station == station, table.c.incarnation == incarnation)
        .order_by(table.c.first_heard_ms, table.c.install_id != install_id)
        .limit(1)
    ).scalar_one_or_none()
    return first is not None and first != install_id


def put_fence(connection: Connection, station: str, install_id: str, now_ms: int) -> None:
    """Fence an installation until an operator lifts it; a lifted fence is set anew."""
    table = schema.fence
    same = (table.c.station == station, table.c.install_id == install_id)
    changed = connection.execute(update(table).where(*same).values(since_ms=now_ms, lifted_ms=None))
    if changed.rowcount == 0:
        connection.execute(table.insert().values(station=station, install_id=install_id, since_ms=now_ms))


def lift_fence(connection: Connection, station: str, install_id: str, now_ms: int) -> bool:
    """Lift a fence: from now on this installation is the one that redeems. Returns whether there was one."""
    table = schema.fence
    changed = connection.execute(
        update(table)
        .where(table.c.station == station, table.c.install_id == install_id, table.c.lifted_ms.is_(None))
        .values(lifted_ms=now_ms)
    )
    if changed.rowcount:
        set_holder(connection, station, install_id)
    return changed.rowcount > 0


def fenced(connection: Connection, station: str, install_id: str) -> bool:
    """Whether an installation is fenced now."""
    table = schema.fence
    row = connection.execute(
        select(table.c.station).where(
            table.c.station == station, table.c.install_id == install_id, table.c.lifted_ms.is_(None)
        )
    ).first()
    return row is not None


def nozzle_ends(connection: Connection, station: str, limit: int) -> tuple[NozzleEnd, ...]:
    """The greatest accepted end totalizer of every nozzle; of one without a sale the base it was counted from (W-32).

    A base that a new incarnation laid does not count: what lies before it may still be in no sale.
    """
    table, base = schema.sale_interval, schema.baseline
    found = {
        (row.fuelling_point, row.nozzle): str(row.end_key)
        for row in connection.execute(
            select(table.c.fuelling_point, table.c.nozzle, func.max(table.c.end_key).label("end_key"))
            .where(table.c.station == station)
            .group_by(table.c.fuelling_point, table.c.nozzle)
        )
    }
    statement = select(base.c.fuelling_point, base.c.nozzle, base.c.totalizer)
    bases: dict[tuple[int, int], str] = {}
    for row in connection.execute(statement.where(base.c.station == station, base.c.reason != REINCARNATED)):
        nozzle = (row.fuelling_point, row.nozzle)
        bases[nozzle] = max(bases.get(nozzle, ""), meter_key(row.totalizer))
    ends = sorted({**bases, **found}.items())[:limit]
    return tuple(NozzleEnd(point, nozzle, totalizer_of(key)) for (point, nozzle), key in ends)


def store_hello(connection: Connection, station: str, hello: dict[str, Any], now_ms: int) -> None:
    """Keep the last hello of a station, for people."""
    table = schema.station
    connection.execute(
        update(table).where(table.c.station == station).values(hello=json.dumps(hello, sort_keys=True), hello_ms=now_ms)
    )


def stored_state(connection: Connection, station: str) -> dict[str, Any] | None:
    """The last state of a station as it was told; None if it never told one."""
    table = schema.station
    text = connection.execute(select(table.c.state).where(table.c.station == station)).scalar_one_or_none()
    if text is None:
        return None
    found: dict[str, Any] = json.loads(text)
    return found


def store_state(connection: Connection, station: str, state: dict[str, Any], now_ms: int) -> None:
    """Keep the last state of a station. A retained state may be old: it is no sign of life."""
    _keep(connection, station, now_ms, state=json.dumps(state, sort_keys=True))


def store_profile(connection: Connection, station: str, feature: dict[str, Any], now_ms: int) -> None:
    """Keep what a station tells the public; retained as the state is, so no sign of life either."""
    _keep(connection, station, now_ms, profile=json.dumps(feature, sort_keys=True), profile_ms=now_ms)


def _keep(connection: Connection, station: str, now_ms: int, **values: Any) -> None:
    table = schema.station
    changed = connection.execute(update(table).where(table.c.station == station).values(**values))
    if changed.rowcount == 0:
        connection.execute(
            table.insert().values(station=station, first_heard_ms=now_ms, last_heard_ms=now_ms, **values)
        )
