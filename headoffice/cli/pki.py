"""The commands of the certificate authority: make it, give out, renew, withdraw, list, and what the broker is told."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headoffice.cli.options import DEFAULT_GROUP, GroupOption, JsonOption, KeysOption, StateOption, keys_folder
from headoffice.cli.output import show_fields, show_rows

if TYPE_CHECKING:
    from headoffice.pki import Authority, Issued

pki = typer.Typer(help="Certificates of stations, head office and the broker.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="The station's id, head-office..., or the broker's name.")]
DaysOption = Annotated[int, typer.Option("--days", min=1, max=7_300, help="How long the certificate is good.")]
HostsOption = Annotated[
    list[str] | None, typer.Option("--host", help="A name or address of the broker; may be given several times.")
]
LEAF_DAYS, CA_DAYS = 730, 3_650


@pki.command("init")
def init(
    host: HostsOption = None,
    days: DaysOption = CA_DAYS,
    keys: KeysOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the authority, and with it the certificates of the broker (with --host) and of head office."""
    from headoffice.pki import BROKER, CA_FILE, HEAD_OFFICE, LOCAL

    authority, at = _authority(keys, state), now()
    authority.make(at, days=days)
    made = [authority.issue(HEAD_OFFICE, HEAD_OFFICE, at)]
    if host:
        made.append(authority.issue(BROKER, BROKER, at, hosts=[*host, *LOCAL]))
    files = {one.name: str(authority.certificate(one.name)) for one in made}
    show_fields({"authority": str(authority.folder / CA_FILE), **files}, as_json=as_json)


@pki.command("issue")
def issue(
    name: NameArgument,
    role: Annotated[str, typer.Option("--role", help="station, head-office or broker.")] = "station",
    host: HostsOption = None,
    group: GroupOption = DEFAULT_GROUP,
    days: DaysOption = LEAF_DAYS,
    keys: KeysOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and a certificate. Whoever has the key is that station: treat it as one."""
    authority = _authority(keys, state)
    station = role == "station"
    made = authority.issue(name, role, now(), hosts=host or (), group=group if station else "", days=days)
    show_fields(_shown(authority, made) | {"key": str(authority.key(name))}, as_json=as_json)


@pki.command("renew")
def renew(
    name: NameArgument,
    days: DaysOption = LEAF_DAYS,
    keys: KeysOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new certificate for the same key: only the certificate travels, which is no secret."""
    authority = _authority(keys, state)
    show_fields(_shown(authority, authority.renew(name, now(), days=days)), as_json=as_json)


@pki.command("revoke")
def revoke(name: NameArgument, keys: KeysOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Withdraw every certificate of a name; it takes effect when the broker has the new list."""
    from headoffice.pki import CRL_FILE

    authority = _authority(keys, state)
    taken = authority.revoke(name, now())
    serials = [one.serial for one in taken]
    show_fields({"name": name, "revoked": serials, "crl": str(authority.folder / CRL_FILE)}, as_json=as_json)


@pki.command("list")
def show(
    ends_within: Annotated[
        int | None,
        typer.Option("--ends-within", min=0, help="Only good ones that end within so many days; 1: some do."),
    ] = None,
    keys: KeysOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what was given out, newest first: good, ended, revoked or replaced, and how long it is good."""
    from headoffice.pki import standing

    at = now()
    rows: list[dict[str, Any]] = [
        {
            "name": one.name,
            "role": one.role,
            "group": one.group or None,
            "state": state_of,
            "days_left": (one.ends - at).days,
            "not_after": one.not_after,
            "serial": one.serial,
        }
        for one, state_of in standing(_authority(keys, state).issued(), at)
    ]
    if ends_within is not None:
        rows = [row for row in rows if row["state"] in ("good", "ended") and row["days_left"] < ends_within]
    columns = ["name", "role", "group", "state", "days_left", "not_after", "serial"]
    show_rows(rows, columns, as_json=as_json, empty="no certificates")
    if ends_within is not None and rows:
        raise typer.Exit(1)


@pki.command("crl")
def crl(keys: KeysOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Sign the list of revoked certificates anew and say where it is; the broker reads it (crlfile)."""
    authority = _authority(keys, state)
    revoked = sum(one.revoked_at is not None for one in authority.issued())
    show_fields({"crl": str(authority.write_crl(now())), "revoked": revoked}, as_json=as_json)


@pki.command("acl")
def access_list(
    out: Annotated[Path | None, typer.Option("--out", help="The file to write, whole or not at all.")] = None,
    keys: KeysOption = None,
    state: StateOption = None,
) -> None:
    """Print or write mosquitto's access list for everybody who has a good certificate."""
    from headoffice.pki import acl, write_public

    text = acl(_authority(keys, state).issued(), now())
    if out is None:
        print(text, end="")
    else:
        write_public(out, text)


def _authority(keys: Path | None, state: Path | None) -> Authority:
    from headoffice.pki import FOLDER, Authority

    return Authority(keys_folder(keys, state) / FOLDER)


def _shown(authority: Authority, made: Issued) -> dict[str, Any]:
    certificate = str(authority.certificate(made.name))
    return {"name": made.name, "serial": made.serial, "not_after": made.not_after, "certificate": certificate}


def now() -> datetime:
    """Return the time that certificates are made and judged by."""
    from datetime import UTC

    from agent.clock import clock_from_environment

    return datetime.fromtimestamp(clock_from_environment().wall_ms() // 1000, UTC)
