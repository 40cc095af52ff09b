"""The loop over a PC/SC reader at a scripted service, table by table: what is told of reader and card, and when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

from drivers.card import CardError
from drivers.commands import Stop
from drivers.config import LineConfig
from drivers.errors import DeviceRefused, PortLost, WiringError
from drivers.pcsc import driver
from drivers.pcsc.loop import (
    LIST_EVERY_S,
    LOOK_EVERY_S,
    PLUGGED,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
    WAIT_S,
    Exchange,
    Loop,
)
from drivers.readings import CardTap, CommandOutcome, CommandResult, DeviceStatus, Reading
from drivers.simulator.card import Card, link_message
from drivers.unheard import MAX_COMMANDS
from tests.support.wire import VirtualPort

NAME = "ACS ACR1252 Dual Reader [ACR1252 Dual Reader PICC] 00 00"
OTHER = "ACS ACR1252 Dual Reader [ACR1252 Dual Reader SAM] 01 00"
UID = bytes.fromhex("04782E21801D80")
ONLINE = DeviceStatus("reader:till", online=True, gap=False)
BACK = DeviceStatus("reader:till", online=True, gap=True)
UNAWARE, EMPTY, PRESENT, MUTE, INUSE = 0x00, 0x10, 0x20, 0x220, 0x120


def at(count: int, state: int) -> int:
    """A state with its counter."""
    return count << 16 | state


class Script:
    """A service that does what stands in its fields. ``known``: what each wait was told, ``connected``: how often."""

    def __init__(self, *names: str) -> None:
        self.names: Sequence[str] = names or (NAME,)
        self.state = at(0, EMPTY)
        self.plugged = 0
        self.card_there: Card | None = Card(UID, lambda count: link_message(f"https://m.example.cn/n?c={count}"))
        self.leaves_after: int | None = None
        self.refuses = ""
        self.known: list[Mapping[str, int]] = []
        self.listed = self.connected = self.left = 0

    def readers(self) -> Sequence[str]:
        self.listed += 1
        return self.names

    def changes(self, known: Mapping[str, int], wait_s: float) -> Mapping[str, int]:
        assert wait_s == WAIT_S
        self.known.append(dict(known))
        now = {PLUGGED: self.plugged} | dict.fromkeys(self.names, self.state)
        return {name: now.get(name, STATE_UNKNOWN) for name in known if known[name] != now.get(name, STATE_UNKNOWN)}

    @contextmanager
    def card(self, reader: str) -> Iterator[Exchange]:
        assert reader in self.names
        self.connected += 1
        if self.refuses:
            raise CardError(self.refuses)
        try:
            yield self._answer
        finally:
            self.left += 1

    def _answer(self, apdu: bytes) -> bytes:
        if self.leaves_after is not None:
            self.leaves_after -= 1
            if self.leaves_after < 0:
                raise CardError("card_gone")
        assert self.card_there is not None
        return self.card_there.answer(apdu)


class Bench:
    """A loop, its script and its time."""

    def __init__(self, script: Script | None = None, part: str = "") -> None:
        self.script = script or Script()
        self.loop = Loop("till", part)
        self.now_s = 0.0

    def steps(self, count: int = 1) -> list[Reading]:
        """What so many steps tell."""
        told: list[Reading] = []
        for _ in range(count):
            told += self.loop.step(self.script, self.now_s)
            self.now_s += WAIT_S
        return told

    def to(self, *states: int) -> list[int]:
        """How many taps each of these states brought, one step after the other."""
        found = []
        for state in states:
            self.script.state = state
            found.append(sum(isinstance(reading, CardTap) for reading in self.steps()))
        return found


@pytest.mark.parametrize(
    ("states", "taps"),
    [
        pytest.param((at(0, EMPTY), at(1, PRESENT), at(1, PRESENT)), [0, 1, 0], id="laid down, and lies there"),
        pytest.param((at(1, PRESENT),), [1], id="lies there already: seen once more"),
        pytest.param((at(1, PRESENT), at(1, INUSE | PRESENT), at(1, PRESENT)), [1, 0, 0], id="our own connection"),
        pytest.param((at(1, PRESENT), at(3, PRESENT)), [1, 1], id="changed between two looks: the count moved by two"),
        pytest.param((at(1, PRESENT), at(2, EMPTY), at(3, PRESENT)), [1, 0, 1], id="taken away and laid down again"),
        pytest.param((at(1, PRESENT), at(2, EMPTY), at(2, EMPTY)), [1, 0, 0], id="taken away"),
        pytest.param((at(0xFFFF, PRESENT), at(1, PRESENT)), [1, 1], id="the counter wraps"),
    ],
)
def test_which_states_are_a_tap(states: tuple[int, ...], taps: list[int]) -> None:
    """Each card once while it lies there, and never less than once."""
    assert Bench().to(*states) == taps


def test_the_whole_state_is_fed_back() -> None:
    """The next wait knows the counter too, else the service would answer at once for ever."""
    bench = Bench()
    bench.to(at(7, EMPTY), at(8, PRESENT), at(8, PRESENT))
    assert [known[NAME] for known in bench.script.known] == [UNAWARE, at(7, EMPTY), at(8, PRESENT)]


def test_a_tap_tells_id_and_message_and_leaves_the_card() -> None:
    """Connected once, read, let go."""
    bench = Bench()
    bench.script.state = at(1, PRESENT)
    assert bench.steps() == [ONLINE, CardTap("till", UID, link_message("https://m.example.cn/n?c=1"))]
    assert (bench.script.connected, bench.script.left) == (1, 1)


@pytest.mark.parametrize("uid", [b"", bytes(11)])
def test_a_reader_that_cannot_tell_the_id_is_no_failure(uid: bytes) -> None:
    """Unknown is not empty, and no id has eleven bytes; the message is told."""
    bench = Bench()
    bench.script.card_there = Card(uid, lambda _count: b"message")
    bench.script.state = at(1, PRESENT)
    assert bench.steps()[1:] == [CardTap("till", None, b"message")]


def test_a_card_without_a_file_is_a_tap_without_message() -> None:
    """Such as a bank card or a plain id card."""
    bench = Bench()
    bench.script.card_there = Card(b"\x08\x11\x22\x33")
    bench.script.state = at(1, PRESENT)
    assert bench.steps()[1:] == [CardTap("till", b"\x08\x11\x22\x33", None)]


@pytest.mark.parametrize("after", range(5))
def test_a_card_that_leaves_in_mid_talk_is_counted_and_read_when_it_is_back(after: int) -> None:
    """Whatever was its last answer: nothing is told, the connection is let go, the next tap is whole."""
    bench = Bench()
    bench.script.leaves_after = after
    assert bench.to(at(1, PRESENT)) == [0]
    assert bench.loop.counts == {"taps_failed.card_gone": 1}
    bench.script.leaves_after = None
    assert bench.to(at(2, EMPTY), at(3, PRESENT)) == [0, 1]
    assert bench.script.connected == bench.script.left == 2


def test_three_failed_taps_in_a_row_are_the_readers_fault() -> None:
    """Told once with what to do; the first card that is read ends it, and a good one in between begins the count anew."""
    bench = Bench()
    assert bench.steps() == [ONLINE]
    told: list[Reading] = []
    for count, refuses in enumerate(["card_mute", "card_mute", "", "in_use", "card_mute", "card_mute", "card_mute"]):
        bench.script.refuses = refuses
        bench.script.state = at(2 * count + 1, MUTE)
        told += [reading for reading in bench.steps() if isinstance(reading, DeviceStatus)]
    (offline,) = told
    assert isinstance(offline, DeviceStatus)
    assert (offline.online, offline.reason) == (False, "3 cards in a row could not be read")
    assert "another card" in offline.hint
    bench.script.refuses, bench.script.state = "", at(99, PRESENT)
    assert bench.steps()[0] == BACK
    assert bench.loop.counts == {"taps_failed.card_mute": 5, "taps_failed.in_use": 1}


@pytest.mark.parametrize(
    ("names", "part", "reason"),
    [
        ((), "", "no PC/SC reader"),
        ((NAME,), "omnikey", "no PC/SC reader 'omnikey'"),
        ((NAME, OTHER), "acr1252", "2 PC/SC readers have this name"),
        ((NAME, OTHER), "", "2 PC/SC readers have this name"),
    ],
)
def test_which_reader_is_meant_must_be_clear(names: tuple[str, ...], part: str, reason: str) -> None:
    """None or two: told once, with the names that are there."""
    script = Script()
    script.names = names
    (status, *more) = Bench(script, part).steps(20)
    assert isinstance(status, DeviceStatus)
    assert (status.online, status.reason, more) == (False, reason, [])
    assert all(repr(name) in status.hint for name in names)


@pytest.mark.parametrize("part", ["PICC", "picc] 00", "ACR1252 Dual Reader PICC"])
def test_a_reader_is_named_by_a_part_of_its_name(part: str) -> None:
    """The other half of the same box is not asked about."""
    bench = Bench(Script(NAME, OTHER), part)
    assert bench.steps(3) == [ONLINE]
    assert set(bench.script.known[0]) == {PLUGGED, NAME}


@pytest.mark.parametrize("gone", ["forgotten", "unavailable"])
def test_a_reader_that_is_pulled_and_plugged(gone: str) -> None:
    """Offline once, online once with a gap; a card that lies on it then is read."""
    bench = Bench()
    bench.steps(3)
    if gone == "unavailable":
        bench.script.state = STATE_UNAVAILABLE
        bench.steps()
    bench.script.names = ()
    told = bench.steps(10)
    assert [status.online for status in told if isinstance(status, DeviceStatus)] == [False]
    bench.script.names, bench.script.state = (NAME,), at(1, PRESENT)
    bench.script.plugged += 1
    assert [type(reading) for reading in bench.steps(3)] == [DeviceStatus, CardTap]


def test_how_often_readers_are_listed() -> None:
    """Every half minute while ours is there, every second while it is missing, and whenever one came or went."""
    bench = Bench()
    bench.steps(int(LIST_EVERY_S / WAIT_S))
    assert bench.script.listed == 1
    bench.steps(1)
    assert bench.script.listed == 2
    bench.script.plugged += 1
    bench.steps(2)
    assert bench.script.listed == 3
    missing = Bench()
    missing.script.names = ()
    missing.steps(1 + 8 * int(LOOK_EVERY_S / WAIT_S))
    assert missing.script.listed == 9


def test_a_new_connection_begins_anew() -> None:
    """All states are unknown again: the reader is online with a gap, and the card that lies there is told once more."""
    bench = Bench()
    assert bench.to(at(1, PRESENT)) == [1]
    bench.loop.forget()
    assert [type(reading) for reading in bench.steps(3)] == [DeviceStatus, CardTap]


def config(port: str = "pcsc:", reader: str = "till", **options: object) -> LineConfig:
    """The line of a reader."""
    return LineConfig("reader-till", port, "pcsc", options=options, reader=reader)


def test_a_port_of_another_kind_and_a_missing_reader_are_named() -> None:
    """Before anything is opened, with what to write."""
    with pytest.raises(WiringError, match="is no PC/SC reader") as wrong:
        driver.make_devices(config("/dev/ttyUSB0"))
    assert 'port = "pcsc:"' in wrong.value.hint
    with pytest.raises(WiringError, match="has no reader"):
        driver.make_devices(config(reader=""))
    assert [key for key, _, _ in driver.SPEC.check_options({"baudrate": 1})] == ["baudrate"]


def test_a_port_that_carries_bytes_is_no_service() -> None:
    """Lost with what to write, as whatever cannot be worked with."""
    (device,) = driver.make_devices(config())
    with pytest.raises(PortLost) as lost:
        device.turn(VirtualPort(lambda _data: b""))
    assert lost.value.hint


def test_commands_are_refused_in_order_and_bounded() -> None:
    """A card reader takes none, and needs no service to say so."""
    (device,) = driver.make_devices(config())
    for number in range(MAX_COMMANDS):
        device.submit(Stop(f"c{number}", 1))
    with pytest.raises(DeviceRefused):
        device.submit(Stop("one more", 1))
    told = device.turn(VirtualPort(lambda _data: b""))
    assert [(r.command_id, r.outcome) for r in told if isinstance(r, CommandResult)] == [
        (f"c{number}", CommandOutcome.REFUSED) for number in range(MAX_COMMANDS)
    ]
