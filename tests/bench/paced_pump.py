"""A device on a pseudo terminal whose bytes take their time at 9600 baud: the other end of P5, a process of its own.

Called with ``dart`` (a pump) or ``modbus`` (a meter of 20 registers).
Prints the terminal's name; at the end of its input, how many polls came, over how long, and how long the wire had them.
"""

from __future__ import annotations

import json
import os
import pty
import select
import sys
import time
import tty
from collections.abc import Callable

from drivers.simulator import modbus_frames
from tests.support.wire import FakePump

BITS = {"dart": 11, "modbus": 10}
BAUD = 9600
ANSWERS_AFTER_S = 0.002
AWAKE_S = 0.0005  # the last moments are waited for awake: the wire is never late by itself


def main(protocol: str) -> None:
    """Answer until the standard input ends."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    answer = FakePump().receive if protocol == "dart" else meter()
    character_s = BITS[protocol] / BAUD
    print(os.ttyname(slave), flush=True)
    began: list[float] = []
    wire_s: list[float] = []
    while True:
        ready, _, _ = select.select([master, sys.stdin], [], [])
        if master not in ready:
            break
        read_s = time.monotonic()
        request = os.read(master, 4096)
        reply = answer(request)
        if not reply:
            continue
        due_s = read_s + (len(request) + len(reply)) * character_s + ANSWERS_AFTER_S
        select.select([], [], [], max(0.0, due_s - time.monotonic() - AWAKE_S))
        while time.monotonic() < due_s:
            pass
        os.write(master, reply)
        began.append(read_s)
        wire_s.append(time.monotonic() - read_s)
    print(json.dumps({"began_s": began, "wire_s": wire_s}))


def meter() -> Callable[[bytes], bytes]:
    """Answer every read with as many registers as were asked for, all zero."""
    reader = modbus_frames.RtuReader()

    def receive(data: bytes) -> bytes:
        return b"".join(
            modbus_frames.envelope(request, modbus_frames.answer(request, (0,) * request.count), tcp=False)
            for request in reader.feed(data)
        )

    return receive


if __name__ == "__main__":
    main(sys.argv[1])
