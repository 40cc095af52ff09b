"""The commands ``forecourt backup`` and ``forecourt restore``: what people type, what they are asked, what they see."""

from __future__ import annotations

import os
import pwd
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from agent.cli.app import app
from agent.cli.talk import DEFAULT_CONFIG, ConfigOption, JsonOption, SocketOption, fail, print_json, print_table
from agent.control import ControlError, ask

if TYPE_CHECKING:  # loaded where a command needs them
    from agent.age import KeyPair
    from agent.backup.restore import Comparison, Opened, Wish
    from agent.settings import Settings
    from agent.store.lock import InstanceLock

backup = typer.Typer(help="Backups: make one now, list them, prove one.", invoke_without_command=True)
app.add_typer(backup, name="backup")

LOOK_EVERY_S = 0.3
GIVES_UP_AFTER_S = 3_600
"""A backup of the largest station takes minutes; the daemon goes on with it anyway."""

IdentityOption = Annotated[
    Path | None,
    typer.Option("--identity", help="The age identity file that opens it; else the station's own.", show_default=False),
]


@backup.callback()
def backup_now(
    context: typer.Context, as_json: JsonOption = False, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """Make an encrypted backup now: by the daemon if it runs, else under its lock."""
    if context.invoked_subcommand is not None:
        return
    from agent.cli.talk import socket_path

    path = socket_path(config, socket)
    try:
        before = ask(path, "backup")
    except ControlError as failure:
        if failure.exit_code != 3 or socket is not None:
            fail(str(failure), failure.hint, failure.exit_code)
        _done(_make_here(_settings(config)), as_json)
        return
    _done(_make_there(path, before), as_json)


def _make_there(path: Path, before: dict[str, Any] | None) -> dict[str, Any]:
    """Ask the daemon for a backup and wait until it is made."""
    try:
        ask(path, "backup.start")
        deadline = time.monotonic() + GIVES_UP_AFTER_S
        told = None
        while time.monotonic() < deadline:
            state: dict[str, Any] = ask(path, "backup")
            if state["tries"] > (before or {"tries": 0})["tries"] and state["running"] is None:
                break
            if state["running"] != told and sys.stderr.isatty():
                told = state["running"]
                print(f"{told} ...", file=sys.stderr)
            time.sleep(LOOK_EVERY_S)
    except ControlError as failure:
        fail(str(failure), failure.hint, failure.exit_code)
    if state["failure"] or state["last"] is None:
        fail(
            f"no good backup was made: {state['failure']}", "earlier backups are kept; the alert stands until one is", 1
        )
    return {
        "file": str(Path(state["folder"]) / state["last"]),
        "made_at": state["last_at"],
        "copy_problem": state["copy_problem"] or None,
    }


def _make_here(settings: Settings) -> dict[str, Any]:
    """Make a backup without the daemon, under its lock."""
    from agent import __version__
    from agent.backup.errors import BackupError
    from agent.backup.make import make
    from agent.backup.plan import plan_of
    from agent.clock import clock_from_environment
    from agent.store import swap
    from agent.store.queries import utc

    if settings.backup is None:
        fail("no backups are configured", "add [backup] recipients_file to the configuration", 2)
    if not settings.store.path.exists():
        fail(f"{settings.store.path} is not there", "start the daemon once, or forecourt restore", 1)
    lock = _locked(settings.store.path)
    try:
        swap.finish(settings.store.path)
        made = make(plan_of(settings, settings.backup, __version__), clock_from_environment().wall_ms())
    except BackupError as failure:
        fail(f"no backup was made: {failure}", failure.hint, 1)
    finally:
        lock.release()
    return {
        "file": str(made.path),
        "made_at": utc(made.manifest.made_ms),
        "copy_problem": made.copy_problem or None,
    }


def _done(value: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(value)
    else:
        print(value["file"])
    if value["copy_problem"]:
        print(f"forecourt: no second copy: {value['copy_problem']}", file=sys.stderr)


@backup.command("list")
def backup_list(
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Another folder than the configured one.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List the station's backups, newest first, without opening them."""
    from agent.backup.make import listed

    settings = _settings(config)
    place = folder if folder is not None else _folder(settings)
    try:
        found = listed(place, settings.station.id)
    except OSError as failure:
        fail(f"{place}: {failure.strerror}", "run it as root or as the agent's user", 2)
    rows = [_row(entry) for entry in found]
    if as_json:
        print_json(rows)
        return
    columns = ["backup", "made", "MiB", "records", "sales", "proved", "state"]
    table = [
        [r["backup"], r["made_at"], -(-r["size_bytes"] // 2**20), r["records"], r["sales"], r["proved"], r["state"]]
        for r in rows
    ]
    print_table("Backups", columns, table)


def _row(entry: Any) -> dict[str, Any]:
    from agent.store.queries import utc

    known = entry.manifest
    return {
        "backup": entry.path.name,
        "made_at": utc(entry.made_ms),
        "size_bytes": entry.size,
        "state": entry.state,
        "records": None if known is None else known.records,
        "sales": None if known is None else known.sales,
        "proved": None if known is None else known.proved,
        "software": None if known is None else known.software,
        "schema": None if known is None else known.schema,
    }


@backup.command("check")
def backup_check(
    file: Path, identity: IdentityOption = None, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Prove a backup: its sums, and with an identity the whole restore drill; exit 1 if anything is off."""
    pairs = _pairs(identity, config, needed=False)
    if pairs:
        _drill(file, pairs, as_json, config)
        return
    from agent.backup.errors import BackupError
    from agent.backup.restore import check_file

    try:
        known = check_file(file)
    except BackupError as failure:
        fail(str(failure), failure.hint, 1)
    if as_json:
        print_json({"file": str(file), "opened": False, "sealed_bytes": known.sealed_bytes, "station": known.station})
    else:
        print(f"{file} is what was written: {known.sealed_bytes} bytes; not opened, there is no identity here")


@app.command()
def restore(
    file: Annotated[Path | None, typer.Argument(help="The backup.", show_default=False)] = None,
    identity: IdentityOption = None,
    database: Annotated[
        Path | None, typer.Option("--database", help="Where to, instead of [store] path.", show_default=False)
    ] = None,
    drill: Annotated[bool, typer.Option("--drill", help="Only try: unpack beside, recompute, remove.")] = False,
    empty: Annotated[bool, typer.Option("--empty", help="Put an empty database in place: everything is lost.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with your name.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Put a backup (or, with --empty, an empty database) in the place of the database; stop the daemon first."""
    if (file is None) == (not empty) or (empty and drill):
        fail("name a backup, or --empty", "forecourt backup list shows what there is", 2)
    if empty and not reason.strip():
        fail("--empty needs --reason", "say why nothing could be restored; it is kept", 2)
    if drill and file is not None:
        _drill(file, _pairs(identity, config, needed=True), as_json, config)
        return
    if not yes and not sys.stdin.isatty():
        fail("nobody is there to ask", "add --yes when you are sure", 2)
    settings = _settings(config)
    _restore(settings, file, database or settings.store.path, _Asks(identity, config, reason.strip(), yes, as_json))


class _Asks:
    """What was given on the command line beside file and place."""

    def __init__(self, identity: Path | None, config: Path | None, reason: str, yes: bool, as_json: bool) -> None:
        self.identity = identity
        self.config = config
        self.wish = _wish(reason)
        self.yes = yes
        self.as_json = as_json


def _restore(settings: Settings, file: Path | None, database: Path, asks: _Asks) -> None:
    from agent.backup import restore as restoring
    from agent.backup.errors import BackupError
    from agent.store.lock import StoreError

    station = settings.station.id

    def confirm(opened: Opened | None, present: Comparison) -> bool:
        if not asks.as_json:
            _tell(opened, present, database)
        return asks.yes or typer.confirm("Put it in place?")

    lock = _locked(database)
    try:
        if file is None:
            aside = restoring.restore_empty(database, station, wish=asks.wish, confirm=confirm)
        else:
            pairs = _pairs(asks.identity, asks.config, needed=True)
            wish = _wish(asks.wish.reason, str(file))
            aside = restoring.restore(file, database, station, pairs, wish=wish, confirm=confirm)
    except (BackupError, StoreError) as failure:
        fail(f"nothing was changed: {failure}", failure.hint, 1)
    except OSError as failure:
        _no_room(failure, database)
    finally:
        lock.release()
    if aside is None:
        fail("nothing was changed", "", 1)
    if asks.as_json:
        print_json({"database": str(database), "source": None if file is None else str(file), "replaced": str(aside)})
        return
    print(f"{database} is in place; what was there lies in {aside}")
    print("start the daemon: it sees that this is an older database and tells head office before it goes on")


def _no_room(failure: OSError, database: Path) -> NoReturn:
    from agent.store import swap

    reason = f"{failure.filename or database}: {failure.strerror or failure}"
    if (swap.workshop(database) / swap.INTENT).exists():
        fail(
            f"decided, not finished: {reason}", "repair that; starting the daemon or this command again finishes it", 1
        )
    fail(f"nothing was changed: {reason}", "look at room and rights of the folder of the database", 1)


def _tell(opened: Opened | None, present: Comparison, database: Path) -> None:
    if opened is None:
        print("an EMPTY database will be put in place: no sale, no member, no points")
    else:
        made = "" if opened.manifest is None else f", made by version {opened.manifest.software}"
        print(f"{opened.file}: {opened.report.records} records, {opened.report.sales} sales{made}")
        for finding in opened.report.findings[:5]:
            print(f"  FINDING {finding.where}: {finding.problem}")
    if not present.exists:
        print(f"there is no {database}: nothing is replaced")
    elif not present.readable:
        print(f"{database} cannot be read; it will be moved aside")
    else:
        newer = ", ".join(f"{count} of {name}" for name, count in sorted(present.newer.items()) if count > 0)
        what = "it has nothing newer" if not newer else f"records only it has: {newer}"
        print(f"{database} will be moved aside; {what}")


def _drill(file: Path, pairs: tuple[KeyPair, ...], as_json: bool, config: Path | None) -> None:
    import tempfile

    from agent.backup.errors import BackupError
    from agent.backup.restore import drill

    folder = Path(tempfile.gettempdir())
    if config is not None or DEFAULT_CONFIG.exists():
        folder = _settings(config).store.path.parent
    try:
        opened = drill(file, folder, pairs)
    except BackupError as failure:
        fail(str(failure), failure.hint, 1)
    except OSError as failure:
        fail(f"{failure.filename or folder}: {failure.strerror or failure}", "the drill needs room beside it", 1)
    value = opened.as_json()
    if as_json:
        print_json(value)
    else:
        waiting = sum(value["waiting"].values())
        print(f"{file} can be restored: station {value['station']}, {value['records']} records, {value['sales']} sales")
        print(f"head office had not acknowledged {waiting} of them")
        for finding in value["findings"]:
            print(f"{finding['where']}: {finding['problem']}")
    if not opened.report.ok:
        raise typer.Exit(1)


def _settings(config: Path | None) -> Settings:
    from agent.cli import show
    from agent.settings import SettingsError, load

    try:
        return load(config if config is not None else DEFAULT_CONFIG)
    except SettingsError as failure:
        show.faults(failure.faults)
        raise typer.Exit(2) from failure


def _folder(settings: Settings) -> Path:
    if settings.backup is None:
        fail("no backups are configured", "add [backup] recipients_file, or name --folder", 2)
    return settings.backup.folder


def _pairs(identity: Path | None, config: Path | None, *, needed: bool) -> tuple[KeyPair, ...]:
    """Return the key pairs of the file given, else the station's own where there is a configuration."""
    from agent.backup.errors import BackupError
    from agent.backup.plan import own_pairs, pairs_in

    try:
        if identity is not None:
            return pairs_in(identity)
        pairs = own_pairs(_settings(config)) if config is not None or DEFAULT_CONFIG.exists() else ()
    except BackupError as failure:
        fail(str(failure), failure.hint, 2)
    if needed and not pairs:
        fail("no identity is given", "name the age identity file with --identity; head office has one", 2)
    return pairs


def _locked(database: Path) -> InstanceLock:
    from agent.store import durable
    from agent.store.lock import InstanceLock, StoreError

    lock = InstanceLock(database)
    try:
        lock.take()
        owner = database if database.exists() else database.parent
        durable.give(database.with_name(f"{database.name}.lock"), owner)
    except StoreError as failure:
        fail(str(failure), failure.hint, 2)
    except OSError as failure:
        fail(f"{database.parent}: {failure.strerror}", "run it as root or as the agent's user", 2)
    return lock


def _wish(reason: str, source: str = "empty") -> Wish:
    from agent.backup.restore import Wish
    from agent.clock import clock_from_environment

    person = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else ""
    person = person or pwd.getpwuid(os.getuid()).pw_name
    return Wish(person, reason, source, clock_from_environment().wall_ms())
