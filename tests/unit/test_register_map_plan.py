"""Which requests a map leads to: neighbours in one, the guard before what it judges, the limits of device and protocol."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from drivers.errors import WiringError
from drivers.modbus import plan
from drivers.modbus.bind import bind
from drivers.modbus.load import load
from drivers.modbus.model import RegisterMap
from tests.support.register_maps import bound, text_of

HEAD = '[map]\nid = "x"\nversion = 1\nprofile = "meter"\naddress_base = 0\n'
FIELD = '[field.{name}]\ntable = "{table}"\naddress = {address}\ntype = "{type}"\n{more}\n'


def meter(*fields: tuple[str, int, str], head: str = HEAD, group: str = "") -> RegisterMap:
    """A map with these fields (table, address, type) in one group, f0 being its totalizer and f1 its flow."""
    more = ['role = "totalizer"\nunit = "l"\nmodulus = "65536"', 'role = "flow"'] + [""] * len(fields)
    names = ", ".join(f'"f{number}"' for number in range(len(fields)))
    text = head + f"[group.all]\nfields = [{names}]\n{group}\n"
    for number, (table, address, kind) in enumerate(fields):
        text += FIELD.format(name=f"f{number}", table=table, address=address, type=kind, more=more[number])
    return load("x", text.encode())


def requests(map_: RegisterMap, *tanks: int) -> list[tuple[int, int, int]]:
    """Function, address and count of every read, in order."""
    return [
        (block.function, block.address, block.count)
        for cycle in plan.cycles(map_, tanks or (0,))
        for turn in cycle.turns
        for block in turn.blocks
    ]


def test_neighbours_share_a_request_over_holes_no_wider_than_granted() -> None:
    """Without max_gap only what touches is merged."""
    fields = (("holding", 10, "u16"), ("holding", 11, "u16"), ("holding", 14, "u32"))
    assert requests(meter(*fields)) == [(3, 10, 2), (3, 14, 2)]
    assert requests(meter(*fields, head=HEAD + "max_gap = 1\n")) == [(3, 10, 2), (3, 14, 2)]
    assert requests(meter(*fields, head=HEAD + "max_gap = 2\n")) == [(3, 10, 6)]


def test_each_table_has_its_function() -> None:
    """Coils, discrete inputs, holding and input registers never share a request."""
    fields = (("holding", 0, "u16"), ("input", 1, "u16"), ("coil", 0, "bool"), ("discrete", 1, "bool"))
    assert sorted(requests(meter(*fields))) == [(1, 0, 1), (2, 1, 1), (3, 0, 1), (4, 1, 1)]


def test_no_request_is_longer_than_the_protocol_or_the_device_grants() -> None:
    """125 registers, or fewer where the map says so; 2000 bits."""
    fields = tuple(("holding", 2 * number, "u32") for number in range(62))
    assert requests(meter(("holding", 124, "u16"), *fields)) == [(3, 0, 125)]
    assert requests(meter(("holding", 4, "u16"), *fields[:2], head=HEAD + "max_registers = 4\n")) == [
        (3, 0, 4),
        (3, 4, 1),
    ]
    bits = (("holding", 0, "u16"), ("coil", 0, "bool"), ("coil", 1999, "bool"), ("coil", 1998, "bool"))
    wide = replace(meter(*bits), max_gap=2000)
    assert (1, 0, 2000) in requests(wide)


def test_an_atomic_group_is_one_request() -> None:
    """Also where its registers would fit into the neighbour's only in part."""
    fields = (("holding", 0, "u16"), ("holding", 1, "u16"), ("holding", 3, "u16"))
    atomic = meter(*fields, head=HEAD + "max_gap = 1\n", group="atomic = true")
    assert requests(atomic) == [(3, 0, 4)]


def test_periods_are_kept_apart_the_shortest_first() -> None:
    """What is read twice a second does not drag along what is read once a minute."""
    cycles = plan.cycles(bound("micro-motion-lng"))
    assert [cycle.period_ms for cycle in cycles] == [500, 5000, 60000]
    assert plan.cycles(bound("strela"))[0].period_ms == 30_000
    assert plan.cycles(meter(("holding", 0, "u16"), ("holding", 1, "u16")))[0].period_ms == 1000


def test_the_guard_is_read_before_what_it_judges_in_every_cycle() -> None:
    """Even where it lies behind the tanks, and where tanks have another period than the guard."""
    text = text_of("pneumercator-tms").replace(b"address = 40001\n", b"address = 40300\n")
    later = load("x", text)
    later = replace(later, fields={name: replace(one, measures={}) for name, one in later.fields.items()})
    assert requests(later, 0, 1) == [(3, 299, 1), (3, 1, 16), (3, 17, 16)]
    slow = load(
        "x", text_of("pneumercator-tms").replace(b'["link"]\nperiod_ms = 30000', b'["link"]\nperiod_ms = 60000')
    )
    assert [(c.period_ms, c.turns[0].blocks[0].parts[0].field) for c in plan.cycles(slow)] == [
        (30_000, "link"),
        (60_000, "link"),
    ]


def test_a_tank_beyond_the_last_address_is_refused() -> None:
    """A wrong tank number is told before anything is sent; the last address itself is one."""
    last = load("x", text_of("franklin-evo").replace(b"base = 204", b"base = 65498"))
    last = bind(last, {"manifold": 0})
    assert (4, 65534, 2) in requests(last, 1)
    with pytest.raises(WiringError, match="tank 3"):
        plan.cycles(last, (2,))
    with pytest.raises(WiringError, match="tank 9001") as refused:
        plan.cycles(bound("pneumercator-tms"), (9000,))
    assert refused.value.hint


def test_a_map_of_one_tank_serves_one_tank() -> None:
    """Its values would otherwise be reported for every tank of the line."""
    text = (
        '[map]\nid = "x"\nversion = 1\nprofile = "gauge"\naddress_base = 0\n[group.g]\nfields = ["h"]\n'
        '[field.h]\ntable = "input"\naddress = 0\ntype = "u16"\nrole = "height"\nunit = "mm"\n'
    )
    map_ = load("x", text.encode())
    assert requests(map_, 4) == [(4, 0, 1)]
    with pytest.raises(WiringError, match="of one tank") as refused:
        plan.cycles(map_, (0, 1))
    assert refused.value.hint


def test_single_reads_for_confirming_and_reading_back() -> None:
    """One field alone, and the registers that a write went to."""
    map_ = bound("reference-dispenser")
    assert plan.single(map_, "totalizer").pdu().hex() == "03000c0004"
    assert plan.read_back(map_.commands["price"].write).pdu().hex() == "0300670002"
    assert plan.read_back(bound("micro-motion-lng").commands["reset_total"].write).pdu().hex() == "0100370001"
    price = plan.write_request(map_.commands["price"].write, Fraction("7.85"))
    assert price.pdu().hex() == "10006700020400001eaa"


def test_the_record_comes_with_its_group_or_alone() -> None:
    """A queue inside the levels is read with them, so that both are of one moment."""
    assert plan.record(bound("reference-dispenser")).count == 30
    assert plan.record(bound("gas-station-module")).parts[0].field == "log_id"


def test_a_short_reply_gives_fewer_registers_and_no_other_fields_values() -> None:
    """What is missing is missing at the end; nothing slides into the place of another field."""
    block = plan.single(bound("reference-dispenser"), "totalizer")
    assert block.registers([1, 2]) == {("totalizer", None): (1, 2)}
    assert plan.record(bound("reference-dispenser")).registers([1])["state", None] == ()
