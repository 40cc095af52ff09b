"""The command that plays a whole fleet against a broker and counts at head office what arrived. Loads late."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from headoffice.cli.options import DatabaseOption, JsonOption, open_database
from headoffice.cli.output import show_fields, show_json
from headoffice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from headoffice.fleet.run import Progress
    from headoffice.fleet.station import Now

FILES_BESIDE = 64
"""Open files that are no connection of a station."""

RUN_DIGITS = 4


def fleet(
    *,
    stations: Annotated[int, typer.Option("--stations", min=1, max=100_000, help="How many stations.")] = 100,
    sales: Annotated[int, typer.Option("--sales", min=1, help="Sales of each station.")] = 100,
    rate: Annotated[
        float, typer.Option("--rate", min=0, help="Sales a second of the whole fleet; 0: all are there at once.")
    ] = 0.0,
    storm: Annotated[bool, typer.Option("--storm", help="Cut every connection at once in the middle.")] = False,
    settlements: Annotated[
        bool, typer.Option("--settlements/--no-settlements", help="A settlement record after each sale.")
    ] = True,
    patience: Annotated[int, typer.Option("--patience", min=5, help="Give up after so many s without an ack.")] = 180,
    reconnect_max: Annotated[
        int, typer.Option("--reconnect-max", min=1, max=300, help="Longest back-off of a station, in seconds.")
    ] = 300,
    broker: Annotated[str, typer.Option("--broker", envvar="FORECOURT_HQ_BROKER", help="mqtt://HOST:PORT.")],
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Play a fleet: light stations sell, send and are acknowledged. 1: something is missing, doubled or unacknowledged.

    With --database what arrived is counted there. Every run has stations of its own: never at a real head office.
    """
    import secrets
    from random import Random

    from headoffice.fleet import judging
    from headoffice.fleet.run import Fleet, FleetPlan
    from headoffice.store.arrivals import arrivals
    from sync.crowd import Crowd

    host, port = _address(broker)
    _allow_files(stations + FILES_BESIDE)
    counted = None if database is None else open_database(database, None)
    plan = FleetPlan(
        name=f"fleet-{secrets.token_hex(RUN_DIGITS // 2)}-",
        stations=stations,
        sales=sales,
        rate=rate,
        storm=storm,
        is_settled=settlements,
        patience_s=patience,
        backoff_cap_s=reconnect_max,
    )
    playing = Fleet(plan, Crowd(host, port), _clock(), Random(secrets.randbits(64)))
    done = playing.run(_tell)
    there = None
    if counted is not None:
        with counted.read() as connection:
            there = arrivals(connection, plan.name)
        counted.close()
    told = judging.outcome(plan, done, playing.stations, there)
    if as_json:
        show_json(told)
    else:
        show_fields({name.removesuffix("_ms"): _shown(name, value) for name, value in told.items()}, as_json=False)
    for line in done.stopped[:10]:
        typer.echo(f"stopped: {line}", err=True)
    if not told["passed"]:
        raise typer.Exit(1)


def _address(broker: str) -> tuple[str, int]:
    from urllib.parse import urlsplit

    try:
        url = urlsplit(broker)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise UsageError(f"--broker {broker}: {error}", hint="write mqtt://HOST:PORT") from error
    if url.scheme != "mqtt" or not host:
        raise UsageError(f"--broker {broker} is not mqtt://HOST:PORT", hint="a fleet is played without TLS")
    return host, port or 1883


def _allow_files(wanted: int) -> None:
    """Every connection is an open file, here and at the broker."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise UsageError(
            f"{wanted} open files are needed, {hard} are allowed",
            hint=f"run `ulimit -n {wanted}` as root first, and see to the broker's own limit",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _clock() -> Callable[[], Now]:
    from agent.clock import SystemClock
    from headoffice.fleet.station import Now

    clock = SystemClock()
    return lambda: Now(clock.mono_ms() / 1000, clock.wall_ms())


def _shown(name: str, value: object) -> object:
    return f"{value / 1000:.2f} s" if name.endswith("_ms") and isinstance(value, int) else value


def _tell(progress: Progress) -> None:
    """One line on a terminal that is written over; silent when piped."""
    if sys.stderr.isatty():
        line = (
            f"{progress.wall_s:6.0f} s  {progress.online} online  {progress.sold} sold  {progress.acknowledged} acked"
        )
        sys.stderr.write(f"\r{line}\x1b[K")
        sys.stderr.flush()
