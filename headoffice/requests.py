"""Answers what stations ask: who may ask, the table of kinds, and that a repeat gets the first answer (W-40).

Knows no broker and no clock; what a kind means stands in ``requests_members`` and ``requests_points``.
"""

from __future__ import annotations

import json

from headoffice.ingest import note
from headoffice.keys import Keys
from headoffice.requests_asked import Answerer, Asked
from headoffice.requests_members import MEMBERS, is_kept
from headoffice.requests_points import POINTS
from headoffice.store import documents
from headoffice.store.database import Database
from sync.envelope import EnvelopeError, decode_as, station_source
from sync.notices import Req, Res
from sync.topics import StationTopic

KINDS: dict[str, Answerer] = {**MEMBERS, **POINTS}
"""Who answers which kind; any other kind is refused as ``not_offered``."""


def answer_request(
    database: Database, topic: StationTopic, payload: bytes, now_ms: int, keys: Keys | None = None
) -> Res | None:
    """Return the answer to a request, None where it cannot be read or is not the station's (an alert is raised).

    ``keys``: what answers are signed with; without them nothing that must be signed is given.
    """
    try:
        event, req = decode_as(payload, Req)
    except EnvelopeError as error:
        note(database, topic, f"unreadable_{error.code}", str(error), now_ms)
        return None
    if not topic.right_shard or event.source != station_source(topic.station):
        defect = "wrong_source" if topic.right_shard else "wrong_shard"
        note(database, topic, defect, f"source {event.source[:80]}, shard {topic.shard}", now_ms)
        return None
    return database.transact(lambda connection: _answer(Asked(connection, topic.station, req, now_ms, keys)))


def _answer(asked: Asked) -> Res:
    """Answer as before, or for the first time; a repeat that another worker answers at this moment is one as well."""
    answered = documents.first_answer(asked.connection, asked.station, asked.req.req_id)
    if answered is not None:
        return Res.from_data(json.loads(answered))
    answerer = KINDS.get(asked.req.kind)
    res = asked.refused("not_offered") if answerer is None else answerer(asked)
    if is_kept(asked.req.body):
        text = json.dumps(res.to_data())
        documents.store_answer(asked.connection, asked.station, asked.req.req_id, text, asked.now_ms)
    return res
