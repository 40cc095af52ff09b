"""What one Two-Wire pump has told of itself, and what that means in the agent's words and units.

Knows no wire; times come in as arguments. Levels only: the domain finds out what happened by comparing readings.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from drivers.config import PointConfig
from drivers.errors import WiringError
from drivers.gilbarco.codec import GradeTotals, Money, Nozzle, State, Status, Totals, Transaction
from drivers.gilbarco.options import GilbarcoOptions
from drivers.readings import FuellingPointReading, HeldSale, PointState, TotalizerReading

TOTAL_MODULUS = 10**8
UNEQUAL_READS = 5
UNEQUAL_ALARM = "readings disagree"
ERROR_ALARM = "pump error"
DELIVERING = (State.AUTHORISED, State.BUSY)
ENDED = (State.PEOT, State.FEOT, State.STOP)
ERRORS = (State.ERROR, State.ERROR_1)

T = TypeVar("T")


class Units:
    """Wire digits to the agent's units and back, exact integers both ways.

    Raises ``WiringError`` for decimals or factors that cannot be exact.
    """

    def __init__(self, config: PointConfig, options: GilbarcoOptions) -> None:
        for name, decimals, most in (
            ("volume_decimals", config.volume_decimals, 3),
            ("unit_price_decimals", config.unit_price_decimals, 3),
            ("amount_decimals", config.amount_decimals, config.currency_exponent),
        ):
            if not 0 <= decimals <= most:
                raise WiringError(
                    f"point {config.fuelling_point}: {name} {decimals} is not allowed",
                    hint=f"write a number from 0 to {most}, as the pump's display shows it",
                )
        self.sale_ml: int = 10 ** (3 - config.volume_decimals)
        self.total_ml: int = 10 ** (3 - options.total_volume_decimals)
        self.preset_ml: int = 10 ** (3 - options.preset_volume_decimals)
        self.minor: int = 10 ** (config.currency_exponent - config.amount_decimals) * options.money_factor
        self.milli: int = 10 ** (3 - config.unit_price_decimals) * options.price_factor
        self._major_minor: int = 10**config.currency_exponent

    def price_digits(self, milli: int) -> int | None:
        """``milli`` as the four digits of a price, ``None`` where the pump cannot show it exactly."""
        digits, rest = divmod(milli, self.milli)
        return digits if rest == 0 and 0 < digits < 10**4 else None

    def least_volume_ml(self, money: int, price: int) -> int:
        """What has flowed at least when ``money`` digits show: heads round, so the last digit may be one too many."""
        amount_minor = max(0, money - 1) * self.minor
        return amount_minor * 10**6 // (price * self.milli * self._major_minor)


class Twice(Generic[T]):
    """Reads of one thing until two are equal: the check of a block misses one error in sixteen and every exchange."""

    def __init__(self) -> None:
        self.reads: list[T] = []

    def take(self, value: T) -> bool:
        """Take one more read; returns whether it equals an earlier one."""
        equal = value in self.reads
        self.reads.append(value)
        return equal


class Level:
    """The last thing the pump said of everything, in wire digits; ``None`` = not told yet.

    ``sale``: the transaction that two equal reads told. ``accounted``: the domain has said that it is accounted for.
    ``statuses`` counts those told, ``delivering_seen`` those that show an authorisation, ``fuellings`` for the token,
    ``unequal_reads`` how often reads never agreed. ``sale_wanted``: the transaction is to be read for the display.
    ``preset_left``: a limit was sent that no delivery has used up. ``is_doubtful``: an authorisation may still show.
    """

    def __init__(self, config: PointConfig, options: GilbarcoOptions) -> None:
        self.config = config
        self.options = options
        self.units = Units(config, options)
        self.state: State | None = None
        self.state_since_s = 0.0
        self.statuses = 0
        self.nozzle: int | None = None
        self.nozzle_asked = 0
        self.totals: Totals | None = None
        self.totals_at_s: float | None = None
        self.sale: Transaction | None = None
        self.sale_wanted = True
        self.accounted = False
        self.fuellings = 0
        self.delivering_seen = 0
        self.restarts = 0
        self.token_base = ""
        self.preset_left = False
        self.is_doubtful = False
        self.still = Still()
        self.unequal = False
        self.unequal_reads = 0
        self._is_out: bool | None = None
        self._money: int | None = None
        self._money_before: int | None = None

    # What the pump tells.

    def status(self, status: Status, now_s: float) -> None:
        """Take a status that is certain."""
        before, self.state = self.state, status.state
        self.statuses += 1
        if status.state in DELIVERING:
            self.delivering_seen += 1
            self.is_doubtful = False
        if before is status.state:
            return
        self.state_since_s = now_s
        if status.state in DELIVERING:
            self._delivers(status.state, before)
        elif before in DELIVERING:
            self.sale_wanted = True
            self.still = Still()
        self._follow_nozzle(status.state, before)

    def running_money(self, answer: Money) -> None:
        """Running money has neither frame nor check: a value counts once a later one is not below it."""
        before, self._money_before = self._money_before, answer.money
        if before is not None and (self._money or 0) <= before <= answer.money:
            self._money = before

    def nozzle_told(self, answer: Nozzle) -> None:
        """Which nozzle is out; what it says of nozzles that hang is the last customer's."""
        if answer.is_out and answer.nozzle in self.config.nozzles:
            self.nozzle = answer.nozzle

    def totals_told(self, totals: Totals, now_s: float) -> None:
        """Take totals that two equal reads told: they also are the pump's prices, and prices lost mean a restart."""
        had_prices = self.totals is not None and not self._lacks_prices()
        self.totals, self.totals_at_s = totals, now_s
        self.unequal = False
        if had_prices and self._lacks_prices():
            self.restarted()

    def sale_told(self, sale: Transaction | None) -> None:
        """Take a transaction that two equal reads told; ``None``: it could not be read."""
        before, self.sale = self.sale, sale
        self.sale_wanted = False
        if sale is not None:
            self.unequal = False
        if before is not None and sale is not None and sale != before:
            self.accounted = False  # values moved, whether a fuelling was seen or not

    def disagree(self) -> None:
        """So many reads and no two equal: said until something is read well again."""
        self.unequal = True
        self.unequal_reads += 1

    def restarted(self) -> None:
        """The pump has lost its prices: count it, whatever it held may be gone."""
        self.restarts += 1
        self.accounted = False
        self.sale_wanted = True

    def gap(self) -> None:
        """It was out of sight: its state is old, and somebody else may have sold."""
        self.state = None
        self.accounted = False
        self.sale_wanted = True
        self.nozzle = self._is_out = self._money = self._money_before = None
        self.totals_at_s = None
        self.still = Still()

    # What it means.

    @property
    def is_ended(self) -> bool:
        """Whether the pump shows an end of which the totals have not stood still yet."""
        return self.state in ENDED and not self.still.is_still

    def point_state(self) -> PointState:
        """The state in IFSF words. Raises ``AssertionError`` before the first status: ask ``state`` first."""
        state = self.state
        assert state is not None
        if state in ENDED:
            if not self.still.is_still:
                return PointState.SUSPENDED_FUELLING
            # A stopped pump waits for its nozzle to be hung: no call that follows may be answered by itself.
            return PointState.CLOSED if state is State.STOP else PointState.IDLE
        if state is State.AUTHORISED:
            return PointState.STARTED if self._is_out else PointState.AUTHORISED
        return {
            State.OFF: PointState.IDLE,
            State.CALL: PointState.CALLING,
            State.BUSY: PointState.FUELLING,
        }.get(state, PointState.INOPERATIVE)

    def reading(self) -> FuellingPointReading | None:
        """The level as the agent reads it; ``None`` before the first status."""
        if self.state is None:
            return None
        volume_ml, amount_minor = self._display()
        price = self._price(self.nozzle)
        return FuellingPointReading(
            fuelling_point=self.config.fuelling_point,
            state=self.point_state(),
            nozzle=self.nozzle,
            nozzle_out=self._is_out,
            volume_ml=volume_ml,
            amount_minor=amount_minor,
            unit_price_milli=price * self.units.milli if price is not None else None,
            restarts=self.restarts,
            needs_prices=self._lacks_prices(),
            device_alarms=self._alarms(),
        )

    def token(self) -> str:
        """Names what the pump holds now: another fuelling or another transaction gives another token."""
        sale = self.sale
        told = "none" if sale is None else f"{sale.grade}.{sale.volume}.{sale.money}.{sale.unit_price}"
        return f"{self.token_base}-{self.config.fuelling_point}-{self.fuellings}-{told}"

    def held(self) -> HeldSale | None:
        """What the pump keeps of its last sale; ``None`` where it was not read."""
        sale, units = self.sale, self.units
        if sale is None:
            return None
        return HeldSale(
            fuelling_point=self.config.fuelling_point,
            nozzle=sale.grade if sale.volume else None,
            volume_ml=sale.volume * units.sale_ml,
            amount_minor=sale.money * units.minor,
            unit_price_milli=sale.unit_price * units.milli if sale.unit_price else None,
            token=self.token(),
        )

    def totalizer(self, nozzle: int, totals: Totals) -> TotalizerReading | None:
        """One grade's total as the agent reads it (nozzle = grade); ``None`` where the pump has no such grade."""
        found = totals.of(nozzle)
        if found is None:
            return None
        return TotalizerReading(
            fuelling_point=self.config.fuelling_point,
            nozzle=nozzle,
            raw=found.volume_total,
            unit_ml=self.units.total_ml,
            modulus=TOTAL_MODULUS,
            amount_raw=found.money_total * self.units.minor,
            amount_modulus=TOTAL_MODULUS * self.units.minor,
        )

    def price_of(self, found: GradeTotals) -> int:
        """The price (digits) of a grade at the configured level."""
        return found.price_level1 if self.options.price_level == 1 else found.price_level2

    def _price(self, nozzle: int | None) -> int | None:
        found = None if self.totals is None or nozzle is None else self.totals.of(nozzle)
        return None if found is None else self.price_of(found)

    def _lacks_prices(self) -> bool:
        return any(self._price(nozzle) == 0 for nozzle in self.config.nozzles)

    def _display(self) -> tuple[int | None, int | None]:
        """Volume and amount: of the delivery while one runs, else of the sale that the pump keeps."""
        if self.state in DELIVERING or (self.state in ENDED and self.sale_wanted):
            price = self._price(self.nozzle)
            if self._money is None:
                return None, None
            known = self._money == 0 or bool(price)
            volume_ml = self.units.least_volume_ml(self._money, price or 1) if known else None
            return volume_ml, self._money * self.units.minor
        if self.sale is None or self.sale_wanted:
            return None, None
        return self.sale.volume * self.units.sale_ml, self.sale.money * self.units.minor

    def _alarms(self) -> tuple[str, ...]:
        words = (ERROR_ALARM if self.state in ERRORS else "", UNEQUAL_ALARM if self.unequal else "")
        return tuple(word for word in words if word)

    def _delivers(self, state: State, before: State | None) -> None:
        if before not in DELIVERING:
            self.fuellings += 1
            self.accounted = False
            self.preset_left = False
            self._money = self._money_before = 0 if state is State.AUTHORISED else None

    def _follow_nozzle(self, state: State, before: State | None) -> None:
        """CALL and BUSY need a nozzle out, OFF one that hangs; the other states do not tell."""
        if state is State.CALL:
            if before is not State.CALL:
                self.nozzle, self.nozzle_asked = None, 0
            self._is_out = True
        elif state is State.OFF:
            self._is_out = False
            self.nozzle = None
        elif state is State.BUSY:
            self._is_out = True
        elif state in ENDED:
            self._is_out = None
        if self._is_out and len(self.config.nozzles) == 1:
            self.nozzle = self.config.nozzles[0]


class Still:
    """Whether totals have stopped moving: two equal readings some time apart, or none to be had."""

    def __init__(self) -> None:
        self.is_still = False
        self._totals: Totals | None = None
        self._since_s = 0.0
        self._failures = 0

    def take(self, totals: Totals | None, now_s: float, still_s: float) -> None:
        """Take a reading, ``None`` where the pump did not tell: after so many failures the domain must find out."""
        if totals is None:
            self._failures += 1
            self.is_still = self.is_still or self._failures >= UNEQUAL_READS
        elif totals != self._totals:
            self._totals, self._since_s = totals, now_s
        elif now_s - self._since_s >= still_s:
            self.is_still = True
