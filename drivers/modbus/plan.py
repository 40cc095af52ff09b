"""What is read, in which requests: fields merged into blocks, each value whole, each field once, atomic groups in one.

Knows a bound map (bind.py) and the limits of Modbus. Knows no port, no clock and no reply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from drivers.checks import crc16_modbus
from drivers.errors import WiringError
from drivers.modbus.checks import limit
from drivers.modbus.model import LAST_ADDRESS, TANK, Field, Profile, RegisterMap, Role, Table, Write
from drivers.modbus.values import Key, encode

_OF_A_TANK = frozenset(
    {
        Role.HEIGHT,
        Role.GROSS_VOLUME,
        Role.NET_VOLUME,
        Role.TC_VOLUME,
        Role.ULLAGE,
        Role.PERCENT,
        Role.WATER_HEIGHT,
        Role.WATER_VOLUME,
        Role.TEMPERATURE,
        Role.DENSITY,
        Role.MASS,
        Role.STATUS,
    }
)


@dataclass(frozen=True, slots=True)
class Part:
    """Where one field stands in a block. ``tank`` counts from 0, ``None`` for values of the whole device."""

    field: str
    tank: int | None
    offset: int
    count: int


@dataclass(frozen=True, slots=True)
class Block:
    """One read request and what its reply brings."""

    table: Table
    address: int
    count: int
    parts: tuple[Part, ...]

    @property
    def function(self) -> int:
        """The function code of the request."""
        return self.table.read_function

    def pdu(self) -> bytes:
        """The request without unit and checksum."""
        return bytes([self.function]) + self.address.to_bytes(2, "big") + self.count.to_bytes(2, "big")

    def registers(self, words: Sequence[int]) -> dict[Key, Sequence[int]]:
        """The registers (bits) of each field in a reply; too short a reply gives fewer, which is no value."""
        return {(part.field, part.tank): tuple(words[part.offset : part.offset + part.count]) for part in self.parts}


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """One write request: ``words`` are registers, or for function 5 one of FF00 and 0."""

    function: int
    address: int
    words: tuple[int, ...]

    def pdu(self) -> bytes:
        """The request without unit and checksum."""
        data = b"".join(word.to_bytes(2, "big") for word in self.words)
        head = bytes([self.function]) + self.address.to_bytes(2, "big")
        if self.function != 16:
            return head + data
        return head + len(self.words).to_bytes(2, "big") + bytes([len(data)]) + data


@dataclass(frozen=True, slots=True)
class Turn:
    """Requests that belong together, in order: ``select`` is written first and must succeed, or nothing is read."""

    tank: int | None
    select: WriteRequest | None
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Cycle:
    """Everything that is read every ``period_ms``."""

    period_ms: int
    turns: tuple[Turn, ...]


def cycles(map_: RegisterMap, tanks: Sequence[int] = (0,)) -> tuple[Cycle, ...]:
    """The reads of a bound map, shortest period first; ``tanks`` count from 0.

    The guard is in the first block of every cycle, so what is read after it is judged by the same turn. Raises
    ``WiringError`` for a tank whose registers would lie beyond the last address, and for a second tank where the map
    knows one only: its values would be taken for another tank's.
    """
    if len(tanks) > 1 and (alone_field := _of_one_tank(map_)):
        raise WiringError(
            f"map {map_.id} reads {alone_field} of one tank, and this line has {len(tanks)}",
            hint='give the address a term with index "tank", or put each tank on a line of its own',
        )
    found = []
    for period_ms in sorted({group.period_ms for group in map_.groups}):
        alone: list[list[Part]] = []
        repeated: dict[int, list[list[Part]]] = {tank: [] for tank in tanks}
        for group in map_.groups:
            if group.period_ms != period_ms:
                continue
            for tank in tanks if _repeats(map_, group.fields) else [None]:
                parts = [_part(map_.fields[name], tank) for name in group.fields]
                pieces = [parts] if group.atomic else [[part] for part in parts]
                (alone if tank is None else repeated[tank]).extend(pieces)
        found.append(Cycle(period_ms, tuple(_turns(map_, alone, repeated))))
    return tuple(found)


def single(map_: RegisterMap, name: str, tank: int | None = None) -> Block:
    """A read of one field alone: to confirm a command, to read a setting back."""
    return _block(map_, [_part(map_.fields[name], tank)])


def record(map_: RegisterMap) -> Block:
    """The one read that brings the sale record: of its group, or of its own. The map has a record."""
    assert map_.record is not None, "only asked where the map has one"
    group = next((group for group in map_.groups if group.name == map_.record.group), None)
    names = map_.record.fields if group is None else group.fields
    return _block(map_, [_part(map_.fields[name], None) for name in names])


def write_request(
    write: Write, value: Fraction | int | None = None, indices: Mapping[str, int] | None = None
) -> WriteRequest:
    """The request of ``write``; ``value`` where it takes one. Raises ``WiringError`` when it does not fit."""
    return WriteRequest(write.kind.function, write.address.at(indices or {}), encode(write, value))


def read_back(write: Write, indices: Mapping[str, int] | None = None) -> Block:
    """The read that shows what a write left behind, for set-up values."""
    return Block(write.kind.table, write.address.at(indices or {}), write.count, ())


def rtu(unit: int, pdu: bytes) -> bytes:
    """``pdu`` as it stands on a serial line, for people who compare it with a manual."""
    body = bytes([unit]) + pdu
    return body + crc16_modbus(body).to_bytes(2, "little")


def _turns(map_: RegisterMap, alone: list[list[Part]], repeated: Mapping[int, list[list[Part]]]) -> list[Turn]:
    guard = map_.guard.field if map_.guard is not None else ""
    pieces = list(alone)
    if guard and not any(part.field == guard for piece in pieces for part in piece):
        pieces.insert(0, [_part(map_.fields[guard], None)])
    if map_.select is None:
        everything = pieces + [piece for of_tank in repeated.values() for piece in of_tank]
        return [Turn(None, None, _merged(map_, everything, guard))]
    turns = [Turn(None, None, _merged(map_, pieces, guard))] if pieces else []
    for tank, of_tank in repeated.items():
        if of_tank:
            select = write_request(map_.select, tank + 1, {TANK: tank})
            turns.append(Turn(tank, select, _merged(map_, of_tank, "")))
    return turns


def _repeats(map_: RegisterMap, names: Sequence[str]) -> bool:
    """Whether a group is read once per tank."""
    guarded = map_.guard is not None and map_.guard.field in names
    return (map_.select is not None and not guarded) or any(map_.fields[name].address.per_tank for name in names)


def _of_one_tank(map_: RegisterMap) -> str:
    """A value of a tank whose address does not depend on the tank; empty where there is none."""
    if map_.profile is not Profile.GAUGE or map_.select is not None:
        return ""
    return next((f.name for f in map_.fields.values() if f.role in _OF_A_TANK and not f.address.per_tank), "")


def _part(field: Field, tank: int | None) -> Part:
    """A field at its wire address; the offset within a block comes when the block is known."""
    indices = {} if tank is None else {TANK: tank}
    address = field.address.at(indices)
    if not 0 <= address <= LAST_ADDRESS + 1 - field.count:
        raise WiringError(
            f"field {field.name} of tank {(tank or 0) + 1} would stand at wire address {address}",
            hint="correct the tank numbers of this line, or the formula in the register map",
        )
    return Part(field.name, tank, address, field.count)


def _merged(map_: RegisterMap, pieces: list[list[Part]], guard: str) -> tuple[Block, ...]:
    """Blocks of neighbouring pieces: no hole wider than ``max_gap``, no block beyond the limit, the guard's first."""
    pieces = sorted(pieces, key=lambda piece: (map_.fields[piece[0].field].address.table, _start(piece), _end(piece)))
    blocks: list[list[Part]] = []
    for piece in pieces:
        last = blocks[-1] if blocks else None
        if last is not None and _fit(map_, last, piece):
            last.extend(piece)
        else:
            blocks.append(list(piece))
    blocks.sort(key=lambda parts: all(part.field != guard for part in parts))
    return tuple(_block(map_, parts) for parts in blocks)


def _fit(map_: RegisterMap, before: list[Part], piece: list[Part]) -> bool:
    one, other = map_.fields[before[0].field], map_.fields[piece[0].field]
    span = max(_end(before), _end(piece)) - _start(before)
    near = _start(piece) - _end(before) <= map_.max_gap
    return one.address.table is other.address.table and near and span <= limit(map_, one)


def _block(map_: RegisterMap, parts: list[Part]) -> Block:
    begin = _start(parts)
    placed = tuple(Part(part.field, part.tank, part.offset - begin, part.count) for part in parts)
    return Block(map_.fields[parts[0].field].address.table, begin, _end(parts) - begin, placed)


def _start(parts: Sequence[Part]) -> int:
    return min(part.offset for part in parts)


def _end(parts: Sequence[Part]) -> int:
    return max(part.offset + part.count for part in parts)
