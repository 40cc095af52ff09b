"""Coupons that stations asked for before they took them: kept for one sale, used by it, or free again.

Works inside the caller's transaction. One that was never asked for is marked by the record of the sale that used it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select, update

from headoffice.store.points_schema import coupon_mark

HELD, USED = "held", "used"


def hold(connection: Connection, code: str, station: str, sale: str, now_ms: int) -> dict[str, Any] | None:
    """Keep a coupon for a sale; returns the mark that is in the way, None where it is the sale's now."""
    row = _mark(connection, code)
    if row is None:
        values = {"code": code, "station": station, "sale": sale, "state": HELD, "marked_ms": now_ms}
        connection.execute(coupon_mark.insert().values(**values))
        return None
    is_own = (row["station"], row["sale"], row["state"]) == (station, sale, HELD)
    return None if is_own else row


def release(connection: Connection, code: str, station: str, sale: str) -> None:
    """A sale goes on without a coupon that was kept for it."""
    here = (coupon_mark.c.code == code) & (coupon_mark.c.station == station) & (coupon_mark.c.sale == sale)
    connection.execute(delete(coupon_mark).where(here, coupon_mark.c.state == HELD))


def used(connection: Connection, station: str, sale: str, coupon: Mapping[str, Any]) -> list[str]:
    """A settled sale took a coupon; returns what a person should look at: somebody else had it.

    One that keeps a balance (``used`` false) is free for the next sale.
    """
    code = coupon["code"]
    row = _mark(connection, code)
    if row is not None and (row["station"], row["sale"]) != (station, sale):
        return [f"coupon {code} was {row['state']} by sale {row['sale']} of {row['station']} as well"]
    if not coupon["used"]:
        release(connection, code, station, sale)
    elif row is None:
        values = {"code": code, "station": station, "sale": sale, "state": USED, "marked_ms": 0}
        connection.execute(coupon_mark.insert().values(**values))
    else:
        connection.execute(update(coupon_mark).where(coupon_mark.c.code == code).values(state=USED))
    return []


def came_back(connection: Connection, station: str, sale: str, codes: list[str]) -> None:
    """A sale was given back in full: its coupons are as before it."""
    if not codes:  # nearly every sale: no way to the server for nothing
        return
    here = (coupon_mark.c.station == station) & (coupon_mark.c.sale == sale) & coupon_mark.c.code.in_(codes)
    connection.execute(delete(coupon_mark).where(here))


def _mark(connection: Connection, code: str) -> dict[str, Any] | None:
    question = select(coupon_mark).where(coupon_mark.c.code == code).with_for_update()
    row = connection.execute(question).mappings().one_or_none()
    return None if row is None else dict(row)
