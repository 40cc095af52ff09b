"""A real PC/SC daemon with two virtual readers in a namespace of its own, and virtual cards that are laid on them.

Nothing of it is seen from outside but the daemon's socket, a file in a folder of this process. Ends what it started.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from tests.support.processes import eventually

INSIDE = Path(__file__).with_name("pcsc_inside.py")
PRIVATE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child")
"""With its own processes too: whatever runs inside ends with the first of them."""

ATR = bytes.fromhex("3B8180018080")
GET_ATR = 4
WITHIN_S = 90.0


@functools.cache
def folder() -> Path:
    """The folder of this process: the library reads the name of the daemon's socket once in its life."""
    made = Path(tempfile.mkdtemp(prefix="pcsc-"))
    made.chmod(0o755)
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    os.environ["PCSCLITE_CSOCK_NAME"] = str(made / "pcscd" / "pcscd.comm")
    return made


class VirtualReaders:
    """Two readers, "Virtual PCD 00 00" and "Virtual PCD 00 01"; a card is a function of APDUs."""

    port = "pcsc:00 00"

    def __init__(self) -> None:
        self._cards: dict[int, tuple[socket.socket, threading.Thread]] = {}
        self._folder = folder()

    def __enter__(self) -> Self:
        prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
        command = [*prefix, *PRIVATE, sys.executable, str(INSIDE), str(self._folder)]
        self._inside = subprocess.Popen(command)
        control = self._folder / "control"
        eventually(lambda: control.exists() or self._inside.poll() is not None, WITHIN_S, "the namespace is there")
        self._control = socket.socket(socket.AF_UNIX)
        eventually(lambda: self._control.connect_ex(str(control)) == 0, WITHIN_S, "its helper listens")
        self._control.settimeout(WITHIN_S)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        for slot in list(self._cards):
            self.take(slot)
        self._control.close()
        self._inside.wait(WITHIN_S)

    def start(self) -> None:
        """The daemon runs and takes clients when this returns."""
        self._ask("start")

    def kill(self) -> None:
        """The daemon is dead when this returns, and every card with it."""
        self._ask("kill")
        for slot in list(self._cards):
            self.take(slot)

    def lay(self, answer: Callable[[bytes], bytes], slot: int = 0) -> None:
        """Lay down a card in place of what lies there."""
        self.take(slot)
        (wire,) = self._ask(f"lay {slot}")
        card = socket.socket(fileno=wire)
        thread = threading.Thread(target=serve, args=(card, answer), name="virtual card", daemon=True)
        thread.start()
        self._cards[slot] = (card, thread)

    def take(self, slot: int = 0) -> None:
        """Take away what lies there, if anything."""
        if slot in self._cards:
            card, thread = self._cards.pop(slot)
            with suppress(OSError):
                card.shutdown(socket.SHUT_RDWR)
            thread.join()
            card.close()

    def _ask(self, wish: str) -> list[int]:
        self._control.sendall(f"{wish}\n".encode())
        told, wires, _, _ = socket.recv_fds(self._control, 64, 1)
        assert told, (self._folder / "pcscd.log").read_text() if (self._folder / "pcscd.log").exists() else wish
        return wires


def serve(wire: socket.socket, answer: Callable[[bytes], bytes]) -> None:
    """Answer the daemon until somebody hangs up: two bytes of length, then an APDU, or one byte that is a control.

    A card whose answer is an ``OSError`` leaves the reader.
    """
    with suppress(OSError), leaving(wire), wire.makefile("rb") as heard:
        while len(head := heard.read(2)) == 2:
            data = heard.read(int.from_bytes(head, "big"))
            if len(data) > 1:
                told = answer(data)
            elif data == bytes((GET_ATR,)):
                told = ATR
            else:
                continue  # power on, power off, reset
            wire.sendall(len(told).to_bytes(2, "big") + told)


@contextmanager
def leaving(wire: socket.socket) -> Iterator[None]:
    """At the end, however it comes, the card is no longer there."""
    try:
        yield
    finally:
        with suppress(OSError):
            wire.shutdown(socket.SHUT_RDWR)
