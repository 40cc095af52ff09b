"""``python -m agent.demo.guardian DIR``: ends what a demo started if the demo itself is killed.

Standard input is a pipe that closes with the demo; whatever pids.json still names then is ended by process id.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from agent.demo.processes import STATE_VARIABLE

PATIENCE_S = 6.0
LOOK_S = 0.1


def ours(pid: int, root: str) -> bool:
    """Return whether a process carries the mark of the demo in ``root``: ids are used again by strangers."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return os.fsencode(f"{STATE_VARIABLE}={root}") in environment.split(b"\0")


def clean_up(root: Path) -> None:
    """End every process that pids.json names, politely first."""
    try:
        pids = [int(pid) for pid in json.loads((root / "pids.json").read_text(encoding="utf-8")).values()]
    except (OSError, ValueError):
        return
    deadline = time.monotonic() + PATIENCE_S
    for number in (signal.SIGCONT, signal.SIGTERM, signal.SIGKILL):
        left = [pid for pid in pids if ours(pid, str(root))]
        while number is signal.SIGKILL and left and time.monotonic() < deadline:
            time.sleep(LOOK_S)
            left = [pid for pid in left if ours(pid, str(root))]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def main(arguments: list[str]) -> int:
    """Wait for the end of standard input, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    clean_up(Path(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
