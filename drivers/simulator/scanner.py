"""A serial code reader: turns scanned texts into the bytes it types, with its habits and its faults.

Works on text in, bytes out; knows no port. Framing from the scanner sheet section 2.
"""

from __future__ import annotations

from drivers.simulator.config import ReaderConfig
from drivers.simulator.faults import FaultBoard

AIM_QR = "]Q1"


class Scanner:
    """One reader; each call of ``type_text`` gives the chunks that go out one write each."""

    def __init__(self, config: ReaderConfig, board: FaultBoard) -> None:
        self.config = config
        self._board = board

    def type_text(self, text: str, *, aim: str = "") -> list[bytes]:
        """``preamble`` + AIM id + text + terminator; ``aim`` e.g. ``AIM_QR``."""
        frame = (self.config.preamble + aim + text + self.config.terminator).encode("latin-1", "replace")
        if self._board.hit("scanner-noise", self.config.name):
            # a smudged read: controls and half a code, closed by a terminator as a real one would be
            frame = b"\x00\x1d\xff" + text[: len(text) // 2].encode() + self.config.terminator.encode() + frame
        if self.config.double_read:
            frame += frame
        return [bytes((byte,)) for byte in frame] if self.config.one_byte_at_a_time else [frame]
