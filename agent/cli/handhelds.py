"""``forecourt device pair``, ``paired`` and ``unpair``: which handhelds may ask. The daemon decides, this asks it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from agent.cli.device import device
from agent.cli.talk import ConfigOption, JsonOption, SocketOption, clock_time, print_json, print_table, question


@device.command("pair")
def device_pair(
    name: Annotated[
        str | None, typer.Option("--name", help="Its id in the station file; left out: the one not paired yet.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Show a code of six digits that pairs one handheld: for 5 minutes, once."""
    value = question(config, socket, "device.pair", name=name)
    if as_json:
        print_json(value)
        return
    print(f"{value['handheld']}: type {value['code']} at the handheld before {clock_time(value['until'])}")


@device.command("paired")
def device_paired(as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None) -> None:
    """List the paired handhelds."""
    found: list[dict[str, Any]] = question(config, socket, "device.paired")
    if as_json:
        print_json(found)
        return
    rows = [
        [row["handheld"], row["kind"], clock_time(row["paired"]), row["paired_by"], clock_time(row["seen"])]
        for row in found
    ]
    print_table("Handhelds", ["handheld", "kind", "paired", "by", "last seen"], rows)


@device.command("unpair")
def device_unpair(
    name: str, as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """End a pairing: a lost or stolen handheld may not ask any more."""
    value = question(config, socket, "device.unpair", name=name)
    if as_json:
        print_json(value)
        return
    print(f"{value['handheld']} is not paired any more")
