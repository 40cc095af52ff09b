"""Where register maps are found: those shipped beside this file, by id, and a station's own, by path.

Knows folders. Knows nothing of what stands in a map.
"""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path

from drivers.errors import WiringError
from drivers.modbus.checks import conflicts
from drivers.modbus.load import MOST_BYTES, load
from drivers.modbus.model import RegisterMap


def shipped_ids() -> list[str]:
    """Ids of the maps that come with the driver, sorted."""
    return sorted(entry.name.removesuffix(".toml") for entry in _folder().iterdir() if entry.name.endswith(".toml"))


def shipped(map_id: str) -> RegisterMap:
    """A map that comes with the driver. Raises ``WiringError`` where there is none of that id."""
    if map_id not in shipped_ids():
        raise WiringError(f"no register map {map_id!r} is shipped", hint=_nearest(map_id))
    return load(f"{map_id}.toml", (_folder() / f"{map_id}.toml").read_bytes())


def find(name: str) -> RegisterMap:
    """The shipped map with id ``name``, or the map in the file at that path.

    Raises ``MapError`` for a map that is wrong, ``WiringError`` for one that is not there or that pretends to be a
    shipped one: with its id and version, and different content.
    """
    if "/" not in name and not name.endswith(".toml"):
        return shipped(name)
    try:
        with Path(name).open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise WiringError(f"{name} cannot be read: {reason}", hint=_nearest(Path(name).stem)) from error
    own = load(name, raw)
    if own.id in shipped_ids() and (doubts := conflicts([shipped(own.id), own])):
        raise WiringError(f"{name}: {doubts[0]}", hint="give your map an id of its own")
    return own


def _folder() -> resources.abc.Traversable:
    return resources.files("drivers.modbus") / "maps"


def _nearest(name: str) -> str:
    ids = shipped_ids()
    near = difflib.get_close_matches(name, ids, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return "name a readable file or one of the shipped maps: " + ", ".join(ids)
