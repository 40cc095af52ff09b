"""Frames of a serial scanner: terminators, cap, preamble, AIM symbology id. Sans-IO: no clock, no port, no log.

Knows how text is cut out of bytes. Does not know whether a text is a member code, and refuses none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MAX_FRAME_BYTES = 512  # the largest code in use is far shorter; a longer run is noise or another device

_AIM_ID = re.compile(r"\][A-Za-z][0-9A-Za-z]")


@dataclass(frozen=True, slots=True)
class Frame:
    """One scan: ``text`` as Latin-1 without preamble and AIM id, ``symbology`` such as ``"]Q1"`` or ``None``."""

    text: str = field(repr=False)
    symbology: str | None = None


class FrameDecoder:
    """Bytes in, scans out; any cut of the same bytes gives the same scans. Holds at most ``MAX_FRAME_BYTES``.

    ``preamble``: fixed text to remove from the front; ``tab_ends``: a TAB ends a frame as CR and LF do.
    ``too_long`` counts frames dropped whole, ``cut_short`` those dropped without a terminator.
    """

    def __init__(self, *, preamble: str = "", tab_ends: bool = False) -> None:
        self.too_long = 0
        self.cut_short = 0
        self._preamble = preamble
        self._ends = frozenset(b"\r\n\t" if tab_ends else b"\r\n")
        self._frame = bytearray()
        self._dropping = False

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._frame) or self._dropping

    def feed(self, data: bytes) -> list[Frame]:
        """Take ``data`` as it arrived and return the frames it completed. Never raises."""
        frames = []
        for byte in data:
            if byte in self._ends:
                frames += self._take()
            elif not self._dropping:
                self._frame.append(byte)
                if len(self._frame) > MAX_FRAME_BYTES:
                    self._frame.clear()
                    self._dropping = True
                    self.too_long += 1
        return frames

    def flush(self) -> list[Frame]:
        """Silence ends what is pending: return it as a frame (for scanners that send no terminator)."""
        return self._take()

    def reset(self) -> None:
        """Silence or a lost port: drop what is pending and count it."""
        if self._frame:
            self.cut_short += 1
        self._frame.clear()
        self._dropping = False

    def _take(self) -> list[Frame]:
        frame = frame_of(self._frame.decode("latin-1").removeprefix(self._preamble))
        self._frame.clear()
        self._dropping = False
        return [] if frame is None else [frame]


def frame_of(text: str) -> Frame | None:
    """Return a text without its AIM id, which is taken off once, as a scan; ``None`` for one that is empty then."""
    match = _AIM_ID.match(text)
    symbology = match[0] if match else None
    bare = text[len(symbology or "") :]
    return Frame(bare, symbology) if bare else None
