"""Reads a script: a setting, an instant at which it begins, and events in the order in which they happen.

Plays nothing; the format is described in docs/rehearsal.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.domain.rules.facts import FactsError
from agent.domain.rules.fields import Fields, Problem
from agent.domain.rules.model import RuleSet
from agent.rehearsal import reading
from agent.rehearsal.documents import Document
from agent.rehearsal.events import Again, Event, EventKind, Sell, read_what
from agent.rehearsal.reading import NAME, Setting

MAX_EVENTS = 1_000
"""Events of one script: years of a member. The whole state is shown after each, so that the answer grows faster."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script ready to be played."""

    name: str
    setting: Setting
    zone_name: str
    starts_ms: int
    events: tuple[Event, ...]


def script(document: Document, rules: RuleSet) -> Script:
    """Return the script of a document. Raises TextRefused with every problem and its place."""
    problems: list[Problem] = []
    fields = Fields(document.data, "", problems)
    name = fields.text("name", document.name)
    at = reading.setting(fields, document.data, rules)
    starts_ms = reading.moment(fields, "now", at.zone)
    tables = fields.tables("event")
    if not 1 <= len(tables) <= MAX_EVENTS:
        fields.problem("event", f"lists {len(tables)} events", f"list 1 to {MAX_EVENTS}")
    given = document.data["event"] if tables else ()
    events: list[Event] = []
    clock = starts_ms
    for number, (table, data) in enumerate(zip(tables[:MAX_EVENTS], given, strict=False), 1):
        event = _event(table, data, number, at)
        if event is not None:
            clock = _in_order(table, event, events, clock)
            events.append(event)
    fields.finish()
    if problems:
        raise document.refusal(problems)
    return Script(name, at, str(document.data.get("timezone", reading.DEFAULT_ZONE)), starts_ms, tuple(events))


def _event(fields: Fields, data: Any, number: int, at: Setting) -> Event | None:
    event_id = fields.text("id", f"e{number}", NAME)
    if not fields.has("kind"):
        fields.problem("kind", "is missing", f"use one of: {', '.join(kind.value for kind in EventKind)}")
        return None
    kind = fields.choice("kind", EventKind)
    if data["kind"] != kind.value:
        return None
    at_ms = reading.moment(fields, "at", at.zone) if fields.has("at") else None
    if kind is EventKind.DAY and not fields.has("at"):
        fields.problem("at", "is missing", "say to which instant the clock goes")
    try:
        what = read_what(kind, fields, at, event_id)
    except FactsError as failure:
        fields.problem("", str(failure), "write what can be")
        return None
    expect = data.get("expect") if fields.has("expect") and isinstance(data, Mapping) else None
    if expect is not None and not isinstance(expect, Mapping):
        fields.problem("expect", "is not a table", "write keys of the answer and their values")
    fields.finish()
    return Event(number, event_id, kind, at_ms, what, expect)


def _in_order(fields: Fields, event: Event, before: list[Event], clock: int) -> int:
    """Note what no order of events can be; returns the clock after the event."""
    names = {known.id for known in before}
    if event.id in names:
        fields.problem("id", f"is given twice: {event.id!r}", "name each event once")
    if isinstance(event.what, Again) and event.what.of not in names:
        fields.problem(
            "of", f"names no event before this one: {event.what.of!r}", "events without an id are e1, e2 ..."
        )
    ended_ms = event.what.ended_ms if isinstance(event.what, Sell) else None
    if ended_ms is not None and ended_ms < (clock if event.at_ms is None else event.at_ms):
        fields.problem("ended_at", "lies before the lift", "a sale ends after its nozzle was lifted")
    if event.at_ms is None:
        return clock
    if event.at_ms < clock:
        fields.problem("at", "lies before the event above", "events stand in the order in which they happen")
    return max(clock, event.at_ms)
