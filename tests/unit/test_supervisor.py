"""Named threads: started again with growing pauses, watched by heartbeats, and the vital one takes the process along."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent import supervisor as module
from agent.store.failures import Failure, StorageFailed
from agent.supervisor import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    STALE_AFTER_S,
    STEADY_AFTER_S,
    STORAGE_EXIT,
    Heart,
    Supervisor,
    sd_notify,
)
from tests.support.processes import eventually

WITHIN_S = 20.0


class Systemd:
    """The socket that systemd listens on."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """What was said since the last look."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(200).decode())
            except BlockingIOError:
                return found


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    """systemd, asking to be told."""
    told = Systemd(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    yield told
    told.socket.close()


def beating(heart: Heart) -> None:
    """A well-behaved shell."""
    while heart.rest(0.005):
        pass


def ended(supervisor: Supervisor) -> None:
    """Ask for the end and wait for it, on a busy machine for longer than a station may."""
    supervisor.request_stop()
    supervisor.run()
    for worker in supervisor._workers:
        if worker.thread is not None:
            worker.thread.join(WITHIN_S)
    assert all(worker.thread is None or not worker.thread.is_alive() for worker in supervisor._workers)


def test_a_shell_runs_until_the_end_is_asked_for(systemd: Systemd) -> None:
    """Heartbeats are fresh, the watchdog is kicked, the end is told."""
    supervisor = Supervisor()
    supervisor.add("line-1", beating)
    supervisor.start()
    supervisor.watch_once()
    assert supervisor.hung() == []
    assert not supervisor.stopping
    ended(supervisor)
    assert systemd.heard() == ["WATCHDOG=1", "STOPPING=1"]
    assert supervisor.stopping


def test_a_failing_shell_is_started_again_after_its_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once broken, once well; others never notice; nothing is raised."""
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 600.0)
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 600.0)
    tries: list[int] = []

    def shell(heart: Heart) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("a bug on this line")
        beating(heart)

    supervisor = Supervisor()
    supervisor.add("line-1", shell)
    supervisor.add("line-2", beating)
    supervisor.start()
    (worker, other) = supervisor._workers
    assert worker.thread is not None
    worker.thread.join(WITHIN_S)
    assert worker.failures == 1
    supervisor.watch_once()
    assert len(tries) == 1, "the pause is not over"
    worker.not_before = time.monotonic()
    supervisor.watch_once()
    eventually(lambda: len(tries) == 2, WITHIN_S, "the second start")
    assert other.failures == 0
    ended(supervisor)


def test_pauses_double_up_to_a_limit_and_begin_anew_after_a_steady_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second, one, two ... thirty; a thread that ran for long is forgiven."""
    supervisor = Supervisor()

    def shell(_heart: Heart) -> None:
        raise ValueError("again")

    supervisor.add("line-1", shell)
    (worker,) = supervisor._workers
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 100.0))
    pauses = []
    for _ in range(9):
        supervisor._run(worker)
        pauses.append(worker.not_before - 100.0)
    assert pauses == [min(FIRST_PAUSE_S * 2**n, LONGEST_PAUSE_S) for n in range(9)]
    times = [100.0, 100.0 + STEADY_AFTER_S + 1]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: times.pop(0)))
    supervisor._run(worker)
    assert worker.failures == 1


def test_a_shell_that_returns_without_being_asked_counts_as_failed() -> None:
    """A line that silently polls no more would be worse than one that crashes."""
    supervisor = Supervisor()
    supervisor.add("line-1", lambda _heart: None)
    (worker,) = supervisor._workers
    supervisor._run(worker)
    assert (worker.failures, worker.ended) == (1, False)


def test_a_hung_thread_stops_the_kicks_of_the_watchdog(systemd: Systemd) -> None:
    """No fresh heartbeat, no kick, so systemd ends the process; a heartbeat again, a kick again."""
    supervisor = Supervisor()
    release = threading.Event()

    def hanging(heart: Heart) -> None:
        assert release.wait(300)
        beating(heart)

    supervisor.add("line-1", hanging)
    supervisor.add("line-2", beating)
    supervisor.start()
    supervisor._workers[0].heart.last_beat -= STALE_AFTER_S + 1
    supervisor.watch_once()
    supervisor.watch_once()
    assert supervisor.hung() == ["line-1"]
    assert systemd.heard() == []
    release.set()
    eventually(lambda: supervisor.hung() == [], WITHIN_S, "the heartbeat")
    supervisor.watch_once()
    assert systemd.heard() == ["WATCHDOG=1"]
    ended(supervisor)


def test_a_thread_that_waits_for_its_restart_is_not_hung(systemd: Systemd) -> None:
    """A thread between two starts has no heartbeat and is not hung: the other lines must not die for it."""
    supervisor = Supervisor()

    def shell(_heart: Heart) -> None:
        raise OSError("no such adapter")

    supervisor.add("line-1", shell)
    supervisor.start()
    (worker,) = supervisor._workers
    assert worker.thread is not None
    worker.thread.join(WITHIN_S)
    assert worker.failures == 1
    worker.not_before = time.monotonic() + LONGEST_PAUSE_S
    worker.heart.last_beat -= STALE_AFTER_S + 1
    supervisor.watch_once()
    assert supervisor.hung() == []
    assert systemd.heard() == ["WATCHDOG=1"]
    ended(supervisor)


@pytest.mark.parametrize("vital", [True, False])
@pytest.mark.parametrize(
    ("failure", "status"),
    [(AssertionError("a broken invariant"), 1), (StorageFailed(Failure.IO, "fsync"), STORAGE_EXIT)],
)
def test_only_a_vital_thread_takes_the_process_along(failure: Exception, status: int, *, vital: bool) -> None:
    """After a failed step memory and database may disagree: the process ends, with 74 where the disk did it."""
    deaths: list[int] = []
    supervisor = Supervisor(die=deaths.append)

    def shell(_heart: Heart) -> None:
        raise failure

    supervisor.add("pipeline", shell, vital=vital)
    supervisor.start()
    (worker,) = supervisor._workers
    eventually(lambda: worker.failures == 1, WITHIN_S, "the failure")
    assert deaths == ([status] if vital else [])
    ended(supervisor)


def test_without_systemd_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon in the foreground of a terminal has nobody to notify."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert sd_notify("READY=1") is None  # type: ignore[func-returns-value]


def test_an_abstract_socket_of_systemd_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name begins with an at sign in the environment and with a zero byte in the kernel."""
    name = f"forecourt-test-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        listener.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        sd_notify("READY=1")
        assert listener.recv(100) == b"READY=1"
