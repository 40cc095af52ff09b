"""What the sections of station.toml must hold together: names that exist, ids once, limits in order.

Works on the raw document beside the validated items, so a fault in one item starts no avalanche of others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.domain.wetstock.limits import tank_limits
from agent.settings import model, policies, wiring
from drivers.places import Path

Report = Callable[[Path, str, str], None]

_LIMIT_KEYS = {
    "maximum_product_ml": "maximum_l",
    "high_product_ml": "high_l",
    "overfill_ml": "overfill_l",
    "delivery_needed_ml": "delivery_needed_l",
    "low_product_ml": "low_l",
    "unpumpable_ml": "heel_l",
    "water_warning_um": "water_warning_mm",
    "water_alarm_um": "water_alarm_mm",
    "high_temperature_mdegc": "high_temperature_c",
    "low_temperature_mdegc": "low_temperature_c",
}
"""Names of the limits where they are judged, in thousandths of the units of the file, and in the file."""

_LIMIT_VALUE = re.compile(r"(\w+_(?:ml|um|mdegc))(?: \((-?\d+)\)| is (-?\d+))?")
_CAPACITY = re.compile(r"capacity of (\d+) ml")
_GRADE_CODE = re.compile(r"[A-Za-z0-9#+_-]{1,16}")
_HINT_LIMITS = "keep maximum > high > overfill > delivery needed > low > heel, and alarms beyond their warnings"


def run(document: Mapping[str, Any], values: Mapping[str, Any], report: Report) -> None:
    """Check everything that needs more than one section; ``values`` holds ``None`` for items that were refused."""
    for key in ("line", "fuelling_point", "tank", "reader", "staff"):
        _ids_once(wiring.sections(document, key), key, report)
    wiring.check(document, values, report)
    _points(document, values["fuelling_point"], report)
    _tanks(document, values["tank"], report)
    _readers(document, values["reader"], report)
    _grades(document, report)
    policies.check(values, report)


def _word(value: object) -> str | int | None:
    """Return a name or number that may be looked up; anything else has its own fault already."""
    return value if isinstance(value, str) or type(value) is int else None


def _ids_once(sections: Sequence[Mapping[str, Any]], key: str, report: Report) -> None:
    seen: set[str | int] = set()
    for number, section in enumerate(sections):
        value = _word(section.get("id"))
        if value is None:
            continue
        if value in seen:
            report((key, number, "id"), f"{value!r} is used twice", "give every one its own id")
        seen.add(value)


def _grade_codes(document: Mapping[str, Any]) -> frozenset[str]:
    grades = document.get("grade", {})
    return frozenset(grades) if isinstance(grades, dict) else frozenset()


def _points(document: Mapping[str, Any], points: Sequence[model.PointSettings | None], report: Report) -> None:
    grades = _grade_codes(document)
    tanks = {_word(tank.get("id")): _word(tank.get("grade")) for tank in wiring.sections(document, "tank")}
    for number, point in enumerate(points):
        if point is None:
            continue
        for which, nozzle in enumerate(point.nozzle):
            there: Path = ("fuelling_point", number, "nozzle", which)
            if nozzle.grade not in grades:
                report((*there, "grade"), f"there is no grade {nozzle.grade!r}", f"add [grade.{nozzle.grade}]")
            if nozzle.tank not in tanks:
                report((*there, "tank"), f"there is no tank {nozzle.tank}", "name the id of a [[tank]]")
            elif tanks[nozzle.tank] not in (nozzle.grade, None) and nozzle.grade in grades:
                problem = f"tank {nozzle.tank} holds grade {tanks[nozzle.tank]}, the nozzle sells {nozzle.grade}"
                report((*there, "tank"), problem, "make the grades of nozzle and tank the same")
            if nozzle.id in [earlier.id for earlier in point.nozzle[:which]]:
                report((*there, "id"), f"nozzle {nozzle.id} is named twice", "give every nozzle its own id")


def _tanks(document: Mapping[str, Any], tanks: Sequence[model.TankSettings | None], report: Report) -> None:
    grades = _grade_codes(document)
    indexes: set[tuple[str, int]] = set()
    for number, tank in enumerate(tanks):
        if tank is None:
            continue
        here: Path = ("tank", number)
        if tank.grade not in grades:
            report((*here, "grade"), f"there is no grade {tank.grade!r}", f"add [grade.{tank.grade}]")
        given = wiring.sections(document, "tank")[number]
        if tank.line is None and "gauge_index" in given:
            report((*here, "gauge_index"), "has no meaning without a line", "name the gauge's line, or remove it")
        elif tank.line is not None and "gauge_index" not in given:
            report((*here, "gauge_index"), "is missing", "add the tank's number at the gauge")
        elif tank.line is not None:
            if (tank.line, tank.gauge_index) in indexes:
                report((*here, "gauge_index"), "two tanks share this number of one gauge", "give each its own")
            indexes.add((tank.line, tank.gauge_index))
        for key, problem, hint in limit_problems(tank):
            report((*here, key), problem, hint)


def limit_problems(tank: model.TankSettings) -> list[tuple[str, str, str]]:
    """Return (key, problem, hint) for limits that cannot be used; one value is one fault."""
    overrides = tank.limit_overrides()
    _, problems = tank_limits(tank.capacity_l, heel_ml=tank.heel_l, overrides=overrides)
    given = {*overrides, *([] if tank.heel_l is None else ["unpumpable_ml"])}
    found = []
    told: set[str] = set()
    for problem in problems:
        named = [hit[1] for hit in _LIMIT_VALUE.finditer(problem) if hit[1] in given]
        if told.intersection(named):
            continue
        told.update(named)
        key = _LIMIT_KEYS[named[0]] if named else "capacity_l"
        found.append((key, _in_words_of_the_file(problem), _HINT_LIMITS))
    return found


def _in_words_of_the_file(problem: str) -> str:
    """Return the sentence with the keys and the units of the file: litres, millimetres, degrees."""

    def limit(hit: re.Match[str]) -> str:
        key = _LIMIT_KEYS.get(hit[1], hit[1])
        if hit[2] is not None:
            return f"{key} ({_thousandths(hit[2])})"
        return key if hit[3] is None else f"{key} is {_thousandths(hit[3])}"

    shown = _LIMIT_VALUE.sub(limit, problem.removeprefix("tank limit "))
    return _CAPACITY.sub(lambda hit: f"capacity of {_thousandths(hit[1])} l", shown)


def _thousandths(text: str) -> str:
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, part = divmod(int(digits), 1000)
    return sign + (f"{whole}.{part:03d}".rstrip("0") if part else str(whole))


def _readers(document: Mapping[str, Any], readers: Sequence[model.ReaderSettings | None], report: Report) -> None:
    points = {_word(point.get("id")) for point in wiring.sections(document, "fuelling_point")}
    for number, reader in enumerate(readers):
        for which, point in enumerate(() if reader is None else reader.fuelling_points):
            if point not in points:
                problem = f"there is no fuelling point {point}"
                report(("reader", number, "fuelling_points", which), problem, "name ids of [[fuelling_point]]")


def _grades(document: Mapping[str, Any], report: Report) -> None:
    if document.get("grade") == {}:
        report(("grade",), "no grade is defined", "add at least one [grade.<code>]")
    for code in _grade_codes(document):
        if not _GRADE_CODE.fullmatch(code):
            hint = "use 1 to 16 of the letters A-Z and a-z, digits, and # + _ -; the name is for people"
            report(("grade", code), f"{code!r} cannot be a grade code", hint)
