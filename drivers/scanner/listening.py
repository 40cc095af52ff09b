"""A reader that only listens: online with its port, no command heard, the rule of silence, every code one reading.

Knows no bytes: a protocol brings what they mean. Keeps no log and never shows a text.
"""

from __future__ import annotations

from collections.abc import Sequence

from drivers.commands import Command
from drivers.config import LineConfig
from drivers.device import CodeReaderCapabilities
from drivers.port import Port
from drivers.readings import CodeScan, CommandOutcome, DeviceStatus, Reading
from drivers.scanner.codec import Frame
from drivers.unheard import Unheard

CAPABILITIES = CodeReaderCapabilities()
READ_WAIT_S = 0.05  # one turn: short enough for the 200 ms rule, long enough to leave the processor alone


class Listener:
    """One scanner on its own port. ``read_bytes``: of one turn; ``cable_hint``: what to look at when it is gone."""

    capabilities = CAPABILITIES
    read_bytes: int
    cable_hint: str

    def __init__(self, config: LineConfig, silence_s: float) -> None:
        self.device_id = f"reader:{config.reader}"
        self._reader = config.reader
        self._silence_s = silence_s
        self._commands = Unheard(self.device_id)
        self._online = False
        self._was_online = False
        self._last_byte_at = 0.0

    def fed(self, data: bytes) -> Sequence[Frame]:
        """Return the codes that ``data`` completes."""
        raise AssertionError(f"each protocol reads its own {len(data)} bytes")

    def silent(self) -> Sequence[Frame]:
        """Nothing came for so long that an unfinished code has its end, or none."""
        raise AssertionError("each protocol knows what silence means")

    def forget(self) -> None:
        """Drop what is unfinished: the port is gone or new."""
        raise AssertionError("each protocol knows what it has")

    def turn(self, port: Port) -> Sequence[Reading]:
        """Wait up to 50 ms for bytes and return the scans they complete."""
        if self._commands:
            return self._commands.end(CommandOutcome.REFUSED, "a scanner takes no commands")
        if not self._online:
            port.discard()  # what was scanned while nobody listened: those customers have gone
            status = DeviceStatus(self.device_id, online=True, gap=self._was_online)
            self._online = self._was_online = True
            return [status]
        data = port.read(self.read_bytes, READ_WAIT_S)
        return [CodeScan(self._reader, frame.text, frame.symbology) for frame in self._frames(data, port.monotonic())]

    def _frames(self, data: bytes, now: float) -> Sequence[Frame]:
        """Only a read that came back empty counts: bytes that waited while this thread was held up are no silence."""
        if data:
            self._last_byte_at = now
            return self.fed(data)
        return self.silent() if now - self._last_byte_at >= self._silence_s else ()

    def due_in_s(self) -> float:
        """Return 0: the wait for bytes is the turn itself."""
        return 0.0

    def submit(self, command: Command) -> None:
        """Queue ``command`` to be refused. Raises ``DeviceRefused`` when too many wait."""
        self._commands.submit(command)

    def reset(self) -> Sequence[Reading]:
        """The port is gone or new: drop the unfinished code, report the gap."""
        self.forget()
        readings: list[Reading] = self._commands.end(CommandOutcome.UNKNOWN, "the port was lost")
        if self._online:
            self._online = False
            hint = self.cable_hint
            readings.append(DeviceStatus(self.device_id, online=False, gap=True, reason="port lost", hint=hint))
        return readings
