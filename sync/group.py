"""What head office tells a whole group: the signed head, ordered member changes, pages of them, documents by hash.

Pure. Knows shapes and order; does not know signatures (``sync.signing``), topics or what a tier means.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sync.messages import MessageError, checked
from sync.shapes import (
    COUNT,
    HASH_HEX,
    MEMBER_ID,
    NAME,
    POSITIVE,
    STATION,
    TIME,
    Anything,
    Int,
    Items,
    Members,
    OrNull,
    Shape,
    Text,
    Truth,
    Word,
)

MAX_PAGE_BYTES = 48 * 1024  # W-40: what `ops` of one page or delta may weigh
MAX_PAGE_OPS = 4_096  # far above what fits 48 KiB; bounds the list before it is read
PART_BYTES = 36_000  # of a packed bucket in one answer: base64 of it and the event stay below 48 KiB
MAX_PARTS = 512
MAX_DOCUMENT_BYTES = 512 * 1024  # base64 of it and the envelope stay below the 1 MiB that is read at all
DOCUMENT_KINDS = ("rules", "keys", "manifest")

_OP = Members(
    {"op": POSITIVE, "kind": Word(("PUT", "DEL", "ALIAS")), "member": MEMBER_ID},
    {
        "to": OrNull(MEMBER_ID),
        "indexes": Items(NAME, 64),
        "indexes_next": Items(NAME, 64),
        "tier": OrNull(Text(0, 64)),
        "growth": OrNull(Int()),
        "growth_stands": Truth(),
        "tags": Items(NAME, 256),
        "lots": Items(
            Members({"points": Int(), "usable_from": OrNull(NAME), "expires_on": OrNull(NAME)}, {"lot": OrNull(NAME)}),
            1_024,
        ),
        "as_of": OrNull(Anything()),
        "mask": OrNull(Text(0, 64)),
        "birthday_md": OrNull(Text(0, 8)),
        "tank_l": OrNull(Int()),
        "card_key": OrNull(Text(0, 1_024)),
        "flags": Items(NAME, 64),
    },
)
_VERSIONS = {"index_versions": Items(NAME, 2)}
"""What the keys of ``indexes`` and, while they are exchanged, of ``indexes_next`` are called."""

_PUT_MUST = ("indexes", "tier", "tags", "lots")


class _OpShape:
    """One member change: the shared shape and what its kind asks for."""

    def defect(self, value: object) -> str | None:
        """See sync.shapes.Shape."""
        wrong = _OP.defect(value)
        if wrong is not None or not isinstance(value, dict):
            return wrong
        if value["kind"] == "ALIAS" and not value.get("to"):
            return "to is missing in an ALIAS"
        if value["kind"] == "PUT":
            absent = [name for name in _PUT_MUST if name not in value]
            return f"{absent[0]} is missing in a PUT" if absent else None
        return None

    def schema(self) -> dict[str, Any]:
        """See sync.shapes.Shape."""
        return _OP.schema()


OP: Shape = _OpShape()


def op_defect(op: object) -> str | None:
    """What is wrong with one member change, or None."""
    return OP.defect(op)


@dataclass(frozen=True, slots=True)
class MembersDelta:
    """Member changes in rising order of ``op``. ``from_op``: the op of this group just before the first one (0: none).

    A cache that has ``from_op`` or later may apply it; one that has less has a gap and asks for pages.
    """

    from_op: int
    ops: tuple[Mapping[str, Any], ...]
    index_versions: tuple[str, ...] = ()

    TYPE: ClassVar[str] = "fc.members.delta.v1"
    SHAPE: ClassVar[Shape] = Members({"from_op": COUNT, "ops": Items(OP, MAX_PAGE_OPS)}, _VERSIONS)

    def to_data(self) -> dict[str, Any]:
        """See sync.messages.Message."""
        return {"from_op": self.from_op, "ops": [dict(op) for op in self.ops], **_told_versions(self.index_versions)}

    @classmethod
    def from_data(cls, data: object) -> Self:
        """See sync.messages.Message."""
        body = checked(cls.SHAPE, data, cls.TYPE)
        return cls(body["from_op"], tuple(_rising(body, cls.TYPE)), tuple(body.get("index_versions", ())))


@dataclass(frozen=True, slots=True)
class MembersAnswer:
    """Body of the answer to ``up/req`` kind members {have_op}; ``more``: ask again with the last op.

    ``far``: so much changed that buckets weigh less than pages: ask for the manifest.
    """

    from_op: int
    ops: tuple[Mapping[str, Any], ...]
    more: bool
    index_versions: tuple[str, ...] = ()
    far: bool = False

    SHAPE: ClassVar[Shape] = Members(
        {"from_op": COUNT, "ops": Items(OP, MAX_PAGE_OPS), "more": Truth()}, {**_VERSIONS, "far": Truth()}
    )

    def to_body(self) -> dict[str, Any]:
        """The JSON object for ``Res.body``."""
        told = {"from_op": self.from_op, "ops": [dict(op) for op in self.ops], "more": self.more}
        return {**told, **_told_versions(self.index_versions), **({"far": True} if self.far else {})}

    @classmethod
    def from_body(cls, body: object) -> Self:
        """Read ``Res.body``. Raises MessageError."""
        found = checked(cls.SHAPE, body, "members page")
        versions = tuple(found.get("index_versions", ()))
        ops = tuple(_rising(found, "members page"))
        return cls(found["from_op"], ops, found["more"], versions, found.get("far", False))


@dataclass(frozen=True, slots=True)
class ManifestTold:
    """Body of the answer to ``up/req`` kind members {have_op, manifest: true}: which manifest the next head names.

    ``hash`` ``None``: it is being made, ask again in a while.
    """

    hash: bytes | None

    SHAPE: ClassVar[Shape] = Members({"manifest": OrNull(HASH_HEX)})

    def to_body(self) -> dict[str, Any]:
        """The JSON object for ``Res.body``."""
        return {"manifest": None if self.hash is None else self.hash.hex()}

    @classmethod
    def from_body(cls, body: object) -> Self:
        """Read ``Res.body``. Raises MessageError."""
        told = checked(cls.SHAPE, body, "manifest")["manifest"]
        return cls(None if told is None else bytes.fromhex(told))


@dataclass(frozen=True, slots=True)
class BucketPart:
    """Body of the answer to ``up/req`` kind members {bucket, part}: ``data`` is part ``part`` of ``parts``.

    ``op``: the change after which it was read; ``changed``: the last change in this bucket. Parts belong together where
    ``changed`` is the same.
    """

    bucket: int
    op: int
    changed: int
    part: int
    parts: int
    data: bytes
    index_versions: tuple[str, ...] = ()

    SHAPE: ClassVar[Shape] = Members(
        {
            "bucket": COUNT,
            "op": COUNT,
            "changed": COUNT,
            "part": COUNT,
            "parts": POSITIVE,
            "data_base64": Text(0, 2 * PART_BYTES),
        },
        _VERSIONS,
    )

    def to_body(self) -> dict[str, Any]:
        """The JSON object for ``Res.body``."""
        numbers = {
            "bucket": self.bucket,
            "op": self.op,
            "changed": self.changed,
            "part": self.part,
            "parts": self.parts,
        }
        data = base64.b64encode(self.data).decode("ascii")
        return {**numbers, "data_base64": data, **_told_versions(self.index_versions)}

    @classmethod
    def from_body(cls, body: object) -> Self:
        """Read ``Res.body``. Raises MessageError."""
        found = checked(cls.SHAPE, body, "bucket")
        try:
            data = base64.b64decode(found["data_base64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise MessageError(f"bucket: data_base64: {error}") from error
        part, parts = found["part"], found["parts"]
        if part >= parts or parts > MAX_PARTS:
            raise MessageError(f"bucket: part {part} of {parts}")
        versions = tuple(found.get("index_versions", ()))
        return cls(found["bucket"], found["op"], found["changed"], part, parts, data, versions)


def _told_versions(versions: tuple[str, ...]) -> dict[str, Any]:
    return {"index_versions": list(versions)} if versions else {}


def _rising(body: dict[str, Any], what: str) -> list[dict[str, Any]]:
    ops: list[dict[str, Any]] = body["ops"]
    previous: int = body["from_op"]
    for op in ops:
        checked(Members({"op": Int(previous + 1)}), op, f"{what} in rising order of op")
        previous = op["op"]
    return ops


def pages(from_op: int, ops: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, tuple[Mapping[str, Any], ...]]]:
    """Cut changes in rising order into (from_op, ops) of at most 48 KiB of JSON each; one change always fits a page."""
    page: list[Mapping[str, Any]] = []
    weight = 0
    for op in ops:
        size = len(json.dumps(dict(op), ensure_ascii=False, separators=(",", ":")).encode()) + 1
        if page and weight + size > MAX_PAGE_BYTES:
            yield from_op, tuple(page)
            from_op, page, weight = page[-1]["op"], [], 0
        page.append(op)
        weight += size
    if page:
        yield from_op, tuple(page)


def document_hash(body: bytes) -> bytes:
    """SHA-256 of a document's bytes: the name it is asked for by."""
    return hashlib.sha256(body).digest()


def document_body(body: bytes) -> dict[str, Any]:
    """``Res.body`` that carries a document. Raises ValueError over 512 KiB."""
    if len(body) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"a document of {len(body)} bytes, at most {MAX_DOCUMENT_BYTES}; split the rule set")
    return {"hash": document_hash(body).hex(), "body_base64": base64.b64encode(body).decode("ascii")}


def read_document(body: object, wanted: bytes) -> bytes:
    """The document in ``Res.body``. Raises MessageError if it is malformed or its hash is not the wanted one."""
    found = checked(Members({"hash": HASH_HEX, "body_base64": Text(0, 2 * MAX_DOCUMENT_BYTES)}), body, "document")
    try:
        content = base64.b64decode(found["body_base64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise MessageError(f"document: body_base64: {error}") from error
    if document_hash(content) != wanted:
        raise MessageError("document: the bytes do not have the wanted hash")
    return content


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """A document the head points at. ``effective_from`` only for rules (UTC time text)."""

    version: int
    hash: bytes
    effective_from: str | None = None


@dataclass(frozen=True, slots=True)
class HeadClaims:
    """What a group's signed head says. ``version`` rises with every head; nothing in it ever goes back (W-42)."""

    group: str
    version: int
    member_op: int
    not_before: str
    not_after: str
    rules: DocumentRef | None = None
    keys: DocumentRef | None = None
    manifest_hash: bytes | None = None

    SHAPE: ClassVar[Shape] = Members(
        {
            "group": STATION,
            "version": POSITIVE,
            "member_op": COUNT,
            "not_before": TIME,
            "not_after": TIME,
            "manifest_hash": OrNull(HASH_HEX),
            "rules": OrNull(Members({"version": POSITIVE, "hash": HASH_HEX, "effective_from": TIME})),
            "keys": OrNull(Members({"version": POSITIVE, "hash": HASH_HEX})),
        }
    )

    def to_claims(self) -> dict[str, Any]:
        """The claims to sign."""
        rules, keys = self.rules, self.keys
        return {
            "group": self.group,
            "version": self.version,
            "member_op": self.member_op,
            "not_before": self.not_before,
            "not_after": self.not_after,
            "manifest_hash": None if self.manifest_hash is None else self.manifest_hash.hex(),
            "rules": None
            if rules is None
            else {"version": rules.version, "hash": rules.hash.hex(), "effective_from": rules.effective_from},
            "keys": None if keys is None else {"version": keys.version, "hash": keys.hash.hex()},
        }

    @classmethod
    def from_claims(cls, claims: object) -> Self:
        """Read verified claims. Raises MessageError."""
        found = checked(cls.SHAPE, claims, "head")
        rules, keys, manifest = found["rules"], found["keys"], found["manifest_hash"]
        return cls(
            group=found["group"],
            version=found["version"],
            member_op=found["member_op"],
            not_before=found["not_before"],
            not_after=found["not_after"],
            rules=None
            if rules is None
            else DocumentRef(rules["version"], bytes.fromhex(rules["hash"]), rules["effective_from"]),
            keys=None if keys is None else DocumentRef(keys["version"], bytes.fromhex(keys["hash"])),
            manifest_hash=None if manifest is None else bytes.fromhex(manifest),
        )

    def documents(self) -> Sequence[tuple[str, DocumentRef]]:
        """(kind, reference) of every document the head points at."""
        both = (("rules", self.rules), ("keys", self.keys))
        return [(kind, ref) for kind, ref in both if ref is not None]

    def goes_back(self, seen: HeadClaims | None) -> bool:
        """Whether a version here is lower than in the newest head seen, or a known version has another content."""
        if seen is None:
            return False
        if self.version < seen.version or self.member_op < seen.member_op:
            return True
        if self.version == seen.version and self != seen:
            return True
        known = dict(seen.documents())
        for kind, ref in self.documents():
            old = known.get(kind)
            if old is not None and (ref.version < old.version or (ref.version == old.version and ref != old)):
                return True
        return False
