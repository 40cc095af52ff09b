"""Signing keys of member codes and what may be signed with them: the key file, and the claims of a new code. Pure.

Knows no file and no signature. Where private keys lie, and who may read them, is the caller's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.domain.codes.fm1 import DEFAULT_LIMITS, Limits
from agent.domain.codes.keyset import Key, KeySet, Purpose, Status
from agent.domain.codes.token import CTI_SIZES, EDDSA, KID_SIZES, Claims, TokenError

TYPE = "fc.codekey.v1"
SEED_BYTES = 32
_MEMBERS = frozenset({"type", "kid", "purpose", "seed", "not_before", "not_after"})
_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_MEMBER = re.compile(r"[0-9a-f]{16}")


class IssueError(ValueError):
    """A key file that is none, or a code that must not be signed; ``hint`` says what to do instead."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class CodeKey:
    """A private key for member codes. ``seed``: 32 bytes, not in the repr; times are Unix seconds, ``not_after_s`` the
    first second after its life.
    """

    kid: bytes
    purpose: Purpose
    seed: bytes = field(repr=False)
    not_before_s: int
    not_after_s: int

    def public(self, public: bytes, status: Status = Status.ACTIVE) -> Key:
        """Return its entry for a key set; ``public`` is the public key of the seed."""
        return Key(self.kid, EDDSA, public, self.purpose, self.not_before_s, self.not_after_s, status)


def key_document(key: CodeKey) -> dict[str, Any]:
    """Return the content of a key file."""
    return {
        "type": TYPE,
        "kid": key.kid.hex(),
        "purpose": key.purpose.value,
        "seed": key.seed.hex(),
        "not_before": key.not_before_s,
        "not_after": key.not_after_s,
    }


def read_key(document: object) -> CodeKey:
    """Return the key of a key file's content. Raises IssueError naming the member, never a value."""
    if not isinstance(document, Mapping) or document.get("type") != TYPE:
        raise IssueError(f"no key file: its type is not {TYPE}", hint="forecourt-hq codes keygen makes one")
    unknown = set(document) ^ _MEMBERS
    if unknown:
        raise IssueError(f"the key file lacks or does not know {', '.join(sorted(unknown))}", hint="take it unchanged")
    kid, seed = _bytes(document["kid"]), _bytes(document["seed"])
    times = (document["not_before"], document["not_after"])
    if kid is None or len(kid) not in KID_SIZES:
        raise IssueError("the kid of the key file is no 1 to 8 bytes in hex", hint="take the file unchanged")
    if seed is None or len(seed) != SEED_BYTES:
        raise IssueError("the seed of the key file is no 32 bytes in hex", hint="restore the file from your backup")
    if any(type(time) is not int for time in times) or times[0] >= times[1]:
        raise IssueError("the dates of the key file are no rising Unix seconds", hint="take the file unchanged")
    try:
        purpose = Purpose(str(document["purpose"]))
    except ValueError as error:
        raise IssueError(f"the key file: {error}", hint="a key is dynamic or printed") from error
    return CodeKey(kid, purpose, seed, *times)


def claims_of(
    key: CodeKey, member: str, cti: bytes, *, now_s: int, exp_s: int, limits: Limits = DEFAULT_LIMITS, ahead_s: int = 0
) -> Claims:
    """Return the claims of a code that stations will take, or raise IssueError saying why they would not.

    ``member``: 16 hex digits; ``exp_s``: first second no longer valid; ``ahead_s``: how far ahead of its own window the
    code is made (a phone fetches a few at once).
    """
    if _MEMBER.fullmatch(member.lower()) is None:
        raise IssueError("a member id has 16 hex digits", hint="forecourt-hq members import knows them by that id")
    if not key.not_before_s <= now_s < key.not_after_s:
        raise IssueError(f"key {key.kid.hex()} is not valid now", hint="sign with a key whose dates hold today")
    if exp_s <= now_s:
        raise IssueError("the code would have ended before it is made", hint="choose a later end")
    if exp_s > now_s + ahead_s + limits.ttl_s(key.purpose):
        longest = limits.ttl_s(key.purpose)
        hint = f"a {key.purpose.value} code lives {longest} seconds at most; every station enforces it"
        raise IssueError("the code would live longer than its purpose allows", hint=hint)
    if exp_s > key.not_after_s:
        raise IssueError(f"the code would outlive its key {key.kid.hex()}", hint="end it earlier, or rotate the key")
    if len(cti) not in CTI_SIZES:
        raise IssueError("a serial has 4 to 8 bytes", hint="leave it out: a random one is made")
    try:
        return Claims(EDDSA, key.kid, int(member, 16), exp_s, cti)
    except TokenError as error:
        raise IssueError(str(error), hint="see docs/head-office.md, member codes") from error


def signing_key(keys: Mapping[bytes, CodeKey], published: KeySet, purpose: Purpose, now_s: int) -> CodeKey:
    """Return the key to sign with: of those published, active and begun, the youngest. Raises IssueError.

    Its dates are those of the published set: what stations judge by.
    """
    best: CodeKey | None = None
    for entry in published.keys.values():
        own = keys.get(entry.kid)
        fits = entry.purpose is purpose and entry.status is Status.ACTIVE
        if own is None or not fits or not entry.not_before_s <= now_s < entry.not_after_s:
            continue
        if best is None or entry.not_before_s > best.not_before_s:
            best = CodeKey(own.kid, own.purpose, own.seed, entry.not_before_s, entry.not_after_s)
    if best is None:
        raise IssueError(
            f"no published {purpose.value} key may sign now",
            hint=f"forecourt-hq codes keygen --purpose {purpose.value}, then forecourt-hq codes publish",
        )
    return best


def _bytes(value: object) -> bytes | None:
    text = value.lower() if isinstance(value, str) else "?"
    return bytes.fromhex(text) if _HEX.fullmatch(text) else None
