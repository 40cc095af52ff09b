"""A SQLite VFS that does what the operating system's does and writes every change down, in order, as a disk would see it.

Knows apsw. Knows nothing of transactions, of stores and of what becomes of the log.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from uuid import uuid4

import apsw

_SYNCED_WITH_ITS_FOLDER = (
    apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL  # as os_unix.c has it
)


class Kind(Enum):
    """What was done to a file or to the folder."""

    CREATE = "create"
    WRITE = "write"
    TRUNCATE = "truncate"
    SYNC = "sync"
    DELETE = "delete"
    SYNC_FOLDER = "sync-folder"


@dataclass(frozen=True, slots=True)
class Change:
    """One change: ``offset`` and ``data`` of a write, ``offset`` as the new size of a truncate."""

    kind: Kind
    file: str
    offset: int = 0
    data: bytes = b""


class RecordingVfs(apsw.VFS):
    """Opens databases through ``name``; ``log`` grows with every change of any file of theirs.

    The wal-index never appears: it is memory, and no power cut leaves it behind.
    """

    def __init__(self) -> None:
        self.name = f"recording-{uuid4().hex}"
        self.log: list[Change] = []
        super().__init__(self.name, "", maxpathname=0)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _RecordingFile:  # noqa: N802
        """Open a file; one that was not there is a change of the folder."""
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        is_new = path is not None and not os.path.exists(path)
        if is_new and path is not None:
            self.log.append(Change(Kind.CREATE, Path(path).name))
        return _RecordingFile(self.log, name, flags, is_new=is_new)

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802
        """Delete a file; only with ``syncdir`` does the folder reach the disk."""
        super().xDelete(name, syncdir)
        self.log.append(Change(Kind.DELETE, Path(name).name))
        if syncdir:
            self.log.append(Change(Kind.SYNC_FOLDER, ""))


class _RecordingFile(apsw.VFSFile):
    """One open file; a file without a name is SQLite's own scratch and of no interest."""

    def __init__(
        self, log: list[Change], name: str | apsw.URIFilename | None, flags: list[int], *, is_new: bool
    ) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._file = None if path is None else Path(path).name
        self._log = log
        self._folder_too = is_new and bool(flags[0] & _SYNCED_WITH_ITS_FOLDER)
        super().__init__("", name, flags)

    def _note(self, kind: Kind, offset: int = 0, data: bytes = b"") -> None:
        if self._file is not None:
            self._log.append(Change(kind, self._file, offset, data))

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        """Write."""
        super().xWrite(data, offset)
        self._note(Kind.WRITE, offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        """Set the size."""
        super().xTruncate(newsize)
        self._note(Kind.TRUNCATE, newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        """Say that the content is to reach the disk: the bench needs no real disk for that.

        The first sync of a new journal or log syncs the folder as well: so does the VFS of Unix.
        """
        del flags
        self._note(Kind.SYNC)
        if self._folder_too:
            self._folder_too = False
            self._note(Kind.SYNC_FOLDER)
