"""The commands ``leases`` and ``budgets``: what stations may spend of members' points and of campaigns' money."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from headoffice.cli.options import DatabaseOption, JsonOption, LimitOption, StateOption, StationOption, open_database
from headoffice.cli.output import show_fields, show_rows
from headoffice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headoffice.store.pools import Figures

leases = typer.Typer(help="What is lent to stations: list, show, write off.", no_args_is_help=True)
budgets = typer.Typer(help="Budgets of campaigns: set, list.", no_args_is_help=True)

COLUMNS = ("lease", "station", "kind", "subject", "amount", "spent", "outstanding", "state", "said", "granted_ms")
BUDGET_COLUMNS = ("campaign", "amount_minor", "free_minor", "lent_minor", "spent_minor", "overrun_minor")


@leases.command("list")
def list_leases(
    *,
    station: StationOption = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    limit: LimitOption = 50,
    database: DatabaseOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List leases that still hold something, newest first: points of a member, or minor units of a budget."""
    from headoffice.store import pools

    with open_database(database, state).read() as connection:
        rows = pools.listed(connection, station=station, every=every, limit=limit)
    show_rows([_told(row) for row in rows], COLUMNS, as_json=as_json, empty="nothing is lent")


@leases.command("show")
def show_lease(
    lease: Annotated[str, typer.Argument(help="Id of a lease.")],
    database: DatabaseOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one lease, and how the points or the budget stand that it is of."""
    from headoffice.store import pools

    with open_database(database, state).read() as connection:
        row = pools.one(connection, lease)
        if row is None:
            raise UsageError(f"there is no lease {lease}", hint="forecourt-hq leases list --all")
        pool = pools.figures(connection, row["kind"], row["subject"])
    figures = {name: getattr(pool, name) for name in ("balance", "free", "lent", "short", "overrun")}
    show_fields({**_told(row), "pool": figures}, as_json=as_json)


@leases.command("write-off")
def write_off(
    lease: Annotated[str, typer.Argument(help="Id of a void lease.")],
    database: DatabaseOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the rest of a void lease free again: you know that its station's lost database spent no more of it."""
    from agent.clock import clock_from_environment
    from agent.domain.leases import LeaseError
    from headoffice.store import pools

    now_ms = clock_from_environment().wall_ms()
    opened = open_database(database, state)
    try:
        row = opened.transact(lambda connection: pools.write_off(connection, lease, now_ms))
    except LeaseError as error:
        raise UsageError(
            str(error), hint="only a void lease is written off; `forecourt-hq leases list` tells the states"
        ) from error
    show_fields(_told(row), as_json=as_json)


@leases.command("worst-case")
def worst_case(
    floor: Annotated[int, typer.Option("--floor", min=1, help="[loyalty] floor_points of the stations.")],
    database: DatabaseOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what could be lost in a day if stations let members spend a floor amount without a lease."""
    from headoffice.store import exposure

    with open_database(database, state).read() as connection:
        found = exposure.worst_case(connection, floor)
    show_fields(
        {
            "floor_points": floor,
            "stations": found.stations,
            "members": found.members,
            "worst_case_points_a_day": found.points,
            "unleased_points_so_far": found.unleased,
        },
        as_json=as_json,
    )


@budgets.command("set")
def set_budget(
    campaign: Annotated[str, typer.Argument(help="The campaign that offers name as their budget.")],
    amount_minor: Annotated[int, typer.Argument(min=0, help="All of it, in minor units (cents).")],
    database: DatabaseOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a campaign its budget, or another one; what is spent or lent already counts."""
    from agent.clock import clock_from_environment
    from agent.domain.leases import LeaseError
    from headoffice.store import pools

    now_ms = clock_from_environment().wall_ms()
    opened = open_database(database, state, migrate=True)
    try:
        found = opened.transact(lambda connection: pools.set_budget(connection, campaign, amount_minor, now_ms))
    except LeaseError as error:
        raise UsageError(str(error), hint="give more, or have stations close their leases out first") from error
    show_fields(_budget(found, amount_minor), as_json=as_json)


@budgets.command("list")
def list_budgets(database: DatabaseOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List the budgets: what is free, lent and spent."""
    from headoffice.store import pools

    with open_database(database, state).read() as connection:
        rows = [
            _budget(pools.figures(connection, pools.BUDGET, campaign), amount)
            for campaign, amount in pools.budgets(connection)
        ]
    show_rows(rows, BUDGET_COLUMNS, as_json=as_json, empty="no campaign has a budget")


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in row.items() if name not in ("id", "req_id")}
    return {"lease": row["id"], **rest, "outstanding": row["amount"] - row["spent"] - row["reclaimed"]}


def _budget(found: Figures, amount_minor: int) -> dict[str, Any]:
    return {
        "campaign": found.subject,
        "amount_minor": amount_minor,
        "free_minor": found.free,
        "lent_minor": found.lent,
        "spent_minor": amount_minor - found.balance + found.short,
        "overrun_minor": found.overrun,
    }
