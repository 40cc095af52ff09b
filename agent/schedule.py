"""The only file that imports APScheduler: a job only puts a tick on the inbox."""

from __future__ import annotations

from collections.abc import Callable

from apscheduler.schedulers.background import BackgroundScheduler

from agent.inbox import Inbox, Item, Ticked


class Ticks:
    """Puts ``Ticked("second")`` and ``Ticked("minute")`` on the inbox; a slow pipeline gets the newest only."""

    def __init__(self, inbox: Inbox[Item], *, speed: int = 1) -> None:
        self._scheduler = BackgroundScheduler(timezone="UTC")
        for kind, seconds in (("second", 1), ("minute", 60)):
            self._scheduler.add_job(
                _put(inbox, kind), "interval", seconds=seconds / speed, coalesce=True, max_instances=1, id=kind
            )

    def start(self) -> None:
        """Start APScheduler's own thread."""
        self._scheduler.start()

    def stop(self) -> None:
        """End it."""
        self._scheduler.shutdown(wait=False)


def _put(inbox: Inbox[Item], kind: str) -> Callable[[], None]:
    def job() -> None:
        inbox.put_latest(("tick", kind), Ticked(kind))

    return job
