"""Which totals a read-out asks for: one nozzle where nothing was missed, all of them in doubt."""

from __future__ import annotations

from agent.domain.point_events import Book
from agent.domain.point_state import NozzleConfig
from drivers.commands import ReadSale
from drivers.readings import CompletedSale, HeldSale, PointState, TotalizerReading
from tests.support.point_script import CALLING, FUELLING, IDLE, PRICE, Script

START = {1: 1_000, 2: 2_000}


def _bundle(script: Script, totals: dict[int, int], held_ml: int, nozzle: int = 1) -> None:
    read = script.point.volatile.read
    assert read is not None
    readings = tuple(TotalizerReading(1, n, totals[n], 10, 10**10) for n in script.point.volatile.read_nozzles)
    held = HeldSale(1, nozzle, held_ml, held_ml * PRICE // 10_000, PRICE, f"t{held_ml}")
    script(CompletedSale(read.command_id, 1, readings, held, readings))


def _commissioned() -> Script:
    script = Script(nozzles=(NozzleConfig(1, "92", 1, PRICE), NozzleConfig(2, "95", 2, PRICE)))
    script.at(IDLE)
    assert script.sent(ReadSale).nozzles == (1, 2)
    _bundle(script, START, 0)
    for _ in range(3):
        script.at(IDLE)
    return script


def _fuelled(script: Script, ml: int) -> ReadSale:
    script.at(CALLING)
    script.at(PointState.STARTED)
    script.at(FUELLING, volume=ml // 2)
    script.at(FUELLING, volume=ml)
    script.at(IDLE, volume=ml)
    found: ReadSale = script.sent(ReadSale)
    return found


def test_only_the_fuelled_nozzle_is_read_in_normal_running() -> None:
    """After a fuelling that was seen from lift to hang-up, one total is asked for and the sale is booked from it."""
    script = _commissioned()
    assert _fuelled(script, 12_340).nozzles == (1,)
    _bundle(script, {1: START[1] + 1_234}, 12_340)
    booked = script.of(Book)
    assert [(b.booking.nozzle, b.booking.volume_ml) for b in booked] == [(1, 12_340)]


def test_all_nozzles_are_read_when_one_total_does_not_explain_the_display() -> None:
    """Where the fuelled nozzle's total disagrees with the held sale, nothing is booked before all totals are read."""
    script = _commissioned()
    assert _fuelled(script, 12_340).nozzles == (1,)
    _bundle(script, {1: START[1] + 700}, 12_340)
    assert script.of(Book) == []
    assert script.sent(ReadSale).nozzles == (1, 2)


def test_all_nozzles_are_compared_at_least_every_ten_minutes() -> None:
    """A long time after the last complete reading, the next sale's read-out covers every nozzle."""
    script = _commissioned()
    script.ms += 600_000
    assert _fuelled(script, 5_000).nozzles == (1, 2)
    _bundle(script, {1: START[1] + 500, 2: START[2]}, 5_000)
    assert len(script.of(Book)) == 1
