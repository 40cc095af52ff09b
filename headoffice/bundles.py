"""Making the bundle of one station from the key folder and what the operator adds. Knows files; knows no database."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from headoffice.cards import bundled
from headoffice.errors import KeyProblem, UsageError, fault
from headoffice.keys import RECIPIENTS_FILE, Keys
from sync.bundle import Bundle, BundleProblem, dump, fingerprint


def make_bundle(
    keys: Keys,
    folder: Path,
    *,
    station: Mapping[str, str],
    broker: str,
    made_at: str,
    parts: Mapping[str, Path | None],
    configuration: Path | None,
) -> str:
    """Return the bundle as text.

    ``station``: values of [station]; ``parts``: further files by their names in the bundle, None = left out.
    Raises UsageError where a file cannot be read or a part is not what its name says.
    """
    files = {"index-key": keys.index_key.hex() + "\n", "pinned-keys": keys.pinned + "\n"}
    recipients = folder / RECIPIENTS_FILE
    wanted = {**parts, "backup-recipients": recipients if recipients.exists() else None, "card-keys": bundled(folder)}
    files |= {name: _text(path) for name, path in wanted.items() if path is not None}
    told = None if configuration is None else _text(configuration)
    try:
        return dump(Bundle(station, broker, made_at, files, told))
    except BundleProblem as problem:
        raise UsageError(str(problem), hint="see `forecourt-hq bundle --help`") from problem


def write_bundle(path: Path, text: str) -> str:
    """Write the bundle for its owner only and return its fingerprint. Raises KeyProblem; never overwrites."""
    content = text.encode("utf-8")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        hint = "choose another --out FILE; a bundle that is there is never overwritten"
        raise KeyProblem(f"cannot write {path}: {error.strerror}", hint=hint) from error
    return fingerprint(content)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {fault(error)}", hint="name a readable text file") from error
