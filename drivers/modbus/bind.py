"""A register map and what the station says about its installation: together they leave nothing open.

Knows the values a map may ask for. Knows no station file: values come as a mapping of names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from drivers.errors import WiringError
from drivers.modbus.checks import CONVERSIONS, UNITS, WORD_ORDER, unit_value
from drivers.modbus.fields import units_of
from drivers.modbus.keys import MapError, Problem, as_decimal, as_number, told
from drivers.modbus.model import (
    LAST_ADDRESS,
    TANK,
    Address,
    Conversions,
    Field,
    RegisterMap,
    Role,
    SetupWrite,
    Unit,
    WordOrder,
    Write,
)
from drivers.modbus.units import NEEDS
from drivers.modbus.values import encode
from drivers.modbus.writes import OWN_VALUES


def bind(map_: RegisterMap, values: Mapping[str, object]) -> RegisterMap:
    """``map_`` with the station's ``values`` in it: no word order, unit, index or value is open afterwards.

    Only the index ``tank`` stays in addresses. Raises ``MapError`` with every value that is missing, unknown or wrong.
    """
    bound, problems = take_in(map_, values)
    missing = [name for name in map_.requires if name not in values]
    problems += [
        Problem(f"map {map_.id}", 0, name, "the station must give this value", f"add {name} = ... to its values")
        for name in missing
    ]
    if problems:
        raise MapError(problems)
    return bound


def take_in(map_: RegisterMap, values: Mapping[str, object]) -> tuple[RegisterMap, list[Problem]]:
    """``map_`` with the values that are there and right, and the problems of the others; missing ones stay open."""
    station = _Station(map_, values)
    bound = replace(
        map_,
        word_order=map_.word_order or station.word_order(),
        fields={name: station.field(one) for name, one in map_.fields.items()},
        commands={name: replace(one, write=station.write(one.write)) for name, one in map_.commands.items()},
        setup=replace(
            map_.setup, writes=tuple(SetupWrite(station.write(w.write), w.verify) for w in map_.setup.writes)
        ),
        record=map_.record
        and replace(map_.record, ack=None if map_.record.ack is None else station.write(map_.record.ack)),
        select=None if map_.select is None else station.write(map_.select),
        conversions=Conversions(*(station.positive(name) for name in CONVERSIONS)),
    )
    for name in values:
        if name not in map_.requires:
            known = ", ".join(map_.requires) or "none at all"
            station.refuse(name, "the map does not ask for this value", f"it asks for: {known}")
    return bound, station.problems


def station_units(map_: RegisterMap, one: Field) -> frozenset[Unit]:
    """The units the station may choose for a field; no kilograms for a volume that the map asks no density for."""
    units = units_of(one.role)
    if one.role is None or one.role is Role.MASS:
        return units
    return frozenset(unit for unit in units if NEEDS.get(unit, "") in {"", *map_.requires})


@dataclass(slots=True)
class _Station:
    """The values of one station for one map; each wrong one is told once."""

    map_: RegisterMap
    values: Mapping[str, object]
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, name: str, problem: str, hint: str) -> None:
        found = Problem(f"map {self.map_.id}", 0, name, problem, hint)
        if found not in self.problems:
            self.problems.append(found)

    def word_order(self) -> WordOrder | None:
        found: WordOrder | None = self._word(WORD_ORDER, {order.value: order for order in WordOrder})
        return found

    def positive(self, name: str) -> Fraction | None:
        if name not in self.map_.requires or name not in self.values:
            return None
        value = as_decimal(self.values[name])
        if value is None or value <= 0:
            self.refuse(name, f"{told(self.values[name])} is no factor", 'write a decimal above zero, such as "742.5"')
            return None
        return value

    def field(self, one: Field) -> Field:
        bound = replace(
            one, address=self.address(one.address, one.count), word_order=one.word_order or self.word_order()
        )
        if one.measures:
            measure = self._word(UNITS, one.measures)
            return bound if measure is None else replace(bound, unit=measure.unit, scale=measure.scale, measures={})
        if one.unit is Unit.STATION:
            units = {unit.value: unit for unit in station_units(self.map_, one)}
            return replace(bound, unit=self._word(unit_value(one.name), units) or one.unit)
        return bound

    def write(self, one: Write) -> Write:
        bound = replace(
            one, address=self.address(one.address, one.count), word_order=one.word_order or self.word_order()
        )
        name = one.value_from
        if not name or name in OWN_VALUES or name not in self.values:
            return bound
        value = as_decimal(self.values[name])
        raw = None if value is None else value / one.scale
        if raw is None or raw.denominator != 1:
            self.refuse(
                name, f"{told(self.values[name])} cannot be written", "write a number that the register can hold"
            )
            return bound
        bound = replace(bound, value=raw.numerator, value_from="")
        try:
            encode(replace(bound, word_order=WordOrder.ABCD))  # whether it fits does not depend on the order
        except WiringError as error:
            self.refuse(name, str(error), error.hint)
        return bound

    def address(self, one: Address, count: int) -> Address:
        base, left = one.base, []
        for term in one.terms:
            index = as_number(self.values.get(term.index), 0, LAST_ADDRESS) if term.index != TANK else None
            if index is None:
                left.append(term)
                if term.index in self.values and term.index != TANK:
                    shown = told(self.values[term.index])
                    self.refuse(term.index, f"{shown} is no index", "write a whole number from 0")
            else:
                base += term.stride * index
        if not left and not 0 <= base <= LAST_ADDRESS + 1 - count:
            names = ", ".join(term.index for term in one.terms)
            self.refuse(names, f"leads to wire address {base}", f"addresses are 0 to {LAST_ADDRESS}")
        return Address(one.table, base, tuple(left))

    def _word(self, name: str, words: Mapping[str, Any]) -> Any:
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, str) and value in words:
            return words[value]
        self.refuse(name, f"{told(value)} cannot be used here", "use one of " + ", ".join(sorted(words)))
        return None
