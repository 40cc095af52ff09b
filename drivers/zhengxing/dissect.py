"""Zhengxing bytes taken apart for a person. Pure, never raises, loses no byte.

Not used while a station runs: the driver has its own decoder. Questions and answers have the same first bytes; where
both sides are mixed they are told apart by their lengths.
"""

from __future__ import annotations

from drivers.checks import bcd_to_int
from drivers.dissection import Cutting, Direction, FieldKit, Piece, singles, unread
from drivers.errors import FrameRejected
from drivers.zhengxing.codec import REPLY_LENGTHS, START, Code, Request, check_byte, encode

SURE, SHORT_FRAME = 80, 50
REQUEST_LENGTHS = {
    Code.PRESET_AMOUNT: 10,
    Code.PRESET_VOLUME: 9,
    Code.PRICE: 6,
    Code.MODE: 5,
    Code.REMOVE_SALE: 6,
}
STATES = {
    1: "inoperative",
    2: "closed",
    3: "idle",
    4: "calling",
    5: "authorised",
    6: "started",
    7: "suspended before flow",
    8: "fuelling",
    9: "limit reached",
}


def dissect(data: bytes, direction: Direction = None) -> list[Piece]:
    """Return the pieces of ``data`` in order; with ``direction`` ``None`` both sides of a wire may be mixed."""
    pieces: list[Piece] = []
    at = start = 0
    last: Piece | None = None
    while at < len(data):
        found = _frame(data, at, direction, last)
        if found is None:
            at += 1
            continue
        if start < at:
            pieces.append(unread(data[start:at], start, "no frame with a right check"))
        pieces.append(found)
        last = found
        at += len(found.raw)
        start = at
    if start < len(data):
        pieces.append(unread(data[start:], start, "no frame with a right check, or cut off"))
    return pieces


def _frame(data: bytes, at: int, direction: Direction, last: Piece | None) -> Piece | None:
    if data[at] != START or at + 4 > len(data) or data[at + 1] not in REPLY_LENGTHS:
        return None
    code = Code(data[at + 1])
    asked = last is not None and last.direction == "to_device" and last.raw[1] == code
    questions = [] if code is Code.NO_SALE else [REQUEST_LENGTHS.get(code, 4)]
    sides: list[tuple[Direction, int]] = [("to_device", length) for length in questions]
    answers: list[tuple[Direction, int]] = [("from_device", length) for length in REPLY_LENGTHS[code]]
    forms = answers + sides if asked else sides + answers
    for side, length in forms:
        raw = data[at : at + length]
        if len(raw) == length and direction in (None, side) and check_byte(raw[1:-1]) == raw[-1]:
            return _piece(raw, at, code, side)
    return None


def _piece(raw: bytes, offset: int, code: Code, side: Direction) -> Piece:
    cut = Cutting(raw, singles(raw), offset)
    cut.add(1, "start", framing=True)
    cut.add(1, "command", code, meaning=code.name.replace("_", " "))
    cut.add(1, "panel", raw[2])
    told = _REQUESTS.get(code, ()) if side == "to_device" else _ANSWERS.get(code, ())
    for size, name, how in told:
        _add(cut, size, name, how)
    spare = len(raw) - 1 - cut.at
    if spare:
        cut.add(spare, "not known", framing=True)
    cut.add(1, "check", raw[-1], framing=True)
    problem = "" if _whole(cut) else "no packed decimal"
    given = f"{raw[-1]:02X}"
    sure = SURE if len(raw) > 4 else SHORT_FRAME
    return Piece(offset, raw, code.name, side, tuple(cut.fields), "ok", given, given, problem, sure)


def _add(cut: Cutting, size: int, name: str, how: str) -> None:
    if cut.left <= size:  # a short form without this field: only the check is left
        return
    raw = cut.peek(size)
    if how == "status":
        word = STATES.get(raw[0] & 0x0F, "unknown state")
        word += ", a sale waits" if raw[0] & 0x10 else ""
        cut.add(size, name, raw[0], meaning=f"{raw[0]:02X} {word}{', nozzle up' if raw[0] & 0x80 else ''}")
    elif how == "bcd":
        cut.add(size, name, _digits(raw), "hundredths" if size > 1 else "")
    elif how == "binary":
        cut.add(size, name, int.from_bytes(raw, "big"), "hundredths")
    elif how == "sale":
        amount, volume = raw[0] << 12 | raw[1] << 4 | raw[2] >> 4, (raw[2] & 0x0F) << 16 | raw[3] << 8 | raw[4]
        cut.add(size, name, raw.hex(), meaning=f"amount {amount} and volume {volume} hundredths")
    elif how == "verdict":
        cut.add(size, name, raw[0], meaning={0xBB: "done", 0xCC: "refused"}.get(raw[0], f"{raw[0]:02X}"))
    elif how == "hex":
        cut.add(size, name, raw.hex())
    else:
        cut.add(size, name, framing=True)


def _whole(cut: Cutting) -> bool:
    """Whether every number that should be packed decimal is one."""
    return all(field.value is not None for field in cut.fields if field.unit == "hundredths")


def _digits(data: bytes) -> int | None:
    try:
        return bcd_to_int(data)
    except FrameRejected:
        return None


_STATUS = ((1, "status", "status"),)
_STORED = (
    *_STATUS,
    (2, "not known", ""),
    (5, "sale", "sale"),
    (8, "not known", ""),
    (2, "unit price", "bcd"),
    (2, "not known", ""),
    (2, "sequence", "hex"),
)
_REQUESTS: dict[Code, tuple[tuple[int, str, str], ...]] = {
    Code.PRESET_AMOUNT: ((3, "amount", "bcd"), (1, "type", "hex"), (2, "chain number", "hex")),
    Code.PRESET_VOLUME: ((3, "volume", "bcd"), (2, "chain number", "hex")),
    Code.PRICE: ((2, "unit price", "bcd"),),
    Code.MODE: ((1, "mode", "hex"),),
    Code.REMOVE_SALE: ((2, "sequence", "hex"),),
}
_ANSWERS: dict[Code, tuple[tuple[int, str, str], ...]] = {
    Code.PRESET_AMOUNT: (*_STATUS, (1, "verdict", "verdict")),
    Code.PRESET_VOLUME: (*_STATUS, (1, "verdict", "verdict")),
    Code.PRICE: (*_STATUS, (1, "verdict", "verdict")),
    Code.STOP: _STATUS,
    Code.AUTHORISE: _STATUS,
    Code.MODE: _STATUS,
    Code.STATUS: _STATUS,
    Code.REMOVE_SALE: _STATUS,
    Code.NO_SALE: _STATUS,
    Code.TOTALS: ((1, "not known", ""), (4, "amount total", "binary"), (4, "volume total", "binary")),
    Code.READ_PRICE: (*_STATUS, (2, "unit price", "bcd")),
    Code.LIVE: (*_STATUS, (3, "volume", "bcd"), (3, "amount", "bcd")),
    Code.OLDEST_SALE: _STORED,
    Code.HISTORY: _STORED,
}

KIT = FieldKit(
    dissect=dissect,
    probes=lambda panel: (encode(panel, Request(Code.STATUS)),),
    addresses=range(1, 9),
    probe_wait_s=0.5,
    serial_guesses=((9600, 8, "even", 1), (9600, 8, "none", 1)),
    silence="the panel number set in the head; the current loop open or reversed",
)
