"""One Lanfeng panel: what its answers mean and how it is let go. Exports ``SPEC``.

Knows section A of the protocol sheet, every point of which rests on a single source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drivers import options
from drivers.asked import AskedPoint, Heard, Patience, Steps, waited
from drivers.config import LineConfig, PointConfig, SerialSettings
from drivers.device import Device, DispenserCapabilities
from drivers.lanfeng.codec import PANELS, Code, Decoder, Reply, Request, Status, encode, fits, status, total
from drivers.port import Port
from drivers.readings import FuellingPointReading, HeldSale, PointState, TotalizerReading
from drivers.registry import Decimals, DriverSpec
from drivers.single import READ_TRIES, Doing, Single, check_points
from drivers.turns import Pace, Turns

SERIAL_DEFAULTS = SerialSettings(9600, 8, "none", 1)
CAPABILITIES = DispenserCapabilities(
    sale_memory="last",
    memory_ends="next_flow",
    release="none",
    totals="volume+amount",
    totals_during_flow="unknown",
    power_off="unknown",
    presets=("volume", "amount"),
    sets_prices=True,
    stops=True,
)
TOTAL_MODULUS = 10**12
NOZZLE_UP, HOST_CONTROL, STOPPED, RUNNING = 0x80, 0x40, 0x01, 0x02
STRANGE_STATES = 5  # unlisted state bytes in a row before somebody is told


@dataclass(frozen=True, slots=True)
class LanfengOptions:
    """Checked options of one line; times in seconds.

    ``experimental``: the station accepts a driver that was never tried on a pump by us; without it nothing but reading
    happens. ``pause_s``: quiet between two commands. ``reply_window_s``: to the first byte of an answer.
    ``state_wait_s``: how long to wait for a state after a command; the source saw 600 ms after AUTHORISE and 800 ms
    after STOP. ``silent_polls``, ``silent_time_s``, ``good_cycles``: when a panel is offline and online again.
    """

    experimental: bool = False
    pause_s: float = 0.150
    reply_window_s: float = 0.500
    probe_window_s: float = 0.200
    gap_in_frame_s: float = 0.050
    state_wait_s: float = 3.0
    silent_polls: int = 5
    silent_time_s: float = 8.0
    good_cycles: int = 3
    poll_interval_s: float = 0.0


LIMITS: options.Limits = {
    "pause": (0, 2_000),
    "reply_window": (10, 5_000),
    "probe_window": (10, 5_000),
    "gap_in_frame": (5, 500),
    "state_wait": (800, 30_000),
    "silent_polls": (1, 50),
    "silent_time": (1_000, 60_000),
    "good_cycles": (1, 20),
    "poll_interval": (0, 5_000),
}


class Panel(Single[Request, Reply]):
    """One panel with its hose."""

    capabilities = CAPABILITIES

    def __init__(self, config: PointConfig, wire: Turns[Reply], chosen: LanfengOptions) -> None:
        super().__init__(config, experimental=chosen.experimental, state_wait_s=chosen.state_wait_s)
        self._wire = wire
        self._last: Status | None = None
        self._state: int | None = None
        self._resting: tuple[int, int] | None = None  # the display before the fuelling under way
        self._moved = False
        self._strange = 0
        self._restarts = 0
        self._fuellings = 0
        self._token_base = ""

    # The wire.

    def exchange(self, port: Port, question: Request, *, probe: bool) -> Reply | Heard:
        """As ``Speech.exchange``."""
        if not self._token_base:
            self._token_base = f"{int(port.monotonic() * 1000):x}"
        panel = self.config.address
        raw = encode(panel, question)

        def wanted(reply: Reply) -> bool:
            # Our own frame come back is a frame like any other: only control, which the state confirms, may look so.
            echo = reply.body == raw[1:-1] and question.code is not Code.TAKE_CONTROL
            return reply.panel == panel and not echo and fits(question, reply)

        heard = self._wire.ask(port, raw, wanted, probe=probe)
        for reason, count in self._wire.take_rejected().items():
            self.count(f"frames_rejected.{reason}", count)
        return heard

    def say(self, port: Port, word: Request) -> None:
        """As ``Speech.say``."""
        self._wire.say(port, encode(self.config.address, word))

    def look(self) -> Steps[Request, Reply, None]:
        """As ``Speech.look``: what is news and no flow is believed when it was told twice."""
        reply = yield from self.ask(Request(Code.STATUS))
        told = None if reply is None else status(reply)
        if told is None:
            return
        if not self._goes_on(told):
            again = yield from self.ask(Request(Code.STATUS))
            if again is None or not _agree(told, status(again)):
                return
            told = status(again)
        self._take(told)

    def _goes_on(self, told: Status) -> bool:
        """Whether the answer follows from the one before: the same, or only more fuel."""
        last = self._last
        return last is not None and self._state is not None and _agree(last, told)

    def trouble(self, heard: Heard | None) -> tuple[str, str]:
        """As ``Speech.trouble``."""
        panel = self.config.address
        if heard is Heard.NOISE:
            return (
                f"panel {panel} cannot be understood",
                "check baud rate, the pairs of wires, and that no other device has this panel number",
            )
        if heard is None:
            return f"panel {panel} answers with an unknown state", "check that the head speaks the Lanfeng protocol"
        return f"panel {panel} does not answer", "check that it is switched on, its panel number and its cable"

    # The level.

    def _take(self, told: Status) -> None:
        last, self._last = self._last, told
        known = told.state & ~HOST_CONTROL & 0xFF in (STOPPED, NOZZLE_UP | STOPPED, NOZZLE_UP | RUNNING)
        if not known:
            self._strange += 1
            self.count("unknown_states")
            return
        self._strange = 0
        before, self._state = self._state, told.state
        shown = (told.volume, told.amount)
        if not told.state & RUNNING:
            self._resting, self._moved = shown, False
            gave_up = before is not None and before & HOST_CONTROL and not told.state & HOST_CONTROL
            if gave_up or (last is not None and last.unit_price and not told.unit_price):
                self._restarts += 1  # control given up, price lost: its processor has started again
                self.accounted = False
            return
        if before is None or not before & RUNNING:
            self._fuellings += 1
            self.accounted = False
        self._moved = self._moved or shown != self._resting

    def state(self) -> PointState | None:
        """As ``Single.state``. A head without host control may sell by itself, so its state counts all the same."""
        state, told = self._state, self._last
        if state is None or told is None:
            return None
        if state & RUNNING:
            return PointState.FUELLING if self._moved and told.volume else PointState.STARTED
        return PointState.CALLING if state & NOZZLE_UP else PointState.IDLE

    def reading(self) -> FuellingPointReading | None:
        """As ``Speech.reading``."""
        state, told = self.state(), self._last
        if state is None or told is None or self._state is None:
            return None
        alarm = f"unknown state {told.state:02X}"
        return FuellingPointReading(
            fuelling_point=self.config.fuelling_point,
            state=state,
            nozzle=self.nozzle,
            nozzle_out=bool(self._state & NOZZLE_UP),
            volume_ml=told.volume * self.unit_ml,
            amount_minor=told.amount * self.unit_minor,
            unit_price_milli=told.unit_price * self.unit_milli,
            restarts=self._restarts,
            needs_prices=told.unit_price == 0,
            device_alarms=(alarm,) if self._strange >= STRANGE_STATES else (),
        )

    def gap(self) -> None:
        """As ``Speech.gap``."""
        self._state = None
        self.accounted = False

    # Orders.

    def token(self) -> str:
        """As ``Single.token``: another fuelling or another display gives another token."""
        shown = "none" if self._last is None else f"{self._last.volume}.{self._last.amount}"
        return f"{self._token_base}-{self.config.fuelling_point}-{self._fuellings}-{shown}"

    def obstacle(self) -> str:
        """As ``Single.obstacle``."""
        if self._state is None or not self._state & NOZZLE_UP:
            return "the nozzle hangs, and this head does not tell an authorisation then; authorise when it is lifted"
        return ""

    def take_over(self) -> Doing[Request, Reply, None]:
        """As ``Single.take_over``."""
        if self._state is not None and not self._state & HOST_CONTROL:
            yield from self.ask(Request(Code.TAKE_CONTROL), READ_TRIES)
            yield from waited(lambda: bool((self._state or 0) & HOST_CONTROL), self._state_wait_s)

    def send_preset(self, *, volume: int | None, amount: int | None) -> Doing[Request, Reply, str]:
        """As ``Single.send_preset``."""
        code, digits = (Code.PRESET_VOLUME, volume) if volume is not None else (Code.PRESET_AMOUNT, amount)
        reply = yield from self.ask(Request(code, digits or 0))
        return "" if reply is not None else "the pump did not take the preset"

    def send_authorise(self) -> Doing[Request, Reply, tuple[bool, str]]:
        """As ``Single.send_authorise``: the answer says nothing, the state does."""
        reply = yield from self.ask(Request(Code.AUTHORISE))
        return reply is not None, ""

    def send_stop(self) -> Doing[Request, Reply, bool]:
        """As ``Single.send_stop``."""
        reply = yield from self.ask(Request(Code.STOP))
        return reply is not None

    def send_price(self, price: int) -> Doing[Request, Reply, tuple[bool, int | None]]:
        """As ``Single.send_price``: B8 tells the price that counts."""
        reply = yield from self.ask(Request(Code.PRICE, price))
        if reply is None:
            return False, None
        yield from waited(lambda: self._last is not None and self._last.unit_price == price, 1.0)
        return True, None if self._last is None else self._last.unit_price

    def read_total(self) -> Doing[Request, Reply, TotalizerReading | None]:
        """As ``Single.read_total``."""
        volume = yield from self._counter(Code.VOLUME_TOTAL)
        amount = None if volume is None else (yield from self._counter(Code.AMOUNT_TOTAL))
        if volume is None or amount is None:
            return None
        return TotalizerReading(
            fuelling_point=self.config.fuelling_point,
            nozzle=self.nozzle,
            raw=volume,
            unit_ml=self.unit_ml,
            modulus=TOTAL_MODULUS,
            amount_raw=amount * self.unit_minor,
            amount_modulus=TOTAL_MODULUS * self.unit_minor,
        )

    def _counter(self, code: Code) -> Doing[Request, Reply, int | None]:
        """A reply that names its command is believed; whether every head does that is not known, so else twice."""
        before: int | None = None
        for _ in range(READ_TRIES):
            reply = yield from self.ask(Request(code))
            told = None if reply is None else total(reply)
            if told is not None and (told == before or (reply is not None and reply.echo == code)):
                return told
            before = told if told is not None else before
        return None

    def read_held(self) -> Doing[Request, Reply, tuple[bool, HeldSale | None]]:
        """As ``Single.read_held``."""
        before: Status | None = None
        for _ in range(READ_TRIES):
            reply = yield from self.ask(Request(Code.STATUS))
            told = None if reply is None else status(reply)
            if told is not None and told == before:
                self._take(told)
                return True, self._held(told)
            before = told
        return False, None

    def _held(self, told: Status) -> HeldSale:
        return HeldSale(
            fuelling_point=self.config.fuelling_point,
            nozzle=self.nozzle,
            volume_ml=told.volume * self.unit_ml,
            amount_minor=told.amount * self.unit_minor,
            unit_price_milli=told.unit_price * self.unit_milli,
            token=self.token(),
        )

    def forget(self, token: str) -> Doing[Request, Reply, str]:
        """As ``Single.forget``: the display goes with the next flow, nobody has to allow it."""
        yield from ()
        return "" if token == self.token() else "another display is there now"


def _agree(first: Status, then: Status) -> bool:
    """Whether two answers in a row tell the same, fuel that flows meanwhile aside. The check has only eight bits."""
    if (first.state, first.unit_price) != (then.state, then.unit_price):
        return False
    if not first.state & RUNNING:
        return first == then
    return first.volume <= then.volume and first.amount <= then.amount


def make_devices(config: LineConfig) -> list[Device]:
    """One panel per point of ``config``. Raises ``WiringError`` for wrong options, panels, nozzles or decimals."""
    chosen = options.read(LanfengOptions, LIMITS, config.options)
    check_points(config, PANELS)
    pace = Pace(
        baudrate=config.serial.baudrate or SERIAL_DEFAULTS.baudrate or 9600,
        bits=10,
        pause_s=chosen.pause_s,
        window_s=chosen.reply_window_s,
        probe_window_s=chosen.probe_window_s,
        gap_s=chosen.gap_in_frame_s,
    )
    wire: Turns[Reply] = Turns(Decoder([point.address for point in config.points]), pace)
    patience = Patience(chosen.silent_polls, chosen.silent_time_s, chosen.good_cycles, chosen.poll_interval_s)
    return [AskedPoint(point, Panel(point, wire, chosen), patience) for point in config.points]


def check_options(given: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """As ``DriverSpec.check_options``."""
    return options.check(LanfengOptions, LIMITS, given)


SPEC = DriverSpec(
    protocol="lanfeng",
    kind="dispenser",
    serial_defaults=SERIAL_DEFAULTS,
    check_options=check_options,
    make_devices=make_devices,
    capabilities=CAPABILITIES,
    field_kit="drivers.lanfeng.dissect:KIT",
    decimals=Decimals(unit_price=2),
    one_nozzle=True,
)
