"""Head office's key files: the Ed25519 signing key, the X25519 key that contacts are sealed to, and the group's key for
blind indexes, readable by the owner only.

Knows files; knows no database and no signature. Stations pin ``pinned.jwks.json``; ``index.key`` is in their bundle.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agent import age
from agent.domain.identity import index_version
from headoffice.errors import KeyProblem
from sync.sealing import load_sealing_key, new_sealing_key, open_sealed
from sync.signing import load_private_key, new_key, private_jwk, public_jwks, sign

SIGNING_FILE = "signing.jwk.json"
PUBLIC_FILE = "pinned.jwks.json"
INDEX_FILE = "index.key"
CONTACT_FILE = "contact.jwk.json"
"""Opens the contacts of enrolled members, which stations seal to its public half."""

IDENTITY_FILE = "backup.identity"
"""Opens every station's backups: keep a copy of it where no fire reaches both."""

RECIPIENTS_FILE = "backup.recipients"
"""The age recipients that stations encrypt their backups to; more may be added by hand."""

NEXT_INDEX_FILE = "index.next.key"
"""The index key that takes the place of the other one, while members are told with both."""

INDEX_KEY_BYTES = 32
KID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Keys:
    """What the key files give.

    ``sign`` makes a JWS compact of claims with the Ed25519 key ``kid``; ``pinned``: the JWK set stations pin;
    ``index_key``: 32 bytes, common to the station group. ``unseal`` opens what a station sealed to head office (raises
    ``sync.sealing.SealRefused``), ``None`` where these keys are older than such texts. ``index_next``: the key that
    takes the place of ``index_key``, while they are exchanged.
    """

    kid: str
    sign: Callable[[Mapping[str, Any]], str]
    pinned: str
    index_key: bytes
    unseal: Callable[[str], str] | None = None
    index_next: bytes | None = None

    @property
    def index_versions(self) -> tuple[str, ...]:
        """What the index key, and the next one while there is one, are called."""
        return tuple(index_version(key) for key in (self.index_key, self.index_next) if key is not None)


def make_keys(folder: Path) -> Keys:
    """Make what is missing in ``folder`` and return all; keys that are there are never replaced.

    Raises KeyProblem where the folder cannot be written or a key that is there cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (folder / SIGNING_FILE).exists():
            key = new_key(secrets.token_hex(KID_BYTES))
            write_private(folder / SIGNING_FILE, private_jwk(key).encode() + b"\n")
        if not (folder / INDEX_FILE).exists():
            write_private(folder / INDEX_FILE, secrets.token_hex(INDEX_KEY_BYTES).encode() + b"\n")
        if not (folder / CONTACT_FILE).exists():
            contact = new_sealing_key(secrets.token_hex(KID_BYTES))
            write_private(folder / CONTACT_FILE, private_jwk(contact).encode() + b"\n")
        _make_backup_key(folder)
        keys = load_keys(folder)
        (folder / PUBLIC_FILE).write_text(keys.pinned + "\n", encoding="utf-8")
    except OSError as error:
        raise KeyProblem(
            f"cannot write keys in {folder}: {error.strerror}", hint="choose another --keys DIR"
        ) from error
    return keys


def _make_backup_key(folder: Path) -> None:
    """Make the key pair of backups; recipients that somebody put there stay, and then no pair is made."""
    if (folder / RECIPIENTS_FILE).exists():
        return
    if not (folder / IDENTITY_FILE).exists():
        write_private(folder / IDENTITY_FILE, age.identity_file(age.new_pair()).encode())
    try:
        pairs = age.identities(read_private(folder / IDENTITY_FILE))
    except age.KeysRefused as error:
        raise KeyProblem(f"{folder / IDENTITY_FILE}: {error}", hint=error.hint) from error
    keys = "".join(f"{pair.recipient}\n" for pair in pairs)
    (folder / RECIPIENTS_FILE).write_text(f"# head office\n{keys}", encoding="utf-8")


def load_keys(folder: Path) -> Keys:
    """Read both keys. Raises KeyProblem where one is missing, readable by others, or not a key."""
    try:
        signing = load_private_key(read_private(folder / SIGNING_FILE))
        index_key = bytes.fromhex(read_private(folder / INDEX_FILE).strip())
        has_next = (folder / NEXT_INDEX_FILE).exists()
        index_next = bytes.fromhex(read_private(folder / NEXT_INDEX_FILE).strip()) if has_next else None
        has_contact = (folder / CONTACT_FILE).exists()
        contact = load_sealing_key(read_private(folder / CONTACT_FILE)) if has_contact else None
    except ValueError as error:
        raise KeyProblem(f"a key file in {folder} is damaged: {error}", hint="restore it from your backup") from error
    for file, key in ((INDEX_FILE, index_key), (NEXT_INDEX_FILE, index_next)):
        if key is not None and len(key) != INDEX_KEY_BYTES:
            raise KeyProblem(f"{folder / file} does not hold 32 bytes", hint="restore it from your backup")
    public = [signing] if contact is None else [signing, contact]
    unseal = None if contact is None else partial(open_sealed, key=contact)
    return Keys(str(signing.kid), partial(sign, key=signing), public_jwks(*public), index_key, unseal, index_next)


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that only its owner reads, down to the disk. Raises OSError, also where there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_private(path: Path) -> str:
    """Return a secret file's text. Raises KeyProblem where it cannot be read, or others can read it too."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        content = path.read_text(encoding="ascii")
    except OSError as error:
        raise KeyProblem(
            f"cannot read the key {path}: {error.strerror}", hint="run `forecourt-hq keys` once"
        ) from error
    if mode & 0o077:
        raise KeyProblem(f"{path} can be read by others (mode {mode:o})", hint=f"chmod 600 {path}")
    return content
