"""Which question is next: due jobs become questions, urgent ones before set-up. Pure.

Knows times as numbers handed in. Knows neither port nor reply.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from drivers.veeder_root.exchange import Ask


@dataclass(slots=True, eq=False)
class Pending:
    """A question that waits for its turn or for its answer; ``tries`` so far without one."""

    ask: Ask
    job: str
    tries: int = 0


class Schedule:
    """Two queues of questions. Jobs never pile up: a job is refilled only when all its questions are done."""

    def __init__(self) -> None:
        self._urgent: deque[Pending] = deque()
        self._later: deque[Pending] = deque()
        self._due: dict[str, float] = {}

    def clear(self) -> None:
        """Forget all questions and when jobs are due: everything is due at once."""
        self._urgent.clear()
        self._later.clear()
        self._due.clear()

    def ready(self, job: str, now: float) -> bool:
        """Whether ``job`` is due and none of its questions waits. A job that never ran is due."""
        return self._due.get(job, -math.inf) <= now and not self.busy(job)

    def sooner(self, job: str, at: float) -> None:
        """Let ``job`` be due at ``at`` at the latest."""
        self._due[job] = min(at, self._due.get(job, at))

    def begin(self, job: str, at: float) -> None:
        """Let ``job`` be due at ``at`` if it never ran."""
        self._due.setdefault(job, at)

    def busy(self, job: str) -> bool:
        """Whether questions of ``job`` still wait."""
        return any(pending.job == job for queue in (self._urgent, self._later) for pending in queue)

    def add(self, job: str, asks: Sequence[Ask], *, next_due: float, urgent: bool = True) -> None:
        """Queue the questions of ``job``, which is due again at ``next_due``."""
        (self._urgent if urgent else self._later).extend(Pending(ask, job) for ask in asks)
        self._due[job] = next_due

    def next(self) -> Pending | None:
        """Return the question to put now; it stays in front until it is done or replaced."""
        queue = self._urgent or self._later
        return queue[0] if queue else None

    def done(self, pending: Pending, instead: Sequence[Ask] = ()) -> None:
        """Take out ``pending`` and put ``instead`` in its place (the same thing asked in another form)."""
        for queue in (self._urgent, self._later):
            if pending in queue:
                at = queue.index(pending)
                queue.remove(pending)
                for ask in reversed(instead):
                    queue.insert(at, Pending(ask, pending.job))

    def earliest(self) -> float:
        """When there is something to ask: at once (minus infinity) or when the next job is due."""
        if self._urgent or self._later:
            return -math.inf
        return min(self._due.values(), default=-math.inf)
