"""Lanfeng bytes taken apart for a person. Pure, never raises, loses no byte.

Not used while a station runs: the driver has its own decoder. A reply does not name its question, so where both sides
are mixed the question before it decides what it means.
"""

from __future__ import annotations

from drivers.checks import bcd_to_int
from drivers.dissection import Cutting, Direction, FieldKit, Piece, singles, unread
from drivers.errors import FrameRejected
from drivers.lanfeng.codec import LENGTH, PANELS, Code, Request, check_byte, encode

SURE, LIKELY, DAMAGED = 80, 60, 20
STATES = {0x41: "idle", 0xC1: "calling", 0xC2: "fuelling"}
TOTALS = (Code.AMOUNT_TOTAL, Code.VOLUME_TOTAL)
CODES = frozenset(Code)


def dissect(data: bytes, direction: Direction = None) -> list[Piece]:
    """Return the pieces of ``data`` in order; with ``direction`` ``None`` both sides of a wire may be mixed."""
    pieces: list[Piece] = []
    asked: Code | None = None
    at = start = 0
    while at < len(data):
        raw = data[at : at + LENGTH]
        if not _is_frame(raw):
            at += 1
            continue
        if start < at:
            pieces.append(unread(data[start:at], start, "no frame of twelve bytes with a right sum"))
        piece = _frame(raw, at, direction, asked)
        if piece.direction == "to_device":
            asked = Code(raw[2])
        pieces.append(piece)
        at += LENGTH
        start = at
    if start < len(data):
        why = "cut off" if len(data) - start < LENGTH else "no frame of twelve bytes with a right sum"
        pieces.append(unread(data[start:], start, why))
    return pieces


def _is_frame(raw: bytes) -> bool:
    return len(raw) == LENGTH and raw[0] & 0x0F in PANELS and sum(raw[1:]) & 0xFF == 0


def _frame(raw: bytes, offset: int, direction: Direction, asked: Code | None) -> Piece:
    cut = Cutting(raw, singles(raw), offset)
    cut.add(1, "panel", raw[0] & 0x0F)
    is_request = raw[0] in PANELS and raw[1] == 0 and raw[2] in CODES and direction != "from_device"
    is_request = is_request and (direction == "to_device" or asked is None or raw[2] != asked)
    if is_request:
        kind, problem = _request(cut, raw), ""
    else:
        kind, problem = _reply(cut, raw, asked)
    cut.add(1, "check", raw[11], framing=True)
    given = f"{raw[11]:02X}"
    return Piece(
        offset,
        raw,
        kind,
        "to_device" if is_request else "from_device",
        tuple(cut.fields),
        check="ok",
        check_given=given,
        check_computed=f"{check_byte(raw[1:-1]):02X}",
        problem=problem if direction in (None, "to_device" if is_request else "from_device") else "the other side's",
        confidence=SURE if is_request else LIKELY,
    )


def _request(cut: Cutting, raw: bytes) -> str:
    code = Code(raw[2])
    cut.add(1, "spare", framing=True)
    cut.add(1, "command", code, meaning=code.name.replace("_", " "))
    size = {Code.PRESET_AMOUNT: 3, Code.PRESET_VOLUME: 3, Code.PRICE: 2}.get(code, 0)
    if size:
        cut.add(size, "digits", _digits(raw[3 : 3 + size]), "hundredths")
    cut.add(8 - size, "unused", framing=True)
    return code.name


def _reply(cut: Cutting, raw: bytes, asked: Code | None) -> tuple[str, str]:
    if raw[2] in CODES and asked not in (None, Code.STATUS):
        cut.add(1, "spare", framing=True)
        cut.add(1, "command", raw[2], meaning=Code(raw[2]).name.replace("_", " "))
        if raw[2] in TOTALS:
            cut.add(2, "unused", framing=True)
            cut.add(6, "total", _digits(raw[5:11]), "hundredths")
            return f"{Code(raw[2]).name} reply", "" if _digits(raw[5:11]) is not None else "no packed decimal"
        cut.add(8, "unused", framing=True)
        return f"{Code(raw[2]).name} reply", ""
    cut.add(1, "unknown", framing=True)
    fields = (("unit price", 2), ("amount", 3), ("volume", 3))
    told = []
    at = 2
    for name, size in fields:
        told.append(_digits(raw[at : at + size]))
        cut.add(size, name, told[-1], "hundredths")
        at += size
    state = raw[10]
    word = STATES.get(state, "unknown") if state & 0x40 else "not under host control"
    cut.add(1, "state", state, meaning=f"{state:02X} {word}")
    return "STATUS reply", "no packed decimal" if None in told else ""


def _digits(data: bytes) -> int | None:
    try:
        return bcd_to_int(data)
    except FrameRejected:
        return None


KIT = FieldKit(
    dissect=dissect,
    probes=lambda panel: (encode(panel, Request(Code.STATUS)),),
    addresses=range(1, 9),
    probe_wait_s=0.5,
    serial_guesses=((9600, 8, "none", 1), (4800, 8, "none", 1)),
    silence="the panel number set in the head; the pairs of the RS-422 wire crossed",
)
