"""The contract of every driver about the moments at which the agent's side may end: after each, the truth is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from drivers.commands import Authorise, ReadSale
from drivers.errors import PortLost
from drivers.readings import PointState
from tests.support.rigs.attendant import Attendant, is_the_truth
from tests.support.rigs.base import Subject, VirtualRig
from tests.support.rigs.kinds import DispenserSubject, ReaderSubject

pytestmark = pytest.mark.long

REPEATED_WITHIN = 4
"""A frame with the same bytes as one of so many before it is the same question in the same situation."""
READING_S = 75.0
TAPS_S = 3.0
PAUSE_S = 0.15


class Killed(Exception):
    """The process ended here."""


def die() -> None:
    """The process ends."""
    raise Killed


def unplug() -> None:
    """The port vanishes under a driver that lives on."""
    raise PortLost("the virtual cable is pulled", hint="plug it in")


ENDS = {"killed": die, "unplugged": unplug}


def a_sale(rig: VirtualRig, dispenser: DispenserSubject) -> None:
    """Accounted for, released, fuelled, hung up and read; goes on without results where the wire was lost."""
    attendant = Attendant(dispenser, rig)
    nozzle = dispenser.nozzle(2)
    attendant.account()
    attendant.lift(nozzle)
    rig.run(Authorise(attendant.name(), 1, (nozzle,)))
    attendant.fuel(1_200, PAUSE_S)
    attendant.hang_up()
    rig.run(ReadSale(attendant.name(), 1, dispenser.nozzles))


def a_reading(rig: VirtualRig, _subject: Subject) -> None:
    """Whatever the driver asks by itself."""
    rig.turns(READING_S)


def windows(story: Callable[[VirtualRig], None], subject: Subject) -> list[int]:
    """The numbers of the frames of a story, without those that only repeat one just before."""
    rig = VirtualRig(subject, points=1)
    rig.online()
    sent: list[bytes] = []

    def answer(data: bytes) -> bytes:
        heard = rig.answer(data)
        sent.append(data + heard if subject.answers_tell_windows else data)
        return heard

    rig.port.peer = answer
    story(rig)
    return [n for n, data in enumerate(sent) if data not in sent[max(0, n - REPEATED_WITHIN) : n]]


def ended_at(story: Callable[[VirtualRig], None], subject: Subject, window: int, end: Callable[[], None]) -> VirtualRig:
    """A story whose driver got no further than that frame: the device heard it, nobody hears the answer."""
    rig = VirtualRig(subject, points=1)
    rig.online()
    last = len(rig.port.sent) + window + 1

    def answer(data: bytes) -> bytes:
        heard = rig.answer(data)
        if len(rig.port.sent) != last:
            return heard
        end()
        raise AssertionError("an end has an end")

    rig.port.peer = answer
    try:
        story(rig)
    except Killed:
        rig.port.peer = rig.answer
        rig.start_again()
    rig.port.peer = rig.answer
    return rig


@pytest.mark.proves("crash-window")
@pytest.mark.parametrize("end", ENDS)
def test_a_sale_is_told_whole_whatever_frame_was_the_last(dispenser: DispenserSubject, end: str) -> None:
    """Nothing but reads before the first command; then meters and held sale are the truth, and the next sale as well."""

    def story(rig: VirtualRig) -> None:
        a_sale(rig, dispenser)

    found = windows(story, dispenser)
    assert len(found) >= 5
    for window in found:
        rig = ended_at(story, dispenser, window, ENDS[end])
        told = len(dispenser.heard(rig, 1))
        rig.online()
        rig.turns(1)
        assert set(dispenser.heard(rig, 1)[told:]) <= dispenser.changes_nothing, f"window {window}"
        attendant = Attendant(dispenser, rig)
        unsaid = attendant.level().nozzle_out is None and attendant.level().state is PointState.AUTHORISED
        if attendant.level().nozzle_out or unsaid:  # some pumps do not say it while they are authorised
            attendant.hang_up()
        before = attendant.read()
        assert {total.nozzle: total.raw for total in before.after} == dispenser.totals(rig, 1), f"window {window}"
        sales = dispenser.sales(rig)
        if sales:
            is_the_truth(attendant, before)
        attendant.release(dispenser.nozzle(1))
        attendant.fuel(400, PAUSE_S)
        attendant.hang_up()
        is_the_truth(attendant, attendant.read())
        assert len(dispenser.sales(rig)) == len(sales) + 1


@pytest.mark.proves("crash-window")
@pytest.mark.parametrize("end", ENDS)
def test_a_gauge_is_read_whole_whatever_frame_was_the_last(gauge: Subject, end: str) -> None:
    """Every question of more than a minute: afterwards each tank is told as it is, and nothing false in between."""

    def story(rig: VirtualRig) -> None:
        a_reading(rig, gauge)

    found = windows(story, gauge)
    assert found
    for window in found:
        rig = ended_at(story, gauge, window, ENDS[end])
        rig.online()
        gauge.reads_the_truth(rig)
        assert gauge.lies(rig) == [], f"window {window}"
        assert set(gauge.heard(rig)) <= gauge.changes_nothing


@pytest.mark.proves("crash-window")
@pytest.mark.parametrize("end", ENDS)
def test_half_a_code_is_never_told_whatever_byte_was_the_last(listener: ReaderSubject, end: str) -> None:
    """The code is cut at every place; the next one is told whole and alone."""
    for cut in range(len(listener.shown) - 2):
        rig = VirtualRig(listener)
        rig.online()
        rig.arrive(listener.shown[:cut])
        rig.turns(0.01)
        if end == "killed":
            rig.start_again()
        else:
            rig.port.gone = True
            rig.turns(0.5)
            assert rig.status(rig.devices[0]) is False
            rig.port.gone = False
        rig.online()
        rig.turns(2)
        assert listener.told(rig) == [], f"cut {cut}"
        listener.reads_the_truth(rig)
        assert len(listener.told(rig)) == 1


@pytest.mark.proves("crash-window")
@pytest.mark.parametrize("end", ENDS)
def test_a_card_is_told_whole_or_not_at_all_whatever_frame_was_the_last(asker: Subject, end: str) -> None:
    """Waking, looking, every step of the talk with a card: afterwards the next card is told whole, nothing false before."""

    def story(rig: VirtualRig) -> None:
        rig.turns(TAPS_S)

    found = windows(story, asker)
    assert len(found) >= 5
    for window in found:
        rig = ended_at(story, asker, window, ENDS[end])
        rig.online()
        asker.reads_the_truth(rig)
        assert asker.lies(rig) == [], f"window {window}"
        assert set(asker.heard(rig)) <= asker.changes_nothing


@pytest.mark.proves("silence")
def test_a_silent_reader_is_an_ordinary_one(listener: ReaderSubject) -> None:
    """An hour without a code: online all the time, and what had begun before the silence is no code."""
    rig = VirtualRig(listener)
    rig.online()
    rig.arrive(listener.shown[:5])
    rig.turns(3_600)
    assert [status.online for status in rig.statuses(rig.devices[0])] == [True]
    assert listener.told(rig) == []
    listener.reads_the_truth(rig)
