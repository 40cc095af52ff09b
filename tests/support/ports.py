"""TCP ports of loopback that nobody takes before whoever they were chosen for listens there, or while he is away."""

from __future__ import annotations

import socket


def hold_port() -> socket.socket:
    """A port as long as the socket is open: the system gives it to nobody who asks for any port or connects from any.

    Nobody listens there by this, so clients are refused. Servers, which bind with SO_REUSEADDR, may listen and end at will.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


def number_of(held: socket.socket) -> int:
    """The number of the port."""
    return int(held.getsockname()[1])
