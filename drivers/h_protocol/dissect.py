"""H-protocol bytes taken apart for a person. Pure, never raises, loses no byte.

A reply names neither the tank nor the question, so what its first field is, the question before it says.
"""

from __future__ import annotations

import re

from drivers.dissection import Check, Cutting, Direction, FieldKit, Piece, singles, unread
from drivers.h_protocol.codec import Asks, checksums, encode

SURE, UNCHECKED, DAMAGED, QUESTION = 95, 70, 30, 80
_FRAME = re.compile(
    rb"\$(?P<ask>[ABC])(?P<tank>\d{1,2})\r\n?"
    rb"|#(?P<fields>[^#$\r]{0,60})@(?P<check>[0-9A-Fa-f]{1,2})\r"
)
_NAMES = ("data", "water", "temperature", "offset", "version", "error")
_ASKED = {Asks.LEVEL: "level", Asks.VOLUME: "volume", Asks.ULLAGE: "ullage"}


def dissect(data: bytes, direction: Direction = None) -> list[Piece]:
    """Return the pieces of ``data`` in order; with ``direction`` ``None`` both sides of a wire may be mixed."""
    pieces: list[Piece] = []
    at, asked = 0, "data"
    for match in _FRAME.finditer(data):
        if match.start() > at:
            pieces.append(unread(data[at : match.start()], at, "neither a question nor a reply"))
        if match["ask"]:
            asked = _ASKED[Asks(match["ask"].decode("ascii"))]
            pieces.append(_question(match, asked, direction))
        else:
            pieces.append(_reply(match, asked, direction))
        at = match.end()
    if at < len(data):
        pieces.append(unread(data[at:], at, "neither a question nor a reply, or cut off"))
    return pieces


def _question(match: re.Match[bytes], asked: str, direction: Direction) -> Piece:
    cut = Cutting(match[0], singles(match[0]), match.start())
    cut.add(1, "$", framing=True)
    cut.add(1, "asks", match["ask"].decode("ascii"), meaning=asked)
    cut.add(len(match["tank"]), "tank", int(match["tank"]))
    cut.rest("end", "")
    problem = "the host sends this" if direction == "from_device" else ""
    return Piece(match.start(), match[0], "question", "to_device", tuple(cut.fields), "none", "", "", problem, QUESTION)


def _reply(match: re.Match[bytes], asked: str, direction: Direction) -> Piece:
    cut = Cutting(match[0], singles(match[0]), match.start())
    cut.add(1, "#", framing=True)
    parts = match["fields"].split(b"@")
    names = (asked, *_NAMES[1:])
    for place, part in enumerate(parts):
        if place:
            cut.add(1, "@", framing=True)
        if part:
            name = names[place] if place < len(names) else "field"
            cut.add(len(part), name, part.decode("latin-1"))
    cut.add(1, "@", framing=True)
    given = match["check"].decode("ascii")
    without, with_at = checksums(match["fields"])
    check: Check = "missing" if given == "0" else "ok" if given in (without, with_at) else "bad"
    cut.add(len(given), "checksum", given, meaning="with @" if given == with_at else "", framing=True)
    cut.add(1, "end", framing=True)
    problem = {"ok": "", "missing": "no checksum, as emulators send it: unchecked"}.get(check, "wrong checksum")
    if len(parts) != len(_NAMES):
        problem = f"layout: {len(parts)} fields and not {len(_NAMES)}"
    elif direction == "to_device":
        problem = problem or "the gauge sends this"
    confidence = DAMAGED if check == "bad" or len(parts) != len(_NAMES) else SURE if check == "ok" else UNCHECKED
    raw, fields = match[0], tuple(cut.fields)
    return Piece(match.start(), raw, "reply", "from_device", fields, check, given, without, problem, confidence)


KIT = FieldKit(
    dissect=dissect,
    probes=lambda _address: (encode(Asks.VOLUME, 1, 2), encode(Asks.VOLUME, 1, 1)),
    probe_wait_s=3.2,
    attempts=lambda _timeout_s: ({}, {"id_digits": 1}),
    serial_guesses=((1200, 8, "none", 1), (9600, 8, "none", 1), (1200, 7, "even", 1), (300, 8, "none", 1)),
    silence="the tank number has another width (--option id_digits=1), or the gauge is set to another protocol",
)
