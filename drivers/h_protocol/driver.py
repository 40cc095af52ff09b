"""One gauge that speaks the H-protocol, and its tanks. Exports ``SPEC``.

Reads only. Experimental: every open point of the protocol is an option.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial

from drivers import experimental, options
from drivers.asked import Heard
from drivers.collecting import Collecting
from drivers.config import LineConfig, SerialSettings
from drivers.device import Device, TankGaugeCapabilities
from drivers.errors import WiringError
from drivers.experimental import Judge, check_accepted, enough, middle, no_reading
from drivers.h_protocol.codec import Asks, Check, Reply, encode, replies
from drivers.inquiry import InquiredGauge
from drivers.port import Port
from drivers.readings import Quality, Reading, TankReading
from drivers.registry import DriverSpec
from drivers.turns import Pace

SERIAL_DEFAULTS = SerialSettings(1200, 8, "none", 1)
CAPABILITIES = TankGaugeCapabilities(reads_only=True, inventory=True, tc_volume=False, water=True, alarms=False)
BITS = 10

VOLUMES_ML: Mapping[str, Fraction] = {
    "l": Fraction(1_000),
    "0.1l": Fraction(100),
    "us_gal": Fraction(3_785_411_784, 1_000_000),
    "imp_gal": Fraction(454_609, 100),
}
HEIGHTS_UM: Mapping[str, Fraction] = {
    "0.01mm": Fraction(10),
    "0.1mm": Fraction(100),
    "mm": Fraction(1_000),
    "0.01in": Fraction(254),
    "0.1in": Fraction(2_540),
}
IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class HOptions:
    """Checked options of one line; times in seconds.

    ``experimental``: the station accepts a driver that was never tried on a gauge by us. ``id_digits``: of the tank
    number in a question. ``volume_unit``, ``level_unit``, ``water_unit``: what one step of the digits is; the reply
    does not say. ``unchecked``: replies without checksum count. ``level``, ``ullage``: asked beside the volume.
    ``reply_window_s``: to the first byte; ``rest_s``: quiet after a question nobody has answered; ``pause_s``: quiet
    between two questions; ``gap_s``: silence that ends a reply. ``poll_interval_s``: between two looks at all tanks.
    """

    experimental: bool = False
    id_digits: int = 2
    volume_unit: str = field(default="l", metadata={"words": tuple(VOLUMES_ML)})
    level_unit: str = field(default="0.01mm", metadata={"words": (*HEIGHTS_UM, IGNORE)})
    water_unit: str = field(default=IGNORE, metadata={"words": (*HEIGHTS_UM, IGNORE)})
    unchecked: bool = False
    level: bool = True
    ullage: bool = False
    reply_window_s: float = 3.0
    rest_s: float = 5.0
    pause_s: float = 0.1
    gap_s: float = 0.1
    poll_interval_s: float = 30.0


LIMITS: options.Limits = {
    "id_digits": (1, 2),
    "reply_window": (100, 5_000),
    "rest": (1_000, 30_000),
    "pause": (0, 5_000),
    "gap": (20, 1_000),
    "poll_interval": (1_000, 3_600_000),
}

Question = tuple[int, Asks]


class HInquiry:
    """Volume, level and ullage of each tank. A reply names neither, so each is asked at least twice."""

    capabilities = CAPABILITIES

    def __init__(self, config: LineConfig, chosen: HOptions) -> None:
        self.rest_s = chosen.rest_s
        self.poll_s = chosen.poll_interval_s
        self._gauge = f"gauge:{config.id}"
        self._tanks = config.tanks or (1,)
        self._chosen = chosen
        baudrate = config.serial.baudrate or SERIAL_DEFAULTS.baudrate or 1
        pace = Pace(baudrate, BITS, chosen.pause_s, chosen.reply_window_s, chosen.reply_window_s, chosen.gap_s)
        self._wire = Collecting(partial(replies, unchecked=chosen.unchecked), pace)
        self._asks = [Asks.VOLUME]
        self._asks += [Asks.LEVEL] if chosen.level else []
        self._asks += [Asks.ULLAGE] if chosen.ullage else []
        self._judge = Judge()
        self._counts: dict[str, int] = {}

    def questions(self) -> Sequence[tuple[int, Sequence[Question]]]:
        """As ``Inquiry.questions``."""
        return [(tank, [(tank, asks) for asks in self._asks]) for tank in self._tanks]

    def exchange(self, port: Port, question: Question) -> Reply | Heard:
        """As ``Inquiry.exchange``; which checksum the reply had is counted, to learn which one is right."""
        tank, asks = question
        answer = self._wire.ask(port, encode(asks, tank, self._chosen.id_digits))
        if isinstance(answer, Reply):
            self._count(f"checksum_{answer.check}")
        for reason, count in self._wire.take_rejected().items():
            self._count(f"frames_rejected.{reason}", count)
        return answer

    def settled(self, answers: Sequence[Reply]) -> Reply | None:
        """As ``Inquiry.settled``: the middle one of each number."""
        if not enough(answers, lambda one, other: one == other):
            return None
        return replace(
            answers[-1],
            data=str(middle([int(reply.data) for reply in answers])),
            water=str(middle([int(reply.water) for reply in answers])),
            temperature_tenths=middle([reply.temperature_tenths for reply in answers]),
            error=str(middle([int(reply.error) for reply in answers])),
        )

    def told(self, tank: int, answers: Sequence[Reply], now_s: float) -> Sequence[Reading]:
        """As ``Inquiry.told``."""
        failed = [reply.error for reply in answers if reply.has_error]
        if failed:
            return [no_reading(self._gauge, tank, f"error {failed[0]} of the gauge")]
        by_ask = dict(zip(self._asks, answers, strict=True))
        volume, level, ullage = by_ask[Asks.VOLUME], by_ask.get(Asks.LEVEL), by_ask.get(Asks.ULLAGE)
        step = VOLUMES_ML[self._chosen.volume_unit]
        unchecked = any(reply.check is Check.NONE for reply in answers)
        reading = TankReading(
            self._gauge,
            tank,
            Quality.NO_READING,
            volume_ml=round(int(volume.data) * step),
            ullage_ml=None if ullage is None else round(int(ullage.data) * step),
            height_um=None if level is None else _height(level.data, self._chosen.level_unit),
            water_height_um=None if unchecked else _height(volume.water, self._chosen.water_unit),
            temperature_mdegc=None if volume.temperature_tenths is None else volume.temperature_tenths * 100,
        )
        if unchecked:
            return [self._judge.judged(reading, now_s, round(step), "unchecked", quality=Quality.DISPLAY)]
        return [self._judge.judged(reading, now_s, round(step))]

    def unanswered(self, tank: int, heard: Heard) -> Sequence[Reading]:
        """As ``Inquiry.unanswered``."""
        return [no_reading(self._gauge, tank, "no answer" if heard is Heard.NOTHING else "no intact answer")]

    def take_counts(self) -> Mapping[str, int]:
        """As ``Inquiry.take_counts``."""
        taken, self._counts = self._counts, {}
        return taken

    def trouble(self, heard: Heard) -> tuple[str, str]:
        """As ``Inquiry.trouble``."""
        if heard is Heard.NOTHING:
            return "the gauge does not answer", "check id_digits, the line settings (1200 8N1 by default), cable, power"
        return "the gauge cannot be understood", "check baud rate and parity; an emulator needs unchecked = true"

    def _count(self, name: str, count: int = 1) -> None:
        self._counts[name] = self._counts.get(name, 0) + count


def _height(digits: str, unit: str) -> int | None:
    return None if unit == IGNORE else round(int(digits) * HEIGHTS_UM[unit])


def check_options(given: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """As ``DriverSpec.check_options``."""
    return experimental.check_options(HOptions, LIMITS, given)


def make_devices(config: LineConfig) -> list[Device]:
    """The gauge of a line. Raises ``WiringError`` while the line is not accepted, or a tank number does not fit."""
    chosen = options.read(HOptions, LIMITS, config.options)
    check_accepted(config, experimental=chosen.experimental)
    largest = 10**chosen.id_digits - 1
    for tank in config.tanks:
        if not 1 <= tank <= largest:
            raise WiringError(f"tank number {tank} cannot be asked", hint=f"write gauge_index = 1 to {largest}")
    return [InquiredGauge(config.id, HInquiry(config, chosen))]


SPEC = DriverSpec(
    protocol="h-protocol",
    kind="tank-gauge",
    serial_defaults=SERIAL_DEFAULTS,
    check_options=check_options,
    make_devices=make_devices,
    capabilities=CAPABILITIES,
    field_kit="drivers.h_protocol.dissect:KIT",
)
