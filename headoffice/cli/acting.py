"""The commands that do something: serve, keys, imports, publishing, fences, replay."""

from __future__ import annotations

import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from headoffice.cli.options import (
    DEFAULT_GROUP,
    DatabaseOption,
    GroupOption,
    JsonOption,
    KeysOption,
    StateOption,
    database_location,
    keys_folder,
    open_database,
)
from headoffice.cli.output import progress, show_fields, show_json
from headoffice.errors import UsageError

GIVE_WAY_S = 0.0005
"""The thread that reads ahead gives way to the one whose answer from the database came after this."""

if TYPE_CHECKING:
    from sync.client import ClientOptions, LinkChange

BrokerOption = Annotated[
    str, typer.Option("--broker", envvar="FORECOURT_HQ_BROKER", help="mqtt://HOST:PORT or mqtts://HOST:PORT.")
]
DEFAULT_BROKER = "mqtt://127.0.0.1:1883"
DEFAULT_CLIENT_ID = "head-office"
DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}
FENCE_VALID_MS = 31 * 86_400_000
"""How long a fenced PC that is away may still be told that it is let in."""

RECONNECT_CAP_S = 30.0
"""Head office is one client: it may knock more often than a fleet of stations."""


def serve(
    *,
    broker: BrokerOption = DEFAULT_BROKER,
    group: GroupOption = DEFAULT_GROUP,
    database: DatabaseOption = None,
    keys: KeysOption = None,
    state: StateOption = None,
    client_id: Annotated[
        str, typer.Option("--client-id", help="MQTT client id, and user name with TLS.")
    ] = DEFAULT_CLIENT_ID,
    username: Annotated[str | None, typer.Option("--username", help="MQTT user name.")] = None,
    password_file: Annotated[Path | None, typer.Option("--password-file", help="File with the MQTT password.")] = None,
    ca: Annotated[Path | None, typer.Option("--ca", help="CA certificates for mqtts.")] = None,
    cert: Annotated[Path | None, typer.Option("--cert", help="Client certificate for mqtts.")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Private key of the client certificate.")] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=64, help="Processes that share the stations; needs PostgreSQL.")
    ] = 1,
    as_json: JsonOption = False,
) -> None:
    """Take what the stations send, until SIGTERM or Ctrl-C."""
    from agent.clock import clock_from_environment
    from agent.logs import configure
    from headoffice.crew import run_crew
    from headoffice.expiry import ExpiryWatch
    from headoffice.keys import load_keys
    from headoffice.service import Service
    from headoffice.shards import shards_of
    from headoffice.workers import Worker
    from sync.client import LinkUp
    from sync.topics import TopicError, check_station

    if workers > 1 and not database_location(database, state).startswith("postgres"):
        raise UsageError(
            "a SQLite file has one worker", hint="several need PostgreSQL: --database postgresql://USER@HOST/NAME"
        )
    options = _client_options(broker, client_id, username, password_file, (ca, cert, key))
    try:
        check_station(group)
        wall = clock_from_environment()
    except (TopicError, ValueError) as error:
        raise UsageError(str(error), hint="see `forecourt-hq serve --help`") from error
    configure()
    loaded = load_keys(keys_folder(keys, state))
    opened = open_database(database, state, migrate=True)
    where = f"{options.host}:{options.port}"

    def told(change: LinkChange) -> None:
        if not isinstance(change, LinkUp):
            return
        if as_json:
            show_json({"event": "connected", "broker": where, "group": group})
        else:
            typer.echo(f"serving group {group} at {where}, database {opened.name}")

    def work(stop: threading.Event) -> None:
        sys.setswitchinterval(GIVE_WAY_S)
        with closing(open_database(database, state)) as own:
            look = ExpiryWatch(own, options.tls, wall).look
            Worker(Service(own, loaded, group), options, wall, shards_of(own), told, look=look).run(stop)

    opened.close()
    run_crew(workers, work)


def _client_options(
    broker: str,
    client_id: str,
    username: str | None,
    password_file: Path | None,
    tls: tuple[Path | None, Path | None, Path | None],
) -> ClientOptions:
    from sync.client import ClientOptions
    from sync.tls import TlsOptions

    try:
        url = urlsplit(broker)
        port = url.port
    except ValueError as error:
        raise UsageError(f"--broker {broker}: {error}", hint="write mqtt://HOST:PORT") from error
    if url.scheme not in DEFAULT_PORTS or not url.hostname or url.path not in ("", "/") or url.username:
        raise UsageError(f"--broker {broker} is not mqtt://HOST:PORT or mqtts://HOST:PORT", hint="use --username")
    ca, cert, key = tls
    if (url.scheme == "mqtts") != (ca is not None):
        raise UsageError("mqtts:// needs --ca, and --ca needs mqtts://", hint="TLS is never half on")
    return ClientOptions(
        client_id=client_id,
        host=url.hostname,
        port=port or DEFAULT_PORTS[url.scheme],
        username=username,
        password_file=password_file,
        tls=None if ca is None else TlsOptions(ca, cert, key),
        backoff_cap_s=RECONNECT_CAP_S,
    )


def keys(keys: KeysOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Make the signing key and the index key where they are missing; show what stations pin."""
    from headoffice.cards import CARDS_FILE, make_files
    from headoffice.keys import INDEX_FILE, PUBLIC_FILE, SIGNING_FILE, make_keys

    folder = keys_folder(keys, state)
    made = make_keys(folder)
    make_files(folder)
    show_fields(
        {
            "kid": made.kid,
            "signing": str(folder / SIGNING_FILE),
            "pinned": str(folder / PUBLIC_FILE),
            "index": str(folder / INDEX_FILE),
            "cards": str(folder / CARDS_FILE),
        },
        as_json=as_json,
    )


def members_import(
    file: Annotated[Path, typer.Argument(help="A .csv or .jsonl file.")],
    errors: Annotated[
        Path | None, typer.Option("--errors", help="Write every wrong line to this file: line, column, reason.")
    ] = None,
    database: DatabaseOption = None,
    keys: KeysOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import members; all or nothing, the same file twice changes nothing. No plain number is stored."""
    from headoffice import cards
    from headoffice.keys import load_keys
    from headoffice.member_files import written_lines
    from headoffice.members import import_file

    folder = keys_folder(keys, state)
    loaded = load_keys(folder)
    maker = cards.load(folder, loaded.index_key)
    opened = open_database(database, state, migrate=True)
    with progress() as tell, written_lines(errors) as bad_line:
        done = import_file(
            opened, file, loaded.index_key, tell, maker=maker, index_next=loaded.index_next, bad_line=bad_line
        )
    show_fields({"read": done.read, "changed": done.changed, "last_op": done.last_op}, as_json=as_json)


def members_remove(
    member: Annotated[str, typer.Argument(help="Member id, 16 hex digits.")],
    database: DatabaseOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a member here and, by the log of changes, at every station."""
    from headoffice.members import remove_member

    if not remove_member(open_database(database, state), member):
        raise UsageError(f"there is no member {member}", hint="ids are 16 lower-case hex digits")
    show_fields({"removed": member}, as_json=as_json)


def members_rotate(
    step: Annotated[str, typer.Argument(help="begin, status or finish.")],
    without_them: Annotated[
        bool, typer.Option("--without-them", help="finish although some members have no index of the next key.")
    ] = False,
    database: DatabaseOption = None,
    keys: KeysOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Exchange the index key that members are recognised with; in between both are good."""
    from headoffice import rotation

    if step not in rotation.STEPS:
        raise UsageError(f"there is no step {step}", hint=f"one of {', '.join(rotation.STEPS)}")
    folder, opened = keys_folder(keys, state), open_database(database, state, migrate=True)
    if step == "begin":
        rotation.begin(folder)
    told = rotation.finish(opened, folder, without_them=without_them) if step == "finish" else 0
    now = rotation.status(opened, folder)
    fields = {"version": now.version, "next_version": now.next_version, "members": now.members, "ready": now.ready}
    show_fields({**fields, "told_anew": told}, as_json=as_json)


def rules_publish(
    file: Annotated[Path, typer.Argument(help="A rule set: .json or .toml.")],
    accept_warnings: Annotated[
        bool, typer.Option("--accept-warnings", help="Hand it out although something in it is questionable.")
    ] = False,
    database: DatabaseOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Validate a rule set and hand it out; versions only go up. 1: it is questionable, nothing was published."""
    from agent.clock import clock_from_environment
    from headoffice.documents import publish_rules, rule_doubts

    opened, now_ms = open_database(database, state, migrate=True), clock_from_environment().wall_ms()
    done = publish_rules(opened, file, now_ms, accept_warnings=accept_warnings)
    told = {"version": done.version, "hash": done.hash, "effective_from": done.effective_from}
    show_fields({**told, "bytes": len(done.body), "warnings": rule_doubts(done)}, as_json=as_json)


def stations_unfence(
    station: Annotated[str, typer.Argument(help="Station id.")],
    install_id: Annotated[str, typer.Argument(help="The fenced installation, from `stations`.")],
    database: DatabaseOption = None,
    keys: KeysOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a fenced installation redeem: it is told by a signed command, without keys at its next hello."""
    import getpass
    from random import SystemRandom

    from agent.clock import clock_from_environment
    from headoffice import commands
    from headoffice.keys import load_keys
    from headoffice.store.presence import lift_fence

    opened, now_ms = open_database(database, state), clock_from_environment().wall_ms()
    told: str | None = None
    if keys is None and state is None:
        with opened.write() as connection:
            if not lift_fence(connection, station, install_id, now_ms):
                problem = f"installation {install_id} of {station} is not fenced"
                raise UsageError(problem, hint="see `forecourt-hq stations`")
    else:
        args = {"install_id": install_id}
        wanted = commands.Wanted("lift_fence", (station,), args, getpass.getuser(), FENCE_VALID_MS)
        signing = load_keys(keys_folder(keys, state))
        (ordered,) = commands.order(opened, signing, wanted, now_ms=now_ms, random=SystemRandom())
        told = ordered["cmd_id"]
    show_fields({"station": station, "unfenced": install_id, "cmd_id": told}, as_json=as_json)


def restored(database: DatabaseOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Say once that this database was put back from an old copy, before `serve`: no number is used a second time."""
    from dataclasses import asdict

    from agent.clock import clock_from_environment
    from headoffice import restoring

    # a copy of older software is upgraded; a mistyped path must not become a new, empty head office
    opened = open_database(database, state, migrate=True, create=False)
    done = restoring.restored(opened, clock_from_environment().wall_ms())
    show_fields(asdict(done), as_json=as_json)
    if not as_json:
        has = "no rule set" if done.rules_version is None else f"rule set {done.rules_version}"
        typer.echo(
            f"Now start serve. This copy has {has}: publish what you published since, import members, revoke keys."
        )


def dead_letters_replay(
    reason: Annotated[str | None, typer.Option("--reason", help="Only dead letters of this reason.")] = None,
    number: Annotated[int | None, typer.Option("--number", help="Only this one.")] = None,
    database: DatabaseOption = None,
    keys: KeysOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge dead letters again, after an upgrade: what is understood now becomes a fact, and its station is told."""
    import getpass
    from random import SystemRandom

    from agent.clock import clock_from_environment
    from headoffice.keys import SIGNING_FILE, load_keys
    from headoffice.replay import Orders, replay

    orders: Orders | None = None
    if keys is not None or (state is not None and (keys_folder(None, state) / SIGNING_FILE).exists()):
        orders = Orders(load_keys(keys_folder(keys, state)), getpass.getuser(), SystemRandom())
    now_ms = clock_from_environment().wall_ms()
    done = replay(open_database(database, state), now_ms, reason=reason, number=number, orders=orders)
    told = {"facts": done.facts, "duplicates": done.duplicates, "still_dead": done.still_dead}
    show_fields({**told, "commands": None if orders is None else list(done.commands)}, as_json=as_json)
