"""SENS PMP probes on one wire, each a tank of one gauge. Exports ``SPEC``.

Reads only. Experimental: every open point of the protocol is an option. The number of a tank is its probe's address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from drivers import experimental, options
from drivers.asked import Heard
from drivers.collecting import Collecting
from drivers.config import LineConfig, SerialSettings
from drivers.device import Device, TankGaugeCapabilities
from drivers.errors import WiringError
from drivers.experimental import MAX_VOLUME_ML, Judge, check_accepted, enough, no_reading
from drivers.inquiry import InquiredGauge
from drivers.port import Port
from drivers.readings import Quality, Reading, TankReading
from drivers.registry import DriverSpec
from drivers.sens.codec import Length, Parameter, Reply, encode, replies
from drivers.turns import Pace

SERIAL_DEFAULTS = SerialSettings(19200, 8, "none", 2)
CAPABILITIES = TankGaugeCapabilities(reads_only=True, inventory=True, tc_volume=False, water=True, alarms=False)
BITS = 11
ADDRESSES = range(1, 256)
MANTISSA = 2**15  # a value keeps so many steps of its own size: its lowest byte is not sent
ML, UM, MDEGC = 1_000_000, 1_000_000, 1_000
MAX_HEIGHT_UM = 100_000_000
VOLUMES = {"volume": Parameter.VOLUME, "total_volume": Parameter.TOTAL_VOLUME}
WATER_UM = {"ignore": 0, "m": 1_000_000, "mm": 1_000}


@dataclass(frozen=True, slots=True)
class SensOptions:
    """Checked options of one line; times in seconds.

    ``experimental``: the station accepts a driver that was never tried on a probe by us. ``length``: what the third
    byte of a reply counts. ``volume_from``: which of the two volumes is the tank's. ``water_unit``: of the water
    level. ``gap_s``: silence that ends a reply; ``reply_window_s``: to the first byte; ``pause_s``: quiet between two
    questions; ``rest_s``: quiet after a question nobody has answered. ``poll_interval_s``: between two looks at all.
    """

    experimental: bool = False
    length: str = field(default=Length.ANY, metadata={"words": tuple(Length)})
    volume_from: str = field(default="volume", metadata={"words": tuple(VOLUMES)})
    water_unit: str = field(default="ignore", metadata={"words": tuple(WATER_UM)})
    gap_s: float = 0.02
    reply_window_s: float = 0.5
    pause_s: float = 0.05
    rest_s: float = 0.2
    poll_interval_s: float = 30.0


LIMITS: options.Limits = {
    "gap": (2, 1_000),
    "reply_window": (20, 5_000),
    "pause": (0, 5_000),
    "rest": (0, 10_000),
    "poll_interval": (1_000, 3_600_000),
}


class SensInquiry:
    """All parameters of each probe. The sum is weak, so each is asked at least twice."""

    capabilities = CAPABILITIES

    def __init__(self, config: LineConfig, chosen: SensOptions) -> None:
        self.rest_s = chosen.rest_s
        self.poll_s = chosen.poll_interval_s
        self._gauge = f"gauge:{config.id}"
        self._tanks = config.tanks or (1,)
        self._chosen = chosen
        baudrate = config.serial.baudrate or SERIAL_DEFAULTS.baudrate or 1
        pace = Pace(baudrate, BITS, chosen.pause_s, chosen.reply_window_s, chosen.reply_window_s, chosen.gap_s)
        self._wire = Collecting(partial(replies, length=Length(chosen.length)), pace)
        self._judge = Judge()
        self._counts: dict[str, int] = {}

    def questions(self) -> Sequence[tuple[int, Sequence[int]]]:
        """As ``Inquiry.questions``."""
        return [(tank, [tank]) for tank in self._tanks]

    def exchange(self, port: Port, question: int) -> Reply | Heard:
        """As ``Inquiry.exchange``."""
        answer = self._wire.ask(port, encode(question), lambda reply: reply.address == question)
        for reason, count in self._wire.take_rejected().items():
            self._counts[f"frames_rejected.{reason}"] = count
        return answer

    def settled(self, answers: Sequence[Reply]) -> Reply | None:
        """As ``Inquiry.settled``: the middle one of each value."""
        if not enough(answers, lambda one, other: one == other):
            return None
        ids = [number for number, _ in answers[-1].values if all(number in dict(reply.values) for reply in answers)]
        return replace(answers[-1], values=tuple((number, _middle(answers, number)) for number in ids))

    def told(self, tank: int, answers: Sequence[Reply], now_s: float) -> Sequence[Reading]:
        """As ``Inquiry.told``."""
        (reply,) = answers
        volume_ml = _scaled(reply.value(VOLUMES[self._chosen.volume_from]), ML, MAX_VOLUME_ML)
        water_um = WATER_UM[self._chosen.water_unit]
        reading = TankReading(
            self._gauge,
            tank,
            Quality.NO_READING,
            volume_ml=volume_ml,
            height_um=_scaled(reply.value(Parameter.LEVEL), UM, MAX_HEIGHT_UM),
            water_height_um=_scaled(reply.value(Parameter.WATER_LEVEL), water_um, MAX_HEIGHT_UM) if water_um else None,
            temperature_mdegc=_scaled(reply.value(Parameter.TEMPERATURE), MDEGC, 10**6),
        )
        return [self._judge.judged(reading, now_s, 1 + (volume_ml or 0) // MANTISSA)]

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
            return "no probe answers", "check addresses, line settings (19200 8N2 by default), A and B, and power"
        return "no probe can be understood", "check baud rate and stop bits, the option length, and a larger gap"


def _middle(answers: Sequence[Reply], number: int) -> float | None:
    found = [dict(reply.values)[number] for reply in answers]
    ranked = sorted(found, key=lambda value: (value is not None, value or 0.0))
    return ranked[len(ranked) // 2]


def _scaled(value: float | None, factor: int, largest: int) -> int | None:
    """In whole units; ``None`` for what was not told, or is no such thing on any station."""
    if value is None or abs(value) * factor > largest:
        return None
    return round(value * factor)


def check_options(given: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """As ``DriverSpec.check_options``."""
    return experimental.check_options(SensOptions, LIMITS, given)


def make_devices(config: LineConfig) -> list[Device]:
    """The probes of a line as one gauge. Raises ``WiringError`` while the line is not accepted."""
    chosen = options.read(SensOptions, LIMITS, config.options)
    check_accepted(config, experimental=chosen.experimental)
    for tank in config.tanks:
        if tank not in ADDRESSES:
            raise WiringError(f"{tank} is no address of a probe", hint="write gauge_index = 1 to 255")
    return [InquiredGauge(config.id, SensInquiry(config, chosen))]


SPEC = DriverSpec(
    protocol="sens-pmp",
    kind="tank-gauge",
    serial_defaults=SERIAL_DEFAULTS,
    check_options=check_options,
    make_devices=make_devices,
    capabilities=CAPABILITIES,
    field_kit="drivers.sens.dissect:KIT",
)
