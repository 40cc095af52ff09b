"""The typer application: reading commands here, actions in ``agent.cli.acting``; ``run``, ``demo`` in main."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli import show
from agent.cli.pins import read_pin
from agent.cli.plain import act_as
from agent.cli.talk import ConfigOption, JsonOption, LimitOption, SocketOption, fail, print_json, question

app = typer.Typer(
    name="forecourt",
    help="The forecourt edge agent: dispensers, tank gauges, members, points and head office of one station.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
pumps = typer.Typer(help="Fuelling points: list them, show one, act on one.", invoke_without_command=True)
sales = typer.Typer(help="Sales: list, show, link, settle, correct.", invoke_without_command=True)
alerts = typer.Typer(help="Alerts: list and acknowledge.", invoke_without_command=True)
members = typer.Typer(help="Members of the local cache, by mask.", invoke_without_command=True)
prices = typer.Typer(help="The price table with effective times.", invoke_without_command=True)
tanks = typer.Typer(help="Tanks with their newest reading.", invoke_without_command=True)
for name, group in (
    ("pumps", pumps),
    ("tanks", tanks),
    ("sales", sales),
    ("alerts", alerts),
    ("members", members),
    ("prices", prices),
):
    app.add_typer(group, name=name)


@app.callback()
def _in_whose_name(
    staff: Annotated[
        str | None, typer.Option("--as", metavar="STAFF", help="Act in this person's name; their PIN is asked for.")
    ] = None,
    pin_file: Annotated[str | None, typer.Option("--pin-file", help="With --as: read the PIN from this file.")] = None,
) -> None:
    if staff is not None:
        act_as(staff, read_pin(pin_file, f"PIN of {staff}"))


def _asked(context: typer.Context) -> bool:
    return context.invoked_subcommand is None


@app.command()
def status(
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every second until Ctrl-C.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Show the whole station at a glance."""
    while True:
        value = question(config, socket, "status")
        if as_json:
            print_json(value)
        else:
            show.status(value, clear=watch)
        if not watch:
            return
        time.sleep(1)


@pumps.callback()
def pumps_list(
    context: typer.Context, as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """List the fuelling points."""
    if _asked(context):
        _print(question(config, socket, "pumps"), as_json, show.pumps)


@tanks.callback()
def tanks_list(
    context: typer.Context,
    deliveries: Annotated[bool, typer.Option("--deliveries", help="List deliveries instead, newest first.")] = False,
    gauge_alarms: Annotated[
        bool, typer.Option("--gauge-alarms", help="List the alarm history of the gauges instead.")
    ] = False,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """List the tanks with their newest reading."""
    if deliveries and gauge_alarms:
        fail("--deliveries and --gauge-alarms are two lists", "ask for one of them", 2)
    if not _asked(context):
        return
    if deliveries:
        _print(question(config, socket, "tanks.deliveries", limit=limit), as_json, show.deliveries)
    elif gauge_alarms:
        _print(question(config, socket, "tanks.gauge-alarms", limit=limit), as_json, show.gauge_alarms)
    else:
        _print(question(config, socket, "tanks"), as_json, show.tanks)


@tanks.command("gauge-chart")
def tanks_gauge_chart(
    tank: int, as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """Print a tank's strapping table as the gauge told it, in the form of a strapping file."""
    _print(question(config, socket, "tanks.gauge-chart", tank=tank), as_json, show.gauge_chart)


@sales.callback()
def sales_list(
    context: typer.Context,
    limit: LimitOption = 20,
    state: Annotated[str | None, typer.Option(help="Only Payable, Locked or Cleared.")] = None,
    point: Annotated[int | None, typer.Option(help="Only this fuelling point.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """List the newest sales first."""
    if _asked(context):
        _print(question(config, socket, "sales", limit=limit, state=state, point=point), as_json, show.sales)


@sales.command("show")
def sales_show(
    sale: str, as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """Show one sale with its links, settlement, postings and the reason for every offer."""
    _print(question(config, socket, "sales.show", sale=sale), as_json, show.sale)


@alerts.callback()
def alerts_list(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """List alerts, newest first."""
    if _asked(context):
        _print(question(config, socket, "alerts", all=everything, limit=limit), as_json, show.alerts)


@app.command()
def journal(
    stream: Annotated[str | None, typer.Option(help="Only stream L, A or T.")] = None,
    after: Annotated[int | None, typer.Option(help="Records of the stream after this seq.")] = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """List journal records."""
    _print(question(config, socket, "journal", stream=stream, after=after, limit=limit), as_json, show.journal)


@app.command()
def sync(
    commands: Annotated[bool, typer.Option("--commands", help="What head office ordered here, newest first.")] = False,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Show how far head office has what this station wrote, or what it ordered here."""
    if commands:
        _print(question(config, socket, "sync.commands", limit=limit), as_json, show.commands)
    else:
        _print(question(config, socket, "sync"), as_json, show.sync)


@prices.callback()
def prices_list(
    context: typer.Context, as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """List the price table."""
    if _asked(context):
        _print(question(config, socket, "prices"), as_json, show.prices)


@prices.command("points")
def prices_points(as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None) -> None:
    """Show which price is in force at each nozzle, and whether a wanted one waits or was refused."""
    _print(question(config, socket, "prices.points"), as_json, show.price_points)


@prices.command("history")
def prices_history(
    point: Annotated[int | None, typer.Option(help="Only this fuelling point.")] = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """List from when on each nozzle has sold at which price, newest first."""
    _print(question(config, socket, "prices.history", point=point, limit=limit), as_json, show.price_history)


@app.command()
def verify(
    database: Annotated[Path | None, typer.Option(help="Check this file without the daemon.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Recompute chains, sales, ledger and totalizers; exit 1 with a list if anything is off."""
    if database is not None:
        value = _verify_file(database)
    else:
        value = question(config, socket, "verify")
    if as_json:
        print_json(value)
    else:
        show.verification(value)
    if not value["verified"]:
        raise typer.Exit(1)


def _verify_file(database: Path) -> dict[str, Any]:
    import sqlite3

    from agent.store.verify import as_json as verified

    if not database.is_file():
        fail(f"{database} is not a file", "name the station's database", 2)
    try:
        return verified(database)
    except sqlite3.Error as failure:
        fail(f"{database} cannot be read: {failure}", "restore a backup if this is the station's database", 1)


@app.command("check-config")
def check_config(file: Path, as_json: JsonOption = False) -> None:
    """Check a station file: every fault at once, with line, key and hint; exit 2 if there is one."""
    from agent.settings import SettingsError, load
    from agent.settings.wiring import warnings

    try:
        settings = load(file)
    except SettingsError as failure:
        if as_json:
            faults = [
                {"file": f.file, "line": f.line, "key": f.key, "problem": f.problem, "hint": f.hint}
                for f in failure.faults
            ]
            print_json({"ok": False, "faults": faults})
        else:
            show.faults(failure.faults)
        raise typer.Exit(2) from failure
    found = [dict(zip(("line", "option", "problem", "hint"), item, strict=True)) for item in warnings(settings)]
    if as_json:
        print_json({"ok": True, "faults": [], "warnings": found, "hash": settings.hash})
    else:
        show.settings_ok(str(file), settings)
        show.warnings(found)


def _print(value: Any, as_json: bool, shower: Any) -> None:
    if as_json:
        print_json(value)
    else:
        shower(value)
