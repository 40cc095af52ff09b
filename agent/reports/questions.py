"""The questions about points, offers, staff and shifts by the names that the control socket knows them by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.clock import Clock
from agent.reports.arguments import word
from agent.reports.campaigns import Campaigns
from agent.reports.fraud import Frauds
from agent.reports.liability import Liabilities
from agent.reports.points import Points
from agent.reports.shifts import questions as shift_questions
from agent.settings import Settings


class Reports:
    """What people look up about points, offers, staff and shifts of one station. Raises NotFound and BadArgument."""

    def __init__(self, settings: Settings, clock: Clock, index_key: bytes | None) -> None:
        path = settings.store.path
        self._clock = clock
        self._shifts = shift_questions(settings)
        self._points = Points(settings, path, clock, index_key)
        self._campaigns = Campaigns(settings, path)
        self._liabilities = Liabilities(settings, path, clock)
        self._frauds = Frauds(settings)

    def member(self, args: dict[str, Any]) -> str:
        """Return the id of the member that was named by id or by a card number. Raises NotFound."""
        return self._points.member(word(args, "member") or "")

    def questions(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        """Return each question with what answers it."""
        return {
            "points.show": self._points.show,
            "points.history": self._points.history,
            "points.liability": self._liabilities.show,
            "campaigns.plan": lambda args: self._campaigns.plan(args, self._clock.wall_ms()),
            "campaigns.part": self._campaigns.part,
            "fraud": self._frauds.listed,
            "fraud.show": self._frauds.shown,
            "fraud.stats": self._frauds.stats,
            **self._shifts,
        }
