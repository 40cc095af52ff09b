"""One Zhengxing panel: its status, its queue of stored sales and how it is let go. Exports ``SPEC``.

Knows section B of the protocol sheet, every point of which rests on a single source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drivers import options
from drivers.asked import AskedPoint, Heard, Patience, Steps, waited
from drivers.config import LineConfig, PointConfig, SerialSettings
from drivers.device import Device, DispenserCapabilities
from drivers.port import Port
from drivers.readings import FuellingPointReading, HeldSale, PointState, TotalizerReading
from drivers.registry import Decimals, DriverSpec
from drivers.single import READ_TRIES, Doing, Single, check_points
from drivers.turns import Pace, Turns
from drivers.zhengxing import codec
from drivers.zhengxing.codec import PANELS, Code, Decoder, Record, Reply, Request

SERIAL_DEFAULTS = SerialSettings(9600, 8, "even", 1)
CAPABILITIES = DispenserCapabilities(
    sale_memory="queue",
    memory_ends="ack",
    release="ack",
    totals="volume+amount",
    totals_during_flow="unknown",
    power_off="kept",
    presets=("volume", "amount"),
    sets_prices=True,
    stops=True,
)
TOTAL_MODULUS = 2**32
STATES = {
    1: PointState.INOPERATIVE,
    2: PointState.CLOSED,
    3: PointState.IDLE,
    4: PointState.CALLING,
    5: PointState.AUTHORISED,
    6: PointState.STARTED,
    7: PointState.SUSPENDED_STARTED,
    8: PointState.FUELLING,
    9: PointState.SUSPENDED_FUELLING,
}
SHOWS_LIVE = (PointState.STARTED, PointState.FUELLING, PointState.SUSPENDED_FUELLING)
STRANGE_STATES = 5  # unlisted states in a row before somebody is told
MAX_CHAIN = 9_999
PRICE_EVERY_LOOKS = 200  # the price is asked again so often, in case somebody changed it at the head


@dataclass(frozen=True, slots=True)
class ZhengxingOptions:
    """Checked options of one line; times in seconds.

    ``experimental``: the station accepts a driver that was never tried on a pump by us; without it nothing but reading
    happens, and stored sales are not acknowledged. ``pause_s``: quiet between two commands. ``reply_window_s``: to the
    first byte of an answer; the source allowed 2 s. ``echo``: the converter returns every byte we send.
    ``host_mode``: send mode AA when the pump is taken over. ``state_wait_s``: how long to wait for a state after a
    command. ``silent_polls``, ``silent_time_s``, ``good_cycles``: when a panel is offline and online again.
    """

    experimental: bool = False
    pause_s: float = 0.100
    reply_window_s: float = 0.500
    probe_window_s: float = 0.200
    gap_in_frame_s: float = 0.050
    echo: bool = False
    host_mode: bool = True
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
    "state_wait": (500, 30_000),
    "silent_polls": (1, 50),
    "silent_time": (1_000, 60_000),
    "good_cycles": (1, 20),
    "poll_interval": (0, 5_000),
}


class Panel(Single[Request, Reply]):
    """One panel with its hose."""

    capabilities = CAPABILITIES
    has_token = True

    def __init__(self, config: PointConfig, wire: Turns[Reply], chosen: ZhengxingOptions) -> None:
        super().__init__(config, experimental=chosen.experimental, state_wait_s=chosen.state_wait_s)
        self._wire = wire
        self._host_mode = chosen.host_mode
        self._state: PointState | None = None
        self._nozzle_out: bool | None = None
        self._waits = False
        self._display: tuple[int, int] | None = None  # volume, amount
        self._price: int | None = None
        self._price_age = PRICE_EVERY_LOOKS
        self._strange = 0
        self._taken_over = False
        self._restarts = 0
        self._oldest: Record | None = None  # as last read; gone with the acknowledgement
        self._chain = 0

    # The wire.

    def exchange(self, port: Port, question: Request, *, probe: bool) -> Reply | Heard:
        """As ``Speech.exchange``."""
        panel = self.config.address
        heard = self._wire.ask(
            port,
            codec.encode(panel, question),
            lambda reply: reply.panel == panel and codec.fits(question, reply),
            probe=probe,
        )
        for reason, count in self._wire.take_rejected().items():
            self.count(f"frames_rejected.{reason}", count)
        return heard

    def say(self, port: Port, word: Request) -> None:
        """As ``Speech.say``."""
        self._wire.say(port, codec.encode(self.config.address, word))

    def look(self) -> Steps[Request, Reply, None]:
        """As ``Speech.look``: status; while fuel may flow the display, else now and then the price."""
        reply = yield from self.ask(Request(Code.STATUS))
        if reply is None:
            return
        self._take(reply)
        if self._state in SHOWS_LIVE:
            shown = yield from self.ask(Request(Code.LIVE))
            if shown is not None:
                self._display = codec.live(shown)
            return
        self._price_age += 1
        if self._price_age >= PRICE_EVERY_LOOKS:
            told = yield from self.ask(Request(Code.READ_PRICE))
            if told is not None:
                self._price, self._price_age = codec.told_price(told), 0

    def trouble(self, heard: Heard | None) -> tuple[str, str]:
        """As ``Speech.trouble``."""
        panel = self.config.address
        if heard is Heard.NOISE:
            return (
                f"panel {panel} cannot be understood",
                "check baud rate, parity, the loop and its converter (echo = true?), and that no panel is used twice",
            )
        if heard is None:
            return f"panel {panel} answers with an unknown state", "check that the head speaks the Zhengxing protocol"
        return f"panel {panel} does not answer", "check that it is switched on, its panel number and the current loop"

    # The level.

    def _take(self, reply: Reply) -> None:
        """The status byte of any reply that has one: state, waiting sale, nozzle; bits 60 mean nothing we know."""
        told = reply.status
        if told is None:
            return
        state = STATES.get(told & 0x0F)
        self._waits = bool(told & codec.SALE_WAITS)
        self._nozzle_out = bool(told & codec.NOZZLE_UP)
        if not self._waits:
            self._oldest = None
        if state is None:
            self._strange += 1
            self.count("unknown_states")
            return
        self._strange = 0
        flowing = (PointState.STARTED, PointState.FUELLING)
        if state in flowing and self._state not in (*flowing, PointState.SUSPENDED_FUELLING):
            self._display = None  # the values of the fuelling before are no live values of this one
            self.accounted = False
        if state is PointState.INOPERATIVE and self._state not in (None, state):
            self._restarts += 1  # nobody makes a pump inoperative but its own processor, when it starts again
            self._price_age = PRICE_EVERY_LOOKS
            self.accounted = False
        self._state = state

    def state(self) -> PointState | None:
        """As ``Single.state``."""
        return self._state

    def reading(self) -> FuellingPointReading | None:
        """As ``Speech.reading``."""
        if self._state is None:
            return None
        volume, amount = (None, None) if self._display is None else self._display
        return FuellingPointReading(
            fuelling_point=self.config.fuelling_point,
            state=self._state,
            nozzle=self.nozzle,
            nozzle_out=self._nozzle_out,
            volume_ml=None if volume is None else volume * self.unit_ml,
            amount_minor=None if amount is None else amount * self.unit_minor,
            unit_price_milli=None if self._price is None else self._price * self.unit_milli,
            restarts=self._restarts,
            needs_prices=self._price == 0,
            device_alarms=("unknown state",) if self._strange >= STRANGE_STATES else (),
        )

    def gap(self) -> None:
        """As ``Speech.gap``."""
        self._state = self._nozzle_out = None
        self._price_age = PRICE_EVERY_LOOKS
        self._taken_over = False
        self.accounted = False

    # Orders.

    def token(self) -> str:
        """As ``Single.token``: the sequence number of the oldest stored sale; empty when none was read."""
        return "" if self._oldest is None else self._oldest.sequence

    def obstacle(self) -> str:
        """As ``Single.obstacle``."""
        return "a stored sale waits and must be read first" if self._waits else ""

    def take_over(self) -> Doing[Request, Reply, None]:
        """As ``Single.take_over``."""
        if self._host_mode and not self._taken_over:
            reply = yield from self.ask(Request(Code.MODE, codec.HOST_CONTROL), READ_TRIES)
            self._taken_over = reply is not None

    def send_preset(self, *, volume: int | None, amount: int | None) -> Doing[Request, Reply, str]:
        """As ``Single.send_preset``."""
        self._chain = self._chain % MAX_CHAIN + 1
        code, digits = (Code.PRESET_VOLUME, volume) if volume is not None else (Code.PRESET_AMOUNT, amount)
        reply = yield from self.ask(codec.preset(code, digits or 0, self._chain))
        if reply is None:
            return "the pump did not answer the preset"
        return "" if reply.raw[4] == codec.DONE else "the pump refused the preset"

    def send_authorise(self) -> Doing[Request, Reply, tuple[bool, str]]:
        """As ``Single.send_authorise``."""
        reply = yield from self.ask(Request(Code.AUTHORISE))
        if reply is None:
            return False, ""
        self._take(reply)
        let_go = self._state in (PointState.AUTHORISED, PointState.STARTED, PointState.FUELLING)
        return True, "" if let_go else f"the pump went to {self._state} instead of Authorised"

    def send_stop(self) -> Doing[Request, Reply, bool]:
        """As ``Single.send_stop``."""
        reply = yield from self.ask(Request(Code.STOP))
        if reply is not None:
            self._take(reply)
        return reply is not None

    def send_price(self, price: int) -> Doing[Request, Reply, tuple[bool, int | None]]:
        """As ``Single.send_price``: a rest, then command 12 tells the price that counts."""
        reply = yield from self.ask(codec.price(price))
        if reply is None or reply.raw[4] != codec.DONE:
            return reply is not None, None if reply is None else self._price
        yield from waited(lambda: False, 1.0, 0.2)
        told = yield from self.ask(Request(Code.READ_PRICE), READ_TRIES)
        if told is None:
            return True, None
        self._price, self._price_age = codec.told_price(told), 0
        return True, self._price

    def read_total(self) -> Doing[Request, Reply, TotalizerReading | None]:
        """As ``Single.read_total``."""
        reply = yield from self.ask(Request(Code.TOTALS), READ_TRIES)
        if reply is None:
            return None
        amount, volume = codec.totals(reply)
        return TotalizerReading(
            fuelling_point=self.config.fuelling_point,
            nozzle=self.nozzle,
            raw=volume,
            unit_ml=self.unit_ml,
            modulus=TOTAL_MODULUS,
            amount_raw=amount * self.unit_minor,
            amount_modulus=TOTAL_MODULUS * self.unit_minor,
        )

    def read_held(self) -> Doing[Request, Reply, tuple[bool, HeldSale | None]]:
        """As ``Single.read_held``: the oldest stored sale, believed when two answers are the same.

        Where it may not be acknowledged it would be the oldest for ever: then the totals alone tell what was sold.
        """
        before: Record | None = None
        if not self.may_command:
            return True, None
        for _ in range(READ_TRIES):
            status = yield from self.ask(Request(Code.STATUS))
            if status is None:
                continue
            self._take(status)
            if not self._waits:
                return True, None
            reply = yield from self.ask(Request(Code.OLDEST_SALE))
            if reply is None:
                continue
            if reply.code is Code.NO_SALE:
                self._oldest = None
                return True, None
            told = codec.record(reply)
            if told == before:
                self._oldest = told
                return True, self._held(told)
            before = told
        return False, None

    def _held(self, told: Record) -> HeldSale:
        return HeldSale(
            fuelling_point=self.config.fuelling_point,
            nozzle=self.nozzle,
            volume_ml=told.volume * self.unit_ml,
            amount_minor=told.amount * self.unit_minor,
            unit_price_milli=told.unit_price * self.unit_milli,
            token=told.sequence,
        )

    def forget(self, token: str) -> Doing[Request, Reply, str]:
        """As ``Single.forget``: a sale is gone when none waits any more, or another one has become the oldest."""
        removed = self._oldest
        reply = yield from self.ask(Request(Code.REMOVE_SALE, bytes.fromhex(token)))
        if reply is None:
            reply = yield from self.ask(Request(Code.STATUS), READ_TRIES)
        if reply is None:
            return "the pump did not answer the acknowledgement"
        self._take(reply)
        if not self._waits:
            return ""
        told = yield from self.ask(Request(Code.OLDEST_SALE), READ_TRIES)
        if told is None:
            return "the pump did not tell what it holds after the acknowledgement"
        if told.code is not Code.NO_SALE and codec.record(told) == removed:
            return "the pump still holds the sale that was acknowledged"
        self._oldest = None
        return ""


def make_devices(config: LineConfig) -> list[Device]:
    """One panel per point of ``config``. Raises ``WiringError`` for wrong options, panels, nozzles or decimals."""
    chosen = options.read(ZhengxingOptions, LIMITS, config.options)
    check_points(config, PANELS)
    pace = Pace(
        baudrate=config.serial.baudrate or SERIAL_DEFAULTS.baudrate or 9600,
        bits=11,
        pause_s=chosen.pause_s,
        window_s=chosen.reply_window_s,
        probe_window_s=chosen.probe_window_s,
        gap_s=chosen.gap_in_frame_s,
        echo=chosen.echo,
    )
    wire: Turns[Reply] = Turns(Decoder([point.address for point in config.points]), pace)
    patience = Patience(chosen.silent_polls, chosen.silent_time_s, chosen.good_cycles, chosen.poll_interval_s)
    return [AskedPoint(point, Panel(point, wire, chosen), patience) for point in config.points]


def check_options(given: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """As ``DriverSpec.check_options``."""
    return options.check(ZhengxingOptions, LIMITS, given)


SPEC = DriverSpec(
    protocol="zhengxing",
    kind="dispenser",
    serial_defaults=SERIAL_DEFAULTS,
    check_options=check_options,
    make_devices=make_devices,
    capabilities=CAPABILITIES,
    field_kit="drivers.zhengxing.dissect:KIT",
    decimals=Decimals(unit_price=2),
    one_nozzle=True,
)
