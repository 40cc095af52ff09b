"""What could be lost where stations let members spend a floor amount without a lease (W-51). Read-only."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from headoffice.store import pools, schema
from headoffice.store.points_schema import lease, lease_move

ROWS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Exposure:
    """``points``: beyond what members have, were each to spend the floor at every station on one day, all offline.

    ``unleased``: points that settled sales took so far without a lease.
    """

    stations: int
    members: int
    points: int
    unleased: int


def worst_case(connection: Connection, floor: int) -> Exposure:
    """Return the exposure to a floor amount: of each member all stations together, less what is free anyhow."""
    stations = int(connection.execute(select(func.count()).select_from(schema.station)).scalar_one())
    held = func.sum(lease.c.amount - lease.c.spent - lease.c.reclaimed)
    of_members = select(lease.c.subject, held).where(lease.c.kind == pools.POINTS).group_by(lease.c.subject)
    lent = {name: int(points) for name, points in connection.execute(of_members).tuples()}
    members = points = 0
    question = select(schema.member.c.member, schema.member.c.body).where(schema.member.c.gone.is_(False))
    for name, body in connection.execute(question.execution_options(yield_per=ROWS_AT_ONCE)).tuples():
        has = sum(lot["points"] for lot in json.loads(body).get("lots", ()))
        if has > 0:
            members += 1
            points += max(0, stations * min(floor, has) - max(0, has - lent.get(name, 0)))
    return Exposure(stations, members, points, _unleased(connection))


def _unleased(connection: Connection) -> int:
    redeemed = select(func.coalesce(func.sum(schema.settlement.c.points_redeemed), 0)).scalar_subquery()
    leased = (
        select(func.coalesce(func.sum(lease_move.c.amount), 0))
        .where(lease_move.c.kind == pools.POINTS, lease_move.c.amount > 0)
        .scalar_subquery()
    )
    row = connection.execute(select(redeemed, leased)).one()
    return int(row[0]) - int(row[1])
