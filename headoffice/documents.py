"""Publishes rule sets and signs the head that points at them: what stations may trust, by version and hash (W-42).

Knows documents and what a head says; knows no broker. Bodies travel by hash; the head is small, signed and retained,
so its signature vouches for every body it names.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from agent.domain.rules.fields import RuleSetError
from agent.domain.rules.lint import lint
from agent.domain.rules.load import parse
from headoffice.errors import DocumentProblem, RulesDoubtful, fault
from headoffice.keys import Keys
from headoffice.store import buckets, members
from headoffice.store import documents as store
from headoffice.store.database import Database, Transaction
from headoffice.store.documents import Document
from sync.group import MAX_DOCUMENT_BYTES, DocumentRef, HeadClaims, document_hash
from sync.messages import RecordError, canonical, format_time

RULES, KEYS, MANIFEST = "rules", "keys", "manifest"
DAY_MS = 86_400_000
HEAD_VALID_MS = 400 * DAY_MS
"""Longer than any station stays offline: an expired head would keep it from new rules when it returns."""

HEAD_RENEW_MS = DAY_MS
"""A head is signed again every day, so that one that was replayed is told by its version."""

MANIFEST_EVERY_MS = 60_000
"""A new manifest of the members makes a new head for the whole group: no sooner than so after the one before."""

MANIFESTS_KEPT = 4
"""The newest manifests; a station that asks for an older one looks at the head again."""

MAX_STALE_BUCKETS = 64
"""Buckets summed up within one answer: more (after an import was cut short) are done by and by."""

MAX_SHOWN_PROBLEMS = 20
"""Faults of a rule set shown at once; more say nothing new."""


def publish_rules(database: Database, path: Path, now_ms: int, *, accept_warnings: bool = False) -> Document:
    """Validate and store a rule set (JSON or TOML); return it. The same content again returns the stored one.

    Raises DocumentProblem where the file is not a valid rule set or its version does not go up, RulesDoubtful where it
    is questionable and nobody said ``accept_warnings``.
    """
    document = read_rules(path)
    doubts = rule_doubts(document)
    with database.write() as connection:
        known = store.newest(connection, RULES)
        if known is not None and known.hash == document.hash:
            return known
        if known is not None and document.version <= known.version:
            raise DocumentProblem(
                f"{path.name} has version {document.version}, version {known.version} is published already",
                hint=f"set version to {known.version + 1} or more; versions never go back",
            )
        if doubts and not accept_warnings:
            shown = "; ".join(doubts[:MAX_SHOWN_PROBLEMS])
            hint = "nothing was published: correct it (forecourt rules lint shows the lines), or say --accept-warnings"
            raise RulesDoubtful(f"{path.name} is questionable: {shown}", hint=hint)
        store.add(connection, document, now_ms)
    return document


def rule_doubts(document: Document) -> list[str]:
    """Return what is questionable in a rule set that was read, one sentence each."""
    return [str(finding) for finding in lint(json.loads(document.body))]


def read_rules(path: Path) -> Document:
    """Read and validate a rule set file. Its body is the canonical JSON. Raises DocumentProblem with every fault."""
    try:
        text = path.read_bytes().decode("utf-8")
        rules = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        hint = "name a rule set that can be read: JSON, or TOML in *.toml"
        raise DocumentProblem(f"cannot read {path}: {fault(error)}", hint=hint) from error
    if not isinstance(rules, dict):
        raise DocumentProblem(f"{path.name}: a rule set is an object", hint="compare it with docs/rules.md")
    body, effective_from = _checked(rules, path.name)
    return Document(RULES, rules["version"], document_hash(body).hex(), effective_from, body)


def _checked(rules: dict[str, Any], name: str) -> tuple[bytes, str]:
    try:
        parsed = parse(rules)
        body = canonical(rules)
        effective_from = format_time(parsed.effective_from_ms)
    except RuleSetError as error:
        shown = "; ".join(str(problem) for problem in error.problems[:MAX_SHOWN_PROBLEMS])
        raise DocumentProblem(f"{name} is refused: {shown}", hint="nothing was published") from error
    except RecordError as error:
        raise DocumentProblem(f"{name}: {error}", hint="write whole numbers and texts only") from error
    if len(body) > MAX_DOCUMENT_BYTES:
        raise DocumentProblem(f"{name} has {len(body)} bytes, at most {MAX_DOCUMENT_BYTES}", hint="end old offers")
    return body, effective_from


def current_head(database: Database, keys: Keys, group: str, now_ms: int) -> str:
    """Return the signed head that says what is true now; a new one is signed when something changed, or after a day."""
    with database.write() as connection:
        known = store.newest_head(connection)
        if known is not None and now_ms - known.made_ms < HEAD_RENEW_MS and known.kid == keys.kid:
            said = HeadClaims.from_claims(json.loads(known.claims))
            if _head(connection, group, known.number, said.not_before, said.not_after) == said:
                return known.jws
        number = 1 if known is None else known.number + 1
        new = _head(connection, group, number, format_time(now_ms), format_time(now_ms + HEAD_VALID_MS))
        claims = new.to_claims()
        head = store.StoredHead(number, json.dumps(claims), keys.sign(claims), keys.kid, now_ms)
        store.add_head(connection, head)
    return head.jws


def fresh_manifest(connection: Transaction, now_ms: int) -> Document | None:
    """Return the manifest that the next head vouches for; made anew where members changed since the one before.

    ``None`` while there are no members, and where so many buckets are to be summed up that the caller asks again.
    """
    known = store.newest(connection, MANIFEST)
    last_op = members.last_op(connection)
    if known is not None and (known.version == last_op or now_ms - known.published_ms < MANIFEST_EVERY_MS):
        return known
    stale = buckets.stale(connection)
    buckets.refresh(connection, stale[:MAX_STALE_BUCKETS])
    if last_op == 0 or len(stale) > MAX_STALE_BUCKETS:
        return None
    body = buckets.manifest(connection, last_op).to_bytes()
    made = Document(MANIFEST, last_op, document_hash(body).hex(), "", body, now_ms)
    store.add(connection, made, now_ms)
    store.keep_newest(connection, MANIFEST, MANIFESTS_KEPT)
    return made


def _head(connection: Transaction, group: str, version: int, not_before: str, not_after: str) -> HeadClaims:
    rules = store.newest(connection, RULES)
    key_set = store.newest(connection, KEYS)
    manifest = store.newest(connection, MANIFEST)
    return HeadClaims(
        group=group,
        version=version,
        member_op=members.last_op(connection),
        not_before=not_before,
        not_after=not_after,
        rules=None if rules is None else DocumentRef(rules.version, bytes.fromhex(rules.hash), rules.effective_from),
        keys=None if key_set is None else DocumentRef(key_set.version, bytes.fromhex(key_set.hash)),
        manifest_hash=None if manifest is None else bytes.fromhex(manifest.hash),
    )
