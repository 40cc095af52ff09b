"""TCP ports of loopback that nobody takes before whoever they were chosen for listens there, or while he is away."""

from __future__ import annotations

import socket
import weakref


class KeptPort:
    """A port until it is closed or forgotten: the system gives it to nobody who asks for any port or connects from any.

    Nobody listens there by this, so clients are refused. Servers, which bind with SO_REUSEADDR, may listen and end at will.
    """

    def __init__(self) -> None:
        keeper = socket.socket()
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        self.number = int(keeper.getsockname()[1])
        self.close = weakref.finalize(self, keeper.close)
