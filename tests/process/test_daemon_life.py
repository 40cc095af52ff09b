"""The daemon as a process: wrong configuration, lock, control socket, systemd's words, a pulled cable, a clean end."""

from __future__ import annotations

import json
import os
import pty
import resource
import select
import signal
import socket
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from drivers.simulator.server import ForecourtServer
from tests.support.processes import Site, ended_after_s, eventually, quickest, slowed

ENDS_WITHIN_S = 5
NOTICED_WITHIN_S = 5
REFUSED_WITHIN_S = 2


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as opened:
        yield opened


def test_a_wrong_configuration_ends_with_code_2_and_every_fault(site: Site) -> None:
    """All faults at once, each with line and key; no traceback, no database."""
    site.write_config(site.no_devices())
    text = site.config.read_text().replace('protocol = "dart"', 'protocol = "dort"', 1)
    site.config.write_text(text.replace('settle = "auto"', 'settle = "later"').replace("address = 83", "address = 999"))
    done = site.command("run", "--config", str(site.config))
    assert done.returncode == 2
    for key in ("line[1].protocol", "sales.settle", "fuelling_point[4].address"):
        assert key in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert not site.database.exists()


@pytest.mark.parametrize("place", ["mark", "socket"])
def test_a_place_that_cannot_be_used_ends_with_code_2_and_two_lines(site: Site, place: str) -> None:
    """A high-water file that cannot be written, a socket path too long: what is wrong and what to do, no traceback."""
    site.write_config(site.no_devices())
    wrong = {"mark": (site.mark, Path("/proc/no/mark.json")), "socket": (site.control, site.folder / ("x" * 108))}
    old, new = wrong[place]
    site.config.write_text(site.config.read_text().replace(str(old), str(new)))
    done = site.command("run", "--config", str(site.config))
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 2, done.stderr
    assert str(new) in lines[0]
    assert place in lines[1]


def test_sigterm_ends_the_daemon_cleanly_within_five_seconds(site: Site) -> None:
    """Exit code 0, the control socket is gone, the lock is free, and asking then gives code 3."""
    site.write_config(site.no_devices())
    agent = site.start_agent()
    status = site.command("status", "--json")
    assert status.returncode == 0
    assert json.loads(status.stdout)["station"] == "SH-0421"
    agent.process.send_signal(signal.SIGTERM)
    assert agent.wait(ENDS_WITHIN_S, "the end after SIGTERM") == 0
    assert not site.control.exists()
    away = site.command("status", "--json")
    assert (away.returncode, away.stdout) == (3, "")
    assert "Traceback" not in away.stderr
    quickest(lambda: ended_after_s(site.start_agent()), ENDS_WITHIN_S)


def test_a_second_agent_ends_within_two_seconds_and_writes_nothing_to_a_port(site: Site) -> None:
    """Code 2, the message names the process that holds the lock, and the pty of a line of its own saw no byte."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    try:
        site.write_config(site.no_devices())
        first = site.start_agent()
        site.write_config({"lines": dict.fromkeys(site.no_devices()["lines"], os.ttyname(slave))})
        site.config.write_text(one_line(site.config.read_text()))
        before = cpu_of_children()
        done = site.command("run", "--config", str(site.config))
        took_s = cpu_of_children() - before
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert took_s < REFUSED_WITHIN_S, "processor time, so that a busy machine does not blur it"
        assert f"process {first.pid}" in done.stderr
        assert select.select([master], [], [], 0)[0] == []
        assert first.alive
    finally:
        os.close(master)
        os.close(slave)


def cpu_of_children() -> float:
    """Seconds of processor time that ended child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def one_line(text: str) -> str:
    """The same file with only its first line and the points on it: one port belongs to one line."""
    parts = [part for part in text.split("[[") if "island-" not in part or "island-1" in part]
    return "[[".join(parts)


def test_systemd_hears_ready_watchdog_and_stopping(site: Site) -> None:
    """READY once everything runs, WATCHDOG again and again, STOPPING at the end, on a real datagram socket."""
    site.write_config(site.no_devices())
    address = str(site.control.with_name("notify.sock"))
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(address)
        listener.settimeout(90)
        agent = site.start_agent(ready=False, NOTIFY_SOCKET=address)
        assert listener.recv(1_000) == b"READY=1"
        assert site.answers(agent)
        assert [listener.recv(1_000) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        agent.process.send_signal(signal.SIGTERM)
        words: list[bytes] = []
        while not words or words[-1] == b"WATCHDOG=1":
            words.append(listener.recv(1_000))
        assert words[-1] == b"STOPPING=1"
        assert agent.wait(ENDS_WITHIN_S, "the end after SIGTERM") == 0


def test_a_pulled_cable_is_noticed_and_recovers_within_five_seconds(site: Site) -> None:
    """Offline within 5 s of the pull, back within 5 s of the return, three times over, without a leaked descriptor.

    On a machine that others use the quickest of the three counts; on virtual time every one does, in the scenarios.
    """
    server = ForecourtServer(site.forecourt, seed=3).start()
    try:
        site.write_config(server.endpoints())
        agent = site.start_agent()
        descriptors = Path(f"/proc/{agent.pid}/fd")

        def online() -> set[int]:
            return {point["fuelling_point"] for point in site.ask("pumps") if point["online"]}

        def opened() -> list[str]:
            """What is open; a descriptor may be closed while we look."""
            found = []
            for entry in descriptors.iterdir():
                with suppress(FileNotFoundError):
                    found.append(os.readlink(entry))
            return sorted(found)

        def is_quiet() -> bool:
            """Every device and the broker are there: what the agent opens it has opened."""
            return all(found["online"] for found in site.ask("status")["devices"]) and site.ask("sync")["online"]

        eventually(lambda: online() == {1, 2, 3, 4} and is_quiet(), 20, "all devices and the broker")
        took_s = [pull_and_return(server, online)]
        before = opened()
        took_s += [pull_and_return(server, online) for _ in range(2)]
        eventually(lambda: len(opened()) <= len(before), 5, f"no descriptor is leaked: {before}, {opened()}")
        assert min(max(pair) for pair in took_s) < NOTICED_WITHIN_S * slowed(), took_s
        assert agent.end() == 0
    finally:
        server.stop()


def pull_and_return(server: ForecourtServer, online: Callable[[], set[int]]) -> tuple[float, float]:
    """The cable of point 2 is pulled and put back; how many seconds until each is noticed."""
    pulled_s = time.monotonic()
    server.inject("cable-pulled", line="island-2", for_s=0)
    eventually(lambda: online() == {1, 3, 4}, 20, "the pump on the pulled cable is offline")
    back_s = time.monotonic()
    server.clear("cable-pulled")
    eventually(lambda: online() == {1, 2, 3, 4}, 20, "the pump is back")
    return back_s - pulled_s, time.monotonic() - back_s
