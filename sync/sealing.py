"""Texts that only head office can read: JWE compact, ECDH-ES on X25519 with A256GCM, to a public key stations hold.

Beside ``sync.signing`` the only file that imports joserfc. Knows ciphers; does not know what is sealed or for how long.
"""

from __future__ import annotations

import json

from joserfc import errors, jwe
from joserfc.jwk import OKPKey

ALGORITHMS = ["ECDH-ES", "A256GCM"]
CURVE = "X25519"
MAX_SEALED_CHARS = 4_096
"""A phone number takes some 250; a record has 16 KiB for everything."""


class SealRefused(ValueError):
    """A sealed text that cannot be opened; the message never holds any of it."""


def new_sealing_key(kid: str) -> OKPKey:
    """A fresh X25519 private key, for head office and for tests."""
    return OKPKey.generate_key("X25519", parameters={"kid": kid}, private=True)


def load_sealing_key(text: str) -> OKPKey:
    """Read a private X25519 JWK with ``kid``. Raises ValueError."""
    try:
        key = OKPKey.import_key(json.loads(text))
    except (errors.JoseError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"not a private {CURVE} JWK: {type(error).__name__}") from error
    if not key.is_private or key.curve_name != CURVE or not key.kid:
        raise ValueError(f"not a private {CURVE} JWK with kid")
    return key


def seal(text: str, public: OKPKey) -> str:
    """Return the text sealed to a key: two sealings of one text have nothing in common."""
    header = {"alg": ALGORITHMS[0], "enc": ALGORITHMS[1], "kid": str(public.kid)}
    return jwe.encrypt_compact(header, text.encode(), public, algorithms=ALGORITHMS)


def open_sealed(sealed: str, key: OKPKey) -> str:
    """Return the text. Raises SealRefused: not for this key, damaged, or no sealed text at all."""
    if len(sealed) > MAX_SEALED_CHARS or not sealed.isascii():
        raise SealRefused("too long or not ASCII")
    try:
        return (jwe.decrypt_compact(sealed, key, algorithms=ALGORITHMS).plaintext or b"").decode()
    except (errors.JoseError, ValueError, TypeError) as error:
        raise SealRefused(f"it cannot be opened with this key: {type(error).__name__}") from error
