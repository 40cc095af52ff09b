"""Who works at a station and what their role lets them do. Knows no unix user, no terminal and no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum


class StaffRole(StrEnum):
    """An attendant sells; a supervisor also corrects; a technician looks after devices and corrects nothing."""

    ATTENDANT = "attendant"
    SUPERVISOR = "supervisor"
    TECHNICIAN = "technician"


@dataclass(frozen=True, slots=True)
class Staff:
    """One person of the station's list, from the configuration or the database. ``active``: may sign in."""

    id: str
    name: str
    role: StaffRole
    active: bool = True


DESK = "cli"
"""The terminal of who signs in at the station's computer."""


def who_served(here: Mapping[str, str], nearest_first: Sequence[AbstractSet[str]]) -> str | None:
    """Return the one person at the nearest manned group of terminals, ``None`` where several people are there.

    ``here``: staff id by terminal. ``nearest_first``: a point's own readers, those it shares, desk and handhelds.
    """
    for terminals in nearest_first:
        people = {here[terminal] for terminal in terminals if terminal in here}
        if people:
            return people.pop() if len(people) == 1 else None
    return None
