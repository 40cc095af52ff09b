"""A card reader on a serial line and the people who lay cards on it, one after another, each until it was read.

Works on bytes and a clock handed in; knows no port.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from drivers.simulator.card import Card
from drivers.simulator.customers import Scan
from drivers.simulator.pn532_chip import Chip

RELEASE = 0x52
PATIENCE_MS = 30_000
"""Simulated time after which somebody takes a card away that nobody reads."""

MAX_WAITING = 100
"""People wait one behind the other; the bound only guards against a mistake here."""


@dataclass(frozen=True, slots=True)
class _Laid:
    card: Card
    scan: Scan
    until_ms: int
    counter: int


class TapPlace:
    """One reader. ``on_read`` is told each scan whose card was really read."""

    def __init__(self, on_read: Callable[[Scan], None], patience: float = 1.0) -> None:
        self.chip = Chip()
        self._on_read = on_read
        self._patience_ms = round(PATIENCE_MS * patience)
        self._waiting: deque[tuple[Card, Scan]] = deque(maxlen=MAX_WAITING)
        self._laid: _Laid | None = None

    def lay(self, card: Card, scan: Scan) -> None:
        """Somebody comes with a card."""
        self._waiting.append((card, scan))

    def step(self, now_ms: int) -> None:
        """Who has waited too long goes, who is next lays the card down."""
        if self._laid is not None and now_ms >= self._laid.until_ms:
            self._take()
        if self._laid is None and self._waiting:
            card, scan = self._waiting.popleft()
            self._laid = _Laid(card, scan, now_ms + self._patience_ms, card.counter)
            self.chip.card = card

    def receive(self, data: bytes) -> bytes:
        """What comes back for what was written; a card is released once its message was read."""
        answer = self.chip.receive(data)
        laid = self._laid
        was_read = laid is not None and (laid.card.counter > laid.counter or laid.card.message_at is None)
        if laid is not None and was_read and self.chip.asked and self.chip.asked[-1][0] == RELEASE:
            self._on_read(laid.scan)
            self._take()
        self.chip.asked.clear()
        return answer

    def _take(self) -> None:
        self._laid = self.chip.card = None
