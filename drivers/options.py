"""Options of a line, read into a protocol's own frozen record: names, types and limits come from the record itself.

Knows no protocol. Times are whole milliseconds, or text such as ``"35ms"`` or ``"2s"``; a field that ends in ``_s`` is
one, and its option has the name without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from drivers.errors import WiringError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
Limits = Mapping[str, tuple[int, int]]
"""Smallest and largest value of each number by the option's name; times in milliseconds."""

_DURATION = re.compile(r"(\d{1,6})\s*(ms|s)")


def check(kind: type[T], limits: Limits, options: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """Every problem of ``options`` as (key, what is wrong, what to write instead); empty when all is well."""
    problems = []
    for key, value in options.items():
        try:
            _read(names(kind), limits, key, value)
        except WiringError as error:
            problems.append((key, str(error), error.hint))
    return problems


def read(kind: type[T], limits: Limits, options: Mapping[str, object]) -> T:
    """The checked options as ``kind``. Raises ``WiringError`` at the first problem."""
    known = names(kind)
    values: dict[str, Any] = {}
    for key, value in options.items():
        checked = _read(known, limits, key, value)
        values[known[key].name] = checked
    return kind(**values)


def names(kind: type[T]) -> dict[str, Field[Any]]:
    """The fields of ``kind`` by the names of their options."""
    return {field.name.removesuffix("_s"): field for field in fields(kind)}


def _read(known: Mapping[str, Field[Any]], limits: Limits, key: str, value: object) -> int | float | bool | str:
    field = known.get(key)
    if field is None:
        raise WiringError("there is no such option", hint=f"known options: {', '.join(sorted(known))}")
    if isinstance(field.default, bool):
        if not isinstance(value, bool):
            raise WiringError(f"{value!r} is not true or false", hint="write true or false, without quotes")
        return value
    words = field.metadata.get("words", ())
    if words:
        if not isinstance(value, str) or value not in words:
            raise WiringError(f"{value!r} is not allowed", hint=f"write one of {', '.join(map(repr, words))}")
        return value
    low, high = limits[key]
    is_time = field.name.endswith("_s")
    unit = " ms" if is_time else ""
    number = _milliseconds(value) if is_time else value
    if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
        raise WiringError(f"{value!r} is not allowed", hint=f"write a whole number from {low} to {high}{unit}")
    return number / 1000 if is_time else number


def _milliseconds(value: object) -> object:
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        return int(match[1]) * (1000 if match[2] == "s" else 1) if match else None
    return value
