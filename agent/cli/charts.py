"""`forecourt tanks chart`: a strapping table checked before a tank names it. Needs no daemon and no station file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.app import tanks
from agent.cli.plain import litres
from agent.cli.talk import JsonOption, fail, print_json, print_table

if TYPE_CHECKING:
    from agent.domain.wetstock.strapping import Table

_TENTHS = 10


@tanks.command("chart")
def tanks_chart(
    file: Annotated[Path, typer.Argument(help="Lines height_mm;volume_l.")],
    capacity: Annotated[
        int | None, typer.Option(help="Litres of the full tank: the last volume must be near it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a strapping table: every fault with its line, or what it holds."""
    from agent.settings.tables import check

    if capacity is not None and capacity <= 0:
        fail(f"--capacity {capacity} is no volume", "write the litres of the full tank", 2)
    table, problems = check(file, None if capacity is None else 1000 * capacity)
    if as_json:
        told = _told(table) if table is not None else {}
        print_json({"file": str(file), **told, "problems": problems})
    elif table is None:
        print("\n".join(problems))
    else:
        _show(file, table)
    if table is None:
        raise typer.Exit(1)


def _told(table: Table) -> dict[str, Any]:
    from agent.domain.wetstock.strapping import is_coarse

    lowest, highest = table.points[0][0], table.points[-1][0]
    heights = [lowest + (highest - lowest) * n // _TENTHS for n in range(_TENTHS + 1)]
    return {
        "sha256": table.sha256,
        "points": len(table.points),
        "lowest_um": lowest,
        "highest_um": highest,
        "full_ml": table.points[-1][1],
        "coarse": is_coarse(table.points),
        "tenths": [{"height_um": height, "volume_ml": table.volume_ml(height).value} for height in heights],
    }


def _show(file: Path, table: Table) -> None:
    told = _told(table)
    print(f"{file}: {told['points']} points, sha256 {told['sha256']}")
    rows = [[f"{row['height_um'] / 1000:.1f}", litres(row["volume_ml"], 1)] for row in told["tenths"]]
    print_table("Volumes", ["mm", "litres"], rows)
    if told["coarse"]:
        print("Steps wider than 10 mm: between its points this table is off by litres; ask for a finer one.")
