"""A PN532 reader: frames as published, however they are cut, and taps on a simulated chip with its faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drivers.card import CardError, read_ndef
from drivers.commands import Stop
from drivers.config import LineConfig
from drivers.errors import DeviceRefused, WiringError
from drivers.pn532 import codec, driver
from drivers.pn532.codec import Frame, FrameDecoder, Signal
from drivers.port import Port
from drivers.readings import CardTap, CommandOutcome, CommandResult, DeviceStatus, Reading
from drivers.simulator.card import Card, link_message
from drivers.simulator.pn532_chip import Chip
from drivers.unheard import MAX_COMMANDS
from tests.support.virtual_wire import VirtualWire

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "pn532.json").read_text("utf-8"))
FRAMES = {vector["name"]: vector for vector in VECTORS["frames"]}
SENT = {
    "get-firmware-version": codec.FIRMWARE,
    "sam-configuration": codec.NORMAL_MODE,
    "set-parameters": codec.AUTOMATIC_RATS,
    "rf-max-retries": codec.FEW_RETRIES,
    "list-passive-target": codec.LIST_ONE_CARD,
    "release": codec.RELEASE_ALL,
    "data-exchange-select-app": codec.exchange(bytes.fromhex("00A4040007D276000085010100")),
    "data-exchange-read": codec.exchange(bytes.fromhex("00B000024B")),
}
UID = bytes.fromhex("04782E21801D80")
ONLINE = DeviceStatus("reader:till", online=True, gap=False)


def answer(name: str) -> bytes:
    """What stands behind the code in a published answer."""
    (frame,) = FrameDecoder().feed(bytes.fromhex(FRAMES[name]["bytes"]))
    assert isinstance(frame, Frame)
    return frame.data[1:]


@pytest.mark.proves("vectors", "pn532")
@pytest.mark.parametrize("name", SENT)
def test_commands_as_published(name: str) -> None:
    """What we send is the published frame, byte for byte."""
    assert codec.encode(SENT[name]).hex().upper() == FRAMES[name]["bytes"]


@pytest.mark.proves("every-split", "pn532")
@pytest.mark.parametrize("vector", VECTORS["streams"], ids=lambda vector: vector["name"])
def test_streams_give_the_same_however_they_are_cut(vector: dict[str, Any]) -> None:
    """Every cut of a stream gives the published frames and signals."""
    data, wanted = bytes.fromhex(vector["bytes"]), vector["expect"]
    for cut in range(len(data) + 1):
        decoder = FrameDecoder()
        found = decoder.feed(data[:cut]) + decoder.feed(data[cut:])
        told = [
            (bytes((what.direction,)) + what.data).hex().upper() if isinstance(what, Frame) else what.name
            for what in found
        ]
        assert told == wanted


def test_an_extended_frame_is_one_frame() -> None:
    """A body above 255 bytes arrives whole, byte by byte."""
    decoder, data = FrameDecoder(), bytes.fromhex(FRAMES["extended-answer"]["bytes"])
    found = [what for byte in data for what in decoder.feed(bytes((byte,)))]
    assert [isinstance(what, Frame) and len(what.data) for what in found] == [260]


@pytest.mark.proves("vectors", "pn532")
def test_cards_in_an_answer() -> None:
    """The published card with its id and ATS; no card; and lengths that lie."""
    (card,) = codec.targets(answer("list-passive-target-found"))
    wanted = FRAMES["list-passive-target-found"]["expect"]["targets"][0]
    assert (card.number, card.sens_res.hex(), f"{card.sel_res:02x}") == (1, wanted["sens_res"], wanted["sel_res"])
    assert (card.uid.hex().upper(), card.ats.hex().upper()) == (wanted["uid"], wanted["ats"])
    assert codec.targets(answer("list-passive-target-none")) == ()
    whole = answer("list-passive-target-found")
    for size in range(len(whole)):
        with pytest.raises(codec.BodyError):
            codec.targets(whole[:size])


@pytest.mark.proves("vectors", "pn532")
def test_answers_of_a_card() -> None:
    """Status and data are told apart."""
    assert codec.answered(answer("data-exchange-ok")) == (0, False, b"\x90\x00")
    assert codec.answered(answer("data-exchange-card-gone")) == (1, False, b"")
    assert codec.answered(b"\x40ab") == (0, True, b"ab")
    with pytest.raises(codec.BodyError):
        codec.answered(b"")


def test_silence_within_a_frame_loses_one_frame() -> None:
    """What is held counts as one rejected frame; zeros between frames are nothing."""
    decoder = FrameDecoder()
    assert decoder.feed(b"\x00\x00\xff\x06\xfa\xd5") == []
    assert decoder.partial
    assert decoder.reset() == [Signal.REJECTED]
    assert decoder.feed(bytes(40)) == []
    assert (decoder.partial, decoder.reset()) == (False, [])


@pytest.mark.parametrize("sizes", [b"\x05\xfc", b"\x00\x00", b"\xff\xff\x01\x10\xf0", b"\xff\xff\x02\x00\xfe"])
def test_a_length_that_does_not_hold_costs_a_start_code(sizes: bytes) -> None:
    """Wrong length checks are refused before the length is believed, and the next frame is read."""
    good = bytes.fromhex(FRAMES["release-ok"]["bytes"])
    found = FrameDecoder().feed(b"\x00\x00\xff" + sizes + good)
    assert found[0] is Signal.REJECTED
    assert found[-1] == Frame(0xD5, b"\x53\x00")


class Bench:
    """A driver at a simulated chip on a virtual wire."""

    def __init__(self, card: Card | None = None, **options: object) -> None:
        self.chip = Chip(card)
        self.wire = VirtualWire(lambda data: [(0.0, self.chip.receive(data))])
        config = LineConfig("reader-till", "virtual", "pn532", reader="till", options=options)
        (self.device,) = driver.make_devices(config)
        self.port: Port = self.wire.open()
        self.seen: list[Reading] = []

    def turns(self, count: int) -> list[Reading]:
        """What so many turns tell."""
        told: list[Reading] = []
        for _ in range(count):
            told += self.device.turn(self.port)
            self.wire.now_s += self.device.due_in_s()
        self.seen += told
        return told

    def taps(self) -> list[CardTap]:
        """Every tap so far."""
        return [reading for reading in self.seen if isinstance(reading, CardTap)]

    def counts(self) -> dict[str, int]:
        """What went wrong so far."""
        assert isinstance(self.device, driver.Pn532)
        return dict(self.device.counters())


def smart() -> Card:
    """A card whose link tells how often it was read."""
    return Card(UID, lambda count: link_message(f"https://m.example.cn/n?c={count}"))


def test_a_reader_wakes_its_chip_and_is_online() -> None:
    """Ten zeros, then the four commands in their order."""
    bench = Bench()
    assert bench.turns(4) == [ONLINE]
    assert bench.chip.asked == list(driver.WAKING)
    assert bench.device.device_id == "reader:till"


def test_a_card_is_told_once_while_it_lies_there() -> None:
    """One tap with its message; taken away for two looks and laid down again, it is a second tap."""
    bench = Bench(smart())
    bench.turns(12)
    assert bench.taps() == [CardTap("till", UID, link_message("https://m.example.cn/n?c=1"))]
    bench.chip.card, card = None, bench.chip.card
    bench.turns(1)
    bench.chip.card = card
    bench.turns(3)
    assert len(bench.taps()) == 1, "one look that failed is no removal"
    bench.chip.card = None
    bench.turns(2)
    bench.chip.card = card
    bench.turns(2)
    assert [tap.ndef for tap in bench.taps()][1:] == [link_message("https://m.example.cn/n?c=2")]


def test_another_card_at_once_is_another_tap() -> None:
    """The id tells them apart, without a look at an empty field between."""
    bench = Bench(smart())
    bench.turns(6)
    bench.chip.card = Card(b"\x08\x11\x22\x33")
    bench.turns(2)
    assert [(tap.uid, tap.ndef is None) for tap in bench.taps()] == [(UID, False), (b"\x08\x11\x22\x33", True)]


def test_two_cards_at_once_are_none() -> None:
    """Nobody can say whose card counts."""
    bench = Bench(smart())
    bench.chip.second = Card(b"\x04\x01\x02\x03")
    bench.turns(8)
    assert bench.taps() == []
    assert bench.counts()["taps_failed.several_cards"] == 4


def test_a_card_that_leaves_is_no_tap_and_the_next_one_is() -> None:
    """A talk that breaks off is counted; laid down again, the card is read."""
    bench = Bench(smart())
    card = bench.chip.card
    bench.chip.faults["card_leaves"] = 1
    bench.turns(5)
    assert (bench.taps(), bench.counts()["taps_failed.card_gone"]) == ([], 1)
    bench.chip.card = card
    bench.turns(1)
    assert len(bench.taps()) == 1


@pytest.mark.parametrize("fault", ["no_ack", "nack", "noise", "bad_dcs", "mute"])
def test_a_damaged_answer_costs_time_and_no_tap(fault: str) -> None:
    """Once in every command: the card is told all the same, and once."""
    bench = Bench(smart())
    for _ in range(20):
        bench.chip.faults[fault] = 1
        bench.turns(1)
    bench.chip.faults[fault] = 0
    bench.turns(8)
    assert [tap.uid for tap in bench.taps()] == [UID]
    assert bench.seen[0] == ONLINE


def test_a_chip_without_power_is_told_once_and_woken_again() -> None:
    """Three silent commands: offline with a hint; with power it is woken and reads."""
    bench = Bench()
    bench.turns(4)
    bench.chip.off = bench.chip.asleep = True
    told = bench.turns(12)
    assert [(status.online, status.reason) for status in told if isinstance(status, DeviceStatus)] == [
        (False, "silent")
    ]
    bench.chip.off = False
    bench.chip.card = smart()
    assert DeviceStatus("reader:till", online=True, gap=True) in bench.turns(12)
    assert len(bench.taps()) == 1
    assert bench.counts()["silent.no_ack"] >= 3


def test_a_chip_that_never_answers_is_cancelled() -> None:
    """The host's acknowledgement ends a command whose answer does not come."""
    bench = Bench()
    bench.turns(4)
    bench.chip.faults["mute"] = 1
    bench.turns(1)
    assert bench.chip.cancelled == 1


def test_a_lost_port_is_told_and_a_card_that_lies_there_is_read_again() -> None:
    """A new port means a new beginning."""
    bench = Bench(smart())
    bench.turns(6)
    (status,) = bench.device.reset()
    assert isinstance(status, DeviceStatus)
    assert (status.online, status.reason) == (False, "port lost")
    bench.turns(6)
    assert len(bench.taps()) == 2


def test_bytes_one_at_a_time_are_read() -> None:
    """A slow adapter: every byte alone."""
    bench = Bench(smart())
    whole = bench.chip.receive
    bench.wire.peer = lambda data: [(n * 0.0005, bytes((byte,))) for n, byte in enumerate(whole(data))]
    bench.turns(10)
    assert len(bench.taps()) == 1


def test_commands_are_refused_in_order_and_bounded() -> None:
    """A card reader takes none."""
    bench = Bench()
    for number in range(MAX_COMMANDS):
        bench.device.submit(Stop(f"c{number}", 1))
    with pytest.raises(DeviceRefused):
        bench.device.submit(Stop("one more", 1))
    told = bench.turns(1)
    assert [(r.command_id, r.outcome) for r in told if isinstance(r, CommandResult)] == [
        (f"c{number}", CommandOutcome.REFUSED) for number in range(MAX_COMMANDS)
    ]


def test_wrong_options_and_a_missing_reader_are_named() -> None:
    """Limits are told with the value that was given."""
    (problem,) = driver.SPEC.check_options({"ack": "1ms"})
    assert problem == ("ack", "'1ms' is not allowed", "write a whole number from 15 to 2000 ms")
    with pytest.raises(WiringError, match="has no reader"):
        driver.make_devices(LineConfig("x", "virtual", "pn532"))


def talk(*answers: bytes) -> bytes | None:
    """What a card's answers come to."""
    dialogue = read_ndef()
    next(dialogue)
    for given in answers:
        try:
            dialogue.send(given)
        except StopIteration as end:
            message: bytes | None = end.value
            return message
    raise AssertionError("the dialogue goes on")


OK = b"\x90\x00"


def test_what_a_card_may_answer() -> None:
    """No application, no file, an empty file, and a long one in several parts."""
    assert talk(b"\x6a\x82") is None
    assert talk(b"\x91\x1c") is None
    assert talk(OK, b"\x6a\x82") is None
    assert talk(OK, OK, b"\x00\x00" + OK) == b""
    assert talk(OK, OK, b"\x01\x00" + OK, bytes(240) + OK, bytes(16) + OK) == bytes(256)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ((b"\x90\x5a",), "no_status"),
        ((OK, b""), "no_status"),
        ((OK, b"\x6a\x82\x00"), "no_status"),
        ((OK, OK, b"\x6b\x00"), "refused"),
        ((OK, OK, b"\x00" + OK), "wrong_length"),
        ((OK, OK, b"\x00\x04" + OK, b"abc" + OK), "wrong_length"),
        ((OK, OK, b"\x00\x04" + OK, b"\x6b\x00"), "refused"),
        ((OK, OK, b"\x04\x01" + OK), "ndef_too_long"),
    ],
)
def test_a_card_that_lies_is_an_error(answers: tuple[bytes, ...], reason: str) -> None:
    """Each with its word for the counters."""
    with pytest.raises(CardError) as failure:
        talk(*answers)
    assert failure.value.reason == reason
