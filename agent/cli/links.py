"""The commands about who a sale belongs to and who works on it: link, unlink, claim, release."""

from __future__ import annotations

import sys
from getpass import getpass
from typing import Annotated, Any

import typer

from agent.cli import show
from agent.cli.app import sales
from agent.cli.members import PhoneOption, keyed
from agent.cli.talk import ConfigOption, JsonOption, SocketOption, fail, print_json, question

Reason = Annotated[str, typer.Option("--reason", help="Why; kept with your name.")]
Terminal = Annotated[str, typer.Option("--terminal", help="A reader of the station file or a handheld.")]

StaffOption = Annotated[
    str | None, typer.Option("--staff", help="Who does it, by their own PIN: it is asked for, or read from input.")
]

FROM_INPUT = "-"


def _done(value: Any, as_json: bool) -> None:
    if as_json:
        print_json(value)
    else:
        show.done(value)


def _signed(staff: str | None) -> dict[str, str]:
    """Return who does it and their PIN, which never stands among the arguments of a command."""
    if staff is None:
        return {}
    pin = getpass("PIN: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    return {"staff": staff, "pin": pin}


@sales.command("link")
def sales_link(
    sale: str,
    card: Annotated[str | None, typer.Option("--card", help="The member's card number.")] = None,
    code: Annotated[
        str | None, typer.Option("--code", help="The text of the member's code as scanned now; - reads it from input.")
    ] = None,
    phone: PhoneOption = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for late links and changes.")] = "",
    staff: StaffOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Link a sale to the member whose code, card or phone number is here, or change a wrong link to that member."""
    if sum(given is not None for given in (card, code, phone)) != 1:
        fail("a link needs the member's code, card or phone", "give one of --code, --card and --phone", 2)
    if code == FROM_INPUT:
        code = sys.stdin.readline().rstrip("\r\n")
    who = {"card": card, "code": code, "phone": keyed(phone, "phone")}
    values = {"sale": sale, "reason": reason, **who, **_signed(staff)}
    _done(question(config, socket, "sales.link", values), as_json)


@sales.command("unlink")
def sales_unlink(
    sale: str,
    reason: Reason,
    staff: StaffOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Remove a wrong link; its points go back."""
    values = {"sale": sale, "reason": reason, **_signed(staff)}
    _done(question(config, socket, "sales.unlink", values), as_json)


@sales.command("claim")
def sales_claim(
    sale: str,
    terminal: Terminal = "cli",
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Take a payable sale to work on at a terminal: others are told where it is in use."""
    _done(question(config, socket, "sales.claim", sale=sale, terminal=terminal), as_json)


@sales.command("release")
def sales_release(
    sale: str,
    terminal: Terminal = "cli",
    force: Annotated[bool, typer.Option("--force", help="Whoever has it; supervisors only.")] = False,
    staff: StaffOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Let a claimed sale go."""
    values = {"sale": sale, "terminal": terminal, "force": force, **_signed(staff)}
    _done(question(config, socket, "sales.release", values), as_json)
