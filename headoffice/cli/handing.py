"""``forecourt-hq bundle``: what an installer carries to a new station, as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headoffice.cli.acting import DEFAULT_BROKER, BrokerOption
from headoffice.cli.options import DEFAULT_GROUP, GroupOption, JsonOption, KeysOption, StateOption, keys_folder
from headoffice.cli.output import show_fields
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
        raise UsageError("an mqtts broker could not be recognised without --ca", hint="name its CA certificates")
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
