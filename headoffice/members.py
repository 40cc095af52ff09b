"""Reads member files and turns people into what stations may know: opaque id, keyed indexes, mask, tier, tags, points.

Plain phone, card and plate numbers exist only between the line of the file and the index; they are not stored.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from agent.domain.identity import (
    IndexKind,
    blind_index,
    mask_card,
    mask_name,
    mask_phone,
    normalise_phone,
    normalise_plate,
)
from headoffice.cards import KEY, UID, CardMaker
from headoffice.errors import ImportProblem
from headoffice.store import members as store
from headoffice.store.database import Database, Transaction
from headoffice.store.enrolments import became, forget, is_provisional
from headoffice.telling import imported
from sync.messages import RecordError, canonical

COLUMNS = (
    "member",
    "phone",
    "cards",
    "plates",
    "name",
    "tier",
    "growth",
    "tags",
    "points",
    "expires_on",
    "birthday_md",
    "card_uid",
    "card_key",
)
LISTS = ("cards", "plates", "tags", "card_uid", "card_key")
MAX_LIST = 16
"""Cards, plates or tags of one member: keeps an op far below the 48 KiB of a page."""
MAX_TEXT = 64
MAX_POINTS = 10**12

_MEMBER = re.compile(r"[0-9a-f]{16}")
_DIGITS = re.compile(r"[0-9]{6,32}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,12}")
_BIRTHDAY = re.compile(r"(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")


@dataclass(frozen=True, slots=True)
class Imported:
    """``changed`` of ``read`` members got a new op; ``last_op`` is the newest op id."""

    read: int
    changed: int
    last_op: int


def import_file(
    database: Database,
    path: Path,
    index_key: bytes,
    progress: Callable[[int], None] = lambda _count: None,
    *,
    maker: CardMaker | None = None,
    index_next: bytes | None = None,
) -> Imported:
    """Import a ``.csv`` or ``.jsonl`` file in one transaction: all or nothing; the same file twice changes nothing.

    A member of the file replaces the stored one as a whole; members not in the file stay. ``maker``: closes the keys of
    signing cards, ``None`` for a file without any; ``index_next``: the key that takes the place of ``index_key`` soon.
    Raises ImportProblem.
    """
    cards = CardMaker(index_key) if maker is None else maker
    read = changed = 0
    with database.write() as connection:
        op = store.last_op(connection)
        for line, row in _rows(path):
            body = _body(row, index_key, cards, f"{path.name} line {line}")
            if index_next is not None:
                again = _body(row, index_next, replace(cards, index_key=index_next), f"{path.name} line {line}")
                body["indexes_next"] = again["indexes"]
            try:
                last = _put(connection, body, op)
            except store.IndexTaken as error:
                hint = "remove it from one of the two members and import again; nothing was imported"
                raise ImportProblem(f"{path.name} line {line}: {error}", hint=hint) from error
            except store.MergedAway as error:
                hint = f"write {error.to} in its place, or leave the line out; nothing was imported"
                raise ImportProblem(f"{path.name} line {line}: {error}", hint=hint) from error
            changed += int(last > op)
            op = last
            read += 1
            progress(read)
    return Imported(read, changed, op)


def _put(connection: Transaction, body: dict[str, Any], op: int) -> int:
    """Store a member after op ``op``; one that a station enrolled by the same phone is merged into it. The last op."""
    enrolled = [found for index in body["indexes"] if (found := store.owner(connection, index)) is not None]
    replaced = sorted({one for one in enrolled if one != body["member"] and is_provisional(connection, one)})
    for name in replaced:
        store.give_up(connection, name)
    op += int(store.put(connection, imported(connection, body), op + 1))
    for name in replaced:
        op += 1
        store.merge(connection, name, body["member"], op)
        became(connection, name, body["member"])
    return op


def remove_member(database: Database, member: str) -> bool:
    """Delete a member everywhere: a DEL op travels to the stations; False if there is no such member."""
    with database.write() as connection:
        forget(connection, member)
        return store.remove(connection, member, store.last_op(connection) + 1)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    readers: dict[str, Callable[[Iterable[str], str], Iterator[tuple[int, dict[str, Any]]]]] = {
        ".csv": _csv_rows,
        ".jsonl": _json_rows,
    }
    reader = readers.get(path.suffix)
    if reader is None:
        raise ImportProblem(f"{path.name}: neither .csv nor .jsonl", hint="name the file after what it holds")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from reader(file, path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise ImportProblem(f"cannot read {path}: {error}", hint="the file must be UTF-8 text") from error


def _csv_rows(lines: Iterable[str], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(lines, strict=True)
    try:
        unknown = sorted(set(reader.fieldnames or ()) - set(COLUMNS))
        if unknown or "member" not in (reader.fieldnames or ()):
            raise ImportProblem(
                f"{name}: the first line must name the columns; wrong: {', '.join(unknown) or 'member is missing'}",
                hint=f"columns: {', '.join(COLUMNS)}; only member is required",
            )
        for row in reader:
            if None in row or None in row.values():
                raise ImportProblem(f"{name} line {reader.line_num}: not as many values as columns")
            yield reader.line_num, {key: _csv_value(key, text.strip()) for key, text in row.items() if text.strip()}
    except csv.Error as error:
        raise ImportProblem(f"{name} line {reader.line_num}: {error}") from error


def _csv_value(column: str, text: str) -> Any:
    if column in LISTS:
        return [part.strip() for part in text.split(";") if part.strip()]
    return int(text) if column in ("points", "growth") and _NUMBER.fullmatch(text) else text


def _json_rows(lines: Iterable[str], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ImportProblem(f"{name} line {number}: not JSON: {error}") from error
        if not isinstance(row, dict) or set(row) - set(COLUMNS):
            raise ImportProblem(f"{name} line {number}: an object with members of {', '.join(COLUMNS)} is expected")
        yield number, {key: value for key, value in row.items() if value is not None}


def _body(row: dict[str, Any], index_key: bytes, maker: CardMaker, where: str) -> dict[str, Any]:
    """The wire's object of one member (W-40). ``as_of`` null: the points include no record of any station."""
    member = row.get("member")
    if not isinstance(member, str) or not _MEMBER.fullmatch(member):
        raise ImportProblem(f"{where}: member must be 16 lower-case hex digits")
    phone, cards, plates = _identities(row, where)
    values = [(IndexKind.PHONE, phone)] if phone else []
    values += [(IndexKind.CARD, card) for card in cards] + [(IndexKind.PLATE, plate) for plate in plates]
    told = {column: _list(row, column, where) for column in (UID, KEY) if column in row}
    uid_indexes, card_key = maker.read(told, member, where)
    points = _number(row, "points", where)
    expires_on = _day(row, where)
    body = {
        "member": member,
        "to": None,
        "indexes": [blind_index(index_key, kind, value).hex() for kind, value in values] + uid_indexes,
        "tier": _text(row, "tier", where),
        "growth": _number(row, "growth", where),
        "tags": sorted(set(_list(row, "tags", where))),
        "lots": [{"points": points, "usable_from": None, "expires_on": expires_on}] if points else [],
        "as_of": None,
        "mask": _mask(_text(row, "name", where), phone, cards),
        "birthday_md": _birthday(row, where),
        "tank_l": None,
        "card_key": card_key,
        "flags": [],
    }
    try:
        canonical(body)
    except RecordError as error:
        raise ImportProblem(f"{where}: {error}") from error
    return body


def _identities(row: dict[str, Any], where: str) -> tuple[str | None, list[str], list[str]]:
    phone = None
    told = _text(row, "phone", where)
    if told is not None:
        phone = normalise_phone(told)
        if phone is None:
            raise ImportProblem(f"{where}: phone is not a mobile number", hint="Chinese mobile, or leave it empty")
    cards = _list(row, "cards", where)
    if not all(_DIGITS.fullmatch(card) for card in cards):
        raise ImportProblem(f"{where}: a card number must be 6 to 32 digits")
    plates = [normalise_plate(plate) for plate in _list(row, "plates", where)]
    return phone, sorted(set(cards)), sorted(set(plates))


def _mask(name: str | None, phone: str | None, cards: list[str]) -> str | None:
    """What an attendant reads aloud. Masking a mask changes nothing, so files may hold masks already."""
    parts = [mask_name(name)] if name else []
    if phone:
        parts.append(mask_phone(phone))
    elif cards:
        parts.append(mask_card(cards[0]))
    return " ".join(parts) or None


def _text(row: dict[str, Any], column: str, where: str) -> str | None:
    value = row.get(column)
    if value is not None and not (isinstance(value, str) and 1 <= len(value) <= MAX_TEXT):
        raise ImportProblem(f"{where}: {column} must be a text of 1 to {MAX_TEXT} characters")
    return value


def _list(row: dict[str, Any], column: str, where: str) -> list[str]:
    value = row.get(column, [])
    if not isinstance(value, list) or len(value) > MAX_LIST:
        raise ImportProblem(f"{where}: {column} must be a list of at most {MAX_LIST}")
    if not all(isinstance(item, str) and 1 <= len(item) <= MAX_TEXT for item in value):
        raise ImportProblem(f"{where}: {column} must hold texts of 1 to {MAX_TEXT} characters")
    return value


def _number(row: dict[str, Any], column: str, where: str) -> int | None:
    value = row.get(column)
    if value is not None and (type(value) is not int or not 0 <= value <= MAX_POINTS):
        raise ImportProblem(f"{where}: {column} must be a whole number from 0 to {MAX_POINTS}")
    return value


def _day(row: dict[str, Any], where: str) -> str | None:
    value = _text(row, "expires_on", where)
    try:
        return None if value is None else date.fromisoformat(value).isoformat()
    except ValueError as error:
        raise ImportProblem(f"{where}: expires_on must be a day like 2027-12-31") from error


def _birthday(row: dict[str, Any], where: str) -> str | None:
    value = _text(row, "birthday_md", where)
    if value is not None and not _BIRTHDAY.fullmatch(value):
        raise ImportProblem(f"{where}: birthday_md must be MM-DD; the year is never stored")
    return value
