"""What can go wrong at head office, named by who is at fault; each carries a hint for the operator.

HeadOfficeError
+-- UsageError         the operator's input or configuration is wrong: exit code 2
|   +-- DatabaseProblem  the database file is missing, newer than this software, or does not keep its promises
|   |   +-- DatabaseAway   its server cannot be reached now: exit code 3
|   +-- KeyProblem       a key file is missing, readable by others, or not a key
|   +-- DocumentProblem  a rule set is not valid, or its version goes back
|   +-- ImportProblem    a line of a member file cannot be read
+-- RulesDoubtful      a rule set could be published and is questionable: exit code 1, nothing was published
"""

from __future__ import annotations


class HeadOfficeError(Exception):
    """Base of all errors shown to a person. ``hint`` says what to do."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(HeadOfficeError):
    """The operator's input is wrong. Example: an unknown station in `stations unfence`."""


class DatabaseProblem(UsageError):
    """The database cannot be used as it is. Examples: no such file; migrated by newer software; WAL refused."""


class DatabaseAway(DatabaseProblem):
    """The server of the database does not answer; nothing was acknowledged. Examples: it restarts; the cable is out."""

    exit_code = 3


class KeyProblem(UsageError):
    """A key file cannot be used. Examples: `keys` was never run; the private key is readable by others."""


class DocumentProblem(UsageError):
    """A document is refused before it is published. Examples: not valid JSON; version 3 after version 4."""


class ImportProblem(UsageError):
    """A member file is refused as a whole, nothing is imported. Example: line 17 has a member id that is not hex."""


class RulesDoubtful(HeadOfficeError):
    """A valid rule set that somebody must look at first. Example: an offer that stands in the shadow of another."""

    exit_code = 1


def fault(error: Exception) -> str:
    """Say for a person what is wrong with a file: without the system's number of it, and without the path again."""
    words = error.strerror if isinstance(error, OSError) else None
    return words or str(error)
