"""Strapping files that station.toml names: read and checked with it, so that a typing error stops no fuelling later.

Reports every fault of a file at once, with its lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path as FilePath

from agent.domain.wetstock import strapping
from agent.domain.wetstock.strapping import Table
from agent.settings import model
from drivers.places import Path

Report = Callable[[Path, str, str], None]

_MAX_BYTES = 1_048_576
_HINT = "write lines height_mm;volume_l up to the full tank; `forecourt tanks chart FILE` checks them"


def read(tanks: Sequence[model.TankSettings | None], report: Report) -> dict[int, Table]:
    """Return the table of each tank that names a file. ``None``: a tank that was refused."""
    found: dict[int, Table] = {}
    for number, tank in enumerate(tanks):
        if tank is None:
            continue
        if tank.shape is not None and tank.shape.cylinder().problem():
            problem = tank.shape.cylinder().problem()
            report(("tank", number, "shape"), problem, "measure again; ends are flat, ellipsoidal or dished")
        if tank.strapping_file is None:
            continue
        here: Path = ("tank", number, "strapping_file")
        table, problems = check(tank.strapping_file, tank.capacity_l)
        for problem in problems:
            report(here, problem, _HINT)
        if table is not None:
            found[tank.id] = table
    return found


def check(file: FilePath, capacity_ml: int | None) -> tuple[Table | None, list[str]]:
    """Return the table of ``file``, or what is wrong with it, each with its line."""
    try:
        raw = file.read_bytes()
    except OSError as failure:
        return None, [f"{file} cannot be read: {failure.strerror}"]
    if len(raw) > _MAX_BYTES:
        return None, [f"{file} is larger than 1 MiB and no strapping table"]
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None, [f"{file} is not UTF-8 text"]
    table, problems = strapping.read_csv(text, capacity_ml)
    return table, [f"{file}:{p.line}: {p.text}" if p.line else f"{file}: {p.text}" for p in problems]
