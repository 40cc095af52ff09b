"""CloudEvents 1.0 structured-mode JSON: payload bytes <-> messages, and batches whose records keep their exact bytes.

Pure. Knows sizes and the envelope; does not judge records (``sync.records``) or batches (``sync.judging``).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, TypeVar

from sync.messages import Batch, Message, MessageError, checked
from sync.records import UNREAD, read_at

MAX_BATCH_PAYLOAD_BYTES = 65_536  # W-11, as sent
MAX_BATCH_RECORDS = 200  # W-11
MAX_PAYLOAD_BYTES = 1_048_576  # nothing larger is read at all (W-10: unpacking stops at 1 MiB)
# Room for the event's own members and the commas: what a publisher keeps free of records in a payload.
BATCH_OVERHEAD_BYTES = 1_280
MAX_BATCH_RECORD_BYTES = MAX_BATCH_PAYLOAD_BYTES - BATCH_OVERHEAD_BYTES
HEAD_OFFICE_SOURCE = "/head-office"

M = TypeVar("M", bound=Message)


class EnvelopeError(ValueError):
    """The payload is not an event of this contract. Nothing is answered; head office raises an alert (W-20).

    ``code``: ``too_large`` (over 1 MiB), ``not_json``, ``not_an_event`` (specversion, source, id or data),
    ``wrong_type``, ``encoding`` (a packing nobody announced), ``bad_data`` (a member of data missing or mistyped).
    """

    def __init__(self, code: str, detail: str) -> None:
        """``code`` as above; ``detail`` for a person."""
        super().__init__(f"{code}: {detail}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Event:
    """The envelope: ``source`` is ``/stations/{station}`` or ``/head-office``; ``id`` never drives logic (W-10)."""

    source: str
    id: str
    type: str
    time: str | None
    data: Any


def station_source(station: str) -> str:
    """``/stations/{station}``."""
    return f"/stations/{station}"


def encode(message: Message, *, source: str, event_id: str, time: str) -> bytes:
    """The payload of any message but a batch. Raises EnvelopeError if it would exceed 1 MiB.

    ``time``: ``format_time``; ``event_id``: unique per source.
    """
    return encode_event(Event(source, event_id, message.TYPE, time, message.to_data()))


def encode_event(event: Event) -> bytes:
    """The payload of an event with any JSON ``data``. Raises EnvelopeError if it exceeds 1 MiB or cannot be JSON."""
    members = {**_members(event.source, event.id, event.type, event.time), "data": event.data}
    try:
        payload = json.dumps(members, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise EnvelopeError("bad_data", f"{event.type} cannot be written as JSON: {error}") from error
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise EnvelopeError("too_large", f"{event.type} of {len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}")
    return payload


def _members(source: str, event_id: str, kind: str, time: str | None) -> dict[str, Any]:
    members: dict[str, Any] = {"specversion": "1.0", "id": event_id, "source": source, "type": kind}
    if time is not None:
        members["time"] = time
    members["datacontenttype"] = "application/json"
    return members


def decode(payload: bytes) -> Event:
    """Read any event. Raises EnvelopeError; never anything else, whatever the bytes."""
    event = _json(_text(payload))
    if not isinstance(event, dict):
        raise EnvelopeError("not_an_event", "the payload is not a JSON object")
    return _event(event)


def decode_as(payload: bytes, kind: type[M]) -> tuple[Event, M]:
    """Read an event that must carry one message class. Raises EnvelopeError (``wrong_type``, ``bad_data`` ...)."""
    event = decode(payload)
    if event.type != kind.TYPE:
        raise EnvelopeError("wrong_type", f"expected {kind.TYPE}, got {event.type[:80]}")
    try:
        return event, kind.from_data(event.data)
    except MessageError as error:
        raise EnvelopeError("bad_data", str(error)) from error


def _text(payload: bytes) -> str:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise EnvelopeError("too_large", f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}")
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EnvelopeError("not_json", f"not UTF-8 at byte {error.start}") from error


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_SKIPPER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_no_constant)  # no number stops a slice


def _json(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise EnvelopeError("not_json", f"{type(error).__name__}: {str(error)[:120]}") from error


def _event(members: dict[str, Any]) -> Event:
    if members.get("specversion") != "1.0":
        raise EnvelopeError("not_an_event", "specversion is not 1.0")
    for name in ("source", "id", "type"):
        if not isinstance(members.get(name), str) or not members[name]:
            raise EnvelopeError("not_an_event", f"{name} is not a text")
    time = members.get("time")
    if time is not None and not isinstance(time, str):
        raise EnvelopeError("not_an_event", "time is not a text")
    if "fcenc" in members or "data_base64" in members:
        raise EnvelopeError("encoding", f"fcenc {str(members.get('fcenc'))[:32]} was never accepted by this end")
    if "data" not in members:
        raise EnvelopeError("not_an_event", "data is missing")
    return Event(members["source"], members["id"], members["type"], time, members["data"])


def batch_event_id(batch: Batch) -> str:
    """``incarnation:stream:first_seq-last_seq``."""
    return f"{batch.incarnation}:{batch.stream}:{batch.first_seq}-{batch.last_seq}"


def encode_batch(batch: Batch, *, source: str, time: str) -> bytes:
    """The payload of a batch; ``records[]`` holds exactly the given bytes (W-03).

    Raises EnvelopeError ``too_large`` over 65,536 bytes or 200 records, ``bad_data`` for an empty batch or no hashes.
    """
    if not 1 <= len(batch.records) <= MAX_BATCH_RECORDS:
        raise EnvelopeError("too_large", f"{len(batch.records)} records, from 1 to {MAX_BATCH_RECORDS}")
    if batch.prev_hash is None or batch.last_hash is None:
        raise EnvelopeError("bad_data", "a batch travels with both of its hashes")
    event = json.dumps(_members(source, batch_event_id(batch), Batch.TYPE, time), separators=(",", ":")).encode()
    data = json.dumps(
        {
            "install_id": batch.install_id,
            "incarnation": batch.incarnation,
            "stream": batch.stream,
            "first_seq": batch.first_seq,
            "prev_hash": batch.prev_hash.hex(),
            "last_hash": batch.last_hash.hex(),
        },
        separators=(",", ":"),
    ).encode()
    payload = b"".join(
        (event[:-1], b',"data":', data[:-1], b',"records":[', b",".join(batch.records), b"]}}"),
    )
    if len(payload) > MAX_BATCH_PAYLOAD_BYTES:
        raise EnvelopeError("too_large", f"a batch of {len(payload)} bytes, at most {MAX_BATCH_PAYLOAD_BYTES}")
    return payload


def decode_batch(payload: bytes) -> tuple[Event, Batch]:
    """Read a batch; its records are the raw slices of the payload, byte for byte (W-03).

    Raises EnvelopeError where W-20 answers nothing: over 1 MiB, not JSON, another type or specversion, an unknown
    install_id, incarnation or stream. A payload over 65,536 bytes is read, so that it can be refused by name.
    The returned event's ``data`` lacks ``records``.
    """
    text = _text(payload)
    try:
        members, slices = _slice(text)
    except (ValueError, IndexError, RecursionError, StopIteration) as error:
        raise EnvelopeError("not_json", f"{type(error).__name__}: {str(error)[:120]}") from error
    event = _event(members)
    if event.type != Batch.TYPE:
        raise EnvelopeError("wrong_type", f"expected {Batch.TYPE}, got {event.type[:80]}")
    try:
        data = checked(Batch.SHAPE, event.data, Batch.TYPE)
    except MessageError as error:
        raise EnvelopeError("bad_data", str(error)) from error
    if slices is None:
        raise EnvelopeError("bad_data", "records is not an array")
    batch = Batch(
        install_id=data["install_id"],
        incarnation=data["incarnation"],
        stream=data["stream"],
        first_seq=data["first_seq"],
        prev_hash=_hash(data.get("prev_hash")),
        records=tuple(raw for raw, _ in slices),
        last_hash=_hash(data.get("last_hash")),
        payload_bytes=len(payload),
        values=tuple(value for _, value in slices),
    )
    return event, batch


_HASH = re.compile("[0-9a-f]{64}")


def _hash(value: object) -> bytes | None:
    return bytes.fromhex(value) if isinstance(value, str) and _HASH.fullmatch(value) else None


# --- the slicer: walks event -> data -> records by hand, lets the JSON scanner step over every other value -----------

_SPACE = re.compile(r"[ \t\n\r]*")
_MARK = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_CLOSING = {"[": "]", "{": "}"}


_Slices = tuple[tuple[bytes, object], ...]
"""Bytes of the items of an array, and what was found in them, UNREAD where it could be in no record."""


def _slice(text: str) -> tuple[dict[str, Any], _Slices | None]:
    slices: list[_Slices] = []

    def read_data(at: int) -> tuple[Any, int]:
        if text[at] != "{":
            return _DECODER.raw_decode(text, at)
        return _object(text, at, {"records": read_records})

    def read_records(at: int) -> tuple[Any, int]:
        if text[at] != "[":
            return _DECODER.raw_decode(text, at)
        found, after = _array_slices(text, at)
        slices.append(found)
        return None, after

    start = _skip_space(text, 0)
    if text[start] != "{":
        raise ValueError("the payload is not a JSON object")
    members, end = _object(text, start, {"data": read_data})
    if _skip_space(text, end) != len(text):
        raise ValueError("something follows the event")
    if isinstance(members.get("data"), dict):
        members["data"].pop("records", None)
    return members, slices[0] if slices else None


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None, "the pattern matches the empty text"
    return match.end()


def _object(text: str, at: int, readers: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Read an object at ``{``; members named in ``readers`` are read by their own function. Doubles are refused."""
    members: dict[str, Any] = {}
    at = _skip_space(text, at + 1)
    if text[at] == "}":
        return members, at + 1
    while True:  # every round consumes at least four characters of a bounded text
        if text[at] != '"':
            raise ValueError("a member name is expected")
        name, at = _DECODER.raw_decode(text, at)
        if name in members:
            raise ValueError(f"the member {name[:40]} stands twice")
        at = _skip_space(text, at)
        if text[at] != ":":
            raise ValueError("a colon is expected")
        at = _skip_space(text, at + 1)
        members[name], at = readers.get(name, lambda place: _DECODER.raw_decode(text, place))(at)
        at = _skip_space(text, at)
        if text[at] == "}":
            return members, at + 1
        if text[at] != ",":
            raise ValueError("a comma or a closing brace is expected")
        at = _skip_space(text, at + 1)


def _array_slices(text: str, at: int) -> tuple[_Slices, int]:
    """Every item of the array at ``[``, without the white space between them."""
    found: list[tuple[bytes, object]] = []
    at = _skip_space(text, at + 1)
    if text[at] == "]":
        return (), at + 1
    while True:  # every round consumes at least one character of a bounded text
        value, end = _value_at(text, at)
        found.append((text[at:end].encode(), value))
        at = _skip_space(text, end)
        if text[at] == "]":
            return tuple(found), at + 1
        if text[at] != ",":
            raise ValueError("a comma or a closing bracket is expected")
        at = _skip_space(text, at + 1)


def _value_at(text: str, at: int) -> tuple[object, int]:
    try:
        return read_at(text, at)
    except (ValueError, RecursionError):
        return UNREAD, _end_of_value(text, at)


def _end_of_value(text: str, at: int) -> int:
    try:
        end: int = _SKIPPER.raw_decode(text, at)[1]
    except RecursionError:
        return _end_of_deep_value(text, at)
    return end


def _end_of_deep_value(text: str, at: int) -> int:
    """Brackets only: a record nested too deeply to read still has a place in the chain, and becomes a dead letter."""
    open_marks: list[str] = []
    for match in _MARK.finditer(text, at):
        mark = match[0]
        if mark in _CLOSING:
            open_marks.append(_CLOSING[mark])
        elif mark in ("]", "}"):
            if not open_marks or open_marks.pop() != mark:
                raise ValueError("brackets do not match")
            if not open_marks:
                return match.end()
    raise ValueError("a bracket is never closed")
