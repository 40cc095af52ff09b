"""Who uses a port on this PC: the holder of the lock on a device file, an open connection to a serial server.

Knows /proc of Linux. Where it cannot be read nobody is named, and the lock itself still refuses.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

ESTABLISHED = "01"
PROC = Path("/proc")


def holder(port: str) -> str:
    """Words for the process that has locked the device file ``port``; empty when nobody is found."""
    try:
        status = Path(port).stat()
        locks = (PROC / "locks").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    match = re.search(rf"FLOCK\s+ADVISORY\s+WRITE\s+(\d+)\s+{place}\s", locks)
    return _process(match[1]) if match else ""


def connected(url: str) -> bool:
    """Whether a program on this PC already has a connection to ``socket://host:port``."""
    try:
        parts = urlsplit(url)
        addresses = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return False
    wanted = {_as_in_proc(str(address[4][0]), int(address[4][1])) for address in addresses}
    for table in ("net/tcp", "net/tcp6"):
        try:
            rows = (PROC / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            columns = row.split()
            if columns[3] == ESTABLISHED and (columns[2] in wanted or columns[2][24:] in wanted):
                return True
    return False


def _process(pid: str) -> str:
    try:
        words = (PROC / pid / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return f"process {pid}"
    command = b" ".join(words).decode("utf-8", errors="replace").strip()
    return f"process {pid} ({command[:60]})" if command else f"process {pid}"


def _as_in_proc(address: str, port: int) -> str:
    """An IPv4 address as /proc/net/tcp writes it: 32-bit words in the order of this machine."""
    packed = ipaddress.ip_address(address).packed
    words = [int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4)]
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"
