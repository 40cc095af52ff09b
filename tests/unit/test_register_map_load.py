"""What a map file may not say: every check, told with its key, its line and what to do, and all of them together."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest

from drivers.errors import WiringError
from drivers.modbus import checks, shelf
from drivers.modbus.bind import bind
from drivers.modbus.keys import MapError
from drivers.modbus.load import load
from drivers.modbus.model import RegisterMap, Unit, WordOrder
from tests.support.register_maps import bound, read, text_of

METER = """\
[map]
id = "meter"
version = 1
profile = "meter"
address_base = 0
max_gap = 4

[group.total]
fields = ["total", "flow"]

[field.total]
table = "holding"
address = 10
type = "u32"
role = "totalizer"
unit = "l"
modulus = "4294967296"

[field.flow]
table = "holding"
address = 20
type = "u16"
role = "flow"
"""

GAUGE = """\
[map]
id = "gauge"
version = 1
profile = "gauge"
address_base = "modicon"

[group.tank]
fields = ["height"]

[group.link]
fields = ["link"]

[field.link]
table = "holding"
address = 40001
type = "u16"

[field.height]
table = "holding"
address = { base = 40010, terms = [{ stride = 2, index = "tank" }] }
type = "u32"
role = "height"
unit = "mm"

[guard]
field = "link"
unusable = [{ bit = 0, reason = "lost" }]
"""

TOTAL, FLOW = 'type = "u32"\nrole = "totalizer"', 'type = "u16"\nrole = "flow"'
LOG = read("gas-station-module")


def problems(text: str | bytes) -> dict[str, str]:
    """Every problem of a map by its key."""
    raw = text.encode() if isinstance(text, str) else text
    with pytest.raises(MapError) as refused:
        load("own.toml", raw)
    assert all(problem.hint and problem.file == "own.toml" and problem.line >= 1 for problem in refused.value.problems)
    found: dict[str, str] = {}
    for problem in refused.value.problems:
        found[problem.key] = f"{found.get(problem.key, '')} {problem.problem}"
    return found


@pytest.mark.parametrize("text", [METER, GAUGE])
def test_the_maps_of_this_file_are_right(text: str) -> None:
    """So that each problem below comes from the one thing that was changed."""
    assert load("own.toml", text.encode()).by_role is not None


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        # unknown key, type, table
        ("max_gap = 4", "max_gapp = 4", "map.max_gapp", "unknown key"),
        ("[group.total]", "[groups.total]\n[group.total]", "groups", "unknown key"),
        ('"u32"', '"u33"', "field.total.type", "cannot be used"),
        ('type = "u32"', "", "field.total.type", "is missing"),
        ('table = "holding"\naddress = 10', 'table = "input register"\naddress = 10', "field.total.table", "cannot be"),
        ('id = "meter"', 'id = "My Meter"', "map.id", "is no id"),
        ("version = 1", "version = 0", "map.version", "cannot be used"),
        ('"meter"\naddress', '"metre"\naddress', "map.profile", "cannot be used"),
        ("[field.flow]", "[field.Flow-1]\n[field.flow]", "field.Flow-1", "is no name"),
        # addresses
        ("address_base = 0", "address_base = 11", "map.address_base", "no way of counting"),
        ("address_base = 0\n", "address_base = 1\n#", "", ""),
        ("address = 10", "address = 65536", "field.total.address", "is no holding address"),
        ("address = 10", "address = 65535", "field.total.address", "beyond"),
        ("address = 10", "address = -1", "field.total.address", "is no holding address"),
        ("address = 10", "address = { base = 10 }", "field.total.address.terms", "is missing"),
        (
            "address = 10",
            'address = { base = 10, terms = [{ stride = 0, index = "arm" }] }',
            "field.total.address.terms[1]",
            "a term is",
        ),
        # overlaps, groups
        ("address = 20", "address = 11", "field.flow.address", "reads registers of total in another way"),
        ('"flow"]', '"flow"]\natomic = true', "group.total", "hole of 8 registers"),
        ('"flow"]', '"flow", "flw"]', "group.total.fields", "there is no field flw"),
        ('["total", "flow"]', '["total"]', "field.flow", "never be read"),
        (
            "[field.total]",
            '[group.again]\nfields = ["flow"]\n\n[field.total]',
            "group.again.fields",
            "already in group",
        ),
        ("[group.total]", "[group.total]\nperiod_ms = 5", "group.total.period_ms", "cannot be used"),
        # counters and floats
        ('modulus = "4294967296"', "", "field.total.modulus", "every counter turns over"),
        ('modulus = "4294967296"', 'modulus = "4294967297"', "field.total.modulus", "cannot count that far"),
        ('modulus = "4294967296"', "modulus = 4294967296", "field.total.modulus", "cannot be used"),
        (TOTAL, 'type = "f32"\nrole = "totalizer"', "field.total.resolution", "is missing"),
        (TOTAL, TOTAL + '\nresolution = "0.1"', "field.total.resolution", "is for floats"),
        (TOTAL, TOTAL + "\nscale = 0.1", "field.total.scale", "cannot be used"),
        (TOTAL, TOTAL + '\nscale = "0"', "field.total.scale", "greater than zero"),
        # units
        ('unit = "l"', "", "field.total.unit", "would be a guess"),
        ('unit = "l"', 'unit = "mm"', "field.total.unit", "is no unit of totalizer"),
        ('unit = "l"', 'unit = "kg"', "map.requires", "density_kg_m3 is missing"),
        ('unit = "l"', 'unit = "l"\nunit_from = "flow"', "field.total.unit_from", "stands beside unit"),
        ('unit = "l"', 'unit_from = "code"', "field.total.unit_from", "no field of the same group"),
        ('unit = "l"', 'unit_from = "flow"', "field.total.unit_from", "has no enum"),
        ('unit = "l"', 'unit = "l"\nunits = { us = { unit = "gal" } }', "field.total.units", "needs the station"),
        ("max_gap = 4", 'max_gap = 4\nrequires = ["colour"]', "map.requires", "nothing uses colour"),
        # other keys of a field
        (FLOW, FLOW + "\nbit = 3", "field.flow.bit", "belong together"),
        (FLOW, FLOW + "\nbytes = 2", "field.flow.bytes", "has its own size"),
        (FLOW, 'type = "bcd"\nbytes = 3', "field.flow.bytes", "no whole registers"),
        (FLOW, FLOW + "\nno_value = [65536]", "field.flow.no_value", "is no raw value of u16"),
        (FLOW, FLOW + "\nno_value = [-32769]", "field.flow.no_value", "is no raw value of u16"),
        (FLOW, FLOW + "\nno_value = [65535, -32768]", "", ""),
        (FLOW, FLOW + '\nno_value = ["none"]', "field.flow.no_value", "is no raw value of u16"),
        (FLOW, FLOW + "\nflags = { open = { bit = 16 } }", "field.flow.flags.open.bit", "cannot be used"),
        (FLOW, FLOW + '\nflags = { open = { bit = 1, active = "no" } }', "field.flow.flags.open.active", "not known"),
        (FLOW, FLOW + '\nenum = { "0x1" = "on" }', "field.flow.enum.0x1", "no pair"),
        (FLOW, FLOW + '\nvalid_when = { field = "total" }', "field.flow.valid_when", "says nothing"),
        (FLOW, FLOW + '\nvalid_when = { field = "x", equals = 0 }', "field.flow.valid_when", "there is no field x"),
        (FLOW, FLOW + '\nvalid_when = { field = "total", none_of = ["x"] }', "field.flow.valid_when", "has no flag x"),
        (FLOW, FLOW + '\nexpect = "me"', "field.flow.expect", "cannot be expected"),
        (FLOW, FLOW + "\nexpect = 7", "field.flow.expect", "which device this is"),
        (FLOW, FLOW + '\ndecimals_from = "other"', "field.flow.decimals_from", "no field of the same group"),
        ('"flow"\n', '"state"\n', "field.flow.enum", "one of the project's words"),
        ('role = "flow"', 'role = "totalizer"', "field.flow.role", "already another field"),
        ('role = "flow"', "", "map.profile", "flow or state"),
        (
            '"holding"\naddress = 20\ntype = "u16"',
            '"coil"\naddress = 20\ntype = "u16"',
            "field.flow.type",
            "is one bit",
        ),
    ],
)
def test_a_meter_map_is_refused(old: str, new: str, key: str, words: str) -> None:
    """One change, one problem with its key; where nothing is expected the change is allowed."""
    assert METER.count(old) >= 1, old
    text = METER.replace(old, new, 1)
    if not key:
        assert load("own.toml", text.encode())
        return
    found = problems(text)
    assert words in found.get(key, ""), found


COMMAND = '[command.stop]\nwrite = "register"\naddress = 30\nvalue = 1\n'
CONFIRMED = COMMAND + 'confirm = { field = "flow", equals = 0, within_ms = 1000 }\n'


@pytest.mark.parametrize(
    ("added", "key", "words"),
    [
        (COMMAND, "command.stop.confirm", "is missing"),
        (COMMAND + "accept_unconfirmed = true\n", "", ""),
        (CONFIRMED, "", ""),
        (CONFIRMED.replace("stop", "explode"), "command.explode", "is no command"),
        (CONFIRMED.replace("equals = 0, ", ""), "command.stop.confirm.equals", "is missing"),
        (CONFIRMED.replace('"flow"', '"flw"'), "command.stop.confirm.field", "there is no field"),
        (
            CONFIRMED.replace("equals = 0", 'equals = "Idle"'),
            "command.stop.confirm.equals",
            "is no value of this field",
        ),
        (CONFIRMED.replace("1000", "1"), "command.stop.confirm.within_ms", "cannot be used"),
        (CONFIRMED.replace("value = 1", ""), "command.stop.value", "exactly one of"),
        (CONFIRMED.replace("value = 1", "value = 1\nany = true"), "command.stop.value", "exactly one of"),
        (CONFIRMED.replace("value = 1", "value = 65536"), "command.stop.value", "does not fit"),
        (CONFIRMED.replace("value = 1", 'value_from = "id"'), "command.stop.value_from", "not known here"),
        (CONFIRMED.replace("value = 1", 'value = 1\ntype = "u32"'), "command.stop.write", "needs 2 registers"),
        (CONFIRMED.replace("value = 1", 'value = 1\ntype = "ascii"\nbytes = 2'), "command.stop.type", "is not written"),
        (CONFIRMED.replace("value = 1", "value = 1\nset_bits = 65536"), "command.stop.set_bits", "is wider"),
        (CONFIRMED.replace('"register"', '"coil"'), "", ""),
        (
            CONFIRMED.replace('"register"', '"coil"').replace("value = 1", "value = 2"),
            "command.stop.value",
            "cannot be written",
        ),
        (CONFIRMED.replace("address = 30", "address = 70000"), "command.stop.address", "is no holding address"),
        (
            CONFIRMED.replace("address = 30", 'address = 65535\ntype = "u32"').replace('"register"', '"registers"'),
            "command.stop.address",
            "beyond",
        ),
        (
            '[setup]\n[[setup.write]]\nwrite = "registers"\ntype = "u64"\naddress = 65533\nvalue = 1\n',
            "setup.write[1].address",
            "beyond",
        ),
        (CONFIRMED.replace("value = 1", 'value = -1\nword_order = "?"'), "command.stop.value", "does not fit"),
        (CONFIRMED.replace("stop", "preset_volume"), "", ""),
        (
            CONFIRMED.replace("stop", "preset_volume").replace("value = 1", 'value_from = "volume"'),
            "command.preset_volume.unit",
            "needs its unit",
        ),
        (
            CONFIRMED.replace("stop", "price").replace("value = 1", 'value_from = "rate"'),
            "command.price.value_from",
            "is lost",
        ),
        (
            CONFIRMED.replace("equals = 0", 'equals = "value"').replace("value = 1", 'value = 1\nscale = "0.1"'),
            "command.stop.confirm",
            "another type or scale",
        ),
        ("[setup]\npause_ms = 10\n", "setup.write", "is missing"),
        (
            '[setup]\n[[setup.write]]\nwrite = "register"\naddress = 1\nany = true\n',
            "setup.write[1].any",
            "has a value",
        ),
        ('[record]\nfields = ["total"]\nid = "total"\n', "record", "has no sale records"),
        ('[guard]\nfield = "flow"\nunusable = [{ bit = 0, reason = "lost" }]\n', "guard", "is for gauges"),
    ],
)
def test_what_a_map_may_write(added: str, key: str, words: str) -> None:
    """Commands that nothing confirms, values that do not fit, arguments that would get lost."""
    if not key:
        assert load("own.toml", (METER + added).encode())
        return
    found = problems(METER + added)
    assert words in found.get(key, ""), found


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ("[guard]", COMMAND + "[guard]", "command", "a gauge is only read"),
        (
            "[guard]",
            '[setup]\n[[setup.write]]\nwrite = "register"\naddress = 40001\nvalue = 1\n[guard]',
            "setup",
            "only read",
        ),
        ("[guard]", '[record]\nfields = ["height"]\nid = "height"\n[guard]', "record", "a gauge is only read"),
        ("[guard]", '[select]\naddress = 40100\nvalue_from = "tank"\n[guard]', "select", "is not confirmed"),
        ("[guard]", '[select]\naddress = 40100\nvalue_from = "arm"\n[guard]', "select", "is not confirmed"),
        ("[guard]", '[select]\nfc = 16\naddress = 40100\nvalue_from = "tank"\n[guard]', "select.fc", "by function 6"),
        ("bit = 0, reason", "bit = 16, reason", "guard.unusable", "has 16 bits"),
        ('field = "link"', 'field = "height"', "guard.field", "of the device itself"),
        ('"height"\nunit = "mm"', '"percent"\nunit = "percent"', "map.profile", "height or gross_volume"),
        ('fields = ["height"]', 'fields = ["height", "link"]', "group.tank", "mixes values of one tank"),
        ("address = 40001", "address = 30001", "field.link.address", "is no holding address"),
        ("base = 40010", "base = 10", "field.height.address.base", "is no holding address"),
    ],
)
def test_a_gauge_map_is_refused(old: str, new: str, key: str, words: str) -> None:
    """No write but a confirmed select, a guard that is a register of the device, addresses of the right table."""
    found = problems(GAUGE.replace(old, new, 1))
    assert words in found.get(key, ""), found


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ('value = "id"', "value = 1", "", ""),
        ("\nack = {", "\n#ack = {", "record.ack", "never show the next sale"),
        ('id = "log_id"', 'id = "card"', "record.id", "no field of the record with role sale_id"),
        ('"card", "used', '"card", "max_cards", "used', "record.fields", "more than one request"),
        ("address = 11\n", "address = 13\n", "record.fields", "hole of 2 registers"),
        ('"card", "used', '"cart", "used', "record.fields", "there is no field cart"),
        ("[record]", "[recort]", "map.profile", "needs a [record]"),
    ],
)
def test_a_log_map_is_refused(old: str, new: str, key: str, words: str) -> None:
    """A sale record comes by one request, has an id and an acknowledgement."""
    text = text_of("gas-station-module").decode()
    assert text.count(old) == 1
    if not key:
        assert load("own.toml", text.replace(old, new).encode())
        return
    found = problems(text.replace(old, new))
    assert words in found.get(key, ""), found


def test_groups_that_no_request_can_bring() -> None:
    """More than 125 registers, two tables, or more than the device grants per read."""
    many = "".join(
        f'[field.t{n}]\ntable = "holding"\naddress = {100 + 60 * n}\ntype = "ascii"\nbytes = 90\n' for n in range(3)
    )
    text = METER.replace("[field.total]", '[group.texts]\nfields = ["t0", "t1", "t2"]\n\n[field.total]') + many
    assert "more than the 125 registers" in problems(text)["group.texts"]
    two = METER.replace('"flow"]', '"flow"]\natomic = true').replace('"holding"\naddress = 20', '"input"\naddress = 12')
    assert "different tables" in problems(two)["group.total"]
    near = METER.replace('"flow"]', '"flow"]\natomic = true').replace("address = 20", "address = 12")
    assert load("own.toml", near.encode())
    assert "the 2 registers" in problems(near.replace("max_gap = 4", "max_gap = 4\nmax_registers = 2"))["group.total"]
    assert "longer than one" in problems(METER.replace("max_gap = 4", "max_registers = 1"))["group.total"]


def test_a_unit_from_a_register_is_one_of_the_role() -> None:
    """A code for millimetres makes no total of litres."""
    code = '[field.code]\ntable = "holding"\naddress = 30\ntype = "u16"\nenum = { 0 = "l", 1 = "mm" }\n'
    text = METER.replace('"flow"]', '"flow", "code"]').replace('unit = "l"', 'unit_from = "code"') + code
    assert "the enum of code has mm" in problems(text)["field.total.unit_from"]
    assert load("own.toml", text.replace('"mm"', '"gal"').encode())


def test_only_the_guard_is_read_without_a_select() -> None:
    """A tank value in the guard's group would be that of whichever tank was selected last."""
    select = 'select_confirmed = true\n[select]\naddress = 40100\nvalue_from = "tank"\n'
    text = GAUGE.replace("[group.tank]", select + "[group.tank]", 1)
    assert load("own.toml", text.encode())
    beside = text.replace('["height"]', '["link", "height"]').replace('[group.link]\nfields = ["link"]\n', "")
    assert "beside the guard" in problems(beside)["group.tank"]


def test_two_meanings_of_a_register_need_alias() -> None:
    """Bits of one register are no conflict; a number over them is, until the map says that it is meant."""
    bits = "".join(f'[field.b{n}]\ntable = "holding"\naddress = 30\ntype = "bit"\nbit = {n}\n' for n in (0, 1))
    text = METER.replace('"flow"]', '"flow", "b0", "b1"]') + bits
    assert load("own.toml", text.encode())
    whole = '[field.word]\ntable = "holding"\naddress = 30\ntype = "u16"\n'
    text = text.replace('"b1"]', '"b1", "word"]') + whole
    assert "in another way" in problems(text)["field.word.address"]
    assert load("own.toml", (text + "alias = true\n").encode())


def test_all_problems_come_together_in_file_order_with_their_lines() -> None:
    """A person corrects a file once."""
    text = METER.replace('"u32"', '"u33"').replace('"meter"\naddress', '"metre"\naddress').replace('"flow"]', '"flw"]')
    with pytest.raises(MapError) as refused:
        load("own.toml", text.encode())
    lines = text.splitlines()
    found = refused.value.problems
    assert [problem.line for problem in found] == sorted(problem.line for problem in found)
    assert len(found) == 4
    for problem in found:
        key = problem.key.rpartition(".")[2]
        assert key in lines[problem.line - 1], problem
    assert re.match(r"own\.toml:\d+: .* \(and 3 more\)$", str(refused.value))
    assert refused.value.hint


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\xff\xfe", "is not UTF-8"),
        (b"[map\n", "is not TOML"),
        (b"a = " + b"[" * 5000, "is nested too deeply"),
        (b"a" * 9000, "is longer than"),
        (b"\n" * 300_000, "is larger than"),
        (b"x = " + b"9" * 5000, "is not TOML"),
        (b"x = 0x" + b"f" * 5000, "unknown key"),
        (b"", "is missing"),
        (b"map = 3\nfield = []\ngroup = 1979-05-27", "is no table"),
    ],
)
def test_what_is_no_map_at_all(raw: bytes, words: str) -> None:
    """Any file is answered with the loader's own error."""
    assert any(words in problem for problem in problems(raw).values())


def test_one_id_and_version_are_one_content(tmp_path: Path) -> None:
    """A changed copy of a shipped map needs an id or a version of its own."""
    shipped = read("seneca-z10-d-in")
    own = tmp_path / "own.toml"
    own.write_bytes(text_of("seneca-z10-d-in"))
    assert shelf.find(str(own)) == shipped
    own.write_bytes(text_of("seneca-z10-d-in") + b"# changed\n")
    with pytest.raises(WiringError, match="raise the version"):
        shelf.find(str(own))
    own.write_bytes(own.read_bytes().replace(b"version = 1", b"version = 2"))
    assert shelf.find(str(own)).sha256 != shipped.sha256
    assert checks.conflicts([shipped, shelf.find(str(own))]) == []
    assert len(checks.conflicts([shipped, load("x", text_of("seneca-z10-d-in") + b"\n")])) == 1


@pytest.mark.parametrize("name", ["seneca", "./nowhere.toml", "\x00.toml", "/"])
def test_a_map_that_is_not_there(name: str) -> None:
    """The error says which maps there are, or which was probably meant."""
    with pytest.raises(WiringError) as refused:
        shelf.find(name)
    assert refused.value.hint


def refused_values(map_: RegisterMap, **values: object) -> dict[str, str]:
    with pytest.raises(MapError) as refused:
        bind(map_, values)
    assert all(problem.hint for problem in refused.value.problems)
    return {problem.key: problem.problem for problem in refused.value.problems}


def test_a_map_takes_only_right_values_of_the_station() -> None:
    """Missing, unknown and impossible values are told together; nothing is guessed."""
    pulses, batch, gauge = read("seneca-z10-d-in"), read("toptech-multiload"), read("pneumercator-tms")
    assert refused_values(pulses) == {"k_factor": "the station must give this value"}
    found = refused_values(pulses, k_factor="0", kfactor="3666739.2")
    assert found == {"k_factor": "'0' is no factor", "kfactor": "the map does not ask for this value"}
    assert set(refused_values(LOG, word_order="ABDC", unit_used_amount="pulse")) == {"word_order", "unit_used_amount"}
    assert set(refused_values(gauge, units="imperial")) == {"units"}
    found = refused_values(batch, word_order="ABCD", preset=40_000, additive="two")
    assert set(found) == {"preset", "additive"}
    assert "leads to wire address" in found["preset"]
    assert bind(batch, {"word_order": "ABCD", "preset": 7, "additive": 3}).fields["additive"].address.base == 6023


def test_what_the_station_says_arrives_in_the_fields() -> None:
    """Units, factors of a system of units, orders and conversions: nothing stays open."""
    log = bound("gas-station-module", word_order="DCBA", unit_used_amount="l")
    assert (log.fields["used_amount"].unit, log.fields["used_amount"].word_order) == (Unit.L, WordOrder.DCBA)
    assert log.record is not None
    assert log.record.ack is not None
    assert log.record.ack.word_order is WordOrder.DCBA
    us, metric = (bound("pneumercator-tms", units=units).fields["height"] for units in ("us", "metric"))
    assert [(one.unit, one.scale) for one in (us, metric)] == [(Unit.IN, Fraction(1, 10)), (Unit.MM, 1)]
    assert bound("seneca-z10-d-in").conversions.k_factor == Fraction("3666739.2")
    assert bound("micro-motion-lng", density_kg_m3=440).conversions.density_kg_m3 == 440


def test_a_value_that_the_station_lets_write() -> None:
    """A set-up value comes from the station; one that the register cannot hold is refused."""
    setup = '[setup]\n[[setup.write]]\nwrite = "register"\naddress = 5\nvalue_from = "speed"\n'
    map_ = load("own.toml", (METER + setup).encode())
    assert map_.requires == ("speed",)
    assert bind(map_, {"speed": 7}).setup.writes[0].write.value == 7
    assert "does not fit" in refused_values(map_, speed=70000)["speed"]
    assert "cannot be written" in refused_values(map_, speed="fast")["speed"]


def test_an_index_may_lead_to_the_last_address_and_no_further() -> None:
    """A value that ends at the last register is one; the next index is refused."""
    text = METER.replace("address = 10", 'address = { base = 10, terms = [{ stride = 1, index = "arm" }] }')
    map_ = load("own.toml", text.encode())
    assert bind(map_, {"arm": 65_524}).fields["total"].address.base == 65_534
    assert "leads to wire address 65535" in refused_values(map_, arm=65_525)["arm"]
