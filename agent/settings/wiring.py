"""Lines, readers and what hangs on them: each driver judges its own options, addresses and devices; no port is opened.

Reports where the fault stands in the file. Knows no protocol.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent.settings import model
from drivers import registry
from drivers.config import LineConfig
from drivers.errors import WiringError
from drivers.places import Path
from drivers.port import EVDEV

Report = Callable[[Path, str, str], None]

_BY_ORDER = re.compile(r"/dev/(?:tty(?:USB|ACM)|input/event)[0-9]+")
"""Names that the system gives in the order of plugging in."""

_USERS = {
    "dispenser": ("fuelling_point", "dispenser", "name a line of dispensers"),
    "tank-gauge": ("tank", "gauge", "name the line of a tank gauge"),
}
"""By kind of driver: the section that hangs on such a line, and words about it."""


def sections(document: Mapping[str, Any], key: str) -> tuple[Mapping[str, Any], ...]:
    """Return the raw sections of a list, one entry per section; what is no section counts as an empty one."""
    found = document.get(key, ())
    return tuple(item if isinstance(item, dict) else {} for item in found) if isinstance(found, tuple) else ()


def check(document: Mapping[str, Any], values: Mapping[str, Any], report: Report) -> None:
    """Report what is wrong with lines and readers, and with points and tanks as far as their line is concerned."""
    wiring = _Wiring(document, values, report)
    for kind in _USERS:
        wiring.users(kind)
    wiring.addresses()
    wiring.lines()
    wiring.readers()
    wiring.ports_once()


def warnings(settings: model.Settings) -> list[tuple[str, str, str, str]]:
    """Return what works and should still be changed, as (line, option, what is wrong, what to do)."""
    return [
        (config.id, *warning)
        for config in settings.line_configs()
        for warning in [*_unsteady(config.port), *registry.spec(config.protocol).warn_options(config.options)]
    ]


def _unsteady(port: str) -> list[registry.OptionProblem]:
    """Return a warning for a port whose name another device may have after the next start."""
    path = port.removeprefix(EVDEV)
    if _BY_ORDER.fullmatch(path) is None:
        return []
    where = (
        "/dev/input/by-id/...-event-kbd" if port.startswith(EVDEV) else "/dev/serial/by-id/... or /dev/forecourt/..."
    )
    return [("port", f"{path} is whichever device was plugged in first", f"name it by {where}")]


def _spec(protocol: str) -> registry.DriverSpec | WiringError:
    try:
        return registry.spec(protocol)
    except WiringError as failure:
        return failure


class _Wiring:
    """One look at one document. A line where a point or tank is at fault is not given to its driver."""

    def __init__(self, document: Mapping[str, Any], values: Mapping[str, Any], report: Report) -> None:
        self._raw = {key: sections(document, key) for key in ("line", "fuelling_point", "tank", "reader")}
        self._values = values
        self._report = report
        self._specs = {line.id: _spec(line.protocol) for line in values["line"] if line is not None}
        self._named = {item["id"] for item in self._raw["line"] if isinstance(item.get("id"), str)}
        self._spoilt: set[str] = set()

    def users(self, kind: str) -> None:
        """Points name dispenser lines, tanks name gauge lines."""
        section, what, hint = _USERS[kind]
        for number, item in enumerate(self._values[section]):
            if item is None or item.line is None:
                continue
            spec = self._specs.get(item.line)
            here: Path = (section, number, "line")
            if item.line not in self._named:
                self._report(here, f"there is no line {item.line!r}", "name the id of a [[line]]")
            elif isinstance(spec, registry.DriverSpec) and spec.kind in _USERS and spec.kind != kind:
                self._report(here, f"line {item.line!r} speaks no {what} protocol", hint)
                self._spoilt.add(item.line)

    def addresses(self) -> None:
        """Two points of one wire must differ, or both would answer."""
        seen: set[tuple[str, int]] = set()
        for number, point in enumerate(self._values["fuelling_point"]):
            if point is None:
                continue
            if (point.line, point.address) in seen:
                problem = "two fuelling points of one line share this address"
                self._report(("fuelling_point", number, "address"), problem, "give each its own")
                self._spoilt.add(point.line)
            seen.add((point.line, point.address))

    def lines(self) -> None:
        """Each line has a known protocol, sound options and somebody who uses it."""
        for number, line in enumerate(self._values["line"]):
            if line is None:
                continue
            here: Path = ("line", number)
            spec = self._specs[line.id]
            if isinstance(spec, WiringError):
                self._report((*here, "protocol"), str(spec), spec.hint)
            elif spec.kind == "code-reader":
                problem = f"{line.protocol!r} is the protocol of a reader"
                self._report((*here, "protocol"), problem, "configure it as a [[reader]]")
            else:
                self._line(here, line, spec)

    def readers(self) -> None:
        """Each reader has sound options and a wire of its own."""
        for number, reader in enumerate(self._values["reader"]):
            if reader is None:
                continue
            if reader.kind == model.HANDHELD:
                self._handheld(number)
                continue
            self._reader(number, reader)
            wire = model.reader_line_id(reader.id)
            if wire in self._named:
                problem = f"a line is called {wire!r}, which is the name of this reader's wire"
                self._report(("reader", number, "id"), problem, "give the line or the reader another id")

    def _handheld(self, number: int) -> None:
        """A handheld hangs on no wire: it comes through the station's web server."""
        for key in ("port", "serial", "options"):
            if key in self._raw["reader"][number]:
                self._report(("reader", number, key), "has no meaning for a handheld", "remove it")
        if "board" not in self._values:
            hint = "add [board] with listen and, beyond this machine, certificate_file and key_file"
            self._report(("reader", number, "kind"), "nobody listens for a handheld without [board]", hint)

    def _reader(self, number: int, reader: model.ReaderSettings) -> None:
        if not reader.port:
            self._report(("reader", number, "port"), "is missing", "name the reader's port")
            return
        spec = registry.spec(reader.kind)
        if not self._options(("reader", number), spec, reader.options):
            return
        try:
            spec.make_devices(model.reader_config(reader))
        except WiringError as failure:
            self._report(("reader", number, "port"), str(failure), failure.hint)

    def ports_once(self) -> None:
        """A port can be opened by one line or reader only."""
        seen: set[str] = set()
        for key in ("line", "reader"):
            for number, item in enumerate(self._raw[key]):
                port = item.get("port")
                if not isinstance(port, str) or not port:
                    continue
                if port in seen:
                    hint = "one port belongs to one line or reader"
                    self._report((key, number, "port"), f"port {port!r} is used twice", hint)
                seen.add(port)

    def _options(self, here: Path, spec: registry.DriverSpec, options: Mapping[str, object]) -> bool:
        problems = spec.check_options(options)
        for key, problem, hint in problems:
            self._report((*here, "options", key), problem, hint)
        return not problems

    def _line(self, here: Path, line: model.LineSettings, spec: registry.DriverSpec) -> None:
        section = _USERS[spec.kind][0]
        users = [number for number, item in enumerate(self._raw[section]) if item.get("line") == line.id]
        lost = any(item.get("line") not in (None, *self._named) for item in self._raw[section])
        if not users and not lost:  # with a name mistyped, this is the line that was meant
            hint = f"add a [[{section}]] with line = {line.id!r}, or remove the line"
            self._report((*here, "id"), f"no {section} uses this line", hint)
        sound = self._options(here, spec, line.options)
        items = [self._values[section][number] for number in users]
        if not sound or not users or None in items or line.id in self._spoilt:
            return
        station = self._values.get("station")
        exponent = 2 if station is None else station.exponent
        points, tanks = (items, []) if section == "fuelling_point" else ([], items)
        self._devices(here, spec, model.line_config(line, points, tanks, exponent), users)

    def _devices(self, here: Path, spec: registry.DriverSpec, config: LineConfig, users: Sequence[int]) -> None:
        """Let the driver make its devices: of each point alone, to tell faults at their places, then of all."""
        sound = True
        for number, point in zip(users, config.points, strict=False):  # a gauge's line has no points
            try:
                spec.make_devices(replace(config, points=(point,)))
            except WiringError as failure:
                self._report(("fuelling_point", number), str(failure), failure.hint)
                sound = False
        if not sound:
            return
        try:
            spec.make_devices(config)
        except WiringError as failure:
            self._report(here, str(failure), failure.hint)
