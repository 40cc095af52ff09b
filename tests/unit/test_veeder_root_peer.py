"""A TLS client that others wrote reads our simulated console over TCP: both must have understood the protocol alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from drivers.simulator.config import DeliveryConfig, default_config
from drivers.simulator.server import ForecourtServer
from tests.support.processes import eventually
from tests.support.simulated import nobody

PEER = "veeder_root_tls_socket_library"
LISTEN_S = 60.0
"""How long the peer waits for each piece of a reply. It also sleeps as long before each, which is left out here."""

SPEED = 200


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForecourtServer]:
    monkeypatch.setattr(import_module(f"{PEER}.socket"), "sleep", lambda _seconds: None)
    config = nobody(default_config(tmp_path))
    # a console notices a delivery by the level that rises: it must not run in between two of its looks
    delivery = DeliveryConfig(tank=2, start_s=1, volume_ml=500_000, rate_ml_per_min=50_000)
    made = ForecourtServer(dataclasses.replace(config, deliveries=(delivery,)), speed=SPEED).start()
    yield made
    made.stop()


def asked(server: ForecourtServer, command: str) -> Any:
    """The peer's reading of one function of our console."""
    with import_module(f"{PEER}.socket").TlsSocket("127.0.0.1", server.endpoints()["gauge"]["port"]) as peer:
        text = peer.execute(command, timeout=LISTEN_S)
    parse = getattr(import_module(f"{PEER}.tls_3xx"), f"function_{command[1:4]}")
    return parse(text)


@pytest.mark.proves("independent-peer", "veeder-root")
def test_a_foreign_client_reads_what_our_console_says(server: ForecourtServer) -> None:
    """Inventory, alarms, labels and the delivery that has just ended, each with the numbers of the simulated tanks."""
    tanks = server.forecourt.world.tanks
    found = asked(server, "i20100")["tanks"]
    assert [(int(t["tank_number"]), t["product_code"]) for t in found] == [
        (n, tanks[n].config.product_code) for n in (1, 2, 3)
    ]
    assert found[0]["volume"] == tanks[1].volume_ml // 1000
    assert found[0]["volume"] + found[0]["ullage"] == tanks[1].config.full_ml // 1000
    assert round(found[0]["height"]) == round(tanks[1].height_um(tanks[1].volume_ml) / 1000)
    assert [alarm["number_of_alarms"] for alarm in asked(server, "i20500")["alarms"]] == [0, 0, 0]
    assert asked(server, "i10100")["alarms"][0]["alarm_category"] == 0
    assert asked(server, "i11100")["alarms"] == []
    eventually(lambda: server.forecourt.world.tankers[0].state == "done", 10, "the delivery has ended")
    (listed,) = eventually(
        lambda: [t for t in asked(server, "i20202")["tanks"] if t["deliveries"]], 10, "the console lists the delivery"
    )
    told = listed["deliveries"][0]
    # the console notices a delivery when the level has risen: on a slow machine much of it has run in by then
    assert 0 < told["ending_volume"] - told["starting_volume"] <= 500
    assert told["ending_volume"] == tanks[2].volume_ml // 1000
    assert len(asked(server, "i11300")["alarms"]) == 0


@pytest.mark.proves("independent-peer", "veeder-root")
def test_a_foreign_client_is_refused_what_our_console_does_not_know(server: ForecourtServer) -> None:
    """9999 is understood as such, and a set function gets nothing else."""
    for command in ("i74700", "s50100"):
        with pytest.raises(ValueError, match="Unsupported"):
            asked(server, command)
