"""What the sections of station.toml must hold together: names that exist, ids once, limits in order.

Works on the raw document beside the validated items, so a fault in one item starts no avalanche of others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.settings import model
from agent.settings.places import Path
from drivers import registry
from drivers.errors import WiringError

Report = Callable[[Path, str, str], None]


def run(document: Mapping[str, Any], values: Mapping[str, Any], report: Report) -> None:
    """Check everything that needs more than one section; ``values`` holds ``None`` for items that were refused."""
    for key in ("line", "fuelling_point", "tank", "reader"):
        _ids_once(_items(document, key), key, report)
    lines = {line.get("id"): line.get("protocol") for line in _items(document, "line")}
    _protocols(values["line"], report)
    _points(document, values["fuelling_point"], lines, report)
    _tanks(document, values["tank"], lines, report)
    _readers(document, values["reader"], report)
    _grades_in_order(document, report)
    _ports(document, report)


def _items(document: Mapping[str, Any], key: str) -> tuple[Mapping[str, Any], ...]:
    items = document.get(key, ())
    return tuple(i for i in items if isinstance(i, dict)) if isinstance(items, tuple) else ()


def _ids_once(items: Sequence[Mapping[str, Any]], key: str, report: Report) -> None:
    seen: set[object] = set()
    for number, item in enumerate(items):
        value = item.get("id")
        if value is not None and value in seen:
            report((key, number, "id"), f"{value!r} is used twice", "give every one its own id")
        seen.add(value)


def _protocols(lines: Sequence[model.LineSettings | None], report: Report) -> None:
    for number, line in enumerate(lines):
        if line is None:
            continue
        try:
            spec = registry.spec(line.protocol)
        except WiringError as failure:
            report(("line", number, "protocol"), str(failure), failure.hint)
            continue
        for key, problem, hint in spec.check_options(line.options):
            report(("line", number, "options", key), problem, hint)


def _kind(protocol: object) -> str | None:
    if not isinstance(protocol, str):
        return None
    try:
        return registry.spec(protocol).kind
    except WiringError:
        return None


def _points(
    document: Mapping[str, Any],
    points: Sequence[model.PointSettings | None],
    lines: Mapping[object, object],
    report: Report,
) -> None:
    grades = document.get("grade", {})
    tanks = {tank.get("id"): tank.get("grade") for tank in _items(document, "tank")}
    addresses: set[tuple[str, int]] = set()
    for number, point in enumerate(points):
        if point is None:
            continue
        here: Path = ("fuelling_point", number)
        if point.line not in lines:
            report((*here, "line"), f"there is no line {point.line!r}", "name the id of a [[line]]")
        elif _kind(lines[point.line]) not in (None, "dispenser"):
            report((*here, "line"), f"line {point.line!r} speaks no dispenser protocol", "name a line of dispensers")
        if (point.line, point.address) in addresses:
            report((*here, "address"), "two fuelling points of one line share this address", "give each its own")
        addresses.add((point.line, point.address))
        for which, nozzle in enumerate(point.nozzle):
            there: Path = (*here, "nozzle", which)
            if nozzle.grade not in grades:
                report((*there, "grade"), f"there is no grade {nozzle.grade!r}", f"add [grade.{nozzle.grade}]")
            if nozzle.tank not in tanks:
                report((*there, "tank"), f"there is no tank {nozzle.tank}", "name the id of a [[tank]]")
            elif tanks[nozzle.tank] != nozzle.grade and nozzle.grade in grades:
                problem = f"tank {nozzle.tank} holds grade {tanks[nozzle.tank]}, the nozzle sells {nozzle.grade}"
                report((*there, "tank"), problem, "make the grades of nozzle and tank the same")
        _nozzles_once(point, here, report)


def _nozzles_once(point: model.PointSettings, here: Path, report: Report) -> None:
    ids = [nozzle.id for nozzle in point.nozzle]
    for which, nozzle in enumerate(point.nozzle):
        if nozzle.id in ids[:which]:
            report((*here, "nozzle", which, "id"), f"nozzle {nozzle.id} is named twice", "give every nozzle its own id")


def _tanks(
    document: Mapping[str, Any],
    tanks: Sequence[model.TankSettings | None],
    lines: Mapping[object, object],
    report: Report,
) -> None:
    grades = document.get("grade", {})
    indexes: set[tuple[str, int]] = set()
    for number, tank in enumerate(tanks):
        if tank is None:
            continue
        here: Path = ("tank", number)
        if tank.grade not in grades:
            report((*here, "grade"), f"there is no grade {tank.grade!r}", f"add [grade.{tank.grade}]")
        if tank.line not in lines:
            report((*here, "line"), f"there is no line {tank.line!r}", "name the id of the gauge's [[line]]")
        elif _kind(lines[tank.line]) not in (None, "tank-gauge"):
            report((*here, "line"), f"line {tank.line!r} speaks no gauge protocol", "name the line of a tank gauge")
        if (tank.line, tank.gauge_index) in indexes:
            report((*here, "gauge_index"), "two tanks share this number of one gauge", "give each its own")
        indexes.add((tank.line, tank.gauge_index))
        for key, problem, hint in limit_problems(tank):
            report((*here, key), problem, hint)


def limit_problems(tank: model.TankSettings) -> list[tuple[str, str, str]]:
    """Return (key, problem, hint) for limits out of order: maximum > high > overfill > delivery needed > low > heel."""
    capacity = tank.capacity_l
    order = [
        ("maximum_l", tank.maximum_l, 97),
        ("high_l", tank.high_l, 95),
        ("overfill_l", tank.overfill_l, 90),
        ("delivery_needed_l", tank.delivery_needed_l, 20),
        ("low_l", tank.low_l, 10),
        ("heel_l", tank.heel_l, None),
    ]
    problems = []
    above: tuple[str, int] = ("capacity_l", capacity + 1)
    for key, value, percent in order:
        limit = value if value is not None else (None if percent is None else capacity * percent // 100)
        if limit is None:
            continue
        if limit >= above[1]:
            text = f"{limit} ml is not below {above[0]} ({above[1]} ml)"
            hint = "keep maximum > high > overfill > delivery needed > low > heel"
            problems.append((key if value is not None else above[0], text, hint))
        above = (key, limit)
    warning = tank.water_warning_mm if tank.water_warning_mm is not None else 25
    alarm = tank.water_alarm_mm if tank.water_alarm_mm is not None else 50
    if alarm <= warning:
        key = "water_alarm_mm" if tank.water_alarm_mm is not None else "water_warning_mm"
        problems.append((key, f"water alarm {alarm} mm is not above water warning {warning} mm", "raise the alarm"))
    return problems


def _readers(document: Mapping[str, Any], readers: Sequence[model.ReaderSettings | None], report: Report) -> None:
    points = {point.get("id") for point in _items(document, "fuelling_point")}
    for number, reader in enumerate(readers):
        if reader is None:
            continue
        for which, point in enumerate(reader.fuelling_points):
            if point not in points:
                problem = f"there is no fuelling point {point}"
                report(("reader", number, "fuelling_points", which), problem, "name ids of [[fuelling_point]]")
        for key, problem, hint in registry.spec(reader.kind).check_options(reader.options):
            report(("reader", number, "options", key), problem, hint)


def _grades_in_order(document: Mapping[str, Any], report: Report) -> None:
    grades = document.get("grade", {})
    if isinstance(grades, dict) and "grade" in document and not grades:
        report(("grade",), "no grade is defined", "add at least one [grade.<code>]")


def _ports(document: Mapping[str, Any], report: Report) -> None:
    seen: set[object] = set()
    for key in ("line", "reader"):
        for number, item in enumerate(_items(document, key)):
            port = item.get("port")
            if isinstance(port, str) and port and port in seen:
                report((key, number, "port"), f"port {port!r} is used twice", "one port belongs to one line or reader")
            seen.add(port)
