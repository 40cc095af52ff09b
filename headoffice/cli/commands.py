"""The command group `command`: order something of stations, and see what came of it.

Turns options into the args of a kind; what may be ordered is ``sync.commands``.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

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
from headoffice.cli.output import show_fields, show_json, show_rows
from headoffice.errors import UsageError

command = typer.Typer(help="Signed commands to stations: send, list, show.", no_args_is_help=True)

COLUMNS = ("cmd_id", "station", "kind", "status", "reason", "made_by", "made_ms", "sent_ms", "answered_ms")
_UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_PRICE = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,3}))?")
_WAIT_STEP_S = 0.2
STILL_OPEN = 3
"""The exit code where a station has not answered yet."""


@command.command("send")
def send(
    kind: Annotated[str, typer.Argument(help="What to order, such as set-price or request-snapshot.")],
    station: Annotated[
        list[str] | None, typer.Option("--station", help="Its station; may be given several times.")
    ] = None,
    every: Annotated[
        bool,
        typer.Option("--every-station", help="Every station of the group: a command for each that was ever heard."),
    ] = False,
    valid: Annotated[str, typer.Option("--for", help="How long it may be done: 30m, 24h, 7d.")] = "24h",
    by: Annotated[str | None, typer.Option("--by", help="Who orders it; your login name by default.")] = None,
    grade: Annotated[str | None, typer.Option("--grade", help="set-price: the grade's code.")] = None,
    price: Annotated[str | None, typer.Option("--price", help="set-price: per litre, such as 7.95.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", help="set-price: from when on, with its zone; now by default.")
    ] = None,
    subject: Annotated[str | None, typer.Option("--subject", help="acknowledge-alert: such as tank:1.")] = None,
    alert: Annotated[str | None, typer.Option("--alert", help="acknowledge-alert: the alert's name.")] = None,
    stream: Annotated[str | None, typer.Option("--stream", help="clear-dead-letters: L, A or T.")] = None,
    seq: Annotated[list[int] | None, typer.Option("--seq", help="clear-dead-letters: of which records.")] = None,
    lease: Annotated[str | None, typer.Option("--lease", help="close-out-leases: this one.")] = None,
    member: Annotated[
        str | None, typer.Option("--member", help="close-out-leases: the member's; correct-link: to this member.")
    ] = None,
    campaign: Annotated[str | None, typer.Option("--campaign", help="close-out-leases: the campaign's.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="close-out-leases: every lease.")] = False,
    install: Annotated[str | None, typer.Option("--install", help="lift-fence: the fenced installation.")] = None,
    sale: Annotated[str | None, typer.Option("--sale", help="correct-link: the sale's id.")] = None,
    nobody: Annotated[bool, typer.Option("--nobody", help="correct-link: the sale has no member.")] = False,
    reason: Annotated[str | None, typer.Option("--reason", help="correct-link: why.")] = None,
    wait: Annotated[int, typer.Option("--wait", min=0, help="Wait so many seconds for the results.")] = 0,
    database: DatabaseOption = None,
    keys: KeysOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a command and keep it for its station, which hears it when it is there. 1: refused, 3: no answer in time."""
    from random import SystemRandom

    from agent.clock import clock_from_environment
    from headoffice.commands import Wanted, order
    from headoffice.keys import load_keys

    clock = clock_from_environment()
    name = kind.replace("-", "_")
    given: dict[str, Any] = {"grade": grade, "price": price, "at": at, "subject": subject, "alert": alert}
    given |= {"stream": stream, "seq": seq or None, "lease": lease, "member": member, "campaign": campaign}
    given |= {"all": everything or None, "install": install, "sale": sale, "nobody": nobody or None, "reason": reason}
    args = args_of(name, {option: value for option, value in given.items() if value is not None}, clock.wall_ms())
    if every == bool(station):
        raise UsageError("which stations?", hint="give --station STATION, once for each, or --every-station")
    wanted = Wanted(name, None if every else station, args, getpass.getuser() if by is None else by, duration_ms(valid))
    opened = open_database(database, state)
    random = SystemRandom()
    rows = order(opened, load_keys(keys_folder(keys, state)), wanted, now_ms=clock.wall_ms(), random=random)
    rows, code = _awaited(opened, rows, wait) if wait else (rows, 0)
    show_rows(rows, (*COLUMNS, "result") if wait else COLUMNS, as_json=as_json, empty="nothing was ordered")
    if code:
        raise typer.Exit(code)


@command.command("list")
def listed(
    station: StationOption = None,
    status: Annotated[
        str | None, typer.Option("--status", help="Only these: queued, sent, done, refused, failed, expired.")
    ] = None,
    limit: LimitOption = 50,
    database: DatabaseOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List commands, newest first, and what came of them."""
    from headoffice.store import commands as store

    if status is not None and status not in store.STATUSES:
        raise UsageError(f"no command is {status!r}", hint=f"one of {', '.join(store.STATUSES)}")
    with open_database(database, state).read() as connection:
        rows = store.listed(connection, station=station, status=status, limit=limit)
    show_rows(rows, COLUMNS, as_json=as_json, empty="no commands")


@command.command("results")
def results(
    cmd_id: Annotated[str, typer.Argument(help="The id of one of the commands that were ordered together.")],
    database: DatabaseOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what came of one order at all its stations, and who is silent. 1: one was not done, 3: one is open."""
    from headoffice.store import commands as store

    with open_database(database, state).read() as connection:
        rows = store.together(connection, cmd_id.upper())
    if not rows:
        raise UsageError(f"there is no command {cmd_id}", hint="see `forecourt-hq command list`")
    waiting = [row["station"] for row in rows if row["status"] in store.OPEN]
    if as_json:
        counts = {status: sum(row["status"] == status for row in rows) for status in store.STATUSES}
        show_json({"kind": rows[0]["kind"], **counts, "not_answered": waiting, "commands": rows})
    else:
        show_rows(rows, (*COLUMNS, "result"), as_json=False, empty="")
        print(f"{len(rows) - len(waiting)} of {len(rows)} answered; not yet: {', '.join(waiting) or '-'}")
    if code := _code(rows):
        raise typer.Exit(code)


@command.command("show")
def show(
    cmd_id: Annotated[str, typer.Argument(help="Its id, from `command list`.")],
    database: DatabaseOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one command with its args and its result."""
    from headoffice.store import commands as store

    with open_database(database, state).read() as connection:
        row = store.one(connection, cmd_id.upper())
    if row is None:
        raise UsageError(f"there is no command {cmd_id}", hint="see `forecourt-hq command list`")
    show_fields(row, as_json=as_json)


def args_of(kind: str, given: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """Return the args of a kind from the options that were given. Raises UsageError for missing and for idle ones."""
    from sync.commands import KINDS

    if kind not in KINDS:
        raise UsageError(f"there is no command {kind!r}", hint=f"one of {', '.join(sorted(KINDS))}".replace("_", "-"))
    left = dict(given)
    if kind == "close_out_leases":
        args: dict[str, Any] = _which_leases(left)
    elif kind == "set_price":
        args = {
            "grade": _needed(left, "grade"),
            "unit_price_milli": _milli(_needed(left, "price")),
            "effective_at": _instant(left.pop("at", None), now_ms),
        }
    elif kind == "correct_link":
        args = {"sale": _needed(left, "sale"), "member": _whose(left), "reason": _needed(left, "reason")}
    elif kind == "clear_dead_letters":
        args = {"stream": _needed(left, "stream"), "seqs": _needed(left, "seq")}
    elif kind == "acknowledge_alert":
        args = {"subject": _needed(left, "subject"), "alert": _needed(left, "alert")}
    elif kind == "lift_fence":
        args = {"install_id": _needed(left, "install")}
    else:
        args = {}
    if left:
        raise UsageError(f"{kind} takes no --{next(iter(left))}", hint="nothing was signed")
    return args


def duration_ms(text: str) -> int:
    """Return 30m, 24h or 7d in milliseconds. Raises UsageError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no duration", hint="write it like 30m, 24h or 7d")
    return int(found[1]) * _UNITS_MS[found[2]]


def _needed(left: dict[str, Any], option: str) -> Any:
    if option not in left:
        raise UsageError(f"--{option} is missing", hint="nothing was signed")
    return left.pop(option)


def _which_leases(left: dict[str, Any]) -> dict[str, Any]:
    named = [which for which in ("lease", "member", "campaign", "all") if which in left]
    if len(named) != 1:
        raise UsageError("which leases?", hint="give one of --lease, --member, --campaign and --all")
    value = left.pop(named[0])
    return {"which": named[0], "name": None if named[0] == "all" else value}


def _whose(left: dict[str, Any]) -> str | None:
    nobody, member = left.pop("nobody", False), left.pop("member", None)
    if nobody == (member is not None):
        raise UsageError("whose sale is it?", hint="give either --member ID or --nobody")
    return None if member is None else str(member)


def _milli(text: str) -> int:
    found = _PRICE.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no price per litre", hint="write it like 7.95")
    return int(found[1]) * 1_000 + int((found[2] or "").ljust(3, "0"))


def _instant(text: str | None, now_ms: int) -> str:
    """Return an instant as it travels. Raises UsageError for one without a zone."""
    from sync.records import format_time

    if text is None:
        return format_time(now_ms)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no instant", hint="write it like 2026-11-23T06:00:00+08:00") from error
    if moment.tzinfo is None:
        raise UsageError(f"{text!r} has no zone", hint="write it like 2026-11-23T06:00:00+08:00")
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return format_time(since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000)


def _awaited(database: Any, ordered: list[dict[str, Any]], seconds: int) -> tuple[list[dict[str, Any]], int]:
    """Return the commands when all are answered or the time is up, and the exit code."""
    import time

    from headoffice.store import commands as store

    deadline = time.monotonic() + seconds
    while True:
        with database.read() as connection:
            rows = [row for row in (store.one(connection, one["cmd_id"]) for one in ordered) if row is not None]
        code = _code(rows)
        if code != STILL_OPEN or time.monotonic() >= deadline:
            return rows, code
        time.sleep(_WAIT_STEP_S)


def _code(rows: list[dict[str, Any]]) -> int:
    """Return 0 where all of them are done, 3 where one has no answer yet, else 1."""
    from headoffice.store import commands as store

    if any(row["status"] in store.OPEN for row in rows):
        return STILL_OPEN
    return 0 if all(row["status"] == store.DONE for row in rows) else 1
