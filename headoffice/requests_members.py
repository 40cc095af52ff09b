"""What stations ask about members and documents: pages of changes, the manifest, buckets, documents by hash (W-40).

Knows shapes of bodies; what a page may weigh, ``sync.group`` says.
"""

from __future__ import annotations

from headoffice.documents import fresh_manifest
from headoffice.requests_asked import MAX_INT, Answerer, Asked
from headoffice.store import buckets, documents, members
from sync.buckets import BUCKETS, split
from sync.group import MAX_PAGE_BYTES, PART_BYTES, BucketPart, ManifestTold, MembersAnswer, document_body
from sync.notices import Res

PAGE_OPS_BYTES = MAX_PAGE_BYTES - 1_024
"""W-40: a page has at most 48 KiB; the rest is for the event around the ops."""

NEAR_OPS = 2_000
FAR_SHARE = 10
"""A station is far behind where more than a tenth of the members, and more than 2,000, changed: a change weighs ten
times what a member weighs in a bucket, and changes meet nearly every bucket by then."""


def members_asked(asked: Asked) -> Res:
    """A page of changes, the name of a fresh manifest, or a part of a bucket: whatever the body says."""
    if "bucket" in asked.req.body:
        return _bucket(asked)
    have_op = asked.req.body.get("have_op")
    if type(have_op) is not int or not 0 <= have_op <= MAX_INT:
        return asked.error("bad_have_op")
    if asked.req.body.get("manifest") is True:
        found = fresh_manifest(asked.connection, asked.now_ms)
        return asked.ok(ManifestTold(None if found is None else bytes.fromhex(found.hash)).to_body())
    if _is_far(asked, have_op):
        return asked.ok(MembersAnswer(have_op, (), True, _versions(asked), far=True).to_body())
    page = members.ops_after(asked.connection, have_op, PAGE_OPS_BYTES)
    newest = page[-1].op if page else have_op
    more = members.behind(asked.connection, newest, 1) > 0
    return asked.ok(MembersAnswer(have_op, tuple(op.data() for op in page), more, _versions(asked)).to_body())


def is_kept(body: object) -> bool:
    """Whether the answer to a request of kind members is kept for a repeat; a bucket is read anew, and tells its op."""
    return not (isinstance(body, dict) and "bucket" in body)


def document(asked: Asked) -> Res:
    """A document by the hash that a signed head names."""
    value = asked.req.body.get("hash")
    found = documents.by_hash(asked.connection, value) if isinstance(value, str) else None
    return asked.refused("unknown_document") if found is None else asked.ok(document_body(found.body))


def _is_far(asked: Asked, have_op: int) -> bool:
    near = max(NEAR_OPS, buckets.count(asked.connection) // FAR_SHARE)
    return members.behind(asked.connection, have_op, near + 1) > near


def _bucket(asked: Asked) -> Res:
    number, part = asked.req.body.get("bucket"), asked.req.body.get("part", 0)
    if type(number) is not int or not 0 <= number < BUCKETS or type(part) is not int or part < 0:
        return asked.error("bad_bucket")
    found = buckets.one(asked.connection, number)
    parts = split(found.frame, PART_BYTES)
    at = part if part < len(parts) else 0  # it shrank since the station began: from the start
    told = BucketPart(number, members.last_op(asked.connection), found.op, at, len(parts), parts[at], _versions(asked))
    return asked.ok(told.to_body())


def _versions(asked: Asked) -> tuple[str, ...]:
    return () if asked.keys is None else asked.keys.index_versions


MEMBERS: dict[str, Answerer] = {"members": members_asked, "document": document}
