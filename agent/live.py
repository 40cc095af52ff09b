"""What the station looks like right now: live values for screens, replaced as a whole so that readers need no lock.

Memory only. What must survive a restart is in the database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Handheld:
    """A paired device. ``kind``: "page" or "native"; ``proof``: what it is recognised by (store.handheld_tables)."""

    id: str
    kind: str
    proof: bytes = field(repr=False)


@dataclass(slots=True)
class LiveBoard:
    """Each value is replaced, never changed, by the pipeline thread; any thread may read."""

    started_ms: int = 0
    points: dict[int, dict[str, Any]] = field(default_factory=dict)
    tanks: dict[int, dict[str, Any]] = field(default_factory=dict)
    devices: dict[str, dict[str, Any]] = field(default_factory=dict)
    link: dict[str, Any] = field(
        default_factory=lambda: {"online": False, "stopped": None, "reason": "not connected yet"}
    )
    answers: tuple[dict[str, Any], ...] = ()
    handhelds: dict[str, Handheld] = field(default_factory=dict)
    profile: dict[str, Any] | None = None
    disk_free_bytes: int | None = None

    def set_point(self, number: int, value: dict[str, Any]) -> None:
        """Replace what is known of one fuelling point."""
        self.points = {**self.points, number: value}

    def set_tank(self, number: int, value: dict[str, Any]) -> None:
        """Replace what is known of one tank."""
        self.tanks = {**self.tanks, number: value}

    def set_device(self, device: str, value: dict[str, Any]) -> None:
        """Replace whether a device is reachable."""
        self.devices = {**self.devices, device: value}

    def set_link(self, **changes: Any) -> None:
        """Change what is known of the link to head office."""
        self.link = {**self.link, **changes}

    def set_disk_free(self, free_bytes: int) -> None:
        """Replace how much room the disk of the database has."""
        self.disk_free_bytes = free_bytes

    def set_profile(self, feature: dict[str, Any]) -> None:
        """Replace what the public may know of the station."""
        self.profile = feature

    def set_handhelds(self, handhelds: dict[str, Handheld]) -> None:
        """Replace which devices are paired."""
        self.handhelds = handhelds

    def add_answer(self, answer: dict[str, Any]) -> None:
        """Keep the last answers to scans for the attendant's screen."""
        self.answers = (*self.answers[-19:], answer)
