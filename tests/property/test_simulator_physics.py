"""Properties of the simulated world over seeds: nothing is made or lost, and a seed is a day."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.simulator import dart_frames as dart
from drivers.simulator.config import default_config
from drivers.simulator.forecourt import Forecourt
from drivers.simulator.pump_head import TOTAL_MODULUS, UNIT_ML, amount_minor
from tests.support.examples import tries
from tests.support.simulated import run_attended, run_out


def day(seed: int, seconds: int = 150, **options: Any) -> Forecourt:
    """A served day, closed at its end."""
    forecourt = Forecourt(default_config("unused"), seed=seed, **options)
    run_attended(forecourt, seconds)
    run_out(forecourt)
    forecourt.typed()
    return forecourt


@settings(max_examples=tries(15), deadline=None)
@given(st.integers(0, 2**32))
def test_sales_equal_totalizers_equal_tanks_to_the_millilitre(seed: int) -> None:
    """Sum of sales = movement of the totalizers = what the tanks lost plus what was delivered; amounts are exact."""
    forecourt = day(seed)
    truth = forecourt.truth
    moved = sum((n["totalizer"] - n["totalizer_start"]) % TOTAL_MODULUS for n in truth.nozzles.values()) * UNIT_ML
    delivered = sum(tanker.given_ml for tanker in forecourt.world.tankers)
    drained = sum(tank.config.start_ml - tank.volume_ml for tank in forecourt.world.tanks.values()) + delivered
    assert truth.volume_ml == moved == drained
    for head in forecourt.world.heads.values():
        assert {n: truth.nozzles[(head.number, n)]["totalizer"] for n in head.nozzles} == head.totals
    for sale in (r for r in truth.records if r["kind"] == "sale"):
        assert sale["amount_minor"] == amount_minor(sale["volume_ml"] // UNIT_ML, sale["unit_price_milli"])


@settings(max_examples=tries(5), deadline=None)
@given(st.integers(0, 2**32))
def test_same_seed_same_truth_other_seed_other_figures(seed: int) -> None:
    """The truth depends on the seed and on nothing else, faults included."""
    options: dict[str, Any] = {"faults": ("pump-restart", "lost-ack"), "speed": 5}
    first, second, other = day(seed, **options), day(seed, **options), day(seed + 1, **options)
    assert first.truth.records == second.truth.records
    assert [n["totalizer"] for n in first.truth.nozzles.values()] != [
        n["totalizer"] for n in other.truth.nozzles.values()
    ]


@settings(max_examples=tries(5), deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 17))
def test_rhythm_of_the_caller_does_not_change_the_day(seed: int, ticks: int) -> None:
    """Unserved customers behave the same however often the clock is moved."""
    once, often = (Forecourt(default_config("unused"), seed=seed) for _ in range(2))
    for forecourt in (once, often):
        for head in forecourt.world.heads.values():
            head.contacted = True
    once.step(170_000)
    for now_ms in range(0, 170_001, ticks * 100):
        often.step(now_ms)
    often.step(170_000)
    assert once.truth.records == often.truth.records


@given(st.binary(max_size=60), st.lists(st.integers(0, 90), max_size=4), st.integers(0, 15))
def test_any_data_survives_encoding_and_any_chunking(data: bytes, cuts: list[int], tx: int) -> None:
    """A block with any bytes, cut anywhere, is one intact frame with the same data."""
    raw = dart.encode_data(0x5B, tx, data)
    reader = dart.FrameReader()
    edges = sorted({0, len(raw), *(c for c in cuts if c < len(raw))})
    frames = [f for a, b in pairwise(edges) for f in reader.feed(raw[a:b])]
    assert [(f.address, f.tx, f.data, f.intact) for f in frames] == [(0x5B, tx, data, True)]


@settings(max_examples=tries(40), deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=5))
def test_any_bytes_from_a_master_never_break_a_pump_or_the_console(chunks: list[bytes]) -> None:
    """Garbage gives silence or a frame, never an exception, and afterwards a poll is answered."""
    forecourt = Forecourt(default_config("unused"), seed=1)
    bus, reader = forecourt.bus("island-1"), forecourt.console.reader()
    for chunk in chunks:
        bus.receive(chunk)
        for question in reader.feed(chunk):
            forecourt.console.answer(question)
    bus.silence()
    pump = forecourt.pump(1)
    pump.head.silent_once = False
    answered = bus.receive(bytes.fromhex("5020FA"))
    assert dart.FrameReader().feed(answered)[0].address == 0x50
    assert forecourt.console.receive(b"\x01i90200\r\n").startswith(b"\x01i90200")
