"""A lowered price at one fuelling point as a frozen record: on disk from before its order until the list price is back.

Knows shapes and their text form. Knows no rule set and no reason; a member is an opaque id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LoweredPrice:
    """The price of one nozzle: by which offer, in the place of which list price, up to which volume (``None``: any).

    Prices in 1/1000 of the major unit per litre.
    """

    nozzle: int
    offer: str
    unit_price_milli: int
    list_price_milli: int
    preset_ml: int | None = None

    def __str__(self) -> str:
        limit = "" if self.preset_ml is None else f" up to {self.preset_ml} ml"
        return f"nozzle {self.nozzle} {self.list_price_milli} -> {self.unit_price_milli} by {self.offer}{limit}"


@dataclass(frozen=True, slots=True)
class Rollback:
    """Lowered prices for the member who waits at a point. ``id``: of the scan that waits.

    ``until_mono_ms``: nobody has lifted by then. ``sent``: an order to set them may have reached the pump; ``taken``:
    the pump has confirmed it. ``serving``: the open fuelling was let go under them. ``over``: why no further fuelling
    may be, empty while one may; the list price must come back.
    """

    id: str
    member: str
    prices: tuple[LoweredPrice, ...]
    until_mono_ms: int
    sent: bool = False
    taken: bool = False
    serving: bool = False
    over: str = ""

    @property
    def stands(self) -> bool:
        """Whether the pump should have the lowered prices now."""
        return self.sent and (self.serving or not self.over)

    def of(self, nozzle: int | None) -> LoweredPrice | None:
        """The lowered price of ``nozzle``."""
        return next((price for price in self.prices if price.nozzle == nozzle), None)

    def __str__(self) -> str:
        return f"member {self.member}: " + "; ".join(str(price) for price in self.prices)


@dataclass(frozen=True, slots=True)
class SoldLower:
    """A sale was made at a lowered price: by which offer, to whom it was promised, and the price it replaced."""

    offer: str
    member: str
    list_price_milli: int


def lowered_out(rollback: Rollback | None) -> dict[str, Any] | None:
    """Return the record as a JSON-able dict."""
    if rollback is None:
        return None
    prices = [{name: getattr(price, name) for name in LoweredPrice.__slots__} for price in rollback.prices]
    return {name: getattr(rollback, name) for name in Rollback.__slots__} | {"prices": prices}


def lowered_in(stored: Mapping[str, Any] | None) -> Rollback | None:
    """Return what ``lowered_out`` gave. Raises KeyError or TypeError for a damaged dict."""
    if stored is None:
        return None
    return Rollback(**{**stored, "prices": tuple(LoweredPrice(**price) for price in stored["prices"])})
