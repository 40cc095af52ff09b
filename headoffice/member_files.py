"""Reads member files and turns people into what stations may know: opaque id, keyed indexes, mask, tier, tags, points.

Plain phone, card and plate numbers exist only between the line of the file and the index; they are not stored. Knows no
database: every wrong line is found, whatever stands in the others.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
from headoffice.errors import ImportProblem, fault
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
class Line:
    """One line that was read: its number in the file and the wire's object of its member (W-40)."""

    number: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadLine:
    """One line that cannot be taken. ``column``: which value of it, empty where it is the line as a whole."""

    number: int
    column: str
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        return f"line {self.number}: {self.reason}"


class _WrongError(Exception):
    """What is wrong with one line. Example: a phone number of seven digits."""

    def __init__(self, column: str, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.column = column
        self.hint = hint


Read = Callable[[int], None]
"""Told how many bytes of the file were read."""


def read_members(
    path: Path, maker: CardMaker, next_key: bytes | None, told: Read = lambda _bytes: None
) -> Iterator[Line | BadLine]:
    """Read a ``.csv`` or ``.jsonl`` file line by line; ``maker`` has the index key, ``next_key`` follows it.

    Raises ImportProblem where the file as a whole cannot be read.
    """
    for number, row in _rows(path, told):
        if isinstance(row, _WrongError):
            yield BadLine(number, row.column, str(row), row.hint)
            continue
        try:
            body = _body(row, maker)
            if next_key is not None:
                body["indexes_next"] = _body(row, replace(maker, index_key=next_key))["indexes"]
        except _WrongError as wrong:
            yield BadLine(number, wrong.column, str(wrong), wrong.hint)
        else:
            yield Line(number, body)


@contextmanager
def written_lines(path: Path | None) -> Iterator[Callable[[BadLine], None]]:
    """Give what writes wrong lines to a CSV file: line, column, reason. Without a path it keeps nothing.

    Raises ImportProblem where the file cannot be written.
    """
    if path is None:
        yield lambda _line: None
        return
    try:
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise ImportProblem(f"cannot write {path}: {error.strerror}", hint="choose another file") from error
    with file:
        lines = csv.writer(file)
        lines.writerow(("line", "column", "reason"))
        yield lambda line: lines.writerow((line.number, line.column, line.reason))


def _rows(path: Path, told: Read) -> Iterator[tuple[int, dict[str, Any] | _WrongError]]:
    readers: dict[str, Callable[[Iterable[str], str], Iterator[tuple[int, dict[str, Any] | _WrongError]]]] = {
        ".csv": _csv_rows,
        ".jsonl": _json_rows,
    }
    reader = readers.get(path.suffix)
    if reader is None:
        raise ImportProblem(f"{path.name}: neither .csv nor .jsonl", hint="name the file after what it holds")
    try:
        with path.open("rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
            for found in reader(file, path.name):
                told(raw.tell())
                yield found
    except (OSError, UnicodeDecodeError) as error:
        raise ImportProblem(f"cannot read {path}: {fault(error)}", hint="name a file of UTF-8 text") from error


def _csv_rows(lines: Iterable[str], name: str) -> Iterator[tuple[int, dict[str, Any] | _WrongError]]:
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
                yield reader.line_num, _WrongError("", "not as many values as columns")
                continue
            yield reader.line_num, {key: _csv_value(key, text.strip()) for key, text in row.items() if text.strip()}
    except csv.Error as error:
        raise ImportProblem(f"{name} line {reader.line_num}: {error}") from error


def _csv_value(column: str, text: str) -> Any:
    if column in LISTS:
        return [part.strip() for part in text.split(";") if part.strip()]
    return int(text) if column in ("points", "growth") and _NUMBER.fullmatch(text) else text


def _json_rows(lines: Iterable[str], _name: str) -> Iterator[tuple[int, dict[str, Any] | _WrongError]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, _WrongError("", f"not JSON: {error}")
            continue
        if not isinstance(row, dict) or set(row) - set(COLUMNS):
            yield number, _WrongError("", f"an object with members of {', '.join(COLUMNS)} is expected")
            continue
        yield number, {key: value for key, value in row.items() if value is not None}


def _body(row: dict[str, Any], maker: CardMaker) -> dict[str, Any]:
    """The wire's object of one member (W-40). ``as_of`` null: the points include no record of any station."""
    member = row.get("member")
    if not isinstance(member, str) or not _MEMBER.fullmatch(member):
        raise _WrongError("member", "member must be 16 lower-case hex digits")
    phone, cards, plates = _identities(row)
    values = [(IndexKind.PHONE, phone)] if phone else []
    values += [(IndexKind.CARD, card) for card in cards] + [(IndexKind.PLATE, plate) for plate in plates]
    told = {column: _list(row, column) for column in (UID, KEY) if column in row}
    try:
        uid_indexes, card_key = maker.read(told, member, "cards")
    except ImportProblem as problem:
        raise _WrongError(f"{UID}, {KEY}", str(problem), problem.hint) from problem
    points = _number(row, "points")
    expires_on = _day(row)
    body = {
        "member": member,
        "to": None,
        "indexes": [blind_index(maker.index_key, kind, value).hex() for kind, value in values] + uid_indexes,
        "tier": _text(row, "tier"),
        "growth": _number(row, "growth"),
        "tags": sorted(set(_list(row, "tags"))),
        "lots": [{"points": points, "usable_from": None, "expires_on": expires_on}] if points else [],
        "as_of": None,
        "mask": _mask(_text(row, "name"), phone, cards),
        "birthday_md": _birthday(row),
        "tank_l": None,
        "card_key": card_key,
        "flags": [],
    }
    try:
        canonical(body)
    except RecordError as error:
        raise _WrongError("", str(error)) from error
    return body


def _identities(row: dict[str, Any]) -> tuple[str | None, list[str], list[str]]:
    phone = None
    told = _text(row, "phone")
    if told is not None:
        phone = normalise_phone(told)
        if phone is None:
            raise _WrongError("phone", "phone is not a mobile number", "Chinese mobile, or leave it empty")
    cards = _list(row, "cards")
    if not all(_DIGITS.fullmatch(card) for card in cards):
        raise _WrongError("cards", "a card number must be 6 to 32 digits")
    plates = [normalise_plate(plate) for plate in _list(row, "plates")]
    return phone, sorted(set(cards)), sorted(set(plates))


def _mask(name: str | None, phone: str | None, cards: list[str]) -> str | None:
    """What an attendant reads aloud. Masking a mask changes nothing, so files may hold masks already."""
    parts = [mask_name(name)] if name else []
    if phone:
        parts.append(mask_phone(phone))
    elif cards:
        parts.append(mask_card(cards[0]))
    return " ".join(parts) or None


def _text(row: dict[str, Any], column: str) -> str | None:
    value = row.get(column)
    if value is not None and not (isinstance(value, str) and 1 <= len(value) <= MAX_TEXT):
        raise _WrongError(column, f"{column} must be a text of 1 to {MAX_TEXT} characters")
    return value


def _list(row: dict[str, Any], column: str) -> list[str]:
    value = row.get(column, [])
    if not isinstance(value, list) or len(value) > MAX_LIST:
        raise _WrongError(column, f"{column} must be a list of at most {MAX_LIST}")
    if not all(isinstance(item, str) and 1 <= len(item) <= MAX_TEXT for item in value):
        raise _WrongError(column, f"{column} must hold texts of 1 to {MAX_TEXT} characters")
    return value


def _number(row: dict[str, Any], column: str) -> int | None:
    value = row.get(column)
    if value is not None and (type(value) is not int or not 0 <= value <= MAX_POINTS):
        raise _WrongError(column, f"{column} must be a whole number from 0 to {MAX_POINTS}")
    return value


def _day(row: dict[str, Any]) -> str | None:
    value = _text(row, "expires_on")
    try:
        return None if value is None else date.fromisoformat(value).isoformat()
    except ValueError as error:
        raise _WrongError("expires_on", "expires_on must be a day like 2027-12-31") from error


def _birthday(row: dict[str, Any]) -> str | None:
    value = _text(row, "birthday_md")
    if value is not None and not _BIRTHDAY.fullmatch(value):
        raise _WrongError("birthday_md", "birthday_md must be MM-DD; the year is never stored")
    return value
