"""What people look up about staff and shifts, by the names that the control socket knows the questions by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.reports.arguments import limit, word
from agent.settings import Settings
from agent.store.shift_queries import ShiftQueries


def questions(settings: Settings) -> dict[str, Callable[[dict[str, Any]], Any]]:
    """Return each question with what answers it. Answers raise NotFound and BadArgument."""
    queries = ShiftQueries(settings)
    return {
        "staff": lambda _: queries.staff(),
        "staff.show": lambda args: queries.person(word(args, "staff") or "", limit=limit(args)),
        "shift.list": lambda args: queries.shifts(limit=limit(args)),
        "shift.show": lambda args: queries.shift(word(args, "shift")),
    }
