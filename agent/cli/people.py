"""`forecourt staff`: who works here, PINs, who is signed in where. A PIN is keyed in or read, never an argument."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from agent.cli import show, show_people
from agent.cli.app import app
from agent.cli.pins import FROM_INPUT, MOST_PIN_BYTES, read_pin
from agent.cli.talk import ConfigOption, JsonOption, LimitOption, SocketOption, fail, print_json, question

staff = typer.Typer(help="Staff: list, add, PINs and badges, sign in and out.", invoke_without_command=True)
app.add_typer(staff, name="staff")

PinFile = Annotated[
    str | None, typer.Option("--pin-file", help="Read the PIN from this file, - from input; else it is asked for.")
]
Terminal = Annotated[
    str | None, typer.Option("--terminal", help="A reader of the configuration; default the station's desk.")
]
StaffArgument = Annotated[str, typer.Argument(metavar="STAFF", help="The person's id.")]


def _done(value: Any, as_json: bool) -> None:
    if as_json:
        print_json(value)
    else:
        show.done(value)


def _badge(given: str | None) -> str | None:
    """Return a badge's number, read from input where ``-`` stands for it."""
    return sys.stdin.readline(MOST_PIN_BYTES).strip() if given == FROM_INPUT else given


@staff.callback()
def staff_list(
    context: typer.Context, as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """List everybody of the station, from the configuration and from the database, and where they are signed in."""
    if context.invoked_subcommand is not None:
        return
    value = question(config, socket, "staff")
    if as_json:
        print_json(value)
    else:
        show_people.staff(value)


@staff.command("list")
def staff_list_again(as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None) -> None:
    """List everybody, as ``forecourt staff`` does."""
    value = question(config, socket, "staff")
    if as_json:
        print_json(value)
    else:
        show_people.staff(value)


@staff.command("show")
def staff_show(
    person: StaffArgument,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Show one person and when they were signed in where."""
    value = question(config, socket, "staff.show", staff=person, limit=limit)
    if as_json:
        print_json(value)
    else:
        show_people.person(value)


@staff.command("add")
def staff_add(
    person: StaffArgument,
    name: Annotated[str, typer.Option("--name", help="How people call them.")],
    role: Annotated[str, typer.Option("--role", help="attendant, supervisor or technician.")] = "attendant",
    no_pin: Annotated[bool, typer.Option("--no-pin", help="Without a PIN for now.")] = False,
    pin_file: PinFile = None,
    badge: Annotated[str | None, typer.Option("--badge", help="The number of their badge; - reads it.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Add a person."""
    pin = None if no_pin else read_pin(pin_file, f"PIN of {person}", twice=True)
    args = {"staff": person, "name": name, "staff_role": role, "pin": pin, "badge": _badge(badge)}
    _done(question(config, socket, "staff.add", args), as_json)


@staff.command("disable")
def staff_disable(
    person: StaffArgument, as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """Let a person sign in no more; what they did stays."""
    _done(question(config, socket, "staff.disable", staff=person), as_json)


@staff.command("enable")
def staff_enable(
    person: StaffArgument, as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """Let a disabled person sign in again."""
    _done(question(config, socket, "staff.enable", staff=person), as_json)


@staff.command("set-pin")
def staff_set_pin(
    person: StaffArgument,
    pin_file: PinFile = None,
    current_file: Annotated[
        str | None, typer.Option("--current-file", help="Read the present PIN from this file.")
    ] = None,
    own: Annotated[bool, typer.Option("--own", help="It is yours: you know the present one.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Set a person's PIN; whoever is no supervisor changes their own with --own. Ends a lock-out."""
    current = read_pin(current_file, "present PIN") if own or current_file else None
    pin = read_pin(pin_file, f"new PIN of {person}", twice=True)
    _done(question(config, socket, "staff.set-pin", {"staff": person, "pin": pin, "current": current}), as_json)


@staff.command("set-badge")
def staff_set_badge(
    person: StaffArgument,
    badge: Annotated[str, typer.Option("--badge", help="The number of the badge; - reads it.")] = FROM_INPUT,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Give a person a badge; for one of the configuration, tell what to write there."""
    _done(question(config, socket, "staff.set-badge", {"staff": person, "badge": _badge(badge)}), as_json)


@staff.command("hash-pin")
def staff_hash_pin(pin_file: PinFile = None, as_json: JsonOption = False) -> None:
    """Print the hash of a PIN for [[staff]] pin_hash of the configuration; asks no daemon."""
    import secrets

    from agent.domain.pins import SALT_BYTES, hash_pin, pin_problem

    pin = read_pin(pin_file, twice=True)
    problem = pin_problem(pin)
    if problem is not None:
        fail(problem, "choose another one", 2)
    text = hash_pin(pin, secrets.token_bytes(SALT_BYTES))
    if as_json:
        print_json({"pin_hash": text})
    else:
        print(text)


@staff.command("sign-in")
def staff_sign_in(
    person: StaffArgument,
    terminal: Terminal = None,
    pin_file: PinFile = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Sign a person in at a reader or the desk, in the place of whoever was there."""
    args = {"staff": person, "terminal": terminal, "pin": read_pin(pin_file, f"PIN of {person}")}
    _done(question(config, socket, "staff.sign-in", args), as_json)


@staff.command("sign-out")
def staff_sign_out(
    person: Annotated[str | None, typer.Argument(metavar="STAFF", help="Everywhere; else whoever is there.")] = None,
    terminal: Terminal = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Sign a person out everywhere, or whoever is at a reader or the desk."""
    if person is not None and terminal is not None:
        fail("a person is signed out everywhere", "name the person or the terminal", 2)
    _done(question(config, socket, "staff.sign-out", {"staff": person, "terminal": terminal}), as_json)
