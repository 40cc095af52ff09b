"""Two-Wire bytes taken apart for a person: words, blocks, their 4-bit check, and who said what.

Pure, never raises, loses no byte. A word of one byte means one thing from the master and another from a pump, so where
both sides are mixed the question before it decides. Not used while a station runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drivers.dissection import Cutting, Direction, Field, FieldKit, Piece, Short, singles, unread
from drivers.errors import FrameRejected
from drivers.gilbarco import codec
from drivers.gilbarco.codec import ALL_STOP, CHECK, END, MAX_BLOCK, START, Command, State, word

# The check has four bits and single words have none: never as sure as a checksum of sixteen.
BLOCK, NOZZLE, WORD, DAMAGED = 90, 70, 20, 20
CONTROL_NAMES = {
    0xF1: "volume preset",
    0xF2: "money preset",
    0xF3: "fill-up",
    0xF4: "price level 1",
    0xF5: "price level 2",
    0xF6: "grade next",
    0xF7: "unit price next",
    0xF8: "number next",
    0xF9: "volume next",
    0xFA: "money next",
    0xFD: "unused",
    0xFE: "special function",
}
ANSWERED = (Command.STATUS, Command.DATA_NEXT, Command.TRANSACTION, Command.TOTALS, Command.MONEY)
_VALUES = {0xF6: "grade", 0xF7: "unit price", 0xF8: "number", 0xF9: "volume", 0xFA: "money"}


@dataclass(slots=True)
class _Turn:
    """Who speaks next where both sides are mixed, and what was asked."""

    sender: Direction = "to_device"
    asked: int | None = None

    def after(self, piece: Piece) -> None:
        """A question is answered, everything else is followed by the master."""
        said = piece.raw[0] if len(piece.raw) == 1 else None
        is_question = piece.direction == "to_device" and said is not None and said >> 4 in ANSWERED
        is_query = piece.raw == codec.NOZZLE_QUERY
        self.sender = "from_device" if is_question or is_query else "to_device"
        self.asked = said if is_question else None


def dissect(data: bytes, direction: Direction = None) -> list[Piece]:
    """Return the pieces of ``data`` in order; with ``direction`` ``None`` both sides of a loop may be mixed."""
    pieces: list[Piece] = []
    turn = _Turn()
    at = 0
    while at < len(data):
        piece = _next(data, at, direction, turn)
        turn.after(piece)
        pieces.append(piece)
        at += len(piece.raw)
    return pieces


def _next(data: bytes, at: int, direction: Direction, turn: _Turn) -> Piece:
    first = data[at]
    if first == START:
        return _block(data, at, direction)
    nozzle = data[at : at + codec.NOZZLE_WORDS]
    if first == 0xBA and len(nozzle) == codec.NOZZLE_WORDS and nozzle.endswith(b"\x8d\x8a"):
        return _nozzle(nozzle, at, direction)
    sender = direction or turn.sender
    if first >> 4 == 0xE and sender == "from_device":
        money = _run(data, at)
        if len(money) == codec.MONEY_WORDS:
            return _money(money, at)
        return unread(money, at, "data words outside a block")
    return _word(first, at, direction, turn)


def _run(data: bytes, at: int) -> bytes:
    end = at
    while end < len(data) and end - at < codec.MONEY_WORDS and data[end] >> 4 == 0xE:
        end += 1
    return data[at:end]


# Words of one byte.


def _word(one: int, at: int, direction: Direction, turn: _Turn) -> Piece:
    raw = bytes((one,))
    from_device = _status(raw, at) if direction != "to_device" else None
    to_device = _command(raw, at) if direction != "from_device" else None
    if from_device is None or to_device is None:
        found = from_device or to_device
        if found is not None:
            return found
        return unread(raw, at, f"{one:02X} is no word")
    answers = turn.sender == "from_device" and turn.asked is not None and turn.asked & 0x0F == one & 0x0F
    return from_device if answers else to_device


def _command(raw: bytes, at: int) -> Piece | None:
    if raw == ALL_STOP:
        cut = Cutting(raw, singles(raw), at)
        cut.add(1, "command", raw[0], meaning="all pumps stop")
        return Piece(at, raw, "ALL STOP", "to_device", tuple(cut.fields), confidence=WORD)
    try:
        command = Command(raw[0] >> 4)
    except ValueError:
        return None
    return _one(raw, at, command.name.replace("_", " "), "to_device")


def _status(raw: bytes, at: int) -> Piece | None:
    try:
        state = State(raw[0] >> 4)
    except ValueError:
        return None
    return _one(raw, at, "status " + state.name.replace("_", " "), "from_device")


def _one(raw: bytes, at: int, kind: str, sender: Direction) -> Piece:
    cut = Cutting(raw, singles(raw), at)
    pump = raw[0] & 0x0F or 16
    cut.add(1, "address", pump, meaning=f"pump {pump}")
    return Piece(at, raw, kind, sender, tuple(cut.fields), confidence=WORD)


def _money(raw: bytes, at: int) -> Piece:
    cut = Cutting(raw, singles(raw), at)
    value = _digits(raw)
    cut.add(len(raw), "running money", value, meaning="" if value is not None else "not digits")
    return Piece(at, raw, "money", "from_device", tuple(cut.fields), confidence=WORD)


def _digits(raw: bytes) -> int | None:
    """The number that data words spell, least significant first; ``None`` where they are no digits."""
    text = "".join(f"{one & 0x0F:X}" for one in reversed(raw))
    return int(text) if text.isdecimal() else None


# Blocks.


def _nozzle(raw: bytes, at: int, direction: Direction) -> Piece:
    cut = Cutting(raw, singles(raw), at)
    cut.add(3, "head", framing=True)
    cut.add(6, "unknown", framing=True)
    cut.add(1, "totals decimals", raw[9] & 0x0F, meaning="on some heads: 0 or 1 = one, 2 = two", framing=True)
    cut.add(2, "unknown", framing=True)
    cut.add(1, "nozzle", raw[12] & 0x0F, meaning={0xB0: "in", 0xB1: "out"}.get(raw[12], "unknown"))
    cut.add(1, "unknown", framing=True)
    cut.add(1, "selected or last", raw[14] & 0x0F)
    cut.add(2, "checksum of unknown rule", raw[15:17].hex(" ").upper(), framing=True)
    cut.add(2, "tail", framing=True)
    problem = "the other side sends this" if direction == "to_device" else ""
    return Piece(at, raw, "nozzle", "from_device", tuple(cut.fields), problem=problem, confidence=NOZZLE)


def _block(data: bytes, at: int, direction: Direction) -> Piece:
    end = data.find(bytes((END,)), at, at + MAX_BLOCK)
    again = data.find(bytes((START,)), at + 1, at + MAX_BLOCK)
    if end < 0 or (0 <= again < end):
        stop = again if again > 0 else min(len(data), at + MAX_BLOCK)
        return unread(data[at:stop], at, "a block without its end word F0", DAMAGED)
    raw = data[at : end + 1]
    if len(raw) < 5 or raw[-3] != CHECK:
        return unread(raw, at, "a block without its check", DAMAGED)
    kind, sender = _kind(raw)
    given, computed = raw[-2], codec.lrc(raw[:-2])
    problem = "" if given == computed else "the check is wrong: nothing of this block counts"
    if not problem:
        problem = _problem(raw, sender) or ("the other side sends this" if direction not in (None, sender) else "")
    return Piece(
        at,
        raw,
        kind,
        sender,
        _fields(raw, at, sender),
        check="ok" if given == computed else "bad",
        check_given=f"{given:02X}",
        check_computed=f"{computed:02X}",
        problem=problem,
        confidence=BLOCK if not problem else DAMAGED,
    )


def _kind(raw: bytes) -> tuple[str, Direction]:
    if raw[1:3] == b"\xf1\xf8":
        return "transaction", "from_device"
    if raw[1] == 0xF6:
        return "totals", "from_device"
    body = raw[2:-3]
    if body[:1] == b"\xfe":
        return "nozzle query", "to_device"
    if 0xF7 in body:
        return "price", "to_device"
    return ("preset", "to_device") if 0xF8 in body else ("level", "to_device")


def _problem(raw: bytes, sender: Direction) -> str:
    """What the driver's own parser says of an answer; the length word of a block to a pump."""
    parse: Callable[[], object] | None = None
    if raw[1:3] == b"\xf1\xf8" and len(raw) > 4:
        parse = lambda: codec.parse_transaction(raw, (raw[4] & 0x0F) + 1)  # noqa: E731 - one of two parsers
    elif sender == "from_device":
        parse = lambda: codec.parse_totals(raw)  # noqa: E731 - as above
    if parse is None:
        expected = codec.length_word(len(raw))
        return "" if raw[1] in (expected, 0xE3) else f"length word {raw[1]:02X}, expected {expected:02X}"
    try:
        parse()
    except FrameRejected as error:
        return f"layout: {error}"
    return ""


def _fields(raw: bytes, at: int, sender: Direction) -> tuple[Field, ...]:
    cut = Cutting(raw, singles(raw), at)
    cut.add(1, "start", framing=True)
    if sender == "to_device":
        cut.add(1, "length", f"{raw[1]:02X}", framing=True)
    try:
        while cut.left > 3:
            _word_in_block(cut, raw, sender)
    except Short:
        cut.rest("undecoded", "")
    computed = codec.lrc(raw[:-2])
    sure = raw[-2] == computed
    cut.add(1, "check next", framing=True)
    cut.add(1, "check", f"{raw[-2]:02X}", meaning="right" if sure else f"wrong, computed {computed:02X}", framing=sure)
    cut.add(1, "end", framing=True)
    return tuple(cut.fields)


def _word_in_block(cut: Cutting, raw: bytes, sender: Direction) -> None:
    """One control word, then the data words that follow it."""
    control = cut.plain[cut.at]
    name = CONTROL_NAMES.get(control, f"word {control:02X}")
    is_sale = control == 0xF1 and sender == "from_device"  # how a transaction begins
    cut.add(1, "sale" if is_sale else name, framing=control in _VALUES or is_sale)
    size = 0
    while cut.left - size > 3 and cut.plain[cut.at + size] >> 4 == 0xE:
        size += 1
    if not size:
        return
    if control == 0xF8 and sender == "from_device" and size > 1:
        cut.add(1, "unknown", framing=True)
        pump = (cut.plain[cut.at] & 0x0F) + 1
        cut.add(1, "address", pump, meaning=f"pump {pump}")
        size -= 2
        if size:
            cut.add(size, "unknown", framing=True)
        return
    value = _digits(cut.plain[cut.at : cut.at + size])
    if control == 0xF6 and value is not None:
        value += 1
    cut.add(size, _VALUES.get(control, "price" if raw[1] == 0xF6 else "digits"), value)


def _probes(address: int) -> Sequence[bytes]:
    return (word(Command.TRANSACTION, address),) if address in codec.PUMPS else ()


KIT = FieldKit(
    dissect=dissect,
    probes=_probes,
    addresses=codec.PUMPS,
    probe_wait_s=0.2,
    serial_guesses=(
        (5760, 8, "even", 1),
        (5787, 8, "even", 1),
        (9600, 8, "none", 1),
        (9600, 8, "even", 1),
    ),
    silence="the pump is switched off, has another number, or the loop has no current",
)
