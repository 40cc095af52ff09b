"""station.toml to frozen settings: every error at once, with file, line, key and a hint."""

from agent.settings.load import Fault, SettingsError, load
from agent.settings.model import (
    GradeSettings,
    HeadOfficeSettings,
    LineSettings,
    NozzleSettings,
    PointSettings,
    ReaderSettings,
    Settings,
    TankSettings,
)

__all__ = [
    "Fault",
    "GradeSettings",
    "HeadOfficeSettings",
    "LineSettings",
    "NozzleSettings",
    "PointSettings",
    "ReaderSettings",
    "Settings",
    "SettingsError",
    "TankSettings",
    "load",
]
