"""Aoke PD-3 bytes taken apart for a person. Pure, never raises, loses no byte."""

from __future__ import annotations

from drivers.dissection import Cutting, Direction, FieldKit, Piece, singles, unread
from drivers.pd3.codec import HEAD, QUESTION, frame_at, replies

QUESTION_SURE, SURE, EMPTY = 95, 90, 60


def dissect(data: bytes, direction: Direction = None) -> list[Piece]:
    """Return the pieces of ``data`` in order; with ``direction`` ``None`` both sides of a wire may be mixed."""
    pieces: list[Piece] = []
    at = start = 0
    while at < len(data):
        piece = _piece(data, at, direction) if data.startswith(HEAD, at) else None
        if piece is None:
            at += 1
            continue
        if start < at:
            pieces.append(unread(data[start:at], start, "no frame with a right CRC"))
        pieces.append(piece)
        at = start = at + len(piece.raw)
    if start < len(data):
        pieces.append(unread(data[start:], start, "no frame with a right CRC, or cut off"))
    return pieces


def _piece(data: bytes, at: int, direction: Direction) -> Piece | None:
    if data.startswith(QUESTION, at):
        cut = Cutting(QUESTION, singles(QUESTION), at)
        cut.add(2, "head", framing=True)
        cut.add(2, "command", 4, meaning="alarms")
        cut.add(1, "tank", 0, meaning="all")
        cut.add(1, "spare", framing=True)
        return _made(cut, "question", "to_device", direction, QUESTION_SURE)
    raw, stride = frame_at(data, at)
    if not raw:
        return None
    cut = Cutting(raw, singles(raw), at)
    cut.add(2, "head", framing=True)
    cut.add(1, "records", raw[2])
    for record in replies(raw)[0].records:
        cut.add(1, "tank", record.tank)
        cut.add(stride - 3, "time", record.time if record.is_dated else None)
        cut.add(2, "code", record.code, meaning=record.text)
    return _made(cut, "records", "from_device", direction, SURE if raw[2] else EMPTY)


def _made(cut: Cutting, kind: str, sender: Direction, direction: Direction, confidence: int) -> Piece:
    offset = cut.fields[0].offset
    given = cut.plain[-2:].hex().upper()
    cut.add(2, "crc", framing=True)
    problem = "" if direction in (None, sender) else "the other side sends this"
    return Piece(offset, cut.plain, kind, sender, tuple(cut.fields), "ok", given, given, problem, confidence)


KIT = FieldKit(
    dissect=dissect,
    probes=lambda _address: (QUESTION,),
    probe_wait_s=1.2,
    serial_guesses=((9600, 8, "none", 1), (19200, 8, "none", 1), (4800, 8, "none", 1)),
    silence="the gauge is set to another protocol; many offer a TLS-compatible one, which is worth more",
)
