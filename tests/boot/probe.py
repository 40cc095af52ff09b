"""What a process may do here, one JSON object on stdout: name -> "allowed" or why not. Standard library only.

Runs inside the container, once with the unit's restrictions and once without, so that a refusal is known to be the unit's.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import mmap
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
FOREIGN = "192.0.2.1"
"""An address of the container's own loopback that the unit does not allow; something listens at port 7."""


def call(name: str, *arguments: object) -> None:
    """One function of libc; -1 is an error."""
    if getattr(LIBC, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def write(path: str) -> None:
    """Make a file and take it away again."""
    Path(path).write_text("x", encoding="ascii")
    Path(path).unlink()


def connect() -> None:
    """Reach an address that nobody allowed."""
    socket.create_connection((FOREIGN, 7), timeout=3).close()


def device() -> None:
    """Open a device that is no serial port."""
    os.close(os.open("/dev/net/tun", os.O_RDWR))


def library(name: str) -> Callable[[], object]:
    """Load a compiled library and what it maps."""
    return lambda: importlib.import_module(name)


REFUSED: dict[str, Callable[[], object]] = {
    "write to /etc": lambda: write("/etc/probe"),
    "write to /opt/forecourt": lambda: write("/opt/forecourt/probe"),
    "write to /home": lambda: write("/home/probe"),
    "write to /var/lib": lambda: write("/var/lib/probe"),
    "change a setting of the kernel": lambda: Path("/proc/sys/kernel/hostname").write_text("x", encoding="ascii"),
    "read another user's file": lambda: Path("/home/anna/private").read_bytes(),
    "read /etc/shadow": lambda: Path("/etc/shadow").read_bytes(),
    "see the environment of systemd": lambda: Path("/proc/1/environ").read_bytes(),
    "open a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close(),
    "open a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "open a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "connect to an address that is not allowed": connect,
    "open a device that is no serial port": device,
    "trace a process": lambda: call("ptrace", 0, 0, 0, 0),
    "load a module": lambda: call("syscall", 175, 0, 0, b""),
    "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "ask the kernel about the clock's discipline": lambda: call("ntp_adjtime", ctypes.create_string_buffer(256)),
    "make memory writable and executable": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close(),
    "make a namespace": lambda: call("unshare", 0x10000000),
    "become root": lambda: os.setuid(0),
    "make a program that runs as its owner": lambda: os.chmod("/var/lib/forecourt/.", 0o4755),
    "mount": lambda: call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
    "change the priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, -5),
}
NEEDED: dict[str, Callable[[], object]] = {
    "write to /var/lib/forecourt": lambda: write("/var/lib/forecourt/probe"),
    "write to /var/lib/forecourt-mark": lambda: write("/var/lib/forecourt-mark/probe"),
    "reach the broker on this machine": lambda: socket.create_connection(("127.0.0.1", 1883), timeout=3).close(),
    "look up a name": lambda: socket.getaddrinfo("localhost", 1883),
    "age of timesyncd's file": lambda: os.stat("/run/systemd/timesync/synchronized"),
    "age of chrony's file": lambda: os.stat("/var/lib/chrony/drift"),
    **{
        f"load {name}": library(name)
        for name in (
            "pydantic_core",
            "cryptography.hazmat.bindings._rust",
            "pyrage",
            "zstandard",
            "greenlet",
            "sqlite3",
        )
    },
}


def outcome(action: Callable[[], object]) -> str:
    """What came of it, tried in a process of its own: some of it cannot be taken back."""
    reads, writes = os.pipe()
    child = os.fork()
    if child:
        os.close(writes)
        with os.fdopen(reads, encoding="utf-8") as answer:
            told = answer.read()
        os.waitpid(child, 0)
        return told or "ended by a signal"
    try:
        action()
        told = "allowed"
    except (OSError, ImportError) as failure:
        told = f"{type(failure).__name__} {failure.args[-1] if failure.args else ''}".strip()
    os.write(writes, told.encode())
    os._exit(0)


if __name__ == "__main__":
    every = REFUSED if "refused" in sys.argv else NEEDED
    print(json.dumps({name: outcome(action) for name, action in every.items()}))
