"""Named threads: restarted with back-off, watched by heartbeats, reported to systemd. The only broad ``except``.

A thread shell that fails is started again and its line or link is lost only for that time. The pipeline is different:
if its step fails, memory and database may disagree, so the whole process ends and starts again from the database.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.logs import get_logger
from agent.store.failures import StorageFailed

STORAGE_EXIT = 74
"""How the process ends when the disk has failed it (EX_IOERR): the next start works from what is really there."""

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STALE_AFTER_S = 90.0
"""A thread that has not said it is alive for so long is hung: longer than any bounded wait in a shell.

The longest is a gauge that dribbles a full reply at 9600 baud, 10 s and twice 16 KiB of wire time: 44 s."""

STEADY_AFTER_S = 60.0
"""A thread that ran for so long has recovered: its next failure is a first one again."""

WATCH_EVERY_S = 0.5
JOIN_S = 3.0
"""How long the end waits for all threads together: the process is gone within 5 s, whatever a device is doing."""


class Heart:
    """What a thread shell uses to say that it is alive and to see that it should end."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self.last_beat = time.monotonic()

    def beat(self) -> bool:
        """Say "alive"; returns whether to go on."""
        self.last_beat = time.monotonic()
        return not self._stop.is_set()

    def rest(self, seconds: float) -> bool:
        """Wait, waking early at the end; returns whether to go on."""
        self._stop.wait(seconds)
        return self.beat()


Shell = Callable[[Heart], None]


@dataclass(slots=True)
class _Worker:
    name: str
    shell: Shell
    vital: bool
    heart: Heart
    thread: threading.Thread | None = None
    failures: int = 0
    not_before: float = 0.0
    reported: bool = False
    ended: bool = field(default=False)


def sd_notify(message: str) -> None:
    """Tell systemd ``message``; does nothing where nobody asked for it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    target = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(message.encode("utf-8"), target)


class Supervisor:
    """Starts, watches and ends the threads of the daemon."""

    def __init__(self, *, die: Callable[[int], None] = os._exit) -> None:
        self._stop = threading.Event()
        self._workers: list[_Worker] = []
        self._die = die
        self._log = get_logger("supervisor")

    def add(self, name: str, shell: Shell, *, vital: bool = False) -> None:
        """Add a thread; a vital one takes the process with it when it fails."""
        self._workers.append(_Worker(name, shell, vital, Heart(self._stop)))

    def start(self) -> None:
        """Start every thread."""
        for worker in self._workers:
            self._launch(worker)

    def _launch(self, worker: _Worker) -> None:
        worker.heart.beat()
        worker.thread = threading.Thread(target=self._run, args=(worker,), name=worker.name, daemon=True)
        worker.thread.start()

    def _run(self, worker: _Worker) -> None:
        began, status = time.monotonic(), 1
        try:
            worker.shell(worker.heart)
            if self._stop.is_set():
                worker.ended = True
                return
            self._log.error("thread ended although nobody asked it to", thread=worker.name)
        except StorageFailed as failure:
            status = STORAGE_EXIT
            self._log.error("the disk failed", thread=worker.name, failure=str(failure), hint=failure.hint)
        except Exception as failure:  # noqa: BLE001 - the one place that may: a failing thread must never end silently
            self._log.error("thread failed", thread=worker.name, failure=type(failure).__name__, exc_info=True)
        if worker.vital:
            self._die(status)
        now = time.monotonic()
        worker.failures = 1 if now - began > STEADY_AFTER_S else worker.failures + 1
        worker.not_before = now + min(FIRST_PAUSE_S * 2 ** (worker.failures - 1), LONGEST_PAUSE_S)

    def request_stop(self) -> None:
        """Ask every thread to end (safe in a signal handler)."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether the end was asked for."""
        return self._stop.is_set()

    def hung(self) -> list[str]:
        """Return the names of running threads without a fresh heartbeat; one that waits for its restart is none."""
        now = time.monotonic()
        running = [w for w in self._workers if w.thread is not None and w.thread.is_alive()]
        return [w.name for w in running if not w.ended and now - w.heart.last_beat > STALE_AFTER_S]

    def watch_once(self) -> None:
        """Start dead threads again when their pause is over; kick the watchdog only while every heartbeat is fresh."""
        now = time.monotonic()
        for worker in self._workers:
            dead = worker.thread is not None and not worker.thread.is_alive() and not worker.ended
            if dead and now >= worker.not_before and not self._stop.is_set():
                self._launch(worker)
        hung = self.hung()
        for worker in self._workers:
            is_hung = worker.name in hung
            if is_hung and not worker.reported:
                self._log.error("thread hangs; the watchdog will end this process", thread=worker.name)
            worker.reported = is_hung
        if not hung:
            sd_notify("WATCHDOG=1")

    def run(self) -> None:
        """Watch until the end is asked for, then wait for the threads."""
        while not self._stop.wait(WATCH_EVERY_S):
            self.watch_once()
        sd_notify("STOPPING=1")
        deadline = time.monotonic() + JOIN_S
        for worker in self._workers:
            if worker.thread is not None:
                worker.thread.join(max(0.0, deadline - time.monotonic()))
                if worker.thread.is_alive():
                    self._log.warning("thread did not end in time", thread=worker.name)
