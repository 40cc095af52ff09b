"""From a database file to an encrypted one and back, as streams: zstd inside, age outside, hashes of both ends.

The only file that imports zstandard. Knows no folder, no station and no schedule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from agent import age
from agent.backup.errors import BackupDamaged, BackupError, Ended

Pulse = Callable[[], bool]
"""Called often by everything long: says "alive", may rest a moment, answers whether to go on."""

BLOCK_BYTES = 262_144
LEVEL = 3
"""zstd's default: about a quarter of the size at more than 100 MB/s."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Sizes and SHA-256 (hex) of the plain database and of the sealed file."""

    database_bytes: int
    database_sha256: str
    sealed_bytes: int
    sealed_sha256: str


def never_ending() -> bool:
    """A pulse that always goes on."""
    return True


def seal(database: Path, sealed: BinaryIO, recipients: Sequence[str], pulse: Pulse) -> Sums:
    """Write ``database`` packed and encrypted to ``sealed``. Raises OSError (Ended at the end)."""
    import zstandard

    with database.open("rb") as file:
        plain, target = _Reader(file, pulse), _Writer(sealed)
        packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        with packer.stream_reader(
            cast("BinaryIO", plain), size=database.stat().st_size, read_size=BLOCK_BYTES
        ) as packed:
            age.encrypt(packed, target, recipients)
    return Sums(plain.size, plain.digest, target.size, target.digest)


def unseal(sealed: BinaryIO, database: BinaryIO | None, pairs: Sequence[age.KeyPair], pulse: Pulse) -> Sums:
    """Write the database inside ``sealed`` to ``database``; None only computes the sums.

    Raises BackupDamaged, BackupError (no key opens it) and OSError (Ended at the end).
    """
    import zstandard

    source, target = _Reader(sealed, pulse), _Writer(database)
    try:
        with zstandard.ZstdDecompressor().stream_writer(cast("BinaryIO", target), closefd=False) as unpacked:
            age.decrypt(source, unpacked, pairs)
    except age.KeysRefused as failure:
        raise BackupError(str(failure), hint=failure.hint) from failure
    except age.Damaged as failure:
        raise BackupDamaged(str(failure), hint="use another copy of it, or an older backup") from failure
    except zstandard.ZstdError as failure:
        raise BackupDamaged(
            f"cannot be unpacked: {failure}", hint="this is no backup of a station, or its maker was interrupted"
        ) from failure
    return Sums(target.size, target.digest, source.size, source.digest)


def sha256_of(path: Path, pulse: Pulse = never_ending) -> tuple[int, str]:
    """Return size and SHA-256 of a file. Raises OSError."""
    with path.open("rb") as file:
        reader = _Reader(file, pulse)
        while reader.read(BLOCK_BYTES):
            pass
    return reader.size, reader.digest


class _Reader:
    """A file whose bytes are counted and hashed as they are read."""

    def __init__(self, file: BinaryIO, pulse: Pulse) -> None:
        self._file = file
        self._pulse = pulse
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        if not self._pulse():
            raise Ended("the end was asked for")
        data = self._file.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


class _Writer:
    """A file whose bytes are counted and hashed as they are written; without a file only that."""

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes, /) -> int:
        if self._file is not None:
            self._file.write(data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()
