"""What holds for every value, every plan and every damaged map file."""

from __future__ import annotations

import math
import random
import struct
from fractions import Fraction
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.modbus import plan, shelf
from drivers.modbus.bind import bind
from drivers.modbus.keys import MapError
from drivers.modbus.load import load
from drivers.modbus.model import (
    Address,
    Field,
    Group,
    Profile,
    RawType,
    RegisterMap,
    Table,
    WordOrder,
    Write,
    WriteKind,
)
from drivers.modbus.values import decode, encode, samples
from tests.support.examples import tries
from tests.support.register_maps import TEST_ONLY, VALUES, bound, read, text_of

HERE = Address(Table.HOLDING, 0)
FORMATS = {
    RawType.U16: ">H",
    RawType.S16: ">h",
    RawType.U32: ">I",
    RawType.S32: ">i",
    RawType.U64: ">Q",
    RawType.S64: ">q",
    RawType.F32: ">f",
    RawType.F64: ">d",
}
MAPS = [*shelf.shipped_ids(), *TEST_ONLY]
LOADED = {map_id: read(map_id) for map_id in MAPS}
BOUND = {map_id: bound(map_id) for map_id in MAPS}


def arriving(data: bytes, order: WordOrder) -> tuple[int, ...]:
    """Registers of big-endian ``data`` as a device with this order sends them, written a second time."""
    backwards = data[::-1]
    swapped = bytes(backwards[at ^ 1] for at in range(len(data)))
    sent = {
        WordOrder.ABCD: data,
        WordOrder.DCBA: backwards,
        WordOrder.CDAB: swapped,
        WordOrder.BADC: bytes(data[at ^ 1] for at in range(len(data))),
    }[order]
    return struct.unpack(f">{len(sent) // 2}H", sent)


def numbers(kind: RawType) -> st.SearchStrategy[int]:
    size = struct.calcsize(FORMATS[kind]) * 8
    low = -(1 << size - 1) if kind.is_signed else 0
    return st.integers(low, low + (1 << size) - 1)


orders = st.sampled_from(WordOrder)


@settings(max_examples=tries(250), deadline=None)
@given(st.sampled_from([kind for kind in FORMATS if not kind.is_float]), orders, st.data())
def test_whole_numbers_in_every_order(kind: RawType, order: WordOrder, data: st.DataObject) -> None:
    """What struct packs we read; what we write is what struct packs."""
    number = data.draw(numbers(kind))
    registers = arriving(struct.pack(FORMATS[kind], number), order)
    assert decode(Field("x", HERE, kind, order), registers).raw == number
    assert (
        encode(Write(WriteKind.REGISTERS, HERE, kind, order, scale=Fraction(1, 10)), Fraction(number, 10)) == registers
    )


@settings(max_examples=tries(250), deadline=None)
@given(st.sampled_from([RawType.F32, RawType.F64]), orders, st.data())
def test_floats_in_every_order(kind: RawType, order: WordOrder, data: st.DataObject) -> None:
    """The exact binary value, or none; with a resolution the nearest multiple while the float is that fine."""
    number = data.draw(st.floats(width=32 if kind is RawType.F32 else 64))
    registers = arriving(struct.pack(FORMATS[kind], number), order)
    plain = decode(Field("x", HERE, kind, order), registers)
    if not math.isfinite(number):
        assert plain.value is None
        return
    assert plain.value == Fraction(number)
    assert encode(Write(WriteKind.REGISTERS, HERE, kind, order), Fraction(number)) == arriving(
        struct.pack(FORMATS[kind], number + 0.0), order
    )
    fine = decode(Field("x", HERE, kind, order, resolution=Fraction(1, 100)), registers)
    if fine.value is None:
        following = math.nextafter(abs(number), math.inf) - abs(number) if kind is RawType.F64 else 2.0**-7
        assert following > 0.01 or abs(number) >= 131072
    else:
        assert abs(fine.value - Fraction(number)) <= Fraction(1, 200)
        assert fine.raw == fine.value * 100


@settings(max_examples=tries(60), deadline=None)
@given(orders, st.integers(1, 5).flatmap(lambda n: st.text("0123456789", min_size=4 * n, max_size=4 * n)))
def test_packed_decimals_in_every_order(order: WordOrder, digits: str) -> None:
    """Digits are read as they stand, decimals are exact."""
    data = bytes.fromhex(digits)
    field = Field("x", HERE, RawType.BCD, order, size_bytes=len(data), scale=Fraction(1, 10**4))
    registers = arriving(data, order)
    assert decode(field, registers).value == Fraction(int(digits), 10**4)
    write = Write(WriteKind.REGISTERS, HERE, RawType.BCD, order, size_bytes=len(data))
    assert encode(write, int(digits)) == registers


@settings(max_examples=tries(60), deadline=None)
@given(st.sampled_from(MAPS), st.data())
def test_any_registers_are_read_without_an_exception(map_id: str, data: st.DataObject) -> None:
    """Whatever a device answers, each field is a value or says why it is none."""
    map_ = BOUND[map_id]
    for cycle in plan.cycles(map_, (0, 5)):
        for turn in cycle.turns:
            for block in turn.blocks:
                top = 1 if block.table.of_bits else 0xFFFF
                words = data.draw(st.lists(st.integers(0, top) | st.sampled_from([0, top]), max_size=block.count))
                words += [data.draw(st.integers(0, top))] * (block.count - len(words))
                for (name, _), sample in samples(map_, block.registers(words)).items():
                    if map_.fields[name].type is RawType.ASCII:
                        assert sample.word.isprintable()
                    else:
                        assert bool(sample.reason) == (sample.value is None) or sample.reason == "unlisted"


kinds = st.sampled_from([kind for kind in RawType if kind is not RawType.BOOL])


@st.composite
def maps(draw: st.DrawFn) -> RegisterMap:
    """A bound map with fields anywhere, some of them over each other, in groups of two periods."""
    fields = {}
    for number in range(draw(st.integers(1, 25))):
        table = draw(st.sampled_from(Table))
        kind = RawType.BOOL if table.of_bits else draw(kinds)
        address = Address(table, draw(st.integers(0, 400) | st.integers(65_000, 65_400)))
        fields[f"f{number}"] = Field(f"f{number}", address, kind, size_bytes=draw(st.integers(1, 60)) * 2)
    names = list(fields)
    groups = [Group(name, (name,), draw(st.sampled_from([500, 1000])), draw(st.booleans())) for name in names]
    first = fields[names[0]].address
    together = [
        n for n in names if fields[n].address.table is first.table and abs(fields[n].address.base - first.base) < 60
    ]
    groups = [g for g in groups if g.name not in together] + [Group("all", tuple(together), 500, atomic=True)]
    return RegisterMap("x", 1, Profile.METER, fields, tuple(groups), max_gap=draw(st.integers(0, 20)))


@settings(max_examples=tries(40), deadline=None)
@given(maps())
def test_a_plan_reads_each_field_once_and_tears_none(map_: RegisterMap) -> None:
    """Every field is whole in exactly one request, no request is too long, atomic groups are in one."""
    seen: dict[str, int] = {}
    blocks = [block for cycle in plan.cycles(map_) for turn in cycle.turns for block in turn.blocks]
    for number, block in enumerate(blocks):
        covered = set()
        for part in block.parts:
            field = map_.fields[part.field]
            assert part.field not in seen
            seen[part.field] = number
            assert (block.table, block.address + part.offset, part.count) == (
                field.address.table,
                field.address.base,
                field.count,
            )
            covered |= set(range(part.offset, part.offset + part.count))
        assert covered <= set(range(block.count))
        assert {0, block.count - 1} <= covered
        atomic = any(
            group.name == "all" and set(group.fields) & {p.field for p in block.parts} for group in map_.groups
        )
        unread = [at not in covered for at in range(block.count)]
        holes = [len(list(run)) for hole, run in groupby(unread) if hole]
        assert atomic or all(hole <= map_.max_gap for hole in holes)
        assert block.count <= (2000 if block.table.of_bits else 125) or atomic
    assert seen.keys() == map_.fields.keys()
    together = next(group for group in map_.groups if group.name == "all")
    assert len({seen[name] for name in together.fields}) == 1


WEIRD = [
    "nan",
    "-inf",
    "[]",
    "{}",
    "[[1]]",
    "1979-05-27",
    '""',
    '"\\u0000"',
    "-1",
    "true",
    "1e400",
    "0x" + "f" * 40,
    "''",
    '"max"',
]


DAMAGED = 15  # of each map


def damaged(text: bytes, chance: random.Random) -> bytes:
    """A map file with some lines lost, doubled, swapped, cut, given another value or other bytes."""
    lines = text.split(b"\n")
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(lines))
        line = lines[at]
        match chance.randrange(7):
            case 0:
                del lines[at]
                lines = lines or [b""]
            case 1:
                lines.insert(at, line)
            case 2:
                other = chance.randrange(len(lines))
                lines[at], lines[other] = lines[other], line
            case 3:
                lines[at] = line[: chance.randint(0, len(line))]
            case 4 if b"=" in line:
                lines[at] = line.split(b"=")[0] + b"= " + chance.choice(WEIRD).encode()
            case 5:
                place = chance.randint(0, len(line))
                lines[at] = line[:place] + bytes([chance.randrange(256)]) + line[place + 1 :]
            case _:
                digits = [n for n, byte in enumerate(line) if chr(byte).isdigit()]
                if digits:
                    place = chance.choice(digits)
                    lines[at] = line[:place] + b"%d" % chance.randrange(10**6) + line[place + 1 :]
    return b"\n".join(lines)


@pytest.mark.parametrize("map_id", MAPS)
def test_a_damaged_map_is_refused_or_can_be_planned(map_id: str) -> None:
    """The loader raises its own error or gives a map that binds and plans; nothing else comes out of any file."""
    chance = random.Random(map_id)
    text = text_of(map_id)
    ends = set()
    for _ in range(DAMAGED):
        try:
            map_ = load("x", damaged(text, chance))
            map_ = bind(map_, {name: VALUES.get(name, 1) for name in map_.requires})
        except MapError as error:
            told(error)
            ends.add("refused")
            continue
        ends.add("planned")
        for cycle in plan.cycles(map_, (0, 1)):
            assert all(block.pdu() for turn in cycle.turns for block in turn.blocks)
    assert "refused" in ends


@settings(max_examples=tries(100), deadline=None)
@given(st.sampled_from(MAPS), st.data())
def test_any_values_of_a_station_are_taken_or_refused(map_id: str, data: st.DataObject) -> None:
    """What somebody writes into a station file never gives anything but the loader's error."""
    map_ = LOADED[map_id]
    anything = (
        st.none()
        | st.integers()
        | st.text(max_size=8)
        | st.floats()
        | st.booleans()
        | st.lists(st.integers(), max_size=2)
    )
    values = {name: data.draw(anything | st.just(VALUES[name])) for name in map_.requires}
    try:
        found = bind(map_, values)
    except MapError as error:
        told(error)
    else:
        assert plan.cycles(found)


def told(error: MapError) -> None:
    """Every problem says what to do."""
    assert all(problem.hint and str(problem) for problem in error.problems)
