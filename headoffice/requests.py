"""Answers what stations ask: pages of the member log and documents by hash; a repeat gets the first answer (W-40).

Knows no broker and no clock.
"""

from __future__ import annotations

import json

from headoffice.ingest import note
from headoffice.store import documents, members
from headoffice.store.database import Database, Transaction
from sync.envelope import EnvelopeError, decode_as, station_source
from sync.group import MAX_PAGE_BYTES, MembersAnswer, document_body
from sync.notices import Req, Res
from sync.topics import StationTopic

PAGE_OPS_BYTES = MAX_PAGE_BYTES - 1_024
"""W-40: a page has at most 48 KiB; the rest is for the event around the ops."""

MAX_INT = 2**53 - 1


def answer_request(
    database: Database, topic: StationTopic, payload: bytes, now_ms: int, index_versions: tuple[str, ...] = ()
) -> Res | None:
    """Return the answer to a request, None where it cannot be read or is not the station's (an alert is raised)."""
    try:
        event, req = decode_as(payload, Req)
    except EnvelopeError as error:
        note(database, topic, f"unreadable_{error.code}", str(error), now_ms)
        return None
    if not topic.right_shard or event.source != station_source(topic.station):
        defect = "wrong_source" if topic.right_shard else "wrong_shard"
        note(database, topic, defect, f"source {event.source[:80]}, shard {topic.shard}", now_ms)
        return None
    with database.write() as connection:
        answered = documents.first_answer(connection, topic.station, req.req_id)
        if answered is not None:
            return Res.from_data(json.loads(answered))
        res = _answer(connection, req, index_versions)
        documents.store_answer(connection, topic.station, req.req_id, json.dumps(res.to_data()), now_ms)
    return res


def _answer(connection: Transaction, req: Req, index_versions: tuple[str, ...]) -> Res:
    if req.kind == "members":
        return _members_page(connection, req, index_versions)
    if req.kind == "document":
        return _document(connection, req)
    return Res(req.req_id, "refused", "not_offered")


def _members_page(connection: Transaction, req: Req, index_versions: tuple[str, ...]) -> Res:
    have_op = req.body.get("have_op")
    if type(have_op) is not int or not 0 <= have_op <= MAX_INT:
        return Res(req.req_id, "error", "bad_have_op")
    page = members.ops_after(connection, have_op, PAGE_OPS_BYTES)
    newest = page[-1].op if page else have_op
    more = members.last_op(connection) > newest
    answer = MembersAnswer(have_op, tuple(op.data() for op in page), more, index_versions)
    return Res(req.req_id, "ok", None, answer.to_body())


def _document(connection: Transaction, req: Req) -> Res:
    value = req.body.get("hash")
    found = documents.by_hash(connection, value) if isinstance(value, str) else None
    if found is None:
        return Res(req.req_id, "refused", "unknown_document")
    return Res(req.req_id, "ok", None, document_body(found.body))
