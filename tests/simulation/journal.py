"""What happened in a simulated day, in order: a hash over all of it, and the last lines for people."""

from __future__ import annotations

from collections import deque
from hashlib import sha256

KEPT = 400
"""Lines kept for people; the hash has every one."""


class EventLog:
    """``digest`` is equal for two days exactly if everything noted is equal, in the same order."""

    def __init__(self, kept: int | None = KEPT) -> None:
        self.lines: deque[str] = deque(maxlen=kept)
        self.count = 0
        self._hash = sha256()

    def note(self, t_ms: int, what: str) -> None:
        """Something happened at a virtual time."""
        line = f"{t_ms / 1000:11.3f}  {what}"
        self.count += 1
        self.lines.append(line)
        self._hash.update(line.encode())

    @property
    def digest(self) -> str:
        """Hash of everything so far, in hex."""
        return self._hash.hexdigest()
