"""What head office hands to people: the bundle of a new station, and signed coupons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headoffice.cli.acting import DEFAULT_BROKER, BrokerOption
from headoffice.cli.options import (
    DEFAULT_GROUP,
    DatabaseOption,
    GroupOption,
    JsonOption,
    KeysOption,
    StateOption,
    keys_folder,
    open_database,
)
from headoffice.cli.output import show_fields, show_rows
from headoffice.errors import UsageError


def bundle(
    station: Annotated[str, typer.Argument(help="The station's id, such as SH-0001.")],
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; STATION.bundle by default.")] = None,
    broker: BrokerOption = DEFAULT_BROKER,
    group: GroupOption = DEFAULT_GROUP,
    name: Annotated[str, typer.Option("--name", help="The station's name for people.")] = "",
    timezone: Annotated[str, typer.Option("--timezone", help="Its time zone.")] = "Asia/Shanghai",
    currency: Annotated[str, typer.Option("--currency", help="Its currency.")] = "CNY",
    language: Annotated[str, typer.Option("--language", help="zh-CN or en: the answers at its readers.")] = "zh-CN",
    config: Annotated[
        Path | None, typer.Option("--config", help="Its whole station.toml, where the devices are known here.")
    ] = None,
    ca: Annotated[Path | None, typer.Option("--ca", help="CA certificates of the broker.")] = None,
    cert: Annotated[Path | None, typer.Option("--cert", help="The station's certificate.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Its private key.")] = None,
    password_file: Annotated[Path | None, typer.Option("--password-file", help="Its MQTT password.")] = None,
    keys: KeysOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the bundle with which `forecourt init` sets a new station up. It holds secrets: treat it as a key."""
    from agent.clock import clock_from_environment
    from headoffice.bundles import make_bundle, write_bundle
    from headoffice.keys import load_keys
    from sync.records import format_time

    folder = keys_folder(keys, state)
    if broker.startswith("mqtts:") and ca is None:
        ca, cert, key = _certificate(folder, station, group, (cert, key))
    values = {
        "id": station,
        "name": name or station,
        "timezone": timezone,
        "currency": currency,
        "group": group,
        "language": language,
    }
    text = make_bundle(
        load_keys(folder),
        folder,
        station=values,
        broker=broker,
        made_at=format_time(clock_from_environment().wall_ms()),
        parts={"ca.pem": ca, "station.pem": cert, "station.key": key, "broker-password": password_file},
        configuration=config,
    )
    target = out if out is not None else Path(f"{station}.bundle")
    show_fields({"station": station, "bundle": str(target), "fingerprint": write_bundle(target, text)}, as_json=as_json)


def _certificate(
    folder: Path, station: str, group: str, given: tuple[Path | None, Path | None]
) -> tuple[Path, Path, Path]:
    """Take the certificate of our own authority, made where the station has none. Raises UsageError."""
    from headoffice.cli.pki import now
    from headoffice.pki import CA_FILE, FOLDER, Authority

    authority = Authority(folder / FOLDER)
    if not authority.made or given != (None, None):
        hint = "name the CA certificates of the broker, or make an authority with `forecourt-hq pki init`"
        raise UsageError("an mqtts broker could not be recognised without --ca", hint=hint)
    return authority.folder / CA_FILE, *authority.for_bundle(station, now(), group=group)


def coupons_issue(
    offer: Annotated[str, typer.Option("--offer", help="Id of the COUPON offer of the published rules.")],
    member: Annotated[
        list[str] | None, typer.Option("--member", help="Its holder, 16 hex digits; may be given several times.")
    ] = None,
    station: Annotated[str | None, typer.Option("--station", help="The only station that takes it.")] = None,
    expires: Annotated[str | None, typer.Option("--expires", help="Last day, such as 2026-12-31.")] = None,
    balance_minor: Annotated[
        int | None, typer.Option("--balance-minor", min=1, help="What is left on it, in minor units.")
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=10_000, help="How many, of each member.")] = 1,
    database: DatabaseOption = None,
    keys: KeysOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make signed coupons that stations check offline. Whoever has the text has the coupon: treat it as money."""
    import secrets
    from datetime import date

    from agent.clock import clock_from_environment
    from headoffice.coupons import Wanted, issue
    from headoffice.keys import load_keys

    try:
        last_day = None if expires is None else date.fromisoformat(expires)
    except ValueError as error:
        raise UsageError(f"{expires!r} is no day", hint="write it like 2026-12-31") from error
    wanted = Wanted(offer, tuple(member or ()), station, last_day, balance_minor, count)
    made = issue(
        open_database(database, state),
        load_keys(keys_folder(keys, state)),
        wanted,
        now_ms=clock_from_environment().wall_ms(),
        pick=secrets.choice,
    )
    rows = [{**claims.record(), "token": token} for claims, token in made]
    show_rows(rows, ["code", "offer", "member", "expires_on", "token"], as_json=as_json, empty="none")
