"""Published documents, the signed heads that point at them, and the first answer to every request of a station.

Works inside the caller's transaction; signs nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, select

from headoffice.store.schema import document, head, request

KEEP_REQUESTS = 500
"""Answers kept per station: a repeat comes within minutes, and a station asks a few times a minute at most."""


@dataclass(frozen=True, slots=True)
class Document:
    """``kind`` rules, keys or manifest; ``hash``: SHA-256 hex of ``body``; ``effective_from``: as on the wire."""

    kind: str
    version: int
    hash: str
    effective_from: str
    body: bytes
    published_ms: int = 0


@dataclass(frozen=True, slots=True)
class StoredHead:
    """``number``: the head's version; ``claims``: JSON text that was signed; ``kid``: with which key."""

    number: int
    claims: str
    jws: str
    kid: str
    made_ms: int


def newest(connection: Connection, kind: str) -> Document | None:
    """The document of a kind with the highest version."""
    return _first(connection, select(document).where(document.c.kind == kind).order_by(document.c.version.desc()))


def by_hash(connection: Connection, value: str) -> Document | None:
    """The document with a hash."""
    return _first(connection, select(document).where(document.c.hash == value))


def _first(connection: Connection, statement: Select[Any]) -> Document | None:
    row = connection.execute(statement.limit(1)).first()
    if row is None:
        return None
    return Document(row.kind, row.version, row.hash, row.effective_from, bytes(row.body), row.published_ms)


def keep_newest(connection: Connection, kind: str, count: int) -> None:
    """Forget all but the newest documents of a kind."""
    kept = select(document.c.version).where(document.c.kind == kind).order_by(document.c.version.desc()).limit(count)
    versions = list(connection.execute(kept).scalars())
    connection.execute(delete(document).where((document.c.kind == kind) & document.c.version.not_in(versions)))


def add(connection: Connection, new: Document, now_ms: int) -> None:
    """Store a document; the caller has checked that its version is new."""
    connection.execute(
        document.insert().values(
            kind=new.kind,
            version=new.version,
            hash=new.hash,
            effective_from=new.effective_from,
            body=new.body,
            published_ms=now_ms,
        )
    )


def newest_head(connection: Connection) -> StoredHead | None:
    """The newest head; None before the first."""
    row = connection.execute(select(head).order_by(head.c.number.desc()).limit(1)).first()
    return None if row is None else StoredHead(row.number, row.claims, row.jws, row.kid, row.made_ms)


def add_head(connection: Connection, new: StoredHead) -> None:
    """Store a signed head and forget all but the one before it."""
    connection.execute(head.insert().values(**asdict(new)))
    connection.execute(delete(head).where(head.c.number < new.number - 1))


def first_answer(connection: Connection, station: str, req_id: str) -> str | None:
    """The JSON text that was answered to a request before; None if it is new."""
    statement = select(request.c.answer).where(request.c.station == station, request.c.req_id == req_id)
    return connection.execute(statement).scalar_one_or_none()


def store_answer(connection: Connection, station: str, req_id: str, answer: str, now_ms: int) -> None:
    """Keep the first answer to a request; the oldest beyond KEEP_REQUESTS are forgotten."""
    connection.execute(request.insert().values(station=station, req_id=req_id, answer=answer, answered_ms=now_ms))
    oldest = connection.execute(
        select(request.c.number)
        .where(request.c.station == station)
        .order_by(request.c.number.desc())
        .offset(KEEP_REQUESTS)
        .limit(1)
    ).scalar_one_or_none()
    if oldest is not None:
        connection.execute(delete(request).where(request.c.station == station, request.c.number <= oldest))
