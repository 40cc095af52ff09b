"""Fuelling points with one nozzle that answer every question: the orders they have in common, step by step.

Knows what must hold before a pump is let go, and in which order totals and held sale are read. Knows no byte: a
protocol brings the few exchanges that differ. Used by heads that are known from one source each, so they change nothing
on a pump before somebody says ``experimental = true``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from typing import Generic, TypeVar

from drivers import commands
from drivers.asked import Ask, Ending, Say, Steps, Wait, waited
from drivers.commands import Command
from drivers.config import LineConfig, PointConfig
from drivers.errors import WiringError
from drivers.readings import (
    CommandOutcome,
    CommandResult,
    CompletedSale,
    HeldSale,
    PointState,
    Reading,
    TotalizerReading,
)

READ_TRIES = 5  # docs/sale-safety.md, step 5
STOP_TRIES = 3  # stop may be repeated freely
REST = (PointState.IDLE, PointState.CALLING)
FLOWING = (PointState.AUTHORISED, PointState.STARTED, PointState.FUELLING, PointState.SUSPENDED_STARTED)
DELIVERING = (*FLOWING, PointState.SUSPENDED_FUELLING)

Q = TypeVar("Q")
A = TypeVar("A")
T = TypeVar("T")
Doing = Generator[Ask[Q, A] | Say[Q] | Wait, None, T]


class Single(ABC, Generic[Q, A]):
    """Half a ``drivers.asked.Speech``: the other half is the protocol's."""

    has_token = False
    """Whether what the pump holds is numbered by the pump itself."""

    def __init__(self, config: PointConfig, *, experimental: bool, state_wait_s: float) -> None:
        self.config = config
        self.nozzle = config.nozzles[0]
        self.unit_ml: int = 10 ** (3 - config.volume_decimals)
        self.unit_minor: int = 10 ** (config.currency_exponent - config.amount_decimals)
        self.unit_milli: int = 10 ** (3 - config.unit_price_decimals)
        self.accounted = False
        self._experimental = experimental
        self._state_wait_s = state_wait_s
        self._preset: commands.Preset | None = None
        self._out: list[Reading] = []
        self._counts: dict[str, int] = {}

    # What the kernel asks.

    def steps(self, command: Command) -> Steps[Q, A, Ending]:
        """As ``Speech.steps``."""
        match command:
            case commands.Authorise():
                return self._authorise(command)
            case commands.Acknowledge():
                return self._acknowledge(command)
            case commands.SetPrices():
                return self._set_prices(command)
            case commands.Stop():
                return self._stop(command)
            case commands.Preset():
                return self._keep_preset(command)
            case commands.ReadTotalizer():
                return self._read_totalizer(command)
            case commands.ReadHeldSale():
                return self._read_held_sale()
            case commands.ReadSale():
                return self._read_sale(command)
        return _ended(CommandOutcome.REFUSED, f"this pump does not know {type(command).__name__}")

    def take(self) -> list[Reading]:
        """As ``Speech.take``."""
        taken, self._out = self._out, []
        return taken

    def take_counts(self) -> Mapping[str, int]:
        """As ``Speech.take_counts``."""
        taken, self._counts = self._counts, {}
        return taken

    # What the protocol brings.

    @abstractmethod
    def state(self) -> PointState | None:
        """The state as last told."""

    @abstractmethod
    def token(self) -> str:
        """Names what the pump holds now, as it was last told."""

    @abstractmethod
    def obstacle(self) -> str:
        """Why the pump must not be authorised, beyond what every pump has in common; empty when it may."""

    @abstractmethod
    def take_over(self) -> Doing[Q, A, None]:
        """Take the pump under the host's control, where that is not so yet."""

    @abstractmethod
    def send_preset(self, *, volume: int | None, amount: int | None) -> Doing[Q, A, str]:
        """Send a limit in hundredths; returns why the pump did not take it, empty when it did."""

    @abstractmethod
    def send_authorise(self) -> Doing[Q, A, tuple[bool, str]]:
        """Send AUTHORISE; returns whether the pump heard it, and its refusal (empty = none)."""

    @abstractmethod
    def send_stop(self) -> Doing[Q, A, bool]:
        """Send STOP; returns whether the pump heard it."""

    @abstractmethod
    def send_price(self, price: int) -> Doing[Q, A, tuple[bool, int | None]]:
        """Send the price in hundredths; returns whether the pump took it, and what it shows afterwards."""

    @abstractmethod
    def read_total(self) -> Doing[Q, A, TotalizerReading | None]:
        """The totals of the nozzle; ``None`` when they were not told."""

    @abstractmethod
    def read_held(self) -> Doing[Q, A, tuple[bool, HeldSale | None]]:
        """Whether the pump told, and what it holds (``None`` = nothing)."""

    @abstractmethod
    def forget(self, token: str) -> Doing[Q, A, str]:
        """Let the pump forget what ``token`` names; returns why it did not, empty when it did or never needs to."""

    # Orders.

    def ask(self, question: Q, tries: int = 1) -> Doing[Q, A, A | None]:
        """One exchange: the answer, ``None`` when none came in ``tries`` turns."""
        ask: Ask[Q, A] = Ask(question, tries)
        yield ask
        return ask.reply

    def count(self, name: str, count: int = 1) -> None:
        """Something went wrong on the wire."""
        self._counts[name] = self._counts.get(name, 0) + count

    @property
    def may_command(self) -> bool:
        """Whether anything but reading is allowed."""
        return self._experimental and self.config.sends_commands

    def _why_not(self) -> str:
        if not self.config.sends_commands:
            return "this point is only watched (control mode monitor)"
        if not self._experimental:
            return "this driver is experimental: write experimental = true in the options of the line"
        return ""

    def _authorise(self, command: commands.Authorise) -> Steps[Q, A, Ending]:
        preset, self._preset = self._preset, None  # whatever happens: a limit must never meet another customer
        objection = self._objection(command)
        if objection:
            return CommandOutcome.REFUSED, objection
        yield from self.take_over()
        if preset is not None:
            minor = preset.amount_minor
            refusal = yield from self.send_preset(
                volume=None if preset.volume_ml is None else preset.volume_ml // self.unit_ml,
                amount=None if minor is None else minor // self.unit_minor,
            )
            # Looked at again: the nozzle may have been hung up meanwhile.
            refusal = refusal or self._objection(command)
            if refusal:
                return CommandOutcome.REFUSED, f"{refusal}; AUTHORISE was not sent"
        heard, refusal = yield from self.send_authorise()
        if refusal:
            return CommandOutcome.REFUSED, refusal
        if heard:
            self._out.append(CommandResult(command.command_id, self.config.fuelling_point, CommandOutcome.LINK_ACKED))
        if (yield from waited(lambda: self.state() in DELIVERING, self._state_wait_s)):
            return CommandOutcome.APPLIED, ""
        return CommandOutcome.UNKNOWN, "the pump did not show that it is authorised in time"

    def _objection(self, command: commands.Authorise) -> str:
        unknown = sorted(set(command.nozzles) - set(self.config.nozzles))
        state = self.state()
        if self._why_not():
            return self._why_not()
        if unknown:
            return f"nozzle {unknown[0]} is not configured"
        if state not in REST:
            return f"the pump is {_name(state)}"
        if not self.accounted:
            return "what the pump holds of its last fuelling is not accounted for"
        return self.obstacle()

    def _acknowledge(self, command: commands.Acknowledge) -> Steps[Q, A, Ending]:
        if self.state() is None or self.state() in DELIVERING:
            return CommandOutcome.REFUSED, f"a fuelling is under way: the pump is {_name(self.state())}"
        if command.token not in ("", self.token()):
            return CommandOutcome.REFUSED, "the token is not that of what the pump holds now; read it again"
        if command.token == "" and self.has_token and self.token():
            return CommandOutcome.REFUSED, "the pump holds a sale that was not read"
        if command.token and self.has_token:
            if self._why_not():
                return CommandOutcome.REFUSED, self._why_not()
            refusal = yield from self.forget(command.token)
            if refusal:
                return CommandOutcome.UNKNOWN, refusal
        self.accounted = True
        if self.may_command:
            yield from self.take_over()
        return CommandOutcome.APPLIED, ""

    def _set_prices(self, command: commands.SetPrices) -> Steps[Q, A, Ending]:
        price, rest = divmod(dict(command.prices).get(self.nozzle, -1), self.unit_milli)
        if self._why_not():
            return CommandOutcome.REFUSED, self._why_not()
        if rest or not 0 < price < 10**4:
            return CommandOutcome.REFUSED, f"the pump cannot show this price of nozzle {self.nozzle} exactly"
        if self.state() in DELIVERING:
            return CommandOutcome.REFUSED, f"no price is set while the pump is {_name(self.state())}"
        yield from self.take_over()
        taken, shown = yield from self.send_price(price)
        if not taken:
            return CommandOutcome.UNKNOWN, "the pump did not take the price"
        self._out.append(CommandResult(command.command_id, self.config.fuelling_point, CommandOutcome.LINK_ACKED))
        if shown is None:
            return CommandOutcome.UNKNOWN, "the pump took the price and did not tell it again"
        if shown != price:
            return CommandOutcome.REFUSED, "the pump still shows another price"
        return CommandOutcome.APPLIED, ""

    def _stop(self, command: commands.Stop) -> Steps[Q, A, Ending]:
        if self.state() not in DELIVERING:
            return CommandOutcome.APPLIED, f"nothing to stop: the pump is {_name(self.state())}"
        for _ in range(STOP_TRIES):
            if (yield from self.send_stop()):
                self._out.append(
                    CommandResult(command.command_id, self.config.fuelling_point, CommandOutcome.LINK_ACKED)
                )
            if (yield from waited(lambda: self.state() not in FLOWING, self._state_wait_s)):
                return CommandOutcome.APPLIED, ""
        return CommandOutcome.UNKNOWN, f"the pump is still {_name(self.state())}"

    def _keep_preset(self, command: commands.Preset) -> Steps[Q, A, Ending]:
        """Kept here: what a head does with a limit that nobody uses is not known, so it travels with AUTHORISE."""
        if (command.volume_ml is None) == (command.amount_minor is None):
            return (yield from _ended(CommandOutcome.REFUSED, "give either a volume or an amount"))
        by_volume = (self.unit_ml, command.volume_ml)
        per_unit, value = by_volume if command.volume_ml else (self.unit_minor, command.amount_minor)
        if not 0 < (value or 0) // per_unit < 10**6:
            return (yield from _ended(CommandOutcome.REFUSED, "the pump's six digits cannot show this preset"))
        self._preset = command
        return (yield from _ended(CommandOutcome.APPLIED, "kept for the next authorise"))

    def _read_totalizer(self, command: commands.ReadTotalizer) -> Steps[Q, A, Ending]:
        reading = (yield from self.read_total()) if command.nozzle == self.nozzle else None
        if reading is None:
            return CommandOutcome.UNKNOWN, f"the total of nozzle {command.nozzle} was not told"
        self._out.append(reading)
        return CommandOutcome.APPLIED, ""

    def _read_held_sale(self) -> Steps[Q, A, Ending]:
        told, held = yield from self.read_held()
        if not told:
            return CommandOutcome.UNKNOWN, "the pump did not tell its last fuelling"
        if held is not None:
            self._out.append(held)
        return CommandOutcome.APPLIED, "" if held is not None else "the pump holds nothing"

    def _read_sale(self, command: commands.ReadSale) -> Steps[Q, A, Ending]:
        asked = self.nozzle in command.nozzles
        before = (yield from self.read_total()) if asked else None
        told, held = yield from self.read_held()
        after = (yield from self.read_total()) if before is not None else None
        if not told:
            return CommandOutcome.UNKNOWN, "the pump did not tell its last fuelling"
        both = before is not None and after is not None
        self._out.append(
            CompletedSale(
                command_id=command.command_id,
                fuelling_point=self.config.fuelling_point,
                before=(before,) if both and before else (),
                held=held,
                after=(after,) if both and after else (),
            )
        )
        return CommandOutcome.APPLIED, ""


def check_points(config: LineConfig, panels: range) -> None:
    """Raise ``WiringError`` unless every point of the line has an address of its own and one nozzle."""
    if not config.points:
        raise WiringError(f"line {config.id!r} has no fuelling point", hint="give it points with their panels")
    seen: dict[int, int] = {}
    for point in config.points:
        where = f"point {point.fuelling_point}"
        if point.address not in panels:
            hint = f"write {panels.start} to {panels.stop - 1}"
            raise WiringError(f"{where}: {point.address} is no panel of this protocol", hint=hint)
        if point.address in seen:
            problem = f"points {seen[point.address]} and {point.fuelling_point} share panel {point.address}"
            raise WiringError(problem, hint="give each hose a panel of its own, in the head and here")
        if len(point.nozzles) != 1:
            hint = "write one fuelling point for each panel"
            raise WiringError(f"{where} has {len(point.nozzles)} nozzles; a panel has one hose", hint=hint)
        for name, places, most in (
            ("volume", point.volume_decimals, 3),
            ("unit_price", point.unit_price_decimals, 3),
            ("amount", point.amount_decimals, point.currency_exponent),
        ):
            if not 0 <= places <= most:
                hint = f"write 0 to {most}, as the display shows it, or leave it out: the source had two everywhere"
                raise WiringError(f"{where}: {places} decimals of {name} cannot be told exactly", hint=hint)
        seen[point.address] = point.fuelling_point


def _ended(outcome: CommandOutcome, detail: str) -> Generator[Wait, None, Ending]:
    yield from ()
    return outcome, detail


def _name(state: PointState | None) -> str:
    return "in an unknown state" if state is None else str(state)
