"""Runs inside a private network and mount namespace: starts and kills the PC/SC daemon, connects virtual cards to it.

One line of its peer is one wish, answered with one line; a card's connection is handed out with the answer. Ends when the
peer hangs up, and the daemon with it: this is the first process of its namespace. Knows nothing of cards.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

DAEMON = "/usr/sbin/pcscd"
SOCKET = "/run/pcscd/pcscd.comm"
FIRST_PORT = 0x8C7B
WITHIN_S = 60.0


def main(folder: str) -> None:
    """Serve one peer at ``folder``/control."""
    subprocess.run(["mount", "--bind", folder, "/run"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("/run/control")
    Path("/run/control").chmod(0o666)
    listener.listen(1)
    peer, _ = listener.accept()
    daemon: subprocess.Popen[bytes] | None = None
    with peer:
        for line in peer.makefile():
            wish, _, slot = line.strip().partition(" ")
            if wish == "start" and daemon is None:
                daemon = started()
            elif wish == "kill" and daemon is not None:
                daemon.kill()
                daemon.wait()
                daemon = None
            if wish == "lay":
                with connected(("127.0.0.1", FIRST_PORT + int(slot))) as card:
                    socket.send_fds(peer, [b"card\n"], [card.fileno()])
            else:
                peer.sendall(b"done\n")
    if daemon is not None:
        daemon.kill()
        daemon.wait()
    for left in Path("/run").iterdir():  # made by root, perhaps for somebody who is not
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def started() -> subprocess.Popen[bytes]:
    """The daemon, once it takes clients."""
    with Path("/run/pcscd.log").open("ab") as log:
        daemon = subprocess.Popen([DAEMON, "--foreground", "--info"], stdout=log, stderr=log)
    connected(SOCKET).close()
    return daemon


def connected(address: str | tuple[str, int]) -> socket.socket:
    """A connection as soon as somebody listens there."""
    until, pause = time.monotonic() + WITHIN_S, threading.Event()
    while True:
        sock = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        try:
            sock.connect(address)
        except OSError:
            sock.close()
            if time.monotonic() > until:
                raise
            pause.wait(0.02)
        else:
            return sock


if __name__ == "__main__":
    os.umask(0o022)
    main(sys.argv[1])
