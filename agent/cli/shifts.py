"""`forecourt shift`: open, close, list and show; litres that were returned after a test or used by the station."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli import show, show_people
from agent.cli.acting import Reason, RequestOption, amount_of, decimal_of
from agent.cli.app import app
from agent.cli.talk import ConfigOption, JsonOption, LimitOption, SocketOption, fail, print_json, question

shift = typer.Typer(help="Shifts: open, close, list, show; litres that were not sold.", no_args_is_help=True)
app.add_typer(shift, name="shift")

_NOZZLE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})")

NozzleOption = Annotated[str | None, typer.Option("--nozzle", help="Fuelling point and nozzle, such as 3/1.")]
LitresOption = Annotated[str | None, typer.Option("--litres", help="How many, such as 20.00.")]
SaleOption = Annotated[str | None, typer.Option("--sale", help="The whole of this sale instead.")]


def _print(value: Any, as_json: bool, shower: Any) -> None:
    if as_json:
        print_json(value)
    else:
        shower(value)


@shift.command("open")
def shift_open(
    request: RequestOption = "", as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """Open a shift: it begins where the one before ended."""
    _print(question(config, socket, "shift.open", request=request), as_json, show.done)


@shift.command("close")
def shift_close(
    which: Annotated[str | None, typer.Option("--shift", help="Only if this one is open: its number.")] = None,
    counted: Annotated[
        list[str] | None, typer.Option("--counted", help="Money counted, KIND=AMOUNT; may be given several times.")
    ] = None,
    request: RequestOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Close the open shift and print its report; pumps go on selling, everybody is signed out."""
    args = {"shift": which, "request": request, "counted": _counted(counted or [], config, socket)}
    _print(question(config, socket, "shift.close", args), as_json, show_people.shift)


def _counted(given: list[str], config: Path | None, socket: Path | None) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in given:
        kind, equals, amount = text.partition("=")
        if not equals or not kind or kind in found:
            fail(f"{text!r} names no kind of money once", "write it like --counted cash=1234.50", 2)
        found[kind] = amount_of(amount, config, socket)
    return found


@shift.command("list")
def shift_list(
    limit: LimitOption = 20, as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """List shifts, newest first."""
    _print(question(config, socket, "shift.list", limit=limit), as_json, show_people.shifts)


@shift.command("show")
def shift_show(
    which: Annotated[str | None, typer.Argument(metavar="SHIFT", help="Its number; default the open one.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Show a shift: meters, sales, money and points, per nozzle and per attendant; an open one as it stands."""
    _print(question(config, socket, "shift.show", shift=which), as_json, show_people.shift)


@shift.command("test-return")
def shift_test_return(
    reason: Reason,
    nozzle: NozzleOption = None,
    litres: LitresOption = None,
    sale: SaleOption = None,
    request: RequestOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Note that litres were dispensed for a meter test and returned to the tank."""
    args = {"reason": reason, "request": request, **_litres(nozzle, litres, sale)}
    _print(question(config, socket, "shift.test-return", args), as_json, show.done)


@shift.command("own-use")
def shift_own_use(
    reason: Reason,
    nozzle: NozzleOption = None,
    litres: LitresOption = None,
    sale: SaleOption = None,
    request: RequestOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Note that the station itself used litres."""
    args = {"reason": reason, "request": request, **_litres(nozzle, litres, sale)}
    _print(question(config, socket, "shift.own-use", args), as_json, show.done)


def _litres(nozzle: str | None, litres: str | None, sale: str | None) -> dict[str, Any]:
    if sale is not None and nozzle is None and litres is None:
        return {"sale": sale}
    if sale is not None or nozzle is None or litres is None:
        fail("name what was not sold", "give --nozzle 3/1 and --litres 20.00, or --sale SALE", 2)
    match = _NOZZLE.fullmatch(nozzle)
    if match is None:
        fail(f"{nozzle!r} is no nozzle", "write fuelling point and nozzle like 3/1", 2)
    return {
        "fuelling_point": int(match[1]),
        "nozzle": int(match[2]),
        "volume_ml": decimal_of(litres, 3, "number of litres"),
    }
