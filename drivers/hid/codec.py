"""Bytes of a Linux input device to its events. Sans-IO: no device, no clock, no log.

Knows ``struct input_event`` of this machine. Does not know what keys mean: ``keys`` does.
"""

from __future__ import annotations

import struct

EVENT = struct.Struct("llHHi")
"""Seconds, microseconds, type, code, value: 24 bytes on 64-bit Linux."""

Event = tuple[int, int, int]
"""(type, code, value); nobody here needs the time that the system noted."""


class EventDecoder:
    """Bytes in, events out; any cut of the same bytes gives the same events. Holds less than one event."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def partial(self) -> bool:
        """Whether an event has begun and not ended."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[Event]:
        """Take ``data`` as it arrived and return the events it completed. Never raises."""
        data = self._rest + data
        whole = len(data) - len(data) % EVENT.size
        self._rest = data[whole:]
        return [(kind, code, value) for _, _, kind, code, value in EVENT.iter_unpack(data[:whole])]

    def reset(self) -> None:
        """Drop what is pending: the next byte begins an event."""
        self._rest = b""
