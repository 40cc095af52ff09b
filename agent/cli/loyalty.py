"""`forecourt points` and `forecourt campaigns`: looking at points, offers and what they cost. Changes nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from agent.cli import show_loyalty
from agent.cli.app import app
from agent.cli.talk import ConfigOption, JsonOption, LimitOption, SocketOption, print_json, question

PATIENCE_S = 2.0
"""After so long a terminal is told how far the counting has come."""

points = typer.Typer(help="Points of one member, and what all of them will cost.", no_args_is_help=True)
app.add_typer(points, name="points")

SinceOption = Annotated[str | None, typer.Option("--since", help="From this local day on, such as 2026-03-01.")]
MemberArgument = Annotated[str, typer.Argument(help="The beginning of the id, or a card number.")]


@points.command("show")
def points_show(
    member: MemberArgument, as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """Show a member's points: what may be spent now and why not more, what waits, what ends and when."""
    _print(question(config, socket, "points.show", member=member), as_json, show_loyalty.points)


@points.command("history")
def points_history(
    member: MemberArgument,
    limit: LimitOption = 20,
    since: SinceOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """List every fact that moved a member's points, newest first, with who, why and the balance after it."""
    value = question(config, socket, "points.history", member=member, limit=limit, since=since)
    _print(value, as_json, show_loyalty.history)


@points.command("liability")
def points_liability(
    at: Annotated[str | None, typer.Option("--at", help="On the evening of this local day; default today.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="The sales from this local day on; default 30 days.")
    ] = None,
    unit_cost_milli: Annotated[
        int | None, typer.Option(help="What a point costs, in 1/1000 of the currency; 10: 100 points cost 1.00.")
    ] = None,
    breakage_bp: Annotated[
        int | None, typer.Option(help="The share of points expected never to be spent, in 1/10000.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Show what points will cost, when they end, and what the programme costs of the sales."""
    given = {"at": at, "since": since, "unit_cost_milli": unit_cost_milli, "breakage_bp": breakage_bp}
    _print(question(config, socket, "points.liability", given), as_json, show_loyalty.liability)


@app.command()
def campaigns(
    which: Annotated[str | None, typer.Argument(help="One offer, or all offers of one campaign.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="From this local day on; default 30 days.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Up to this local day; default today.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Show what offers did: given, refused and why, members reached, cost, effect beside the hold-out group."""
    from agent.reports.campaigns import report

    plan = question(config, socket, "campaigns.plan", which=which, since=since, until=until)
    asked = {key: plan[key] for key in ("from_ms", "to_ms", "cut_ms", "parts")}
    found = []
    with progress(plan["parts"], shown=sys.stderr.isatty()) as advance:
        for part in range(plan["parts"]):
            found.append(question(config, socket, "campaigns.part", asked, which=which, part=part))
            advance()
    shower = show_loyalty.campaigns if which is None else show_loyalty.campaign
    _print(report(plan, found), as_json, shower)


@contextmanager
def progress(parts: int, *, shown: bool, patience_s: float = PATIENCE_S) -> Iterator[Callable[[], None]]:
    """Give what is to be called after each part; a bar on stderr appears once it takes longer than ``patience_s``."""
    if not shown:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    began = time.monotonic()
    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task("counting sales", total=parts)

    def advance() -> None:
        bar.advance(task)
        if time.monotonic() - began > patience_s:
            bar.start()

    try:
        yield advance
    finally:
        bar.stop()


def _print(value: Any, as_json: bool, shower: Callable[[Any], None]) -> None:
    if as_json:
        print_json(value)
    else:
        shower(value)
