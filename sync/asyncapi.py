"""The wire contract as an AsyncAPI 3.0 document for integrators, drawn from the shapes this package reads with.

Pure: knows every message, record type and topic of FC-SYNC/1 and writes YAML text; opens no file and no connection.
``python -m sync.asyncapi > docs/asyncapi.yaml`` publishes it again after a change.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sync import bodies
from sync.commands import ANSWERS, KINDS, CommandClaims
from sync.envelope import HEAD_OFFICE_SOURCE, MAX_BATCH_PAYLOAD_BYTES, MAX_BATCH_RECORDS, MAX_PAYLOAD_BYTES
from sync.group import HeadClaims, MembersDelta
from sync.leasing import LeaseClaims
from sync.messages import MAX_RECORD_BYTES, MAX_REJECTED, REFUSED_CODES, REJECT_REASONS, Ack, Batch, Hello, Welcome
from sync.notices import Command, Head, HoState, Req, Res, Result, State
from sync.profile import Profile
from sync.recordtypes import STREAMS, TYPES
from sync.shapes import (
    BOOT,
    CLOCK,
    COUNT,
    HASH_HEX,
    INCARNATION,
    INSTALL_ID,
    POSITIVE,
    TIME,
    ULID,
    Members,
    Text,
    Word,
)
from sync.signing import ALGORITHM
from sync.topics import BATCH_TOPICS, HO_STATE, ROOT, SHARDS

ASYNCAPI = "3.0.0"
CONTRACT = "1.0.0"  # FC-SYNC/1; types carry their own major version (W-05)
CONTENT_TYPE = "application/cloudevents+json"
STATION_SOURCE_PATTERN = "^/stations/[A-Za-z0-9_-]{1,32}$"
POSTING_MEMBER = Text(16, 16, "[0-9a-f]{16}")
PUT_MUST = ("indexes", "tier", "tags", "lots")  # what a member change of kind PUT may not leave out

_STREAM_WORDS = {
    "L": "ledger, never dropped",
    "A": "alerts, never dropped",
    "T": "telemetry, thinned before it is written",
}

_RECORDS: Mapping[str, str] = {
    "fc.incarnation.v1": "A journal begins; always seq 1 of L. parent names the incarnation it replaces, null if new.",
    "fc.meter.baseline.v1": "Where a nozzle's totalizer stands when booking starts from it; totalizer is `epoch:raw`.",
    "fc.sale.v1": "The fuel fact: volume in ml, unit_price_milli in 1/1000 of the currency's major unit per litre, "
    "amount in minor units, 10^exponent of which are one major unit. No member, no discount, never changed.",
    "fc.sale.linked.v1": "A member was linked to a sale. delay_s: seconds between the end of the sale and the link.",
    "fc.sale.settled.v1": "How a sale was paid: verdict of every offer, discount, points and tenders. Once per sale.",
    "fc.sale.corrected.v1": "A later correction of a sale. Where `what` is link, each posting also has `member`.",
    "fc.points.v1": "Points moved outside a settlement. The postings stand or fall with their record.",
    "fc.member.enrolled.v1": "A member enrolled at the station under a provisional id. Unique per member.",
    "fc.lease.v1": "A lease of points or budget was received, closed out or became void.",
    "fc.tank.delivery.v1": "Fuel was delivered into a tank; unique by (tank, start, start_volume_ml).",
    "fc.shift.v1": "A shift was opened or closed; `nozzles` and `attendants` bring the rows of a close, in parts. "
    "Millilitres, minor units; moved_ml is null where a meter was not read.",
    "fc.stocktake.v1": "A stocktake; members belong to the feature and are not part of the contract yet.",
    "fc.audit.v1": "Who did what, in which role, to which object, why, and with what result.",
    "fc.gap.v1": "A range of records that head office lacks can no longer be sent.",
    "fc.tank.alert.v1": "An alarm of a tank; alert is the gauge's alarm in snake_case, value and limit are in `unit`.",
    "fc.device.alert.v1": "A device is faulty or back.",
    "fc.security.alert.v1": "Something that concerns the safety of the station's data or access.",
    "fc.fraud.alert.v1": "Something a person should look at before believing it.",
    "fc.sync.alert.v1": "Delivery to head office needs a person; also raised for every record head office rejected.",
    "fc.tank.reading.v1": "Values of a tank with their units and quality.",
    "fc.point.reading.v1": "Values of a fuelling point with their units and quality.",
    "fc.health.v1": "Values on the station's own health.",
    "fc.telemetry.thinned.v1": "Telemetry was thinned before it was written: how many readings are missing, and why.",
}


@dataclass(frozen=True, slots=True)
class _Channel:
    """One topic of the contract: who writes it, what travels on it and where the answer comes."""

    key: str
    name: str
    by_station: bool
    type: str
    data: str
    summary: str
    retain: bool = False
    reply: str | None = None

    @property
    def address(self) -> str:
        if self.name.startswith(("up/", "down/")):
            return f"{ROOT}/{{shard}}/s/{{station}}/{self.name}"
        return self.name if self.name == HO_STATE else f"{ROOT}/g/{{group}}/{self.name}"


def _batch(stream: str) -> _Channel:
    summary = (
        f"Records of stream {stream} ({_STREAM_WORDS[stream]}): 1 to {MAX_BATCH_RECORDS}, consecutive, at most "
        f"{MAX_BATCH_PAYLOAD_BYTES} bytes of payload. Answered after head office's commit."
    )
    return _Channel(
        f"batch{stream}", BATCH_TOPICS[stream], True, Batch.TYPE, f"{Batch.TYPE}.{stream}", summary, reply="ack"
    )


CHANNELS: tuple[_Channel, ...] = (
    _Channel(
        "hello",
        "up/hello",
        True,
        Hello.TYPE,
        Hello.TYPE,
        "The station says who it is and what it has; no batch travels before the welcome. Repeated until answered.",
        reply="welcome",
    ),
    _Channel(
        "welcome",
        "down/welcome",
        False,
        Welcome.TYPE,
        Welcome.TYPE,
        "What head office has of each stream; `for` echoes install_id and connect_n of the hello, else it is ignored.",
    ),
    *(_batch(stream) for stream in STREAMS),
    _Channel(
        "ack",
        "down/ack",
        False,
        Ack.TYPE,
        Ack.TYPE,
        "Cumulative: everything up to cum is committed, head_hash is the hash at cum. rejected: every dead letter "
        f"since the acked the station told, at most {MAX_REJECTED}, oldest first; reason is one of "
        f"{', '.join(REJECT_REASONS)}. refused is null or one of {', '.join(REFUSED_CODES)}, then gap is true. "
        "Beside fork gap is false and refused null.",
    ),
    _Channel(
        "state",
        "up/state",
        True,
        State.TYPE,
        State.TYPE,
        "Presence of the station; the last will says lost, with the time it was registered. Within one "
        "(install_id, incarnation) a lower connect_n is ignored.",
        retain=True,
    ),
    _Channel(
        "profile",
        "up/profile",
        True,
        Profile.TYPE,
        Profile.TYPE,
        "What the public may know of the station, a GeoJSON Feature: after every connect and change, at most once a "
        "minute. Unit prices in 1/1000 per litre.",
        retain=True,
    ),
    _Channel(
        "req",
        "up/req",
        True,
        Req.TYPE,
        Req.TYPE,
        "A question of the station; a repeat of req_id gets the first answer. Bodies: body.KIND.request. A kind that "
        "is not offered is answered refused, reason not_offered.",
        reply="res",
    ),
    _Channel(
        "res",
        "down/res",
        False,
        Res.TYPE,
        Res.TYPE,
        f"The answer to a question of kind {', '.join(bodies.KINDS)}. Bodies of status ok: body.KIND.answer. A lease "
        "is a JWS compact over claims.lease.",
    ),
    _Channel(
        "cmd",
        "down/cmd",
        False,
        Command.TYPE,
        Command.TYPE,
        f"A signed command for one station: JWS compact, {ALGORITHM}, over claims.command. From a closed list, done "
        "once for each cmd_id; said again until a result has come.",
    ),
    _Channel("result", "up/result", True, Result.TYPE, Result.TYPE, "What came of a command; a repeat gets the first."),
    _Channel(
        "membersDelta",
        "members/delta",
        False,
        MembersDelta.TYPE,
        MembersDelta.TYPE,
        "Member changes in rising order of op. A station whose newest op is below from_op asks for pages.",
    ),
    _Channel(
        "head",
        "head",
        False,
        Head.TYPE,
        Head.TYPE,
        f"The group's signed pointer: JWS compact, {ALGORITHM}, over claims.head. Bodies are fetched by hash (up/req).",
        retain=True,
    ),
    _Channel(
        "hoState",
        HO_STATE,
        False,
        HoState.TYPE,
        HoState.TYPE,
        "Presence of head office; stations pause bulk resend while online is false.",
        retain=True,
    ),
)


def document() -> dict[str, Any]:
    """The whole contract as an AsyncAPI 3.0 object, seen from a station: it sends ``up/``, it receives the rest."""
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": "FC-SYNC/1: stations and head office",
            "version": CONTRACT,
            "description": "The broker is a pipe that may lose, duplicate and reorder; the station's journal is the "
            "only durable queue. What to do with these messages, the canonical bytes and the hash chain with worked "
            "examples: docs/head-office.md. Numbers in records are integers written without fraction and exponent. "
            "Unknown extra members are allowed everywhere; in records they are part of the hashed bytes.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "broker": {
                "host": "broker.example:8883",
                "protocol": "secure-mqtt",
                "protocolVersion": "3.1.1",
                "description": "Any MQTT 3.1.1 or 5 broker. Client id = user name = station id, clean sessions.",
                "security": [{"$ref": "#/components/securitySchemes/clientCertificate"}],
            }
        },
        "channels": {channel.key: _channel(channel) for channel in CHANNELS},
        "operations": {_operation_key(channel): _operation(channel) for channel in CHANNELS},
        "components": {
            "messages": {channel.key: _message(channel) for channel in CHANNELS},
            "schemas": dict(_schemas()),
            "parameters": {
                "shard": {"description": f"First byte of SHA-256(station) mod {SHARDS}, decimal, no leading zeros."},
                "station": {"description": "Station id, [A-Za-z0-9_-]{1,32}.", "examples": ["SH-0421"]},
                "group": {"description": "Station group, written like a station id.", "examples": ["main"]},
            },
            "securitySchemes": {
                "clientCertificate": {"type": "X509", "description": "The certificate's CN is the station id."}
            },
        },
    }


def _channel(channel: _Channel) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)\}", channel.address)
    found: dict[str, Any] = {
        "address": channel.address,
        "messages": {channel.key: {"$ref": f"#/components/messages/{channel.key}"}},
    }
    if names:
        found["parameters"] = {name: {"$ref": f"#/components/parameters/{name}"} for name in names}
    return found


def _operation_key(channel: _Channel) -> str:
    return ("send" if channel.by_station else "receive") + channel.key[0].upper() + channel.key[1:]


def _operation(channel: _Channel) -> dict[str, Any]:
    found: dict[str, Any] = {
        "action": "send" if channel.by_station else "receive",
        "channel": {"$ref": f"#/channels/{channel.key}"},
        "messages": [{"$ref": f"#/channels/{channel.key}/messages/{channel.key}"}],
        "bindings": {"mqtt": {"qos": 1, "retain": channel.retain, "bindingVersion": "0.2.0"}},
    }
    if channel.reply is not None:
        found["reply"] = {
            "channel": {"$ref": f"#/channels/{channel.reply}"},
            "messages": [{"$ref": f"#/channels/{channel.reply}/messages/{channel.reply}"}],
        }
    return found


def _message(channel: _Channel) -> dict[str, Any]:
    if channel.by_station:
        source: dict[str, Any] = {"type": "string", "pattern": STATION_SOURCE_PATTERN}
    else:
        source = {"const": HEAD_OFFICE_SOURCE}
    own = {
        "type": {"const": channel.type},
        "source": source,
        "data": {"$ref": f"#/components/schemas/data.{channel.data}"},
    }
    return {
        "name": channel.type,
        "summary": channel.summary,
        "contentType": CONTENT_TYPE,
        "payload": {
            "allOf": [{"$ref": "#/components/schemas/event"}, {"type": "object", "properties": own}],
        },
    }


def _schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "event", _event()
    for kind in (Hello, Welcome, Ack, State, Profile, Req, Res, Command, Result, Head, HoState):
        yield f"data.{kind.TYPE}", kind.SHAPE.schema()
    yield f"data.{MembersDelta.TYPE}", _with_ops(MembersDelta.SHAPE.schema())
    for stream in STREAMS:
        yield f"data.{Batch.TYPE}.{stream}", _batch_data(stream)
    for name, schema in bodies.schemas():
        yield name, _with_ops(schema)
    yield "claims.head", HeadClaims.SHAPE.schema()
    yield "claims.lease", LeaseClaims.SHAPE.schema()
    yield "claims.command", _command_claims()
    for name, args in KINDS.items():
        yield f"command.{name}.args", args.schema()
        yield f"command.{name}.result", ANSWERS[name].schema()
    yield "memberChange", _member_change()
    for stream in STREAMS:
        names = [name for name, row in TYPES.items() if row.stream == stream]
        yield f"stream.{stream}", {"oneOf": [{"$ref": f"#/components/schemas/record.{name}"} for name in names]}
    for name in TYPES:
        yield f"record.{name}", record_schema(name)


def record_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of one whole record of the type ``name`` (a key of ``sync.recordtypes.TYPES``)."""
    row = TYPES[name]
    whole = Members(
        {
            "seq": POSITIVE,
            "id": ULID,
            "type": Word((name,)),
            "time": TIME,
            "boot": BOOT,
            "mono_ms": COUNT,
            "clock": CLOCK,
            "data": row.data,
        }
    ).schema()
    if name == "fc.sale.corrected.v1":
        posting = whole["properties"]["data"]["properties"]["postings"]["items"]
        posting["properties"]["member"] = {
            "description": "Present where what is link: whose leg this is; null on an account of the programme.",
            "anyOf": [{"type": "null"}, POSTING_MEMBER.schema()],
        }
    text = f"{_RECORDS[name]} Stream {row.stream}; at most {MAX_RECORD_BYTES} canonical bytes."
    return {"description": text, "x-stream": row.stream, **whole}


def _event() -> dict[str, Any]:
    """CloudEvents 1.0, structured mode."""
    text = {"type": "string", "minLength": 1}
    return {
        "description": f"The CloudEvents 1.0 envelope of every payload, at most {MAX_PAYLOAD_BYTES} bytes. `id` is "
        "unique per source and never drives logic; a batch's is `incarnation:stream:first_seq-last_seq`.",
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": text,
            "source": text,
            "type": text,
            "time": {"type": "string", "description": "When it was sent, UTC; for people, never for logic."},
            "datacontenttype": {"const": "application/json"},
            "data": {"type": "object"},
        },
        "required": ["specversion", "id", "source", "type", "data"],
    }


def _batch_data(stream: str) -> dict[str, Any]:
    """What a station must send; head office reads the hashes more leniently, to refuse a wrong one by name (W-20)."""
    found = Members(
        {
            "install_id": INSTALL_ID,
            "incarnation": INCARNATION,
            "stream": Word((stream,)),
            "first_seq": POSITIVE,
            "prev_hash": HASH_HEX,
            "last_hash": HASH_HEX,
        }
    ).schema()
    found["properties"]["records"] = {
        "description": "Exactly the canonical bytes of the journal; head office hashes the bytes as received.",
        "type": "array",
        "items": {"$ref": f"#/components/schemas/stream.{stream}"},
        "minItems": 1,
        "maxItems": MAX_BATCH_RECORDS,
    }
    found["required"].append("records")
    return found


def _with_ops(found: dict[str, Any]) -> dict[str, Any]:
    if "ops" in found["properties"]:
        found["properties"]["ops"]["items"] = {"$ref": "#/components/schemas/memberChange"}
    return found


def _command_claims() -> dict[str, Any]:
    found = CommandClaims.SHAPE.schema()
    found["description"] = "What a command's JWS is signed over; args and result by kind: command.{kind}.args, .result."
    found["properties"]["kind"] = {"enum": list(KINDS)}
    return found


def _member_change() -> dict[str, Any]:
    found: dict[str, Any] = MembersDelta.SHAPE.schema()["properties"]["ops"]["items"]
    found["allOf"] = [
        {"if": {"properties": {"kind": {"const": "PUT"}}}, "then": {"required": list(PUT_MUST)}},
        {
            "if": {"properties": {"kind": {"const": "ALIAS"}}},
            "then": {"required": ["to"], "properties": {"to": {"type": "string", "minLength": 1}}},
        },
    ]
    return found


# --- YAML, just enough of it: block mappings and sequences, JSON scalars, folded texts -------------------------------

_PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_RESERVED = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
_FOLDABLE = re.compile(r"[!-~]+(?: [!-~]+)*")
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")  # allowed raw in JSON, not kept by YAML readers
_LINE = 112


def emit(value: object) -> str:
    """YAML (1.1 and 1.2) of mappings with text keys, lists, texts, integers, truth values and None; always the same."""
    return "\n".join(_block(value, 0)) + "\n"


def _block(value: object, depth: int) -> Iterator[str]:
    pad = "  " * depth
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from _entry(f"{pad}{_key(name)}:", item, depth + 1)
    elif isinstance(value, list) and value:
        for item in value:
            inner = list(_block(item, depth + 1))
            yield f"{pad}- {inner[0].lstrip()}"
            yield from inner[1:]
    else:
        yield pad + _inline(value)


def _entry(start: str, item: object, depth: int) -> Iterator[str]:
    if isinstance(item, str) and len(item) > _LINE and _FOLDABLE.fullmatch(item):
        yield f"{start} >-"
        lines = textwrap.wrap(item, _LINE, break_long_words=False, break_on_hyphens=False)
        yield from ("  " * depth + line for line in lines)
    elif isinstance(item, dict | list) and item and not _is_short(item):
        yield start
        yield from _block(item, depth)
    else:
        yield f"{start} {_inline(item)}"


def _is_short(item: object) -> bool:
    """A list of scalars that fits a line is shown on one."""
    return isinstance(item, list) and not any(isinstance(x, dict | list) for x in item) and len(_inline(item)) <= _LINE


def _key(name: str) -> str:
    return name if _PLAIN_KEY.fullmatch(name) and name.lower() not in _RESERVED else _inline(name)


def _inline(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


if __name__ == "__main__":
    sys.stdout.write(emit(document()))
