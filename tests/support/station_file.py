"""A small correct station.toml as text, and the faults of a changed one, for tests of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.settings import Fault, Settings, SettingsError, load

STATION = """\
[station]
id = "SH-0001"

[[line]]
id = "island-1"
port = "/dev/forecourt/island-1"
protocol = "dart"

[[line]]
id = "tanks"
port = "socket://10.0.0.5:10001"
protocol = "veeder-root"

[[fuelling_point]]
id = 1
line = "island-1"
address = 0x50

[[fuelling_point.nozzle]]
id = 1
grade = "92"
tank = 1

[[tank]]
id = 1
grade = "92"
line = "tanks"
gauge_index = 1
capacity_l = "30000"

[[reader]]
id = "one"
port = "/dev/forecourt/scanner-1"
fuelling_points = [1]

[grade.92]
name = "92"
unit_price = "7.85"

[head_office]
broker = "mqtt://127.0.0.1:1883"
"""


def loaded(tmp_path: Path, text: str = STATION) -> Settings:
    """The settings of ``text``, which must be right."""
    file = tmp_path / "station.toml"
    file.write_text(text, encoding="utf-8")
    return load(file)


def faults(tmp_path: Path, text: str) -> tuple[Fault, ...]:
    """Every fault of ``text``, which must have some."""
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, text)
    return caught.value.faults


def changed(*pairs: tuple[str, str]) -> str:
    """The correct file with each first text replaced by the second; each must stand there once."""
    text = STATION
    for old, new in pairs:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the file"
        text = text.replace(old, new)
    return text


def line_of(text: str, wanted: str, occurrence: int = 1) -> int:
    """The number of the line that starts with ``wanted``."""
    found = [number for number, line in enumerate(text.splitlines(), 1) if line.startswith(wanted)]
    return found[occurrence - 1]
