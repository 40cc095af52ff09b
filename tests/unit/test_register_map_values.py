"""Registers to values: the worked examples, and everything that is no value and must never become a zero."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from drivers.errors import WiringError
from drivers.modbus import plan, units
from drivers.modbus.addresses import wire_address
from drivers.modbus.model import (
    Address,
    Condition,
    Conversions,
    Field,
    Flag,
    Guard,
    Profile,
    RawType,
    RegisterMap,
    Table,
    Term,
    Unit,
    Unusable,
    WordOrder,
    Write,
    WriteKind,
)
from drivers.modbus.values import Key, Sample, confirmed, decode, encode, highest, samples, unusable
from tests.support.register_maps import bound

VECTORS = Path(__file__).parents[1] / "vectors"
MODBUS: dict[str, list[dict[str, Any]]] = json.loads((VECTORS / "modbus.json").read_text())
FRAMES = {vector["name"]: bytes.fromhex(vector["bytes"]) for vector in MODBUS["rtu_frames"]}
GAUGES = {vector["name"]: vector for vector in json.loads((VECTORS / "other_gauges.json").read_text())["vectors"]}
HERE = Address(Table.HOLDING, 0)


def named(vectors: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


def words(reply: bytes) -> tuple[int, ...]:
    """Registers of an RTU reply: unit, function, byte count, data, checksum."""
    data = reply[3:-2]
    return tuple(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))


@pytest.mark.parametrize("vector", named(MODBUS["values"]))
def test_a_worked_value(vector: dict[str, Any]) -> None:
    """Registers as received give exactly the value of the worked example, or none."""
    registers = tuple(int(register, 16) for register in vector["registers"])
    scale = Fraction(vector.get("scale", "1")) / 10 ** vector.get("decimals", 0)
    field = Field(
        "x",
        HERE,
        RawType(vector["type"]),
        WordOrder(vector["word_order"]),
        size_bytes=vector.get("bytes", 2 * len(registers)),
        bit=vector.get("bit", 0),
        scale=scale,
        decimals_from="dp" if "decimals_from" in vector else "",
        resolution=Fraction(vector["resolution"]) if "resolution" in vector else None,
    )
    read: dict[Key, tuple[int, ...]] = {("x", None): registers}
    fields = {"x": field}
    for name, number in vector.get("other_fields", {}).items():
        fields[name] = Field(name, Address(Table.HOLDING, 9), RawType.U16)
        read[name, None] = (number,)
    sample = samples(_map(fields), read)["x", None]
    expected = vector["expected"]
    if expected is None:
        assert sample.reason
        assert sample.value is None
    elif vector["type"] == "ascii":
        assert sample.word == expected
    else:
        assert (sample.value, sample.reason) == (Fraction(expected), "")


@pytest.mark.parametrize("vector", named(MODBUS["addresses"]))
def test_a_worked_address(vector: dict[str, Any]) -> None:
    """Printed addresses of every way of counting, and a formula, lead to the wire address."""
    if "stride" in vector:
        address = Address(Table.HOLDING, vector["base"], (Term(vector["stride"], "preset"),))
        assert address.at({"preset": vector["index"]}) == vector["wire"]
    else:
        assert wire_address(vector["address_base"], Table.HOLDING, vector["address"]) == vector["wire"]


@pytest.mark.parametrize("vector", named(MODBUS["counters"]))
def test_a_worked_counter(vector: dict[str, Any]) -> None:
    """A counter turns over, and what no turn explains is METER_RESET (None)."""
    limit = int(vector["max_delta"]) if "max_delta" in vector else None
    expected = None if vector["delta"] is None else int(vector["delta"])
    assert units.delta(int(vector["start"]), int(vector["end"]), int(vector["modulus"]), limit) == expected


def test_equal_counts_are_nothing_and_a_step_back_is_never_almost_a_full_turn() -> None:
    """Without a limit of its own a counter believes half a turn; a float total never turns."""
    assert units.delta(7, 7, 1 << 32, None) == 0
    assert units.delta(5000, 4000, 1 << 32, None) is None
    assert units.delta(10, 7, None, None) is None
    assert units.delta(7, 10, None, 2) is None


@pytest.mark.parametrize("vector", named(MODBUS["rtu_frames"]))
def test_a_worked_frame_has_our_checksum(vector: dict[str, Any]) -> None:
    """The checksum of every worked frame is what we would send."""
    frame = bytes.fromhex(vector["bytes"])
    assert plan.rtu(frame[0], frame[1:-2]) == frame
    if "exception" in vector.get("expected", {}):
        assert frame[1] & 0x80
        assert frame[2] == vector["expected"]["exception"]


def test_the_worked_requests_come_from_the_maps() -> None:
    """Reading, setting up, acknowledging: the maps lead to the bytes of the worked examples."""
    lng, pulses, log = (
        bound("micro-motion-lng"),
        bound("seneca-z10-d-in"),
        bound("gas-station-module", word_order="ABCD"),
    )
    reads = {
        plan.rtu(1, block.pdu())
        for map_ in (lng, pulses)
        for c in plan.cycles(map_)
        for t in c.turns
        for block in t.blocks
    }
    assert {FRAMES["m1-read-total"], FRAMES["m1-read-slots"], FRAMES["m4-read-pulses"]} <= reads
    assert plan.rtu(1, plan.record(log).pdu()) == FRAMES["m5-read-log"]
    assert log.record is not None
    assert log.record.ack is not None
    assert plan.rtu(1, plan.write_request(log.record.ack, 7).pdu()) == FRAMES["m5-ack-7"]
    setup = [plan.rtu(1, plan.write_request(one.write).pdu()) for one in lng.setup.writes]
    assert setup[1] == FRAMES["m1-slot-1"]
    assert plan.rtu(1, plan.write_request(lng.commands["reset_total"].write).pdu()) == FRAMES["m1-reset-total"]
    assert lng.commands["reset_total"].never_sent
    total = decode(lng.fields["mass_total"], words(FRAMES["m1-total-123.45"]))
    assert (total.value, total.raw, total.unit) == (Fraction("123.45"), 12345, Unit.KG)


def test_a_gauge_reply_is_the_tank_and_its_flags() -> None:
    """Status register and tank 1 of the published telegram; a bit that is active low stands while it is 0."""
    map_ = bound("pneumercator-tms")
    (cycle,) = plan.cycles(map_, (0, 1))
    blocks = cycle.turns[0].blocks
    assert [plan.rtu(1, block.pdu()).hex().upper() for block in blocks] == [
        GAUGES["tms-read-status-and-tank-1"]["bytes"],
        GAUGES["tms-tank-2-request"]["bytes"],
    ]
    reply = bytes.fromhex(GAUGES["tms-tank-1-normal"]["bytes"])
    found = samples(map_, blocks[0].registers(words(reply)))
    expected = GAUGES["tms-tank-1-normal"]["expect"]["tank"]
    names = ("height", "gross_volume", "net_volume", "percent", "temperature", "water_height", "ullage")
    for name in names:
        assert found[name, 0].value == Fraction(expected[name]), name
    assert found["status", 0].flags == frozenset(GAUGES["tms-tank-1-normal"]["expect"]["flags"])
    assert map_.guard is not None
    assert unusable(map_.guard, found["link", None]) == ""
    suspended = bytes.fromhex(GAUGES["tms-scan-suspended"]["bytes"])
    found = samples(map_, blocks[0].registers(words(suspended)))
    assert unusable(map_.guard, found["link", None]) == GAUGES["tms-scan-suspended"]["expect"]["reason"]
    assert unusable(map_.guard, None) == "guard_unread"


def test_bits_of_a_broken_probe_take_the_values_with_them() -> None:
    """Height and volume are no reading while a probe bit stands; the filler of a lost gauge is none either."""
    map_ = bound("pneumercator-tms")
    block = plan.cycles(map_)[0].turns[0].blocks[0]
    registers = list(words(bytes.fromhex(GAUGES["tms-tank-1-normal"]["bytes"])))
    registers[2] = 0x0084
    found = samples(map_, block.registers(registers))
    assert found["status", 0].flags == {"probe_timeout"}
    assert [found[name, 0].reason for name in ("height", "gross_volume", "temperature")] == [
        "condition",
        "condition",
        "",
    ]
    registers[2] = 0x0080
    registers[3:7] = [0x7FFF, 0xFFFF, 0xFFFF, 0xFFFF]
    found = samples(map_, block.registers(registers))
    assert [found[name, 0].reason for name in ("height", "gross_volume", "ullage")] == ["no_value", "no_value", ""]


def test_a_selected_tank_and_the_status_word_of_each_value() -> None:
    """Select and read as the field code does; a value whose status word is not 0 is no reading."""
    map_ = bound("strela")
    (cycle,) = plan.cycles(map_, (0, 1))
    first, second = cycle.turns
    assert first.select is not None
    assert plan.rtu(0x50, first.select.pdu()).hex().upper() == GAUGES["strela-select-tank-1"]["bytes"]
    assert second.select is not None
    assert second.select.words == (2,)
    (block,) = first.blocks
    assert plan.rtu(0x50, block.pdu()).hex().upper() == GAUGES["strela-read-all"]["bytes"]
    registers = list(words(bytes.fromhex(GAUGES["strela-reply"]["bytes"])))
    found = samples(map_, block.registers(registers))
    for name, value in GAUGES["strela-reply"]["expect"].items():
        assert found[name, 0].value == Fraction(value), name
    registers[2] = 1
    assert samples(map_, block.registers(registers))["level", 0].reason == "condition"


def test_the_known_registers_of_a_console_with_the_low_word_first() -> None:
    """The maker's example, and the requests of tank 1 and manifold 1."""
    map_ = bound("franklin-evo")
    (cycle,) = plan.cycles(map_)
    tank, manifold = cycle.turns[0].blocks
    assert plan.rtu(1, tank.pdu()).hex().upper() == GAUGES["evo-read-product-level-tank-1"]["bytes"]
    assert plan.rtu(1, manifold.pdu()).hex().upper() == GAUGES["evo-read-manifold-1"]["bytes"]
    vector = GAUGES["evo-product-level-9876.5"]
    found = samples(map_, tank.registers(words(bytes.fromhex(vector["bytes"]))))
    assert found["product_level", 0].value == Fraction(vector["expect"]["value"])


@pytest.mark.parametrize(
    ("kind", "registers", "reason"),
    [
        (RawType.F32, (0x7FC0, 0), "not_a_number"),
        (RawType.F32, (0x7F80, 0), "not_a_number"),
        (RawType.F32, (0xFF80, 0), "not_a_number"),
        (RawType.F32, (0x4800, 0), "coarse"),  # 131072: from here on the step is 1/64
        (RawType.F64, (0x7FF0, 0, 0, 0), "not_a_number"),
        (RawType.BCD, (0x12A4,), "not_decimal"),
        (RawType.ASCII, (0x4501,), "not_text"),
        (RawType.U32, (0x0001,), "short"),
        (RawType.U16, (), "short"),
        (RawType.U16, (0xFFFF,), "no_value"),
    ],
)
def test_what_is_no_value_is_no_zero(kind: RawType, registers: tuple[int, ...], reason: str) -> None:
    """Not a number, too coarse, wrong digits, too short, the device's own filler: none of it has a value."""
    field = Field("x", HERE, kind, size_bytes=2, resolution=Fraction("0.01"), no_value=frozenset({0xFFFF}))
    assert decode(field, registers) == Sample(reason=reason)


def test_a_float_is_a_value_right_up_to_the_step_it_was_promised() -> None:
    """131071.99 l still has a step of 1/128; rounding is half to even from the exact binary value."""
    field = Field("x", HERE, RawType.F32, resolution=Fraction("0.01"))
    assert decode(field, (0x47FF, 0xFFFF)).value == Fraction("131071.99")
    quarter = Field("x", HERE, RawType.F32, resolution=Fraction("0.02"))
    assert [decode(quarter, (high, 0)).reason for high in (0x4800, 0x4880)] == ["", "coarse"]  # steps of 1/64, 1/32
    half = Field("x", HERE, RawType.F32, resolution=Fraction(1))
    assert [decode(half, (high, 0)).value for high in (0x3F00, 0x3FC0, 0x4020)] == [0, 2, 2]  # 0.5, 1.5, 2.5


def test_an_unlisted_code_keeps_its_number_and_has_no_word() -> None:
    """The driver can then keep the last state and count."""
    field = Field("x", HERE, RawType.U16, enum={3: "Idle"})
    assert decode(field, (3,)).word == "Idle"
    assert (decode(field, (4,)).raw, decode(field, (4,)).word, decode(field, (4,)).reason) == (4, "", "unlisted")
    coil = Field("x", Address(Table.COIL, 0), RawType.BOOL, enum={1: "Idle"})
    assert [decode(coil, (bit,)).reason for bit in (1, 0)] == ["", "unlisted"]


def test_the_highest_of_a_type_is_what_devices_fill_in() -> None:
    """Highest positive number of each type, which a map calls max."""
    assert [highest(Field("x", HERE, kind, size_bytes=2)) for kind in (RawType.S16, RawType.U16, RawType.BCD)] == [
        0x7FFF,
        0xFFFF,
        0x9999,
    ]
    assert [highest(Field("x", HERE, kind)) for kind in (RawType.F32, RawType.S64)] == [0x7F7FFFFF, (1 << 63) - 1]


@pytest.mark.parametrize(
    ("order", "registers"), [("ABCD", (0x452D, 0x3132)), ("CDAB", (0x452D, 0x3132)), ("BADC", (0x2D45, 0x3231))]
)
def test_text_keeps_the_order_of_its_registers(order: str, registers: tuple[int, ...]) -> None:
    """Only the bytes of a register may be swapped in a text."""
    field = Field("x", HERE, RawType.ASCII, WordOrder(order), size_bytes=4)
    assert decode(field, registers) == Sample(word="E-12")


def test_what_a_value_takes_from_others() -> None:
    """Decimals and unit from another register; what these do not say is not guessed."""
    meter, batch = bound("panametrics-xmt868"), bound("graco-informer")
    found = samples(meter, {("total", None): (0x0012, 0xD687), ("decimals", None): (2,), ("flow", None): (0, 5)})
    assert found["total", None].value == Fraction("12345.67")
    assert found["flow", None].reason == "decimals"
    assert samples(meter, {("total", None): (0, 1), ("decimals", None): (77,)})["total", None].reason == "decimals"
    read: dict[Key, tuple[int, ...]] = {("total", None): (0, 1500), ("unit_code", None): (2,)}
    total = samples(batch, read)["total", None]
    assert (total.value, total.unit) == (Fraction("1.5"), Unit.GAL)
    assert samples(batch, {**read, ("unit_code", None): (9,)})["total", None].reason == "unit"


def test_a_condition_that_was_not_read_does_not_hold() -> None:
    """A value whose condition is unknown is no reading."""
    field = Field("x", HERE, RawType.U16, valid_when=Condition("ok", equals=0))
    fields = {"x": field, "ok": Field("ok", Address(Table.HOLDING, 1), RawType.U16)}
    assert samples(_map(fields), {("x", None): (5,)})["x", None].reason == "condition"
    assert samples(_map(fields), {("x", None): (5,), ("ok", None): (0,)})["x", None].value == 5


def test_flags_of_a_value_that_came_in_another_order() -> None:
    """Bits are counted in the assembled value, not in the register that arrived first."""
    field = Field("x", HERE, RawType.U32, WordOrder.CDAB, flags=(Flag("late", 16), Flag("still", 0, active_low=True)))
    assert decode(field, (0, 1)).flags == {"late", "still"}
    guard = Guard("x", (Unusable(16, "lost"),))
    assert unusable(guard, decode(field, (0, 1))) == "lost"


@pytest.mark.parametrize(
    ("kind", "type_", "value"),
    [
        (WriteKind.REGISTER, RawType.U16, 65536),
        (WriteKind.REGISTER, RawType.U16, -1),
        (WriteKind.REGISTER, RawType.U16, Fraction(1, 2)),
        (WriteKind.REGISTERS, RawType.F32, 10**60),
        (WriteKind.REGISTERS, RawType.BCD, 10000),
        (WriteKind.REGISTERS, RawType.U32, 1 << 31),
    ],
)
def test_what_does_not_fit_is_not_written(kind: WriteKind, type_: RawType, value: Fraction | int) -> None:
    """Nothing is cut off, wrapped or rounded on the way to a device; the bit that means money is not part of a number."""
    write = Write(kind, HERE, type_, size_bytes=2, value_from="volume", set_bits=1 << 31 if type_ is RawType.U32 else 0)
    with pytest.raises(WiringError) as refused:
        encode(write, value)
    assert refused.value.hint


def test_a_preset_of_money_carries_its_bit_and_is_confirmed_by_it() -> None:
    """Volume and amount share a register; only the written one confirms."""
    map_ = bound("reference-dispenser")
    volume, amount = map_.commands["preset_volume"], map_.commands["preset_amount"]
    assert encode(amount.write, 5000) == (0x8000, 5000)
    shown = decode(map_.fields["preset"], (0x8000, 5000))
    assert confirmed(amount, map_.fields["preset"], shown, 5000)
    assert not confirmed(volume, map_.fields["preset"], shown, 5000)
    assert not confirmed(amount, map_.fields["preset"], Sample(reason="short"), 5000)
    price = map_.commands["price"]
    assert encode(price.write, Fraction("7.850")) == (0, 7850)
    authorise = map_.commands["authorise"]
    state = map_.fields["state"]
    assert [confirmed(authorise, state, decode(state, (raw,))) for raw in (3, 5, 8)] == [False, True, True]


def test_a_float_that_is_written_confirms_in_any_order() -> None:
    """The batch stop volume comes back as it was written."""
    map_ = bound("xylem-batch")
    preset = map_.commands["preset_volume"]
    written = encode(preset.write, Fraction("123.45"))
    assert written == (0xE666, 0x42F6)
    assert confirmed(
        preset, map_.fields["stop_volume"], decode(map_.fields["stop_volume"], written), Fraction("123.45")
    )


def test_units_become_the_integers_of_the_house_in_one_rounding() -> None:
    """Volume, height, temperature, flow and money; what lacks its conversion is no volume."""
    none, known = Conversions(), Conversions(Fraction("3666739.2"), Fraction(440))
    assert [units.to_ml(Fraction(1), unit, none) for unit in (Unit.GAL, Unit.IGAL, Unit.M3, Unit.KG, Unit.PULSE)] == [
        3785,
        4546,
        1_000_000,
        None,
        None,
    ]
    assert units.to_ml(Fraction(44), Unit.KG, known) == 100_000
    assert units.volume_of_counts(36667392, Fraction(1), Unit.PULSE, known) == 10_000
    assert [units.to_um(Fraction("52.1"), Unit.IN), units.to_um(Fraction(1321), Unit.MM)] == [1_323_340, 1_321_000]
    temperatures = [(Fraction("77.9"), Unit.DEGF), (Fraction("-4.05"), Unit.DEGC), (Fraction(7), Unit.MDEGC)]
    assert [units.to_mdegc(value, unit) for value, unit in temperatures] == [25_500, -4_050, 7]
    assert units.to_thousandths(Fraction("61.7"), Unit.PERCENT) == 61_700
    assert [units.to_minor(Fraction(5), Unit.MINOR), units.to_minor(Fraction(1, 2), Unit.MINOR)] == [5, None]
    assert [units.to_price_milli(Fraction("7.85")), units.to_price_milli(Fraction("0.0001"))] == [7850, None]
    flows = [(Fraction(60), Unit.M3_H), (Fraction(2), Unit.L_MIN), (Fraction("0.44"), Unit.KG_MIN)]
    assert [units.to_ml_min(value, unit, known) for value, unit in flows] == [1_000_000, 2_000, 1_000]
    assert [
        units.to_um(Fraction(1), Unit.L),
        units.to_mdegc(Fraction(1), None),
        units.to_ml_min(Fraction(1), None, known),
    ] == [
        None,
        None,
        None,
    ]


def _map(fields: dict[str, Field]) -> RegisterMap:
    return RegisterMap("x", 1, Profile.METER, fields, ())
