"""Who works at a station and what their role lets them do. Knows no unix user, no terminal and no clock."""

from __future__ import annotations

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
