"""One Aoke PD-3 gauge: its alarm records as history, and for every tank that there is no reading. Exports ``SPEC``.

Reads only, and raises no alarm: whether a record stands or is long over, nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drivers import experimental, options
from drivers.asked import Heard
from drivers.collecting import Collecting
from drivers.config import LineConfig, SerialSettings
from drivers.device import Device, TankGaugeCapabilities
from drivers.experimental import check_accepted, no_reading
from drivers.inquiry import InquiredGauge
from drivers.pd3.codec import QUESTION, Record, Reply, replies
from drivers.port import Port
from drivers.readings import OWN_CODE, GaugeEvent, GaugeHistory, Reading
from drivers.registry import DriverSpec
from drivers.turns import Pace

SERIAL_DEFAULTS = SerialSettings(9600, 8, "none", 1)
CAPABILITIES = TankGaugeCapabilities(reads_only=True, inventory=False, tc_volume=False, water=False, alarms=False)
BITS = 10
EVERY_TANK = 0
TO_THE_MINUTE = len("2005-10-06T10:28")


@dataclass(frozen=True, slots=True)
class Pd3Options:
    """Checked options of one line; times in seconds.

    ``experimental``: the station accepts a driver that was never tried on a gauge by us. ``reply_window_s``: to the
    first byte; ``gap_s``: silence that ends a reply; ``pause_s``: quiet before a question. ``rest_s``: quiet after a
    question nobody has answered. ``poll_interval_s``: between two questions.
    """

    experimental: bool = False
    reply_window_s: float = 1.0
    gap_s: float = 0.05
    pause_s: float = 0.1
    rest_s: float = 0.5
    poll_interval_s: float = 30.0


LIMITS: options.Limits = {
    "reply_window": (100, 5_000),
    "gap": (5, 1_000),
    "pause": (0, 5_000),
    "rest": (0, 10_000),
    "poll_interval": (1_000, 3_600_000),
}


class Pd3Inquiry:
    """One question for all records of all tanks."""

    capabilities = CAPABILITIES

    def __init__(self, config: LineConfig, chosen: Pd3Options) -> None:
        self.rest_s = chosen.rest_s
        self.poll_s = chosen.poll_interval_s
        self._gauge = f"gauge:{config.id}"
        self._tanks = config.tanks or (1,)
        baudrate = config.serial.baudrate or SERIAL_DEFAULTS.baudrate or 1
        pace = Pace(baudrate, BITS, chosen.pause_s, chosen.reply_window_s, chosen.reply_window_s, chosen.gap_s)
        self._wire = Collecting(replies, pace)
        self._history: GaugeHistory | None = None
        self._counts: dict[str, int] = {}

    def questions(self) -> Sequence[tuple[int, Sequence[bytes]]]:
        """As ``Inquiry.questions``."""
        return [(EVERY_TANK, [QUESTION])]

    def exchange(self, port: Port, question: bytes) -> Reply | Heard:
        """As ``Inquiry.exchange``; how long records are is counted, to learn which form is right."""
        answer = self._wire.ask(port, question)
        if isinstance(answer, Reply) and answer.records:
            self._count(f"records_of_{answer.stride}_bytes")
        for reason, count in self._wire.take_rejected().items():
            self._count(f"frames_rejected.{reason}", count)
        return answer

    def settled(self, answers: Sequence[Reply]) -> Reply | None:
        """As ``Inquiry.settled``: the CRC is strong enough for one answer."""
        return answers[-1]

    def told(self, tank: int, answers: Sequence[Reply], now_s: float) -> Sequence[Reading]:
        """As ``Inquiry.told``: the history when it is another than before."""
        del tank, now_s
        found: list[Reading] = [no_reading(self._gauge, tank, "this gauge tells no level") for tank in self._tanks]
        history = GaugeHistory(self._gauge, tuple(_event(record) for record in answers[0].records))
        if history != self._history:
            self._history = history
            found.append(history)
        return found

    def unanswered(self, tank: int, heard: Heard) -> Sequence[Reading]:
        """As ``Inquiry.unanswered``: there is only one question, so the gauge is offline then."""
        del tank, heard
        return []

    def take_counts(self) -> Mapping[str, int]:
        """As ``Inquiry.take_counts``."""
        taken, self._counts = self._counts, {}
        return taken

    def trouble(self, heard: Heard) -> tuple[str, str]:
        """As ``Inquiry.trouble``."""
        if heard is Heard.NOTHING:
            return "the gauge does not answer", "check the line settings (9600 8N1 by default), cable and power"
        return "the gauge cannot be understood", "check baud rate and parity, and that no second host talks there"

    def _count(self, name: str, count: int = 1) -> None:
        self._counts[name] = self._counts.get(name, 0) + count


def _event(record: Record) -> GaugeEvent:
    local = record.time[:TO_THE_MINUTE] if record.is_dated else ""
    return GaugeEvent(OWN_CODE, record.code, record.tank, "", record.time, local, record.text)


def check_options(given: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """As ``DriverSpec.check_options``."""
    return experimental.check_options(Pd3Options, LIMITS, given)


def make_devices(config: LineConfig) -> list[Device]:
    """The gauge of a line. Raises ``WiringError`` while the line is not accepted."""
    chosen = options.read(Pd3Options, LIMITS, config.options)
    check_accepted(config, experimental=chosen.experimental)
    return [InquiredGauge(config.id, Pd3Inquiry(config, chosen))]


SPEC = DriverSpec(
    protocol="aoke-pd3",
    kind="tank-gauge",
    serial_defaults=SERIAL_DEFAULTS,
    check_options=check_options,
    make_devices=make_devices,
    capabilities=CAPABILITIES,
    field_kit="drivers.pd3.dissect:KIT",
)
