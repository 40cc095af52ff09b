"""The contract of every driver about nonsense on its wire: it is counted, and nothing but a DriverError ever comes of it."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from drivers.errors import DriverError
from drivers.readings import CardTap, CodeScan, CompletedSale, FuellingPointReading, Quality, Reading, TankReading
from tests.support.rigs.base import Subject, VirtualRig, every_command
from tests.support.rigs.kinds import ReaderSubject

pytestmark = pytest.mark.long

SEEDS = range(3)
MEND_S = 90
TURNS = 400


def random_bytes(rng: random.Random, _answer: bytes) -> bytes:
    """Anything at all."""
    return rng.randbytes(rng.randrange(0, 300))


def damaged(rng: random.Random, answer: bytes) -> bytes:
    """A true answer with bytes flipped, dropped, doubled or cut off."""
    data = bytearray(answer)
    for _ in range(rng.randrange(1, 4)):
        if not data:
            return b""
        at = rng.randrange(len(data))
        what = rng.randrange(4)
        if what == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            del data[at]
        elif what == 2:
            data[at:at] = data[at : at + 3]
        else:
            del data[at:]
    return bytes(data)


def protocol_letters(rng: random.Random, _answer: bytes) -> bytes:
    """Bytes that the protocols give a meaning to, in any order."""
    letters = b"\x01\x02\x03\x10\xfa\x50\x51\x20\x30\x70\xc0&&i201\r\n99FF1B0123456789ABCDEF]Q1\t"
    return bytes(rng.choice(letters) for _ in range(rng.randrange(1, 120)))


def check(reading: Reading) -> None:
    """A reading that came out of noise must still be one that could be true."""
    if isinstance(reading, TankReading) and reading.quality is Quality.GOOD:
        assert reading.volume_ml is None or 0 <= reading.volume_ml < 10**9
    if isinstance(reading, FuellingPointReading):
        assert reading.nozzle is None or 1 <= reading.nozzle <= 15
        assert reading.volume_ml is None or reading.volume_ml >= 0
    if isinstance(reading, CompletedSale):
        assert [total.nozzle for total in reading.before] == [total.nozzle for total in reading.after]
    if isinstance(reading, CodeScan):
        assert len(reading.text) <= 1_024


@pytest.mark.proves("noise")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("noise", [random_bytes, damaged, protocol_letters])
def test_nonsense_raises_nothing_but_driver_errors(
    subject: Subject, noise: Callable[[random.Random, bytes], bytes], seed: int
) -> None:
    """Hundreds of turns of noise with commands under way; afterwards the driver is well again without a restart."""
    rig = VirtualRig(subject, seed=seed)
    rig.online()
    rng = random.Random(seed)
    well = rig.port.peer
    rig.port.peer = lambda data: noise(rng, well(data))
    (device, *_) = rig.line.devices
    told: list[DriverError] = []
    for number in range(TURNS):
        try:
            if number % 40 == 0:
                for command in every_command():
                    device.submit(command)
            if isinstance(subject, ReaderSubject):
                rig.arrive(noise(rng, subject.shown) or b"\r")
            for reading in rig.line.turn():
                check(reading)
        except DriverError as error:
            told.append(error)
        if not rig.line.is_open:
            rig.port.now_s += 0.05
    assert all(error.hint for error in told)
    rig.port.peer = well
    began = len(rig.seen)
    if not isinstance(subject, ReaderSubject):
        rig.until(
            lambda: any(isinstance(news, (FuellingPointReading, TankReading, CardTap)) for _, news in rig.seen[began:]),
            MEND_S,
        )
        rig.until(lambda: all(rig.status(name) is not False for name in rig.devices), MEND_S)
        return
    rig.turns(MEND_S)
    rig.arrive(b"\r\n")
    rig.turns(1)
    subject.reads_the_truth(rig)


def test_noise_is_counted_by_reason(talker: Subject) -> None:
    """A person who looks for a bad cable finds numbers: the counters name what was refused."""
    rig = VirtualRig(talker)
    rig.online()
    well, rng = rig.port.peer, random.Random(3)
    rig.port.peer = lambda data: damaged(rng, well(data))
    rig.turns(120)
    counted = {name: count for name, count in rig.line.counters().items() if name.startswith("frames_rejected.")}
    assert sum(counted.values()) > 0
