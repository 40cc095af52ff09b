"""What sections of station.toml must hold together: each kind of fault alone, at its key, and nothing told beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.domain.identity import layout_problems
from agent.domain.link_windows import Windows
from agent.domain.wetstock.limits import tank_limits
from agent.settings import checks
from tests.support.station_file import STATION, changed, faults, loaded

SECOND_POINT = """
[[fuelling_point]]
id = {id}
line = "{line}"
address = {address}
[[fuelling_point.nozzle]]
id = 1
grade = "92"
tank = 1
"""
SECOND_TANK = '\n[[tank]]\nid = {id}\ngrade = "92"\ncapacity_l = "1000"\n{more}\n'
SECOND_READER = '\n[[reader]]\nid = "{id}"\nport = "{port}"\nfuelling_points = [1]\n'
SECOND_LINE = '\n[[line]]\nid = "{id}"\nport = "{port}"\nprotocol = "{protocol}"\n'
GAUGE = 'line = "tanks"\ngauge_index = {}'

ALONE: list[tuple[str, str, str, str]] = [
    ("unknown section", STATION + "\n[pumps]\n", "pumps", "unknown section"),
    ("missing section", STATION.replace('[station]\nid = "SH-0001"\n', ""), "station", "section is missing"),
    ("section is a list", changed(("[station]", "[[station]]")), "station", "is not a section"),
    ("list is a section", changed(("[[reader]]", "[reader]")), "reader", "is not a list"),
    ("missing key", changed(("address = 0x50\n", "")), "fuelling_point[1].address", "is missing"),
    (
        "unknown key",
        changed(("address = 0x50", "address = 0x50\nadress = 1")),
        "fuelling_point[1].adress",
        "unknown key",
    ),
    ("wrong type", changed(("0x50", '"80"')), "fuelling_point[1].address", "integer"),
    ("unknown protocol", changed(('"dart"', '"wayne"')), "line[1].protocol", "no driver for protocol 'wayne'"),
    ("scanner as a line", changed(('"dart"', '"serial-scanner"')), "line[1].protocol", "protocol of a reader"),
    ("unknown option", changed(('"dart"', '"dart"\n[line.options]\nx = 1')), "line[1].options.x", "no such option"),
    (
        "option value",
        changed(('"dart"', '"dart"\n[line.options]\nretries = 99')),
        "line[1].options.retries",
        "not allowed",
    ),
    ("parity", changed(('"dart"', '"dart"\n[line.serial]\nparity = "x"')), "line[1].serial.parity", "'none'"),
    ("baud rate", changed(('"dart"', '"dart"\n[line.serial]\nbaudrate = 5')), "line[1].serial.baudrate", "300"),
    ("data bits", changed(('"dart"', '"dart"\n[line.serial]\ndata_bits = 9')), "line[1].serial.data_bits", "7"),
    ("stop bits", changed(('"dart"', '"dart"\n[line.serial]\nstop_bits = 3')), "line[1].serial.stop_bits", "1"),
    (
        "reader option",
        changed(("fuelling_points = [1]", "fuelling_points = [1]\n[reader.options]\ntab_ends = 1")),
        "reader[1].options.tab_ends",
        "true or false",
    ),
    (
        "card reader at a serial port",
        STATION + '\n[[reader]]\nid = "two"\nkind = "pcsc"\nport = "/dev/ttyUSB7"\nfuelling_points = [1]\n',
        "reader[2].port",
        "is no PC/SC reader",
    ),
    (
        "no such line",
        changed(('line = "island-1"', 'line = "island-9"')),
        "fuelling_point[1].line",
        "no line 'island-9'",
    ),
    (
        "line twice",
        STATION + SECOND_LINE.format(id="tanks", port="/dev/y", protocol="veeder-root"),
        "line[3].id",
        "'tanks' is used twice",
    ),
    (
        "line without points",
        STATION + SECOND_LINE.format(id="island-2", port="/dev/y", protocol="dart"),
        "line[3].id",
        "no fuelling_point uses this line",
    ),
    (
        "point twice",
        STATION + SECOND_POINT.format(id=1, line="island-1", address=0x51),
        "fuelling_point[2].id",
        "used twice",
    ),
    (
        "address twice",
        STATION + SECOND_POINT.format(id=2, line="island-1", address=0x50),
        "fuelling_point[2].address",
        "share this address",
    ),
    (
        "point on a gauge",
        STATION + SECOND_POINT.format(id=2, line="tanks", address=0x51),
        "fuelling_point[2].line",
        "no dispenser protocol",
    ),
    ("impossible address", changed(("0x50", "20")), "fuelling_point[1]", "no DART address"),
    ("no such grade", changed(('id = 1\ngrade = "92"\ntank', 'id = 1\ngrade = "98"\ntank')), "", "no grade '98'"),
    ("no such tank", changed(("tank = 1", "tank = 3")), "fuelling_point[1].nozzle[1].tank", "no tank 3"),
    (
        "another grade in the tank",
        changed(("[grade.92]", '[grade.95]\nname = "95"\nunit_price = "8"\n[grade.92]')).replace(
            'id = 1\ngrade = "92"\ntank', 'id = 1\ngrade = "95"\ntank'
        ),
        "fuelling_point[1].nozzle[1].tank",
        "tank 1 holds grade 92, the nozzle sells 95",
    ),
    (
        "nozzle twice",
        changed(("tank = 1", 'tank = 1\n[[fuelling_point.nozzle]]\nid = 1\ngrade = "92"\ntank = 1')),
        "fuelling_point[1].nozzle[2].id",
        "named twice",
    ),
    (
        "point without nozzle",
        STATION.replace('[[fuelling_point.nozzle]]\nid = 1\ngrade = "92"\ntank = 1', ""),
        "",
        "missing",
    ),
    ("tank twice", STATION + SECOND_TANK.format(id=1, more=GAUGE.format(2)), "tank[2].id", "used twice"),
    ("gauge number twice", STATION + SECOND_TANK.format(id=2, more=GAUGE.format(1)), "tank[2].gauge_index", "share"),
    (
        "tank on a dispenser",
        STATION + SECOND_TANK.format(id=2, more='line = "island-1"\ngauge_index = 2'),
        "tank[2].line",
        "no gauge",
    ),
    (
        "gauge number missing",
        STATION + SECOND_TANK.format(id=2, more='line = "tanks"'),
        "tank[2].gauge_index",
        "is missing",
    ),
    (
        "gauge number alone",
        STATION + SECOND_TANK.format(id=2, more="gauge_index = 2"),
        "tank[2].gauge_index",
        "no meaning",
    ),
    ("no capacity", changed(('"30000"', '"0"')), "tank[1].capacity_l", "must be above 0"),
    ("reader twice", STATION + SECOND_READER.format(id="one", port="/dev/y"), "reader[2].id", "'one' is used twice"),
    ("reader at no point", changed(("[1]", "[1, 5]")), "reader[1].fuelling_points[2]", "no fuelling point 5"),
    ("reader of nothing", changed(("fuelling_points = [1]", "fuelling_points = []")), "reader[1].fuelling_points", "1"),
    (
        "port twice",
        STATION + SECOND_READER.format(id="two", port="/dev/forecourt/scanner-1"),
        "reader[2].port",
        "used twice",
    ),
    (
        "name of a reader's wire",
        changed(('id = "tanks"', 'id = "reader-one"'), ('line = "tanks"', 'line = "reader-one"')),
        "reader[1].id",
        "name of this reader's wire",
    ),
    (
        "no grades",
        STATION.replace('[grade.92]\nname = "92"\nunit_price = "7.85"', "[grade]").replace('grade = "92"\n', ""),
        "",
        "",
    ),
    ("grade code", STATION + '\n[grade."9 2"]\nname = "x"\nunit_price = "1"\n', "grade.9 2", "cannot be a grade code"),
    ("price", changed(('"7.85"', '"0"')), "grade.92.unit_price", "greater than zero"),
    ("window of zero", STATION + '\n[sales]\nchoose = "0s"\n', "sales.choose", "must be a whole number above 0"),
    ("window of half a second", STATION + '\n[sales]\nchange = "500ms"\n', "sales.change", "whole number of seconds"),
    ("late in minutes", STATION + '\n[sales]\nlate = "90min"\n', "sales.late", "whole number of hours"),
    (
        "late before after",
        STATION + '\n[sales]\nlate = "1h"\nlink_after = "2h"\n',
        "sales.link_after",
        "must not be longer",
    ),
    (
        "payment codes",
        STATION + '\n[[loyalty.card]]\nprefix = "13"\nlength = 18\n',
        "loyalty.card[1]",
        "payment codes of wechat",
    ),
    (
        "two layouts",
        STATION + '\n[[loyalty.card]]\nprefix = "9"\nlength = 16\n[[loyalty.card]]\nprefix = "91"\nlength = 16\n',
        "loyalty.card[2]",
        "overlaps the layout with prefix '9'",
    ),
    (
        "empty prefix",
        STATION + '\n[[loyalty.card]]\nprefix = ""\nlength = 16\n',
        "loyalty.card[1]",
        "one or more digits",
    ),
    ("mqtts alone", changed(("mqtt://", "mqtts://")), "head_office.ca_file", "could not be recognised"),
    (
        "ca without TLS",
        changed((':1883"', ':1883"\nca_file = "/x"')),
        "head_office.ca_file",
        "has no effect with mqtt://",
    ),
    (
        "certificate without key",
        changed(("mqtt://", "mqtts://"), (':1883"', ':1883"\nca_file = "/x"\ncertificate_file = "/y"')),
        "head_office.certificate_file",
        "useless without key_file",
    ),
    ("broker", changed(("mqtt://127.0.0.1:1883", "https://x")), "head_office.broker", "pattern"),
    ("broker port", changed(("1883", "99999")), "head_office.broker", "99999 is no port"),
    ("no pause", STATION.replace('1883"', '1883"\nreconnect_max = "0s"'), "head_office.reconnect_max", "1000"),
    (
        "mark beside the database",
        STATION + '\n[store]\npath = "/d/a.db"\nmark = "/d/m.json"\n',
        "store.mark",
        "folder of the database",
    ),
    ("position", changed(('"SH-0001"', '"SH-0001"\nposition = ["131.2", "20"]')), "station.position[1]", "-90 to 90"),
    ("time zone", changed(('"SH-0001"', '"SH-0001"\ntimezone = "Asia/Nowhere"')), "station.timezone", "no time zone"),
]


@pytest.mark.parametrize(("text", "key", "problem"), [case[1:] for case in ALONE], ids=[case[0] for case in ALONE])
def test_each_fault_is_told_alone(tmp_path: Path, text: str, key: str, problem: str) -> None:
    """One thing wrong, one fault at its key; a hint says what to do."""
    found = faults(tmp_path, text)
    assert any(problem in fault.problem and (not key or fault.key == key) for fault in found), found
    assert all(fault.hint for fault in found)
    if key:
        assert [fault.key for fault in found] == [key]


LIMITS = [
    ("maximum_l", "31000", "between 0 and the capacity of 30000 l"),
    ("high_l", "29500", "maximum_l (29100) must be above high_l (29500)"),
    ("overfill_l", "28600", "high_l (28500) must be above overfill_l (28600)"),
    ("delivery_needed_l", "27500", "overfill_l (27000) must be above delivery_needed_l (27500)"),
    ("low_l", "6000.5", "delivery_needed_l (6000) must be above low_l (6000.5)"),
    ("heel_l", "3000", "low_l (3000) must be above heel_l (3000)"),
    ("water_alarm_mm", 25, "water_alarm_mm (25) must be above water_warning_mm (25)"),
    ("water_warning_mm", 60, "water_alarm_mm (50) must be above water_warning_mm (60)"),
    ("high_temperature_c", -30, "high_temperature_c (-30) must be above low_temperature_c (-20)"),
]


@pytest.mark.parametrize(("key", "value", "problem"), LIMITS)
def test_limits_out_of_order_are_told_in_the_words_of_the_file(
    tmp_path: Path, key: str, value: object, problem: str
) -> None:
    """Judged against the defaults that would apply, at the key that a person wrote, in litres, millimetres and degrees."""
    written = f'"{value}"' if isinstance(value, str) else str(value)
    found = faults(tmp_path, changed(('capacity_l = "30000"', f'capacity_l = "30000"\n{key} = {written}')))
    assert [fault.key for fault in found] == [f"tank[1].{key}"]
    assert problem in found[0].problem


def test_limits_are_judged_where_they_are_applied(tmp_path: Path) -> None:
    """What passes here makes the limits of a tank, and what does not would not: there is one rule only."""
    tank = loaded(tmp_path, changed(('"30000"', '"30000"\nlow_l = "1000"\nheel_l = "400"'))).tank[0]
    limits, problems = tank_limits(tank.capacity_l, heel_ml=tank.heel_l, overrides=tank.limit_overrides())
    assert problems == []
    assert checks.limit_problems(tank) == []
    assert limits is not None
    assert (limits.low_product_ml, limits.unpumpable_ml, limits.water_alarm_um) == (1_000_000, 400_000, 50_000)


def test_defaults_pass_the_rules_of_the_domain(tmp_path: Path) -> None:
    """Windows and card layouts of a file that says nothing about them."""
    settings = loaded(tmp_path)
    assert settings.sales.windows() == Windows()
    assert settings.sales.windows().problems() == []
    assert settings.loyalty.card[0].prefix == "9"
    assert layout_problems([]) == []


def test_a_tank_without_a_gauge_may_feed_nozzles(tmp_path: Path) -> None:
    """Measured by hand: no line, no number, no fault; the gauge's driver is not told of it."""
    text = (
        STATION
        + SECOND_TANK.format(id=2, more="")
        + SECOND_POINT.format(id=2, line="island-1", address=0x51).replace("tank = 1", "tank = 2")
    )
    settings = loaded(tmp_path, text)
    assert settings.tank[1].line is None
    assert [config.tanks for config in settings.line_configs()] == [(), (1,), ()]


def test_a_refused_section_starts_no_avalanche(tmp_path: Path) -> None:
    """A point with a spelling mistake does not make its line, its reader or its tank look wrong."""
    found = faults(tmp_path, changed(("address = 0x50", "adress = 0x50"), ("gauge_index = 1", "gauge_indx = 1")))
    assert [fault.key for fault in found] == [
        "fuelling_point[1].address",
        "fuelling_point[1].adress",
        "tank[1].gauge_indx",
    ]


def test_line_configs_carry_what_drivers_need(tmp_path: Path) -> None:
    """Points with address and decimals, tanks by their number at the gauge, readers as wires of their own."""
    text = changed(("address = 0x50", 'address = 0x50\ncontrol = "monitor"\ndecimals = {unit_price = 2}'))
    dispensers, gauge, reader = loaded(tmp_path, text).line_configs()
    (point,) = dispensers.points
    assert (point.address, point.nozzles, point.unit_price_decimals, point.sends_commands) == (0x50, (1,), 2, False)
    assert (gauge.id, gauge.tanks, gauge.port) == ("tanks", (1,), "socket://10.0.0.5:10001")
    assert (reader.id, reader.protocol, reader.reader) == ("reader-one", "serial-scanner", "one")
