"""``forecourt init``: a station's first files from a bundle of head office, and the addresses its unit may reach."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.app import app
from agent.cli.talk import JsonOption, fail, print_json

if TYPE_CHECKING:
    from agent.commissioning.plan import PlannedFile

MAX_READ_BYTES = 4_194_304


@app.command("init")
def init(
    bundle: Annotated[Path | None, typer.Option("--bundle", help="The bundle from head office.")] = None,
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", help="What head office says the bundle's fingerprint is.")
    ] = None,
    addresses: Annotated[
        bool, typer.Option("--addresses", help="Write the unit's list of addresses from station.toml again.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Keep files that differ beside the new ones.")] = False,
    root: Annotated[Path, typer.Option("--root", help="Write below this folder, as if it were /.")] = Path("/"),
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether the fingerprint is right.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Set this machine up as a station: id, keys, broker and certificates from a head-office bundle."""
    if (bundle is None) == (not addresses):
        fail("name one of --bundle FILE and --addresses", "forecourt init --help", 2)
    if bundle is not None:
        _from_bundle(bundle, fingerprint, root, replace=replace, yes=yes, as_json=as_json)
    else:
        _addresses(root, as_json=as_json)


def _from_bundle(file: Path, told: str | None, root: Path, *, replace: bool, yes: bool, as_json: bool) -> None:
    from agent.commissioning import CommissioningRefused, plan, write_all
    from sync.bundle import BundleProblem, load
    from sync.bundle import fingerprint as fingerprint_of

    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_READ_BYTES)
        found = load(content)
    except OSError as failure:
        fail(f"{file} cannot be read: {failure.strerror}", "name the file that head office gave you", 2)
    except BundleProblem as failure:
        fail(f"{file}: {failure}", failure.hint, 2)
    mark = fingerprint_of(content)
    _agree(mark, told, found.station["id"], yes=yes)
    try:
        done = write_all(root, (*_own(root), *plan(found)), replace=replace, stamp=_stamp())
    except CommissioningRefused as failure:
        fail(str(failure), failure.hint, 2)
    unknown, complete = _write_addresses(root) if found.configuration is not None else ((), False)
    if as_json:
        files = [{"path": path, "state": state} for path, state in done]
        print_json({"station": found.station["id"], "fingerprint": mark, "files": files, "unresolved": list(unknown)})
        return
    for path, state in done:
        print(f"{state:9}{path}")
    _tell_unknown(unknown)
    if complete:
        print(f"station {found.station['id']} is set up; next: systemctl enable --now forecourt")
    else:
        print("next: add the devices to station.toml, then forecourt check-config and forecourt init --addresses")


def _own(root: Path) -> tuple[PlannedFile, ...]:
    """Return the files that no head office makes: the station's field key, where there is none yet."""
    import secrets

    from agent.commissioning.plan import FIELD_KEY, field_key
    from agent.crypto import FIELD_KEY_BYTES

    if (root / FIELD_KEY.relative_to("/")).exists():
        return ()
    return (field_key(secrets.token_bytes(FIELD_KEY_BYTES)),)


def _agree(mark: str, told: str | None, station: str, *, yes: bool) -> None:
    from sync.bundle import same_fingerprint

    if told is not None:
        if not same_fingerprint(told, mark):
            fail(f"the bundle's fingerprint is {mark}, not the one you gave", "do not use it; ask head office", 1)
        return
    if yes:
        return
    if not sys.stdin.isatty():
        fail("nobody is there to compare the fingerprint", f'give --fingerprint "{mark}" or --yes', 2)
    print(f"Bundle of station {station}. Fingerprint: {mark}")
    if not typer.confirm("Does head office name the same fingerprint?"):
        fail("nothing was written", "ask head office for the bundle again", 1)


def _addresses(root: Path, *, as_json: bool) -> None:
    unknown, _ = _write_addresses(root)
    if as_json:
        print_json({"unresolved": list(unknown)})
        return
    _tell_unknown(unknown)
    print("the unit's addresses are written; next: systemctl daemon-reload && systemctl restart forecourt")


def _write_addresses(root: Path) -> tuple[tuple[str, ...], bool]:
    """Write the drop-in from the configuration that stands below ``root``; returns the hosts without an address."""
    from agent.cli import show
    from agent.commissioning import CONFIGURATION, DROP_IN, CommissioningRefused, PlannedFile, address_list, write_all
    from agent.settings import SettingsError, load

    try:
        settings = load(root / CONFIGURATION.relative_to("/"))
    except SettingsError as failure:
        show.faults(failure.faults)
        raise typer.Exit(2) from failure
    text, unknown = address_list(settings)
    try:
        write_all(root, [PlannedFile(DROP_IN, text, secret=False)], replace=True, stamp=_stamp())
    except CommissioningRefused as failure:
        fail(str(failure), failure.hint, 2)
    return unknown, True


def _tell_unknown(unknown: tuple[str, ...]) -> None:
    for host in unknown:
        print(f"{host} has no address now: run forecourt init --addresses when it has one", file=sys.stderr)


def _stamp() -> str:
    from datetime import UTC, datetime

    from agent.clock import clock_from_environment

    moment = datetime.fromtimestamp(clock_from_environment().wall_ms() / 1000, UTC)
    return moment.strftime("%Y%m%dT%H%M%SZ")
