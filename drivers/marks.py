"""Characters that a serial port received damaged, as the system marks them: FF 00 before each, a real FF doubled.

Pure. Knows no port; ``port.py`` switches the marking on.
"""

from __future__ import annotations


class Marks:
    """Takes the marks out of a stream again and remembers where damaged characters stood.

    ``damaged``: positions since the last ``take``, counted in the bytes handed on since then; ``count``: all so far.
    A break on the wire arrives as a damaged 00.
    """

    def __init__(self) -> None:
        self.count = 0
        self.damaged: list[int] = []
        self._given = 0
        self._state = 0  # 0 plain, 1 after FF, 2 after FF 00

    def feed(self, data: bytes) -> bytes:
        """The characters of ``data`` without marks; a mark cut in two is kept for the next call."""
        out = bytearray()
        for byte in data:
            if self._state == 0 and byte == 0xFF:
                self._state = 1
            elif self._state == 1 and byte == 0x00:
                self._state = 2
            else:
                if self._state == 2:
                    self.damaged.append(self._given + len(out))
                    self.count += 1
                # After FF comes FF (a real one) or 00; a driver that sends anything else does not mark.
                if self._state == 1 and byte != 0xFF:
                    out.append(0xFF)
                out.append(byte)
                self._state = 0
        self._given += len(out)
        return bytes(out)

    def take(self) -> tuple[int, ...]:
        """Positions of damaged characters since the last call."""
        taken = tuple(self.damaged)
        self.damaged.clear()
        self._given = 0
        return taken
