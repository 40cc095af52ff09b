"""The station's own requests: which are open is read, each is repeated with its req_id until somebody takes it away.

Sans-IO: time and chance come in, requests to publish and answers come out. What is open survives the process elsewhere;
here is only when each is due. Knows no kind of request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from sync.delivery import JITTER
from sync.notices import Req, Res
from sync.ports import Answered

RETRY_S = 2.0  # a person may be waiting: the first repeat comes before they go on without ...
MAX_RETRY_S = 300.0  # ... and a request that nobody answers costs little


@dataclass(slots=True)
class _Turn:
    due: float
    retry_s: float


class Asking:
    """``open_requests()`` gives what is not answered yet, oldest first, each time; it bounds their number."""

    def __init__(self, open_requests: Callable[[], Sequence[Req]], rng: Random) -> None:
        """See the class."""
        self._open = open_requests
        self._rng = rng
        self._turns: dict[str, _Turn] = {}
        self._connected = False

    def next_deadline(self) -> float | None:
        """When ``tick`` has something to repeat; None if nothing is out."""
        return min((turn.due for turn in self._turns.values()), default=None) if self._connected else None

    def connected(self, now: float) -> list[Req]:
        """A new connection: what is open is said again at once."""
        self._connected = True
        self._turns.clear()
        return self.tick(now)

    def disconnected(self) -> None:
        """Nothing can be asked until the next connection."""
        self._connected = False

    def tick(self, now: float) -> list[Req]:
        """Return what is to be said now: what is new, and what nobody answered in time."""
        if not self._connected:
            return []
        wanted = self._open()
        known = {req.req_id for req in wanted}
        self._turns = {name: turn for name, turn in self._turns.items() if name in known}
        said = []
        for req in wanted:
            turn = self._turns.get(req.req_id)
            if turn is not None and now < turn.due:
                continue
            wait_s = RETRY_S if turn is None else turn.retry_s
            due = now + wait_s * (1 + JITTER * self._rng.random())
            self._turns[req.req_id] = _Turn(due, min(2 * wait_s, MAX_RETRY_S))
            said.append(req)
        return said

    def answer(self, now: float, res: Res) -> Answered | None:
        """Return the answer to what is open, None for any other. It is asked again only if it stays open."""
        turn = self._turns.get(res.req_id)
        if turn is None:
            return None
        turn.due = now + turn.retry_s
        return Answered(res.req_id, res.status, res.reason, res.body)
