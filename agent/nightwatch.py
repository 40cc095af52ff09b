"""The look over many links: when a shift was closed, and every night; beside the pipeline, so that no sale waits.

Reads on its own connection, asks the pure rules, and puts what they found on the inbox; writes nothing.
"""

from __future__ import annotations

import zoneinfo
from datetime import date, datetime, time, timedelta

from agent.clock import Clock
from agent.domain import fraud_night as rules
from agent.domain.fraud import Finding
from agent.domain.fraud_days import multiplier_days
from agent.domain.fraud_night import Span
from agent.domain.rules.load import parse
from agent.inbox import FraudLooked, Inbox, Item
from agent.logs import get_logger
from agent.settings import Settings
from agent.store.fraud_queries import FraudQueries
from agent.supervisor import Heart

LOOK_EVERY_S = 5.0
AFTER_START_MS = 60_000
"""First of all the station opens."""

NIGHT, SHIFT = "fraud_night", "fraud_shift"
"""What the database remembers: the last night and the last shift that were looked over."""

_DAY_MS = 86_400_000
_WEEK_MS = 7 * _DAY_MS
_log = get_logger("nightwatch")


class NightWatch:
    """Decides when it is time, looks, tells. ``night`` and ``shift``: what was looked over before this start."""

    def __init__(
        self, settings: Settings, clock: Clock, inbox: Inbox[Item], *, night: str | None, shift: str | None
    ) -> None:
        self._settings = settings
        self._limits = settings.fraud.limits()
        self._queries = FraudQueries(settings.store.path)
        self._clock = clock
        self._inbox = inbox
        self._night = night
        self._shift = int(shift or "0")
        self._not_before_ms = clock.mono_ms() + AFTER_START_MS

    def shell(self, heart: Heart) -> None:
        """Look at the clock and at the shifts until the end is asked for."""
        while heart.rest(LOOK_EVERY_S):
            if self._clock.mono_ms() >= self._not_before_ms:
                self.look()

    def look(self) -> None:
        """Look over what is due, and tell what was found; a clock that nobody set decides no night."""
        if self._settings.station.mode == "training" or self._clock.quality() not in ("ntp", "rtc"):
            return
        now_ms = self._clock.wall_ms()
        last = self._queries.last_shift()
        if last > self._shift:
            self._look_over_shifts(now_ms)
            self._shift = last
        at = night_before(now_ms, self._settings.fraud.night_at, self._settings.station.tz)
        if self._night != at.date().isoformat():
            self._night = at.date().isoformat()
            self._tell(self.over_night(at), {NIGHT: self._night})

    def _look_over_shifts(self, now_ms: int) -> None:
        """Look over the shifts that were closed since, and over the days that end with the last of them."""
        for number, begin, end in self._queries.shifts((now_ms - _WEEK_MS, now_ms)):
            if number > self._shift:
                found = self._over_shift(begin, end) + self._over_days(end, self._day(end - 1))
                self._tell(found, {SHIFT: str(number)})

    def _tell(self, found: list[Finding], facts: dict[str, str]) -> None:
        _log.info("links looked over", findings=len(found), **facts)
        self._inbox.put(FraudLooked(tuple(found), facts))

    def over_night(self, at: datetime) -> list[Finding]:
        """Return what the rules find at a night's instant; a day without a shift is a shift of its own."""
        end_ms = _unix_ms(at)
        day = at.date() - timedelta(days=1)
        found = self._over_days(end_ms, day.isoformat())
        if not self._queries.shifts((end_ms - _DAY_MS, end_ms)):
            whole = self._span_of(day)
            found += self._over_shift(whole.from_ms, whole.to_ms)
        return found

    def _over_shift(self, from_ms: int, to_ms: int) -> list[Finding]:
        span = Span(self._day(to_ms - 1), from_ms, to_ms)
        shares = self._queries.late(span, self._limits.late_after_ms)
        return [
            *rules.late(shares, span, self._limits),
            *rules.corrected_in_shift(self._queries.corrected(span), span, self._limits),
        ]

    def _over_days(self, to_ms: int, day: str) -> list[Finding]:
        """Return what the rules find in the days up to an instant, filed under a local day."""
        limits, ask = self._limits, self._queries
        month = Span(day, to_ms - limits.concentration_ms, to_ms)
        week = Span(day, to_ms - limits.pair_ms, to_ms)
        weak = Span(day, to_ms - limits.weak_ms, to_ms)
        changed = Span(day, to_ms - limits.corrections_ms, to_ms)
        season = Span(day, to_ms - limits.sleeper_ms, to_ms)
        return [
            *rules.concentrated(ask.tops(month), ask.pairs(week, limits.pair_links), (month, week), limits),
            *rules.sleepers(ask.habits(season, limits), season, limits),
            *rules.weak(ask.weak(weak), weak, limits),
            *rules.corrected(ask.corrected(changed), changed, limits),
            *self._on_multiplier_day(date.fromisoformat(day)),
        ]

    def _on_multiplier_day(self, day: date) -> list[Finding]:
        document = self._queries.rules()
        if document is None:
            return []
        before = [day - timedelta(days=n) for n in range(1, self._limits.multiplier_ms // _DAY_MS + 1)]
        multiplied = multiplier_days(parse(document, kept=True), self._settings.station.id, [day, *before])
        if day not in multiplied:
            return []
        span = self._span_of(day)
        usual = [self._span_of(one) for one in before if one not in multiplied]
        busy = self._queries.busy(span, self._limits.multiplier_fuellings)
        return rules.on_multiplier_day(busy, self._queries.day_shares(span, usual), span, self._limits)

    def _day(self, wall_ms: int) -> str:
        return datetime.fromtimestamp(wall_ms / 1000, self._settings.station.tz).date().isoformat()

    def _span_of(self, day: date) -> Span:
        """Return a local day from its midnight to the next."""
        zone = self._settings.station.tz
        begin, end = (datetime.combine(one, time(), zone) for one in (day, day + timedelta(days=1)))
        return Span(day.isoformat(), _unix_ms(begin), _unix_ms(end))


def night_before(wall_ms: int, at_minutes: int, zone: zoneinfo.ZoneInfo) -> datetime:
    """Return the last instant at which the clock on the wall showed ``at_minutes`` of the day."""
    now = datetime.fromtimestamp(wall_ms / 1000, zone)
    at = time(at_minutes // 60, at_minutes % 60)
    tonight = datetime.combine(now.date(), at, zone)
    return tonight if tonight <= now else datetime.combine(now.date() - timedelta(days=1), at, zone)


def _unix_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
