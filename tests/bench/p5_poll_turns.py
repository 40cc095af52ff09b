"""P5: polls at 9600 baud, beside what the wire and the protocol's own pause allow: a DART pump, a Modbus meter.

The wire's time is what the paced device took from our last byte to its last byte; a real UART adds the same to both
sides.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from statistics import median

from drivers.config import LineConfig, PointConfig
from drivers.dart.options import DartOptions
from drivers.modbus.link import serial_timing
from drivers.registry import make_line
from tests.bench.table import Row, reaching

SECONDS = 15.0
TARGET = 0.98


def measure() -> list[Row]:
    """Poll one device of each protocol for a while and compare."""
    pump = PointConfig(fuelling_point=1, address=0x51, nozzles=(1,))
    dart = LineConfig(id="a", port="", protocol="dart", points=(pump,))
    meter = PointConfig(fuelling_point=1, address=1, nozzles=(1,), sends_commands=False)
    options = {"map": "fuxin-gas-computer", "values": {"unit_standard_total": "m3"}, "poll_interval": 0}
    modbus = LineConfig(id="b", port="", protocol="modbus", points=(meter,), options=options)
    return [
        _row(dart, "DART idle polls at 9600 baud, p50", DartOptions().pause_frame_s),
        _row(modbus, "Modbus reads of 20 registers at 9600 baud, p50", serial_timing(0.5, 9600, 10).gap_s),
    ]


def _row(config: LineConfig, what: str, pause_s: float) -> Row:
    peer = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.paced_pump", config.protocol],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert peer.stdout is not None
    line = make_line(replace(config, port=peer.stdout.readline().strip()))
    end_s = time.monotonic() + SECONDS
    cpu_s = time.thread_time()
    while time.monotonic() < end_s:
        line.turn()
    cpu_s = time.thread_time() - cpu_s
    told = json.loads(peer.communicate()[0])
    line.close()
    quiet = len(told["began_s"]) // 10  # first contact asks for more than a poll
    turns_s = [after - before for before, after in pairwise(told["began_s"][quiet:])]
    wire_s = told["wire_s"][quiet:-1]
    row = reaching(
        "P5",
        what,
        1 / median(turns_s),
        1 / (median(wire_s) + pause_s),
        unit="turns/s",
        peer_name="wire time and pause",
        at_least=TARGET,
    )
    over_us = (median(turn - wire for turn, wire in zip(turns_s, wire_s, strict=True)) - pause_s) * 1e6
    note = f"{over_us:.0f} us of a turn of {median(turns_s) * 1e3:.1f} ms are ours"
    return replace(row, note=f"{note}, {cpu_s / len(told['began_s']) * 1e6:.0f} us of processor time")
