"""The command ``forecourt``: what people type. Imports nothing by itself, so that a look at the station is quick."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typer import Typer


def application() -> Typer:
    """Return the command line with every command of this room."""
    from agent.cli import (  # noqa: F401 - each adds its commands
        acting,
        backups,
        charts,
        codes,
        device,
        device_maps,
        first,
        fraud,
        handhelds,
        links,
        loyalty,
        members,
        people,
        privacy,
        rules,
        rules_explain,
        rules_lint,
        shifts,
    )
    from agent.cli.app import app

    return app
