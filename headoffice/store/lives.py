"""The lives of a station: its incarnations in the order in which their first records came, and which are a clone's."""

from __future__ import annotations

from sqlalchemy import Connection, exists, select

from headoffice.store import schema
from headoffice.store.points_schema import life


def begin(connection: Connection, station: str, incarnation: str) -> None:
    """The first record of an incarnation came."""
    here = (life.c.station == station) & (life.c.incarnation == incarnation)
    if connection.execute(select(life.c.number).where(here)).first() is None:
        connection.execute(life.insert().values(station=station, incarnation=incarnation))


def newest(connection: Connection, station: str) -> str | None:
    """Return the incarnation that may redeem: the newest that is not a fenced clone's; None before the first."""
    rows = connection.execute(
        select(life.c.incarnation).where(life.c.station == station).order_by(life.c.number.desc())
    )
    return next((str(name) for name in rows.scalars() if not is_fenced(connection, station, name)), None)


def is_known(connection: Connection, station: str, incarnation: str) -> bool:
    """Return whether the first record of an incarnation came."""
    here = (life.c.station == station) & (life.c.incarnation == incarnation)
    return connection.execute(select(life.c.number).where(here)).first() is not None


def is_fenced(connection: Connection, station: str, incarnation: str) -> bool:
    """Return whether only installations that are fenced were heard in an incarnation."""
    place, fence = schema.install, schema.fence
    standing = exists().where(
        fence.c.station == place.c.station, fence.c.install_id == place.c.install_id, fence.c.lifted_ms.is_(None)
    )
    here = (place.c.station == station) & (place.c.incarnation == incarnation)
    heard = connection.execute(select(place.c.install_id).where(here).limit(1)).first()
    free = connection.execute(select(place.c.install_id).where(here, ~standing).limit(1)).first()
    return heard is not None and free is None
