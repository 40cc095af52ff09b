"""The reading commands: stations, sales, alerts, dead letters and totals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from headoffice.cli.options import (
    DatabaseOption,
    JsonOption,
    KeysOption,
    LimitOption,
    StateOption,
    StationOption,
    keys_folder,
    open_database,
)
from headoffice.cli.output import show_fields, show_rows
from headoffice.errors import UsageError

SALE_COLUMNS = (
    "station",
    "ended_at",
    "fuelling_point",
    "nozzle",
    "grade",
    "volume_ml",
    "amount_minor",
    "currency",
    "discount_minor",
    "net_minor",
    "points_earned",
    "member",
)
ALERT_COLUMNS = ("station", "time", "type", "subject", "alert", "state", "value", "limit_value", "unit")
OWN_ALERT_COLUMNS = ("station", "alert", "subject", "count", "last_ms", "detail")
SHIFT_COLUMNS = (
    "station",
    "number",
    "event",
    "opened_at",
    "closed_at",
    "by",
    "sales",
    "sold_ml",
    "moved_ml",
    "gross_minor",
)
ENROLLED_COLUMNS = ("station", "time", "member", "mask", "by", "became", "has_contact")
DEAD_COLUMNS = ("number", "station", "stream", "seq", "reason", "detail", "replayed_as")


def stations(
    context: typer.Context, database: DatabaseOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """List the stations: last sign of life, cursors of the newest incarnation, how many there were."""
    if context.invoked_subcommand is not None:
        return
    from headoffice.store import reports

    rows = reports.stations(open_database(database, state))
    for row in rows:
        row["online"] = None if row["state"] is None else row["state"]["online"]
        row["incarnations"] = list(dict.fromkeys(item["incarnation"] for item in row["streams"]))
        newest = next(iter(row["incarnations"]), None)
        row["cursors"] = " ".join(f"{i['stream']}:{i['cum']}" for i in row["streams"] if i["incarnation"] == newest)
        row["lives"] = len(row["incarnations"])
        row["fenced"] = " ".join(item["install_id"] for item in row["installs"] if item["fenced"]) or None
    columns = ("station", "online", "last_heard_ms", "cursors", "lives", "fenced", "open_commands")
    show_rows(rows, columns, as_json=as_json, empty="no station was ever heard")


def workers(database: DatabaseOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List the workers that share this head office: where they run, which shards they hold, who leads."""
    from headoffice.store import session

    opened = open_database(database, state)
    if not opened.is_shared:
        show_rows([], (), as_json=as_json, empty="a SQLite file has one worker; it shares nothing")
        return
    with opened.read() as connection:
        rows = session.listed(connection)
    if not as_json:
        for row in rows:
            row["shards"] = len(row["shards"])
    columns = ("number", "name", "shards", "leads", "taken", "started_ms", "beat_ms")
    show_rows(rows, columns, as_json=as_json, empty="no worker serves")


def sales(
    station: StationOption = None,
    limit: LimitOption = 50,
    database: DatabaseOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the newest sales."""
    from headoffice.store import reports

    rows = reports.sales(open_database(database, state), station=station, limit=limit)
    show_rows(rows, SALE_COLUMNS, as_json=as_json, empty="no sales")


def alerts(
    *,
    station: StationOption = None,
    own: Annotated[bool, typer.Option("--own", help="What head office itself found wrong.")] = False,
    fraud: Annotated[bool, typer.Option("--fraud", help="Signs of misuse only.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="With --own: also what is over.")] = False,
    limit: LimitOption = 50,
    database: DatabaseOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the newest alerts of the stations, or head office's own."""
    from headoffice.store import reports
    from headoffice.store.facts import FRAUD_ALERT

    opened = open_database(database, state)
    if own:
        rows = reports.own_alerts(opened, station=station, limit=limit, ended=everything)
        show_rows(rows, (*OWN_ALERT_COLUMNS, *(["ended_ms"] if everything else [])), as_json=as_json, empty="no alerts")
    else:
        rows = reports.alerts(opened, station=station, limit=limit, only=FRAUD_ALERT if fraud else None)
        show_rows(rows, ALERT_COLUMNS, as_json=as_json, empty="no alerts")


def shifts(
    station: StationOption = None,
    limit: LimitOption = 50,
    database: DatabaseOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the newest shifts of the stations."""
    from headoffice.store import reports

    rows = reports.shifts(open_database(database, state), station=station, limit=limit)
    show_rows(rows, SHIFT_COLUMNS, as_json=as_json, empty="no shifts")


def dead_letters(
    station: StationOption = None,
    limit: LimitOption = 50,
    database: DatabaseOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List records that were put aside, with the reason; --json shows their text."""
    from headoffice.store import reports

    rows = reports.dead_letters(open_database(database, state), station=station, limit=limit)
    show_rows(rows, DEAD_COLUMNS, as_json=as_json, empty="no dead letters")


def members_enrolled(
    station: StationOption = None,
    contacts: Annotated[
        bool, typer.Option("--contacts", help="Open the phone numbers that stations sealed to this head office.")
    ] = False,
    limit: LimitOption = 50,
    database: DatabaseOption = None,
    keys: KeysOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List members enrolled at stations, newest first, and whom they became."""
    from headoffice.keys import load_keys
    from headoffice.store import enrolments

    with open_database(database, state).read() as connection:
        rows = enrolments.listed(connection, station=station, limit=limit)
    opened = load_keys(keys_folder(keys, state)).unseal if contacts else None
    if contacts and opened is None:
        raise UsageError(
            "these keys open no contact", hint="run `forecourt-hq keys` once; later enrolments can be read"
        )
    for row in rows:
        sealed = row.pop("contact")
        row["has_contact"] = sealed is not None
        if opened is not None:
            row["phone"] = _opened(opened, sealed)
    columns = (*ENROLLED_COLUMNS, "phone") if contacts else ENROLLED_COLUMNS
    show_rows(rows, columns, as_json=as_json, empty="no member was enrolled at a station")


def _opened(unseal: Callable[[str], str], sealed: str | None) -> str | None:
    """Return a phone number, ``None`` where there is none that these keys open."""
    from sync.sealing import SealRefused

    try:
        return None if sealed is None else unseal(sealed)
    except SealRefused:
        return None


def totals(database: DatabaseOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Show sums over everything that was accepted."""
    from headoffice.store import reports

    show_fields(dict(reports.totals(open_database(database, state))), as_json=as_json)
