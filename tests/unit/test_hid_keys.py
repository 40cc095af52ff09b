"""Key events of a scanner that types: the worked example, every character of the layout, and everything that spoils."""

from __future__ import annotations

import string

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from drivers.hid.keys import EV_KEY, EV_SYN, KEYPAD, MAX_FRAME, SYN_DROPPED, US, KeyDecoder

DOWN, UP = 1, 0
SHIFT, RIGHT_SHIFT, ALT, CTRL, ENTER = 42, 54, 56, 29, 28
CODE_OF = {sign: (code, shifted) for code, pair in reversed(US.items()) for shifted, sign in enumerate(pair)}

Events = list[tuple[int, int, int]]


def keys(text: str, shift: int = SHIFT) -> Events:
    """What a keyboard sends for a text, each key up before the next."""
    events: Events = []
    for sign in text:
        code, shifted = CODE_OF[sign]
        strokes = [(EV_KEY, code, DOWN), (EV_KEY, code, UP)]
        events += [(EV_KEY, shift, DOWN), *strokes, (EV_KEY, shift, UP)] if shifted else strokes
    return events


def typed(events: Events, decoder: KeyDecoder | None = None) -> list[str]:
    """The codes that events make."""
    decoder = KeyDecoder() if decoder is None else decoder
    return [code for event in events if (code := decoder.feed(*event)) is not None]


END: Events = [(EV_KEY, ENTER, DOWN), (EV_KEY, ENTER, UP)]


@pytest.mark.proves("vectors", "hid")
def test_the_worked_example_with_keys_that_interleave() -> None:
    """FM1: with the next key down before the last is up."""
    pressed = [(42, 1), (33, 1), (50, 1), (33, 0), (50, 0), (42, 0), (2, 1), (2, 0), (42, 1), (39, 1), (39, 0), (42, 0)]
    assert typed([(EV_KEY, *one) for one in pressed] + END) == ["FM1:"]


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from(sorted(CODE_OF)), min_size=1, max_size=40), st.sampled_from((SHIFT, RIGHT_SHIFT)))
def test_every_text_over_the_layout_comes_out_as_typed(text: str, shift: int) -> None:
    """Whatever the characters and whichever shift key, also with repeats and other events between."""
    noisy = [more for event in keys(text, shift) for more in (event, (EV_KEY, event[1], 2), (EV_SYN, 0, 0), (4, 4, 7))]
    assert typed(noisy + END) == [text]


def test_the_layout_has_every_character_of_a_member_code() -> None:
    """Base45 and digits, plain and shifted."""
    assert set(string.ascii_uppercase + string.digits + " $%*+-./:") <= set(CODE_OF)
    assert {US[code][0] for code in KEYPAD} == set(string.digits)


def test_both_shift_keys_count() -> None:
    """One of two shift keys going up leaves the other down."""
    a = (EV_KEY, 30, DOWN)
    both = [(EV_KEY, SHIFT, DOWN), (EV_KEY, RIGHT_SHIFT, DOWN), (EV_KEY, SHIFT, UP), a, (EV_KEY, RIGHT_SHIFT, UP), a]
    assert typed(both + END) == ["Aa"]


def test_a_number_typed_with_alt_is_a_character() -> None:
    """ALT + 0 5 2 is a 4; the frame goes on around it."""
    alt = [(EV_KEY, ALT, DOWN), *((EV_KEY, code, DOWN) for code in (82, 76, 80)), (EV_KEY, ALT, UP)]
    assert typed(keys("a") + alt + keys("b") + END) == ["a4b"]


@pytest.mark.parametrize(
    ("spoils", "reason"),
    [
        ([(EV_KEY, ALT, DOWN), (EV_KEY, 80, DOWN), (EV_KEY, ALT, UP)], "alt"),
        ([(EV_KEY, ALT, DOWN), (EV_KEY, 79, DOWN), (EV_KEY, 80, DOWN), (EV_KEY, 71, DOWN), (EV_KEY, ALT, UP)], "alt"),
        ([(EV_KEY, ALT, DOWN), (EV_KEY, 30, DOWN), (EV_KEY, ALT, UP)], "alt"),
        ([(EV_KEY, ALT, DOWN), *[(EV_KEY, 82, DOWN)] * 5, (EV_KEY, ALT, UP)], "alt"),
        ([(EV_KEY, CTRL, DOWN), (EV_KEY, 50, DOWN), (EV_KEY, CTRL, UP)], "control"),
        ([(EV_SYN, SYN_DROPPED, 0)], "overrun"),
    ],
)
def test_a_spoilt_code_is_dropped_whole_and_the_next_one_is_read(spoils: Events, reason: str) -> None:
    """Once, up to its end, whatever else belongs to it."""
    decoder = KeyDecoder()
    assert typed(keys("FM1:A") + spoils + spoils + keys("B") + END + keys("next") + END, decoder) == ["next"]
    assert decoder.dropped == {reason: 1}


def test_an_overrun_lets_go_of_every_modifier() -> None:
    """The system lost the release of shift: it is not held for ever."""
    held = [(EV_KEY, SHIFT, DOWN), (EV_SYN, SYN_DROPPED, 0)]
    assert typed(held + END + keys("a") + END) == ["a"]


def test_the_cap_holds() -> None:
    """A code of the longest length is read, one more is dropped."""
    decoder = KeyDecoder()
    assert typed(keys("a" * MAX_FRAME) + END, decoder) == ["a" * MAX_FRAME]
    assert typed(keys("a" * (MAX_FRAME + 1)) + END + keys("b") + END, decoder) == ["b"]
    assert decoder.dropped == {"too_long": 1}


def test_silence_drops_what_has_begun() -> None:
    """Counted once; an empty silence is nothing; a new device holds no key."""
    decoder = KeyDecoder()
    decoder.silence()
    typed(keys("FM1"), decoder)
    assert decoder.partial
    decoder.silence()
    assert (decoder.partial, decoder.dropped) == (False, {"cut_short": 1})
    typed([(EV_KEY, SHIFT, DOWN)], decoder)
    decoder.reset()
    assert typed(keys("a") + END, decoder) == ["a"]


def test_empty_frames_and_other_keys_are_nothing() -> None:
    """ENTER alone, caps lock, num lock and function keys."""
    assert typed(END + [(EV_KEY, code, DOWN) for code in (58, 69, 59, 1, 240)] + keys("x") + END) == ["x"]
