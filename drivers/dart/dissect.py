"""DART bytes taken apart for a person: frames, escapes, checksums; the transactions are named in dissect_blocks.py.

Pure, never raises, loses no byte. Not used while a station runs: the driver has its own, stricter decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drivers.checks import crc16_arc
from drivers.dart.codec import END, ESCAPE, MASTER_ADDRESSES, MAX_RAW, TEXT_END, Control, Frame, encode
from drivers.dart.dissect_blocks import likely_direction, transactions
from drivers.dissection import Cutting, Direction, FieldKit, Piece, unread

ADDRESSES = range(0x50, 0x70)
FROM_MASTER = (Control.POLL, Control.ACKPOLL)

# The checksum of 16 bits makes a block certain; three bytes without one could be chance.
SURE, SHORT_FRAME, DAMAGED = 100, 70, 30


def dissect(data: bytes, direction: Direction = None) -> list[Piece]:
    """Return the pieces of ``data`` in order; with ``direction`` ``None`` both sides of a wire may be mixed."""
    pieces: list[Piece] = []
    turn = _Turn()
    start = 0
    for end in _ends(data):
        found = _segment(data[start:end], start, direction, turn)
        for piece in found:
            turn.after(piece)
        pieces += found
        start = end
    return pieces


@dataclass(slots=True)
class _Turn:
    """Who speaks next where both sides are mixed: ``None`` while unknown."""

    sender: Direction = None

    def after(self, piece: Piece) -> None:
        """A master's frame is answered by the pump; the pump's frame ends the exchange or awaits our ACK."""
        if piece.kind in ("ACK", "NAK"):
            self.sender = "to_device"  # either the pump has taken our block, or we its block: the master goes on
        elif piece.direction is not None:
            self.sender = "to_device" if piece.direction == "from_device" else "from_device"


def _ends(data: bytes) -> list[int]:
    """Where frames end: after each FA that no 10 escapes, and at the end of the data."""
    ends = []
    escaped = False
    for at, byte in enumerate(data):
        if byte == END and not escaped:
            ends.append(at + 1)
            escaped = False
        else:
            escaped = byte == ESCAPE
    return ends if data[-1:] == b"" or (ends and ends[-1] == len(data)) else [*ends, len(data)]


def _segment(raw: bytes, offset: int, direction: Direction, turn: _Turn) -> list[Piece]:
    """One run of bytes up to a stop flag: a frame, or noise with a frame at its end, or only noise."""
    whole = _frame(raw, offset, direction, turn)
    if whole is not None and whole.check != "bad" and not whole.problem:
        return [whole]
    for skip in range(1, len(raw) - 2):
        found = _frame(raw[skip:], offset + skip, direction, turn)
        is_block = found is not None and found.check == "ok"
        is_short = found is not None and found.check == "none" and whole is None and not found.problem
        if found is not None and (is_block or is_short):
            return [unread(raw[:skip], offset, "noise before a frame"), found]
    if whole is not None:
        return [whole]
    if raw[-1:] != bytes((END,)):
        return [unread(raw, offset, "no stop flag FA at the end: cut off, or not DART")]
    if len(raw) > MAX_RAW:
        return [unread(raw, offset, f"{len(raw)} bytes without a stop flag FA: longer than any frame")]
    if len(raw) < 3:
        return [unread(raw, offset, "shorter than a frame")]
    what = "address" if raw[0] not in MASTER_ADDRESSES else "control byte"
    return [unread(raw, offset, f"{raw[what != 'address']:02X} is no {what}")]


def _frame(raw: bytes, offset: int, direction: Direction, turn: _Turn) -> Piece | None:
    """``raw`` as one frame including its stop flag; ``None`` when it has not the form of one."""
    if not 3 <= len(raw) <= MAX_RAW or raw[-1] != END or raw[0] not in MASTER_ADDRESSES:
        return None
    try:
        control = Control(raw[1] >> 4)
    except ValueError:
        return None
    plain, wire = _unescaped(raw)
    cut = Cutting(plain, wire, offset)
    cut.add(1, "address", raw[0], meaning=f"{raw[0]:02X}")
    cut.add(1, "control", raw[1] & 0x0F, meaning=f"{control.name} {raw[1] & 0x0F}", framing=True)
    if control is Control.DATA:
        return _block(raw, cut, offset, direction, turn)
    if len(raw) > 3:
        return None
    cut.add(1, "stop flag", framing=True)
    sender = _short_sender(control, direction or turn.sender)
    return Piece(
        offset,
        raw,
        control.name,
        sender,
        tuple(cut.fields),
        problem="the other side sends this" if direction not in (None, sender) else "",
        confidence=SHORT_FRAME,
    )


def _short_sender(control: Control, otherwise: Direction) -> Direction:
    if control in FROM_MASTER:
        return "to_device"
    return "from_device" if control is Control.EOT else otherwise


def _block(raw: bytes, cut: Cutting, offset: int, direction: Direction, turn: _Turn) -> Piece | None:
    plain = cut.plain
    if len(plain) < 6 or plain[-2] != TEXT_END:
        return None
    body = plain[2:-4]
    computed = crc16_arc(plain[:-4])
    given = plain[-4] | plain[-3] << 8
    sure = given == computed
    sender = direction or likely_direction(body) or turn.sender
    problem = transactions(cut, len(body), sender) if sure or _plausible(body) else ""
    if cut.at < 2 + len(body):
        cut.add(2 + len(body) - cut.at, "undecoded", meaning=body[cut.at - 2 :].hex(" ").upper())
    meaning = "right" if sure else f"wrong, computed {computed:04X}"
    cut.add(2, "checksum", f"{given:04X}", meaning=meaning, framing=sure)
    cut.add(1, "end of text", framing=True)
    cut.add(1, "stop flag", framing=True)
    return Piece(
        offset,
        raw,
        "DATA",
        sender,
        tuple(cut.fields),
        check="ok" if sure else "bad",
        check_given=f"{given:04X}",
        check_computed=f"{computed:04X}",
        problem=problem if sure else "the checksum is wrong: nothing of this block counts",
        confidence=SURE if sure else DAMAGED,
    )


def _plausible(body: bytes) -> bool:
    """Whether the lengths inside a damaged block still add up, so that showing its parts helps."""
    at = 0
    while at + 1 < len(body):
        at += 2 + body[at + 1]
    return at == len(body)


def _unescaped(raw: bytes) -> tuple[bytes, list[bytes]]:
    plain = bytearray()
    wire: list[bytes] = []
    for at, byte in enumerate(raw):
        if byte == END and at < len(raw) - 1 and plain and wire[-1] == bytes((ESCAPE,)):
            plain[-1] = END
            wire[-1] = bytes((ESCAPE, END))
        else:
            plain.append(byte)
            wire.append(bytes((byte,)))
    return bytes(plain), wire


def _probes(address: int) -> Sequence[bytes]:
    return (encode(Frame(address, Control.POLL)),)


KIT = FieldKit(
    attempts=lambda _timeout_s: ({"identity": True},),
    dissect=dissect,
    probes=_probes,
    addresses=ADDRESSES,
    probe_wait_s=0.08,
    serial_guesses=(
        (9600, 8, "odd", 1),
        (19200, 8, "odd", 1),
        (9600, 8, "none", 1),
        (9600, 8, "even", 1),
        (4800, 8, "odd", 1),
        (19200, 8, "none", 1),
    ),
    silence="the head is switched off, or has another address (forecourt device read --scan tries them all)",
)
