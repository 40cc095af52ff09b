"""Loading station.toml: the example is right, every fault is told at once and in file order, and nothing else is raised."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.settings import SettingsError, load
from agent.settings.wiring import warnings
from tests.support.station_file import STATION, changed, faults, line_of, loaded

EXAMPLE = Path(__file__).parents[2] / "config" / "station.example.toml"

TWELVE = changed(
    ('id = "SH-0001"', 'id = "SH 0001"\ncolour = "red"'),
    ('id = "island-1"\nport', 'id = "island-1"\nspeed = 9600\nport'),
    ('protocol = "dart"', 'protocol = "dart"\n[line.serial]\nparity = "mark"'),
    ('protocol = "veeder-root"', 'protocol = "veeder-root"\n[line.options]\npoll = "30s"'),
    ("tank = 1", "tank = 7"),
    ('capacity_l = "30000"', 'capacity_l = "30000"\nwater_alarm_mm = 10'),
    ("fuelling_points = [1]", "fuelling_points = [1, 9]"),
    ('unit_price = "7.85"', "unit_price = 7.85"),
    ("mqtt://127.0.0.1:1883", "mqtts://127.0.0.1:1883"),
).replace("[grade.92]", '[sales]\nsettle_after = "30"\n\n[grade.92]')
TWELVE += '\n[[loyalty.card]]\nprefix = "62"\nlength = 19\n'
EXPECTED = [
    ('id = "SH 0001"', "station.id", "pattern", "characters"),
    ("colour", "station.colour", "unknown key", "spelling"),
    ("speed", "line[1].speed", "unknown key", "spelling"),
    ("parity", "line[1].serial.parity", "'even'", "words listed"),
    ("poll", "line[2].options.poll", "unknown option", "poll_s"),
    ("tank = 7", "fuelling_point[1].nozzle[1].tank", "no tank 7", "[[tank]]"),
    ("water_alarm_mm", "tank[1].water_alarm_mm", "must be above water_warning_mm (25)", "beyond their warnings"),
    ("fuelling_points", "reader[1].fuelling_points[2]", "no fuelling point 9", "[[fuelling_point]]"),
    ("settle_after", "sales.settle_after", "with a unit", "as described"),
    ("unit_price", "grade.92.unit_price", "in quotes", "as described"),
    ("[head_office]", "head_office.ca_file", "mqtts", "ca_file"),
    ("[[loyalty.card]]", "loyalty.card[1]", "overlaps payment codes of unionpay", "change prefix or length"),
]


def forecourt(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own."""
    program = "from agent.main import entry; entry()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=240, check=False
    )


def test_the_example_of_the_repository_is_correct() -> None:
    """Whoever starts from it starts from a file without a fault."""
    settings = load(EXAMPLE)
    assert [tank.line for tank in settings.tank] == ["tanks", "tanks", None]
    assert settings.fuelling_point[1].nozzle[1].tank == 3
    assert settings.loyalty.card[0].length == 16


def test_the_example_names_every_key_there_is() -> None:
    """A key that exists and is not explained there cannot be found by the people who need it."""
    text = EXAMPLE.read_text(encoding="utf-8")
    settings = load(EXAMPLE)
    sections = [settings.station, settings.store, settings.sales, settings.head_office, settings.loyalty]
    sections += [settings.control, settings.line[0], settings.line[0].serial, settings.fuelling_point[0]]
    sections += [settings.fuelling_point[0].decimals, settings.fuelling_point[0].nozzle[0], settings.tank[0]]
    sections += [
        settings.reader[0],
        settings.grade["92"],
        settings.loyalty.card[0],
        settings.stock,
        settings.fraud,
    ]
    assert settings.tank[0].shape is not None
    sections.append(settings.tank[0].shape)
    names = {name for section in sections for name in type(section).model_fields}
    assert {name for name in names if f"{name} = " not in text and f"{name}]" not in text} == set()


def test_a_file_with_twelve_faults_tells_exactly_those_in_file_order(tmp_path: Path) -> None:
    """One load, every fault, each with line, key, problem and hint."""
    found = faults(tmp_path, TWELVE)
    assert [(fault.line, fault.key) for fault in found] == [
        (line_of(TWELVE, start), key) for start, key, _, _ in EXPECTED
    ]
    assert len(found) == 12
    for fault, (_, _, problem, hint) in zip(found, EXPECTED, strict=True):
        assert problem in fault.problem
        assert hint in fault.hint
        assert fault.file.endswith("station.toml")


def test_check_config_tells_them_and_ends_with_two(tmp_path: Path) -> None:
    """The faults on stderr with their lines, the count last, no traceback."""
    file = tmp_path / "station.toml"
    file.write_text(TWELVE, encoding="utf-8")
    run = forecourt("check-config", str(file))
    assert run.returncode == 2
    assert run.stdout == ""
    assert "Traceback" not in run.stderr
    assert run.stderr.splitlines()[-1] == f"{len(EXPECTED)} faults"
    for start, key, _, _ in EXPECTED:
        assert f"{file}:{line_of(TWELVE, start)}: {key}: " in run.stderr


def test_check_config_tells_them_as_json(tmp_path: Path) -> None:
    """The same for programs, on stdout."""
    file = tmp_path / "station.toml"
    file.write_text(TWELVE, encoding="utf-8")
    run = forecourt("check-config", str(file), "--json")
    value = json.loads(run.stdout)
    assert run.returncode == 2
    assert value["ok"] is False
    assert [fault["key"] for fault in value["faults"]] == [key for _, key, _, _ in EXPECTED]
    assert set(value["faults"][0]) == {"file", "line", "key", "problem", "hint"}


def test_check_config_warns_of_a_security_code_in_the_file(tmp_path: Path) -> None:
    """Exit 0 and a warning that does not repeat the code; nothing in the example is warned of."""
    file = tmp_path / "station.toml"
    text = EXAMPLE.read_text(encoding="utf-8")
    units = "units = 2 "
    assert units in text
    file.write_text(text.replace(units, f'security_code = "12X456"\n{units}', 1), encoding="utf-8")
    run = forecourt("check-config", str(file))
    assert run.returncode == 0, run.stderr
    assert "security_code_file" in run.stderr
    assert "12X456" not in run.stderr + run.stdout
    (warning,) = json.loads(forecourt("check-config", str(file), "--json").stdout)["warnings"]
    assert warning["option"] == "security_code"


@pytest.mark.parametrize(
    ("kind", "port", "steady"),
    [
        ("serial-scanner", "/dev/ttyACM0", "/dev/serial/by-id"),
        ("serial-scanner", "/dev/serial/by-id/usb-ACME-if00", None),
        ("hid", "evdev:/dev/input/event12", "/dev/input/by-id"),
        ("hid", "evdev:/dev/input/by-id/usb-ACME-event-kbd", None),
    ],
)
def test_a_port_named_by_the_order_of_plugging_in_is_warned_of(
    tmp_path: Path, kind: str, port: str, steady: str | None
) -> None:
    """After the next start another device may have that name: the warning says where the steady ones are."""
    file = tmp_path / "station.toml"
    reader = f'[[reader]]\nid = "another"\nkind = "{kind}"\nport = "{port}"\nfuelling_points = [1]\n\n[sales]'
    file.write_text(EXAMPLE.read_text(encoding="utf-8").replace("[sales]", reader, 1), encoding="utf-8")
    hints = [hint for line, option, _, hint in warnings(load(file)) if (line, option) == ("reader-another", "port")]
    assert len(hints) == (steady is not None)
    assert all(str(steady) in hint for hint in hints)


def test_check_config_is_content_with_the_example() -> None:
    """Exit 0, one line that says what it configures; as JSON with the hash that the journal will carry."""
    run = forecourt("check-config", str(EXAMPLE))
    assert (run.returncode, run.stderr) == (0, "")
    assert "2 fuelling points with 4 nozzles, 3 tanks, 1 readers, 3 grades" in run.stdout
    value = json.loads(forecourt("check-config", str(EXAMPLE), "--json").stdout)
    assert value == {"ok": True, "faults": [], "warnings": [], "hash": load(EXAMPLE).hash}


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("[station]\nid = \n", 2, "is not TOML"),
        ('[station]\nid = "a"\nid = "b"\n', 3, "is not TOML"),
        ('[station]\nid = "a"\n[[line]\n', 3, "is not TOML"),
        ('a = "', 1, "is not TOML"),
        ("a = " + "9" * 5_000, 1, "is not TOML"),
        ("a = " + "[" * 4_000, 1, "nested too deeply"),
        (".".join(["a"] * 4_000) + " = 1", 1, "nested too deeply"),
        ("\n" + ".".join(["a"] * 20_000) + " = 1", 2, "longer than 8192 bytes"),
    ],
    ids=["no value", "key twice", "header", "string", "number", "lists", "dotted key", "long line"],
)
def test_a_syntax_error_is_told_alone_with_its_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    """Nothing else was looked at, and the hint says so."""
    (fault,) = faults(tmp_path, text)
    assert (fault.line, fault.key) == (line, "-")
    assert problem in fault.problem
    assert fault.hint


def test_bytes_that_are_no_text_are_told_with_their_line(tmp_path: Path) -> None:
    """A file saved in another encoding."""
    file = tmp_path / "station.toml"
    file.write_bytes('[station]\nname = "92号"\n'.encode("gb18030"))
    with pytest.raises(SettingsError) as caught:
        load(file)
    (fault,) = caught.value.faults
    assert (fault.line, fault.problem) == (2, "is not UTF-8 text")


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    """Some editors write one in front."""
    assert loaded(tmp_path, "\ufeff" + STATION).station.id == "SH-0001"


@pytest.mark.parametrize("name", ["missing.toml", ".", "a\x00b"])
def test_a_file_that_cannot_be_read_is_one_clear_fault(tmp_path: Path, name: str) -> None:
    """Missing, a directory, or no possible name."""
    with pytest.raises(SettingsError) as caught:
        load(tmp_path / name)
    (fault,) = caught.value.faults
    assert "cannot be read" in fault.problem
    assert "station.example.toml" in fault.hint


def test_a_file_without_permission_ends_the_command_with_two(tmp_path: Path) -> None:
    """As an unprivileged user would see it; root reads everything, so root sees a missing one instead."""
    file = tmp_path / "station.toml"
    file.write_text(STATION, encoding="utf-8")
    file.chmod(0)
    run = forecourt("check-config", str(file if os.geteuid() else tmp_path / "none.toml"))
    assert run.returncode == 2
    assert "cannot be read" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_huge_file_is_not_read_as_a_configuration(tmp_path: Path) -> None:
    """Somebody named the database."""
    (fault,) = faults(tmp_path, "#" * 1_100_000)
    assert "1 MiB" in fault.problem


KEYS = ["station", "line", "fuelling_point", "tank", "reader", "grade", "sales", "head_office", "loyalty", "store"]
INNER = ["id", "line", "port", "grade", "nozzle", "options", "serial", "fuelling_points", "card", "position", "92"]
INNER += ["protocol", "address", "capacity_l", "path", "kind", "unit_price", "timezone", "broker", "tank", "late"]
SCALARS = st.one_of(
    st.sampled_from(['""', '"a"', '"dart"', '"island-1"', '"veeder-root"', '"1e999999"', '"5s"', '"\\u0000"', "true"]),
    st.sampled_from(["0", "1", "-1", "99999999999999999999", "1.5", "nan", "inf", "1979-05-27T07:32:00Z", "07:32:00"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        st.dictionaries(st.sampled_from(INNER), inner, max_size=3).map(
            lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
        ),
    ),
    max_leaves=6,
)


@given(st.text())
@example("[station]\nid = []\n")
def test_any_text_is_settings_or_a_settings_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Nobody ever sees another exception, whatever the file holds."""
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(SettingsError) as caught:
        load(file)
    assert all(fault.hint and fault.problem for fault in caught.value.faults)


@given(st.dictionaries(st.sampled_from(KEYS), st.dictionaries(st.sampled_from(INNER), VALUES, max_size=4), max_size=5))
def test_any_shape_of_a_document_is_settings_or_a_settings_error(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, dict[str, str]]
) -> None:
    """Right names with wrong values of every type, in tables and in lists of tables."""
    for brackets in ("[{}]", "[[{}]]"):
        parts = [
            "\n".join([brackets.format(key), *(f"{name} = {value}" for name, value in table.items())])
            for key, table in document.items()
        ]
        file = tmp_path_factory.getbasetemp() / "shape.toml"
        file.write_text("\n".join(parts), encoding="utf-8")
        with pytest.raises(SettingsError) as caught:
            load(file)
        assert all(fault.line >= 1 for fault in caught.value.faults)


@given(st.data())
def test_a_correct_file_with_one_value_replaced_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Every key of a working file, with any value: it loads, or every fault is told."""
    lines = STATION.splitlines()
    at = data.draw(st.sampled_from([number for number, line in enumerate(lines) if " = " in line]))
    lines[at] = lines[at].partition(" = ")[0] + " = " + data.draw(VALUES)
    file = tmp_path_factory.getbasetemp() / "one.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    told: tuple[object, ...] = ()
    try:
        told = load(file).line_configs()
    except SettingsError as failure:
        told = failure.faults
    assert told
