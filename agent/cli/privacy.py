"""``forecourt privacy``: what is kept of people and how long, what is due; and asking to be forgotten."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from agent.cli.app import app, members
from agent.cli.talk import ConfigOption, JsonOption, SocketOption, clock_time, print_json, print_table, question

privacy = typer.Typer(help="Personal data: what is kept for how long, what is due.", no_args_is_help=True)
app.add_typer(privacy, name="privacy")
DAY_S = 86_400


@privacy.command("status")
def privacy_status(as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None) -> None:
    """Show what is kept for how long, how much is due, and when it was last deleted."""
    _shown(question(config, socket, "privacy.status"), as_json)


@privacy.command("run")
def privacy_run(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be deleted.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Delete what is due now instead of tonight."""
    _shown(question(config, socket, "privacy.run", dry_run=dry_run), as_json)


@members.command("forget")
def members_forget(
    member: Annotated[str, typer.Argument(help="Member id, 16 hex digits.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, such as: asked at the counter.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Pass on to head office that a member wants to be forgotten; it deletes the member at every station."""
    value = question(config, socket, "members.forget", member=member, reason=reason)
    if as_json:
        print_json(value)
    else:
        print(f"asked head office to delete member {value['member']}; the row here goes when it does")


def _shown(value: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(value)
        return
    rows = [
        [
            kind["name"],
            f"{kind['keep_s'] // DAY_S} d",
            f"{kind['due']}{'+' if kind['due_is_more'] else ''}",
            "never" if kind["last_at"] is None else clock_time(kind["last_at"]),
            "-" if kind["last_dropped"] is None else kind["last_dropped"],
        ]
        for kind in value["kinds"]
    ]
    print_table("Kept", ["data", "for", "due now", "last looked through", "dropped then"], rows)
    if value["under_way"]:
        print(f"being deleted: {', '.join(value['under_way'])}")
    if value["held_back"]:
        print(f"held back: {value['held_back']}")
