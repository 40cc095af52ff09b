"""A handheld at the daemon itself: paired at the command line, signed in, a sale linked, killed before its answer."""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path

import pytest

from agent.domain.pins import hash_pin
from drivers.simulator.config import card_numbers
from tests.support.handheld import Handheld, Told, scan_id
from tests.support.processes import Running, Site, eventually
from tests.support.tls_files import TlsFiles, make

CARD = card_numbers(1)[0]
SERVED = "handhelds are served"
PAIRED, SIGNED_IN, SCANNED = 1, 2, 3
"""What a handheld does first, second and third in this story."""


def serve(site: Site, tls: TlsFiles) -> None:
    """Add a web server with TLS at a free port, a handheld for every point, and one person."""
    points = [point.number for line in site.forecourt.lines for point in line.points]
    with site.config.open("a", encoding="utf-8") as file:
        file.write(
            f'\n[board]\nlisten = "127.0.0.1:0"\ncertificate_file = "{tls.certificate}"\nkey_file = "{tls.key}"\n'
            f'[[reader]]\nid = "H07"\nkind = "handheld"\nfuelling_points = {points}\n'
            f'[[staff]]\nid = "7"\nname = "Li Lei"\npin_hash = "{hash_pin("2580", bytes(16))}"\n'
        )


def port_of(agent: Running) -> int:
    """Where the newest start of the agent listens, out of its log."""
    lines = [json.loads(line) for line in agent.text.splitlines() if SERVED in line]
    return int(lines[-1]["port"])


def starts_of(agent: Running) -> int:
    """How often the web server was opened."""
    return agent.text.count(SERVED) if agent.log.exists() else 0


def unlinked(page: Handheld) -> str | None:
    """The newest sale without a member on the page's tiles."""
    told = page.insist("GET", "/v1/points").value
    sales = [sale for point in told["points"] for sale in point["sales"] if not sale["linked"]]
    return min(sales, key=lambda sale: sale["since_hang_up_s"])["sale"] if sales else None


@contextmanager
def flooded(port: int) -> Iterator[list[int]]:
    """Strangers who connect, say half a request or rubbish and stay, from six threads; how often each came."""
    came, ends = [0] * 6, threading.Event()

    def flood(number: int) -> None:
        while not ends.is_set():
            with closing(socket.socket()) as connection:
                connection.settimeout(0.05)
                try:
                    connection.connect(("127.0.0.1", port))
                    connection.sendall(b"\x16\x03\x01" * 300 if number % 2 else b"GET / HTTP/1.1\r\n")
                    connection.recv(1)
                except OSError:
                    pass  # hung up on, or left waiting: it comes again
            came[number] += 1

    threads = [threading.Thread(target=flood, args=(number,)) for number in range(len(came))]
    for thread in threads:
        thread.start()
    try:
        yield came
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def booked(site: Site) -> int:
    """How many sales the station has."""
    (row,) = site.at_station("SELECT count(*) FROM sale")
    return int(row[0])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A busy forecourt whose customers show no card, and one member."""
    with Site(tmp_path, speed=20, seed=11) as made:
        made.forecourt = replace(made.forecourt, customers=replace(made.forecourt.customers, members=0), readers=())
        made.import_members((CARD,))
        made.start_hq()
        made.start_forecourt()
        made.configure(control=f'supervisors = ["{pwd.getpwuid(os.getuid()).pw_name}"]')
        serve(made, make(tmp_path))
        yield made


def test_a_sale_is_linked_once_though_the_agent_dies_before_the_answer(site: Site, tmp_path: Path) -> None:
    """Pair, sign in, scan; SIGKILL between commit and answer; the same scan_id gets the answer; a flood stops no pump."""
    agent = site.start_agent(failpoint=f"board.after_commit:{SCANNED}")
    eventually(lambda: starts_of(agent) == 1, 30, "handhelds are served")
    eventually(lambda: site.ask("members"), 30, "the member has come from head office")
    named = scan_id()
    with Handheld(port_of(agent), tmp_path / "ca.pem", now_s=lambda: site.clock.wall_ms() // 1000) as page:
        done = site.command("device", "pair", "--name", "H07", "--json")
        assert done.returncode == 0, done.stderr
        assert page.pair(json.loads(done.stdout)["code"]).value == {"device": "H07", "key": None}
        assert page.ask("POST", "/v1/session", {"staff": "7", "pin": "2580"}).value["attendant"]["name"] == "Li Lei"
        sale = eventually(lambda: unlinked(page), 60, "a sale waits to be paid")
        with pytest.raises((OSError, HTTPException)):
            page.ask("POST", "/v1/scans", {"scan_id": named, "text": CARD, "sale": sale})
        assert agent.wait(20, "killed") == -signal.SIGKILL
        assert site.at_station("SELECT by FROM link WHERE sale = ?", sale) == [("7",)]
        agent = site.start_agent()
        eventually(lambda: starts_of(agent) == 2, 30, "handhelds are served again")
        page.move_to(port_of(agent))
        told = page.scan(CARD, named=named, sale=sale)
        assert (told.status, told.value["sale"], told.value["tone"]) == (200, sale, "good")
        assert site.at_station("SELECT count(*) FROM link WHERE sale = ?", sale) == [(1,)]
        assert site.at_station("SELECT count(*) FROM scan_event WHERE reader = 'H07'") == [(1,)]
        _flood(site, page)
        assert [row["handheld"] for row in site.ask("device.paired")] == ["H07"]
        site.ask("device.unpair", name="H07")
        refused: Told = page.scan(CARD)
        assert (refused.status, refused.value["error"]) == (401, "UNPAIRED")
    assert agent.end() == 0
    site.verify_station()


def _flood(site: Site, page: Handheld) -> None:
    """While strangers come as fast as they can, pumps are polled: fuellings that end meanwhile are booked."""
    before = booked(site)
    with flooded(page.port) as came:
        eventually(lambda: booked(site) > before and sum(came) > 100, 60, "sales are booked in a flood")
    assert page.insist("GET", "/v1/points").status == 200
