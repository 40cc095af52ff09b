"""Addresses as manuals print them to wire addresses: counted from 0, from 1, or in Modicon's ranges; formulas.

Knows one key of a map file. Knows no type and no request.
"""

from __future__ import annotations

from typing import Literal

from drivers.modbus.keys import Keys, as_name, as_number, told
from drivers.modbus.model import LAST_ADDRESS, Address, Table, Term

AddressBase = Literal[0, 1, "modicon"]

_MODICON: dict[Table, tuple[tuple[int, int], ...]] = {
    Table.COIL: ((1, 9_999),),
    Table.DISCRETE: ((10_001, 19_999), (100_001, 165_536)),
    Table.INPUT: ((30_001, 39_999), (300_001, 365_536)),
    Table.HOLDING: ((40_001, 49_999), (400_001, 465_536)),
}
_MOST_STRIDE = 10_000


def wire_address(base: AddressBase, table: Table, printed: int) -> int | None:
    """The wire address of a printed one; ``None`` where it is no address of ``table`` in this way of counting."""
    if base == "modicon":
        return next((printed - low for low, high in _MODICON[table] if low <= printed <= high), None)
    return printed - base if base <= printed <= base + LAST_ADDRESS else None


def read_address(keys: Keys, table: Table, base: AddressBase) -> Address:
    """Take ``address``: a number, or ``{base, terms = [{stride, index}]}``."""
    if not isinstance(keys.any("address"), dict):
        return Address(table, _wire(keys, table, base, keys.any("address")))
    formula = keys.below("address")
    formula.require("base", "terms")
    wire = _wire(formula, table, base, formula.any("base")) if "base" in formula else 0
    terms = []
    for path, item in formula.tables("terms"):
        term = Keys(item, path, keys.problems)
        term.require("stride", "index")
        stride = term.number("stride", -_MOST_STRIDE, _MOST_STRIDE, 1)
        index = as_name(term.any("index"))
        if stride == 0 or ("index" in term and index is None):
            term.fault("", "a term is a stride and the name of an index", 'write {stride = 2, index = "preset"}')
        terms.append(Term(stride, index or "index"))
        term.finish()
    formula.finish()
    return Address(table, wire, tuple(terms))


def _wire(keys: Keys, table: Table, base: AddressBase, printed: object) -> int:
    key = "base" if keys.path[-1] == "address" else "address"
    number = as_number(printed)
    wire = None if number is None else wire_address(base, table, number)
    if key in keys and wire is None:
        keys.fault(key, f"{told(printed)} is no {table.value} address here", _range(base, table))
    return wire or 0


def _range(base: AddressBase, table: Table) -> str:
    if base != "modicon":
        return f"address_base is {base}: write a number from {base} to {base + LAST_ADDRESS}"
    ranges = " or ".join(f"{low} to {high}" for low, high in _MODICON[table])
    return f"address_base is modicon: {table.value} addresses are {ranges}"
