"""Bytes of SENS PMP probes taken apart for a person. Pure, never raises, loses no byte.

Where a reply ends only the silence after it says, which bytes alone do not show: the first length that fits is taken.
"""

from __future__ import annotations

from collections.abc import Iterator

from drivers.dissection import Cutting, Direction, FieldKit, Piece, singles, unread
from drivers.sens.codec import HEAD, MAX_PARAMETERS, PARAMETER, START, Parameter, encode, number, problem

SURE, BY_SUM = 85, 50
QUESTION_BYTES = len(encode(1))
UNITS = {1: "m", 2: "C", 3: "%", 4: "m3", 5: "t", 6: "t/m3 or kg/m3", 7: "m3", 8: "unit not known"}
KILOGRAMS_ABOVE = 10


def dissect(data: bytes, direction: Direction = None) -> list[Piece]:
    """Return the pieces of ``data`` in order; with ``direction`` ``None`` both sides of a wire may be mixed."""
    pieces: list[Piece] = []
    at = start = 0
    while at < len(data):
        piece = _piece(data, at, direction) if data[at] == START else None
        if piece is None:
            at += 1
            continue
        if start < at:
            pieces.append(unread(data[start:at], start, "no frame with a right sum"))
        pieces.append(piece)
        at = start = at + len(piece.raw)
    if start < len(data):
        pieces.append(unread(data[start:], start, "no frame with a right sum, or cut off"))
    return pieces


def _piece(data: bytes, at: int, direction: Direction) -> Piece | None:
    raw = data[at : at + QUESTION_BYTES]
    if len(raw) == QUESTION_BYTES and raw == encode(raw[1]):
        cut = _begun(raw, at)
        cut.add(3, "asks", framing=True)
        return _made(cut, "question", "to_device", direction, SURE)
    for size in _sizes(data, at):
        raw = data[at : at + size]
        if len(raw) == size and not problem(raw):
            cut = _begun(raw, at)
            cut.add(2, "length", raw[2], framing=True)
            for place in range(HEAD, size - 1, PARAMETER):
                _parameter(cut, raw[place], raw[place + 1 : place + PARAMETER])
            return _made(cut, "parameters", "from_device", direction, SURE if raw[2] == size else BY_SUM)
    return None


def _sizes(data: bytes, at: int) -> Iterator[int]:
    """What the length byte says first, then the longest to the shortest."""
    yield from data[at + 2 : at + 3]
    most = min(MAX_PARAMETERS, (len(data) - at - HEAD - 1) // PARAMETER)
    yield from (HEAD + 1 + PARAMETER * count for count in range(most, 0, -1))


def _begun(raw: bytes, at: int) -> Cutting:
    cut = Cutting(raw, singles(raw), at)
    cut.add(1, "start", framing=True)
    cut.add(1, "address", raw[1])
    return cut


def _parameter(cut: Cutting, identity: int, raw: bytes) -> None:
    known = identity in set(Parameter)
    name = Parameter(identity).name.lower() if known else "parameter"
    value = number(raw)
    unit = UNITS.get(identity, "")
    if identity == Parameter.DENSITY and value is not None:
        unit = "kg/m3" if value > KILOGRAMS_ABOVE else "t/m3"
    cut.add(1, "id", identity, framing=known)
    cut.add(3, name, None if value is None else f"{value:g}", unit)


def _made(cut: Cutting, kind: str, sender: Direction, direction: Direction, confidence: int) -> Piece:
    offset = cut.fields[0].offset
    given = f"{cut.plain[-1]:02X}"
    cut.add(1, "sum", framing=True)
    wrong = "" if direction in (None, sender) else "the other side sends this"
    return Piece(offset, cut.plain, kind, sender, tuple(cut.fields), "ok", given, given, wrong, confidence)


KIT = FieldKit(
    dissect=dissect,
    probes=lambda address: (encode(address),),
    addresses=range(1, 17),
    probe_wait_s=0.6,
    serial_guesses=((19200, 8, "none", 2), (19200, 8, "none", 1), (9600, 8, "none", 2)),
    silence="the address of the probe; A and B of the RS-485 wire exchanged; two stop bits",
)
