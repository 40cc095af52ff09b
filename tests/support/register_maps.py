"""Register maps for tests: those that prove the language and are no product, and short ways to read and bind them."""

from __future__ import annotations

from pathlib import Path

from drivers.modbus import shelf
from drivers.modbus.bind import bind
from drivers.modbus.load import load
from drivers.modbus.model import RegisterMap

FOLDER = Path(__file__).parent / "maps"
TEST_ONLY = sorted(path.stem for path in FOLDER.glob("*.toml"))

VALUES = {
    "k_factor": "3666739.2",
    "density_kg_m3": "440",
    "word_order": "CDAB",
    "units": "metric",
    "unit_used_amount": "ml",
    "unit_standard_total": "m3",
    "unit_level": "mm",
    "unit_mass": "kg",
    "unit_volume": "l",
    "unit_density": "kg_m3",
    "unit_temperature": "degc",
    "unit_total_volume": "l",
    "preset": 7,
    "additive": 3,
    "manifold": 0,
}
"""One right value for everything that any of these maps asks for."""


def text_of(map_id: str) -> bytes:
    """The file of a shipped or a test map."""
    if map_id in TEST_ONLY:
        return (FOLDER / f"{map_id}.toml").read_bytes()
    return (Path(shelf.__file__).parent / "maps" / f"{map_id}.toml").read_bytes()


def read(map_id: str) -> RegisterMap:
    """A shipped or a test map, not bound."""
    return load(f"{map_id}.toml", text_of(map_id))


def bound(map_id: str, **values: object) -> RegisterMap:
    """A shipped or a test map with what it asks for."""
    map_ = read(map_id)
    return bind(map_, {**{name: VALUES[name] for name in map_.requires}, **values})
