"""The workers of one `serve`: one in this process, or several as processes that are watched, begun anew and ended.

Knows processes and signals; knows nothing of what a worker does.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait

from agent.logs import get_logger
from headoffice.errors import HeadOfficeError
from sync.backoff import connect_delay_s

LOOK_S = 0.5
END_WITHIN_S = 15.0
AGAIN_S, LONGEST_AGAIN_S = 1.0, 60.0
"""How long a worker that ended by itself stays away: longer each time, until one has lived that long."""

Work = Callable[[threading.Event], None]


def run_crew(count: int, work: Work) -> None:
    """Run ``work(stop)`` in ``count`` processes until SIGTERM or Ctrl-C; one alone runs in this process."""
    stop = _stopped_by_signals()
    if count == 1:
        work(stop)
        return
    ours, theirs = os.pipe()
    crew = [_Member(number, lambda: _begin(work, ours, theirs)) for number in range(1, count + 1)]
    try:
        while not stop.is_set():
            for member in crew:
                member.look(time.monotonic())
            wait([member.sentinel for member in crew if member.sentinel is not None], LOOK_S)
    finally:
        for member in crew:
            member.ask_to_end()
        for member in crew:
            member.end()


class _Member:
    """One worker process and when it is begun again."""

    def __init__(self, number: int, begin: Callable[[], multiprocessing.process.BaseProcess]) -> None:
        self._number = number
        self._begin = begin
        self._process: multiprocessing.process.BaseProcess | None = None
        self._begun_s = 0.0
        self._next_s = 0.0
        self._failures = 0

    @property
    def sentinel(self) -> int | None:
        """What becomes readable when it ends."""
        return None if self._process is None else self._process.sentinel

    def look(self, now_s: float) -> None:
        """Notice that it ended; begin it where it is due."""
        if self._process is not None and not self._process.is_alive():
            if now_s - self._begun_s >= LONGEST_AGAIN_S:
                self._failures = 0
            self._next_s = now_s + connect_delay_s(self._failures, AGAIN_S, LONGEST_AGAIN_S, 0.0)
            self._failures += 1
            get_logger("headoffice.crew").error(
                "a worker ended by itself", worker=self._number, code=self._process.exitcode
            )
            self._process = None
        if self._process is None and now_s >= self._next_s:
            self._begun_s = now_s
            self._process = self._begin()

    def ask_to_end(self) -> None:
        """SIGTERM."""
        if self._process is not None and self._process.is_alive():
            self._process.terminate()

    def end(self) -> None:
        """Wait for it, and end it for good where that takes too long."""
        if self._process is not None:
            self._process.join(END_WITHIN_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()


def _begin(work: Work, ours: int, theirs: int) -> multiprocessing.process.BaseProcess:
    """Fork: there is one thread here, no connection and no file that a child must not have."""
    process = multiprocessing.get_context("fork").Process(target=_child, args=(work, ours, theirs))
    process.start()
    return process


def _child(work: Work, ours: int, theirs: int) -> None:
    os.close(theirs)
    stop = _stopped_by_signals()
    threading.Thread(target=_outlive_nobody, args=(ours, stop), daemon=True, name="parent").start()
    try:
        work(stop)
    except HeadOfficeError as error:
        get_logger("headoffice.crew").error("a worker cannot work", problem=str(error), hint=error.hint)
        sys.exit(error.exit_code)


def _outlive_nobody(ours: int, stop: threading.Event) -> None:
    """The pipe's other end is only in the parent: when that dies, the read returns."""
    os.read(ours, 1)
    stop.set()


def _stopped_by_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop
