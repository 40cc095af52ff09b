"""What a handheld shows: its fuelling points as they are now, sales there that are not paid yet, who is signed in.

Reads the live board and the database; of members it knows only whether a sale has one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agent.clock import Clock
from agent.live import LiveBoard
from agent.settings import Settings
from agent.store.handheld_queries import signed_in, unpaid

FLOWING = frozenset({"Started", "Fuelling", "SuspendedStarted", "SuspendedFuelling"})


class Tiles:
    """What one station shows its handhelds."""

    def __init__(self, settings: Settings, live: LiveBoard, clock: Clock) -> None:
        self._settings = settings
        self._live = live
        self._clock = clock
        self._served = {reader.id: tuple(reader.fuelling_points) for reader in settings.handhelds}

    def shown(self, device: str) -> list[dict[str, Any]]:
        """Return the points that ``device`` serves, in order. Raises sqlite3.Error."""
        points = self._served.get(device, ())
        sales = self._sales(points)
        return [self._point(number, sales.get(number, [])) for number in sorted(points)]

    def session(self, device: str) -> dict[str, Any]:
        """Return who is signed in at ``device``, and whether somebody must be. Raises sqlite3.Error."""
        staff_id, name, has_staff = signed_in(self._settings.store.path, device)
        named = {person.id: person.name for person in self._settings.staff}
        attendant = None if staff_id is None else {"id": staff_id, "name": named.get(staff_id) or name or staff_id}
        return {"attendant": attendant, "needs_sign_in": has_staff or bool(named)}

    def _point(self, number: int, sales: list[dict[str, Any]]) -> dict[str, Any]:
        known = self._live.points.get(number, {})
        flows = known.get("state") in FLOWING
        return {
            "fuelling_point": number,
            "state": known.get("state", "Offline"),
            "grade": known.get("grade"),
            "volume_ml": known.get("volume_ml") if flows else None,
            "amount_minor": known.get("amount_minor") if flows else None,
            "sales": sales,
        }

    def _sales(self, points: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
        now_ms = self._clock.wall_ms()
        found: dict[int, list[dict[str, Any]]] = {}
        for row in unpaid(self._settings.store.path, tuple(points), now_ms):
            found.setdefault(row["fuelling_point"], []).append(
                {
                    "sale": row["id"],
                    "nozzle": row["nozzle"],
                    "grade": row["grade"],
                    "volume_ml": row["volume_ml"],
                    "amount_minor": row["amount_minor"],
                    "since_hang_up_s": max(0, now_ms - row["ended_ms"]) // 1000,
                    "linked": bool(row["linked"]),
                    "claimed_by": row["claimed_by"],
                }
            )
        return found
