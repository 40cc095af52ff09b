"""A scanner that types as a keyboard: turns texts into the events of its input device, with its habits.

Works on text in, bytes out; knows no device. Its key table is written from the layout once more on purpose.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

SYN, KEY = 0, 1
UP, DOWN = 0, 1
ENTER, SHIFT, CAPS_LOCK, ALT = 28, 42, 58, 56
DIGIT_KEYS = (82, 79, 80, 81, 75, 76, 77, 71, 72, 73)
_EVENT = struct.Struct("llHHi")

_PLAIN = {
    "1": 2, "2": 3, "3": 4, "4": 5, "5": 6, "6": 7, "7": 8, "8": 9, "9": 10, "0": 11, "-": 12, "=": 13,
    "q": 16, "w": 17, "e": 18, "r": 19, "t": 20, "y": 21, "u": 22, "i": 23, "o": 24, "p": 25, "[": 26, "]": 27,
    "a": 30, "s": 31, "d": 32, "f": 33, "g": 34, "h": 35, "j": 36, "k": 37, "l": 38, ";": 39, "'": 40, "`": 41,
    "\\": 43, "z": 44, "x": 45, "c": 46, "v": 47, "b": 48, "n": 49, "m": 50, ",": 51, ".": 52, "/": 53, " ": 57,
}  # fmt: skip
_SHIFTED = dict(zip('!@#$%^&*()_+{}:"~|<>?', "1234567890-=[];'`\\,./", strict=True))

Pressed = tuple[int, int]
"""(key code, DOWN or UP)."""


@dataclass(frozen=True, slots=True)
class Keyboard:
    """``interleaved``: the next key comes before the last is up. ``caps_lock``: it is on, and the scanner makes up for
    it by turning shift round. ``alt``: every character as its number on the keypad with ALT held, as in a universal
    mode. ``enter``: each code ends with ENTER.
    """

    interleaved: bool = False
    caps_lock: bool = False
    alt: bool = False
    enter: bool = True

    def type_text(self, text: str) -> bytes:
        """Return the events of a text over the US layout; raises KeyError for a character that it does not have."""
        presses = [(CAPS_LOCK, DOWN), (CAPS_LOCK, UP)] if self.caps_lock else []
        presses += self._numbers(text) if self.alt else self._keys(text)
        if self.enter:
            presses += [(ENTER, DOWN), (ENTER, UP)]
        return events(presses)

    def _keys(self, text: str) -> list[Pressed]:
        presses: list[Pressed] = []
        late: list[Pressed] = []
        shifted = False
        for sign in text:
            code, wants = self._key(sign)
            if wants is not shifted:
                presses += [*late, (SHIFT, DOWN if wants else UP)]
                late, shifted = [], wants
            presses += [(code, DOWN), *late]
            late = [(code, UP)]
            if not self.interleaved:
                presses, late = presses + late, []
        return presses + late + ([(SHIFT, UP)] if shifted else [])

    def _key(self, sign: str) -> tuple[int, bool]:
        if sign.isalpha():
            return _PLAIN[sign.lower()], sign.isupper() is not self.caps_lock
        return (_PLAIN[sign], False) if sign in _PLAIN else (_PLAIN[_SHIFTED[sign]], True)

    def _numbers(self, text: str) -> list[Pressed]:
        presses: list[Pressed] = []
        for sign in text:
            keys = [DIGIT_KEYS[int(digit)] for digit in f"{ord(sign):03d}"]
            presses += [(ALT, DOWN), *((code, way) for code in keys for way in (DOWN, UP)), (ALT, UP)]
        return presses


def events(presses: list[Pressed]) -> bytes:
    """Return key events as the system gives them: each with a scan code before and a report behind."""
    parts = []
    for number, (code, way) in enumerate(presses):
        at = (1_795_305_600 + number // 1_000, number % 1_000 * 1_000)
        parts += [_EVENT.pack(*at, 4, 4, 0x70000 + code), _EVENT.pack(*at, KEY, code, way), _EVENT.pack(*at, SYN, 0, 0)]
    return b"".join(parts)
