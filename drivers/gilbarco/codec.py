"""Two-Wire words and blocks: bytes to answers and back, with the 4-bit check (sections 2 and 3 of the protocol).

Knows no clock, no port and no unit: every number is the digits as they travel. An answer has a meaning only for the
question it follows, so the decoder is told what form to expect.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

from drivers.errors import FrameRejected

MAX_GRADES = 10  # a grade is one digit
GRADE_WORDS = 30
MAX_BLOCK = GRADE_WORDS * MAX_GRADES + 4
TRANSACTION_WORDS = 33
NOZZLE_WORDS = 19
MONEY_WORDS = 6
PUMPS = range(1, 17)
ALL_STOP = b"\xfc"
START, END, CHECK = 0xFF, 0xF0, 0xFB
NOZZLE_QUERY = bytes.fromhex("FFE9FEE0E1E0FBEEF0")
_DIGITS = range(0xE0, 0xEA)
_NOZZLE_HEAD, _NOZZLE_TAIL = b"\xba\xb0\xb3", b"\x8d\x8a"


class Command(IntEnum):
    """The high nibble of a word to a pump."""

    STATUS = 0x0
    AUTHORISE = 0x1
    DATA_NEXT = 0x2
    STOP = 0x3
    TRANSACTION = 0x4
    TOTALS = 0x5
    MONEY = 0x6


class Reply(Enum):
    """The forms an answer has. One and the same byte means different things after different questions."""

    STATUS = "status"
    SEND_DATA = "send data"
    TRANSACTION = "transaction"
    TOTALS = "totals"
    MONEY = "money"
    NOZZLE = "nozzle"

    @property
    def size(self) -> int:
        """Words of an answer that no start and end word frame; 0 = framed."""
        return {Reply.STATUS: 1, Reply.SEND_DATA: 1, Reply.MONEY: MONEY_WORDS}.get(self, 0)


class State(IntEnum):
    """The high nibble of a status word. ``ERROR_1``: listed as an error in one place only [uncertain]."""

    ERROR = 0x0
    ERROR_1 = 0x1
    OFF = 0x6
    CALL = 0x7
    AUTHORISED = 0x8
    BUSY = 0x9
    PEOT = 0xA
    FEOT = 0xB
    STOP = 0xC
    SEND_DATA = 0xD


@dataclass(frozen=True, slots=True)
class Status:
    """What one pump says of itself; ``SEND_DATA`` only in answer to DATA_NEXT."""

    pump: int
    state: State


@dataclass(frozen=True, slots=True)
class Transaction:
    """The last sale: ``grade`` and ``level`` from 1, the rest as digits. All zero = none since the pump forgot."""

    pump: int
    grade: int
    level: int
    unit_price: int
    volume: int
    money: int


@dataclass(frozen=True, slots=True)
class GradeTotals:
    """Totals of one grade (digits, modulo 10^8) and its current prices."""

    grade: int
    volume_total: int
    money_total: int
    price_level1: int
    price_level2: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Totals of all grades of one pump, in the order sent."""

    grades: tuple[GradeTotals, ...]

    def of(self, grade: int) -> GradeTotals | None:
        """The totals of one grade, wherever it stands."""
        return next((one for one in self.grades if one.grade == grade), None)


@dataclass(frozen=True, slots=True)
class Money:
    """Running money of a delivery, six digits without frame or check."""

    money: int


@dataclass(frozen=True, slots=True)
class Nozzle:
    """Answer to the nozzle query. ``nozzle``: selected or last one, 0 = none."""

    is_out: bool
    nozzle: int


Answer = Status | Transaction | Totals | Money | Nozzle


# To the pump.


def word(command: Command, pump: int) -> bytes:
    """One command word; pump 16 travels as nibble 0 [single source]."""
    assert pump in PUMPS
    return bytes((command << 4 | pump & 0x0F,))


def lrc(body: bytes) -> int:
    """The check word of ``body``, which runs from FF to FB inclusive."""
    return 0xE0 | -sum(one & 0x0F for one in body) & 0x0F


def length_word(total_words: int) -> int:
    """The length word of a block of ``total_words``, FF to F0."""
    return 0xE0 | -(total_words - 2) & 0x0F


def digits(value: int, count: int) -> bytes:
    """``value`` as data words, least significant digit first. Raises ``FrameRejected`` where it has more digits."""
    if not 0 <= value < 10**count:
        raise FrameRejected(f"{value} does not fit {count} digits", reason="range", hint="use a smaller value")
    return bytes(0xE0 | int(digit) for digit in reversed(f"{value:0{count}d}"))


def block(words: bytes, length: int | None = None) -> bytes:
    """``words`` as a block to a pump; ``length`` instead of the length word by rule, for firmware that wants it."""
    length = length_word(len(words) + 5) if length is None else length
    body = bytes((START, length)) + words + bytes((CHECK,))
    return body + bytes((lrc(body), END))


def price_block(level: int, grade: int, unit_price: int) -> bytes:
    """Set the unit price (four digits) of one grade at price level 1 or 2."""
    return block(_level(level) + _grade(grade) + b"\xf7" + digits(unit_price, 4))


def level_block(level: int) -> bytes:
    """Switch to price level 1 or 2."""
    return block(_level(level))


@dataclass(frozen=True, slots=True)
class Dialect:
    """One shape of the preset block. ``fixed_length``: this length word whatever the length is."""

    count: int
    level: bool = False
    grade: bool = False
    fixed_length: int | None = None


DIALECTS = {
    "p5_level": Dialect(5, level=True),
    "p5_level_grade": Dialect(5, level=True, grade=True),
    "p5_plain": Dialect(5),
    "p6_plain": Dialect(6),
    "p6_level": Dialect(6, level=True),
    "p6_level_grade": Dialect(6, level=True, grade=True),
    "p6_level_e3": Dialect(6, level=True, fixed_length=0xE3),
    "p6_level_grade_e3": Dialect(6, level=True, grade=True, fixed_length=0xE3),
}


def preset_block(dialect: str, value: int, *, money: bool, level: int = 1, grade: int = 1) -> bytes:
    """Deliver at most ``value`` (digits of volume, or of money). Raises ``FrameRejected`` where it has more digits."""
    shape = DIALECTS[dialect]
    words = b"\xf2" if money else b"\xf1"
    words += _level(level) if shape.level else b""
    words += _grade(grade) if shape.grade else b""
    return block(words + b"\xf8" + digits(value, shape.count), shape.fixed_length)


def _level(level: int) -> bytes:
    return {1: b"\xf4", 2: b"\xf5"}[level]


def _grade(grade: int) -> bytes:
    assert 1 <= grade <= MAX_GRADES
    return bytes((0xF6, 0xE0 | grade - 1))


# From the pump.


def parse_status(raw: bytes, pump: int) -> Status:
    """One status word of ``pump``. Raises ``FrameRejected``: ``status``, ``other-pump``, ``length``."""
    if len(raw) != 1:
        raise _rejected("a status is one word", "length")
    if raw[0] & 0x0F != pump & 0x0F:
        raise _rejected(f"{raw[0]:02X} is of another pump", "other-pump")
    try:
        return Status(pump, State(raw[0] >> 4))
    except ValueError:
        raise _rejected(f"{raw[0]:02X} is no status", "status") from None


def parse_transaction(raw: bytes, pump: int) -> Transaction:
    """33 words. Raises ``FrameRejected``: ``length``, ``lrc``, ``layout``, ``digit``, ``other-pump``."""
    if len(raw) != TRANSACTION_WORDS:
        raise _rejected(f"{len(raw)} words instead of {TRANSACTION_WORDS}", "length")
    _check_block(raw)
    level = {0xF4: 1, 0xF5: 2}.get(raw[10])
    places = (raw[1], raw[2], raw[8], raw[11], raw[16], raw[23])
    if places != (0xF1, 0xF8, 0xF6, 0xF7, 0xF9, 0xFA) or level is None:
        raise _rejected("a control word is not at its place", "layout")
    if raw[3] >> 4 != 0xE or raw[4] >> 4 != 0xE or raw[9] not in _DIGITS:
        raise _rejected("a data word is not at its place", "layout")
    if raw[4] & 0x0F != pump - 1:
        raise _rejected(f"the sale of pump {(raw[4] & 0x0F) + 1}", "other-pump")
    return Transaction(
        pump=pump,
        grade=(raw[9] & 0x0F) + 1,
        level=level,
        unit_price=_number(raw[12:16]),
        volume=_number(raw[17:23]),
        money=_number(raw[24:30]),
    )


def parse_totals(raw: bytes) -> Totals:
    """30 words per grade and 4. Raises ``FrameRejected``: ``length``, ``lrc``, ``layout``, ``digit``."""
    count, rest = divmod(len(raw) - 4, GRADE_WORDS)
    if rest or not 1 <= count <= MAX_GRADES:
        raise _rejected(f"{len(raw)} words are not 30 for each grade and 4", "length")
    _check_block(raw)
    found = tuple(_grade_totals(raw[1 + at * GRADE_WORDS : 1 + (at + 1) * GRADE_WORDS]) for at in range(count))
    if len({one.grade for one in found}) != count:
        raise _rejected("one grade stands there twice", "layout")
    return Totals(found)


def parse_money(raw: bytes) -> Money:
    """Six digits. Raises ``FrameRejected``: ``length``, ``digit``."""
    if len(raw) != MONEY_WORDS:
        raise _rejected(f"{len(raw)} words instead of {MONEY_WORDS}", "length")
    return Money(_number(raw))


def parse_nozzle(raw: bytes) -> Nozzle:
    """19 words; their checksum follows a rule nobody knows. Raises ``FrameRejected``: ``length``, ``layout``."""
    if len(raw) != NOZZLE_WORDS:
        raise _rejected(f"{len(raw)} words instead of {NOZZLE_WORDS}", "length")
    if not raw.startswith(_NOZZLE_HEAD) or not raw.endswith(_NOZZLE_TAIL):
        raise _rejected("the head or the tail of the nozzle answer is wrong", "layout")
    if raw[12] not in (0xB0, 0xB1) or raw[14] >> 4 != 0xB:
        raise _rejected("the nozzle words make no sense", "layout")
    return Nozzle(is_out=raw[12] == 0xB1, nozzle=raw[14] & 0x0F)


def _grade_totals(raw: bytes) -> GradeTotals:
    if (raw[0], raw[2], raw[11], raw[20], raw[25]) != (0xF6, 0xF9, 0xFA, 0xF4, 0xF5) or raw[1] not in _DIGITS:
        raise _rejected("a control word is not at its place", "layout")
    return GradeTotals(
        grade=(raw[1] & 0x0F) + 1,
        volume_total=_number(raw[3:11]),
        money_total=_number(raw[12:20]),
        price_level1=_number(raw[21:25]),
        price_level2=_number(raw[26:30]),
    )


def _check_block(raw: bytes) -> None:
    if raw[0] != START or raw[-3] != CHECK or raw[-1] != END:
        raise _rejected("a control word is not at its place", "layout")
    if raw[-2] != lrc(raw[:-2]):
        raise _rejected(f"check word {raw[-2]:02X}, computed {lrc(raw[:-2]):02X}", "lrc")


def _number(raw: bytes) -> int:
    if not all(one in _DIGITS for one in raw):
        raise _rejected(f"{raw.hex(' ').upper()} are not digits", "digit")
    return sum((one & 0x0F) * 10**place for place, one in enumerate(raw))


def _rejected(what: str, reason: str) -> FrameRejected:
    return FrameRejected(what, reason=reason, hint="check the loop, its converter and the serial settings")


class Decoder:
    """Finds the answers to one question in a stream of bytes, however it is cut. Never raises for what arrives.

    ``expected``: the form of the answer to what was asked. ``rejected`` counts what was dropped, by reason: that of the
    parsers, ``stray`` (outside any answer), ``broken-off``, ``unexpected`` (a status at the wrong time).
    """

    def __init__(self, expected: Reply, pump: int) -> None:
        self.expected = expected
        self.pump = pump
        self.rejected: dict[str, int] = {}
        self._buffer = bytearray()
        self._take = {
            Reply.MONEY: self._take_digit,
            Reply.NOZZLE: self._take_nozzle,
            Reply.TRANSACTION: self._take_framed,
            Reply.TOTALS: self._take_framed,
        }.get(expected, self._take_word)

    @property
    def in_frame(self) -> bool:
        """Whether an answer has begun and not ended."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Answer]:
        """Take the next bytes; returns the answers that they complete."""
        answers = []
        for one in data:
            raw = self._take(one)
            if raw:
                try:
                    answers.append(self._parse(raw))
                except FrameRejected as error:
                    self.count(error.reason)
        return answers

    def silence(self) -> None:
        """Nothing more comes: what has begun is dropped."""
        if self._buffer:
            self.count("broken-off")
            self._buffer.clear()

    def count(self, reason: str) -> None:
        """Count one thing dropped for ``reason``."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1

    # Each takes one byte and returns the bytes of an answer that it completes, else nothing.

    def _take_word(self, one: int) -> bytes:
        return bytes((one,))

    def _take_digit(self, one: int) -> bytes:
        if one not in _DIGITS:
            self.silence()
            self.count("stray")
            return b""
        self._buffer.append(one)
        return self._taken() if len(self._buffer) == MONEY_WORDS else b""

    def _take_nozzle(self, one: int) -> bytes:
        """No start word of its own: the newest 19 words are an answer when head and tail are right."""
        self._buffer.append(one)
        if len(self._buffer) > NOZZLE_WORDS:
            del self._buffer[0]
            self.count("stray")
        whole = self._buffer.startswith(_NOZZLE_HEAD) and self._buffer.endswith(_NOZZLE_TAIL)
        return self._taken() if whole and len(self._buffer) == NOZZLE_WORDS else b""

    def _take_framed(self, one: int) -> bytes:
        if one == START or len(self._buffer) == MAX_BLOCK:
            self.silence()
        if not self._buffer and one != START:
            self.count("stray")
            return b""
        self._buffer.append(one)
        return self._taken() if one == END else b""

    def _taken(self) -> bytes:
        raw = bytes(self._buffer)
        self._buffer.clear()
        return raw

    def _parse(self, raw: bytes) -> Answer:
        match self.expected:
            case Reply.TRANSACTION:
                return parse_transaction(raw, self.pump)
            case Reply.TOTALS:
                return parse_totals(raw)
            case Reply.MONEY:
                return parse_money(raw)
            case Reply.NOZZLE:
                return parse_nozzle(raw)
        status = parse_status(raw, self.pump)
        if (status.state is State.SEND_DATA) is not (self.expected is Reply.SEND_DATA):
            raise _rejected(f"{status.state.name} is no {self.expected.value}", "unexpected")
        return status
