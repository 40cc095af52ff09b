"""Checksums and packed decimals shared by the protocols: pure functions of bytes. Knows no frame of any protocol."""

from __future__ import annotations

from drivers.errors import FrameRejected


def _table(polynomial: int) -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ polynomial if value & 1 else value >> 1
        table.append(value)
    return tuple(table)


_ARC = _table(0xA001)


def crc16_arc(data: bytes) -> int:
    """CRC-16/ARC: polynomial 8005 reflected, start 0, no final XOR; of ``b"123456789"`` it is BB3D."""
    return _crc16(data, 0)


def crc16_modbus(data: bytes) -> int:
    """CRC-16/MODBUS: as ARC with start FFFF; of ``b"123456789"`` it is 4B37."""
    return _crc16(data, 0xFFFF)


def _crc16(data: bytes, crc: int) -> int:
    for byte in data:
        crc = (crc >> 8) ^ _ARC[(crc ^ byte) & 0xFF]
    return crc


def bcd_to_int(data: bytes) -> int:
    """The number that packed decimal digits spell, most significant byte first; ``b""`` is 0.

    Raises ``FrameRejected`` (reason ``"bcd"``) for a nibble above 9.
    """
    digits = data.hex()
    if not digits:
        return 0
    if not digits.isdecimal():
        raise FrameRejected(f"{digits} is not packed decimal", reason="bcd", hint="check the wiring for noise")
    return int(digits)


def int_to_bcd(value: int, size: int) -> bytes:
    """``value`` as ``size`` bytes of packed decimal, most significant first.

    Raises ``FrameRejected`` (reason ``"range"``) when it is negative or has more than ``2 * size`` digits.
    """
    if value < 0 or value >= 10 ** (2 * size):
        raise FrameRejected(f"{value} does not fit {2 * size} digits", reason="range", hint="use a smaller value")
    return bytes.fromhex(f"{value:0{2 * size}d}") if size else b""
