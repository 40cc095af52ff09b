"""`forecourt members`: who is a member, what they fuelled, making one at the pump. Numbers come from standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli import show_members
from agent.cli.app import members
from agent.cli.talk import ConfigOption, JsonOption, LimitOption, SocketOption, fail, print_json, question

FROM_INPUT = "-"
"""A number as an option would stand in the list of processes and in the shell's history."""

PhoneOption = Annotated[str | None, typer.Option("--phone", help="The phone number; - asks for it, which is better.")]
PlateOption = Annotated[str | None, typer.Option("--plate", help="The number plate; - asks for it, which is better.")]
SaleOption = Annotated[str | None, typer.Option("--sale", help="The beginning of a sale's id.")]


def keyed(given: str | None, what: str) -> str | None:
    """Return what was given; of ``-`` the next line of standard input, asked for on a terminal without an echo."""
    if given != FROM_INPUT:
        return given
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    from getpass import getpass

    return getpass(f"{what}: ")


@members.callback()
def members_list(
    context: typer.Context,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """List members of the cache."""
    if context.invoked_subcommand is None:
        _print(question(config, socket, "members", limit=limit), as_json, show_members.members)


@members.command("show")
def members_show(
    member: Annotated[str | None, typer.Argument(help="The beginning of the id.")] = None,
    card: Annotated[str | None, typer.Option("--card", help="The card number; - asks for it.")] = None,
    phone: PhoneOption = None,
    sale: SaleOption = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Show one member: points, lots, what they fuelled, how they were recognised each time, and by whom."""
    if sum(given is not None for given in (member, card, phone, sale)) != 1:
        fail("name one member", "give the beginning of an id, or one of --card, --phone and --sale", 2)
    if phone is not None:
        member = question(config, socket, "members.find", phone=keyed(phone, "phone"))["member"]
    elif sale is not None:
        member = question(config, socket, "members.of-sale", sale=sale)["member"]
    named = keyed(card, "card") if member is None else member
    _print(question(config, socket, "members.show", member=named, limit=limit), as_json, show_members.member)


@members.command("find")
def members_find(
    phone: PhoneOption = None,
    plate: PlateOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Find a member by phone or plate: 5 times a minute and 30 a shift, each on record with your name."""
    args = {"phone": keyed(phone, "phone"), "plate": keyed(plate, "plate")}
    _print(question(config, socket, "members.find", args), as_json, show_members.found)


@members.command("enrol")
def members_enrol(
    phone: PhoneOption = FROM_INPUT,
    plate: PlateOption = None,
    sale: Annotated[str | None, typer.Option("--sale", help="Their sale, which is linked at once.")] = None,
    request: Annotated[
        str, typer.Option("--request", help="Your own name of this wish: said again it gets the first answer.")
    ] = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Make a member of a phone number: they earn from this fill on. A number that is known is told by its mask."""
    args = {"phone": keyed(phone, "phone"), "plate": keyed(plate, "plate"), "sale": sale, "request": request}
    _print(question(config, socket, "members.enrol", args), as_json, show_members.enrolled)


@members.command("invite")
def members_invite(
    sale: Annotated[str, typer.Argument(help="The beginning of the sale's id.")],
    qr: Annotated[
        bool | None, typer.Option("--qr/--no-qr", help="Draw it; by default on a terminal only.", show_default=False)
    ] = None,
    png: Annotated[Path | None, typer.Option("--png", help="Write it as a PNG.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Print what an app scans to sign a customer up with this sale: station, point and sale, nothing of a person."""
    from agent.qr import NotDrawable, draw

    value = question(config, socket, "sales.show", sale=sale)
    if value["member"] is not None:
        fail(f"sale {value['sale']} has a member", f"forecourt members show --sale {value['sale']}", 1)
    station = question(config, socket, "station")["station"]
    text = f"FJ1:{station}:{value['fuelling_point']}:{value['sale']}"
    wants_picture = sys.stdout.isatty() and not as_json if qr is None else qr
    try:
        drawing = draw(text) if wants_picture or png is not None else None
    except NotDrawable as failure:
        fail(str(failure), failure.hint, 1)
    if drawing is not None and png is not None:
        try:
            png.write_bytes(drawing.png())
        except OSError as failure:
            fail(f"cannot write {png}: {failure.strerror}", "choose another --png FILE", 2)
    if as_json:
        told = {"station": station, "fuelling_point": value["fuelling_point"], "sale": value["sale"]}
        print_json({**told, "text": text})
        return
    if drawing is not None and wants_picture:
        print(drawing.blocks(colours=sys.stdout.isatty()), end="")
    print(text)


def _print(value: Any, as_json: bool, shower: Any) -> None:
    if as_json:
        print_json(value)
    else:
        shower(value)
