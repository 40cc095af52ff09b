"""Signed texts from head office: Ed25519 as JWS compact, checked against pinned public keys (W-42).

Beside ``sync.sealing`` the only file that imports joserfc. Knows signatures and validity times; does not know what the
claims mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import errors, jws
from joserfc.jwk import OKPKey

from sync.records import RecordError, is_time, parse_time

ALGORITHM = "Ed25519"  # the fully specified name of RFC 9864; the older "EdDSA" is not accepted
MAX_SIGNED_CHARS = 65_536  # W-42 texts are pointers and commands; larger bodies travel as documents by hash
SEALING_CURVE = "X25519"
SIGNATURE_REASONS = ("malformed", "unknown_key", "bad_signature", "not_yet_valid", "expired")


class SignatureRefused(ValueError):
    """A signed text that must not be acted on; audit it. ``reason`` is one of SIGNATURE_REASONS."""

    def __init__(self, reason: str, detail: str) -> None:
        """``detail`` is for a person and never contains key material."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PinnedKeys:
    """The head-office public keys this station trusts, by key id.

    ``sealing``: the X25519 key to which texts for head office alone are sealed, ``None`` where it has given none.
    """

    keys: Mapping[str, OKPKey]
    sealing: OKPKey | None = None

    @classmethod
    def from_jwks(cls, text: str) -> PinnedKeys:
        """Read a JWK set of Ed25519 public keys with ``kid``; the first X25519 key among them is the one to seal to.

        Raises ValueError saying which key is wrong.
        """
        try:
            entries = json.loads(text)["keys"]
            sealing = [entry for entry in entries if entry.get("crv") == SEALING_CURVE]
            keys = {str(entry["kid"]): _public_key(entry) for entry in entries if entry not in sealing}
            to = _imported(sealing[0]) if sealing else None
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f'not a JWK set {{"keys": [{{"kid", "kty": "OKP", ...}}]}}: {error}') from error
        if not keys:
            raise ValueError("the JWK set holds no key; pin at least one head-office key")
        return cls(keys, to)


def _public_key(entry: Mapping[str, Any]) -> OKPKey:
    if entry.get("kty") != "OKP" or entry.get("crv") != "Ed25519":
        raise ValueError(f"key {entry.get('kid')!r} is not an Ed25519 key (kty OKP, crv Ed25519)")
    return _imported(entry)


def _imported(entry: Mapping[str, Any]) -> OKPKey:
    try:
        return OKPKey.import_key({name: entry[name] for name in ("kty", "crv", "x", "kid")})
    except (errors.JoseError, ValueError) as error:
        raise ValueError(f"key {entry.get('kid')!r} cannot be read: {error}") from error


def new_key(kid: str) -> OKPKey:
    """A fresh Ed25519 private key, for head office and for tests."""
    return OKPKey.generate_key("Ed25519", parameters={"kid": kid}, private=True)


def load_private_key(text: str) -> OKPKey:
    """Read a private Ed25519 JWK with ``kid``. Raises ValueError."""
    try:
        key = OKPKey.import_key(json.loads(text))
    except (errors.JoseError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"not a private Ed25519 JWK: {error}") from error
    if not key.is_private or key.curve_name != "Ed25519" or not key.kid:
        raise ValueError("not a private Ed25519 JWK with kid")
    return key


def public_jwks(*keys: OKPKey) -> str:
    """The JWK set a station pins."""
    return json.dumps({"keys": [{**key.as_dict(private=False), "kid": key.kid} for key in keys]}, sort_keys=True)


def private_jwk(key: OKPKey) -> str:
    """The text ``load_private_key`` reads. Keep it out of every log."""
    return json.dumps({**key.as_dict(private=True), "kid": key.kid}, sort_keys=True)


def sign(claims: Mapping[str, Any], key: OKPKey) -> str:
    """JWS compact over the JSON of ``claims``; they must hold ``not_before`` and ``not_after`` (``format_time``)."""
    assert is_time(claims.get("not_before")), "not_before must be a time"
    assert is_time(claims.get("not_after")), "not_after must be a time"
    payload = json.dumps(dict(claims), ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    return jws.serialize_compact({"alg": ALGORITHM, "kid": key.kid}, payload, key, algorithms=[ALGORITHM])


def open_signed(text: str, pinned: PinnedKeys, now_ms: int | None) -> dict[str, Any]:
    """The claims of a signed text whose signature and validity time are good. Raises SignatureRefused.

    ``now_ms``: Unix milliseconds, or None where this end does not know the time: then only the signature is checked.
    """
    if len(text) > MAX_SIGNED_CHARS or not text.isascii():
        raise SignatureRefused("malformed", "too long or not ASCII")
    claims = _verified(text, pinned)
    try:
        not_before, not_after = parse_time(claims["not_before"]), parse_time(claims["not_after"])
    except (KeyError, TypeError, RecordError) as error:
        raise SignatureRefused("malformed", f"not_before or not_after: {error}") from error
    if now_ms is not None and now_ms < not_before:
        raise SignatureRefused("not_yet_valid", f"valid from {claims['not_before']}")
    if now_ms is not None and now_ms >= not_after:
        raise SignatureRefused("expired", f"valid until {claims['not_after']}")
    return claims


def _verified(text: str, pinned: PinnedKeys) -> dict[str, Any]:
    try:
        kid = jws.extract_compact(text.encode()).headers().get("kid")
        key = pinned.keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise SignatureRefused("unknown_key", f"key {str(kid)[:64]!r} is not pinned")
        payload = jws.deserialize_compact(text, key, algorithms=[ALGORITHM]).payload
        claims = json.loads(payload)
    except errors.BadSignatureError as error:
        raise SignatureRefused("bad_signature", "the signature does not fit the text") from error
    except (errors.JoseError, SignatureRefused, ValueError, TypeError, RecursionError) as error:
        if isinstance(error, SignatureRefused):
            raise
        raise SignatureRefused("malformed", f"not a JWS compact text: {type(error).__name__}") from error
    if not isinstance(claims, dict):
        raise SignatureRefused("malformed", "the claims are not an object")
    return claims
