"""One question and its answer on a port: waiting, late echoes, what ends a wait. Codec + port, no meaning of replies.

Knows the times of section "timing" of the protocol sheet. Knows no order of questions (schedule.py).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from drivers.config import SerialSettings
from drivers.errors import DeviceSilent, FrameRejected
from drivers.port import Port
from drivers.veeder_root.codec import ESC, Rejected, Reply, ReplyDecoder, encode
from drivers.veeder_root.options import Options

DEFAULT_BAUD = 9600
BITS_PER_CHARACTER = 10
IDLE_CHARACTERS = 30
READ_BYTES = 4096
SHORT_REPLY_BYTES = 16 * 1024  # up to here the total time does not depend on what has come
TOTAL_BASE_S = 10.0
SLICE_S = 8.0  # a slow line's reply takes minutes: a turn gives way after this, so that its thread says it is alive

SILENT_HINT = (
    "check the security code, the line settings (baud rate, bits, parity), the port and the cable, "
    "and whether another host is using the console"
)
REJECTED_HINT = "check baud rate, data bits and parity, the cable, and that no second host talks on this line"

_FATAL = frozenset({"checksum", "layout", "too_long"})


@dataclass(frozen=True, slots=True)
class Ask:
    """One question: function, device (0 = all), format, whether the security code goes with it, and its data."""

    code: str
    device: int = 0
    display: bool = False
    coded: bool = True
    data: str = ""


@dataclass(slots=True)
class _Waiting:
    """A question that is out: when it was asked, when its reply last grew, when its last turn ended."""

    ask: Ask
    start: float
    last: float
    left: float = 0.0
    received: int = 0
    refused: str = ""


class Exchange:
    """Puts questions on a port, one at a time. ``rejected`` counts refused frames by reason since the process began."""

    def __init__(self, options: Options, serial: SerialSettings) -> None:
        self.rejected: Counter[str] = Counter()
        self._options = options
        self._byte_s = BITS_PER_CHARACTER / (serial.baudrate or DEFAULT_BAUD)
        self._idle_s = max(options.idle_s, IDLE_CHARACTERS * self._byte_s)
        self._decoder = ReplyDecoder(seven_bit=serial.data_bits == 7, end_of_message=options.end_of_message)
        self._dirty = True
        self._free_at: float | None = None
        self._waiting: _Waiting | None = None

    @property
    def line_byte_s(self) -> float:
        """How long one character takes on this line."""
        return self._byte_s

    @property
    def is_waiting(self) -> bool:
        """Whether a reply is still arriving: ``ask`` again goes on waiting for it."""
        return self._waiting is not None

    @property
    def free_at(self) -> float | None:
        """When the pause after the last question is over, on the clock of the port."""
        return self._free_at

    def reset(self) -> None:
        """The port is another one: abort and drain before the next question."""
        self._dirty = True
        self._free_at = None
        self._waiting = None

    def ask(self, port: Port, ask: Ask) -> Reply | None:
        """Send ``ask`` and return its intact answer; ``None``: it is still arriving, call again with the same question.

        Raises ``DeviceSilent`` when nothing came, ``FrameRejected`` when only unusable bytes came, ``PortLost``.
        """
        if self._waiting is None or self._waiting.ask != ask:
            self._send(port, ask)
            self._waiting = _Waiting(ask, port.monotonic(), port.monotonic())
        else:  # between turns nobody listened: that time is no silence
            self._waiting.last += port.monotonic() - self._waiting.left
        waiting, self._waiting = self._waiting, None
        reply = self._await(port, waiting)
        if reply is None:
            waiting.left = port.monotonic()
            self._waiting = waiting
            return None
        self._dirty = False
        self._free_at = port.monotonic() + self._options.pause_s
        return reply

    def _send(self, port: Port, ask: Ask) -> None:
        question = encode(
            ask.code,
            ask.device,
            display=ask.display,
            data=ask.data,
            security_code=self._options.security_code if ask.coded else "",
            terminator=self._options.terminator,
        )
        self._prepare(port)
        self._decoder.reset(f"i{ask.code}{ask.device:02d}")
        port.discard()
        self._dirty = True  # until the reply is complete, whatever happens
        port.write(question)

    def _prepare(self, port: Port) -> None:
        if self._free_at is not None:
            wait_s = self._free_at - port.monotonic()
            if wait_s > 0:
                port.pause(min(wait_s, self._options.pause_s))
        if self._dirty:
            if self._options.abort:
                port.write(ESC)
            port.pause(self._options.drain_s)

    def _await(self, port: Port, waiting: _Waiting) -> Reply | None:
        slice_until = port.monotonic() + SLICE_S
        first_until = waiting.start + self._options.first_byte_s
        while True:  # ends: every pass takes bytes (bounded by the total time) or reaches a deadline
            total_until = waiting.start + TOTAL_BASE_S + 2 * max(SHORT_REPLY_BYTES, waiting.received) * self._byte_s
            until = min(waiting.last + self._idle_s if self._decoder.partial else first_until, total_until)
            wait_s = min(until, slice_until) - port.monotonic()
            data = port.read(READ_BYTES, wait_s) if wait_s > 0 else b""
            if data:
                waiting.received += len(data)
                waiting.last = port.monotonic()
                events = self._decoder.feed(data)
            elif port.monotonic() < until and port.monotonic() >= slice_until:
                return None
            else:
                events = self._decoder.idle()
            for event in events:
                if isinstance(event, Reply):
                    return event
                waiting.refused = self._refuse(event)
            cut = not data and waiting.refused == "truncated"
            over = not data and port.monotonic() >= min(first_until, total_until)
            if waiting.refused in _FATAL or cut or over:
                raise self._failure(waiting.refused)

    def _refuse(self, event: Rejected) -> str:
        self.rejected[event.reason] += 1
        return event.reason

    def _failure(self, refused: str) -> DeviceSilent | FrameRejected:
        if refused:
            return FrameRejected(f"reply refused: {refused}", reason=refused, hint=REJECTED_HINT)
        return DeviceSilent("no answer", hint=SILENT_HINT)
