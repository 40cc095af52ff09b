"""The simulated Two-Wire pump as its protocol describes it, asked with plain bytes."""

from __future__ import annotations

import pytest

from drivers.simulator import gilbarco_words as words
from drivers.simulator.config import ConfigError
from drivers.simulator.forecourt import Forecourt
from drivers.simulator.pump_head import PumpHead
from tests.support.rigs.simulated import LINE, station

PRICE = bytes.fromhex("FFE5F4F6E0F7E0E0E1E1FBEEF0")


class Loop:
    """Pumps of one loop with a clock of the test's."""

    def __init__(self, points: int = 1) -> None:
        self.forecourt = Forecourt(station(points, "gilbarco", 1), seed=1)
        self.now_ms = 0

    def say(self, hexadecimal: str, after_ms: int = 100) -> str:
        """The answer after so long."""
        self.now_ms += after_ms
        self.forecourt.step(self.now_ms)
        return self.forecourt.bus(LINE).receive(bytes.fromhex(hexadecimal)).hex().upper()

    @property
    def head(self) -> PumpHead:
        """Behind pump 1."""
        return self.forecourt.world.heads[1]


def test_a_sale_from_the_lift_to_the_end_of_its_memory() -> None:
    """OFF, CALL, AUTHORISED, BUSY, FEOT, OFF; the sale stays readable over a lift without flow."""
    loop = Loop()
    assert loop.say("01") == "61"
    assert loop.say("11") == ""  # never answered; on this pump it counts while the nozzle hangs
    assert loop.say("01") == "81"
    assert loop.say("31") == ""
    assert loop.say("01") == "61"
    loop.head.lift(2)
    assert loop.say("01") == "71"
    loop.say("11")
    assert loop.say("01") == "81"
    loop.head.deliver(1_000)
    assert loop.say("01") == "91"
    assert (loop.say("41"), loop.say("51")) == ("", "")
    assert loop.say("61") == words.digits(loop.head.amount, 6).hex().upper()
    loop.head.hang_up()
    assert loop.say("01") == "B1"
    sold = loop.say("41")
    assert loop.say("01", 2_000) == "61"
    loop.head.lift(1)
    loop.say("11")
    loop.head.hang_up()
    assert loop.say("01") == "61"
    assert loop.say("41") == sold != ""


def test_the_gate_takes_one_block_and_locks_after_a_refusal() -> None:
    """2n is answered in OFF and CALL only; refused or asked too early, it is locked for two seconds."""
    loop = Loop()
    assert loop.say("21") == "D1"
    assert loop.say(PRICE.hex()) == ""
    assert loop.head.prices[1] == 1100
    loop.head.set_prices([7_000, 7_000, 7_000])
    assert loop.say(PRICE.hex()) == ""  # nobody was announced
    assert loop.head.prices[1] == 7_000
    loop.head.lift(1)
    loop.say("11")
    assert loop.say("21") == ""
    loop.head.hang_up()
    assert (loop.say("21", 1_500), loop.say("21", 1_500), loop.say("21", 2_100)) == ("", "", "D1")


def test_damaged_blocks_are_ignored() -> None:
    """A wrong check or length word changes nothing."""
    for at, value in ((11, 0xE1), (1, 0xE4), (7, 0xE5)):
        loop = Loop()
        before = dict(loop.head.prices)
        block = bytearray(PRICE)
        block[at] = value
        loop.say("21")
        loop.say(block.hex())
        assert loop.head.prices == before


def test_all_stop_reaches_every_pump() -> None:
    """FC ends every delivery of the loop, and nobody answers."""
    loop = Loop(points=3)
    for number in (1, 2, 3):
        loop.forecourt.world.heads[number].lift(1)
        loop.say(f"1{number}")
    assert loop.say("FC") == ""
    assert [loop.say(f"0{number}") for number in (1, 2, 3)] == ["C1", "C2", "C3"]


def test_sixteen_pumps_have_a_place_and_no_more() -> None:
    """Number 16 answers as 0; 17 is a mistake in the configuration."""
    loop = Loop(points=16)
    assert loop.say("00") == "60"
    assert loop.say("0F") == "6F"
    with pytest.raises(ConfigError, match=r"1\.\.16"):
        station(17, "gilbarco", 1).check()
