"""A port that is kept for a server which is killed and started again."""

from __future__ import annotations

import socket

import pytest

from tests.support.broker import KeptPort


def test_a_kept_port_is_refused_until_its_server_listens_and_goes_to_nobody_else() -> None:
    """Nobody listens: refused. A server with SO_REUSEADDR takes it, leaves it and takes it again; a stranger never does."""
    kept = KeptPort()
    where = ("127.0.0.1", kept.number)
    for _ in range(2):
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(where)
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(where)
        with socket.create_server(where) as server, socket.create_connection(where), server.accept()[0]:
            assert server.getsockname() == where
