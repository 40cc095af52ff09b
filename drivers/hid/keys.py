"""Key events of a scanner that types as a keyboard, to codes: the US layout, always. Sans-IO: no clock, no device.

Knows Linux key codes (input-event-codes.h) and what scanners do with shift, alt and control. Does not know what a code
means. A character is made when its key goes down, with the shift of that moment: the next key often comes before the
last one is up.
"""

from __future__ import annotations

from dataclasses import dataclass, field

EV_SYN, EV_KEY = 0, 1
SYN_DROPPED = 3
UP, DOWN = 0, 1
MAX_FRAME = 512
"""The cap of a serial scanner holds here as well."""

SHIFTS, CONTROLS, ALTS = frozenset({42, 54}), frozenset({29, 97}), frozenset({56, 100})
ENDS = frozenset({28, 96})
_ALT_LEAST, _ALT_MOST, _ALT_DIGITS = 32, 126, 4


def _map() -> dict[int, tuple[str, str]]:
    rows = (
        (2, "1234567890-=", "!@#$%^&*()_+"),
        (16, "qwertyuiop[]", "QWERTYUIOP{}"),
        (30, "asdfghjkl;'`", 'ASDFGHJKL:"~'),
        (43, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
    )
    keys = {first + place: pair for first, *signs in rows for place, pair in enumerate(zip(*signs, strict=True))}
    alike = {57: " ", 55: "*", 98: "/", 74: "-", 78: "+", 83: "."}
    return (
        keys
        | {code: (sign, sign) for code, sign in alike.items()}
        | {code: (str(digit), str(digit)) for code, digit in KEYPAD.items()}
    )


KEYPAD = {82: 0, 79: 1, 80: 2, 81: 3, 75: 4, 76: 5, 77: 6, 71: 7, 72: 8, 73: 9}
US = _map()
"""Key code to what it types plain and shifted."""


@dataclass(slots=True)
class KeyDecoder:
    """Key events in, codes out; holds at most ``MAX_FRAME`` characters.

    ``dropped``: codes given up, by reason: ``overrun`` (the system lost events), ``control``, ``alt`` (a number that is
    no character: set the scanner to a US keyboard), ``too_long``, ``cut_short`` (silence before the end).
    """

    dropped: dict[str, int] = field(default_factory=dict)
    _frame: list[str] = field(default_factory=list, repr=False)
    _held: set[int] = field(default_factory=set)
    _alt_digits: str = field(default="", repr=False)
    _spoilt: bool = False

    @property
    def partial(self) -> bool:
        """Whether a code has begun and not ended."""
        return bool(self._frame) or self._spoilt

    def feed(self, kind: int, code: int, value: int) -> str | None:
        """Take one event; return the code it ends, ``None`` while there is none. Never raises."""
        if (kind, code) == (EV_SYN, SYN_DROPPED):
            self._held.clear()
            self._spoil("overrun")
            return None
        if kind != EV_KEY or value not in (UP, DOWN):
            return None
        if code in SHIFTS | CONTROLS | ALTS:
            self._modifier(code, down=value == DOWN)
            return None
        return self._pressed(code) if value == DOWN else None

    def silence(self) -> None:
        """Nothing came for a while: a code that has begun is given up."""
        if self._frame and not self._spoilt:
            self._spoil("cut_short")
        self._begin()

    def reset(self) -> None:
        """The device is gone or new: nothing is held down."""
        self._held.clear()
        self._alt_digits = ""
        self.silence()

    def _modifier(self, code: int, *, down: bool) -> None:
        if down:
            self._held.add(code)
            return
        self._held.discard(code)
        if code in ALTS and self._alt_digits:
            digits, self._alt_digits = self._alt_digits, ""
            number = int(digits)
            if _ALT_LEAST <= number <= _ALT_MOST:
                self._add(chr(number))
            else:
                self._spoil("alt")

    def _pressed(self, code: int) -> str | None:
        if code in ENDS:
            text, whole = "".join(self._frame), not self._spoilt
            self._begin()
            return text if text and whole else None
        if self._held & CONTROLS:
            self._spoil("control")
        elif self._held & ALTS:
            self._with_alt(code)
        elif code in US:
            self._add(US[code][1 if self._held & SHIFTS else 0])
        return None

    def _with_alt(self, code: int) -> None:
        if code in KEYPAD and len(self._alt_digits) < _ALT_DIGITS:
            self._alt_digits += str(KEYPAD[code])
        else:
            self._alt_digits = ""
            self._spoil("alt")

    def _add(self, character: str) -> None:
        if self._spoilt:
            return
        self._frame.append(character)
        if len(self._frame) > MAX_FRAME:
            self._spoil("too_long")

    def _spoil(self, reason: str) -> None:
        """Give the code under way up, once; what follows belongs to it until its end."""
        if not self._spoilt:
            self.dropped[reason] = self.dropped.get(reason, 0) + 1
        self._frame.clear()
        self._spoilt = True

    def _begin(self) -> None:
        self._frame.clear()
        self._spoilt = False
