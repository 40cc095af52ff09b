"""The computer of one pump: states, display, prices, presets and counters, without a word about bytes on a wire.

Volumes are units of 10 ml (what display and counters resolve), amounts minor units, prices 1/1000 per litre. It is
moved
by people (``lift``, ``hang_up``), by fuel (``deliver``) and by the master (``command``, ``set_prices``, ...).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from drivers.simulator.config import PumpConfig
from drivers.simulator.faults import ROLLOVER_MARGIN_UNITS, SHAVED_UNITS, SLOW_STATE_S, FaultBoard

TOTAL_MODULUS = 10**10
UNIT_ML = 10
# what waits to be told is a set of kinds, so it is short; the bound only guards against a mistake here
MAX_PENDING = 64


class State(IntEnum):
    """DC1 values, DART sheet section 4."""

    NOT_PROGRAMMED = 0
    RESET = 1
    AUTHORIZED = 2
    FILLING = 4
    COMPLETED = 5
    MAXIMUM = 6
    SWITCHED_OFF = 7
    SUSPENDED = 8


@dataclass(frozen=True, slots=True)
class Sale:
    """One finished fuelling as it really was (``volume_ml`` is what flowed, also where the meter counted less)."""

    point: int
    nozzle: int
    volume_ml: int
    amount_minor: int
    unit_price_milli: int
    totalizer_end: int
    ended_by: str


def amount_minor(units: int, unit_price_milli: int) -> int:
    """Units of 10 ml times 1/1000 per litre, in minor units (two decimals), half up: 12.34 L at 1.175 is 14.50."""
    return (units * unit_price_milli + 500) // 1000


class PumpHead:
    """One fuelling point. ``pending`` lists what it has to tell the master, oldest first (rendered when it is told)."""

    def __init__(self, config: PumpConfig, totals: dict[int, int], board: FaultBoard) -> None:
        self.number = config.number
        self.nozzles = tuple(nozzle.number for nozzle in config.nozzles)
        self.prices = {n.number: n.unit_price_milli if config.programmed else 0 for n in config.nozzles}
        self.state = State.COMPLETED if config.programmed else State.NOT_PROGRAMMED
        self.nozzle = 1
        self.nozzle_out = False
        self.allowed = frozenset(self.nozzles)
        self.volume = 0
        self.amount = 0
        self.totals = dict(totals)
        self.amount_totals = {n: amount_minor(total, self.prices[n]) % TOTAL_MODULUS for n, total in totals.items()}
        self.pending: list[str] = []
        self.restarts = 0
        self.contacted = False
        self.silent_once = False
        self.on_sale: Callable[[Sale], None] = lambda _sale: None
        self.on_zero_lift: Callable[[int, int], None] = lambda _point, _nozzle: None
        self.on_meter: Callable[[int, int, int, int], None] = lambda _point, _nozzle, _old, _new: None
        self._board = board
        self._now_ms = 0
        self._later: list[tuple[int, int]] = []
        self._flowed = 0
        self._metered = 0
        self._shaved = 0
        self._sale_open = False
        self._preset_units: int | None = None
        self._preset_amount: int | None = None

    # --- the world -------------------------------------------------------------------------------------------------
    def tick(self, now_ms: int) -> None:
        """Time passes: slow commands take effect, struck faults happen."""
        self._now_ms = now_ms
        for due in [item for item in self._later if item[0] <= now_ms]:
            self._later.remove(due)
            self._apply(due[1])
        if self._flowed and self._sale_open and self._board.hit("pump-restart", self.number):
            self.restart()
        if not self._sale_open and not self.nozzle_out and self._board.hit("meter-replaced", self.number):
            self._set_meter(self.nozzle, self.totals[self.nozzle] // 3 + 17)
        if not self._sale_open and self._board.hit("totalizer-rollover", self.number):
            for nozzle in self.nozzles:
                self._set_meter(nozzle, TOTAL_MODULUS - ROLLOVER_MARGIN_UNITS)

    def lift(self, nozzle: int) -> None:
        """Somebody takes a nozzle off its boot."""
        assert not self.nozzle_out
        assert nozzle in self.nozzles
        self.nozzle = nozzle
        self.nozzle_out = True
        self._tell("nozzle")

    def hang_up(self) -> None:
        """The nozzle goes back; a filling ends here."""
        assert self.nozzle_out
        self.nozzle_out = False
        self._tell("nozzle")
        was = self.state
        sold = self._sale_open and self._flowed > 0
        if was in {State.AUTHORIZED, State.FILLING, State.MAXIMUM, State.SUSPENDED}:
            self._finish("hang_up")
            self._enter(State.COMPLETED)
        if not sold and self._flowed == 0:
            self.on_zero_lift(self.number, self.nozzle)
        self._flowed = 0

    def can_flow(self) -> bool:
        """Whether fuel comes when the lever is pulled."""
        return self.nozzle_out and self.nozzle in self.allowed and self.state in {State.AUTHORIZED, State.FILLING}

    def deliver(self, units: int) -> int:
        """The lever is pulled for ``units``; returns how many flowed (fewer when a preset stops them)."""
        if units <= 0 or not self.can_flow():
            return 0
        if self.state is State.AUTHORIZED:
            self._enter(State.FILLING)
            self._sale_open = True
            self._flowed = self._metered = 0
            self._shaved = SHAVED_UNITS if self._board.hit("shave-volume", self.number) else 0
        limit = self._limit_units()
        allowed = units if limit is None else max(0, min(units, limit + self._shaved - self._flowed))
        self._flowed += allowed
        counted = max(0, self._flowed - self._shaved) - self._metered
        self._metered += counted
        self.totals[self.nozzle] = (self.totals[self.nozzle] + counted) % TOTAL_MODULUS
        if counted:
            self.volume = self._metered
            self.amount = amount_minor(self._metered, self.prices[self.nozzle])
            self._tell("filled")
        if limit is not None and self._metered >= limit:
            if self._preset_amount is not None and self._metered == limit:
                self.amount = self._preset_amount
            self._enter(State.MAXIMUM)
        return allowed

    def restart(self) -> None:
        """Processor reset: the filling ends, display, prices, presets and numbering are lost, counters survive."""
        self._finish("restart")
        self.prices = dict.fromkeys(self.nozzles, 0)
        self.volume = self.amount = 0
        self._preset_units = self._preset_amount = None
        self._later.clear()
        self.pending.clear()
        self.restarts += 1
        self.state = State.NOT_PROGRAMMED
        for kind in ("alarm:1", "status", "nozzle"):
            self._tell(kind)

    # --- the master ------------------------------------------------------------------------------------------------
    def command(self, code: int) -> None:
        """CD1. Unknown codes are ignored, commands that the state does not allow too."""
        if code in {0x05, 0x06} and self._board.active("slow-state", self.number):
            self._later.append((self._now_ms + self._board.wire_ms(SLOW_STATE_S), code))
            return
        self._apply(code)

    def allow(self, nozzles: frozenset[int]) -> None:
        """CD2: only these nozzles deliver, until the next list."""
        self.allowed = nozzles

    def preset(self, *, units: int | None = None, minor: int | None = None) -> None:
        """CD3 or CD4: the last one wins; already passed means stop at once."""
        if self.state in {State.RESET, State.AUTHORIZED, State.FILLING, State.SUSPENDED}:
            self._preset_units, self._preset_amount = units, minor
            limit = self._limit_units() if self.state is State.FILLING else None
            if limit is not None and self._metered >= limit:
                self._enter(State.MAXIMUM)

    def set_prices(self, prices: list[int]) -> None:
        """CD5: one price per existing nozzle or all are ignored; not while fuel may flow."""
        complete = len(prices) >= len(self.nozzles) and all(prices[: len(self.nozzles)])
        if not complete or self.state in {State.AUTHORIZED, State.FILLING, State.MAXIMUM, State.SUSPENDED}:
            return
        before = self.prices[self.nozzle]
        self.prices = dict(zip(self.nozzles, prices, strict=False))
        if self.state is State.NOT_PROGRAMMED:
            self._enter(State.COMPLETED)
            self._tell("nozzle")
        elif self.prices[self.nozzle] != before:
            self._tell("nozzle")

    def ask_total(self, counter: int) -> None:
        """CD101; an unknown counter is acknowledged and not answered."""
        if counter & 0x0F in self.nozzles and counter >> 4 in {0, 1}:
            self._tell(f"total:{counter}")

    # --- inside ----------------------------------------------------------------------------------------------------
    def _apply(self, code: int) -> None:
        reports = {
            0x00: ("status", "nozzle"),
            0x02: ("parameters",),
            0x03: ("identity",),
            0x04: ("filled", "nozzle"),
            0x0F: ("prices",),
        }
        for kind in reports.get(code, ()):
            self._tell(kind)
        actions: dict[int, Callable[[], None]] = {
            0x05: self._reset,
            0x06: self._authorize,
            0x08: self._stop,
            0x0A: self._switch_off,
            0x0D: self._suspend,
            0x0E: self._resume,
        }
        if code in actions:
            actions[code]()

    def _reset(self) -> None:
        if self.state not in {State.RESET, State.COMPLETED, State.MAXIMUM, State.SWITCHED_OFF}:
            return
        if not self.nozzle_out and self._board.active("reset-ignored-while-hung", self.number):
            return
        self._finish("reset")
        self.volume = self.amount = 0
        self._preset_units = self._preset_amount = None
        self._enter(State.RESET)
        self._tell("filled")

    def _authorize(self) -> None:
        if self.state is State.RESET:
            self._enter(State.AUTHORIZED)

    def _stop(self) -> None:
        if self.state not in {State.NOT_PROGRAMMED, State.COMPLETED}:
            self._finish("stop")
            self._enter(State.COMPLETED)

    def _switch_off(self) -> None:
        self._finish("switch_off")
        self._enter(State.SWITCHED_OFF)

    def _suspend(self) -> None:
        if self.state in {State.AUTHORIZED, State.FILLING}:
            self._enter(State.SUSPENDED)

    def _resume(self) -> None:
        if self.state is State.SUSPENDED:
            self._enter(State.FILLING if self._sale_open else State.AUTHORIZED)

    def _limit_units(self) -> int | None:
        """Where the preset stops; an amount preset stops at the nearest unit and shows exactly the amount."""
        if self._preset_units is not None:
            return self._preset_units
        if self._preset_amount is not None:
            price = self.prices[self.nozzle]
            return (self._preset_amount * 1000 * 2 + price) // (2 * price)
        return None

    def _finish(self, ended_by: str) -> None:
        """Close an open filling: the amount total moves, the truth is told."""
        if not self._sale_open:
            return
        self._sale_open = False
        if self._flowed == 0:
            return
        price = self.prices[self.nozzle]
        total = (self.amount_totals[self.nozzle] + self.amount) % TOTAL_MODULUS
        self.amount_totals[self.nozzle] = total
        real = self.amount if not self._shaved else amount_minor(self._flowed, price)
        self.on_sale(
            Sale(self.number, self.nozzle, self._flowed * UNIT_ML, real, price, self.totals[self.nozzle], ended_by)
        )

    def _set_meter(self, nozzle: int, raw: int) -> None:
        """A counter is exchanged: told to the truth, not to the master."""
        old, self.totals[nozzle] = self.totals[nozzle], raw
        self.on_meter(self.number, nozzle, old, raw)

    def _enter(self, state: State) -> None:
        if state is not self.state and self._board.active("one-silent-poll", self.number):
            self.silent_once = True
        self.state = state
        self._tell("status")

    def _tell(self, kind: str) -> None:
        if kind not in self.pending:
            assert len(self.pending) < MAX_PENDING
            self.pending.append(kind)
