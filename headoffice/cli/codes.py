"""``forecourt-hq codes``: keys of member codes, the set that stations check by, codes and printed cards."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headoffice.cli.options import (
    DatabaseOption,
    JsonOption,
    KeysOption,
    StateOption,
    keys_folder,
    open_database,
)
from headoffice.cli.output import show_fields, show_rows
from headoffice.errors import UsageError, fault

if TYPE_CHECKING:
    from agent.domain.codes.keyset import KeySet, Purpose
    from agent.domain.codes.token import Claims
    from headoffice.store.database import Database

codes = typer.Typer(help="Member codes: keys, the published key set, codes and printed cards.", no_args_is_help=True)

PurposeOption = Annotated[str, typer.Option("--purpose", help="dynamic (phones) or printed (cards).")]
KidArgument = Annotated[str, typer.Argument(help="Id of the key in hex, from `codes list`.")]
EVERY_S = 60
"""A phone that fetches several codes gets one for each minute."""

SERIAL_BYTES = 8
"""Nobody guesses a neighbour, and two are never the same."""

DAY_S = 86_400
CARDS_FILE = "cards.csv"


@codes.command("keygen")
def keygen(
    purpose: PurposeOption,
    kid: Annotated[str | None, typer.Option("--kid", help="Its id in hex; the next free one by default.")] = None,
    database: DatabaseOption = None,
    keys: KeysOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key for member codes, good from now on; `codes publish` hands its public half out."""
    from headoffice import codes as room

    key = room.make_key(
        open_database(database, state, migrate=True),
        keys_folder(keys, state),
        _purpose(purpose),
        secrets.token_bytes(32),
        now_s=_now_ms() // 1000,
        kid=None if kid is None else room.serial_of(kid),
    )
    file = keys_folder(keys, state) / room.FOLDER / f"{key.kid.hex()}.json"
    show_fields({"kid": key.kid.hex(), "purpose": key.purpose.value, "file": str(file)}, as_json=as_json)


@codes.command("list")
def listed(database: DatabaseOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List the published keys: what stations check member codes by."""
    from headoffice.codes import current

    found = current(open_database(database, state))
    rows = [
        {
            "kid": key.kid.hex(),
            "purpose": key.purpose.value,
            "status": key.status.value,
            "not_before": _day(key.not_before_s),
            "not_after": _day(key.not_after_s),
            "cards_withdrawn": sum(kid == key.kid for kid, _ in found.revoked_cards),
            "version": found.version,
        }
        for key in found.keys.values()
    ]
    columns = ["kid", "purpose", "status", "not_before", "not_after", "cards_withdrawn", "version"]
    show_rows(rows, columns, as_json=as_json, empty="no key set is published")


@codes.command("publish")
def publish(
    database: DatabaseOption = None,
    keys: KeysOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hand out the public halves of all keys; stations put a new set in force at once."""
    from headoffice import codes as room

    opened = open_database(database, state, migrate=True)
    _show_set(room.publish(opened, keys_folder(keys, state), _now_ms()), as_json=as_json)


@codes.command("rotate")
def rotate(
    purpose: PurposeOption,
    database: DatabaseOption = None,
    keys: KeysOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make and publish the next key: it signs in 45 days, the present one ends when its last code has."""
    from headoffice import codes as room

    opened, now_ms = open_database(database, state, migrate=True), _now_ms()
    new = room.rotate(opened, keys_folder(keys, state), _purpose(purpose), secrets.token_bytes(32), now_ms=now_ms)
    version = room.current(opened).version
    told = {"version": version, "kid": new.kid.hex(), "signs_from": _day(new.not_before_s)}
    show_fields(told, as_json=as_json)


@codes.command("revoke")
def revoke(
    kid: KidArgument, database: DatabaseOption = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """Let no station believe a key any more; for good: every code by it is refused."""
    from headoffice import codes as room

    _show_set(room.revoke_key(open_database(database, state), room.serial_of(kid), _now_ms()), as_json=as_json)


@codes.command("revoke-card")
def revoke_card(
    kid: KidArgument,
    serial: Annotated[list[str], typer.Argument(help="Serial of the card in hex; several may be given.")],
    database: DatabaseOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraw printed cards, for good."""
    from headoffice import codes as room

    serials = [room.serial_of(text) for text in serial]
    done = room.revoke_cards(open_database(database, state), room.serial_of(kid), serials, _now_ms())
    _show_set(done, as_json=as_json)


@codes.command("issue")
def issue(
    member: Annotated[str, typer.Option("--member", help="Member id, 16 hex digits.")],
    life_s: Annotated[int, typer.Option("--life-s", min=1, max=120, help="Seconds until a code ends.")] = 120,
    count: Annotated[
        int, typer.Option("--count", min=1, max=30, help="So many, each a minute later than the one before.")
    ] = 1,
    database: DatabaseOption = None,
    keys: KeysOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign codes for a member's phone, as the app asks for them. Whoever has the text has the code."""
    from agent.domain.codes.keyset import Purpose
    from headoffice import codes as room

    opened, now_s = open_database(database, state), _now_ms() // 1000
    _check_members(opened, [member])
    ends_s = [now_s + life_s + EVERY_S * number for number in range(count)]
    made = room.issue(
        opened,
        keys_folder(keys, state),
        Purpose.DYNAMIC,
        member,
        now_s=now_s,
        ends_s=ends_s,
        serial=lambda: secrets.token_bytes(4),
    )
    rows = [_row(claims, text) for claims, text in made]
    show_rows(rows, ["serial", "expires_at", "text"], as_json=as_json, empty="none")


@codes.command("printed-cards")
def printed_cards(
    out: Annotated[Path, typer.Option("--out", help="An empty or new folder: cards.csv and one picture each.")],
    member: Annotated[list[str] | None, typer.Option("--member", help="Member id; several may be given.")] = None,
    members_file: Annotated[Path | None, typer.Option("--members", help="A file with one member id a line.")] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=1_096, help="How long a card is good.")] = 1_096,
    png: Annotated[bool, typer.Option("--png", help="Pictures as PNG instead of SVG.")] = False,
    database: DatabaseOption = None,
    keys: KeysOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a printed card for each member: a list and a QR code each. They earn only; revoke-card withdraws one."""
    from agent.domain.codes.keyset import Purpose
    from headoffice import codes as room

    opened, now_s = open_database(database, state), _now_ms() // 1000
    wanted = [*(member or ()), *_lines(members_file)]
    _check_members(opened, wanted)
    made = [
        row
        for one in wanted
        for row in room.issue(
            opened,
            keys_folder(keys, state),
            Purpose.PRINTED,
            one,
            now_s=now_s,
            ends_s=[now_s + days * DAY_S],
            serial=lambda: secrets.token_bytes(SERIAL_BYTES),
        )
    ]
    _write_cards(out, made, png=png)
    show_fields({"cards": len(made), "folder": str(out), "list": str(out / CARDS_FILE)}, as_json=as_json)


def _write_cards(out: Path, made: list[tuple[Claims, str]], *, png: bool) -> None:
    """Write the pictures, then the list: it stands for a whole batch. Readable by the owner only."""
    from agent.qr import NotDrawable, draw
    from headoffice.keys import write_private

    lines = ["serial,kid,member,expires_at,text"]
    try:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        for claims, text in made:
            drawing = draw(text)
            picture = drawing.png() if png else drawing.svg()
            write_private(out / f"{claims.cti.hex()}.{'png' if png else 'svg'}", picture)
            row = _row(claims, text)
            lines.append(f'{row["serial"]},{row["kid"]},{row["member"]},{row["expires_at"]},"{text}"')
        write_private(out / CARDS_FILE, "\n".join(lines).encode() + b"\n")
    except FileExistsError as error:
        raise UsageError(f"{error.filename} is there already", hint="name an empty folder with --out") from error
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}", hint="name another folder with --out") from error
    except NotDrawable as error:
        raise UsageError(str(error), hint=error.hint) from error


def _row(claims: Claims, text: str) -> dict[str, Any]:
    return {
        "kid": claims.kid.hex(),
        "member": claims.member_hex,
        "serial": claims.cti.hex(),
        "expires_at": _moment(claims.exp_s),
        "text": text,
    }


def _lines(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        return file.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        hint = "name a text file with one member id of 16 hex digits a line"
        raise UsageError(f"cannot read {file}: {fault(error)}", hint=hint) from error


def _check_members(database: Database, wanted: list[str]) -> None:
    """A code for nobody would be accepted everywhere and settle for no one."""
    from headoffice.store.members import known

    if not wanted:
        raise UsageError("nobody is named", hint="give --member ID or --members FILE")
    with database.read() as connection:
        missing = [one for one in wanted if not known(connection, one.lower())]
    if missing:
        hint = "ids have 16 hex digits; forecourt-hq members import FILE makes members known"
        raise UsageError(f"{len(missing)} of {len(wanted)} members are unknown: {missing[0]}", hint=hint)


def _show_set(found: KeySet, *, as_json: bool) -> None:
    told = {"version": found.version, "keys": len(found.keys), "cards_withdrawn": len(found.revoked_cards)}
    show_fields(told, as_json=as_json)


def _purpose(text: str) -> Purpose:
    from agent.domain.codes.keyset import Purpose

    try:
        return Purpose(text)
    except ValueError as error:
        raise UsageError(f"--purpose {text} is no purpose", hint="write dynamic or printed") from error


def _now_ms() -> int:
    from agent.clock import clock_from_environment

    return clock_from_environment().wall_ms()


def _day(seconds: int) -> str:
    return _moment(seconds)[:10]


def _moment(seconds: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
