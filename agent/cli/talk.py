"""What the commands share: their common options, and the words of ``agent.cli.plain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.cli.plain import (
    DEFAULT_CONFIG,
    DEFAULT_SOCKET,
    clock_time,
    degrees,
    fail,
    litres,
    money,
    price,
    print_json,
    print_table,
    question,
    socket_path,
)

__all__ = [
    "DEFAULT_CONFIG",
    "DEFAULT_SOCKET",
    "ConfigOption",
    "JsonOption",
    "LimitOption",
    "SocketOption",
    "clock_time",
    "degrees",
    "fail",
    "litres",
    "money",
    "price",
    "print_json",
    "print_table",
    "question",
    "socket_path",
]

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", envvar="FORECOURT_CONFIG", help="Configuration of the station.", show_default=False),
]
SocketOption = Annotated[
    Path | None,
    typer.Option("--socket", envvar="FORECOURT_SOCKET", help="Control socket of the daemon.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON with units in the key names.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=500, help="How many rows at the most.")]
