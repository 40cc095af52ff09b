"""What people look up through the control socket: database and live board put together as documented JSON."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from typing import Any, Protocol

from agent.clock import Clock
from agent.domain.rules.explain import LANGUAGES
from agent.inbox import Asked, Inbox, Item, Person, refusal, success
from agent.live import LiveBoard
from agent.reports.arguments import BadArgument
from agent.reports.arguments import limit as _limit
from agent.reports.arguments import whole as _whole
from agent.reports.arguments import word as _word
from agent.reports.fraud import SUPERVISED
from agent.reports.questions import Reports
from agent.settings import Settings
from agent.store import link_queries
from agent.store.explained import as_json as explained
from agent.store.handheld_queries import paired
from agent.store.member_queries import MemberQueries
from agent.store.queries import NotFound, Queries, utc
from agent.store.verify import as_json as verified
from sync.buckets import BUCKETS

PIPELINE_ANSWER_S = 20.0
"""A step takes milliseconds; past this the pipeline hangs and the watchdog will act."""


class Backups(Protocol):
    """What is asked of the thread that makes backups."""

    def start(self, person: Person) -> dict[str, Any]:
        """Ask for a backup now."""
        ...

    def state(self) -> dict[str, Any]:
        """Return the last backup, what is being done, what went wrong."""
        ...


class Answers:
    """Answers every question of the control socket: reading ones here, the others by the pipeline."""

    def __init__(
        self,
        *,
        settings: Settings,
        live: LiveBoard,
        inbox: Inbox[Item],
        clock: Clock,
        version: str,
        incarnation: str,
        backups: Backups | None = None,
        index_key: bytes | None = None,
    ) -> None:
        self._settings = settings
        self._live = live
        self._inbox = inbox
        self._clock = clock
        self._version = version
        self._incarnation = incarnation
        self._backups = backups
        self._queries = Queries(settings.store.path)
        reports, members = Reports(settings, clock, index_key), MemberQueries(settings.store.path)
        self._reading: dict[str, Callable[[dict[str, Any]], Any]] = {
            "status": self._status,
            "pumps": lambda _: self._pumps(),
            "tanks": lambda _: self._tanks(),
            "tanks.deliveries": lambda a: self._queries.deliveries(limit=_limit(a), tank=_whole(a, "tank")),
            "tanks.gauge-alarms": lambda a: self._queries.gauge_events(limit=_limit(a)),
            "tanks.gauge-chart": lambda a: self._queries.chart(_whole(a, "tank") or 0),
            "sales": lambda a: self._queries.sales(limit=_limit(a), state=_word(a, "state"), point=_whole(a, "point")),
            "sales.show": lambda a: self._queries.sale(str(a.get("sale", "")).upper()),
            "rules.explain": lambda a: explained(settings.store.path, str(a.get("sale", "")).upper(), _language(a)),
            "alerts": lambda a: self._queries.alerts(all_states=bool(a.get("all")), limit=_limit(a)),
            "members": lambda a: members.members(limit=_limit(a)),
            "members.show": lambda a: members.member(reports.member(a), limit=_limit(a)),
            "members.of-sale": lambda a: {"member": members.member_of(str(a.get("sale", "")).upper())},
            "journal": self._journal,
            "sync": lambda _: self._sync(),
            "sync.commands": lambda a: link_queries.commands(settings.store.path, limit=_limit(a)),
            "prices": lambda _: self._queries.prices(),
            "prices.points": lambda _: self._price_points(),
            "prices.history": lambda a: self._queries.price_history(point=_whole(a, "point"), limit=_limit(a)),
            "station": lambda _: self._station(),
            "counts": lambda _: self._queries.counts(),
            "answers": lambda _: list(self._live.answers),
            "verify": lambda _: verified(settings.store.path),
            "backup": lambda _: self._backup(),
            "device.paired": lambda _: paired(settings.store.path),
            **reports.questions(),
        }

    def answer(self, op: str, args: dict[str, Any], person: Person) -> dict[str, Any]:
        """Return the answer to one question; never raises for what a person can do wrong."""
        reading = self._reading.get(op)
        if op in SUPERVISED and person.role != "supervisor":
            return refusal(f"{person.name} may not see this", "ask a user named in [control] supervisors")
        if reading is not None:
            try:
                return success(reading(args))
            except NotFound as problem:
                return refusal(str(problem), problem.hint)
            except BadArgument as problem:
                return refusal(str(problem), "see forecourt --help", 2)
            except sqlite3.Error as problem:
                return refusal(f"the database cannot be read: {problem}", "forecourt verify; then look at the log")
        if op == "backup.start":
            return self._start_backup(person)
        asked = Asked(op, args, person)
        if not self._inbox.put(asked):
            return refusal("the daemon is ending", "ask again when it runs", 3)
        answer = asked.reply.wait(PIPELINE_ANSWER_S)
        return answer if answer is not None else refusal("no answer from the pipeline", "look at the log", 3)

    def _start_backup(self, person: Person) -> dict[str, Any]:
        if person.role != "supervisor":
            return refusal(f"{person.name} may not do this", "ask a user named in [control] supervisors")
        if self._backups is None:
            return refusal("no backups are configured", "add [backup] recipients_file to the configuration", 2)
        return success(self._backups.start(person))

    def _backup(self) -> dict[str, Any] | None:
        if self._backups is None:
            return None
        state = self._backups.state()
        return {**state, "last_at": utc(state["last_at_ms"])}

    def _pumps(self) -> list[dict[str, Any]]:
        return [self._live.points[number] for number in sorted(self._live.points)]

    def _tanks(self) -> list[dict[str, Any]]:
        now_ms = self._clock.wall_ms()
        found = []
        for tank in self._settings.tank:
            known = self._live.tanks.get(tank.id)
            value: dict[str, Any] = {"tank": tank.id, "grade": tank.grade, "capacity_ml": tank.capacity_l}
            if known is None:
                found.append({**value, "quality": "no_reading", "volume_ml": None, "age_s": None})
            else:
                rest = {key: item for key, item in known.items() if key != "at_ms"}
                found.append({**rest, "at": utc(known["at_ms"]), "age_s": max(0, now_ms - known["at_ms"]) // 1000})
        return found

    def _price_points(self) -> list[dict[str, Any]]:
        return [
            {
                "fuelling_point": pump["fuelling_point"],
                "nozzle": nozzle["nozzle"],
                "grade": nozzle["grade"],
                "wanted_milli": nozzle["unit_price_milli"],
                "in_force_milli": nozzle["in_force_milli"],
                "state": nozzle["price_state"],
            }
            for pump in self._pumps()
            for nozzle in pump["nozzles"]
        ]

    def _journal(self, args: dict[str, Any]) -> list[dict[str, Any]]:
        stream = _word(args, "stream")
        if stream not in (None, "L", "A", "T"):
            raise BadArgument("stream is one of L, A, T")
        return self._queries.journal(stream=stream, limit=_limit(args), after=_whole(args, "after"))

    def _sync(self) -> dict[str, Any]:
        link = self._live.link
        meta = self._queries.meta()
        stopped = link["stopped"] or meta.get("stopped")
        return {
            "online": bool(link["online"]),
            "reason": link["reason"],
            "protocol": link.get("protocol"),
            "broker": self._settings.head_office.broker,
            "incarnation": self._incarnation,
            "incarnations": self._queries.incarnations(),
            "awaits_ends": "await_ends" in meta,
            "stopped": stopped,
            "fenced_since": utc(_stored(meta, "fenced_ms")),
            "streams": self._queries.streams(),
            "credit": link.get("credit"),
            "requests": link_queries.requests(self._settings.store.path),
            "last_command": next(iter(link_queries.commands(self._settings.store.path, limit=1)), None),
            "dead_letters": self._queries.rejected(),
            "members": self._members(meta),
        }

    def _members(self, meta: dict[str, str]) -> dict[str, Any]:
        """Return how far the member cache is; ``left_s`` is a guess from how fast it went so far."""
        fill = json.loads(meta.get("members_fill", "null"))
        return {
            "op": int(meta.get("member_op", "0")),
            "waits_for_manifest": "members_manifest_wanted" in meta or "members_to_compare" in meta,
            "audited_at": utc(_stored(meta, "members_audited_ms")),
            "filling": None if fill is None else self._filling(fill),
        }

    def _filling(self, fill: dict[str, int]) -> dict[str, Any]:
        done = fill["buckets"] - self._queries.missing_buckets()
        took_s = max(0, self._clock.wall_ms() - fill["since_ms"]) // 1000
        return {
            "members": fill["members"] * fill["buckets"] // BUCKETS,
            "members_stored": fill["stored"],
            "buckets": fill["buckets"],
            "buckets_stored": max(0, done),
            "left_s": took_s * (fill["buckets"] - done) // done if done > 0 else None,
        }

    def _station(self) -> dict[str, Any]:
        station = self._settings.station
        return {"station": station.id, "currency": station.currency, "exponent": station.exponent}

    def _status(self, _args: dict[str, Any]) -> dict[str, Any]:
        station, meta = self._settings.station, self._queries.meta()
        disk = shutil.disk_usage(self._settings.store.path.parent)
        return {
            "station": station.id,
            "name": station.name,
            "mode": station.mode,
            "version": self._version,
            "time": utc(self._clock.wall_ms()),
            "clock": self._clock.quality(),
            "currency": station.currency,
            "exponent": station.exponent,
            "fuelling_points": self._pumps(),
            "tanks": self._tanks(),
            "devices": [self._live.devices[name] for name in sorted(self._live.devices)],
            "unsettled_sales": self._queries.unsettled(),
            "alerts": self._queries.alerts(),
            "answers": list(self._live.answers[-5:]),
            "sync": self._sync(),
            "configuration": meta.get("configuration"),
            "disk_free_bytes": disk.free,
            "verified_at": utc(_stored(meta, "verified_at_ms")),
            "verify_findings": _stored(meta, "verify_findings"),
            "backup": self._backup(),
        }


def _stored(meta: dict[str, str], key: str) -> int | None:
    value = meta.get(key)
    return None if value is None else int(value)


def _language(args: dict[str, Any]) -> str:
    language = args.get("language", "en")
    if language not in LANGUAGES:
        raise BadArgument(f"no sentences in {language!r}: use one of {', '.join(LANGUAGES)}")
    return str(language)
