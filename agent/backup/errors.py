"""What can go wrong with a backup, named by who has to act.

BackupError            a backup was not made, not opened or not put back; nothing that was there before has changed
|- BackupRefused       what was asked for would do harm: another station's backup, a newer schema, no answer given
`- BackupDamaged       the file is not what was written: bytes missing, changed, or never a backup
Ended                  an OSError: the station ends, whoever makes or opens a backup gives up
"""

from __future__ import annotations


class BackupError(Exception):
    """A backup was not made, not opened or not put back. ``hint``: what to do."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class BackupRefused(BackupError):
    """It could be done and would do harm.

    Example scenarios: the file of the neighbouring station; a database of a newer version of this software.
    """


class BackupDamaged(BackupError):
    """The file is not what was written.

    Example scenarios: a copy cut short by a pulled stick; a flipped bit; a file that never was a backup.
    """


class Ended(OSError):
    """The end of the station was asked for in the middle; whoever makes or opens the backup gives up.

    Not InterruptedError: streams of other libraries take that as "try again", for ever.
    """
