"""Lines of keys in a TOML file, where headers, dotted keys, multi-line values and comments try to mislead."""

from __future__ import annotations

from drivers.places import Places, shown

TEXT = '''\
# a comment = "nothing"
[station]
id = "x"   # [not.a.header]
note = """
[[line]]
port = "in a string"
"""
"name" = 'y'

[[line]]
id = "a"
list = [
  1, # two = 2
  [3],
]
serial.parity = "none"

[[line]]
id = "b"
  [line.serial]
  baudrate = 9600

[[fuelling_point]]
id = 1
[[fuelling_point.nozzle]]
id = 1
[[fuelling_point.nozzle]]
id = 2

[[fuelling_point]]
[[fuelling_point.nozzle]]
id = 1

[grade."95"]
unit_price = "8"
'''


def test_each_key_is_found_on_its_line() -> None:
    """Items of lists count from zero; the second header of a name is its second item."""
    places = Places(TEXT)
    expected = {
        ("station",): 2,
        ("station", "id"): 3,
        ("station", "name"): 8,
        ("line", 0): 10,
        ("line", 0, "list"): 12,
        ("line", 0, "serial", "parity"): 16,
        ("line", 1, "id"): 19,
        ("line", 1, "serial", "baudrate"): 21,
        ("fuelling_point", 0, "nozzle", 1, "id"): 28,
        ("fuelling_point", 1, "nozzle", 0, "id"): 32,
        ("grade", "95", "unit_price"): 35,
    }
    assert {path: places.line(path) for path in expected} == expected


def test_what_is_not_there_is_told_at_the_table_that_lacks_it() -> None:
    """A missing key stands where its table begins; an item inside a list at the list; a missing section at the top."""
    places = Places(TEXT)
    assert places.line(("station", "currency")) == 2
    assert places.line(("line", 0, "list", 1)) == 12
    assert places.line(("fuelling_point", 1, "address")) == 30
    assert places.line(("tank", 0, "id")) == 1


def test_other_line_ends_of_unicode_are_no_lines() -> None:
    """A line separator inside a string does not shift the lines after it."""
    assert Places('a = "x\u2028y\x85z"\nb = 1\n').line(("b",)) == 2


def test_paths_are_shown_as_people_count() -> None:
    """From one, with dots between names."""
    assert shown(("fuelling_point", 1, "nozzle", 0, "tank")) == "fuelling_point[2].nozzle[1].tank"
