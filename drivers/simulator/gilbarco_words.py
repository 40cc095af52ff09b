"""Two-Wire as a pump sees it: words and blocks of the master taken apart, answers made, the 4-bit check.

Written from the protocol's text without a look at any driver. Knows no pump state and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

STATUS, AUTHORISE, DATA_NEXT, STOP, TRANSACTION, TOTALS, MONEY = range(7)
ERROR, OFF, CALL, AUTHORISED, BUSY, PEOT, FEOT, STOPPED, SEND_DATA = 0, 6, 7, 8, 9, 10, 11, 12, 13
ALL_STOP = 0xFC
COMMAND_NAMES = ("POLL", "AUTHORISE", "DATA_NEXT", "STOP", "TRANSACTION", "TOTALS", "MONEY")
# the longest block of a master has 16 words; what is longer is noise
MAX_BLOCK = 24
NOZZLE_QUERY = b"\xff\xe9\xfe\xe0\xe1\xe0\xfb\xee\xf0"


@dataclass(frozen=True, slots=True)
class Block:
    """What a master's block wants. ``preset`` in digits of volume or money; ``unit_price`` in digits."""

    level: int | None = None
    grade: int | None = None
    unit_price: int | None = None
    preset: int | None = None
    is_money: bool = False
    asks_nozzle: bool = False


class MasterReader:
    """Cuts the stream of a master into words (one byte) and blocks (FF to F0)."""

    def __init__(self) -> None:
        self._block = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The words and blocks that ``data`` completes."""
        found = []
        for byte in data:
            if byte == 0xFF or self._block:
                self._block.append(byte)
                if byte == 0xF0 or len(self._block) > MAX_BLOCK:
                    found.append(bytes(self._block))
                    self._block.clear()
            else:
                found.append(bytes((byte,)))
        return found

    def clear(self) -> None:
        """The rest of a broken block will not come."""
        self._block.clear()


def check_word(words: bytes) -> int:
    """LRC: minus the sum of the low nibbles, modulo 16, in an E word."""
    total = 0
    for one in words:
        total = (total + one % 16) % 16
    return 0xE0 + (16 - total) % 16


def digits(value: int, count: int) -> bytes:
    """Data words, least significant digit first; what does not fit is cut as a counter does."""
    words = bytearray()
    for _ in range(count):
        value, digit = divmod(value, 10)
        words.append(0xE0 + digit)
    return bytes(words)


def parse_block(block: bytes) -> Block | None:
    """A block of the master; ``None`` where check, length or layout is wrong."""
    if block == NOZZLE_QUERY:
        return Block(asks_nozzle=True)
    if len(block) < 6 or block[0] != 0xFF or block[-3] != 0xFB or block[-2] != check_word(block[:-2]):
        return None
    # one firmware takes E3 as the length of every preset of six digits
    if block[1] not in (0xE0 + (18 - len(block)) % 16, 0xE3):
        return None
    values: dict[int, list[int]] = {}
    control = 0
    for word in block[2:-3]:
        if word >> 4 == 0xF:
            control = word
            values[control] = []
        elif word >> 4 == 0xE and word & 0x0F <= (15 if control == 0xF6 else 9) and control:
            values[control].append(word & 0x0F)
        else:
            return None
    return _meaning(values)


def _meaning(values: dict[int, list[int]]) -> Block | None:
    def number(control: int) -> int | None:
        found = values.get(control)
        return None if found is None else sum(digit * 10**place for place, digit in enumerate(found))

    grade = values.get(0xF6)
    price, preset = number(0xF7), number(0xF8)
    if (price is not None and len(values[0xF7]) != 4) or (preset is not None and len(values[0xF8]) not in (5, 6)):
        return None
    if preset is not None and (0xF1 in values) == (0xF2 in values):
        return None
    return Block(
        level=1 if 0xF4 in values else 2 if 0xF5 in values else None,
        grade=None if not grade else grade[0] + 1,
        unit_price=price,
        preset=preset,
        is_money=0xF2 in values,
    )


def status(state: int, pump: int) -> bytes:
    """One status word; pump 16 is nibble 0."""
    return bytes((state * 16 + pump % 16,))


def transaction(pump: int, *, grade: int, level: int, unit_price: int, volume: int, money: int) -> bytes:
    """The last sale, 33 words."""
    words = b"\xff\xf1\xf8\xeb" + bytes((0xE0 + pump - 1,)) + b"\xe0\xe0\xe0"
    words += b"\xf6" + bytes((0xE0 + grade - 1, 0xF3 + level))
    words += b"\xf7" + digits(unit_price, 4) + b"\xf9" + digits(volume, 6) + b"\xfa" + digits(money, 6)
    return _closed(words)


def totals(rows: Iterable[tuple[int, int, int, int, int]]) -> bytes:
    """Totals of each (grade, volume, money, price level 1, price level 2)."""
    words = b"\xff"
    for grade, volume, money, first, second in rows:
        words += b"\xf6" + bytes((0xE0 + grade - 1,)) + b"\xf9" + digits(volume, 8) + b"\xfa" + digits(money, 8)
        words += b"\xf4" + digits(first, 4) + b"\xf5" + digits(second, 4)
    return _closed(words)


def nozzle(number: int, *, out: bool) -> bytes:
    """Answer to the nozzle query, 19 words; the two before the tail follow no known rule."""
    head = b"\xba\xb0\xb3\xb1\xb0\xb1\xb0\xb0\xb0\xb0\xb0\xb1"
    return head + bytes((0xB1 if out else 0xB0, 0xB1, 0xB0 + number)) + b"\xc3\xc1\x8d\x8a"


def swap_digits(block: bytes) -> bytes:
    """``block`` with its first two neighbouring digits that differ exchanged: the check does not see it."""
    for at in range(12, len(block) - 4):
        if block[at] >> 4 == block[at + 1] >> 4 == 0xE and block[at] != block[at + 1]:
            return block[:at] + bytes((block[at + 1], block[at])) + block[at + 2 :]
    return block


def _closed(words: bytes) -> bytes:
    words += b"\xfb"
    return words + bytes((check_word(words), 0xF0))
