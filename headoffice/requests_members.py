"""What stations ask about members and documents: pages of the member log, documents by hash (W-40).

Knows shapes of bodies; what a page may weigh, ``sync.group`` says.
"""

from __future__ import annotations

from headoffice.requests_asked import MAX_INT, Answerer, Asked
from headoffice.store import documents, members
from sync.group import MAX_PAGE_BYTES, MembersAnswer, document_body
from sync.notices import Res

PAGE_OPS_BYTES = MAX_PAGE_BYTES - 1_024
"""W-40: a page has at most 48 KiB; the rest is for the event around the ops."""


def members_page(asked: Asked) -> Res:
    """The ops after ``have_op``, as many as fit a page."""
    have_op = asked.req.body.get("have_op")
    if type(have_op) is not int or not 0 <= have_op <= MAX_INT:
        return asked.error("bad_have_op")
    page = members.ops_after(asked.connection, have_op, PAGE_OPS_BYTES)
    newest = page[-1].op if page else have_op
    more = members.last_op(asked.connection) > newest
    versions = () if asked.keys is None else asked.keys.index_versions
    return asked.ok(MembersAnswer(have_op, tuple(op.data() for op in page), more, versions).to_body())


def document(asked: Asked) -> Res:
    """A document by the hash that a signed head names."""
    value = asked.req.body.get("hash")
    found = documents.by_hash(asked.connection, value) if isinstance(value, str) else None
    return asked.refused("unknown_document") if found is None else asked.ok(document_body(found.body))


MEMBERS: dict[str, Answerer] = {"members": members_page, "document": document}
