"""A pump on a pseudo terminal whose bytes take their time at 9600 baud: the other end of P5, a process of its own.

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

from tests.support.wire import FakePump

CHARACTER_S = 11 / 9600
ANSWERS_AFTER_S = 0.002
AWAKE_S = 0.0005  # the last moments are waited for awake: the wire is never late by itself


def main() -> None:
    """Answer until the standard input ends."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    pump = FakePump()
    print(os.ttyname(slave), flush=True)
    began: list[float] = []
    wire_s: list[float] = []
    while True:
        ready, _, _ = select.select([master, sys.stdin], [], [])
        if master not in ready:
            break
        read_s = time.monotonic()
        request = os.read(master, 4096)
        reply = pump.receive(request)
        if not reply:
            continue
        due_s = read_s + (len(request) + len(reply)) * CHARACTER_S + ANSWERS_AFTER_S
        select.select([], [], [], max(0.0, due_s - time.monotonic() - AWAKE_S))
        while time.monotonic() < due_s:
            pass
        os.write(master, reply)
        began.append(read_s)
        wire_s.append(time.monotonic() - read_s)
    print(json.dumps({"began_s": began, "wire_s": wire_s}))


if __name__ == "__main__":
    main()
