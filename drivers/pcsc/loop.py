"""The loop over one PC/SC reader as a state machine: is it there, does a card lie on it, what does the card say. Pure.

Knows states and APDUs. Knows no library, no clock and no log; never shows an id or a message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from drivers.card import OK, UID, CardError, read_ndef
from drivers.readings import CardTap, DeviceStatus, Reading

UNAWARE = 0
STATE_UNKNOWN = 0x04
STATE_UNAVAILABLE = 0x08
STATE_PRESENT = 0x20
COUNTER_SHIFT = 16

PLUGGED = "\\\\?PnP?\\Notification"
"""The pseudo reader whose state changes when a reader comes or goes."""

LIST_EVERY_S = 30.0
"""Readers are listed again so often although nobody said that one came or went."""

LOOK_EVERY_S = 1.0
"""And so often while ours is missing."""

WAIT_S = 0.25
"""The longest wait of one step: the line's thread must see soon that the station is ending."""

FAILURES = 3
"""So many taps in a row that could not be read are a fault of the reader and no longer of the cards."""

MAX_UID_BYTES = 10

Exchange = Callable[[bytes], bytes]


@runtime_checkable
class Cards(Protocol):
    """What the loop needs of the PC/SC service. Every method raises ``PortLost`` when the service itself has gone."""

    def readers(self) -> Sequence[str]:
        """The names of the readers that are plugged in."""
        ...

    def changes(self, known: Mapping[str, int], wait_s: float) -> Mapping[str, int]:
        """Wait until a state differs from ``known``; returns those that do, nothing after ``wait_s``.

        A reader that has gone has ``STATE_UNKNOWN``. The upper 16 bits count cards laid down and taken away.
        """
        ...

    def card(self, reader: str) -> AbstractContextManager[Exchange]:
        """Connect to the card that lies on ``reader``. Connecting and exchanging raise ``CardError``."""
        ...


class Loop:
    """One reader, by a part of its name (letters of either case; empty where there is only one)."""

    def __init__(self, reader: str, part: str) -> None:
        self._reader = reader
        self._device = f"reader:{reader}"
        self._part = part
        self._name: str | None = None
        self._state = UNAWARE
        self._plugged = UNAWARE
        self._list_at_s: float | None = None  # None = at once
        self._online: bool | None = None
        self._was_online = False
        self._failures = 0
        self.counts: Counter[str] = Counter()
        """Taps that failed, by reason."""

    def forget(self) -> None:
        """Everything begins anew, as for a new connection to the service: a card that lies there is seen once more."""
        self._name = self._list_at_s = self._online = None
        self._state = self._plugged = UNAWARE
        self._failures = 0

    def step(self, cards: Cards, now_s: float) -> list[Reading]:
        """List where it is time, wait at most ``WAIT_S`` for a change, read a card that was laid down.

        Raises ``PortLost`` when the service has gone.
        """
        told = self._list(cards, now_s) if self._list_at_s is None or now_s >= self._list_at_s else []
        known = {PLUGGED: self._plugged}
        if self._name is not None:
            known[self._name] = self._state
        changed = cards.changes(known, WAIT_S)
        if PLUGGED in changed:
            self._plugged = changed[PLUGGED]
            self._list_at_s = None
        if self._name is not None and self._name in changed:
            told += self._moved(cards, self._name, changed[self._name])
        return told

    def _list(self, cards: Cards, now_s: float) -> list[Reading]:
        names = cards.readers()
        ours = [name for name in names if self._part.casefold() in name.casefold()]
        if len(ours) != 1:
            self._name = None
            self._list_at_s = now_s + LOOK_EVERY_S
            return self._missing(names, ours)
        self._list_at_s = now_s + LIST_EVERY_S
        if ours[0] == self._name:
            return []
        self._name, self._state = ours[0], UNAWARE
        self._failures = 0
        return self._well()

    def _missing(self, names: Sequence[str], ours: Sequence[str]) -> list[Reading]:
        there = ", ".join(repr(name) for name in names) or "none"
        if ours:
            reason = f"{len(ours)} PC/SC readers have this name"
            return self._trouble(reason, f"write a longer part of the name after pcsc: in port; readers there: {there}")
        wanted = f" {self._part!r}" if self._part else ""
        return self._trouble(f"no PC/SC reader{wanted}", f"check the reader's cable; readers there: {there}")

    def _moved(self, cards: Cards, name: str, state: int) -> list[Reading]:
        before, self._state = self._state, state
        if state & (STATE_UNKNOWN | STATE_UNAVAILABLE):
            self._name = self._list_at_s = None
            return []
        is_new = not before & STATE_PRESENT or before >> COUNTER_SHIFT != state >> COUNTER_SHIFT
        return self._tapped(cards, name) if state & STATE_PRESENT and is_new else []

    def _tapped(self, cards: Cards, name: str) -> list[Reading]:
        try:
            with cards.card(name) as exchange:
                tap = CardTap(self._reader, _uid(exchange(UID)), _ndef(exchange))
        except CardError as failure:
            self.counts[f"taps_failed.{failure.reason}"] += 1
            self._failures += 1
            if self._failures < FAILURES:
                return []
            hint = "try another card; if that does not help, unplug the reader and plug it in again"
            return self._trouble(f"{FAILURES} cards in a row could not be read", hint)
        self._failures = 0
        return [*self._well(), tap]

    def _well(self) -> list[Reading]:
        if self._online:
            return []
        status = DeviceStatus(self._device, online=True, gap=self._was_online)
        self._online = self._was_online = True
        return [status]

    def _trouble(self, reason: str, hint: str) -> list[Reading]:
        if self._online is False:
            return []
        self._online = False
        return [DeviceStatus(self._device, online=False, gap=True, reason=reason, hint=hint)]


def _uid(answer: bytes) -> bytes | None:
    """The id in a reader's answer, ``None`` where it cannot tell."""
    uid = answer[:-2]
    return uid if answer[-2:] == OK and 0 < len(uid) <= MAX_UID_BYTES else None


def _ndef(exchange: Exchange) -> bytes | None:
    dialogue = read_ndef()
    apdu = next(dialogue)
    while True:
        try:
            apdu = dialogue.send(exchange(apdu))
        except StopIteration as end:
            message: bytes | None = end.value
            return message
