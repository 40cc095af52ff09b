"""People at one fuelling point: they come, show a card, lift, wait, fuel, hang up, show a card and go, or come again.

Pure: time and chance come in as arguments. Every point has its own stream of chance, so one queue never disturbs
another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from random import Random

from drivers.simulator.config import CustomerConfig, PumpConfig, ReaderConfig, with_luhn
from drivers.simulator.pump_head import UNIT_ML, PumpHead, State
from drivers.simulator.tank import MS_PER_MIN, Tank
from drivers.simulator.wallet import CHIP

UNHURRIED_SPEED = 10


@dataclass(frozen=True, slots=True)
class Scan:
    """A reader sees a code. ``what``: card | tap | control | payment | unknown; ``when``: first | during | after."""

    t_ms: int
    reader: str
    text: str
    point: int
    customer: int
    what: str
    when: str


@dataclass(frozen=True, slots=True)
class Customer:
    """One visit. ``card`` ``None`` = anonymous; ``shows`` says when the card is shown; ``target`` in units of 10 ml."""

    number: int
    card: str | None
    shows: str
    wrong: str | None
    nozzle: int
    target: int
    zero_lift: bool
    again: bool


class Phase(Enum):
    """Where the customer of a point is."""

    AWAY = "away"
    ARRIVING = "arriving"
    WAITING = "waiting"
    FUELLING = "fuelling"
    DWELLING = "dwelling"
    LEAVING = "leaving"


class Queue:
    """The customers of one fuelling point, one after the other."""

    def __init__(
        self,
        config: CustomerConfig,
        pump: PumpConfig,
        head: PumpHead,
        *,
        tanks: Mapping[int, Tank],
        cards: tuple[str, ...],
        reader: ReaderConfig | None,
        tap_reader: ReaderConfig | None = None,
        rng: Random,
        on_scan: Callable[[Scan], None],
        speed: float = 1.0,
    ) -> None:
        self.head = head
        self.phase = Phase.AWAY
        self.customer: Customer | None = None
        self.open = True
        self.let_in = False
        self.in_fuelling: Customer | None = None
        self._config = config
        self._tank_of = {nozzle.number: tanks[nozzle.tank] for nozzle in pump.nozzles}
        self._cards = cards
        self._reader = reader
        self._tap_reader = tap_reader
        self._rng = rng
        self._on_scan = on_scan
        self._opening_ms = round(config.opening_s * 1_000 * speed) if config.open_on_first_poll else 0
        # an agent answers in real time: at high speeds people must wait longer to be served at all
        self._patience = max(1.0, speed / UNHURRIED_SPEED)
        self._count = 0
        self._due_ms: int | None = None
        self._flow_started_ms = 0
        self._fuelled = 0
        self._carry = 0
        self._to_show: str | None = None
        self._wrong_to_show: str | None = None
        self._steps: dict[Phase, Callable[[int, int], None]] = {
            Phase.AWAY: self._away,
            Phase.ARRIVING: self._arriving,
            Phase.WAITING: self._waiting,
            Phase.FUELLING: self._fuelling,
            Phase.DWELLING: self._dwelling,
            Phase.LEAVING: self._leaving,
        }

    @property
    def quiet(self) -> bool:
        """Nobody here, the nozzle hangs."""
        return self.phase is Phase.AWAY and not self.head.nozzle_out

    def next_ms(self, now_ms: int) -> int | None:
        """When this queue does something by itself: now while fuel may flow, ``None`` while nobody is to come."""
        phase = self.phase
        if phase is Phase.AWAY and not self._is_open():
            return None
        flows = phase is Phase.FUELLING or (phase is Phase.WAITING and self.head.can_flow())
        closes = not self.open and (phase is Phase.ARRIVING or phase is Phase.WAITING)
        return now_ms if flows or closes or self._due_ms is None else self._due_ms

    def tick(self, now_ms: int, dt_ms: int) -> None:
        """One step of whoever is here."""
        self._steps[self.phase](now_ms, dt_ms)

    def _away(self, now_ms: int, _dt_ms: int) -> None:
        if not self._is_open():
            return
        if self._due_ms is None:
            self._due_ms = now_ms + self._opening_ms + self._gap_ms()
        if now_ms < self._due_ms:
            return
        self.customer = self._new_customer()
        self._to_show = self.customer.card
        self._wrong_to_show = self.customer.wrong
        self._arrive(now_ms)

    def _is_open(self) -> bool:
        if not self.open or (self._config.open_on_first_poll and not self.head.contacted):
            return False
        return self.let_in or not self._config.opens_when_told

    def _arrive(self, now_ms: int) -> None:
        assert self.customer is not None
        if self.customer.shows == "first":
            self._show(now_ms, "first")
        self._go(Phase.ARRIVING, now_ms + self._rng.randint(1_000, max(1_000, self._config.arrive_max_ms)))

    def _arriving(self, now_ms: int, _dt_ms: int) -> None:
        assert self.customer is not None
        if not self.open:
            self._leave(now_ms)
        elif self._reached(now_ms):
            self.head.lift(self.customer.nozzle)
            self._fuelled = 0
            self._carry = 0
            config = self._config
            if self.customer.zero_lift:
                self._go(Phase.DWELLING, now_ms + self._rng.randint(2_000, 5_000))
            else:
                patience_ms = self._rng.randint(config.patience_min_ms, config.patience_max_ms)
                self._go(Phase.WAITING, now_ms + round(patience_ms * self._patience))

    def _waiting(self, now_ms: int, _dt_ms: int) -> None:
        assert self.customer is not None
        if self.head.can_flow():
            self._flow_started_ms = now_ms
            self._go(Phase.FUELLING, now_ms + self._config.patience_max_ms * 10)
        elif self._reached(now_ms) or not self.open:
            # nobody authorises: hang up, and try once more (a station that was just starting answers then)
            self.head.hang_up()
            self.customer = replace(self.customer, again=True, shows="" if self._to_show is None else "first")
            self._go(Phase.LEAVING, now_ms + self._rng.randint(3_000, 6_000))

    def _fuelling(self, now_ms: int, dt_ms: int) -> None:
        assert self.customer is not None
        if not self.head.can_flow():
            if self.head.state is not State.SUSPENDED or self._reached(now_ms):
                self._stop_pulling(now_ms)
            return
        tank = self._tank_of[self.customer.nozzle]
        ramp = min(1_000, 1_000 * (now_ms - self._flow_started_ms + dt_ms) // max(1, self._config.ramp_ms))
        self._carry += self._config.flow_max_ml_per_min * ramp // 1_000 * dt_ms
        per_unit = UNIT_ML * MS_PER_MIN
        units, self._carry = divmod(self._carry, per_unit)
        units = min(units, self.customer.target - self._fuelled, tank.volume_ml // UNIT_ML)
        self.in_fuelling = self.customer
        flowed = self.head.deliver(units)
        tank.drain(flowed * UNIT_ML)
        self._fuelled += flowed
        if self.customer.shows == "during" and self._fuelled * 2 >= self.customer.target:
            self._show(now_ms, "during")
        if self._fuelled >= self.customer.target or tank.volume_ml < UNIT_ML:
            self._stop_pulling(now_ms)

    def _stop_pulling(self, now_ms: int) -> None:
        self._go(Phase.DWELLING, now_ms + self._rng.randint(500, self._config.dwell_max_ms))

    def _dwelling(self, now_ms: int, _dt_ms: int) -> None:
        if self._reached(now_ms):
            self.head.hang_up()
            self._go(Phase.LEAVING, now_ms + self._rng.randint(2_000, max(2_000, self._config.scan_after_max_ms)))

    def _leaving(self, now_ms: int, _dt_ms: int) -> None:
        assert self.customer is not None
        if not self._reached(now_ms):
            return
        if self.customer.shows in {"during", "after"} and not self.customer.zero_lift:
            self._show(now_ms, "after")
        if self.customer.again and self.open:
            self.customer = self._second_visit(self.customer)
            self._arrive(now_ms)
        else:
            self._leave(now_ms)

    def _leave(self, now_ms: int) -> None:
        self.customer = None
        self._go(Phase.AWAY, now_ms + self._gap_ms())

    def _go(self, phase: Phase, due_ms: int) -> None:
        self.phase = phase
        self._due_ms = due_ms

    def _reached(self, now_ms: int) -> bool:
        return self._due_ms is not None and now_ms >= self._due_ms

    def _gap_ms(self) -> int:
        return min(self._config.gap_max_ms, 1_000 + round(self._rng.expovariate(1 / self._config.gap_mean_ms)))

    def _chance(self, per_mille: int) -> bool:
        return self._rng.randrange(1_000) < per_mille

    def _new_customer(self) -> Customer:
        """Draws always the same number of chances in the same order, so that one setting does not shift the others."""
        config, rng = self._config, self._rng
        self._count += 1
        member = self._chance(config.members)
        card = rng.choice(self._cards) if self._cards else None
        shows = rng.choices(
            ("first", "during", "after"),
            (config.scan_first, config.scan_during, max(0, 1_000 - config.scan_first - config.scan_during)),
        )[0]
        wrong = self._wrong_code() if self._chance(config.wrong_codes) else None
        visible = self._reader is not None and ((member and card is not None) or wrong is not None)
        return Customer(
            number=self.head.number * 10_000 + self._count,
            card=card if member and self._reader is not None else None,
            shows=shows if visible else "",
            wrong=wrong,
            nozzle=rng.choice(sorted(self._tank_of)),
            target=rng.randint(config.target_min_ml, config.target_max_ml) // UNIT_ML,
            zero_lift=self._chance(config.zero_lifts),
            again=self._chance(config.second_sales),
        )

    def _second_visit(self, customer: Customer) -> Customer:
        config, rng = self._config, self._rng
        return replace(
            customer,
            shows="first" if self._to_show is not None else "",
            nozzle=rng.choice(sorted(self._tank_of)),
            target=rng.randint(config.target_min_ml, config.target_max_ml) // UNIT_ML,
            zero_lift=False,
            again=False,
        )

    def _wrong_code(self) -> str:
        """A payment code of a phone, or a card that no cache knows."""
        if self._rng.randrange(2):
            return f"{self._rng.randint(10, 15)}{self._rng.randrange(10**16):016d}"
        return with_luhn(f"98{self._rng.randrange(10**13):013d}")

    def _show(self, now_ms: int, when: str) -> None:
        """Type what is still to be shown; a roaming reader is told the point first."""
        assert self.customer is not None
        if self._reader is None:
            return
        roaming = len(self._reader.points) > 1
        shown: list[tuple[str, str]] = []
        if self._tap_reader is not None and self._to_show is not None and self._to_show.startswith(CHIP):
            name, text, self._to_show = self._tap_reader.name, self._to_show, None
            self._on_scan(Scan(now_ms, name, text, self.head.number, self.customer.number, "tap", when))
        if self._wrong_to_show is not None:
            payment = len(self._wrong_to_show) == 18
            shown.append(("payment" if payment else "unknown", self._wrong_to_show))
        if self._to_show is not None:
            shown += [("control", f"FP:{self.head.number}")] if roaming else []
            shown.append(("card", self._to_show))
        self._wrong_to_show = self._to_show = None
        for what, text in shown:
            self._on_scan(
                Scan(now_ms, self._reader.name, text, self.head.number, self.customer.number, what, when),
            )
