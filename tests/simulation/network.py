"""Between station and head office: a broker that loses, doubles, reorders and forgets; and head office as a process.

Messages, times and processes only; what the messages mean is decided by the real ``sync`` and ``headoffice``.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from agent.failpoints import SimulatedCrash
from tests.simulation.journal import EventLog
from tests.support.virtual_link import Broker, HeadOffice, Packet

OFFICE_RESTART_S = 5.0
MAX_SESSION = 1_000
"""Messages the broker keeps for an absent head office; more than a station ever has in flight."""


class SimBroker(Broker):
    """The broker of the scenarios, with sessions: it may forget what it acknowledged, and keeps what cannot go on."""

    def next_due_s(self) -> float | None:
        """When the next message arrives somewhere."""
        return min((packet.due_s for packet in self.waiting), default=None)

    def forget_session(self) -> int:
        """Everything acknowledged and not yet handed on is gone; returns how many messages that were."""
        gone = len(self.waiting)
        self.waiting.clear()
        self.lost += gone
        return gone

    def keep(self, packet: Packet, until_s: float) -> None:
        """Hold a message that its receiver cannot take now."""
        if len(self.waiting) < MAX_SESSION:
            self.waiting.append(Packet(until_s, packet.up, packet.name, packet.payload))


class Office:
    """Head office on its real database: may be away, dies at its failpoints and starts again."""

    def __init__(self, path: Path, station: str, log: EventLog) -> None:
        self._path = path
        self._station = station
        self._log = log
        self.process = HeadOffice(path, station)
        self.away_until_s = 0.0
        self.crashes: list[str] = []

    def take(self, now_s: float, packet: Packet, broker: SimBroker, wall_ms: int) -> None:
        """Handle one message that has arrived; an absent or dying head office leaves it with the broker, or loses it."""
        if now_s < self.away_until_s:
            broker.keep(packet, self.away_until_s)
            return
        try:
            answers = self.process.answer(packet, wall_ms)
        except SimulatedCrash as crash:
            self.die(now_s, str(crash))
            broker.keep(packet, self.away_until_s)  # never acknowledged to the broker, so it comes again
            return
        for name, payload in answers:
            broker.carry(now_s, name, payload, up=False)

    def die(self, now_s: float, why: str) -> None:
        """The process ends without a word; another one starts on the same file after a while."""
        self.crashes.append(why)
        self._log.note(round(now_s * 1_000), f"head office dies: {why}")
        self.process.close()
        self.process = HeadOffice(self._path, self._station)
        self.away_until_s = max(self.away_until_s, now_s + OFFICE_RESTART_S)

    def close(self) -> None:
        """End politely."""
        self.process.close()


def new_broker(seed: int) -> SimBroker:
    """A broker that is well; faults change its shares."""
    return SimBroker(Random(f"broker:{seed}"))
