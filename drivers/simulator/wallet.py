"""What members carry: a name in the configuration, and what a reader gets to see of it at an instant.

Knows no signature and no key: who simulates codes that are signed, or chips that sign, brings them.
"""

from __future__ import annotations

from typing import Protocol

from drivers.simulator.card import Card

CHIP = "chip:"
"""How the name of a card begins that is laid on a reader instead of being scanned."""


class Wallet(Protocol):
    """Turns the names of ``ForecourtConfig.cards`` into what is shown."""

    def text(self, card: str) -> str:
        """Return what a code reader sees now."""
        ...

    def chip(self, card: str) -> Card:
        """Return the chip of a card whose name begins with ``CHIP``; the same one every time, for it counts."""
        ...


class PlainWallet:
    """Names are what is printed on the cards; a chip has an id and nothing else."""

    def text(self, card: str) -> str:
        """See Wallet."""
        return card

    def chip(self, card: str) -> Card:
        """See Wallet."""
        return Card(bytes.fromhex(card.removeprefix(CHIP)))
