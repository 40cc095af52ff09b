"""A simulated Dipstick. It writes its frames without the driver's codec: a shared one would hide its own mistakes."""

from __future__ import annotations


class Stand:
    """Three tanks. ``heard`` names what it was told."""

    def __init__(self) -> None:
        self.volumes_l = {1: 18_400, 2: 8_200, 3: 3_015}
        self.heard: list[str] = []
        self._rest = b""

    def answer(self, data: bytes) -> bytes:
        """What comes back for the master's bytes."""
        *questions, self._rest = (self._rest + data).split(b"\r")
        return b"".join(self._one(question) for question in questions)

    def _one(self, question: bytes) -> bytes:
        if len(question) != 3 or question[:1] != b"V" or question[2:] != b"?":
            self.heard.append("NONSENSE")
            return b""
        self.heard.append("ASK")
        volume_l = self.volumes_l.get(question[1] - ord("0"))
        return b"" if volume_l is None else framed(b"V%c:%06d:004" % (question[1], volume_l))


def framed(text: bytes) -> bytes:
    """An answer with its check and end."""
    return text + b"*%04X\r" % crc(text)


def crc(data: bytes) -> int:
    """CRC-16/ARC, bit by bit."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value
