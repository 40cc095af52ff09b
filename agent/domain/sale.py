"""The sale: the fuel fact (never changed), its key, and its way from Payable to Cleared.

Times are integer Unix milliseconds in UTC. Knows no table, no message and no driver.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SaleKind(StrEnum):
    """NORMAL: the held sale confirmed by the totalizer. RECOVERED: the litres come from the totalizer alone."""

    NORMAL = "NORMAL"
    RECOVERED = "RECOVERED"


class SaleState(StrEnum):
    """Payable: on disk, unpaid. Locked: being paid, amounts fixed. Cleared: paid."""

    PAYABLE = "Payable"
    LOCKED = "Locked"
    CLEARED = "Cleared"


@dataclass(frozen=True, slots=True, order=True)
class Totalizer:
    """A meter's count with its epoch (rollovers and supervised meter changes); text form ``epoch:raw``."""

    epoch: int
    raw: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.raw}"

    @classmethod
    def parse(cls, text: str) -> Totalizer:
        """Read ``epoch:raw``; raises ValueError for anything else, leading zeros included."""
        epoch, _, raw = text.partition(":")
        value = cls(int(epoch), int(raw))
        if str(value) != text:
            raise ValueError(f"not a totalizer of the form epoch:raw: {text!r}")
        return value


@dataclass(frozen=True, slots=True)
class Sale:
    """One fuelling transaction as the pump counted it: no member, no discount, never changed.

    ``sub`` (1, 2, ...) only where start equals end; ``counter`` only for devices without totalizers.
    ``lifted_ms`` is ``None`` where no lift was seen. ``flags``: sorted words of ``agent.domain.booking``.
    ``rollback_offer`` and ``list_price_milli``: the offer that lowered the price at the pump before the lift, and the
    price it replaced; both or neither.
    """

    id: str
    fuelling_point: int
    nozzle: int
    grade: str
    tank: int
    kind: SaleKind
    volume_ml: int
    unit_price_milli: int
    amount_minor: int
    currency: str
    exponent: int
    totalizer_start: Totalizer | None
    totalizer_end: Totalizer | None
    sub: int | None
    counter: int | None
    lifted_ms: int | None
    ended_ms: int
    business_day: str
    attendant: str | None
    flags: tuple[str, ...] = ()
    rollback_offer: str | None = None
    list_price_milli: int | None = None
