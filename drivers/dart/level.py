"""What one DART pump has told of itself, and what that means in the agent's words and units.

Knows no wire and no clock. Levels only: the domain finds out what happened by comparing readings.
"""

from __future__ import annotations

from drivers.config import PointConfig
from drivers.dart.blocks import (
    TOTAL_MODULUS,
    Alarm,
    Filled,
    Identity,
    NozzlePrice,
    Parameters,
    Prices,
    State,
    Status,
    Totals,
    Transaction,
)
from drivers.errors import WiringError
from drivers.readings import FuellingPointReading, HeldSale, PointState, TotalizerReading

ALARMS = {
    1: "CPU reset",
    3: "RAM error",
    4: "program memory error",
    6: "pulser error",
    7: "pulser current error",
    9: "emergency stop",
    0x0A: "power failure",
    0x0B: "pressure lost",
    0x0C: "blend ratio error",
    0x0D: "low leak",
    0x0E: "high leak",
    0x0F: "hose leak",
    **{code: f"vapour recovery alarm {code:02X}" for code in (0x10, 0x11, 0x12, 0x13, 0x19, 0x20)},
}
RESTART_ALARMS = (1, 0x0A)
DECIMALS_ALARM = "decimals differ from configuration"
FUELLING_STATES = (State.AUTHORIZED, State.FILLING, State.MAX_REACHED, State.SUSPENDED)
WORKING_STATES = (State.RESET, State.AUTHORIZED, State.FILLING)
MAX_ALARMS = 16  # more different words than a pump has at once; a babbling one must not fill the memory

_STATES: dict[State, tuple[PointState, PointState]] = {  # (nozzle in or unknown, nozzle out)
    State.NOT_PROGRAMMED: (PointState.INOPERATIVE, PointState.INOPERATIVE),
    State.RESET: (PointState.IDLE, PointState.CALLING),
    State.AUTHORIZED: (PointState.AUTHORISED, PointState.STARTED),
    State.FILLING: (PointState.FUELLING, PointState.FUELLING),
    State.FILLING_COMPLETED: (PointState.IDLE, PointState.SUSPENDED_FUELLING),
    State.MAX_REACHED: (PointState.SUSPENDED_FUELLING, PointState.SUSPENDED_FUELLING),
    State.SWITCHED_OFF: (PointState.CLOSED, PointState.CLOSED),
    State.SUSPENDED: (PointState.SUSPENDED_STARTED, PointState.SUSPENDED_STARTED),
}


class Units:
    """Wire digits to the agent's units and back, exact integers both ways.

    Raises ``WiringError`` for decimals that cannot be exact: volume and price have at most 3 (millilitres,
    thousandths), the amount at most those of the currency.
    """

    def __init__(self, config: PointConfig) -> None:
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
        self.unit_ml: int = 10 ** (3 - config.volume_decimals)
        self.unit_minor: int = 10 ** (config.currency_exponent - config.amount_decimals)
        self.unit_milli: int = 10 ** (3 - config.unit_price_decimals)

    def price_digits(self, milli: int) -> int | None:
        """``milli`` as the digits of a price, ``None`` where the pump cannot show it exactly."""
        digits, rest = divmod(milli, self.unit_milli)
        return digits if rest == 0 and 0 < digits < 10**6 else None


class Level:
    """The last thing the pump said of everything, in wire digits; ``None`` = not told yet.

    ``*_seen`` count what arrived, so that an order can tell an answer from an old value. ``accounted``: the domain has
    said that what the pump holds is accounted for. ``fuellings`` counts fuellings seen, for the token.
    """

    def __init__(self, config: PointConfig) -> None:
        self.config = config
        self.units = Units(config)
        self.state: State | None = None
        self.nozzle: int | None = None
        self.nozzle_out: bool | None = None
        self.price: int | None = None
        self.display: Filled | None = None
        self.prices: tuple[int, ...] | None = None
        self.totals: dict[int, Totals] = {}
        self.restarts = 0
        self.alarms: list[str] = []
        self.identity = ""
        self.accounted = False
        self.fuellings = 0
        self.token_base = ""
        self.status_seen = self.filled_seen = self.price_seen = self.authorised_seen = 0
        self._fuelling_nozzle: int | None = None
        self._fuelling_price: int | None = None
        self._restart_told = False

    def apply(self, transaction: Transaction) -> None:
        """Take one transaction, in the order it stood in its block."""
        match transaction:
            case Status(state):
                self._status(state)
            case Filled():
                self._filled(transaction)
            case NozzlePrice(price, nozzle, nozzle_out):
                self.price_seen += 1
                self.price, self.nozzle, self.nozzle_out = price, nozzle, nozzle_out
                self._remember_nozzle()
            case Alarm(code):
                self._alarm(ALARMS.get(code, f"alarm {code}"))
                if code in RESTART_ALARMS:
                    self._restart_sign()
            case Parameters(volume, amount, price):
                config = self.config
                if (volume, amount, price) != (
                    config.volume_decimals,
                    config.amount_decimals,
                    config.unit_price_decimals,
                ):
                    self._alarm(DECIMALS_ALARM)
            case Identity(maker, kind, program):
                self.identity = f"{maker} {kind} {program}"
            case Totals(counter):
                self.totals[counter] = transaction
            case Prices(prices):
                self.prices = prices

    def gap(self) -> None:
        """It was out of sight: its state is old; where others can start it, so is the nozzle of the last fuelling."""
        self.state = None
        self.accounted = False
        if not self.config.sends_commands:
            self._fuelling_nozzle = self._fuelling_price = None

    def renumbered(self) -> None:
        """Its block numbers began again: the pump has restarted."""
        self.restarts += 1
        self._restart_told = True
        self.accounted = False

    def point_state(self) -> PointState:
        """The state in IFSF words. Raises ``AssertionError`` before the first DC1: ask ``state`` first."""
        assert self.state is not None
        if self.state is State.SUSPENDED and self.display is not None and self.display.volume > 0:
            return PointState.SUSPENDED_FUELLING
        if self.state is State.FILLING_COMPLETED and self.nozzle_out and self.accounted:
            return PointState.CALLING
        return _STATES[self.state][1 if self.nozzle_out else 0]

    def reading(self) -> FuellingPointReading:
        """The level as the agent reads it; only after the first DC1."""
        display, units = self.display, self.units
        return FuellingPointReading(
            fuelling_point=self.config.fuelling_point,
            state=self.point_state(),
            nozzle=self.nozzle,
            nozzle_out=self.nozzle_out,
            volume_ml=display.volume * units.unit_ml if display else None,
            amount_minor=display.amount * units.unit_minor if display else None,
            unit_price_milli=self.price * units.unit_milli if self.price is not None and self.nozzle else None,
            restarts=self.restarts,
            needs_prices=self.state is State.NOT_PROGRAMMED or (self.price == 0 and self.nozzle is not None),
            device_alarms=tuple(self.alarms),
            identity=self.identity,
        )

    def token(self) -> str:
        """Names what the pump holds now: another fuelling or another display gives another token."""
        shown = f"{self.display.volume}.{self.display.amount}" if self.display else "none"
        return f"{self.token_base}-{self.config.fuelling_point}-{self.fuellings}-{shown}"

    def held(self) -> HeldSale:
        """What the display holds; after a RESET that is zero."""
        nozzle, price = self._fuelling_nozzle, self._fuelling_price
        if nozzle is None and (self.nozzle_out is False or len(self.config.nozzles) == 1):
            # A nozzle that is out may be the next customer's, so with several it proves nothing about the last one.
            nozzle, price = self.nozzle, self.price
        display, units = self.display, self.units
        return HeldSale(
            fuelling_point=self.config.fuelling_point,
            nozzle=nozzle,
            volume_ml=display.volume * units.unit_ml if display else None,
            amount_minor=display.amount * units.unit_minor if display else None,
            unit_price_milli=price * units.unit_milli if price is not None and nozzle is not None else None,
            token=self.token(),
        )

    def totalizer(self, nozzle: int, total: Totals, amount: int | None) -> TotalizerReading:
        """One total as the agent reads it. ``amount``: digits of the amount total."""
        return TotalizerReading(
            fuelling_point=self.config.fuelling_point,
            nozzle=nozzle,
            raw=total.total,
            unit_ml=self.units.unit_ml,
            modulus=TOTAL_MODULUS,
            amount_raw=None if amount is None else amount * self.units.unit_minor,
            amount_modulus=None if amount is None else TOTAL_MODULUS * self.units.unit_minor,
        )

    def _status(self, state: State) -> None:
        before, self.state = self.state, state
        self.status_seen += 1
        if state in (State.AUTHORIZED, State.FILLING):
            self.authorised_seen += 1
        if state is State.NOT_PROGRAMMED:
            if before not in (None, State.NOT_PROGRAMMED):
                self._restart_sign()
        else:
            self._restart_told = False
        if state is State.RESET:
            self.display = Filled(0, 0)
            self._fuelling_nozzle = self._fuelling_price = None
        if state in WORKING_STATES and before is not state:
            self.alarms = [word for word in self.alarms if word == DECIMALS_ALARM]
        if state in FUELLING_STATES:
            if before not in FUELLING_STATES:
                self._fuelling_began()
            self._remember_nozzle()

    def _filled(self, display: Filled) -> None:
        before, self.display = self.display, display
        self.filled_seen += 1
        if self.state is State.FILLING_COMPLETED and before not in (None, display) and display.volume > 0:
            # Values moved without a fuelling seen (stand-alone head, polls missed): it is another fuelling's display.
            self.accounted = False

    def _fuelling_began(self) -> None:
        self.fuellings += 1
        self.accounted = False
        self._fuelling_nozzle = self._fuelling_price = None

    def _remember_nozzle(self) -> None:
        if self.state in FUELLING_STATES and self.nozzle is not None:
            self._fuelling_nozzle, self._fuelling_price = self.nozzle, self.price

    def _alarm(self, word: str) -> None:
        if word not in self.alarms and len(self.alarms) < MAX_ALARMS:
            self.alarms.append(word)

    def _restart_sign(self) -> None:
        """A restart shows by several signs at once (new numbers, alarm, state 0): count it once."""
        if not self._restart_told:
            self.restarts += 1
        self._restart_told = True
        self.accounted = False
