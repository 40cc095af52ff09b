"""Cards on virtual readers of a real PC/SC daemon: taps, what happens when reader or daemon go, and the field tool."""

from __future__ import annotations

import ctypes
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.cli import application
from agent.clock import read
from agent.inbox import FromLine
from drivers.config import LineConfig, SerialSettings
from drivers.errors import PortLost, WiringError
from drivers.line import Line
from drivers.pcsc import winscard
from drivers.pcsc.port import PcscPort
from drivers.port import open_port
from drivers.readings import CardTap, DeviceStatus, Reading
from drivers.registry import make_line
from drivers.simulator.card import Card, link_message
from tests.support import template
from tests.support.head_office_says import CARDS, card_entry, member_of, member_with
from tests.support.pcsc_readers import VirtualReaders
from tests.support.processes import Site, ended_after_s, eventually, quickest
from tests.support.station_settings import Plan
from tests.support.sun_cards import Chip
from tests.support.till import Till

WITHIN_S = 60.0
ENDS_WITHIN_S = 5.0
PATIENT, NO_CARD = "60s", "5s"
"""How long the field tool looks at the most where there is a card, and where there is none, in which time it must find the
service and the reader.
"""

UID = bytes.fromhex("04782E21801D80")
READER = "reader:till"


def smart() -> Card:
    """A card whose link tells how often it was read."""
    return Card(UID, lambda count: link_message(f"https://m.example.cn/n?c={count}"))


class Bench:
    """A line with one reader, and what came out of it."""

    def __init__(self, port: str) -> None:
        self.line: Line = make_line(LineConfig("reader-till", port, "pcsc", reader="till"))
        self.seen: list[Reading] = []

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Turn until ``done``."""
        end_s = time.monotonic() + WITHIN_S
        while not done():
            assert time.monotonic() < end_s, f"{what}; told {self.seen}"
            self.seen += self.line.turn()

    def taps(self) -> list[CardTap]:
        """The taps so far."""
        return [reading for reading in self.seen if isinstance(reading, CardTap)]

    def tapped(self, count: int) -> CardTap:
        """The tap of that number."""
        self.until(lambda: len(self.taps()) >= count, f"tap {count}")
        assert len(self.taps()) == count
        return self.taps()[-1]

    def empty(self) -> None:
        """Wait until the reader itself says that nothing lies there."""
        (device,) = self.line.devices
        loop: Any = device._loop  # type: ignore[attr-defined]
        self.until(lambda: bool(loop._state & 0x10), "the reader is empty")

    def statuses(self, device: str) -> list[bool]:
        """What was told of a device."""
        return [news.online for news in self.seen if isinstance(news, DeviceStatus) and news.device == device]

    def online(self, *, is_so: bool = True) -> None:
        """Turn until the reader is online, or is not."""
        self.until(lambda: self.statuses(READER)[-1:] == [is_so], f"online {is_so}")


@pytest.fixture(scope="module")
def daemon() -> Iterator[VirtualReaders]:
    """A PC/SC daemon with two virtual readers."""
    with VirtualReaders() as started:
        yield started


@pytest.fixture
def readers(daemon: VirtualReaders) -> Iterator[VirtualReaders]:
    """The same, running, with nothing on its readers afterwards."""
    daemon.start()
    yield daemon
    daemon.kill()


@pytest.fixture
def bench(readers: VirtualReaders) -> Iterator[Bench]:
    """A line at the first reader, online."""
    made = Bench(readers.port)
    made.online()
    yield made
    made.line.close()


def test_a_tap_a_removal_and_a_second_tap(readers: VirtualReaders, bench: Bench) -> None:
    """Each is told once, with the message of that very read; a reader without a card tells nothing."""
    bench.empty()
    assert bench.taps() == []
    card = smart()
    readers.lay(card.answer)
    assert bench.tapped(1) == CardTap("till", UID, link_message("https://m.example.cn/n?c=1"))
    readers.take()
    bench.empty()
    readers.lay(card.answer)
    assert bench.tapped(2).ndef == link_message("https://m.example.cn/n?c=2")
    assert bench.statuses(READER) == [True]


def test_another_card_at_once_is_another_tap(readers: VirtualReaders, bench: Bench) -> None:
    """Changed between two looks of ours: the service's counter tells."""
    readers.lay(smart().answer)
    bench.tapped(1)
    readers.lay(Card(b"\x08\x11\x22\x33").answer)
    assert bench.tapped(2) == CardTap("till", b"\x08\x11\x22\x33", None)


def test_a_daemon_that_is_killed_and_comes_back_costs_no_tap(readers: VirtualReaders, bench: Bench) -> None:
    """Offline once, online once with a gap; the next card is read, twice over."""
    card = smart()
    for count in (1, 2):
        readers.lay(card.answer)
        assert bench.tapped(count).ndef == link_message(f"https://m.example.cn/n?c={count}")
        readers.kill()
        bench.online(is_so=False)
        readers.start()
        bench.online()
    assert bench.statuses(READER) == bench.statuses("line:reader-till") == [True, False] * 2 + [True]
    (first, *_) = [news for news in bench.seen if isinstance(news, DeviceStatus) and not news.online]
    assert "does not run" in first.reason
    assert "pcscd" in first.hint


def test_a_card_that_lies_there_when_the_daemon_comes_back_is_read(readers: VirtualReaders, bench: Bench) -> None:
    """Laid down while nobody looked."""
    readers.kill()
    bench.online(is_so=False)
    readers.start()
    readers.lay(smart().answer)
    assert bench.tapped(1).uid == UID


def test_a_card_that_falls_silent_fails_and_the_next_is_read(readers: VirtualReaders, bench: Bench) -> None:
    """Its connection ends in the middle of the talk: no tap, one count, and the loop goes on."""

    def leaves(apdu: bytes) -> bytes:
        if apdu[1] == 0xB0:
            raise OSError
        return smart().answer(apdu)

    readers.lay(leaves)
    bench.until(lambda: any(name.startswith("taps_failed.") for name in bench.line.counters()), "a failed tap")
    assert bench.taps() == []
    bench.empty()
    readers.lay(smart().answer)
    bench.tapped(1)


def test_two_readers_of_one_kind_are_told_apart(readers: VirtualReaders) -> None:
    """Each line hears its own reader; a name that fits both is refused with both names."""
    lines = [Bench(f"pcsc:PCD 00 0{slot}") for slot in (0, 1)]
    for slot, own in enumerate(lines):
        own.online()
        readers.lay(Card(bytes((4, 0, 0, slot))).answer, slot)
    for slot, own in enumerate(lines):
        assert own.tapped(1).uid == bytes((4, 0, 0, slot))
    both = Bench("pcsc:virtual pcd")
    both.online(is_so=False)
    (status,) = [news for news in both.seen if isinstance(news, DeviceStatus) and not news.online]
    assert status.reason == "2 PC/SC readers have this name"
    assert "'Virtual PCD 00 01'" in status.hint
    for own in (*lines, both):
        own.line.close()


def test_a_line_that_is_ended_ends_its_wait(bench: Bench) -> None:
    """The next turn loses the port at once, so that the station can stop."""
    bench.line.cancel()
    bench.online(is_so=False)
    assert not bench.line.is_open


def test_the_port_carries_no_bytes(readers: VirtualReaders) -> None:
    """A scanner configured on it is told so, whatever it tries first."""
    port = PcscPort(readers.port)
    for attempt in (port.discard, lambda: port.read(1, 0), lambda: port.write(b"x")):
        with pytest.raises(PortLost, match="no serial line") as lost:
            attempt()
        assert "kind pcsc" in lost.value.hint
    port.close()
    port.close()
    with pytest.raises(PortLost):
        port.readers()
    with pytest.raises(WiringError, match="no wire to listen to"):
        open_port(LineConfig("tap", readers.port, "pcsc"), SerialSettings(), listen_only=True)


def read_once(*more: str) -> tuple[int, str, str]:
    """Exit code, output and errors of ``forecourt device read`` at the service."""
    done = CliRunner().invoke(application(), ["device", "read", "--protocol", "pcsc", *more])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def test_the_field_tool_sees_a_card_and_shows_nothing_of_it(readers: VirtualReaders) -> None:
    """How long its id is, and whether it has a message."""
    readers.lay(smart().answer)
    code, out, err = read_once("--port", readers.port, "--timeout", PATIENT)
    shown = f"pcsc at {readers.port}, a reader of the PC/SC service\ncard seen: uid of 7 bytes, with a message\n"
    assert (code, out, err) == (0, shown, "")
    _, out, _ = read_once("--port", readers.port, "--timeout", PATIENT, "--json")
    told = json.loads(out)
    assert (told["ok"], told["card"]) == (True, {"uid_bytes": 7, "message": True})
    assert UID.hex() not in json.dumps(told).lower()


def test_the_field_tool_says_what_is_missing(readers: VirtualReaders) -> None:
    """No card, no such reader, no service: exit 3, each with what to do."""
    code, _, err = read_once("--port", readers.port, "--timeout", NO_CARD)
    assert (code, "lay a card on it while this runs" in err) == (3, True)
    code, out, _ = read_once("--port", "pcsc:omnikey", "--timeout", NO_CARD, "--json")
    assert (code, json.loads(out)["cause"], json.loads(out)["message"]) == (3, "reader", "no PC/SC reader 'omnikey'")
    readers.kill()
    code, _, err = read_once("--port", "pcsc:")
    assert (code, "pcscd does not run" in err, "systemctl start pcscd.socket" in err) == (3, True, True)


def test_a_running_station_answers_a_card_and_ends_at_once(readers: VirtualReaders, tmp_path: Path) -> None:
    """The real agent: the card is refused aloud, the service may die, and a stop does not wait for either."""
    with Site(tmp_path) as site:
        site.write_config(site.no_devices())
        with site.config.open("a", encoding="utf-8") as file:
            file.write(f'\n[[reader]]\nid = "till"\nkind = "pcsc"\nport = "{readers.port}"\nfuelling_points = [1]\n')
        agent = site.start_agent()
        readers.lay(smart().answer)
        outcomes = "SELECT reader, outcome FROM scan_event"
        eventually(lambda: site.at_station(outcomes) == [("till", "UNKNOWN_CARD")], WITHIN_S, "the answer")
        readers.kill()
        eventually(lambda: "pcscd does not run" in agent.text, WITHIN_S, "the end of the service is told")
        assert agent.end() == 0
        quickest(lambda: ended_after_s(site.start_agent()), ENDS_WITHIN_S)
        assert UID.hex() not in agent.text.lower()


def test_a_card_at_a_virtual_reader_links_a_sale(readers: VirtualReaders, bench: Bench, tmp_path: Path) -> None:
    """From the service's own dialogue to the link: a chip that signs, and its clone that plays what it once said."""
    template.copy_to(tmp_path)
    till = Till(tmp_path, plan=Plan(settle="tender"))
    chip = Chip(UID, bytes(range(40, 56)), CARDS.meta_read)
    till.pipeline.handle(member_with(1, 1, card_entry(chip.name, chip.key)))
    card = chip.card(counter=4)
    clone = Card(UID, lambda _count: link_message(chip.link(5)))
    for count, (laid, outcome) in enumerate(((card, "LINKED"), (clone, "COUNTER_REPLAYED")), 1):
        till.wait(700)
        sale = till.sale()
        readers.lay(laid.answer)
        tap = bench.tapped(count)
        till.pipeline.handle(FromLine("reader-till", replace(tap, reader="reader-1"), read(till.clock)))
        assert till.pipeline._live.answers[-1]["outcome"] == outcome
        readers.take()
        bench.empty()
    (linked,) = till.records("fc.sale.linked.v1")
    assert (linked["sale"] == sale, linked["member"], linked["level"]) == (False, member_of(1), "sun")
    till.close()


def test_sizes_are_those_of_the_library() -> None:
    """On 64-bit Linux a DWORD of pcsc-lite has eight bytes."""
    assert (ctypes.sizeof(winscard.ReaderState), ctypes.sizeof(winscard.IoRequest)) == (80, 16)


def test_a_missing_library_says_what_to_install() -> None:
    """When the line opens its port, and not before."""
    with pytest.raises(WiringError, match="cannot be loaded") as missing:
        winscard.load("libno-such-thing.so.1")
    assert missing.value.hint == "install the packages libpcsclite1 and pcscd"
