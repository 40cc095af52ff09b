"""DART frames as a pump sees them: bytes to frames and back, CRC-16/ARC, escaping, packed BCD.

Written from the DART sheet sections 2 and 3 without a look at any driver. Knows no pump state and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass

POLL, DATA, NAK, EOT, ACK, ACKPOLL = 0x20, 0x30, 0x50, 0x70, 0xC0, 0xE0
STOP_FLAG = 0xFA
ESCAPE = 0x10
ETX = 0x03
# a block has at most 256 raw bytes; a longer run without a stop flag is noise
MAX_RAW = 256

COMMAND_NAMES = {
    0x00: "RETURN_STATUS",
    0x02: "RETURN_PARAMETERS",
    0x03: "RETURN_IDENTITY",
    0x04: "RETURN_FILLING_INFO",
    0x05: "RESET",
    0x06: "AUTHORIZE",
    0x08: "STOP",
    0x0A: "SWITCH_OFF",
    0x0D: "SUSPEND",
    0x0E: "RESUME",
    0x0F: "RETURN_PRICES",
}
TRANSACTION_NAMES = {
    0x02: "ALLOW_NOZZLES",
    0x03: "PRESET_VOLUME",
    0x04: "PRESET_AMOUNT",
    0x05: "PRICES",
    0x07: "OUTPUT",
    0x09: "SET_PARAMETERS",
    0x0D: "FILLING_TYPE",
    0x0E: "SUSPEND_NOZZLE",
    0x0F: "RESUME_NOZZLE",
    0x65: "TOTALS",
    0x66: "TOTALS_AMOUNT_S4",
}
SHORT_NAMES = {POLL: "POLL", NAK: "NAK", EOT: "EOT", ACK: "ACK", ACKPOLL: "ACKPOLL"}


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: ``control`` is the type (high nibble), ``tx`` the block number, ``intact`` false when the CRC was
    wrong.
    """

    address: int
    control: int
    tx: int
    data: bytes = b""
    intact: bool = True

    @property
    def name(self) -> str:
        """POLL, DATA, ACK, ..."""
        return "DATA" if self.control == DATA else SHORT_NAMES.get(self.control, f"CONTROL_{self.control:02X}")


def crc16(data: bytes) -> int:
    """CRC-16/ARC, bit by bit: reflected polynomial A001, start 0, no final XOR; "123456789" gives BB3D."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
    return value


def encode_short(address: int, control: int, tx: int = 0) -> bytes:
    """EOT, ACK, NAK (or, for a test that plays the master, POLL and ACKPOLL)."""
    return bytes((address, control | tx, STOP_FLAG))


def encode_data(address: int, tx: int, data: bytes) -> bytes:
    """A DATA frame: ADR CTRL data CRC-low CRC-high 03 FA, every FA in data and CRC preceded by 10."""
    head = bytes((address, DATA | tx))
    check = crc16(head + data)
    body = data + bytes((check & 0xFF, check >> 8))
    return head + body.replace(b"\xfa", b"\x10\xfa") + bytes((ETX, STOP_FLAG))


class FrameReader:
    """Cuts a byte stream into frames; the escape state belongs to the stream, so any chunking gives the same frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._length = 0
        self._overrun = False
        self._previous = 0
        self.dropped = 0

    def feed(self, data: bytes) -> list[Frame]:
        """All frames completed by ``data``."""
        frames = []
        for byte in data:
            previous, self._previous = self._previous, byte
            self._length += 1
            if byte == STOP_FLAG and previous == ESCAPE and len(self._buffer) > 2:
                self._buffer[-1] = STOP_FLAG
                continue
            if byte != STOP_FLAG:
                if self._length > MAX_RAW:
                    self._overrun = True
                    self._buffer.clear()
                else:
                    self._buffer.append(byte)
                continue
            frame = None if self._overrun else _parse(bytes(self._buffer))
            self.clear()
            if frame is None:
                self.dropped += 1
            else:
                frames.append(frame)
        return frames

    def clear(self) -> None:
        """Silence on the line: forget a broken frame."""
        self._buffer.clear()
        self._length = 0
        self._overrun = False
        self._previous = 0


def _parse(raw: bytes) -> Frame | None:
    """One unescaped frame without its stop flag; ``None`` = not a frame."""
    if len(raw) < 2:
        return None
    address, control = raw[0], raw[1]
    if control & 0xF0 != DATA:
        return Frame(address, control & 0xF0, control & 0x0F) if len(raw) == 2 else None
    if len(raw) < 5 or raw[-1] != ETX:
        return None
    return Frame(address, DATA, control & 0x0F, raw[2:-3], intact=crc16(raw[:-1]) == 0)


def transactions(data: bytes) -> list[tuple[int, bytes]] | None:
    """The transactions of a block in order; ``None`` when a length runs past the end (nothing of the block counts
    then).
    """
    found = []
    position = 0
    while position < len(data):
        if position + 2 > len(data):
            return None
        kind, length = data[position], data[position + 1]
        end = position + 2 + length
        if end > len(data):
            return None
        found.append((kind, data[position + 2 : end]))
        position = end
    return found


def bcd(value: int, size: int) -> bytes:
    """``value`` as packed BCD in ``size`` bytes, most significant first, modulo 10^(2*size)."""
    return bytes.fromhex(f"{value % 10 ** (2 * size):0{2 * size}d}")


def from_bcd(data: bytes) -> int | None:
    """The number in packed BCD; ``None`` when a nibble is above 9."""
    text = data.hex()
    return int(text) if text.isdecimal() else None


def name_of(kind: int, data: bytes) -> str:
    """What a master's transaction is called in the command log."""
    if kind == 0x01 and len(data) == 1:
        return COMMAND_NAMES.get(data[0], f"COMMAND_{data[0]:02X}")
    return TRANSACTION_NAMES.get(kind, f"UNKNOWN_{kind:02X}")
