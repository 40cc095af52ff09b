"""What must hold between the parts of one map, and between maps: every check that needs more than one field.

Knows the records. Knows no file: the loader says where the problems stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import pairwise

from drivers.modbus.fields import COUNTERS, units_of
from drivers.modbus.model import (
    LAST_ADDRESS,
    TANK,
    Address,
    Field,
    Group,
    Profile,
    RawType,
    RegisterMap,
    Role,
    Unit,
    Write,
)
from drivers.modbus.units import NEEDS
from drivers.modbus.writes import OWN_VALUES
from drivers.places import Path

Fault = Callable[[Path, str, str], None]

_NEEDS: Mapping[Profile, tuple[tuple[Role, ...], ...]] = {
    Profile.DISPENSER: ((Role.STATE,), (Role.VOLUME,), (Role.AMOUNT,), (Role.TOTALIZER,)),
    Profile.METER: ((Role.TOTALIZER,), (Role.FLOW, Role.STATE)),
    Profile.PULSE_METER: ((Role.TOTALIZER,),),
    Profile.LOG: ((Role.SALE_ID,), (Role.SALE_VOLUME,)),
    Profile.GAUGE: ((Role.HEIGHT, Role.GROSS_VOLUME),),
}
"""One of each line of roles must be there."""

_MAY_REPEAT = frozenset({Role.ALARM, Role.ALARMS, Role.STATUS, Role.IDENTITY})
CONVERSIONS = ("k_factor", "density_kg_m3")
WORD_ORDER, UNITS = "word_order", "units"


def unit_value(name: str) -> str:
    """The station value that gives the unit of field ``name``."""
    return f"unit_{name}"


def run(map_: RegisterMap, select_confirmed: bool, fault: Fault) -> None:
    """Report everything that does not fit together through ``fault``."""
    _addresses(map_, fault)
    _references(map_, fault)
    _reading(map_, fault)
    for group in map_.groups:
        _group(map_, group, fault)
    _overlaps(map_, fault)
    _profile(map_, fault)
    _record(map_, fault)
    _gauge(map_, select_confirmed, fault)
    _requires(map_, fault)


def open_values(map_: RegisterMap) -> tuple[str, ...]:
    """Names of what only the station can say, each once: declared, then what the map leaves open."""
    names = list(map_.requires)
    writes = [write for _, write in _writes(map_)]
    orders = [field.word_order for field in map_.fields.values()] + [write.word_order for write in writes]
    if None in orders:
        names.append(WORD_ORDER)
    if any(field.measures for field in map_.fields.values()):
        names.append(UNITS)
    names += [
        unit_value(field.name) for field in map_.fields.values() if field.unit is Unit.STATION and not field.measures
    ]
    addresses = [field.address for field in map_.fields.values()] + [write.address for write in writes]
    names += [term.index for address in addresses for term in address.terms if term.index != TANK]
    names += [write.value_from for write in writes if write.value_from and write.value_from not in OWN_VALUES]
    return tuple(dict.fromkeys(names))


def conflicts(maps: Iterable[RegisterMap]) -> list[str]:
    """Sentences on maps that say they are the same (id and version) and are not."""
    seen: dict[tuple[str, int], str] = {}
    return [
        f"map {map_.id} version {map_.version} exists with different content: raise the version of one"
        for map_ in maps
        if seen.setdefault((map_.id, map_.version), map_.sha256) != map_.sha256
    ]


def limit(map_: RegisterMap, field: Field) -> int:
    """How many registers or bits of the field's table one request may ask for."""
    table = field.address.table
    return table.most_read if table.of_bits else min(map_.max_registers, table.most_read)


def _writes(map_: RegisterMap) -> list[tuple[Path, Write]]:
    """Every write of the map and where it stands in the file."""
    writes: list[tuple[Path, Write]] = [(("command", name), one.write) for name, one in map_.commands.items()]
    writes += [(("setup", "write", number), one.write) for number, one in enumerate(map_.setup.writes)]
    if map_.record is not None and map_.record.ack is not None:
        writes.append((("record", "ack"), map_.record.ack))
    return writes + ([(("select",), map_.select)] if map_.select is not None else [])


def _addresses(map_: RegisterMap, fault: Fault) -> None:
    for field in map_.fields.values():
        _fits(field.address, field.count, ("field", field.name, "address"), fault)
    for path, write in _writes(map_):
        _fits(write.address, write.count, (*path, "address"), fault)


def _fits(address: Address, count: int, path: Path, fault: Fault) -> None:
    if not address.terms and address.base + count - 1 > LAST_ADDRESS:
        fault(path, f"the value ends beyond wire address {LAST_ADDRESS}", "correct address or type")


def _references(map_: RegisterMap, fault: Fault) -> None:
    """Fields that other fields name."""
    group_of = {name: group.name for group in map_.groups for name in group.fields}
    for field in map_.fields.values():
        for key, name in (("decimals_from", field.decimals_from), ("unit_from", field.unit_from)):
            if not name:
                continue
            path = ("field", field.name, key)
            other = map_.fields.get(name)
            if other is None or group_of.get(name) != group_of.get(field.name):
                fault(path, f"{name} is no field of the same group", "put both into one group")
            elif key == "unit_from" and (
                odd := set(other.enum.values()) - {unit.value for unit in units_of(field.role)}
            ):
                hint = "use " + ", ".join(sorted(units_of(field.role)))
                fault(path, f"the enum of {name} has {', '.join(sorted(odd))}, which is no unit for it", hint)
            elif key == "unit_from" and not other.enum:
                fault(path, f"{name} has no enum", 'say which code is which unit: enum = {1 = "l"}')
        condition = field.valid_when
        if condition is None:
            continue
        path = ("field", field.name, "valid_when")
        other = map_.fields.get(condition.field)
        if other is None:
            fault(path, f"there is no field {condition.field}", "name one of the fields of this map")
        elif unknown := set(condition.none_of) - {flag.name for flag in other.flags}:
            fault(path, f"{condition.field} has no flag {', '.join(sorted(unknown))}", "name flags of that field")


def _reading(map_: RegisterMap, fault: Fault) -> None:
    """Every field is read, and by one group."""
    seen: dict[str, str] = {}
    for group in map_.groups:
        for name in group.fields:
            path = ("group", group.name, "fields")
            if name not in map_.fields:
                fault(path, f"there is no field {name}", "name fields of this map")
            elif name in seen:
                fault(path, f"{name} is already in group {seen[name]}", "read each field in one group")
            seen.setdefault(name, group.name)
    recorded = map_.record.fields if map_.record is not None else ()
    for name in map_.fields:
        if name not in seen and name not in recorded:
            fault(("field", name), "is in no group and would never be read", "add it to a group, or remove it")


def _group(map_: RegisterMap, group: Group, fault: Fault) -> None:
    fields = [map_.fields[name] for name in group.fields if name in map_.fields]
    path = ("group", group.name)
    if not fields:
        return
    for table in {field.address.table for field in fields}:
        if sum(field.count for field in fields if field.address.table is table) > table.most_read:
            fault(path, f"holds more than the {table.most_read} registers of one request", "make two groups of it")
    if any(field.count > limit(map_, field) for field in fields):
        fault(path, "has a value longer than one request may be", "raise max_registers if the device grants more")
    elif group.atomic:
        _one_request(map_, fields, path, fault)
    if map_.select is None and 0 < sum(field.address.per_tank for field in fields) < len(fields):
        fault(path, "mixes values of one tank with values of the device", "make two groups of it")


def _one_request(map_: RegisterMap, fields: list[Field], path: Path, fault: Fault) -> None:
    """Whether one request can bring all of ``fields``."""
    first = fields[0]
    if any((f.address.table, f.address.terms) != (first.address.table, first.address.terms) for f in fields):
        fault(path, "is atomic over different tables or formulas", "one request reads one stretch of one table")
        return
    ordered = sorted((field.address.base, field.address.base + field.count) for field in fields)
    reached, widest = ordered[0][1], 0
    for begin, end in ordered[1:]:
        widest = max(widest, begin - reached)
        reached = max(reached, end)
    if reached - ordered[0][0] > (most := limit(map_, first)):
        fault(path, f"spans more than the {most} registers of one request", "make two groups of it")
    if widest > map_.max_gap:
        hint = f"raise max_gap if the device answers for them, or make two groups: max_gap is {map_.max_gap}"
        fault(path, f"is atomic with a hole of {widest} registers", hint)


def _overlaps(map_: RegisterMap, fault: Fault) -> None:
    """Registers that two fields read differently."""
    apart: dict[tuple[object, ...], list[Field]] = {}
    for field in map_.fields.values():
        apart.setdefault((field.address.table, field.address.terms), []).append(field)
    for fields in apart.values():
        fields.sort(key=lambda field: (field.address.base, field.count))
        for before, field in pairwise(fields):
            if before.address.base + before.count > field.address.base and not _same(before, field):
                fault(
                    ("field", field.name, "address"),
                    f"reads registers of {before.name} in another way",
                    "correct the address, or write alias = true if the device means both",
                )


def _same(one: Field, other: Field) -> bool:
    bits = one.type is other.type is RawType.BIT
    same = (one.address, one.type, one.count) == (other.address, other.type, other.count)
    return same or one.alias or other.alias or bits


def _profile(map_: RegisterMap, fault: Fault) -> None:
    roles = [field.role for field in map_.fields.values() if field.role is not None]
    for any_of in _NEEDS[map_.profile]:
        if not set(any_of) & set(roles):
            words = " or ".join(role.value for role in any_of)
            fault(("map", "profile"), f"a {map_.profile.value} needs a field with role {words}", "add it, or change it")
    for field in map_.fields.values():
        if field.role is not None and field.role not in _MAY_REPEAT and map_.by_role(field.role)[0] is not field:
            fault(("field", field.name, "role"), f"{field.role.value} is already another field", "keep one of the two")
        if map_.profile is Profile.PULSE_METER and field.role is Role.TOTALIZER and field.unit is not Unit.PULSE:
            fault(("field", field.name, "unit"), "a pulse-meter counts pulses", 'write unit = "pulse"')
        wanted = NEEDS.get(field.unit) if field.unit is not None and field.role in COUNTERS else None
        if wanted and wanted not in map_.requires:
            fault(
                ("map", "requires"),
                f"{wanted} is missing: {field.name} in {field.unit} is no volume without it",
                f'add "{wanted}" to requires',
            )


def _record(map_: RegisterMap, fault: Fault) -> None:
    record = map_.record
    if record is None:
        if map_.profile is Profile.LOG:
            fault(("map", "profile"), "a log needs a [record] with its ack", "add it")
        return
    if record.ack is None and map_.profile is Profile.LOG:
        fault(("record", "ack"), "is missing: the device would never show the next sale", "add it")
    if map_.profile not in {Profile.LOG, Profile.DISPENSER}:
        fault(("record",), f"a {map_.profile.value} has no sale records", "remove it, or change the profile")
    if missing := [name for name in record.fields if name not in map_.fields]:
        fault(("record", "fields"), f"there is no field {', '.join(missing)}", "name fields of this map")
        return
    if record.id_field not in record.fields or map_.fields[record.id_field].role is not Role.SALE_ID:
        fault(("record", "id"), "is no field of the record with role sale_id", "name the field that tells sales apart")
    homes = {next((g.name for g in map_.groups if name in g.fields and g.atomic), "") for name in record.fields}
    grouped = [name for name in record.fields if any(name in group.fields for group in map_.groups)]
    if len(homes) > 1 or (grouped and homes == {""}):
        fault(("record", "fields"), "are read by more than one request", "put all into one atomic group, or none")
    elif record.fields and not grouped:
        _one_request(map_, [map_.fields[name] for name in record.fields], ("record", "fields"), fault)


def _gauge(map_: RegisterMap, select_confirmed: bool, fault: Fault) -> None:
    if map_.profile is Profile.GAUGE:
        for key, there in (("command", map_.commands), ("setup", map_.setup.writes), ("record", map_.record)):
            if there:
                fault((key,), "a gauge is only read", "remove it: the one write of a gauge map is [select]")
    elif map_.guard is not None or map_.select is not None:
        key = "guard" if map_.guard is not None else "select"
        fault((key,), f"is for gauges, this is a {map_.profile.value}", "remove it, or change the profile")
    if map_.select is not None and not select_confirmed:
        hint = (
            "write select_confirmed = true in [map] once the maker's manual says that this write changes nothing else"
        )
        fault(("select",), "writes to the device and is not confirmed", hint)
    guard = map_.guard
    if guard is None:
        return
    for group in map_.groups if map_.select is not None else ():
        if guard.field in group.fields and any(map_.fields[name].role for name in group.fields if name in map_.fields):
            hint = "make two groups of it: only the guard's group is read without a select"
            fault(("group", group.name), "has values of a tank beside the guard", hint)
    field = map_.fields.get(guard.field)
    if field is None or field.address.terms or field.type.is_float or not field.type.is_number:
        fault(("guard", "field"), f"{guard.field} is no whole number of the device itself", "name its status register")
    elif any(case.bit >= field.width_bits for case in guard.unusable):
        fault(("guard", "unusable"), f"{guard.field} has {field.width_bits} bits", "count bits from 0")


def _requires(map_: RegisterMap, fault: Fault) -> None:
    """Declared values are used by something."""
    used = set(CONVERSIONS) | set(open_values(replace(map_, requires=())))
    for name in map_.requires:
        if name not in used:
            fault(("map", "requires"), f"nothing uses {name}", "use one of " + ", ".join(sorted(used)))
