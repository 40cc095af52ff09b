"""Keys of member codes at head office: private ones in files, public ones in the published set, codes signed by them.

The published set (documents, kind keys) is what stations believe; a key file only adds to it. Knows no command line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from agent.crypto import public_ed25519, sign_ed25519
from agent.domain.codes import fm1, issuing, token
from agent.domain.codes.issuing import CodeKey, IssueError
from agent.domain.codes.keyset import EMPTY, KeySet, KeySetError, Purpose, Status, document_of, parse
from agent.domain.codes.token import CTI_SIZES, KID_SIZES
from headoffice.documents import KEYS
from headoffice.errors import DocumentProblem, KeyProblem, UsageError
from headoffice.keys import read_private, write_private
from headoffice.store import documents as store
from headoffice.store.database import Database, Transaction
from headoffice.store.documents import Document
from sync.group import MAX_DOCUMENT_BYTES, document_hash
from sync.messages import canonical, format_time

FOLDER = "codes"
"""Below the keys of head office: one file for each private key, named by its kid."""

DAY_S = 86_400
LIFE_S: Mapping[Purpose, int] = {Purpose.DYNAMIC: 800 * DAY_S, Purpose.PRINTED: 3_650 * DAY_S}
"""How long a key may be used where nobody says otherwise: rotation ends it earlier."""

AHEAD_S = 45 * DAY_S
"""A new key is published so long before it signs: the longest a station stays offline, and half as much again."""

_FIRST_KIDS = range(1, 256)


def make_key(
    database: Database, folder: Path, purpose: Purpose, seed: bytes, *, now_s: int, kid: bytes | None = None
) -> CodeKey:
    """Make a key file that is good from now on and return the key; nothing is published.

    Raises KeyProblem where the file cannot be written, UsageError for a kid that is or was in use.
    """
    return _make_key(folder, purpose, seed, _unused(current(database), folder, kid), now_s)


def _make_key(folder: Path, purpose: Purpose, seed: bytes, kid: bytes, begins_s: int) -> CodeKey:
    key = CodeKey(kid, purpose, seed, begins_s, begins_s + LIFE_S[purpose])
    path = folder / FOLDER / f"{kid.hex()}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, json.dumps(issuing.key_document(key)).encode() + b"\n")
    except OSError as error:
        raise KeyProblem(f"cannot write {path}: {error.strerror}", hint="choose another --keys DIR") from error
    return key


def own_keys(folder: Path) -> dict[bytes, CodeKey]:
    """Return the private keys by kid. Raises KeyProblem for a file that is none, or that others can read."""
    found: dict[bytes, CodeKey] = {}
    for path in sorted((folder / FOLDER).glob("*.json")):
        try:
            key = issuing.read_key(json.loads(read_private(path)))
        except (ValueError, RecursionError) as error:
            raise KeyProblem(f"{path}: {error}", hint="restore it from your backup") from error
        found[key.kid] = key
    return found


def current(database: Database) -> KeySet:
    """Return the published set; EMPTY before the first."""
    with database.read() as connection:
        return _newest(connection)


def _newest(connection: Transaction) -> KeySet:
    found = store.newest(connection, KEYS)
    return EMPTY if found is None else parse(json.loads(found.body))


def published_version(connection: Transaction) -> int | None:
    """Return the version of the published set, ``None`` before the first."""
    found = store.newest(connection, KEYS)
    return None if found is None else found.version


def renumber(connection: Transaction, version: int, now_ms: int) -> None:
    """Publish the newest set once more under a later version: stations may know sets that this database has not."""
    _add(connection, replace(_newest(connection), version=version), now_ms)


def publish(database: Database, folder: Path, now_ms: int) -> KeySet:
    """Add every key file that is not published yet, and return the set; without a new one nothing changes."""
    own = own_keys(folder)

    def added(known: KeySet) -> KeySet:
        new = {kid: key.public(public_ed25519(key.seed)) for kid, key in own.items() if kid not in known.keys}
        return replace(known, keys={**known.keys, **new})

    return _change(database, now_ms, added)


def rotate(database: Database, folder: Path, purpose: Purpose, seed: bytes, *, now_ms: int) -> CodeKey:
    """Make and publish the next key of a purpose; the present ones end when the last code by them has.

    The first key of a purpose is good at once, every later one begins AHEAD_S from now.
    """
    now_s = now_ms // 1000
    publish(database, folder, now_ms)
    known = current(database)
    old = [key for key in known.keys.values() if key.purpose is purpose and key.status is Status.ACTIVE]
    begins_s = now_s + AHEAD_S if old else now_s
    new = _make_key(folder, purpose, seed, _unused(known, folder, None), begins_s)
    ends_s = begins_s + fm1.DEFAULT_LIMITS.ttl_s(purpose) + AHEAD_S

    def ended(found: KeySet) -> KeySet:
        keys = {
            kid: replace(key, not_after_s=min(key.not_after_s, ends_s)) if key in old else key
            for kid, key in found.keys.items()
        }
        return replace(found, keys={**keys, new.kid: new.public(public_ed25519(seed))})

    _change(database, now_ms, ended)
    return new


def revoke_key(database: Database, kid: bytes, now_ms: int) -> KeySet:
    """Believe nothing by a key any more, from the moment the set arrives. Raises UsageError for an unknown kid."""

    def revoked(known: KeySet) -> KeySet:
        _check_kid(known, kid)
        return replace(known, keys={**known.keys, kid: replace(known.keys[kid], status=Status.REVOKED)})

    return _change(database, now_ms, revoked)


def revoke_cards(database: Database, kid: bytes, serials: Iterable[bytes], now_ms: int) -> KeySet:
    """Withdraw printed cards by the kid that signed them and their serials."""
    cards = {(kid, serial) for serial in serials}

    def withdrawn(known: KeySet) -> KeySet:
        _check_kid(known, kid)
        if known.keys[kid].purpose is not Purpose.PRINTED:
            raise UsageError(f"key {kid.hex()} signs phone codes", hint="they end by themselves; revoke the key")
        return replace(known, revoked_cards=known.revoked_cards | cards)

    return _change(database, now_ms, withdrawn)


def _check_kid(known: KeySet, kid: bytes) -> None:
    if kid not in known.keys:
        there = ", ".join(sorted(key.hex() for key in known.keys)) or "none"
        raise UsageError(f"no key {kid.hex()} is published", hint=f"published: {there}")


def _change(database: Database, now_ms: int, change: Callable[[KeySet], KeySet]) -> KeySet:
    """Publish what ``change`` makes of the newest set, one version on; what it leaves alone is not published again."""
    with database.write() as connection:
        known = _newest(connection)
        wanted = change(known)
        if wanted == known:
            return known
        new = replace(wanted, version=known.version + 1)
        _add(connection, new, now_ms)
    return new


def _add(connection: Transaction, new: KeySet, now_ms: int) -> None:
    body = canonical(document_of(new))
    try:
        parse(json.loads(body))
    except KeySetError as error:
        raise DocumentProblem(f"the key set is refused: {error}", hint="nothing was published") from error
    if len(body) > MAX_DOCUMENT_BYTES:
        hint = "rotate the printed key and end it: its withdrawn cards need no list then"
        raise DocumentProblem(f"the key set has {len(body)} bytes, at most {MAX_DOCUMENT_BYTES}", hint=hint)
    made = Document(KEYS, new.version, document_hash(body).hex(), format_time(now_ms), body)
    store.add(connection, made, now_ms)


def _unused(known: KeySet, folder: Path, kid: bytes | None) -> bytes:
    taken = {*known.keys, *own_keys(folder)}
    if kid is None:
        free = (bytes((number,)) for number in _FIRST_KIDS if bytes((number,)) not in taken)
        return next(free, os.urandom(KID_SIZES.stop - 1))
    if len(kid) not in KID_SIZES or kid in taken:
        raise UsageError(
            f"kid {kid.hex()} is in use or no 1 to 8 bytes", hint="a kid is never used twice; leave it out"
        )
    return kid


def issue(
    database: Database,
    folder: Path,
    purpose: Purpose,
    member: str,
    *,
    now_s: int,
    ends_s: Iterable[int],
    serial: Callable[[], bytes],
) -> list[tuple[token.Claims, str]]:
    """Return codes of a member, one for each end: claims and text. A later end than the first is for a later window.

    Raises UsageError where a station would refuse them.
    """
    ends = list(ends_s)
    made = []
    try:
        key = issuing.signing_key(own_keys(folder), current(database), purpose, now_s)
        for exp_s in ends:
            ahead_s = exp_s - ends[0]
            claims = issuing.claims_of(key, member, serial(), now_s=now_s, exp_s=exp_s, ahead_s=ahead_s)
            made.append((claims, fm1.issue(claims, lambda message: sign_ed25519(key.seed, message))))
    except IssueError as error:
        raise UsageError(str(error), hint=error.hint) from error
    return made


def serial_of(text: str) -> bytes:
    """Return a serial or kid written in hex. Raises UsageError."""
    try:
        found = bytes.fromhex(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no hexadecimal number", hint="write it like 0000beef") from error
    if len(found) not in {*CTI_SIZES, *KID_SIZES}:
        raise UsageError(f"{text!r} has {len(found)} bytes", hint="a serial has 4 to 8 bytes, a kid 1 to 8")
    return found
