"""One question, and whatever comes until the wire is silent: for devices whose answers do not say where they end.

Knows the port's clock. Knows no frame: what the collected bytes hold, the protocol says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from drivers.asked import Heard
from drivers.errors import FrameRejected
from drivers.port import Port
from drivers.turns import Pace

READ_BYTES = 512
MAX_ANSWER_BYTES = 4096  # more than the longest answer of any of them: a wire that babbles costs one turn
MAX_ANSWER_S = 8.0  # the same in time: the thread of the line has a watchdog

F = TypeVar("F")


class Collecting(Generic[F]):
    """The wire of one line. ``read`` turns collected bytes into frames; ``FrameRejected`` when they hold none.

    Our own question at the beginning of what came (an adapter that echoes) is taken off before.
    """

    def __init__(self, read: Callable[[bytes], Sequence[F]], pace: Pace) -> None:
        self._read = read
        self._pace = pace
        self._character_s = pace.bits / pace.baudrate
        self._busy_until: float | None = None
        self._rejected: dict[str, int] = {}

    def take_rejected(self) -> dict[str, int]:
        """What was dropped since the last call, by reason."""
        taken, self._rejected = self._rejected, {}
        return taken

    def ask(self, port: Port, raw: bytes, wanted: Callable[[F], bool] = lambda _frame: True) -> F | Heard:
        """Send ``raw`` and return the last ``wanted`` frame of what came: an earlier one answers an older question.

        Bytes that came while nobody was asked are noise, and nothing is asked: the answer to this question could not be
        told from another late one.
        """
        if not self._is_quiet(port):
            return Heard.NOISE
        port.write(raw)
        window_ends_s = port.monotonic() + len(raw) * self._character_s + self._pace.window_s
        ends_s = port.monotonic() + MAX_ANSWER_S
        data, until_s, reason = b"", window_ends_s, ""
        while len(data) < MAX_ANSWER_BYTES:
            came = port.read(READ_BYTES, max(0.0, min(until_s, ends_s) - port.monotonic()))
            now = port.monotonic()
            if came:
                data += came
                until_s = now + self._pace.gap_s
                continue
            if not data or now >= ends_s:
                break
            frame, reason = self._frame(data, raw, wanted)
            if frame is not None:
                self._busy_until = now
                return frame
            if now >= window_ends_s:
                break
            until_s = window_ends_s  # the rest may only be slow
        self._busy_until = port.monotonic()
        return self._failed(data.removeprefix(raw), reason)

    def _is_quiet(self, port: Port) -> bool:
        if self._busy_until is not None:
            wait_s = self._busy_until + self._pace.pause_s - port.monotonic()
            if wait_s > 0:
                port.pause(wait_s)
        if port.discard():
            self._busy_until = port.monotonic()
            self._count("late")
            return False
        return True

    def _frame(self, data: bytes, raw: bytes, wanted: Callable[[F], bool]) -> tuple[F | None, str]:
        """The frame, or ``None`` and why there is none."""
        try:
            frames = self._read(data.removeprefix(raw))
        except FrameRejected as error:
            return None, error.reason
        found = [frame for frame in frames if wanted(frame)]
        return (found[-1], "") if found else (None, "unexpected")

    def _failed(self, data: bytes, reason: str) -> Heard:
        if not data:
            return Heard.NOTHING
        self._count(reason or "too_long")
        return Heard.NOISE

    def _count(self, reason: str) -> None:
        self._rejected[reason] = self._rejected.get(reason, 0) + 1
