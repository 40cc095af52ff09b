"""A quoted evaluation as plain data that survives a restart, and back: the settlement commits it as it was told.

Knows the shape of records only. The rule set travels by version, the zone is the station's: both are handed in again.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import date, tzinfo
from enum import Enum
from fractions import Fraction
from functools import cache
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from agent.domain.rules.facts import LocalInstant
from agent.domain.rules.model import RuleSet
from agent.domain.rules.verdict import Evaluation

_HANDED_IN = frozenset({"rules", "instant"})


class QuoteDamaged(ValueError):
    """A stored quote cannot be read: a value is missing or of another kind than this version writes.

    Example scenarios: a row edited by hand; a quote held while another version was installed. Nothing was paid: release
    it and quote again.
    """


def to_plain(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as dicts, lists, strings, integers, booleans and None, ready for JSON."""
    instant = {"unix_ms": evaluation.instant.unix_ms, "lift_seen": evaluation.instant.lift_seen}
    told = {name: _plain(getattr(evaluation, name)) for name in _types(Evaluation) if name not in _HANDED_IN}
    return {**told, "instant": instant}


def from_plain(data: dict[str, Any], rules: RuleSet, zone: tzinfo) -> Evaluation:
    """Return the evaluation that ``to_plain`` wrote. Raises QuoteDamaged."""
    try:
        instant = LocalInstant(int(data["instant"]["unix_ms"]), zone, bool(data["instant"]["lift_seen"]))
        told = {name: _value(kind, data[name]) for name, kind in _types(Evaluation).items() if name not in _HANDED_IN}
        return Evaluation(**told, rules=rules, instant=instant)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise QuoteDamaged(f"the stored quote cannot be read ({error!r})") from error


@cache
def _types(kind: Any) -> dict[str, Any]:
    """Return the fields of a record with their types, resolved once."""
    hints = get_type_hints(kind)
    return {entry.name: hints[entry.name] for entry in fields(kind)}


def _plain(value: object) -> Any:
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, int | str):
        return value
    if isinstance(value, Fraction):
        return [value.numerator, value.denominator]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(_plain(item) for item in value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    kind: Any = type(value)
    return {name: _plain(getattr(value, name)) for name in _types(kind)}


def _value(kind: Any, data: Any) -> Any:
    """Return what ``_plain`` made ``data`` of, by its declared type."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is tuple:
        return tuple(_value(parts[0], item) for item in data)
    if origin is frozenset:
        return frozenset(_value(parts[0], item) for item in data)
    if parts:  # X | None
        (inner,) = (part for part in parts if part is not NoneType)
        return None if data is None else _value(inner, data)
    if kind is Fraction:
        return Fraction(data[0], data[1])
    if kind is date:
        return date.fromisoformat(data)
    if is_dataclass(kind) and isinstance(kind, type):
        return kind(**{name: _value(part, data[name]) for name, part in _types(kind).items()})
    if issubclass(kind, Enum):
        return kind(data)
    if type(data) is not kind:
        raise ValueError(f"{data!r} is no {kind.__name__}")
    return data
