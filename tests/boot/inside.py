"""A booted container seen from outside: run a command in it, wait for a condition, print what held and what did not.

Knows nsenter. Nothing about the station.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CLEAN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
LONGEST_S = 400


@dataclass
class Container:
    """``leader``: the pid of its systemd; ``root``: its files as seen from here."""

    leader: int
    root: Path
    failed: list[str] = field(default_factory=list)
    began_s: float = field(default_factory=time.monotonic)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run ``command`` inside as root; the result, whatever it is."""
        words = [f"{name}={value}" for name, value in CLEAN.items()]
        return subprocess.run(
            ["nsenter", "--target", str(self.leader), "--all", "env", "-i", "-C", "/", *words, *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_S,
            stdin=subprocess.DEVNULL,
        )

    def out(self, *command: str) -> str:
        """Run ``command`` and return what it printed; fails when it does."""
        done = self.run(*command)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout.strip()

    def json(self, *command: str) -> Any:
        """Run ``command`` and return the JSON it printed."""
        return json.loads(self.out(*command))

    def as_user(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run ``command`` as a person."""
        return self.run("setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups", "--", *command)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file inside; /run and /tmp exist there only, so the file goes the way of a command."""
        script = 'mkdir -p "$(dirname "$1")" && printf %s "$2" >"$1" && chmod "$3" "$1"'
        self.out("bash", "-c", script, "write", path, text, f"{mode:o}")

    def show(self, name: str) -> str:
        """One property of the service."""
        return self.out("systemctl", "show", "forecourt", "--property", name, "--value")

    # --- telling ------------------------------------------------------------------------------------------------------

    def tell(self, what: str, held: bool, detail: str = "") -> None:
        """Print one line, and remember what failed."""
        print(f"{'ok    ' if held else 'failed'}  {what}{': ' + detail if detail else ''}", flush=True)
        if not held:
            self.failed.append(what)

    def wait(self, what: str, condition: Callable[[], Any], within_s: float, *, quiet: bool = False) -> float:
        """Wait for ``condition`` and tell how long it took; -1 where it did not come."""
        began_s, pause = time.monotonic(), threading.Event()
        while not (held := bool(condition())) and time.monotonic() - began_s < within_s:
            pause.wait(0.1)
        took_s = time.monotonic() - began_s
        if not quiet or not held:
            self.tell(what, held, f"{took_s:.1f} s" if held else f"not within {within_s:g} s")
        return took_s if held else -1
