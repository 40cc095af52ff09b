"""One journal record and its canonical bytes, the hash chain over them, and the judging of bytes that arrive.

Pure. Knows no batch, no topic and no clock; ids and times come in as arguments.
"""

from __future__ import annotations

import calendar
import hashlib
import json
import re
import time as _time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import rfc8785

from sync.plainrecords import read_plain
from sync.recordtypes import INCARNATION_TYPE, STREAMS, TYPES, type_defect
from sync.shapes import BOOT, CLOCK, COUNT, INCARNATION, MAX_INT, STATION, TIME, ULID

MAX_RECORD_BYTES = 16_384  # W-02: enforced in the writing transaction
HASH_BYTES = 32
_MAX_NUMBER_CHARS = 17  # "-9007199254740991" is the longest allowed number; longer ones are never converted

REJECT_REASONS = (
    "unknown_type",
    "newer_major",
    "not_canonical",
    "bad_number",
    "bad_data",
    "wrong_stream",
    "wrong_seq",
    "not_an_object",
    "too_large",
    "overlap",
    "bad_interval",
)


class RecordError(ValueError):
    """Our own end tried to write a record that the contract forbids: a bug in the caller, never a fault of the world.

    Example scenarios: a float in ``data``; a type written to another stream; a record over 16 KiB.
    """


class _ForbiddenNumber(ValueError):
    """A number that is not a plain integer within 2^53-1."""


@dataclass(frozen=True, slots=True)
class Record:
    """One fact as it travels. ``time``, ``boot``, ``mono_ms`` and ``clock`` are None where they arrived defective."""

    seq: int
    id: str
    type: str
    time: str | None
    boot: str | None
    mono_ms: int | None
    clock: str | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A record that is understood. ``flags``: what it is stored with (``bad_time``, ``first_not_incarnation`` ...)."""

    record: Record
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record for the dead letters. ``reason`` is one of REJECT_REASONS; ``detail`` says where, for a person."""

    reason: str
    detail: str = ""


def _int(text: str) -> int:
    if len(text) > _MAX_NUMBER_CHARS or text == "-0":
        raise _ForbiddenNumber(text[:_MAX_NUMBER_CHARS])
    number = int(text)
    if not -MAX_INT <= number <= MAX_INT:
        raise _ForbiddenNumber(text)
    return number


def _no_float(text: str) -> float:
    raise _ForbiddenNumber(text[:_MAX_NUMBER_CHARS])


_DECODER = json.JSONDecoder(parse_int=_int, parse_float=_no_float, parse_constant=_no_float)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
# RFC 8785 sorts names by UTF-16 units. Below U+E000 that is the order of code points, which the built-in encoder uses.
_BEYOND_U_E000 = re.compile(rb"[\xee-\xff]")


def canonical(value: Mapping[str, Any]) -> bytes:
    """The RFC 8785 bytes of an object of texts, integers, truth values, nulls, arrays and objects.

    Raises RecordError for a float, an integer beyond 2^53-1, a lone surrogate, or a value JSON cannot hold.
    """
    return _written(dict(value))[0]


def _written(value: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """Return the canonical bytes of an object and what a reader finds in them."""
    plain = _is_plain(value)
    try:
        text = _ENCODER.encode(value)
        raw = text.encode()
        if len(raw) != len(text) and _BEYOND_U_E000.search(raw):
            raw = rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, ValueError, TypeError, RecursionError) as error:
        raise RecordError(f"cannot be written as canonical JSON: {error}") from error
    return raw, value if plain else json.loads(raw)


def _is_plain(value: dict[str, Any]) -> bool:
    """Whether a reader finds exactly these values: no tuple, no integer with a name.

    Raises RecordError for what JSON in general allows and this contract forbids. Bounded by the value's own size.
    """
    waiting: list[object] = [value]
    plain = True
    while waiting:
        item = waiting.pop()
        kind = type(item)
        if kind is str or item is None:
            continue
        plain = plain and kind in _PLAIN
        if isinstance(item, int):
            if not -MAX_INT <= item <= MAX_INT:
                raise RecordError(f"an integer beyond 2^53-1: {item}")
        elif isinstance(item, dict):
            for name in item:
                if not isinstance(name, str):
                    raise RecordError("the name of a member is not a text")
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        elif isinstance(item, float):
            raise RecordError(f"floats are forbidden in records: {item!r}; use integers with the unit in the name")
    return plain


_PLAIN = frozenset({int, bool, dict, list})


def _is_canonical(raw: bytes, value: dict[str, Any]) -> bool:
    if _is_plainly_canonical(raw, value):
        return True
    try:
        if _BEYOND_U_E000.search(raw) is None:
            return _ENCODER.encode(value).encode() == raw
        return rfc8785.dumps(value) == raw
    except (UnicodeEncodeError, rfc8785.CanonicalizationError, RecursionError):
        return False


def _is_plainly_canonical(raw: bytes, value: dict[str, Any]) -> bool:
    """Whether bytes are canonical because nothing in them could be written otherwise; cheaper than writing them anew.

    Numbers are integers as read. Without a backslash or white space, only the order of names is left to choose, and a
    name that stood twice: then more texts stand in the bytes than in the value, and every text has two quotes.
    """
    if _PLAIN_BYTES.fullmatch(raw) is None:
        return False
    texts = 0
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        if type(item) is dict:
            names = list(item)
            if names != sorted(names):
                return False
            texts += len(names)
            item = item.values()
        for inner in item:
            kind = type(inner)
            if kind is str:
                texts += 1
            elif kind is dict or kind is list:
                waiting.append(inner)
    return raw.count(b'"') == 2 * texts


_PLAIN_BYTES = re.compile(rb"[!-\[\]-\x7e]*")
"""No white space, no backslash, nothing but ASCII."""


class Unread:
    """Stands for the value of bytes that nobody has read yet."""


UNREAD = Unread()


@dataclass(frozen=True, slots=True)
class Recognised:
    """The value of bytes that are canonical and of a type's shape; seq and stream are still to be judged."""

    value: dict[str, Any]


def read_at(text: str, at: int) -> tuple[object, int]:
    """Read the JSON value at a place of a text as a record is read; return it, or ``Recognised``, and where it ends.

    Raises ValueError or RecursionError where no record could hold it, or where no JSON value stands.
    """
    plain = read_plain(text, at)
    return _DECODER.raw_decode(text, at) if plain is None else (Recognised(plain[0]), plain[1])


def _parse(raw: bytes, value: object) -> dict[str, Any] | Rejected:
    if len(raw) > MAX_RECORD_BYTES:
        return Rejected("too_large", f"{len(raw)} bytes, at most {MAX_RECORD_BYTES}")
    try:
        if value is UNREAD:
            value = _DECODER.decode(raw.decode("utf-8"))
    except _ForbiddenNumber as error:
        return Rejected("bad_number", f"forbidden number {error}")
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        return Rejected("not_canonical", f"not readable as JSON: {type(error).__name__}")
    if not isinstance(value, dict):
        return Rejected("not_an_object", f"a record is an object, not {type(value).__name__}")
    if not _is_canonical(raw, value):
        return Rejected("not_canonical", "the bytes are not the RFC 8785 form of their content")
    return value


def check_record(raw: bytes, expected_seq: int, stream: str, value: object = UNREAD) -> Accepted | Rejected:
    """Judge one record slice as head office does (W-02, W-05, W-20, W-23). Never raises, whatever the bytes.

    ``expected_seq`` is first_seq plus the place in the batch; ``value``: what ``read_at`` found in these bytes, where
    somebody has read them. A defect in ``time``, ``boot``, ``mono_ms`` or ``clock`` is a flag, a defect anywhere else a
    dead letter.
    """
    if type(value) is Recognised:
        if _stands(value.value, len(raw), expected_seq, stream):
            return Accepted(Record(**value.value))
        value = UNREAD
    found = _parse(raw, value)
    return found if isinstance(found, Rejected) else _judged(found, expected_seq, stream)


def _stands(value: dict[str, Any], size: int, expected_seq: int, stream: str) -> bool:
    """Whether a recognised record may stand at its place without a flag; the first of a chain is judged at length."""
    is_there = value["seq"] == expected_seq and TYPES[value["type"]].stream == stream
    return is_there and expected_seq > 1 and size <= MAX_RECORD_BYTES


def _judged(value: dict[str, Any], expected_seq: int, stream: str) -> Accepted | Rejected:
    """Judge what stands in canonical bytes."""
    rejected = _defect(value, expected_seq, stream)
    if rejected is not None:
        return rejected
    flags = _flags(value, stream)
    record = Record(
        seq=value["seq"],
        id=value["id"],
        type=value["type"],
        time=None if "bad_time" in flags else value["time"],
        boot=None if "bad_boot" in flags else value["boot"],
        mono_ms=None if "bad_mono_ms" in flags else value["mono_ms"],
        clock=None if "bad_clock" in flags else value["clock"],
        data=value["data"],
    )
    return Accepted(record, tuple(flags))


def _defect(value: dict[str, Any], expected_seq: int, stream: str) -> Rejected | None:
    if type(value.get("seq")) is not int or value["seq"] != expected_seq:
        return Rejected("wrong_seq", f"expected seq {expected_seq}")
    name = value.get("type")
    wrong_type = type_defect(name, stream)
    if wrong_type is not None:
        return Rejected(wrong_type, f"type {str(name)[:80]} on stream {stream}")
    wrong_id = ULID.defect(value.get("id"))
    if wrong_id is not None:
        return Rejected("bad_data", f"id {wrong_id}")
    wrong_data = TYPES[str(name)].data.defect(value.get("data"))
    return None if wrong_data is None else Rejected("bad_data", f"data {wrong_data}")


def _flags(value: dict[str, Any], stream: str) -> list[str]:
    flags: list[str] = []
    if not is_time(value.get("time")):
        flags.append("bad_time")
    for member, shape in (("boot", BOOT), ("mono_ms", COUNT), ("clock", CLOCK)):
        if shape.defect(value.get(member)) is not None:
            flags.append(f"bad_{member}")
    is_incarnation = value["type"] == INCARNATION_TYPE
    if stream == "L" and value["seq"] == 1 and not is_incarnation:
        flags.append("first_not_incarnation")
    if is_incarnation and value["seq"] != 1:
        flags.append("late_incarnation")
    return flags


def make_record(
    *,
    seq: int,
    id: str,  # noqa: A002 - the wire's own member name
    type: str,  # noqa: A002 - the wire's own member name
    time: str,
    boot: str,
    mono_ms: int,
    clock: str,
    data: Mapping[str, Any],
) -> bytes:
    """The canonical bytes of a new record, fixed for ever (W-03).

    ``id``: ULID; ``time``: ``format_time``; ``mono_ms``: CLOCK_BOOTTIME in milliseconds. Raises RecordError where head
    office would dead-letter or flag the record, so a bug stops before it is on disk.
    """
    row = TYPES.get(type)
    if row is None:
        raise RecordError(f"{type} is not in the table of record types")
    raw, written = _written(
        {
            "seq": seq,
            "id": id,
            "type": type,
            "time": time,
            "boot": boot,
            "mono_ms": mono_ms,
            "clock": clock,
            "data": data,
        }
    )
    if len(raw) > MAX_RECORD_BYTES:
        raise RecordError(f"{type} seq {seq}: too_large: {len(raw)} bytes, at most {MAX_RECORD_BYTES}")
    rejected = _defect(written, seq, row.stream)
    if rejected is not None:
        raise RecordError(f"{type} seq {seq}: {rejected.reason}: {rejected.detail}")
    flags = _flags(written, row.stream)
    if flags:
        raise RecordError(f"{type} seq {seq} would be stored with the flags {', '.join(flags)}")
    if COUNT.defect(seq - 1) is not None:
        raise RecordError(f"{type}: a seq starts at 1, not {seq}")
    return raw


def hash_0(station: str, incarnation: str, stream: str) -> bytes:
    """The 32 bytes a chain starts from (W-04). Raises RecordError for a malformed name."""
    for what, wrong in (("station", STATION.defect(station)), ("incarnation", INCARNATION.defect(incarnation))):
        if wrong is not None:
            raise RecordError(f"{what} {wrong}")
    if stream not in STREAMS:
        raise RecordError(f"stream {stream} is not one of L, A, T")
    return hashlib.sha256(b"\0".join((station.encode(), incarnation.encode(), stream.encode()))).digest()


def hash_next(previous: bytes, seq: int, raw: bytes) -> bytes:
    """``SHA-256(previous || seq as 8 bytes big-endian || raw)``: the hash of record ``seq`` (W-04)."""
    assert len(previous) == HASH_BYTES, "a hash is 32 raw bytes"
    return hashlib.sha256(previous + seq.to_bytes(8, "big") + raw).digest()


def chain(previous: bytes, first_seq: int, raws: Sequence[bytes]) -> tuple[bytes, ...]:
    """The hash of every record of a run that starts at ``first_seq`` after ``previous``."""
    hashes: list[bytes] = []
    for place, raw in enumerate(raws):
        previous = hash_next(previous, first_seq + place, raw)
        hashes.append(previous)
    return tuple(hashes)


@lru_cache(maxsize=64)  # all records of one transaction are of one instant
def format_time(unix_ms: int) -> str:
    """``YYYY-MM-DDTHH:MM:SS.mmmZ`` in UTC for Unix milliseconds. Raises RecordError outside the years 1 to 9999."""
    seconds, milliseconds = divmod(unix_ms, 1000)
    try:
        moment = _time.gmtime(seconds)
    except (OverflowError, ValueError, OSError) as error:
        raise RecordError(f"not a time of the years 1 to 9999: {unix_ms} ms") from error
    if not 1 <= moment.tm_year <= 9999:
        raise RecordError(f"not a time of the years 1 to 9999: {unix_ms} ms")
    return (
        f"{moment.tm_year:04}-{moment.tm_mon:02}-{moment.tm_mday:02}"
        f"T{moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02}.{milliseconds:03}Z"
    )


def parse_time(text: str) -> int:
    """Unix milliseconds of ``YYYY-MM-DDTHH:MM:SS.mmmZ``. Raises RecordError for another text or an impossible date."""
    if TIME.defect(text) is not None:
        raise RecordError(f"not a time of the form YYYY-MM-DDTHH:MM:SS.mmmZ: {text!r:.60}")
    try:
        moment = _time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")
    except ValueError as error:
        raise RecordError(f"not a date of the calendar: {text}") from error
    if moment.tm_sec > 59:
        raise RecordError(f"leap seconds do not travel: {text}")
    return calendar.timegm(moment) * 1000 + int(text[20:23])


_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def is_time(value: object) -> bool:
    """Whether a value is a well-formed time; cheap, since every record of every batch is asked."""
    if not isinstance(value, str) or TIME.defect(value) is not None:
        return False
    year, month, day = int(value[:4]), int(value[5:7]), int(value[8:10])
    if not (year >= 1 and 1 <= month <= 12 and 1 <= day <= _DAYS[month - 1]):
        return False
    if month == 2 and day == 29 and not calendar.isleap(year):
        return False
    return int(value[11:13]) < 24 and int(value[14:16]) < 60 and int(value[17:19]) < 60
