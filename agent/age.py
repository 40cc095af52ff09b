"""The only file that imports pyrage: age keys, and streams encrypted to public keys (age-encryption.org/v1, X25519).

Knows no file format but the two key files of ``age``: recipients (public) and identities (secret). Memory is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

RECIPIENT_PREFIX = "age1"
IDENTITY_PREFIX = "AGE-SECRET-KEY-1"


class KeysRefused(Exception):
    """A key file cannot be used, or no key opens a file. ``hint``: what to do."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Damaged(Exception):
    """What should be an encrypted file is none, or bytes of it are missing or changed."""


class Source(Protocol):
    """Where bytes come from."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        ...


class Target(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> int:
        """Take all of ``data``."""
        ...

    def flush(self) -> None:
        """Hand on what was taken."""
        ...


@dataclass(frozen=True, slots=True)
class KeyPair:
    """``identity``: the secret that decrypts; ``recipient``: the public key that encrypts."""

    identity: str
    recipient: str


def new_pair() -> KeyPair:
    """Return a new key pair from the system's randomness."""
    from pyrage import x25519

    identity = x25519.Identity.generate()
    return KeyPair(str(identity), str(identity.to_public()))


def identity_file(pair: KeyPair) -> str:
    """Return the text of an identity file as ``age`` reads it. Keep it secret, mode 0600."""
    return f"# public key: {pair.recipient}\n{pair.identity}\n"


def recipients(text: str) -> tuple[str, ...]:
    """Return the public keys of a recipients file: one a line, # starts a comment. Raises KeysRefused."""
    from pyrage import RecipientError, x25519

    found = _lines(text)
    for number, line in found:
        try:
            x25519.Recipient.from_str(line)
        except RecipientError as failure:
            raise KeysRefused(
                f"line {number} is no public key of age: {line[:12]}...",
                hint=f"write one key a line, each beginning with {RECIPIENT_PREFIX}",
            ) from failure
    if not found:
        raise KeysRefused("holds no public key", hint="copy the recipients file again from head office")
    return tuple(line for _, line in found)


def identities(text: str) -> tuple[KeyPair, ...]:
    """Return the key pairs of an identity file. Raises KeysRefused; the secret stands in no message."""
    from pyrage import IdentityError, x25519

    pairs = []
    for number, line in _lines(text):
        try:
            identity = x25519.Identity.from_str(line)
        except IdentityError as failure:
            hint = f"an identity file has one line that begins with {IDENTITY_PREFIX}; age-keygen makes one"
            raise KeysRefused(f"line {number} is no secret key of age", hint=hint) from failure
        pairs.append(KeyPair(line, str(identity.to_public())))
    if not pairs:
        raise KeysRefused("holds no secret key", hint="name the identity file that age-keygen or head office made")
    return tuple(pairs)


def _lines(text: str) -> list[tuple[int, str]]:
    numbered = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in numbered if line and not line.startswith("#")]


def encrypt(source: Source, target: Target, to: Sequence[str]) -> None:
    """Encrypt everything of ``source`` to the public keys ``to``. Raises what source and target raise (OSError)."""
    from pyrage import EncryptError, encrypt_io, x25519

    inside, outside = _Reading(source), _Writing(target)
    try:
        encrypt_io(inside, outside, [x25519.Recipient.from_str(one) for one in to])
    except (EncryptError, OSError) as failure:
        raise inside.failure or outside.failure or OSError(str(failure)) from failure


def decrypt(source: Source, target: Target, pairs: Sequence[KeyPair]) -> None:
    """Decrypt everything of ``source``. Raises KeysRefused, Damaged, and the OSError of source or target.

    Blocks arrive at ``target`` as they are authenticated; only a return without an error says that all of it is whole.
    """
    from pyrage import DecryptError, decrypt_io, x25519

    inside, outside = _Reading(source), _Writing(target)
    try:
        decrypt_io(inside, outside, [x25519.Identity.from_str(pair.identity) for pair in pairs])
    except (DecryptError, OSError) as failure:
        if (own := inside.failure or outside.failure) is not None:
            raise own from failure
        if "No matching keys" in str(failure):
            raise KeysRefused(
                "this key does not open the file", hint="name the identity of one of its recipients with --identity"
            ) from failure
        raise Damaged(f"cannot be decrypted: {failure}") from failure


class _Reading:
    """A source that remembers its own failure, which pyrage reports only as a text."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.failure: OSError | None = None

    def read(self, size: int, /) -> bytes:
        try:
            return self._source.read(size)
        except OSError as failure:
            self.failure = failure
            raise


class _Writing:
    """A target that does the same."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.failure: OSError | None = None

    def write(self, data: bytes, /) -> int:
        try:
            return self._target.write(data)
        except OSError as failure:
            self.failure = failure
            raise

    def flush(self) -> None:
        try:
            self._target.flush()
        except OSError as failure:
            self.failure = failure
            raise
