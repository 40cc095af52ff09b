"""A scanner that types, on a virtual clock: its habits, its troubles, and that any cut of its bytes gives the same codes."""

from __future__ import annotations

import itertools
import os
import string
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agent.cli import application
from drivers.config import LineConfig
from drivers.errors import WiringError
from drivers.hid.codec import EVENT, EventDecoder
from drivers.hid.driver import HINTS, SPEC, HidScanner
from drivers.hid.keys import KeyDecoder
from drivers.readings import CodeScan, DeviceStatus, Reading
from drivers.simulator.keyboard import ENTER, KEY, SYN, Keyboard, events
from tests.support.wire import VirtualPort

ONLINE = DeviceStatus("reader:till", online=True)
TYPED = string.printable[:95]
FM1 = "FM1:MWGSLK/-4 987CKFRKR49*Z2C-OITS0D3DF3KC00GVJU8/QM0%QP48R86/$S31N8QS4:H W7Z.T:YDRU9+$5A-V-XI2 PQHEH"


def config(port: str = "evdev:x", /, **options: object) -> LineConfig:
    return LineConfig("h", port, "hid", options=options, reader="till")


class Desk:
    """The driver on a virtual wire, and everything it told."""

    def __init__(self, **options: object) -> None:
        self.port = VirtualPort(lambda data: b"")
        self.device = HidScanner(config(**options))
        self.told: list[Reading] = list(self.device.turn(self.port))

    def types(self, data: bytes, then_s: float = 0.1) -> None:
        """Bytes arrive; so much time goes by."""
        self.port.arrive(data)
        end_s = self.port.now_s + then_s
        while self.port.now_s < end_s:
            self.told += self.device.turn(self.port)

    @property
    def codes(self) -> list[str]:
        return [reading.text for reading in self.told if isinstance(reading, CodeScan)]


@pytest.mark.parametrize("habit", [Keyboard(), Keyboard(interleaved=True), Keyboard(alt=True)], ids=str)
def test_a_member_code_comes_out_as_it_was_typed(habit: Keyboard) -> None:
    """One key after the other, keys that interleave, and numbers on the keypad with ALT held."""
    desk = Desk()
    desk.types(habit.type_text(f"]Q1{FM1}"))
    desk.types(habit.type_text("9156000000000017"))
    assert desk.told == [ONLINE, CodeScan("till", FM1, "]Q1"), CodeScan("till", "9156000000000017")]
    assert desk.device.counters() == {}


def test_caps_lock_turns_case_round_and_nothing_else() -> None:
    """Whoever reads member codes takes either case: tokens and AIM ids have no lower case of their own."""
    desk = Desk()
    desk.types(Keyboard(caps_lock=True, interleaved=True).type_text(f"]Q1{FM1}"))
    assert desk.told[1:] == [CodeScan("till", FM1.swapcase(), "]q1")]


@pytest.mark.proves("every-split", "hid")
@given(
    text=st.text(TYPED, min_size=1, max_size=12).filter(lambda text: not text.startswith("]")),
    habit=st.builds(Keyboard, interleaved=st.booleans(), alt=st.booleans()),
    cuts=st.lists(st.integers(0, 3_000), max_size=5),
)
def test_every_text_and_any_cut_gives_the_same_code(text: str, habit: Keyboard, cuts: list[int]) -> None:
    """Every string over the layout; where the bytes are cut changes nothing."""
    data = habit.type_text(text)
    decoder, keys = EventDecoder(), KeyDecoder()
    found: list[str] = []
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(places):
        found += [code for event in decoder.feed(data[start:end]) if (code := keys.feed(*event)) is not None]
    assert found == [text]
    assert not decoder.partial


def test_a_code_without_enter_is_dropped_after_the_silence_and_told_how() -> None:
    """Counted under a name for which there is a hint; the next code stands alone."""
    desk = Desk()
    desk.types(Keyboard(enter=False).type_text("HALF"), 0.5)
    desk.types(Keyboard().type_text("WHOLE"))
    assert desk.codes == ["WHOLE"]
    assert desk.device.counters() == {"frames_rejected.cut_short": 1}
    assert set(desk.device.counters()) <= set(desk.device.hints)


def test_a_slow_scanner_within_the_silence_is_one_code() -> None:
    """150 ms between two keys are no silence by default, with a shorter one they are."""
    one, other = Keyboard(enter=False).type_text("A"), Keyboard().type_text("B")
    for options, codes in (({}, ["AB"]), ({"silence": "100ms"}, ["B"])):
        desk = Desk(**options)
        desk.types(one, 0.15)
        desk.types(other)
        assert desk.codes == codes


def test_keys_that_waited_while_the_thread_was_held_up_are_no_silence() -> None:
    """The clock may jump between turns: only an empty read proves that nothing was typed."""
    desk = Desk()
    desk.types(Keyboard(enter=False).type_text("CO"), 0.01)
    desk.port.arrive(Keyboard().type_text("DE"))
    desk.port.now_s += 5
    for _ in range(3):
        desk.told += desk.device.turn(desk.port)
    assert desk.codes == ["CODE"]


def test_lost_events_drop_the_code_they_belong_to() -> None:
    """The system says that its buffer overran: no code is made of what is left."""
    desk = Desk()
    overrun = EVENT.pack(0, 0, SYN, 3, 0)
    desk.types(
        Keyboard(enter=False).type_text("HAL") + overrun + Keyboard().type_text("F") + Keyboard().type_text("GOOD")
    )
    assert desk.codes == ["GOOD"]
    assert desk.device.counters() == {"frames_rejected.overrun": 1}


def test_other_devices_events_and_enter_alone_are_nothing() -> None:
    """Lights, mouse movements, repeats, and a code that is its AIM id only."""
    desk = Desk()
    strange = [
        EVENT.pack(0, 0, kind, code, value)
        for kind, code, value in ((17, 0, 1), (2, 0, -5), (KEY, 30, 2), (KEY, 700, 1))
    ]
    desk.types(b"".join(strange) + events([(ENTER, 1), (ENTER, 0)]) + Keyboard().type_text("]Q1"))
    assert desk.told == [ONLINE]


def test_a_lost_device_holds_no_key_and_comes_back_with_a_gap() -> None:
    """Shift was down when the cable was pulled; it is not down afterwards."""
    desk = Desk()
    desk.types(Keyboard(enter=False).type_text("A")[:-72])
    (offline,) = desk.device.reset()
    assert isinstance(offline, DeviceStatus)
    assert (offline.online, bool(offline.hint)) == (False, True)
    desk.told += desk.device.turn(desk.port)
    desk.types(Keyboard().type_text("b"))
    assert desk.codes == ["b"]
    assert DeviceStatus("reader:till", online=True, gap=True) in desk.told


@pytest.mark.parametrize(
    ("port", "options"),
    [("/dev/ttyACM0", {}), ("evdev:x", {"silence": "20ms"}), ("evdev:x", {"layout": "fr"})],
)
def test_a_wrong_port_or_option_is_refused_with_a_way_out(port: str, options: dict[str, object]) -> None:
    """Before anything is opened."""
    assert [bool(hint) for _, _, hint in SPEC.check_options(options)] == [True] * len(options)
    with pytest.raises(WiringError) as refused:
        SPEC.make_devices(config(port, **options))
    assert refused.value.hint
    with pytest.raises(WiringError):
        SPEC.make_devices(LineConfig("h", "evdev:x", "hid"))


def test_the_field_tool_waits_for_a_code_and_masks_it(tmp_path: Path) -> None:
    """`device read` opens the device as the daemon does, and shows that something was typed, not what."""
    path = tmp_path / "keyboard"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    stop = threading.Event()

    def types() -> None:
        while not stop.wait(0.3):
            os.write(writer, Keyboard().type_text("FM1:A7"))

    hand = threading.Thread(target=types)
    hand.start()
    done = CliRunner().invoke(application(), ["device", "read", "--protocol", "hid", "--port", f"evdev:{path}"])
    stop.set()
    hand.join()
    os.close(writer)
    assert done.exit_code == 0, done.output
    assert "an input device" in done.stdout
    assert "code FM1:[redacted] (6 characters" in done.stdout
    assert "A7" not in done.stdout


def test_every_reason_to_drop_a_code_has_a_hint() -> None:
    """No count rises without somebody being told what to do."""
    reasons = {"alt", "control", "cut_short", "overrun", "too_long"}
    assert {f"frames_rejected.{reason}" for reason in reasons} == set(HINTS)
