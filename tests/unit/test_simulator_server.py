"""The forecourt on real ptys and TCP, in-process and as a process of its own."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.simulator import dart_frames as dart
from drivers.simulator.__main__ import main
from drivers.simulator.config import ConsoleConfig, CustomerConfig, default_config
from tests.support.simulated import (
    AUTHORIZE,
    RESET,
    WITHIN_S,
    ask,
    nobody,
    open_port,
    read_bytes,
    running_forecourt,
    truth_lines,
    wait_for,
)

POLL_1 = bytes.fromhex("5020FA")
EOT_1 = bytes.fromhex("5070FA")


@contextlib.contextmanager
def port(path: str | Path) -> Iterator[int]:
    """An open serial device."""
    descriptor = open_port(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def hung_up(descriptor: int) -> bool:
    """Whether the device behind an open descriptor has gone."""
    if not select.select([descriptor], [], [], 0)[0]:
        return False
    try:
        return os.read(descriptor, 100) == b""
    except OSError:
        return True


def test_pumps_answer_on_the_pty_and_the_gauge_on_tcp_and_pty(tmp_path: Path) -> None:
    """Poll of each address; one inventory over TCP, the same over the pty."""
    config = nobody(default_config(tmp_path))
    config = dataclasses.replace(config, console=ConsoleConfig(pty=True))
    with running_forecourt(tmp_path, config=config) as server:
        where = server.endpoints()
        with port(where["lines"]["island-1"]) as line:
            for address in range(0x50, 0x54):
                assert ask(line, bytes((address, 0x20, 0xFA)), size=3) == bytes((address, 0x70, 0xFA))
        with socket.create_connection((where["gauge"]["host"], where["gauge"]["port"]), timeout=WITHIN_S) as tcp:
            tcp.sendall(b"\x01i60400\r\n")
            over_tcp = tcp.recv(1_000)
        with port(where["gauge"]["pty"]) as tty:
            assert ask(tty, b"\x01i60400\r\n", size=len(over_tcp))[17:] == over_tcp[17:]
        assert json.loads((tmp_path / "endpoints.json").read_text(encoding="utf-8")) == where


def test_a_reconnecting_master_is_no_trouble(tmp_path: Path) -> None:
    """The port is opened and closed many times; the pump's numbering goes on."""
    with running_forecourt(tmp_path, config=nobody(default_config(tmp_path))) as server:
        path = server.endpoints()["lines"]["island-1"]
        for _ in range(10):
            with port(path) as line:
                assert ask(line, POLL_1, size=3) == EOT_1


def test_members_codes_are_typed_on_the_readers_port(tmp_path: Path) -> None:
    """What the truth says was typed at a reader is what came out of its pty."""
    config = default_config(tmp_path)
    config = dataclasses.replace(
        config, customers=CustomerConfig(members=1_000, scan_first=1_000, gap_mean_ms=500, wrong_codes=0)
    )
    with running_forecourt(tmp_path, config=config, speed=20) as server:
        where = server.endpoints()
        with port(where["readers"]["reader-1"]) as reader, port(where["lines"]["island-1"]) as line:
            ask(line, POLL_1, size=3)
            typed = read_bytes(reader, 18)
        wait_for(lambda: bool(truth_lines(tmp_path, "scan")), "a scan in the truth")
        first = next(s for s in truth_lines(tmp_path, "scan") if s["reader"] == "reader-1")
    assert typed == first["text"].encode() + b"\r\n"


def test_pulled_cable_hangs_up_and_comes_back_under_the_same_link(tmp_path: Path) -> None:
    """The link vanishes with a hang-up for whoever has it open, and later leads to a port that answers."""
    with running_forecourt(tmp_path, config=nobody(default_config(tmp_path))) as server:
        path = Path(server.endpoints()["lines"]["island-1"])
        with port(path) as line:
            assert ask(line, POLL_1, size=3) == EOT_1
            server.inject("cable-pulled", line="island-1", for_s=0)
            wait_for(lambda: not path.is_symlink(), "the link to vanish")
            wait_for(lambda: hung_up(line), "the hang-up")
        server.clear("cable-pulled")
        wait_for(path.exists, "the link to return")
        with port(path) as line:
            assert ask(line, POLL_1, size=3) == EOT_1


def test_renamed_cable_is_another_device_under_the_same_link(tmp_path: Path) -> None:
    """The link changes its target, the old device hangs up, the new one answers."""
    with running_forecourt(tmp_path, config=nobody(default_config(tmp_path))) as server:
        path = Path(server.endpoints()["lines"]["island-1"])
        before = path.readlink()
        with port(path) as line:
            server.inject("cable-renamed", line="island-1")
            wait_for(lambda: path.readlink() != before, "another target")
            wait_for(lambda: hung_up(line), "the hang-up")
        with port(path) as line:
            assert ask(line, POLL_1, size=3) == EOT_1


def test_unplugged_scanner_vanishes_and_returns(tmp_path: Path) -> None:
    """Only the reader's port is affected."""
    with running_forecourt(tmp_path, config=nobody(default_config(tmp_path))) as server:
        where = server.endpoints()
        path = Path(where["readers"]["reader-2"])
        server.inject("scanner-unplugged", reader="reader-2", for_s=0)
        wait_for(lambda: not path.is_symlink(), "the link to vanish")
        with port(where["lines"]["island-1"]) as line:
            assert ask(line, POLL_1, size=3) == EOT_1
        server.clear()
        wait_for(path.exists, "the link to return")


def test_late_answer_comes_after_the_answer_of_the_next_address(tmp_path: Path) -> None:
    """On the real wire the late reply arrives behind the one that was asked later."""
    with running_forecourt(tmp_path, config=nobody(default_config(tmp_path))) as server:
        server.inject("late-answer", point=1, times=1)
        with port(server.endpoints()["lines"]["island-1"]) as line:
            os.write(line, POLL_1)
            assert ask(line, bytes.fromhex("5120FA"), size=6) == bytes.fromhex("5170FA") + EOT_1


def test_no_descriptor_or_thread_is_left_behind(tmp_path: Path) -> None:
    """Starting and stopping, cables pulled in between, leaks nothing."""
    before = len(os.listdir("/proc/self/fd"))
    threads = set(threading.enumerate())
    for number in range(3):
        with running_forecourt(tmp_path / str(number), config=nobody(default_config(tmp_path))) as server:
            server.inject("cable-renamed", line="island-1")
            path = Path(server.endpoints()["lines"]["island-1"])
            with port(path) as line:
                ask(line, POLL_1, size=3, deadline_s=0.3)
        assert not path.is_symlink()
    assert len(os.listdir("/proc/self/fd")) <= before
    assert set(threading.enumerate()) <= threads


class PtyMaster:
    """A toy station on a real line: answers every lifted nozzle of four points, one poll after the other."""

    def __init__(self, path: str) -> None:
        self.line = open_port(path)
        self.reader = dart.FrameReader()
        self.tx = dict.fromkeys(range(0x50, 0x54), 0)
        self.out = dict.fromkeys(range(0x50, 0x54), False)
        self.state = dict.fromkeys(range(0x50, 0x54), 5)

    def exchange(self, data: bytes) -> list[dart.Frame]:
        """One frame out, at most one frame in; what another address says late is not taken for the answer."""
        os.write(self.line, data)
        frames: list[dart.Frame] = []
        while not frames and select.select([self.line], [], [], 0.2)[0]:
            frames += [one for one in self.reader.feed(os.read(self.line, 300)) if one.address == data[0]]
        return frames

    def round(self) -> None:
        """One poll and at most one command for every address."""
        for address in self.tx:
            for frame in self.exchange(dart.encode_short(address, dart.POLL)):
                if frame.control == dart.DATA:
                    os.write(self.line, dart.encode_short(address, dart.ACK, frame.tx))
                    for kind, data in dart.transactions(frame.data) or []:
                        if kind == 1:
                            self.state[address] = data[0]
                        elif kind == 3:
                            self.out[address] = bool(data[3] & 0x10)
            if self.out[address] and self.state[address] in {1, 5}:
                self.command(address, RESET if self.state[address] == 5 else AUTHORIZE)

    def command(self, address: int, data: bytes) -> None:
        """One block."""
        self.exchange(dart.encode_data(address, self.tx[address], data))
        self.tx[address] = 1 if self.tx[address] == 15 else self.tx[address] + 1


def test_process_sells_closes_and_ends_on_signals(tmp_path: Path) -> None:
    """A process of its own: ready file, sales through the pty, closing time by SIGUSR1, exit 0 by SIGTERM."""
    config = default_config(tmp_path / "ignored")
    (tmp_path / "config.json").write_text(
        json.dumps(
            {
                **json.loads(json.dumps(dataclasses.asdict(config))),
                "customers": {
                    "gap_mean_ms": 500,
                    "target_max_ml": 6_000,
                    "patience_min_ms": 600_000,
                    "patience_max_ms": 600_001,
                },
            }
        ),
        encoding="utf-8",
    )
    state = tmp_path / "state"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "drivers.simulator", "--config", str(tmp_path / "config.json")),
            *("--state", str(state), "--speed", "20", "--seed", "4"),
        ],
        cwd=Path(__file__).parents[2],
    )
    try:
        wait_for((state / "endpoints.json").exists, "endpoints.json")
        where = json.loads((state / "endpoints.json").read_text(encoding="utf-8"))
        assert where["pid"] == process.pid
        master = PtyMaster(where["lines"]["island-1"])

        def sold() -> bool:
            master.round()
            return len(truth_lines(state, "sale")) >= 4

        wait_for(sold, "four sales", deadline_s=2 * WITHIN_S)
        process.send_signal(signal.SIGUSR1)

        def quiet() -> bool:
            master.round()
            return bool(truth_lines(state, "quiet"))

        wait_for(quiet, "everybody gone", deadline_s=2 * WITHIN_S)
        os.close(master.line)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(60)
    summary = json.loads((state / "truth.json").read_text(encoding="utf-8"))
    assert (summary["open"], summary["quiet"]) == (False, True)
    assert summary["sales"] == len(truth_lines(state, "sale")) >= 4
    commands = [json.loads(line)["name"] for line in (state / "commands.jsonl").read_text().splitlines()]
    assert commands.count("AUTHORIZE") >= 4
    assert not {"POLL", "ACK"} & set(commands)
    assert not (state / "ports" / "island-1").is_symlink()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fault", "no-such-fault"], "known are: "),
        (["--speed", "0"], "must be above 0"),
        (["--config", "none.json"], "cannot be read"),
        (["--epoch", "2026-01-01T00:00:00"], "needs an offset"),
    ],
)
def test_bad_usage_exits_two_with_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """Nothing is started, one line on stderr."""
    assert main(["--state", str(tmp_path / "s"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "s").exists()


def test_write_config_prints_what_config_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The printed JSON is a valid configuration."""
    assert main(["--state", str(tmp_path), "--write-config"]) == 0
    path = tmp_path / "c.json"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(["--state", str(tmp_path), "--config", str(path), "--write-config"]) == 0


def test_several_faults_may_be_named_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--fault A B --fault C`` names three; a wrong one among them is found."""
    assert main(["--state", str(tmp_path / "s"), "--fault", "echo", "noise", "--fault", "drop-everything"]) == 2
    assert "'drop-everything'" in capsys.readouterr().err


def test_paced_line_answers_in_the_character_times_of_its_rate(tmp_path: Path) -> None:
    """At 300 baud three characters of 11 bits take at least 110 ms, at full speed far less is needed."""
    config = nobody(default_config(tmp_path))
    config = dataclasses.replace(config, lines=(dataclasses.replace(config.lines[0], pace_baud=300),))
    with (
        running_forecourt(tmp_path, config=config) as server,
        port(server.endpoints()["lines"]["island-1"]) as line,
    ):
        began_s = time.monotonic()
        assert ask(line, POLL_1, size=3) == EOT_1
        assert time.monotonic() - began_s >= 3 * 11 / 300


def test_console_that_closes_after_each_reply(tmp_path: Path) -> None:
    """The reply comes whole, then the end of the connection; the next connection works."""
    config = nobody(default_config(tmp_path))
    config = dataclasses.replace(config, console=ConsoleConfig(closes_after_reply=True))
    with running_forecourt(tmp_path, config=config) as server:
        gauge = server.endpoints()["gauge"]
        for _ in range(2):
            with socket.create_connection((gauge["host"], gauge["port"]), timeout=WITHIN_S) as tcp:
                tcp.sendall(b"\x01i90200\r\n")
                got = b""
                while chunk := tcp.recv(1_000):
                    got += chunk
            assert got.startswith(b"\x01i90200")
            assert got.endswith(b"\x03")


def test_points_may_be_spread_over_two_wires(tmp_path: Path) -> None:
    """With two islands each wire answers for its own points only."""
    with running_forecourt(tmp_path, config=nobody(default_config(tmp_path, islands=2))) as server:
        lines = server.endpoints()["lines"]
        with port(lines["island-1"]) as first, port(lines["island-2"]) as second:
            assert ask(first, POLL_1, size=3) == EOT_1
            assert ask(second, bytes.fromhex("5220FA"), size=3) == bytes.fromhex("5270FA")
            assert ask(second, POLL_1, size=3, deadline_s=0.2) == b""


def test_simulator_imports_nothing_else_of_ours() -> None:
    """Its encoders are its own: a shared codec would hide its own mistakes."""
    root = Path(__file__).parents[2]
    imported: set[str] = set()
    for path in (root / "drivers" / "simulator").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
    foreign = {name for name in imported if name.split(".")[0] not in sys.stdlib_module_names}
    assert foreign
    assert all(name == "drivers.simulator" or name.startswith("drivers.simulator.") for name in foreign)
