"""DART transactions: what stands inside a block, in both directions (level 3 of the protocol sheet).

Knows plain digits as they travel. Knows no decimals (the driver converts), no frame and no port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from drivers.checks import bcd_to_int, int_to_bcd
from drivers.errors import FrameRejected

TOTAL_MODULUS = 10**10  # a total counter rolls over after ten digits
AMOUNT_COUNTER = 0x10  # counter of the amount total = this + nozzle
MAX_TOTAL_NOZZLE = 9  # counters exist for nozzles 1..9


class Dcc(IntEnum):
    """Commands of CD1."""

    RETURN_STATUS = 0x00
    RETURN_PARAMETERS = 0x02
    RETURN_IDENTITY = 0x03
    RETURN_FILLING_INFO = 0x04
    RESET = 0x05
    AUTHORIZE = 0x06
    STOP = 0x08
    SWITCH_OFF = 0x0A
    SUSPEND = 0x0D
    RESUME = 0x0E
    RETURN_PRICES = 0x0F


class State(IntEnum):
    """Pump states of DC1."""

    NOT_PROGRAMMED = 0
    RESET = 1
    AUTHORIZED = 2
    FILLING = 4
    FILLING_COMPLETED = 5
    MAX_REACHED = 6
    SWITCHED_OFF = 7
    SUSPENDED = 8


@dataclass(frozen=True, slots=True)
class Status:
    """DC1."""

    state: State


@dataclass(frozen=True, slots=True)
class Filled:
    """DC2: display digits of volume and amount."""

    volume: int
    amount: int


@dataclass(frozen=True, slots=True)
class NozzlePrice:
    """DC3: price digits, selected logical nozzle (``None`` = none), whether it is out."""

    price: int
    nozzle: int | None
    nozzle_out: bool


@dataclass(frozen=True, slots=True)
class Alarm:
    """DC5."""

    code: int


@dataclass(frozen=True, slots=True)
class Parameters:
    """DC7: the decimals the head itself works with."""

    volume_decimals: int
    amount_decimals: int
    price_decimals: int


@dataclass(frozen=True, slots=True)
class Identity:
    """DC9: digits of maker (4), type (2) and program (4)."""

    maker: str
    type: str
    program: str


@dataclass(frozen=True, slots=True)
class Totals:
    """DC101, or DC102 of the S4 dialect: one counter.

    ``counter`` echoes the request. ``total``: ten digits. ``amount``: the amount total where the layout has both.
    """

    counter: int
    total: int
    amount: int | None = None
    grades: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Prices:
    """DC103 of Wayne heads: unit price digits of nozzles 1, 2, ..."""

    prices: tuple[int, ...]


Transaction = Status | Filled | NozzlePrice | Alarm | Parameters | Identity | Totals | Prices


@dataclass(frozen=True, slots=True)
class Decoded:
    """One block from a pump: its transactions in order, and what was left out by reason.

    ``left_out`` words: ``overrun`` (a length past the end: nothing of the block counts), ``bcd``, ``length``,
    ``value``.
    Transactions this agent does not use are skipped without a word.
    """

    transactions: tuple[Transaction, ...]
    left_out: tuple[str, ...] = field(default=())


def command(code: Dcc) -> bytes:
    """CD1: one command."""
    return bytes((0x01, 1, code))


def allowed_nozzles(nozzles: Sequence[int]) -> bytes:
    """CD2: the nozzles that may deliver; the pump keeps the last list."""
    return bytes((0x02, len(nozzles), *nozzles))


def preset_volume(digits: int) -> bytes:
    """CD3: at most so much volume in the next filling. Raises ``FrameRejected`` past 8 digits."""
    return b"\x03\x04" + int_to_bcd(digits, 4)


def preset_amount(digits: int) -> bytes:
    """CD4: at most so much amount in the next filling. Raises ``FrameRejected`` past 8 digits."""
    return b"\x04\x04" + int_to_bcd(digits, 4)


def suspend() -> bytes:
    """CD14: halt the delivery, on heads that have a transaction of its own for it."""
    return b"\x0e\x01\x00"


def resume() -> bytes:
    """CD15: let a delivery that CD14 has halted go on."""
    return b"\x0f\x01\x00"


def prices(digits: Sequence[int]) -> bytes:
    """CD5: unit prices of nozzles 1, 2, ... Raises ``FrameRejected`` past 6 digits."""
    return bytes((0x05, 3 * len(digits))) + b"".join(int_to_bcd(price, 3) for price in digits)


def ask_total(counter: int, *, s4_dialect: bool = False) -> bytes:
    """CD101: ask for one total; amount totals of the S4 dialect have a transaction of their own."""
    if s4_dialect and counter > AMOUNT_COUNTER:
        return bytes((0x66, 1, counter))
    return bytes((0x65, 1, counter))


def decode(data: bytes, *, s4_dialect: bool = False) -> Decoded:
    """The transactions of one block from a pump. Never raises: what is wrong is left out and named."""
    try:
        parts = list(_split(data))
    except FrameRejected as error:
        return Decoded((), (error.reason,))
    found: list[Transaction] = []
    left_out: list[str] = []
    for number, value in parts:
        reader = (_S4_READERS if s4_dialect else _WAYNE_READERS).get(number)
        if reader is None:
            continue
        try:
            found.append(reader(value))
        except FrameRejected as error:
            left_out.append(error.reason)
    return Decoded(tuple(found), tuple(left_out))


def _split(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            raise FrameRejected("a transaction runs past the end of its block", reason="overrun")
        end = at + 2 + data[at + 1]
        yield data[at], data[at + 2 : end]
        at = end


def _status(value: bytes) -> Status:
    _want(value, 1)
    try:
        return Status(State(value[0]))
    except ValueError:
        raise FrameRejected(f"state {value[0]} is unknown", reason="value") from None


def _filled(value: bytes) -> Filled:
    _want(value, 8)
    return Filled(bcd_to_int(value[:4]), bcd_to_int(value[4:]))


def _nozzle_price(value: bytes) -> NozzlePrice:
    _want(value, 4)
    return NozzlePrice(bcd_to_int(value[:3]), value[3] & 0x0F or None, bool(value[3] & 0x10))


def _alarm(value: bytes) -> Alarm:
    _want(value, 1)
    return Alarm(value[0])


def _parameters(value: bytes) -> Parameters:
    _want(value, 51)
    return Parameters(bcd_to_int(value[22:23]), bcd_to_int(value[23:24]), bcd_to_int(value[24:25]))


def _identity(value: bytes) -> Identity:
    _want(value, 5)
    digits = f"{bcd_to_int(value):010d}"
    return Identity(digits[:4], digits[4:6], digits[6:])


def _totals(value: bytes) -> Totals:
    """The layout shows by its length: 16 bytes one total, 13 bytes volume and amount total of six bytes each."""
    if len(value) == 0x0D:
        # In each of the two the top byte is not part of the value.
        return Totals(value[0], bcd_to_int(value[2:7]), amount=bcd_to_int(value[8:13]))
    _want(value, 0x10)
    return Totals(value[0], bcd_to_int(value[1:6]), grades=(bcd_to_int(value[6:11]), bcd_to_int(value[11:16])))


def _s4_amount_totals(value: bytes) -> Totals:
    """A head may echo the counter as asked (11..) or the bare nozzle: both mean the amount total of that nozzle."""
    totals = _totals(value)
    counter = totals.counter if totals.counter > AMOUNT_COUNTER else totals.counter + AMOUNT_COUNTER
    return Totals(counter, totals.total, totals.amount, totals.grades)


def _prices(value: bytes) -> Prices:
    if not value or len(value) % 3:
        raise FrameRejected(f"{len(value)} bytes are no prices", reason="length")
    return Prices(tuple(bcd_to_int(value[at : at + 3]) for at in range(0, len(value), 3)))


def _want(value: bytes, size: int) -> None:
    if len(value) != size:
        raise FrameRejected(f"{len(value)} bytes instead of {size}", reason="length")


_COMMON_READERS: dict[int, Callable[[bytes], Transaction]] = {
    0x01: _status,
    0x02: _filled,
    0x03: _nozzle_price,
    0x05: _alarm,
    0x07: _parameters,
    0x09: _identity,
    0x65: _totals,
}
_WAYNE_READERS = {**_COMMON_READERS, 0x67: _prices}
_S4_READERS = {**_COMMON_READERS, 0x66: _s4_amount_totals}
