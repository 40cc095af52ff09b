"""``forecourt codes``: sign a member code with a key file, and tell what a scanned text comes to here and now.

Never prints a text that it checks, and never a whole member id: a screen is seen, and scrollback is kept.
"""

from __future__ import annotations

import json
import re
import secrets
import stat
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from agent.cli.app import app
from agent.cli.talk import DEFAULT_CONFIG, ConfigOption, JsonOption, fail, print_json

if TYPE_CHECKING:
    from agent.domain.codes.fm1 import Instant
    from agent.domain.codes.issuing import CodeKey
    from agent.domain.codes.keyset import KeySet
    from agent.domain.codes.told import Ground
    from agent.qr import Drawing
    from agent.settings import Settings
    from agent.store.code_queries import CodeQueries

T = TypeVar("T")

codes = typer.Typer(help="Member codes: sign one with a key file, check one.", no_args_is_help=True)
app.add_typer(codes, name="codes")

MAX_KEY_BYTES = 1_048_576
MAX_TEXT_BYTES = 4_096
"""More is read of no standard input: the longest code has 157 characters."""

SERIAL_BYTES = 4
_TRUST = {"ntp": "normal", "rtc": "stale", "floor": "floor"}
_DURATION = re.compile(r"([0-9]{1,9})(s|min|h|d)")
_SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}


@codes.command("issue")
def issue(
    key: Annotated[Path, typer.Option("--key", help="Key file, made by `forecourt-hq codes keygen`.")],
    member: Annotated[str, typer.Option("--member", help="Member id, 16 hex digits.")],
    life: Annotated[
        str | None, typer.Option("--life", help="How long it is good: 90s, 365d. Default: longest.")
    ] = None,
    serial: Annotated[str | None, typer.Option("--serial", help="Its serial in hex; a random one by default.")] = None,
    qr: Annotated[
        bool | None, typer.Option("--qr/--no-qr", help="Draw it; by default on a terminal only.", show_default=False)
    ] = None,
    png: Annotated[Path | None, typer.Option("--png", help="Write the QR code to this file.")] = None,
    svg: Annotated[Path | None, typer.Option("--svg", help="Write the QR code to this file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a member code. What it is good for, the key says; whoever has the text has the code."""
    from agent.clock import clock_from_environment
    from agent.crypto import sign_ed25519
    from agent.domain.codes import fm1, issuing

    signing = _key_file(key)
    now_s = clock_from_environment().wall_ms() // 1000
    life_s = fm1.DEFAULT_LIMITS.ttl_s(signing.purpose) if life is None else _duration(life)
    cti = secrets.token_bytes(SERIAL_BYTES) if serial is None else _hex(serial)
    try:
        claims = issuing.claims_of(signing, member, cti, now_s=now_s, exp_s=now_s + life_s)
    except issuing.IssueError as failure:
        fail(str(failure), failure.hint, 2)
    text = fm1.issue(claims, lambda message: sign_ed25519(signing.seed, message))
    wants_picture = sys.stdout.isatty() and not as_json if qr is None else qr
    drawing = _draw(text) if wants_picture or png or svg else None
    if drawing is not None:
        _save(png, drawing.png)
        _save(svg, drawing.svg)
    ends = f"{datetime.fromtimestamp(claims.exp_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
    if as_json:
        told = {"kid": claims.kid.hex(), "purpose": signing.purpose.value, "member": claims.member_hex}
        symbol = None if drawing is None else {"designator": drawing.designator, "mode": drawing.mode}
        print_json({**told, "serial": claims.cti.hex(), "expires_at": ends, "text": text, "qr": symbol})
        return
    if drawing is not None and wants_picture:
        print(drawing.blocks(colours=sys.stdout.isatty()), end="")
    print(text)
    print(f"{signing.purpose.value} code, key {claims.kid.hex()}, serial {claims.cti.hex()}, good until {ends}")


@codes.command("check")
def check(
    text: Annotated[str, typer.Argument(help="What the scanner read; - takes it from standard input.")],
    keys: Annotated[Path | None, typer.Option("--keys", help="A key set file instead of the station's.")] = None,
    database: Annotated[Path | None, typer.Option("--database", help="This database instead of the station's.")] = None,
    clock: Annotated[
        str | None, typer.Option("--clock", help="Trust the clock as ntp, rtc or floor; default: as it is.")
    ] = None,
    at: Annotated[str | None, typer.Option("--at", help="Another moment, such as 2026-11-22T00:00:00Z.")] = None,
    training: Annotated[bool, typer.Option("--training", help="Also believe published test keys.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what a scanned text comes to: outcome, level, claims, times left; 1 where it is refused. Changes nothing."""
    from agent.domain.codes.told import told

    shown = sys.stdin.buffer.read(MAX_TEXT_BYTES).decode("latin-1") if text == "-" else text
    answer = told(shown, _ground(keys, database, config, clock, at, training=training))
    if as_json:
        print_json(answer)
    else:
        _show(answer)
    if not answer["accepted"]:
        raise typer.Exit(1)


def _show(answer: dict[str, Any]) -> None:
    claims, key = answer["claims"], answer["key"]
    print(f"{answer['outcome']}: {answer['message']}")
    if answer["level"] is not None:
        print(f"level     {answer['level']}{', may earn only' if answer['earn_only'] else ''}")
    if claims is not None:
        proof = "" if claims["proven"] else "; nobody has proven this"
        print(f"member    {claims['member']}, serial {claims['serial']}{proof}")
        print(f"good until {claims['expires_at'] or 'never'}, {_left(claims['left_s'])}")
    if key is not None:
        print(f"key       {key['kid']}, {key['purpose']}, {key['status']}, {_left(key['left_s'])}")
    print(
        f"judged    at {answer['clock']['at']}, clock {answer['clock']['trust']}, key set {answer['key_set_version']}"
    )


def _left(seconds: int) -> str:
    days, rest = divmod(abs(seconds), 86_400)
    words = f"{days} d {rest // 3_600} h" if days else f"{rest} s"
    return f"{words} left" if seconds > 0 else f"over for {words}"


def _ground(
    keys: Path | None, database: Path | None, config: Path | None, clock: str | None, at: str | None, *, training: bool
) -> Ground:
    from agent.crypto import verify_ed25519
    from agent.domain.codes.told import Ground
    from agent.domain.identity import DEFAULT_LAYOUTS, CardLayout
    from agent.store.code_queries import CodeQueries

    settings = None if config is None and (keys or database) else _settings(config)
    layouts: tuple[CardLayout, ...] = DEFAULT_LAYOUTS
    path = database
    if settings is not None:
        layouts = tuple(CardLayout(card.prefix, card.length, card.check) for card in settings.loyalty.card)
        training = training or settings.station.mode == "training"
        path = path or (None if keys else settings.store.path)
    queries = None if path is None else CodeQueries(path)
    newest_ms = 0 if queries is None else _asked(queries.newest_ms)
    key_set = _key_set(keys, queries, training=training)
    spent = None if queries is None else lambda key: _asked(partial(queries.is_spent, key))
    return Ground(key_set, _instant(clock, at, newest_ms), layouts, verify_ed25519, spent)


def _settings(config: Path | None) -> Settings:
    from agent.settings import SettingsError, load

    file = config or DEFAULT_CONFIG
    try:
        return load(file)
    except SettingsError as failure:
        hint = "name the station's file with --config, or a key set with --keys FILE"
        fail(f"{file} cannot be used: {failure.faults[0].problem}", hint, 2)


def _asked(question: Callable[[], T]) -> T:
    import sqlite3

    try:
        return question()
    except sqlite3.Error as failure:
        fail(f"the station's database cannot be read: {failure}", "name it with --database, or give --keys FILE", 2)


def _key_set(keys: Path | None, queries: CodeQueries | None, *, training: bool) -> KeySet:
    from agent.domain.codes.keyset import EMPTY, KeySetError, parse

    if keys is not None:
        document = _json(keys)
    else:
        body = None if queries is None else _asked(queries.key_set)
        if body is None:
            return EMPTY
        document = json.loads(body)
    try:
        return parse(document if isinstance(document, dict) else {}, testing=training)
    except KeySetError as failure:
        fail(f"this key set cannot be used: {failure}", "forecourt-hq codes publish makes one", 2)


def _instant(clock: str | None, at: str | None, newest_ms: int) -> Instant:
    from agent.clock import clock_from_environment
    from agent.domain.codes.fm1 import Instant, Trust

    here = clock_from_environment()
    now_ms = here.wall_ms()
    if clock is not None and clock not in _TRUST:
        fail(f"--clock {clock} is no quality of a clock", "write ntp, rtc or floor", 2)
    quality = clock or ("ntp" if at is not None else "floor" if now_ms < newest_ms else here.quality())
    now_s = max(now_ms, newest_ms) // 1000 if at is None else _moment(at)
    return Instant(now_s, Trust(_TRUST.get(quality, "floor")))


def _moment(text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        fail(f"{text!r} is no moment with a time zone", "write it like 2026-11-22T08:00:00Z", 2)
    return int(found.timestamp())


def _key_file(path: Path) -> CodeKey:
    from agent.domain.codes import issuing

    document = _json(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        fail(f"{path} can be read by others", f"chmod 600 {path}", 2)
    try:
        return issuing.read_key(document)
    except issuing.IssueError as failure:
        fail(f"{path}: {failure}", failure.hint, 2)


def _json(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return json.loads(file.read(MAX_KEY_BYTES))
    except OSError as failure:
        fail(f"{path} cannot be read: {failure.strerror}", "name another file", 2)
    except (ValueError, RecursionError):
        fail(f"{path} is no JSON", "name the file as it was made", 2)


def _duration(text: str) -> int:
    match = _DURATION.fullmatch(text)
    if match is None:
        fail(f"{text!r} is no time", "write it like 90s, 5min, 8h or 365d", 2)
    return int(match[1]) * _SECONDS[match[2]]


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        fail(f"{text!r} is no hexadecimal serial", "write 4 to 8 bytes like 0000beef", 2)


def _draw(text: str) -> Drawing:
    from agent.qr import NotDrawable, draw

    try:
        return draw(text)
    except NotDrawable as failure:
        fail(str(failure), f"{failure.hint}; --no-qr prints the text alone", 2)


def _save(path: Path | None, picture: Any) -> None:
    if path is None:
        return
    try:
        path.write_bytes(picture())
    except OSError as failure:
        fail(f"{path} cannot be written: {failure.strerror}", "name another file", 2)
