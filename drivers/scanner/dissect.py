"""Bytes of a serial scanner taken apart for a person: AIM id, text, terminator. Pure, never raises, loses no byte.

Shows texts as they are: whoever prints them masks them.
"""

from __future__ import annotations

import re

from drivers.dissection import Cutting, Direction, FieldKit, Piece, singles
from drivers.scanner.codec import MAX_FRAME_BYTES

_RUN = re.compile(rb"[^\r\n]*[\r\n]+|[^\r\n]+")
_AIM_ID = re.compile(rb"\][A-Za-z][0-9A-Za-z]")
_SYMBOLOGIES = {
    b"A": "Code 39",
    b"C": "Code 128",
    b"E": "EAN/UPC",
    b"L": "PDF417",
    b"Q": "QR code",
    b"d": "Data Matrix",
    b"z": "Aztec",
}
_ENDS = {0x0D: "CR", 0x0A: "LF"}

# Almost any text could be a code: only the AIM id says "scanner".
WITH_ID, TEXT, NOISE = 80, 40, 0


def dissect(data: bytes, direction: Direction = None) -> list[Piece]:
    """Return one piece for each scan; a scanner speaks and is never spoken to, so ``direction`` changes nothing."""
    return [_scan(match[0], match.start(), direction) for match in _RUN.finditer(data)]


def _scan(raw: bytes, offset: int, direction: Direction) -> Piece:
    text = raw.rstrip(b"\r\n")
    cut = Cutting(raw, singles(raw), offset)
    match = _AIM_ID.match(text)
    if match:
        name = _SYMBOLOGIES.get(match[0][1:2], "other symbology")
        cut.add(3, "AIM id", match[0].decode("ascii"), meaning=f"{match[0].decode('ascii')} {name}")
    size = len(text) - cut.at
    if size:
        shown = cut.peek(size).decode("latin-1")
        cut.add(size, "text", shown, meaning=shown if shown.isprintable() else repr(shown))
    if cut.left:
        ends = " ".join(_ENDS[byte] for byte in cut.peek(cut.left))
        cut.add(cut.left, "terminator", ends, framing=True)
    printable = all(0x20 <= byte <= 0x7E for byte in text)
    return Piece(
        offset,
        raw,
        "scan" if text else "empty line",
        direction if direction == "to_device" else "from_device",
        tuple(cut.fields),
        problem=_problem(raw, text, printable=printable),
        confidence=NOISE if not printable or not text else WITH_ID if match else TEXT,
    )


def _problem(raw: bytes, text: bytes, *, printable: bool) -> str:
    if len(text) > MAX_FRAME_BYTES:
        return f"{len(text)} bytes: longer than any code, dropped whole"
    if raw == text:
        return "no terminator: dropped after the silence, unless the option unterminated is set"
    return "" if printable else "not printable: no member code, perhaps wrong line settings"


KIT = FieldKit(
    dissect=dissect,
    serial_guesses=((9600, 8, "none", 1), (115200, 8, "none", 1), (9600, 7, "even", 1)),
    silence="nothing was scanned in this time, or the scanner is in keyboard mode: switch it to serial",
)
