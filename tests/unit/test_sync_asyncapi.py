"""The published contract: docs/asyncapi.yaml is what the code says, and the examples of docs/head-office.md hold.

Holds a validator for exactly the JSON Schema keywords the contract uses; another keyword fails the test.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from sync import asyncapi, bodies, commands, group, topics
from sync.envelope import decode_as, decode_batch
from sync.judging import Consistent, judge_batch
from sync.messages import Ack, Hello, Welcome
from sync.notices import Command, Head, Req, Res, Result
from sync.recordtypes import STREAMS, TYPES
from sync.signing import PinnedKeys, open_signed
from tests.support.contract import CONTRACT, PUBLISHED
from tests.support.contract import resolved as _resolve
from tests.support.contract import valid as _valid

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "head-office.md").read_text(encoding="utf-8")
VECTORS = json.loads((ROOT / "tests" / "vectors" / "wire.json").read_text(encoding="utf-8"))
RECORDS = [entry["record"] for chain in VECTORS for entry in chain["records"]]
SCHEMAS = CONTRACT["components"]["schemas"]
EXAMPLES = {
    json.loads(text)["type"]: text for text in re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
}
# The topics of the contract's table: name -> (event type, retained, written by the station).
TABLE = {
    "up/hello": ("fc.hello.v1", False, True),
    "down/welcome": ("fc.welcome.v1", False, False),
    "up/l": ("fc.batch.v1", False, True),
    "up/a": ("fc.batch.v1", False, True),
    "up/t": ("fc.batch.v1", False, True),
    "down/ack": ("fc.ack.v1", False, False),
    "up/state": ("fc.state.v1", True, True),
    "up/profile": ("fc.profile.v1", True, True),
    "up/req": ("fc.req.v1", False, True),
    "down/res": ("fc.res.v1", False, False),
    "down/cmd": ("fc.cmd.v1", False, False),
    "up/result": ("fc.result.v1", False, True),
    "members/delta": ("fc.members.delta.v1", False, False),
    "head": ("fc.head.v1", True, False),
    "fc/v1/ho/state": ("fc.ho.state.v1", True, False),
}


def _refs(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "$ref":
                yield item
            else:
                yield from _refs(item)
    elif isinstance(value, list):
        for item in value:
            yield from _refs(item)


def _payload_schema(event_type: str, stream: str | None = None) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        message["payload"]
        for key, message in CONTRACT["components"]["messages"].items()
        if message["name"] == event_type and (stream is None or key == f"batch{stream}")
    ]
    assert len(found) == 1
    return found[0]


def test_the_published_file_is_what_the_code_says() -> None:
    """docs/asyncapi.yaml equals the generator's output; `python -m sync.asyncapi > docs/asyncapi.yaml` renews it."""
    printed = subprocess.run(
        [sys.executable, "-m", "sync.asyncapi"], cwd=ROOT, capture_output=True, check=True, timeout=60
    ).stdout.decode("utf-8")
    assert PUBLISHED.read_text(encoding="utf-8") == printed


def test_yaml_readers_see_the_document_unchanged() -> None:
    """An independent YAML reader gets exactly the generator's object, so the small emitter loses nothing."""
    assert asyncapi.document() == CONTRACT


@pytest.mark.parametrize(
    "value",
    [
        {"a": "x: y # z", "yes": "no", "$ref": "#/a", "n": None, "t": True, "i": -3, "e": {}, "l": []},
        {
            "long": "word " * 60 + "- # : end",
            "spaced": "two  spaces " * 20,
            "lines": "a\nb" * 60,
            "nul": "\u0000\u0085\ufeff",
        },
        [{"a": [1, [2, {"b": "c"}]]}, [], "text", [["x"]]],
        {"wide": ["w" * 60, "v" * 60], "王": "海"},
    ],
)
def test_the_emitter_keeps_every_value(value: object) -> None:
    """Texts that look like YAML, long texts, nested and empty things come back as they were."""
    assert yaml.safe_load(asyncapi.emit(value)) == value


def test_every_reference_leads_somewhere() -> None:
    """No $ref of the document dangles, and all schemas, messages and parameters are used or named for readers."""
    refs = set(_refs(CONTRACT))
    assert all(_resolve(ref) is not None for ref in refs)
    unused = {f"#/components/schemas/{name}" for name in SCHEMAS} - refs
    assert {ref.rpartition("/")[2] for ref in unused} == {
        *(name for name, _ in bodies.schemas()),
        "claims.head",
        "claims.lease",
        "claims.command",
        *(f"command.{kind}.{part}" for kind in commands.KINDS for part in ("args", "result")),
    }


def test_every_topic_of_the_contract_is_published() -> None:
    """Each topic has its address, event type, QoS 1, retain flag and direction as the contract's table says [W-10]."""
    assert {*topics.UP_NAMES, *topics.DOWN_NAMES, *topics.GROUP_NAMES, topics.HO_STATE} == set(TABLE)
    operations = {item["channel"]["$ref"].rpartition("/")[2]: item for item in CONTRACT["operations"].values()}
    found = {}
    for key, channel in CONTRACT["channels"].items():
        message = CONTRACT["components"]["messages"][key]
        mqtt = operations[key]["bindings"]["mqtt"]
        assert mqtt["qos"] == 1
        found[channel["address"]] = (message["name"], mqtt["retain"], operations[key]["action"] == "send")
    expected = {}
    for name, row in TABLE.items():
        if name.startswith(("up/", "down/")):
            address = "fc/v1/{shard}/s/{station}/" + name
            assert topics.station_topic("SH-0421", name) == address.format(shard=57, station="SH-0421")
        else:
            address = name if name == topics.HO_STATE else "fc/v1/g/{group}/" + name
        expected[address] = row
    assert found == expected


def test_every_record_type_is_published_on_its_stream() -> None:
    """The closed table of types appears whole, each type once and on its own stream [W-01] [W-05]."""
    for stream in STREAMS:
        named = [ref.removeprefix("#/components/schemas/record.") for ref in _refs(SCHEMAS[f"stream.{stream}"])]
        assert named == [name for name, row in TYPES.items() if row.stream == stream]
        assert all(SCHEMAS[f"record.{name}"]["x-stream"] == stream for name in named)
    assert {name.removeprefix("record.") for name in SCHEMAS if name.startswith("record.")} == set(TYPES)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["type"])
def test_the_worked_records_fit_their_schema(record: dict[str, Any]) -> None:
    """Every published example record is valid, of its own type only, and no longer once a member is missing [W-02]."""
    schema = SCHEMAS[f"record.{record['type']}"]
    assert _valid(schema, record)
    assert [name for name in TYPES if _valid(SCHEMAS[f"record.{name}"], record)] == [record["type"]]
    for name in record:
        assert not _valid(schema, {key: value for key, value in record.items() if key != name})
    for name in record["data"]:
        data = {key: value for key, value in record["data"].items() if key != name}
        assert not _valid(schema, {**record, "data": data})


def test_a_changed_link_names_the_member_of_each_leg() -> None:
    """Postings of a corrected link may name 16 hex digits or null, and nothing else."""
    data = {"sale": "01M7YHZ9MS000000000000002D", "what": "link", "old": {"member": None}, "new": {"member": "5" * 16}}
    record = {
        **RECORDS[1],
        "type": "fc.sale.corrected.v1",
        "data": {**data, "by": "H07", "role": None, "reason": None, "delay_s": 60},
    }
    for member, fits in (("567014f1b3c2a9de", True), (None, True), ("567014F1B3C2A9DE", False), ("5670", False)):
        record["data"]["postings"] = [{"account": "member:available", "points": 5, "lot": "x", "member": member}]
        assert _valid(SCHEMAS["record.fc.sale.corrected.v1"], record) is fits, member


@pytest.mark.parametrize("kind", ["PUT", "DEL", "ALIAS"])
def test_member_changes_are_judged_as_the_reader_judges_them(kind: str) -> None:
    """Whatever member of a change is left out or null, the schema and the station's reader agree [W-40]."""
    whole: dict[str, Any] = {
        "op": 7,
        "kind": kind,
        "member": "567014f1b3c2a9de",
        "to": "90ab12cd34ef5678",
        "indexes": [],
        "tier": "gold",
        "tags": [],
        "lots": [{"points": 3, "usable_from": None, "expires_on": None}],
    }
    cases = [{key: value for key, value in whole.items() if key != name} for name in whole]
    cases += [{**whole, name: None} for name in whole] + [whole, {**whole, "to": ""}]
    judged = [(_valid(SCHEMAS["memberChange"], case), group.op_defect(case) is None) for case in cases]
    assert all(published == read for published, read in judged)
    assert {published for published, _ in judged} == {True, False}


@pytest.mark.parametrize("event_type", sorted(EXAMPLES))
def test_the_examples_of_the_page_fit_the_published_schemas(event_type: str) -> None:
    """Every JSON example of docs/head-office.md is valid under docs/asyncapi.yaml, and not under another sender."""
    event = json.loads(EXAMPLES[event_type])
    schema = _payload_schema(event_type, event["data"].get("stream") if event_type == "fc.batch.v1" else None)
    assert _valid(schema, event)
    assert not _valid(schema, {**event, "source": "/elsewhere"})
    assert not _valid(schema, {**event, "data": {}})


def test_the_examples_of_the_page_are_read_by_the_code() -> None:
    """Hello, welcome, batch and ack of docs/head-office.md fit each other, and the chain on the page is right [W-04]."""
    hello = decode_as(EXAMPLES["fc.hello.v1"].encode(), Hello)[1]
    welcome = decode_as(EXAMPLES["fc.welcome.v1"].encode(), Welcome)[1]
    ack = decode_as(EXAMPLES["fc.ack.v1"].encode(), Ack)[1]
    batch = decode_batch(EXAMPLES["fc.batch.v1"].encode())[1]
    assert (welcome.for_install_id, welcome.for_connect_n) == (hello.install_id, hello.connect_n)
    judged = judge_batch(batch)
    assert isinstance(judged, Consistent)
    assert [raw.decode() for raw in batch.records] == [entry["canonical"] for entry in VECTORS[0]["records"][:2]]
    assert re.findall(r"\| `hash_\d` \| `(\w+)` \|", PAGE) == [
        value.hex() for value in (batch.prev_hash or b"", *judged.hashes)
    ]
    assert (ack.cum, ack.head_hash) == (batch.last_seq, judged.hashes[-1])
    assert hello.streams["L"].last_hash == ack.head_hash
    assert welcome.streams["L"].head_hash == batch.prev_hash
    for name in STREAMS:
        start = hashlib.sha256(f"SH-0421\0{batch.incarnation}\0{name}".encode()).digest()
        assert welcome.streams[name].head_hash == start


def test_the_documents_head_and_members_of_the_page_hold() -> None:
    """The signed head verifies with the key shown, the document has its hash, the delta is read [W-40] [W-42]."""
    shown = re.search(r'^`(\{"kty".*\})`:$', PAGE, re.MULTILINE)
    assert shown is not None
    pinned = PinnedKeys.from_jwks(f'{{"keys": [{shown[1]}]}}')
    claims = open_signed(decode_as(EXAMPLES["fc.head.v1"].encode(), Head)[1].jws, pinned, None)
    assert _valid(SCHEMAS["claims.head"], claims)
    delta = decode_as(EXAMPLES["fc.members.delta.v1"].encode(), group.MembersDelta)[1]
    assert group.HeadClaims.from_claims(claims).member_op == delta.ops[-1]["op"]
    req = decode_as(EXAMPLES["fc.req.v1"].encode(), Req)[1]
    res = decode_as(EXAMPLES["fc.res.v1"].encode(), Res)[1]
    assert req.req_id == res.req_id
    assert _valid(SCHEMAS["body.document.request"], req.body)
    assert _valid(SCHEMAS["body.document.answer"], res.body)
    assert group.read_document(res.body, bytes.fromhex(req.body["hash"])) == b"hello"


def test_the_command_of_the_page_holds() -> None:
    """The signed command verifies with the key shown, its args and the result's data fit their kind [W-42] [W-45]."""
    shown = re.search(r'^`(\{"kty".*\})`:$', PAGE, re.MULTILINE)
    assert shown is not None
    pinned = PinnedKeys.from_jwks(f'{{"keys": [{shown[1]}]}}')
    claims = commands.open_command(decode_as(EXAMPLES["fc.cmd.v1"].encode(), Command)[1].jws, pinned)
    result = decode_as(EXAMPLES["fc.result.v1"].encode(), Result)[1]
    assert (claims.cmd_id, claims.station) == (result.cmd_id, "SH-0421")
    assert _valid(SCHEMAS["claims.command"], claims.to_claims())
    assert _valid(SCHEMAS[f"command.{claims.kind}.args"], claims.args)
    assert not _valid(SCHEMAS[f"command.{claims.kind}.args"], {**claims.args, "path": "/"})
    assert _valid(SCHEMAS[f"command.{claims.kind}.result"], result.data)
    named = re.findall(r"^\| `(\w+)` \{", PAGE, re.MULTILINE)
    assert sorted(named) == sorted(commands.KINDS)


def test_the_member_indexes_of_the_page_follow_the_rule_it_states() -> None:
    """Each worked index is the first 16 bytes of HMAC-SHA256 over `fc-idx1|kind|value` with the key shown."""
    key = re.search(r"^`([0-9a-f]{64})`:$", PAGE, re.MULTILINE)
    rows = re.findall(r"^\| `(phone|card|uid|plate)` \| [^|]+ \| `([^`]+)` \| `([0-9a-f]{32})` \|$", PAGE, re.MULTILINE)
    assert key is not None
    assert [kind for kind, _, _ in rows] == ["phone", "card", "uid", "plate"]
    for kind, value, index in rows:
        message = f"fc-idx1|{kind}|{value}".encode()
        assert hmac.digest(bytes.fromhex(key[1]), message, "sha256")[:16].hex() == index
